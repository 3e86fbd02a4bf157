package patterns

import (
	"encoding/json"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// StreamFanoutProps configures a StreamFanout. Table, Function and OnFailure are required.
type StreamFanoutProps struct {
	// Table is the table whose changes are handled; it must have a stream.
	Table *CatalogTable
	// Function handles the changes, and reports the first that failed.
	Function *Function
	// OnFailure receives the records, with their payload, that were given up.
	OnFailure *DeadLetterBucket
	// Filters are patterns of which a record must match one, each a JSON object
	// as Lambda's event filtering takes it. Nil: every record is handled.
	Filters *[]interface{}
	// BatchSize is how many records one invocation gets at most, from 1 to 10000. Nil: 100.
	BatchSize *float64
	// BatchingWindow is how long records are gathered, at most 5 minutes. Nil: not at all.
	BatchingWindow awscdk.Duration
	// RetryAttempts is how often a batch is tried again, from 0 to 10000. Nil: 10.
	RetryAttempts *float64
	// MaxRecordAge is the age at which a record is given up, from 60 seconds to
	// 7 days. Nil: 12 hours, half of what the stream keeps.
	MaxRecordAge awscdk.Duration
	// Parallelization is how many batches of one shard are handled at once, from
	// 1 to 10; the records of one item stay in order. Nil: 2.
	Parallelization *float64
}

// StreamFanout has a function handle the changes of a table in order. A batch
// that fails is halved and tried again, within bounds; what is given up goes,
// with its payload, to a bucket and blocks nothing.
type StreamFanout struct {
	constructs.Construct
	mapping awslambda.CfnEventSourceMapping
}

// NewStreamFanout maps a table's stream to a function and grants its role to
// read the stream and to write to the failure destination.
func NewStreamFanout(scope constructs.Construct, id *string, props *StreamFanoutProps) *StreamFanout {
	p := *props
	p.BatchSize = orDefault(p.BatchSize, 100)
	p.RetryAttempts = orDefault(p.RetryAttempts, 10)
	p.MaxRecordAge = orDuration(p.MaxRecordAge, awscdk.Duration_Hours(jsii.Number(12)))
	p.BatchingWindow = orDuration(p.BatchingWindow, awscdk.Duration_Seconds(jsii.Number(0)))
	p.Parallelization = orDefault(p.Parallelization, 2)
	requireRange(scope, id, "BatchSize", p.BatchSize, 1, 10000)
	requireRange(scope, id, "RetryAttempts", p.RetryAttempts, 0, 10000)
	requireRange(scope, id, "MaxRecordAge", jsii.Number(seconds(p.MaxRecordAge)), 60, 7*24*60*60)
	requireRange(scope, id, "BatchingWindow", jsii.Number(seconds(p.BatchingWindow)), 0, 300)
	requireRange(scope, id, "Parallelization", p.Parallelization, 1, 10)
	if !p.Table.streams {
		refuse(scope, id, "Table", *p.Table.Node().Path()+", which has no stream", "set the table's Stream")
	}

	s := &StreamFanout{}
	constructs.NewConstruct_Override(s, scope, id)
	p.Table.grantReadStream(p.Function.role)
	p.OnFailure.grantFailureDestination(p.Function.role)
	s.mapping = awslambda.NewCfnEventSourceMapping(s, jsii.String("Resource"), &awslambda.CfnEventSourceMappingProps{
		BatchSize:                  p.BatchSize,
		BisectBatchOnFunctionError: jsii.Bool(true),
		DestinationConfig: &awslambda.CfnEventSourceMapping_DestinationConfigProperty{
			OnFailure: &awslambda.CfnEventSourceMapping_OnFailureProperty{
				Destination: p.OnFailure.bucket.BucketArn(),
			},
		},
		EventSourceArn:                 p.Table.table.TableStreamArn(),
		FilterCriteria:                 filterCriteria(scope, id, p.Filters),
		FunctionName:                   p.Function.function.FunctionArn(),
		FunctionResponseTypes:          jsii.Strings("ReportBatchItemFailures"),
		MaximumBatchingWindowInSeconds: jsii.Number(seconds(p.BatchingWindow)),
		MaximumRecordAgeInSeconds:      jsii.Number(seconds(p.MaxRecordAge)),
		MaximumRetryAttempts:           p.RetryAttempts,
		MetricsConfig: &awslambda.CfnEventSourceMapping_MetricsConfigProperty{
			Metrics: jsii.Strings("EventCount"),
		},
		ParallelizationFactor: p.Parallelization,
		// From the oldest record that the stream still has: what was written
		// before the mapping was there is not lost.
		StartingPosition: jsii.String("TRIM_HORIZON"),
	})
	return s
}

// filterCriteria writes each filter as the JSON text that Lambda takes. An
// empty list is left out, since Lambda reads it as "no filter" as well.
func filterCriteria(scope constructs.Construct, id *string, filters *[]interface{}) interface{} {
	if filters == nil || len(*filters) == 0 {
		return nil
	}
	patterns := make([]interface{}, 0, len(*filters))
	for _, filter := range *filters {
		text, err := json.Marshal(filter)
		if err != nil {
			refuse(scope, id, "Filters", filter, "give a value that can be written as JSON")
		}
		patterns = append(patterns, &awslambda.CfnEventSourceMapping_FilterProperty{Pattern: jsii.String(string(text))})
	}
	return &awslambda.CfnEventSourceMapping_FilterCriteriaProperty{Filters: &patterns}
}

// Mapping gives the event source mapping.
func (s *StreamFanout) Mapping() awslambda.CfnEventSourceMapping { return s.mapping }

// MetricGivenUp counts the records that went to the failure destination, over a minute.
func (s *StreamFanout) MetricGivenUp() awscloudwatch.Metric {
	return awscloudwatch.NewMetric(&awscloudwatch.MetricProps{
		Namespace:     jsii.String("AWS/Lambda"),
		MetricName:    jsii.String("OnFailureDestinationDeliveredEventCount"),
		DimensionsMap: &map[string]*string{"EventSourceMappingUUID": s.mapping.Ref()},
		Statistic:     jsii.String("Sum"),
		Period:        awscdk.Duration_Minutes(jsii.Number(1)),
	})
}
