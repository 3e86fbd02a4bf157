package patterns

import (
	"strconv"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awseventstargets"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// ScheduledFunctionProps configures a ScheduledFunction. Function, Input and one of Every
// and Daily are required.
type ScheduledFunctionProps struct {
	// Function that is invoked.
	Function *Function
	// Every is the time from one invocation to the next, at least a minute.
	Every awscdk.Duration
	// Daily is the hour, by UTC from 0 to 23, at which it is invoked once a day, in the
	// place of Every.
	Daily *float64
	// Input is the event that the function is given.
	Input map[string]string
	// Description says what is done each time. Nil: none.
	Description *string
}

// ScheduledFunction invokes a function again and again with the same event. An invocation
// that cannot be delivered before the next one is due is dropped, and needs no dead-letter
// queue: the next one does its work, which is why what runs on a schedule must go on where
// the last run stopped.
type ScheduledFunction struct {
	constructs.Construct
	rule awsevents.Rule
}

// NewScheduledFunction makes a ScheduledFunction.
func NewScheduledFunction(scope constructs.Construct, id *string, props *ScheduledFunctionProps) *ScheduledFunction {
	p := *props
	if (p.Every == nil) == (p.Daily == nil) {
		refuse(scope, id, "Every", "set together with Daily, or neither is", "give one of them")
	}
	schedule, age := daily(p.Daily), p.Every
	if p.Every != nil {
		requireRange(scope, id, "Every", jsii.Number(seconds(p.Every)), 60, 24*60*60)
		schedule = awsevents.Schedule_Rate(p.Every)
	} else {
		requireRange(scope, id, "Daily", p.Daily, 0, 23)
		age = awscdk.Duration_Hours(jsii.Number(23))
	}
	s := &ScheduledFunction{}
	constructs.NewConstruct_Override(s, scope, id)
	s.rule = awsevents.NewRule(s, jsii.String("Default"), &awsevents.RuleProps{
		Description: p.Description,
		Schedule:    schedule,
		Targets: &[]awsevents.IRuleTarget{awseventstargets.NewLambdaFunction(p.Function.Function(), &awseventstargets.LambdaFunctionProps{
			Event:         awsevents.RuleTargetInput_FromObject(p.Input),
			MaxEventAge:   age,
			RetryAttempts: jsii.Number(2),
		})},
	})
	return s
}

// daily is once a day at an hour; nil without one.
func daily(hour *float64) awsevents.Schedule {
	if hour == nil {
		return nil
	}
	return awsevents.Schedule_Cron(&awsevents.CronOptions{Minute: jsii.String("0"), Hour: jsii.String(strconv.Itoa(int(*hour)))})
}

// Rule gives the rule itself.
func (s *ScheduledFunction) Rule() awsevents.Rule { return s.rule }
