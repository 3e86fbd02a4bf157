package patterns

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// visibilityFactor is what Lambda's documentation asks for: a queue's
// visibility time-out of at least six times the function's, so that a message
// is not delivered again while a throttled batch is still being retried.
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
const visibilityFactor = 6

// maxVisibilitySeconds is SQS's own bound of a visibility time-out: 12 hours.
const maxVisibilitySeconds = 12 * 60 * 60

// IngestQueueProps configures an IngestQueue. ConsumerTimeout is required.
type IngestQueueProps struct {
	// ConsumerTimeout is the time-out of the function that reads the queue.
	// A message stays invisible for six times that.
	ConsumerTimeout awscdk.Duration
	// MaxReceiveCount is how many times a message is tried before it goes to
	// the dead-letter queue, from 1 to 1000. Nil: 5.
	MaxReceiveCount *float64
	// RemovalPolicy of both queues. Empty: RETAIN.
	RemovalPolicy awscdk.RemovalPolicy
}

// IngestQueue is a queue of work for a function, with its dead-letter queue:
// both encrypted with SQS's own keys (a customer-managed key would have to let
// in every service that sends), TLS only, and kept for 14 days.
type IngestQueue struct {
	constructs.Construct
	queue           awssqs.Queue
	deadLetters     awssqs.Queue
	consumerTimeout awscdk.Duration
}

// NewIngestQueue makes an IngestQueue.
func NewIngestQueue(scope constructs.Construct, id *string, props *IngestQueueProps) *IngestQueue {
	p := *props
	p.MaxReceiveCount = orDefault(p.MaxReceiveCount, 5)
	p.RemovalPolicy = orRetain(p.RemovalPolicy)
	if p.ConsumerTimeout == nil {
		refuse(scope, id, "ConsumerTimeout", "nil", "give the time-out of the function that reads the queue")
	}
	requireRange(scope, id, "ConsumerTimeout", jsii.Number(seconds(p.ConsumerTimeout)), 1, maxTimeoutSecond)
	requireRange(scope, id, "MaxReceiveCount", p.MaxReceiveCount, 1, 1000)

	q := &IngestQueue{consumerTimeout: p.ConsumerTimeout}
	constructs.NewConstruct_Override(q, scope, id)
	q.deadLetters = awssqs.NewQueue(q, jsii.String("DeadLetters"), &awssqs.QueueProps{
		Encryption:      awssqs.QueueEncryption_SQS_MANAGED,
		EnforceSSL:      jsii.Bool(true),
		RemovalPolicy:   p.RemovalPolicy,
		RetentionPeriod: awscdk.Duration_Days(jsii.Number(14)),
	})
	visibility := min(visibilityFactor*seconds(p.ConsumerTimeout), maxVisibilitySeconds)
	q.queue = awssqs.NewQueue(q, jsii.String("Default"), &awssqs.QueueProps{
		DeadLetterQueue:   &awssqs.DeadLetterQueue{Queue: q.deadLetters, MaxReceiveCount: p.MaxReceiveCount},
		Encryption:        awssqs.QueueEncryption_SQS_MANAGED,
		EnforceSSL:        jsii.Bool(true),
		RemovalPolicy:     p.RemovalPolicy,
		RetentionPeriod:   awscdk.Duration_Days(jsii.Number(14)),
		VisibilityTimeout: awscdk.Duration_Seconds(jsii.Number(visibility)),
	})
	return q
}

// Queue gives the queue of work.
func (q *IngestQueue) Queue() awssqs.Queue { return q.queue }

// DeadLetters gives the dead-letter queue.
func (q *IngestQueue) DeadLetters() awssqs.Queue { return q.deadLetters }

// GrantSend allows the grantee to send to the queue of work.
func (q *IngestQueue) GrantSend(grantee awsiam.IGrantable) awsiam.Grant {
	return awsiam.Grant_AddToPrincipal(&awsiam.GrantOnPrincipalOptions{
		Actions:      jsii.Strings("sqs:SendMessage"),
		Grantee:      grantee,
		ResourceArns: &[]*string{q.queue.QueueArn()},
	})
}

