package template

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/assembly"
)

// Topic is an SNS topic.
type Topic struct {
	Origin
	Name, ARN     string
	Policies      []json.RawMessage
	Subscriptions []Subscription
}

// Subscription delivers a topic's messages.
type Subscription struct {
	ARN, Protocol, Endpoint string
	RawDelivery             bool
	FilterPolicy            json.RawMessage
}

// Bus is an event bus beside the default one.
type Bus struct {
	Origin
	Name, ARN string
}

// Rule sends the events of a bus, or a schedule's ticks, to targets.
type Rule struct {
	Origin
	Name, ARN string
	Bus       string // name or ARN; empty: the default bus
	Pattern   json.RawMessage
	Schedule  string
	Enabled   bool
	Targets   []Target
}

// Target is where a rule or a schedule delivers.
type Target struct {
	ID, ARN, RoleARN string
	Input, InputPath string
	Transformer      *InputTransformer
	DeadLetterARN    string
	MaxRetries       *int          // nil: 185
	MaxAge           time.Duration // zero: 24 hours
	MessageGroupID   string
}

// InputTransformer builds a target's input from parts of the event.
type InputTransformer struct {
	Paths    map[string]string
	Template string
}

// Archive keeps a bus's events for replay.
type Archive struct {
	Origin
	Name, ARN, BusARN string
	Pattern           json.RawMessage
	Retention         time.Duration // zero: for ever
}

// Schedule is an EventBridge Scheduler schedule.
type Schedule struct {
	Origin
	Name, ARN  string
	Expression string
	TimeZone   string
	Enabled    bool
	Target     Target
}

func decodeTopic(d *decoder, r assembly.Resource) error {
	_, err := properties[struct {
		DisplayName, TopicName NoLocalEffect // the name is the resource's
		KmsMasterKeyID         NoLocalEffect // nothing is encrypted locally
		Tags, TracingConfig    NoLocalEffect // topics are not matched by tag, nor traced
	}](r)
	if err != nil {
		return err
	}
	d.model.Topics = append(d.model.Topics, &Topic{Origin: origin(r), Name: r.Attributes["TopicName"], ARN: r.Ref})
	return nil
}

func (d *decoder) topic(arn string) (*Topic, error) {
	for _, t := range d.model.Topics {
		if t.ARN == arn {
			return t, nil
		}
	}
	return nil, fmt.Errorf("no stack declares the topic %s", arn)
}

func decodeTopicPolicy(d *decoder, r assembly.Resource) error {
	p, err := properties[struct {
		PolicyDocument document
		Topics         []string
	}](r)
	if err != nil {
		return err
	}
	d.later(r, func() error {
		for _, arn := range p.Topics {
			t, err := d.topic(arn)
			if err != nil {
				return err
			}
			t.Policies = append(t.Policies, p.PolicyDocument.raw())
		}
		return nil
	})
	return nil
}

func decodeSubscription(d *decoder, r assembly.Resource) error {
	p, err := properties[struct {
		Endpoint, Protocol, TopicArn string
		FilterPolicy                 document
		RawMessageDelivery           boolean
	}](r)
	if err != nil {
		return err
	}
	d.later(r, func() error {
		t, err := d.topic(p.TopicArn)
		if err != nil {
			return err
		}
		t.Subscriptions = append(t.Subscriptions, Subscription{ARN: r.Ref, Protocol: p.Protocol, Endpoint: p.Endpoint,
			RawDelivery: bool(p.RawMessageDelivery), FilterPolicy: p.FilterPolicy.raw()})
		return nil
	})
	return nil
}

func decodeBus(d *decoder, r assembly.Resource) error {
	_, err := properties[struct {
		Description, Tags NoLocalEffect // for people
		KmsKeyIdentifier  NoLocalEffect // nothing is encrypted locally
		LogConfig         NoLocalEffect // every event goes to the events file
		Name              string
	}](r)
	if err != nil {
		return err
	}
	d.model.Buses = append(d.model.Buses, Bus{Origin: origin(r), Name: r.Ref, ARN: r.Attributes["Arn"]})
	return nil
}

type deadLetterConfig struct{ Arn string }

type retryPolicy struct {
	MaximumEventAgeInSeconds *integer
	MaximumRetryAttempts     *integer
}

type ruleTarget struct {
	Arn, ID, Input, InputPath, RoleArn string
	DeadLetterConfig                   deadLetterConfig
	InputTransformer                   *struct {
		InputPathsMap map[string]string
		InputTemplate string
	}
	RetryPolicy   retryPolicy
	SqsParameters struct{ MessageGroupID string }
}

