package stacks

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/jsii-runtime-go"

	"github.com/stowage-dev/stowage/infra/patterns"
	"github.com/stowage-dev/stowage/shared/event"
	"github.com/stowage-dev/stowage/shared/object"
)

const (
	// derivativesTimeout is the time-out of image-derivatives. The largest picture
	// that it accepts takes some seconds.
	derivativesTimeout = 60
	// derivativesBatch is how many pictures one invocation makes copies of, one after
	// the other: few enough for the time-out if all are of the largest.
	derivativesBatch = 4
	// derivativesConcurrency bounds what pictures may cost at once.
	derivativesConcurrency = 10
)

// addDerivatives makes the function that copies pictures, with a queue of its own, so
// that a slow picture holds nobody up, and the rule that fills it.
//
// Copies lie under a prefix of their own, which no notification looks at: writing one
// begins nothing. 1769 MB is one whole vCPU, which is what copying takes, and holds the
// largest picture of about 770 MiB, decoded and not; Go is told to collect before it
// reaches the limit.
func (s *Service) addDerivatives() {
	s.pictures = patterns.NewIngestQueue(s.Stack, jsii.String("Pictures"), &patterns.IngestQueueProps{
		ConsumerTimeout: awscdk.Duration_Seconds(jsii.Number(derivativesTimeout)),
		RemovalPolicy:   s.settings.Stage.RemovalPolicy(),
	})
	patterns.NewQueueRule(s.Stack, jsii.String("PicturesAvailable"), &patterns.QueueRuleProps{
		Bus:         s.data.Bus,
		Description: jsii.String("Stowage: pictures of which derivatives are made"),
		Pattern: &awsevents.EventPattern{
			Source:     jsii.Strings(event.Source),
			DetailType: jsii.Strings(string(event.Available), string(event.Versioned), string(event.Undeleted)),
			Detail: &map[string]interface{}{
				"data": map[string]interface{}{
					"state":        []string{string(object.Available)},
					"detectedType": object.PictureTypes(),
				},
			},
		},
		Queue: s.pictures,
	})
	s.Derivatives = s.addFunction("ImageDerivatives", fnDerivatives, functionProps{
		description: "Stowage: makes small copies of pictures",
		memoryMB:    1769,
		timeout:     derivativesTimeout,
		environment: map[string]*string{
			"GOMEMLIMIT":                 jsii.String("1500MiB"),
			"STOWAGE_TABLE":              s.data.Catalog.Table().TableName(),
			"STOWAGE_BUCKET":             s.data.Content.Bucket().BucketName(),
			"STOWAGE_DEAD_LETTER_BUCKET": s.data.DeadLetters.Bucket().BucketName(),
		},
		roleTags: map[string]*string{patterns.QuarantineRoleTag: jsii.String(patterns.QuarantineWriter)},
	})
	role := s.Derivatives.Role()
	s.data.Content.GrantDerive(role, objectPrefix, object.DerivativePrefix)
	s.data.Catalog.Grant(role, "dynamodb:GetItem", "dynamodb:PutItem")
	s.data.DeadLetters.GrantWrite(role)
	patterns.NewQueueFunction(s.Stack, jsii.String("PicturesMapping"), &patterns.QueueFunctionProps{
		BatchSize:      jsii.Number(derivativesBatch),
		Function:       s.Derivatives,
		MaxConcurrency: jsii.Number(derivativesConcurrency),
		Queue:          s.pictures,
	})
	output(s.Stack, "PicturesDeadLetterQueue", "Queue of the pictures that were given up", s.pictures.DeadLetters().QueueUrl())
}

// addDerivativeAlarms watches for pictures that nobody copies.
func (s *Service) addDerivativeAlarms() {
	s.watch("PicturesDeadLetters", "Pictures were given up before their derivatives were made: read the message in the dead-letter queue and redrive it",
		s.pictures.MetricDeadLetters(), 1)
}
