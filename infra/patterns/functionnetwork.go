package patterns

import (
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/jsii-runtime-go"
)

// NetworkActions are what Lambda asks a function's role for when the function is put
// into a network: it makes and removes the network interfaces with it.
// https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html
func NetworkActions() []string {
	return []string{
		"ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets",
		"ec2:DeleteNetworkInterface", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses",
	}
}

// join puts the function into a network, with a security group of its own.
func (f *Function) join(network *IsolatedNetwork, props *awslambda.FunctionProps) {
	if network == nil {
		return
	}
	f.group = network.securityGroup(f, "SecurityGroup", "A function")
	// Nothing else can be reached at this port: there is no route but to the gateway
	// endpoints, whose policies name what lies behind them.
	f.group.AddEgressRule(awsec2.Peer_AnyIpv4(), awsec2.Port_Tcp(jsii.Number(443)), jsii.String("S3 and DynamoDB, through their gateway endpoints"), nil)
	f.role.AddToPrincipalPolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Actions:   jsii.Strings(NetworkActions()...),
		Resources: jsii.Strings("*"),
	}))
	props.Vpc = network.vpc
	props.VpcSubnets = &awsec2.SubnetSelection{SubnetType: awsec2.SubnetType_PRIVATE_ISOLATED}
	props.SecurityGroups = &[]awsec2.ISecurityGroup{f.group}
}
