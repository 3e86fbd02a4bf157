package patterns

import (
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsdynamodb"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// IsolatedNetworkProps configures an IsolatedNetwork. Every field may be left nil.
type IsolatedNetworkProps struct {
	// Buckets whose objects can be reached. Nil: none.
	Buckets *[]awss3.IBucket
	// Tables that can be reached. Nil: none.
	Tables *[]awsdynamodb.ITableV2
	// CIDR of the network. Nil: 10.42.0.0/16.
	CIDR *string
	// Zones is over how many availability zones it is spread, 2 or 3. Nil: 2, the least
	// that Aurora takes.
	Zones *float64
}

// IsolatedNetwork is a network without a way to or from the internet, and without
// anything that costs by the hour: isolated subnets, and the gateway endpoints of S3 and
// DynamoDB, which are free. What stands in it reaches those buckets and tables, each
// other where a security group lets them, and nothing else: neither the AWS APIs nor
// Secrets Manager, KMS, SQS or EventBridge.
//
// The endpoint of S3 also lets CloudFormation's response buckets be written, so that a
// custom resource can stand in the network.
type IsolatedNetwork struct {
	constructs.Construct
	vpc awsec2.Vpc
}

// NewIsolatedNetwork makes an IsolatedNetwork. The stack must name its region, by which
// CloudFormation's buckets are called.
func NewIsolatedNetwork(scope constructs.Construct, id *string, props *IsolatedNetworkProps) *IsolatedNetwork {
	p := *props
	p.CIDR = orDefault(p.CIDR, "10.42.0.0/16")
	p.Zones = orDefault(p.Zones, 2)
	requireRange(scope, id, "Zones", p.Zones, 2, 3)
	if *awscdk.Token_IsUnresolved(awscdk.Stack_Of(scope).Region()) {
		refuse(scope, id, "scope", "a stack without a region", "give its stack an Env with a Region")
	}

	n := &IsolatedNetwork{}
	constructs.NewConstruct_Override(n, scope, id)
	n.vpc = awsec2.NewVpc(n, jsii.String("Default"), &awsec2.VpcProps{
		IpAddresses: awsec2.IpAddresses_Cidr(p.CIDR),
		MaxAzs:      p.Zones,
		NatGateways: jsii.Number(0),
		// It would bring a function with it; nothing is ever put into the default group.
		RestrictDefaultSecurityGroup: jsii.Bool(false),
		SubnetConfiguration: &[]*awsec2.SubnetConfiguration{{
			Name: jsii.String("Isolated"), SubnetType: awsec2.SubnetType_PRIVATE_ISOLATED, CidrMask: jsii.Number(22),
		}},
	})
	endpoint := func(name string, service awsec2.GatewayVpcEndpointAwsService, statements []awsiam.PolicyStatement) {
		e := n.vpc.AddGatewayEndpoint(jsii.String(name), &awsec2.GatewayVpcEndpointOptions{Service: service})
		for _, statement := range statements {
			e.AddToPolicy(statement)
		}
	}
	endpoint("S3", awsec2.GatewayVpcEndpointAwsService_S3(), n.bucketStatements(p))
	endpoint("DynamoDB", awsec2.GatewayVpcEndpointAwsService_DYNAMODB(), n.tableStatements(p))
	return n
}

// throughEndpoint lets principals of this account use an endpoint for resources; what
// each of them may do its own role says.
func (n *IsolatedNetwork) throughEndpoint(sid string, actions, resources []*string) awsiam.PolicyStatement {
	return awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Sid:        jsii.String(sid),
		Principals: &[]awsiam.IPrincipal{awsiam.NewAnyPrincipal()},
		Actions:    &actions,
		Resources:  &resources,
		Conditions: &map[string]interface{}{
			"StringEquals": map[string]interface{}{"aws:PrincipalAccount": awscdk.Stack_Of(n).Account()},
		},
	})
}

func (n *IsolatedNetwork) bucketStatements(p IsolatedNetworkProps) []awsiam.PolicyStatement {
	var statements []awsiam.PolicyStatement
	if p.Buckets != nil && len(*p.Buckets) > 0 {
		var objects []*string
		for _, b := range *p.Buckets {
			objects = append(objects, b.ArnForObjects(jsii.String("*")))
		}
		statements = append(statements, n.throughEndpoint("OwnObjects", *jsii.Strings("s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"), objects))
	}
	// CloudFormation signs the URL, not this account.
	// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/vpc-interface-endpoints.html
	region := strings.ReplaceAll(*awscdk.Stack_Of(n).Region(), "-", "")
	return append(statements, awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Sid:        jsii.String("CustomResourceAnswers"),
		Principals: &[]awsiam.IPrincipal{awsiam.NewAnyPrincipal()},
		Actions:    jsii.Strings("s3:PutObject"),
		Resources:  jsii.Strings("arn:aws:s3:::cloudformation-custom-resource-response-" + region + "/*"),
	}))
}

func (n *IsolatedNetwork) tableStatements(p IsolatedNetworkProps) []awsiam.PolicyStatement {
	if p.Tables == nil || len(*p.Tables) == 0 {
		return []awsiam.PolicyStatement{awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
			Sid: jsii.String("Nothing"), Effect: awsiam.Effect_DENY, Principals: &[]awsiam.IPrincipal{awsiam.NewAnyPrincipal()},
			Actions: jsii.Strings("dynamodb:*"), Resources: jsii.Strings("*"),
		})}
	}
	var tables []*string
	for _, table := range *p.Tables {
		tables = append(tables, table.TableArn(), jsii.String(*table.TableArn()+"/index/*"))
	}
	return []awsiam.PolicyStatement{n.throughEndpoint("OwnTables", *jsii.Strings("dynamodb:*"), tables)}
}

// VPC gives the network itself.
func (n *IsolatedNetwork) VPC() awsec2.Vpc { return n.vpc }

// securityGroup makes a group whose members get no connections and make none, until
// they are let.
func (n *IsolatedNetwork) securityGroup(scope constructs.Construct, id, description string) awsec2.SecurityGroup {
	return awsec2.NewSecurityGroup(scope, jsii.String(id), &awsec2.SecurityGroupProps{
		AllowAllOutbound: jsii.Bool(false),
		Description:      jsii.String(description),
		Vpc:              n.vpc,
	})
}
