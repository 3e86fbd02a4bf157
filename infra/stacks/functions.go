package stacks

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/jsii-runtime-go"

	"github.com/stowage-dev/stowage/infra/patterns"
	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/object"
)

// addUploadAPI makes the function behind the API, and the role that it assumes
// to sign. The role alone may touch objects, and its session's end is known,
// so that no URL outlives the credentials it is signed with.
//
// 1769 MB is one whole vCPU: what a caller waits for at a cold start is TLS
// handshakes, which a share of a vCPU stretches. 10 seconds is more than any
// route needs and well under the 30 at which API Gateway gives up.
func (s *Service) addUploadAPI() {
	secret := newCursorSecret(s.Stack, s.settings)
	s.UploadAPI = s.addFunction("UploadApi", fnUploadAPI, functionProps{
		description: "Stowage: the HTTP API",
		memoryMB:    1769,
		timeout:     10,
		environment: map[string]*string{
			"STOWAGE_TABLE":             s.data.Catalog.Table().TableName(),
			"STOWAGE_IDEMPOTENCY_TABLE": s.data.Idempotency.Table().TableName(),
			"STOWAGE_BUCKET":            s.data.Content.Bucket().BucketName(),
			"STOWAGE_CURSOR_SECRET_ARN": secret.SecretArn(),
		},
	})
	role := s.UploadAPI.Role()
	s.data.Catalog.Grant(role, "dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query", "dynamodb:PutItem",
		"dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:ConditionCheckItem")
	s.data.Catalog.GrantQueryIndex(role, catalog.FolderIndex)
	s.data.Catalog.GrantQueryIndex(role, catalog.StateIndex)
	s.data.Idempotency.Grant(role, "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem")
	role.AddToPrincipalPolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Actions:   jsii.Strings("secretsmanager:GetSecretValue"),
		Resources: &[]*string{secret.SecretArn()},
	}))

	// Within one account a trust policy that names the role suffices. A statement of the
	// role's own that names the signer would close a circle of references.
	// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-basics-single-account.html
	signer := awsiam.NewRole(s.Stack, jsii.String("Signer"), &awsiam.RoleProps{
		AssumedBy:          awsiam.NewArnPrincipal(role.RoleArn()),
		Description:        jsii.String("Stowage: signs the URLs of objects"),
		MaxSessionDuration: awscdk.Duration_Hours(jsii.Number(1)),
	})
	s.data.Content.GrantSignUploads(signer, objectPrefix)
	s.data.Content.GrantSignDownloads(signer, object.DerivativePrefix)
	s.data.Content.GrantSeal(signer, objectPrefix)
	s.UploadAPI.SetEnvironment("STOWAGE_SIGNER_ROLE_ARN", signer.RoleArn())
	output(s.Stack, "CursorSecret", "Secret of the key that seals cursors", secret.SecretArn())
}

// addIngest makes the function that verifies what was uploaded. It waits for
// S3 and DynamoDB most of the time; 1024 MB lets a batch of ten be hashed and
// sniffed side by side.
func (s *Service) addIngest() {
	s.Ingest = s.addFunction("S3Ingest", fnIngest, functionProps{
		description: "Stowage: verifies what was uploaded and publishes it",
		memoryMB:    1024,
		timeout:     ingestTimeout,
		environment: map[string]*string{
			"STOWAGE_TABLE":              s.data.Catalog.Table().TableName(),
			"STOWAGE_BUCKET":             s.data.Content.Bucket().BucketName(),
			"STOWAGE_DEAD_LETTER_BUCKET": s.data.DeadLetters.Bucket().BucketName(),
		},
		roleTags: map[string]*string{patterns.QuarantineRoleTag: jsii.String(patterns.QuarantineWriter)},
	})
	role := s.Ingest.Role()
	s.data.Content.GrantVerify(role, objectPrefix)
	s.data.Content.GrantSeal(role, objectPrefix)
	s.data.Catalog.Grant(role, "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem")
	s.data.DeadLetters.GrantWrite(role)
	patterns.NewQueueFunction(s.Stack, jsii.String("IngestMapping"), &patterns.QueueFunctionProps{
		Function:       s.Ingest,
		MaxConcurrency: jsii.Number(s.settings.IngestConcurrency),
		Queue:          s.data.Ingest,
	})
}

// addFanout makes the function that turns changes of objects into events. It
// only reads what it is given and puts events: 512 MB.
func (s *Service) addFanout() {
	s.Fanout = s.addFunction("StreamFanout", fnFanout, functionProps{
		description: "Stowage: turns changes of objects into events",
		memoryMB:    512,
		timeout:     60,
		environment: map[string]*string{
			"STOWAGE_BUS":                s.data.Bus.Bus().EventBusName(),
			"STOWAGE_DEAD_LETTER_BUCKET": s.data.DeadLetters.Bucket().BucketName(),
			"STOWAGE_HOME_REGION":        jsii.String(s.settings.Region),
		},
	})
	s.data.Bus.GrantPutEvents(s.Fanout.Role())
	s.data.DeadLetters.GrantWrite(s.Fanout.Role())
	s.fanout = patterns.NewStreamFanout(s.Stack, jsii.String("FanoutMapping"), &patterns.StreamFanoutProps{
		Filters:   &[]interface{}{objectChanges()},
		Function:  s.Fanout,
		OnFailure: s.data.DeadLetters,
		Table:     s.data.Catalog,
	})
}

// objectChanges matches the records of OBJECT items alone: events derive from
// nothing else, and most writes are of other items.
func objectChanges() map[string]any {
	return map[string]any{
		"dynamodb": map[string]any{
			"Keys": map[string]any{"sk": map[string]any{"S": []string{"OBJECT"}}},
		},
	}
}
