package patterns

import (
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/jsii-runtime-go"
)

// The words of the quarantine. A version can be read once it carries the tag
// VerdictTag with the value VerdictAvailable. Principals whose role carries
// the tag QuarantineRoleTag stand above that: a reader may read any version,
// a writer may also set and remove tags.
//
// Roles are matched by tag and never by ARN: the bucket's policy would
// otherwise name roles of other stacks, which name the bucket.
const (
	VerdictTag        = "stowage"
	VerdictAvailable  = "available"
	VerdictRejected   = "rejected"
	QuarantineRoleTag = "stowage-quarantine"
	QuarantineReader  = "reader"
	QuarantineWriter  = "writer"
)

// quarantineStatements are the statements of the bucket's policy that keep
// unverified versions from being read and verdicts from being forged. They
// deny, so that no grant, present or future, can go around them. A negated
// operator holds when its key is missing: a version without the tag, and a
// principal without the role tag, are denied.
func quarantineStatements(bucket awss3.IBucket) []awsiam.PolicyStatement {
	principalTag := "aws:PrincipalTag/" + QuarantineRoleTag
	objects := &[]*string{bucket.ArnForObjects(jsii.String("*"))}
	deny := func(sid string, actions *[]*string, conditions map[string]interface{}) awsiam.PolicyStatement {
		return awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
			Sid:        jsii.String(sid),
			Effect:     awsiam.Effect_DENY,
			Principals: &[]awsiam.IPrincipal{awsiam.NewAnyPrincipal()},
			Actions:    actions,
			Resources:  objects,
			Conditions: &conditions,
		})
	}
	return []awsiam.PolicyStatement{
		// The two actions by name: s3:GetObject* would also match replication,
		// retention and legal-hold actions, which have no existing object tag.
		deny("DenyReadBeforeVerified", jsii.Strings("s3:GetObject", "s3:GetObjectVersion"),
			map[string]interface{}{"StringNotEquals": map[string]interface{}{
				"s3:ExistingObjectTag/" + VerdictTag: VerdictAvailable,
				principalTag:                         []string{QuarantineReader, QuarantineWriter},
			}}),
		deny("DenyVerdictsByOthers", jsii.Strings(
			"s3:PutObjectTagging", "s3:PutObjectVersionTagging",
			"s3:DeleteObjectTagging", "s3:DeleteObjectVersionTagging"),
			map[string]interface{}{"StringNotEquals": map[string]interface{}{
				principalTag: QuarantineWriter,
			}}),
		deny("DenyPutWithTags", jsii.Strings("s3:PutObject"),
			map[string]interface{}{
				"Null":            map[string]interface{}{"s3:RequestObjectTagKeys": "false"},
				"StringNotEquals": map[string]interface{}{principalTag: QuarantineWriter},
			}),
	}
}
