package patterns

import (
	"fmt"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/jsii-runtime-go"
)

// ExplainUnused writes down, where a role is granted actions on a resource, why nothing
// uses them when the stacks run locally: what only AWS does, or what is granted with a
// view to something. The reason travels in the template as metadata of the role, and
// scripts/privileges, which fails on a grant that nobody uses, takes it for an answer;
// it fails on a reason for what is used, too.
func ExplainUnused(role awsiam.Role, resource *string, reason string, actions ...string) {
	resourceOf, ok := role.Node().DefaultChild().(awsiam.CfnRole)
	if !ok || len(actions) == 0 || reason == "" {
		refuse(role, jsii.String("ExplainUnused"), "reason", reason, "give a role of the stack, a reason and the actions that it is for")
	}
	key := func(n int) *string { return jsii.String(fmt.Sprintf("UnusedGrant%d", n)) }
	n := 1
	for resourceOf.GetMetadata(key(n)) != nil {
		n++
	}
	resourceOf.AddMetadata(key(n), map[string]any{"Actions": jsii.Strings(actions...), "Resource": resource, "Reason": reason})
}
