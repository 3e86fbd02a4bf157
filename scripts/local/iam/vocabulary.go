package iam

import (
	"fmt"
	"slices"
	"strings"
)

// checkKey refuses a condition key that no service has.
func checkKey(key string) error {
	prefix, name, ok := strings.Cut(key, ":")
	if !ok {
		return fmt.Errorf("the condition key %q has no service before a colon", key)
	}
	known, ok := conditionKeys(strings.ToLower(prefix))
	if !ok {
		return fmt.Errorf("the condition key %q is of a service whose keys are not known here", key)
	}
	for _, k := range known {
		if strings.HasSuffix(k, "/") || strings.HasSuffix(k, ":") { // a family: the name of a tag follows
			if len(name) > len(k) && strings.EqualFold(name[:len(k)], k) {
				return nil
			}
			continue
		}
		if strings.EqualFold(name, k) {
			return nil
		}
	}
	return fmt.Errorf("the condition key %q is not known", key)
}

// conditionKeys are those of a service, or the global ones, from the Service Authorization Reference and
// "AWS global condition context keys". A name that ends in / or : is a family of keys.
func conditionKeys(prefix string) ([]string, bool) {
	switch prefix {
	case "aws":
		return strings.Fields(globalKeys), true
	case "s3":
		return strings.Fields(s3Keys), true
	case "dynamodb":
		return strings.Fields(dynamoDBKeys), true
	case "kms":
		return strings.Fields(kmsKeys), true
	case "sts":
		return strings.Fields(stsKeys), true
	case "secretsmanager":
		return strings.Fields(secretsKeys), true
	case "events":
		return strings.Fields("creatorAccount detail-type detail.eventTypeCode detail.service detail.userIdentity.principalId eventBusInvocation ManagedBy source TargetArn"), true
	case "lambda":
		return strings.Fields("CodeSigningConfigArn EventSourceToken FunctionArn FunctionUrlAuthType InvokedViaFunctionUrl Layer Principal SecurityGroupIds SourceFunctionArn SubnetIds VpcIds"), true
	case "sns":
		return strings.Fields("Endpoint Protocol"), true
	case "iam":
		return strings.Fields("AssociatedResourceArn AWSServiceName FIDO-certification FIDO-FIPS-140-2-certification FIDO-FIPS-140-3-certification OrganizationsPolicyId PassedToService PermissionsBoundary PolicyARN RegisterSecurityKey ResourceTag/"), true
	case "cloudwatch":
		return strings.Fields("AlarmActions namespace requestInsightRuleLogGroups requestManagedResourceARNs"), true
	case "elasticfilesystem":
		return strings.Fields("AccessedViaMountTarget AccessPointArn CreateAction Encrypted"), true
	case "cognito-identity.amazonaws.com":
		return strings.Fields("amr aud sub"), true
	case "logs":
		return strings.Fields("DeliveryDestinationResourceArn DestinationArn LogGeneratingResourceArns"), true
	case "scheduler":
		return nil, true
	}
	return nil, false
}

const globalKeys = `AssumedRoot CalledVia CalledViaFirst CalledViaLast ChatbotSourceArn CurrentTime
	Ec2InstanceSourcePrivateIPv4 Ec2InstanceSourceVpc EpochTime FederatedProvider IsMcpServiceAction MultiFactorAuthAge
	MultiFactorAuthPresent PrincipalAccount PrincipalArn PrincipalIsAWSService PrincipalOrgID PrincipalOrgPaths
	PrincipalServiceName PrincipalServiceNamesList PrincipalTag/ PrincipalType referer RequestedRegion RequestTag/
	ResourceAccount ResourceOrgID ResourceOrgPaths ResourceTag/ SecureTransport SignInSessionArn SourceAccount SourceArn
	SourceIdentity SourceIp SourceOrgID SourceOrgPaths SourceOwner SourceVpc SourceVpcArn SourceVpce TagKeys TokenIssueTime
	UserAgent userid username ViaAWSService ViaAWSMCPService VpceAccount VpceMultiRegion VpceOrgID VpceOrgPaths VpcSourceIp`

const s3Keys = `AccessGrantsInstanceArn AccessPointNetworkOrigin AccessPointTag/ authType BucketTag/ DataAccessPointAccount
	DataAccessPointArn delimiter ExistingJobOperation ExistingJobPriority ExistingObjectTag/ if-match if-none-match
	InventoryAccessibleOptionalFields JobSuspendedCause JobTag/ LocationConstraint max-keys object-lock-legal-hold
	object-lock-mode object-lock-remaining-retention-days object-lock-retain-until-date ObjectCreationOperation prefix
	RequestJobOperation RequestJobPriority RequestObjectTag/ RequestObjectTagKeys ResourceAccount signatureAge signatureversion
	TlsVersion versionid x-amz-acl x-amz-content-sha256 x-amz-copy-source x-amz-grant-full-control x-amz-grant-read
	x-amz-grant-read-acp x-amz-grant-write x-amz-grant-write-acp x-amz-metadata-directive x-amz-object-ownership
	x-amz-server-side-encryption x-amz-server-side-encryption-aws-kms-key-id
	x-amz-server-side-encryption-customer-algorithm x-amz-storage-class x-amz-website-redirect-location`

