package patterns

import (
	"fmt"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// PropsError says that a construct was given something that it cannot work
// with. Constructs panic with it, as the CDK's own constructs throw.
type PropsError struct {
	// Construct is the path of the construct in the app's tree.
	Construct string
	// Field is the name of the field of the props.
	Field string
	// Value is what the field held, printed.
	Value string
	// Remedy says what to set instead.
	Remedy string
}

// Error says where, what and what to do, in one line.
func (e *PropsError) Error() string {
	return fmt.Sprintf("construct %s: %s is %s: %s", e.Construct, e.Field, e.Value, e.Remedy)
}

// refuse panics with the PropsError for field of the construct id in scope.
func refuse(scope constructs.Construct, id *string, field string, value any, remedy string) {
	path := *id
	if parent := *scope.Node().Path(); parent != "" {
		path = parent + "/" + path
	}
	panic(&PropsError{Construct: path, Field: field, Value: fmt.Sprintf("%v", value), Remedy: remedy})
}

// requireRange refuses a value outside [low, high].
func requireRange(scope constructs.Construct, id *string, field string, value *float64, low, high float64) {
	if *value < low || *value > high {
		refuse(scope, id, field, *value, fmt.Sprintf("set it from %v to %v", low, high))
	}
}

// orDefault gives what value points to, or fallback when it is nil.
func orDefault[T any](value *T, fallback T) *T {
	if value == nil {
		return &fallback
	}
	return value
}

// orDuration gives value, or fallback when it is nil.
func orDuration(value, fallback awscdk.Duration) awscdk.Duration {
	if value == nil {
		return fallback
	}
	return value
}

// orRetain gives policy, or RETAIN when it is empty: what holds state stays.
func orRetain(policy awscdk.RemovalPolicy) awscdk.RemovalPolicy {
	if policy == "" {
		return awscdk.RemovalPolicy_RETAIN
	}
	return policy
}

// seconds gives a duration in whole seconds.
func seconds(d awscdk.Duration) float64 {
	return *d.ToSeconds(nil)
}

// viaService is the condition that a key is used through one service of the
// stack's region alone, so that a grant on a key cannot be used by itself.
func viaService(scope constructs.Construct, service string) *map[string]*map[string]interface{} {
	return &map[string]*map[string]interface{}{
		"StringEquals": {
			"kms:ViaService": awscdk.Fn_Join(jsii.String("."), &[]*string{
				jsii.String(service), awscdk.Stack_Of(scope).Region(), awscdk.Aws_URL_SUFFIX(),
			}),
		},
	}
}
