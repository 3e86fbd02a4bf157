package patterns_test

import (
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"

	"github.com/stowage-dev/stowage/infra/patterns"
)

func TestDatabasesThatCannotWorkAreRefused(t *testing.T) {
	stack := newStack()
	network := patterns.NewIsolatedNetwork(stack, jsii.String("Network"), &patterns.IsolatedNetworkProps{})
	name := jsii.String("books")
	asleep := patterns.NewDatabase(stack, jsii.String("Asleep"), &patterns.DatabaseProps{Network: network, Name: name, MinCapacity: jsii.Number(0)})
	outside := patterns.NewFunction(stack, jsii.String("Outside"), &patterns.FunctionProps{CodeDir: codeDir(t)})
	for what, tt := range map[string]struct {
		build func()
		field string
	}{
		"no network":         {func() { patterns.NewDatabase(stack, jsii.String("A"), &patterns.DatabaseProps{Name: name}) }, "Network"},
		"no name":            {func() { patterns.NewDatabase(stack, jsii.String("B"), &patterns.DatabaseProps{Network: network}) }, "Name"},
		"a third of an ACU":  {func() { database(stack, "C", network, jsii.Number(0.3), nil) }, "MinCapacity"},
		"too much":           {func() { database(stack, "D", network, nil, jsii.Number(256.5)) }, "MaxCapacity"},
		"too little":         {func() { database(stack, "E", network, nil, jsii.Number(0.5)) }, "MaxCapacity"},
		"more than the most": {func() { database(stack, "F", network, jsii.Number(5), nil) }, "MinCapacity"},
		"one zone": {func() {
			patterns.NewIsolatedNetwork(stack, jsii.String("G"), &patterns.IsolatedNetworkProps{Zones: jsii.Number(1)})
		}, "Zones"},
		"a proxy of a sleeper": {func() {
			patterns.NewDatabaseProxy(stack, jsii.String("H"), &patterns.DatabaseProxyProps{Database: asleep})
		}, "Database"},
		"a client outside": {func() { asleep.GrantConnect(outside, "reader") }, "function"},
	} {
		if refused := refusal(t, tt.build); refused == nil || refused.Field != tt.field {
			t.Errorf("%s: %v", what, refused)
		}
	}
}

func database(stack awscdk.Stack, id string, network *patterns.IsolatedNetwork, least, most *float64) {
	patterns.NewDatabase(stack, jsii.String(id), &patterns.DatabaseProps{Network: network, Name: jsii.String("books"), MinCapacity: least, MaxCapacity: most})
}

// A table that is not named cannot be reached, nor can any bucket but CloudFormation's.
func TestANetworkReachesWhatItNames(t *testing.T) {
	stack := newStack()
	patterns.NewIsolatedNetwork(stack, jsii.String("Network"), &patterns.IsolatedNetworkProps{})
	for _, endpoint := range properties(t, stack, "AWS::EC2::VPCEndpoint") {
		statements := endpoint["PolicyDocument"].(map[string]any)["Statement"].([]any)
		only := statements[0].(map[string]any)
		if len(statements) != 1 || only["Effect"] != "Deny" && only["Resource"] != "arn:aws:s3:::cloudformation-custom-resource-response-euwest1/*" {
			t.Errorf("endpoint lets through %v", statements)
		}
	}
	if nats := properties(t, stack, "AWS::EC2::NatGateway"); len(nats) > 0 {
		t.Error("a NAT gateway costs by the hour")
	}
}

func TestDailyIsAtItsHour(t *testing.T) {
	stack := newStack()
	f := patterns.NewFunction(stack, jsii.String("Function"), &patterns.FunctionProps{CodeDir: codeDir(t)})
	patterns.NewScheduledFunction(stack, jsii.String("Nightly"), &patterns.ScheduledFunctionProps{Function: f, Daily: jsii.Number(23)})
	if rule := properties(t, stack, "AWS::Events::Rule")[0]; rule["ScheduleExpression"] != "cron(0 23 * * ? *)" {
		t.Errorf("schedule = %v", rule["ScheduleExpression"])
	}
	for _, p := range []patterns.ScheduledFunctionProps{{Function: f}, {Function: f, Daily: jsii.Number(1), Every: awscdk.Duration_Hours(jsii.Number(1))}, {Function: f, Daily: jsii.Number(24)}} {
		if refused := refusal(t, func() { patterns.NewScheduledFunction(stack, jsii.String("Never"), &p) }); refused == nil {
			t.Errorf("%+v is taken", p)
		}
	}
}
