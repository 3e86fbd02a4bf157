package patterns

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatchactions"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssnssubscriptions"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// AlarmTopicProps configures an AlarmTopic. Every field may be left nil.
type AlarmTopicProps struct {
	// Email is an address that is told of every alarm, once it has confirmed. Nil: none.
	Email *string
	// RemovalPolicy of the topic's key. Empty: RETAIN.
	RemovalPolicy awscdk.RemovalPolicy
}

// AlarmTopic is the topic that alarms are sent to. It is encrypted with a key
// of its own, which CloudWatch may use: a topic under alias/aws/sns would
// receive nothing from an alarm.
type AlarmTopic struct {
	constructs.Construct
	topic awssns.Topic
	key   awskms.Key
}

// NewAlarmTopic makes an AlarmTopic.
func NewAlarmTopic(scope constructs.Construct, id *string, props *AlarmTopicProps) *AlarmTopic {
	p := AlarmTopicProps{}
	if props != nil {
		p = *props
	}
	a := &AlarmTopic{}
	constructs.NewConstruct_Override(a, scope, id)
	a.key = newKey(a, "Encrypts alarms", orRetain(p.RemovalPolicy))
	a.topic = awssns.NewTopic(a, jsii.String("Default"), &awssns.TopicProps{
		EnforceSSL: jsii.Bool(true),
		MasterKey:  a.key,
	})
	cloudWatch := func(sid string, actions, resources *[]*string) awsiam.PolicyStatement {
		return awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
			Sid:        jsii.String(sid),
			Actions:    actions,
			Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(jsii.String("cloudwatch.amazonaws.com"), nil)},
			Resources:  resources,
			Conditions: &map[string]interface{}{
				"StringEquals": map[string]interface{}{"aws:SourceAccount": awscdk.Stack_Of(a).Account()},
			},
		})
	}
	// In a key's policy "*" is the key itself.
	a.key.AddToResourcePolicy(cloudWatch("AlarmsUseKey", jsii.Strings("kms:Decrypt", "kms:GenerateDataKey*"), jsii.Strings("*")), nil)
	a.topic.AddToResourcePolicy(cloudWatch("AlarmsPublish", jsii.Strings("sns:Publish"), &[]*string{a.topic.TopicArn()}))
	if p.Email != nil {
		a.topic.AddSubscription(awssnssubscriptions.NewEmailSubscription(p.Email, nil))
	}
	return a
}

// Topic gives the topic itself.
func (a *AlarmTopic) Topic() awssns.Topic { return a.topic }

// WatchProps says when an alarm goes off. Metric and Description are required.
type WatchProps struct {
	// Metric that is watched, at the period it carries.
	Metric awscloudwatch.IMetric
	// Description says what has happened and where to look first.
	Description *string
	// Threshold that the metric reaches or passes. Nil: 1.
	Threshold *float64
	// Periods in a row for which it must. Nil: 1.
	Periods *float64
}

// Watch makes an alarm in scope that is sent to the topic. No data is no
// alarm: a queue that nobody uses reports nothing.
func (a *AlarmTopic) Watch(scope constructs.Construct, id *string, props *WatchProps) awscloudwatch.Alarm {
	p := *props
	if p.Description == nil || *p.Description == "" {
		refuse(scope, id, "Description", "empty", "say what has happened and where to look first")
	}
	alarm := awscloudwatch.NewAlarm(scope, id, &awscloudwatch.AlarmProps{
		AlarmDescription:   p.Description,
		ComparisonOperator: awscloudwatch.ComparisonOperator_GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
		EvaluationPeriods:  orDefault(p.Periods, 1),
		Metric:             p.Metric,
		Threshold:          orDefault(p.Threshold, 1),
		TreatMissingData:   awscloudwatch.TreatMissingData_NOT_BREACHING,
	})
	alarm.AddAlarmAction(awscloudwatchactions.NewSnsAction(a.topic))
	return alarm
}