// MetricDepth is how many messages wait, the greatest over 5 minutes.
func (q *IngestQueue) MetricDepth() awscloudwatch.Metric {
	return q.queue.MetricApproximateNumberOfMessagesVisible(nil)
}

// MetricOldest is the age of the oldest message in seconds, the greatest over 5 minutes.
func (q *IngestQueue) MetricOldest() awscloudwatch.Metric {
	return q.queue.MetricApproximateAgeOfOldestMessage(nil)
}

// MetricDeadLetters is how many messages lie in the dead-letter queue, the
// greatest over a minute.
func (q *IngestQueue) MetricDeadLetters() awscloudwatch.Metric {
	return q.deadLetters.MetricApproximateNumberOfMessagesVisible(&awscloudwatch.MetricOptions{
		Statistic: jsii.String("Maximum"),
		Period:    awscdk.Duration_Minutes(jsii.Number(1)),
	})
}

// QueueFunctionProps configures a QueueFunction. Queue and Function are required.
type QueueFunctionProps struct {
	// Queue is the queue of work.
	Queue *IngestQueue
	// Function handles its messages, and reports those that failed.
	Function *Function
	// BatchSize is how many messages one invocation gets at most, from 1 to 10, and to
	// 10,000 with a BatchWindow. Nil: 10.
	BatchSize *float64
	// BatchWindow is for how long messages are gathered, from 1 second to 5 minutes. Nil:
	// they are not.
	BatchWindow awscdk.Duration
	// MaxConcurrency is how many invocations run at once at most, from 2 to
	// 1000. It bounds the function without reserving concurrency, which new
	// accounts refuse. Nil: 20.
	MaxConcurrency *float64
}

// QueueFunction has a function handle the messages of a queue, in batches of
// which the failed messages alone come back.
type QueueFunction struct {
	constructs.Construct
	mapping awslambda.CfnEventSourceMapping
}

// NewQueueFunction maps a queue to a function and grants its role to read it.
func NewQueueFunction(scope constructs.Construct, id *string, props *QueueFunctionProps) *QueueFunction {
	p := *props
	p.BatchSize = orDefault(p.BatchSize, 10)
	p.MaxConcurrency = orDefault(p.MaxConcurrency, 20)
	mostMessages := 10.0
	var window *float64
	if p.BatchWindow != nil {
		// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-parameters.html
		mostMessages, window = 10_000, jsii.Number(seconds(p.BatchWindow))
		requireRange(scope, id, "BatchWindow", window, 1, 300)
	}
	requireRange(scope, id, "BatchSize", p.BatchSize, 1, mostMessages)
	requireRange(scope, id, "MaxConcurrency", p.MaxConcurrency, 2, 1000)
	if have, want := seconds(p.Function.function.Timeout()), seconds(p.Queue.consumerTimeout); have > want {
		refuse(scope, id, "Function", "a function with a time-out of "+*p.Function.function.Timeout().ToString(),
			"raise the queue's ConsumerTimeout to it, or a message is delivered again while it is being handled")
	}

	q := &QueueFunction{}
	constructs.NewConstruct_Override(q, scope, id)
	awsiam.Grant_AddToPrincipal(&awsiam.GrantOnPrincipalOptions{
		Actions:      jsii.Strings("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"),
		Grantee:      p.Function.role,
		ResourceArns: &[]*string{p.Queue.queue.QueueArn()},
	})
	q.mapping = awslambda.NewCfnEventSourceMapping(q, jsii.String("Resource"), &awslambda.CfnEventSourceMappingProps{
		BatchSize:                      p.BatchSize,
		EventSourceArn:                 p.Queue.queue.QueueArn(),
		FunctionName:                   p.Function.function.FunctionArn(),
		FunctionResponseTypes:          jsii.Strings("ReportBatchItemFailures"),
		MaximumBatchingWindowInSeconds: window,
		ScalingConfig: &awslambda.CfnEventSourceMapping_ScalingConfigProperty{
			MaximumConcurrency: p.MaxConcurrency,
		},
	})
	return q
}

// Mapping gives the event source mapping.
func (q *QueueFunction) Mapping() awslambda.CfnEventSourceMapping { return q.mapping }
