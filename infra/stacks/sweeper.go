package stacks

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/jsii-runtime-go"

	"github.com/stowage-dev/stowage/infra/patterns"
	"github.com/stowage-dev/stowage/shared/catalog"
)

// sweeperTimeout is the time-out of upload-sweeper, which goes on where it stopped: long
// enough that starting is no burden, short enough that invocations seldom overlap.
const sweeperTimeout = 300

// addSweeper makes the function that ends what was left behind, and its schedules. An
// upload waits for at most sweepUploads after it has expired. A pass over all bytes is
// begun once a day and goes on every sweepBytes until it is complete.
//
// The function waits for S3 and DynamoDB most of the time, sixteen items side by side:
// 512 MB.
func (s *Service) addSweeper() {
	const sweepUploads, sweepBytes = 5, 15 // minutes
	environment := map[string]*string{
		"STOWAGE_TABLE":  s.data.Catalog.Table().TableName(),
		"STOWAGE_BUCKET": s.data.Content.Bucket().BucketName(),
	}
	if s.data.Inventory != nil {
		environment["STOWAGE_INVENTORY_BUCKET"] = s.data.Reports.Bucket().BucketName()
		environment["STOWAGE_INVENTORY_PREFIX"] = s.data.Inventory
	}
	s.Sweeper = s.addFunction("UploadSweeper", fnSweeper, functionProps{
		description: "Stowage: ends what was left behind",
		memoryMB:    512,
		timeout:     sweeperTimeout,
		environment: environment,
	})
	role := s.Sweeper.Role()
	s.data.Content.GrantSweep(role, objectPrefix)
	s.data.Catalog.Grant(role, "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem")
	s.data.Catalog.GrantQueryIndex(role, catalog.ExpiryIndex)
	if s.data.Inventory != nil {
		s.data.Reports.GrantRead(role, inventoryPrefix+"/")
	}
	for _, sweep := range []struct {
		id, name, description string
		minutes               float64
	}{
		{"SweepUploads", "uploads", "Stowage: ends uploads that were left behind", sweepUploads},
		{"SweepBytes", "bytes", "Stowage: finds bytes that belong to nobody", sweepBytes},
	} {
		patterns.NewScheduledFunction(s.Stack, jsii.String(sweep.id), &patterns.ScheduledFunctionProps{
			Description: jsii.String(sweep.description),
			Every:       awscdk.Duration_Minutes(jsii.Number(sweep.minutes)),
			Function:    s.Sweeper,
			Input:       map[string]string{"sweep": sweep.name},
		})
	}
}

// addSweeperAlarms watches for what the sweeper cannot put right by itself.
func (s *Service) addSweeperAlarms() {
	s.watch("SweepFailures", "The sweeper cannot deal with something and tries again with every run: read its log for \"cannot sweep\"",
		s.swept("SweepFailures"), 1)
	s.watch("SweepUnverifiedUploads", "Bytes have arrived and were never verified: redrive the dead letters of S3Ingest",
		s.swept("SweepUnverifiedUploads"), 1)
	s.watch("SweepBytesWithoutUpload", "The bucket holds bytes of which the catalog knows nothing: read the log of UploadSweeper before they are deleted, 35 days after they came",
		s.swept("SweepBytesWithoutUpload"), 1)
}

// swept is a count that the sweeper itself reports, over 15 minutes.
func (s *Service) swept(name string) awscloudwatch.Metric {
	return awscloudwatch.NewMetric(&awscloudwatch.MetricProps{
		DimensionsMap: &map[string]*string{"function": s.Sweeper.Function().FunctionName()},
		MetricName:    jsii.String(name),
		Namespace:     jsii.String("Stowage"),
		Period:        awscdk.Duration_Minutes(jsii.Number(15)),
		Statistic:     jsii.String("Sum"),
	})
}