const dynamoDBKeys = `Attributes EnclosingOperation FirstPartitionKeyValues FourthPartitionKeyValues FullTableScan LeadingKeys
	ReturnConsumedCapacity ReturnValues SecondPartitionKeyValues Select ThirdPartitionKeyValues`

const kmsKeys = `BypassPolicyLockoutSafetyCheck CallerAccount CustomerMasterKeySpec CustomerMasterKeyUsage DataKeyPairSpec
	EncryptionAlgorithm EncryptionContext: EncryptionContextKeys ExpirationModel GranteePrincipal GrantConstraintType
	GrantIsForAWSResource GrantOperations KeyAgreementAlgorithm KeyOrigin KeySpec KeyUsage MacAlgorithm MessageType
	MultiRegion MultiRegionKeyType PrimaryRegion RecipientAttestation: ReEncryptOnSameKey ReplicaRegion RequestAlias
	ResourceAliases RetiringPrincipal RotationPeriodInDays ScheduleKeyDeletionPendingWindowInDays SigningAlgorithm ValidTo
	ViaService WrappingAlgorithm WrappingKeySpec`

const stsKeys = `AssumeRoleArn AWSServiceName DurationSeconds ExternalId IdentityTokenAudience RequestContext/ RequestContextProviders RoleSessionName
	SigningAlgorithm SourceIdentity TaskPolicyArn TransitiveTagKeys`

const secretsKeys = `AddReplicaRegions BlockPublicPolicy Description ExternalSecretRotationRoleArn ForceDeleteWithoutRecovery
	ForceOverwriteReplicaSecret KmsKeyArn KmsKeyId ModifyRotationRules Name RecoveryWindowInDays resource/AllowRotationLambdaArn
	ResourceTag/ RotateImmediately RotationLambdaARN SecretId SecretPrimaryRegion Type VersionId VersionStage`

// checkAction refuses an action that matches none of its service: a typo that would grant, or deny,
// nothing.
func checkAction(source string) error {
	if source == "*" {
		return nil
	}
	service, name, ok := strings.Cut(source, ":")
	if !ok || service == "" || name == "" {
		return fmt.Errorf("the action %q is not <service>:<action>", source)
	}
	if strings.ContainsAny(service, "*?") {
		return fmt.Errorf("the action %q has a wildcard in its service", source)
	}
	known, checked := actions(strings.ToLower(service))
	if !checked {
		if slices.Contains(strings.Fields(otherServices), strings.ToLower(service)) {
			return nil
		}
		return fmt.Errorf("the action %q is of a service that is not known here", source)
	}
	p, err := compile(strings.ToLower(name), syntax{wildcards: true})
	if err != nil {
		return fmt.Errorf("the action %w", err)
	}
	for _, k := range known {
		if p.match(strings.ToLower(k)) {
			return nil
		}
	}
	return fmt.Errorf("the action %q matches none of %s's", source, service)
}

// otherServices are known by their prefix alone: their calls are not served here, so that what is
// granted of them decides nothing.
const otherServices = `acm apigateway application-autoscaling athena autoscaling backup bedrock cloudformation cloudfront
	cloudtrail cloudwatch cognito-identity cognito-idp config ec2 ecr ecs elasticfilesystem elasticloadbalancing execute-api
	firehose fis glue guardduty iam kinesis lakeformation logs neptune-db organizations pipes ram rds rds-data rds-db
	redshift redshift-data redshift-serverless resource-groups route53 s3tables scheduler schemas securityhub servicediscovery
	ses sns ssm ssmmessages states synthetics tag wafv2 xray`

// actions are those of a service whose calls are served here.
func actions(service string) ([]string, bool) {
	switch service {
	case "s3":
		return strings.Fields(s3Actions), true
	case "dynamodb":
		return strings.Fields(dynamoDBActions), true
	case "sqs":
		return strings.Fields(sqsActions), true
	case "events":
		return strings.Fields(eventsActions), true
	case "sts":
		return strings.Fields(stsActions), true
	case "secretsmanager":
		return strings.Fields(secretsActions), true
	case "kms":
		return strings.Fields(kmsActions), true
	case "lambda":
		return strings.Fields(lambdaActions), true
	}
	return nil, false
}
