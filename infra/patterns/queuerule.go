package patterns

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awseventstargets"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// QueueRuleProps configures a QueueRule. Pattern and Queue are required.
type QueueRuleProps struct {
	// Bus is the bus whose events are looked at. Nil: the account's default bus, on which
	// AWS's services tell what happens.
	Bus *EventBus
	// Pattern says which events are sent.
	Pattern *awsevents.EventPattern
	// Queue gets them, as EventBridge's JSON. What cannot be delivered to it goes
	// to its dead-letter queue, in the same form.
	Queue *IngestQueue
	// Description of the rule. Nil: none.
	Description *string
	// MaxEventAge is for how long delivery is tried, at most 24 hours. Nil: 24 hours.
	MaxEventAge awscdk.Duration
}

// QueueRule sends the events of a bus that match a pattern to a queue. A target
// without a dead-letter queue drops what it cannot deliver and tells nobody: this one
// has that of its queue.
type QueueRule struct {
	constructs.Construct
	rule awsevents.Rule
}

// NewQueueRule makes a QueueRule in the stack of the queue, which may be another one
// than that of the bus.
func NewQueueRule(scope constructs.Construct, id *string, props *QueueRuleProps) *QueueRule {
	p := *props
	p.MaxEventAge = orDuration(p.MaxEventAge, awscdk.Duration_Hours(jsii.Number(24)))
	if p.Pattern == nil {
		refuse(scope, id, "Pattern", "nil", "say which events the queue gets")
	}
	requireRange(scope, id, "MaxEventAge", jsii.Number(seconds(p.MaxEventAge)), 60, 24*60*60)

	r := &QueueRule{}
	constructs.NewConstruct_Override(r, scope, id)
	var bus awsevents.IEventBus
	if p.Bus != nil {
		bus = p.Bus.bus
	}
	r.rule = awsevents.NewRule(r, jsii.String("Default"), &awsevents.RuleProps{
		Description:  p.Description,
		EventBus:     bus,
		EventPattern: p.Pattern,
		Targets: &[]awsevents.IRuleTarget{awseventstargets.NewSqsQueue(p.Queue.queue, &awseventstargets.SqsQueueProps{
			DeadLetterQueue: p.Queue.deadLetters,
			MaxEventAge:     p.MaxEventAge,
		})},
	})
	return r
}

// Rule gives the rule itself.
func (r *QueueRule) Rule() awsevents.Rule { return r.rule }
