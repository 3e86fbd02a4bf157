package patterns

import (
	"debug/elf"
	"os"
	"path/filepath"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// Bounds that Lambda sets, https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const (
	minMemoryMB      = 128
	maxMemoryMB      = 10240
	maxTimeoutSecond = 900
)

// FunctionProps configures a Function. CodeDir is required.
type FunctionProps struct {
	// CodeDir is the directory that holds the arm64 executable "bootstrap".
	CodeDir *string
	// Description says what the function is for. Nil: none.
	Description *string
	// Environment is what the function is configured by. Nil: nothing.
	Environment *map[string]*string
	// MemorySize in MB, from 128 to 10240; it buys CPU, and 1769 is one vCPU. Nil: 512.
	MemorySize *float64
	// Timeout of one invocation, at most 15 minutes. Nil: 10 seconds.
	Timeout awscdk.Duration
	// RoleTags are set on the execution role, where policies see them as
	// aws:PrincipalTag. Nil: none.
	RoleTags *map[string]*string
	// LogRetention is how long logs are kept. Empty: one month.
	LogRetention awslogs.RetentionDays
	// Network that the function stands in. Nil: none, so that it reaches the internet and
	// nothing that has no public address.
	Network *IsolatedNetwork
	// RemovalPolicy of the log group. Empty: RETAIN.
	RemovalPolicy awscdk.RemovalPolicy
}

// Function is a Lambda function written in Go: arm64 on provided.al2023,
// traced by X-Ray, with a log group of its own and a role that allows writing
// to that log group and to X-Ray and nothing else until it is granted more.
type Function struct {
	constructs.Construct
	function awslambda.Function
	role     awsiam.Role
	logs     awslogs.LogGroup
	group    awsec2.SecurityGroup // nil outside of networks
}

// NewFunction makes a Function from an executable that is already built. It
// panics with a *PropsError when there is none, or one for another machine.
func NewFunction(scope constructs.Construct, id *string, props *FunctionProps) *Function {
	p := *props
	p.MemorySize = orDefault(p.MemorySize, 512)
	p.Timeout = orDuration(p.Timeout, awscdk.Duration_Seconds(jsii.Number(10)))
	if p.LogRetention == "" {
		p.LogRetention = awslogs.RetentionDays_ONE_MONTH
	}
	requireRange(scope, id, "MemorySize", p.MemorySize, minMemoryMB, maxMemoryMB)
	requireRange(scope, id, "Timeout", jsii.Number(seconds(p.Timeout)), 1, maxTimeoutSecond)
	requireBootstrap(scope, id, p.CodeDir)

	f := &Function{}
	constructs.NewConstruct_Override(f, scope, id)
	f.logs = awslogs.NewLogGroup(f, jsii.String("Logs"), &awslogs.LogGroupProps{
		Retention:     p.LogRetention,
		RemovalPolicy: orRetain(p.RemovalPolicy),
	})
	f.role = awsiam.NewRole(f, jsii.String("Role"), &awsiam.RoleProps{
		AssumedBy:   awsiam.NewServicePrincipal(jsii.String("lambda.amazonaws.com"), nil),
		Description: p.Description,
	})
	if p.RoleTags != nil {
		for key, value := range *p.RoleTags {
			awscdk.Tags_Of(f.role).Add(jsii.String(key), value, nil)
		}
	}
	f.logs.GrantWrite(f.role)
	all := &awslambda.FunctionProps{
		Architecture: awslambda.Architecture_ARM_64(),
		Code:         awslambda.Code_FromAsset(p.CodeDir, nil),
		Description:  p.Description,
		Environment:  p.Environment,
		Handler:      jsii.String("bootstrap"),
		LogGroup:     f.logs,
		MemorySize:   p.MemorySize,
		Role:         f.role,
		Runtime:      awslambda.Runtime_PROVIDED_AL2023(),
		Timeout:      p.Timeout,
		Tracing:      awslambda.Tracing_ACTIVE,
	}
	f.join(p.Network, all)
	f.function = awslambda.NewFunction(f, jsii.String("Default"), all)
	return f
}

// requireBootstrap refuses a directory without an executable that Lambda can
// run, here rather than by a function that dies at its first invocation.
func requireBootstrap(scope constructs.Construct, id, dir *string) {
	const remedy = `give the directory of an executable "bootstrap" for linux/arm64 (go run ./scripts/build makes dist/<name>)`
	if dir == nil || *dir == "" {
		refuse(scope, id, "CodeDir", "empty", remedy)
	}
	path := filepath.Join(*dir, "bootstrap")
	if _, err := os.Stat(path); err != nil {
		refuse(scope, id, "CodeDir", *dir+", which has no bootstrap", remedy)
	}
	binary, err := elf.Open(path)
	if err != nil {
		return // a script is a valid bootstrap too
	}
	machine := binary.Machine
	_ = binary.Close()
	if machine != elf.EM_AARCH64 {
		refuse(scope, id, "CodeDir", *dir+", whose bootstrap is for "+machine.String(), remedy)
	}
}

// Function gives the Lambda function, to be passed to other constructs.
func (f *Function) Function() awslambda.Function { return f.function }

// Role gives the execution role, to be passed as a grantee.
func (f *Function) Role() awsiam.Role { return f.role }

// LogGroup gives the function's log group.
func (f *Function) LogGroup() awslogs.LogGroup { return f.logs }

// SetEnvironment sets one more variable of the function's environment.
func (f *Function) SetEnvironment(name string, value *string) {
	f.function.AddEnvironment(jsii.String(name), value, nil)
}

// MetricErrors counts invocations that failed, over 5 minutes.
func (f *Function) MetricErrors() awscloudwatch.Metric { return f.function.MetricErrors(nil) }

// MetricThrottles counts invocations that were refused for want of concurrency, over 5 minutes.
func (f *Function) MetricThrottles() awscloudwatch.Metric { return f.function.MetricThrottles(nil) }

// MetricDuration is the duration of invocations at the given statistic, such as "p99".
func (f *Function) MetricDuration(statistic string) awscloudwatch.Metric {
	return f.function.MetricDuration(&awscloudwatch.MetricOptions{Statistic: jsii.String(statistic)})
}

// MetricIteratorAge is the age, in milliseconds, of the last record of each
// batch read from a stream, the greatest over a minute.
func (f *Function) MetricIteratorAge() awscloudwatch.Metric {
	return f.function.Metric(jsii.String("IteratorAge"), &awscloudwatch.MetricOptions{
		Statistic: jsii.String("Maximum"),
		Period:    awscdk.Duration_Minutes(jsii.Number(1)),
	})
}