func (t ruleTarget) model() Target {
	out := Target{
		ID: t.ID, ARN: t.Arn, RoleARN: t.RoleArn, Input: t.Input, InputPath: t.InputPath, DeadLetterARN: t.DeadLetterConfig.Arn,
		MaxRetries: optional(t.RetryPolicy.MaximumRetryAttempts), MaxAge: seconds(t.RetryPolicy.MaximumEventAgeInSeconds, 0),
		MessageGroupID: t.SqsParameters.MessageGroupID,
	}
	if it := t.InputTransformer; it != nil {
		out.Transformer = &InputTransformer{Paths: it.InputPathsMap, Template: it.InputTemplate}
	}
	return out
}

func decodeRule(d *decoder, r assembly.Resource) error {
	p, err := properties[struct {
		Description, Tags  NoLocalEffect // for people
		EventBusName, Name string
		EventPattern       document
		RoleArn            string
		ScheduleExpression string
		State              string
		Targets            []ruleTarget
	}](r)
	if err != nil {
		return err
	}
	if p.State != "" {
		if err := oneOf("State", p.State, "ENABLED", "DISABLED"); err != nil {
			return err
		}
	}
	name := r.Ref[strings.LastIndex(r.Ref, "|")+1:]
	rule := Rule{Origin: origin(r), Name: name, ARN: r.Attributes["Arn"], Bus: p.EventBusName, Pattern: p.EventPattern.raw(),
		Schedule: p.ScheduleExpression, Enabled: p.State != "DISABLED"}
	for _, t := range p.Targets {
		rule.Targets = append(rule.Targets, t.model())
	}
	d.model.Rules = append(d.model.Rules, rule)
	return nil
}

func decodeArchive(d *decoder, r assembly.Resource) error {
	p, err := properties[struct {
		ArchiveName      string
		Description      NoLocalEffect // for people
		EventPattern     document
		KmsKeyIdentifier NoLocalEffect // nothing is encrypted locally
		RetentionDays    *integer
		SourceArn        string
	}](r)
	if err != nil {
		return err
	}
	d.model.Archives = append(d.model.Archives, Archive{Origin: origin(r), Name: r.Ref, ARN: r.Attributes["Arn"], BusARN: p.SourceArn,
		Pattern: p.EventPattern.raw(), Retention: time.Duration(number(p.RetentionDays, 0)) * day})
	return nil
}

// decodeMalwareProtection takes a plan for what it is here: nothing scans, so that nothing
// is ever said on the default bus, unless somebody puts the events there.
func decodeMalwareProtection(d *decoder, r assembly.Resource) error {
	p, err := properties[struct {
		Actions           struct{ Tagging struct{ Status string } }
		ProtectedResource struct {
			S3Bucket struct {
				BucketName     string
				ObjectPrefixes []string
			}
		}
		Role string
		Tags NoLocalEffect // plans are not matched by tag
	}](r)
	if err != nil {
		return err
	}
	if err := oneOf("Actions.Tagging.Status", p.Actions.Tagging.Status, "DISABLED"); err != nil {
		return err
	}
	d.model.Inert = append(d.model.Inert, Inert{Type: r.Type, Name: r.Name, ConstructPath: r.ConstructPath,
		Reason: "GuardDuty has no engine here: what is uploaded stays in quarantine until an event with its scan result is put on the default bus"})
	return nil
}

func decodeScheduleGroup(_ *decoder, r assembly.Resource) error {
	_, err := properties[struct {
		Name string
		Tags NoLocalEffect // groups are not matched by tag
	}](r)
	return err
}

func decodeSchedule(d *decoder, r assembly.Resource) error {
	p, err := properties[struct {
		Description        NoLocalEffect // for people
		FlexibleTimeWindow NoLocalEffect // schedules run on time here, which is within any window
		GroupName          NoLocalEffect // groups matter to policies only, which see the ARN
		KmsKeyArn          NoLocalEffect // nothing is encrypted locally
		Name               string

		ScheduleExpression, ScheduleExpressionTimezone, State string
		Target                                                ruleTarget
	}](r)
	if err != nil {
		return err
	}
	d.model.Schedules = append(d.model.Schedules, Schedule{Origin: origin(r), Name: r.Ref, ARN: r.Attributes["Arn"],
		Expression: p.ScheduleExpression, TimeZone: p.ScheduleExpressionTimezone, Enabled: p.State != "DISABLED", Target: p.Target.model()})
	return nil
}
