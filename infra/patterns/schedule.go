package patterns

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awseventstargets"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// ScheduledFunctionProps configures a ScheduledFunction. All but Description are required.
type ScheduledFunctionProps struct {
	// Function that is invoked.
	Function *Function
	// Every is the time from one invocation to the next, at least a minute.
	Every awscdk.Duration
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
	every := seconds(p.Every)
	requireRange(scope, id, "Every", &every, 60, 24*60*60)
	s := &ScheduledFunction{}
	constructs.NewConstruct_Override(s, scope, id)
	s.rule = awsevents.NewRule(s, jsii.String("Default"), &awsevents.RuleProps{
		Description: p.Description,
		Schedule:    awsevents.Schedule_Rate(p.Every),
		Targets: &[]awsevents.IRuleTarget{awseventstargets.NewLambdaFunction(p.Function.Function(), &awseventstargets.LambdaFunctionProps{
			Event:         awsevents.RuleTargetInput_FromObject(p.Input),
			MaxEventAge:   p.Every,
			RetryAttempts: jsii.Number(2),
		})},
	})
	return s
}

// Rule gives the rule itself.
func (s *ScheduledFunction) Rule() awsevents.Rule { return s.rule }
