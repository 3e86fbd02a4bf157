package patterns

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// EventBusProps configures an EventBus. Source is required.
type EventBusProps struct {
	// Source is the source of the events that are archived.
	Source *string
	// ArchiveRetention is how long an event can be replayed. Nil: 365 days.
	ArchiveRetention awscdk.Duration
	// Description of the bus. Nil: none.
	Description *string
	// RemovalPolicy of the bus and its archive. Empty: RETAIN.
	RemovalPolicy awscdk.RemovalPolicy
}

// EventBus is a bus with an archive from which its events can be replayed.
type EventBus struct {
	constructs.Construct
	bus     awsevents.EventBus
	archive awsevents.Archive
}

// NewEventBus makes an EventBus.
func NewEventBus(scope constructs.Construct, id *string, props *EventBusProps) *EventBus {
	p := *props
	p.RemovalPolicy = orRetain(p.RemovalPolicy)
	p.ArchiveRetention = orDuration(p.ArchiveRetention, awscdk.Duration_Days(jsii.Number(365)))
	if p.Source == nil || *p.Source == "" {
		refuse(scope, id, "Source", "empty", "name the source of the events to archive")
	}
	b := &EventBus{}
	constructs.NewConstruct_Override(b, scope, id)
	b.bus = awsevents.NewEventBus(b, jsii.String("Default"), &awsevents.EventBusProps{Description: p.Description})
	b.bus.ApplyRemovalPolicy(p.RemovalPolicy)
	b.archive = awsevents.NewArchive(b, jsii.String("Archive"), &awsevents.ArchiveProps{
		Description:    jsii.String("Every event of the bus, to be replayed"),
		EventPattern:   &awsevents.EventPattern{Source: &[]*string{p.Source}},
		Retention:      p.ArchiveRetention,
		SourceEventBus: b.bus,
	})
	b.archive.ApplyRemovalPolicy(p.RemovalPolicy)
	return b
}

// Bus gives the bus itself, to which rules are added.
func (b *EventBus) Bus() awsevents.EventBus { return b.bus }

// Archive gives the archive of the bus.
func (b *EventBus) Archive() awsevents.Archive { return b.archive }

// GrantPutEvents allows the grantee to put events on the bus.
func (b *EventBus) GrantPutEvents(grantee awsiam.IGrantable) awsiam.Grant {
	return awsiam.Grant_AddToPrincipal(&awsiam.GrantOnPrincipalOptions{
		Actions:      jsii.Strings("events:PutEvents"),
		Grantee:      grantee,
		ResourceArns: &[]*string{b.bus.EventBusArn()},
	})
}
