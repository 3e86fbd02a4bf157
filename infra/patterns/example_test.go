package patterns_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/assertions"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsdynamodb"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/jsii-runtime-go"

	"github.com/stowage-dev/stowage/infra/patterns"
)

// A bucket that a site uploads to: what was not yet verified cannot be read,
// by anybody.
func ExampleNewUploadBucket() {
	stack := awscdk.NewStack(awscdk.NewApp(nil), jsii.String("Photos"), nil)

	bucket := patterns.NewUploadBucket(stack, jsii.String("Uploads"), &patterns.UploadBucketProps{
		Origins: jsii.Strings("https://photos.example.com"),
	})
	signer := awsiam.NewRole(stack, jsii.String("Signer"), &awsiam.RoleProps{AssumedBy: awsiam.NewAccountRootPrincipal()})
	bucket.GrantSignUploads(signer, "photos/")

	// What is uploaded can be read once this function's role has tagged it.
	code := exampleCode()
	verify := patterns.NewFunction(stack, jsii.String("Verify"), &patterns.FunctionProps{
		CodeDir:  code,
		RoleTags: &map[string]*string{patterns.QuarantineRoleTag: jsii.String(patterns.QuarantineWriter)},
	})
	bucket.GrantVerify(verify.Role(), "photos/")

	fmt.Println(count(stack, "AWS::S3::Bucket"), "buckets: the bytes and the access logs")
	// Output: 2 buckets: the bytes and the access logs
}

// A queue whose messages a function handles in batches, with a dead-letter
// queue that somebody is told of.
func ExampleNewQueueFunction() {
	stack := awscdk.NewStack(awscdk.NewApp(nil), jsii.String("Orders"), nil)

	timeout := awscdk.Duration_Seconds(jsii.Number(30))
	queue := patterns.NewIngestQueue(stack, jsii.String("Incoming"), &patterns.IngestQueueProps{ConsumerTimeout: timeout})
	code := exampleCode() // dist/take-order, where the executable "bootstrap" is
	function := patterns.NewFunction(stack, jsii.String("TakeOrder"), &patterns.FunctionProps{
		CodeDir: code,
		Timeout: timeout,
	})
	patterns.NewQueueFunction(stack, jsii.String("Orders"), &patterns.QueueFunctionProps{Queue: queue, Function: function})

	alarms := patterns.NewAlarmTopic(stack, jsii.String("Alarms"), nil)
	alarms.Watch(stack, jsii.String("OrdersGivenUp"), &patterns.WatchProps{
		Description: jsii.String("Orders were given up: read the dead-letter queue"),
		Metric:      queue.MetricDeadLetters(),
	})

	fmt.Println(count(stack, "AWS::SQS::Queue"), "queues,", count(stack, "AWS::CloudWatch::Alarm"), "alarm")
	// Output: 2 queues, 1 alarm
}

// A table whose changes a function turns into events, in order for each item.
func ExampleNewStreamFanout() {
	stack := awscdk.NewStack(awscdk.NewApp(nil), jsii.String("Ledger"), &awscdk.StackProps{
		Env: &awscdk.Environment{Region: jsii.String("eu-west-1")}, // a table with a key of its own needs one
	})

	table := patterns.NewCatalogTable(stack, jsii.String("Accounts"), &patterns.CatalogTableProps{
		PartitionKey: &awsdynamodb.Attribute{Name: jsii.String("pk"), Type: awsdynamodb.AttributeType_STRING},
		Stream:       awsdynamodb.StreamViewType_NEW_AND_OLD_IMAGES,
	})
	function := patterns.NewFunction(stack, jsii.String("Announce"), &patterns.FunctionProps{CodeDir: exampleCode()})
	bus := patterns.NewEventBus(stack, jsii.String("Events"), &patterns.EventBusProps{Source: jsii.String("ledger")})
	bus.GrantPutEvents(function.Role())

	patterns.NewStreamFanout(stack, jsii.String("Changes"), &patterns.StreamFanoutProps{
		Table:     table,
		Function:  function,
		OnFailure: patterns.NewDeadLetterBucket(stack, jsii.String("DeadLetters"), nil),
		// Changes alone: what is new or was removed is somebody else's.
		Filters: &[]interface{}{map[string]any{"eventName": []string{"MODIFY"}}},
	})

	fmt.Println(count(stack, "AWS::Lambda::EventSourceMapping"), "mapping")
	// Output: 1 mapping
}

// An API for people and programs that sign in to a user pool of its own.
func ExampleNewHTTPAPI() {
	stack := awscdk.NewStack(awscdk.NewApp(nil), jsii.String("Notes"), nil)

	users := patterns.NewUserPool(stack, jsii.String("Users"), &patterns.UserPoolProps{
		DomainPrefix:   jsii.String("notes-example"),
		ResourceServer: jsii.String("notes"),
		Scopes:         &[]*patterns.Scope{{Name: jsii.String("read"), Description: jsii.String("Read notes")}},
	})
	api := patterns.NewHTTPAPI(stack, jsii.String("Api"), &patterns.HTTPAPIProps{
		Issuer:   users.Issuer(),
		Audience: users.ClientIDs(),
	})
	function := patterns.NewFunction(stack, jsii.String("Notes"), &patterns.FunctionProps{CodeDir: exampleCode()})
	api.Route("/notes/{id}", function, awsapigatewayv2.HttpMethod_GET)

	fmt.Println(count(stack, "AWS::Cognito::UserPoolClient"), "clients,", count(stack, "AWS::ApiGatewayV2::Route"), "route")
	// Output: 2 clients, 1 route
}

// A bucket for access logs that several buckets share.
func ExampleNewAccessLogsBucket() {
	stack := awscdk.NewStack(awscdk.NewApp(nil), jsii.String("Shared"), nil)

	logs := patterns.NewAccessLogsBucket(stack, jsii.String("Logs"), &patterns.AccessLogsBucketProps{
		Keep: awscdk.Duration_Days(jsii.Number(30)),
	})
	for _, id := range []string{"Photos", "Videos"} {
		patterns.NewUploadBucket(stack, jsii.String(id), &patterns.UploadBucketProps{
			AccessLogs:       logs.Bucket(),
			AccessLogsPrefix: jsii.String(id + "/"),
		})
	}

	fmt.Println(count(stack, "AWS::S3::Bucket"), "buckets")
	// Output: 3 buckets
}

// exampleCode makes a directory with an executable that does nothing, where an
// app would name the directory it has built a function into.
func exampleCode() *string {
	dir := filepath.Join(os.TempDir(), "stowage-example-function")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		panic(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bootstrap"), []byte("#!/bin/sh\n"), 0o700); err != nil {
		panic(err)
	}
	return jsii.String(dir)
}

// count counts the resources of a type.
func count(stack awscdk.Stack, kind string) int {
	return len(*assertions.Template_FromStack(stack, nil).FindResources(jsii.String(kind), nil))
}

// A rule that puts the events of new pictures into a queue.
func ExampleNewQueueRule() {
	stack := awscdk.NewStack(awscdk.NewApp(nil), jsii.String("Gallery"), nil)

	bus := patterns.NewEventBus(stack, jsii.String("Events"), &patterns.EventBusProps{Source: jsii.String("photos")})
	queue := patterns.NewIngestQueue(stack, jsii.String("NewPictures"), &patterns.IngestQueueProps{
		ConsumerTimeout: awscdk.Duration_Seconds(jsii.Number(30)),
	})
	patterns.NewQueueRule(stack, jsii.String("PicturesAdded"), &patterns.QueueRuleProps{
		Bus:     bus,
		Pattern: &awsevents.EventPattern{DetailType: jsii.Strings("photo.added")},
		Queue:   queue,
	})

	fmt.Println(count(stack, "AWS::Events::Rule"), "rule,", count(stack, "AWS::SQS::Queue"), "queues")
	// Output: 1 rule, 2 queues
}

func ExampleNewMalwareProtection() {
	stack := awscdk.NewStack(awscdk.NewApp(nil), jsii.String("Inbox"), nil)

	bucket := patterns.NewUploadBucket(stack, jsii.String("Uploads"), nil)
	patterns.NewMalwareProtection(stack, jsii.String("Scanner"), &patterns.MalwareProtectionProps{
		Bucket: bucket, Prefix: jsii.String("incoming/"),
	})
	// What GuardDuty finds it says on the default bus of the account.
	queue := patterns.NewIngestQueue(stack, jsii.String("Verdicts"), &patterns.IngestQueueProps{
		ConsumerTimeout: awscdk.Duration_Seconds(jsii.Number(30)),
	})
	patterns.NewQueueRule(stack, jsii.String("Scanned"), &patterns.QueueRuleProps{
		Pattern: &awsevents.EventPattern{Source: jsii.Strings("aws.guardduty")},
		Queue:   queue,
	})

	fmt.Println(count(stack, "AWS::GuardDuty::MalwareProtectionPlan"), "plan")
	// Output: 1 plan
}
