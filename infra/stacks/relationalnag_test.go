package stacks

// relationalFindings are those of the Relational stack that stay, and why.
func relationalFindings(stage Stage) []accepted {
	const (
		interfaces = "X-Ray's actions know no resource but *; those of EC2 are what Lambda makes and removes a function's network interfaces with, which have no ARN before they exist: https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html"
		keys       = "Objects are named when they are uploaded; the grant ends at the prefix under which all of them lie."
		dead       = "Dead letters are named when they are written; the grant ends at the prefix of this kind of dead letter."
	)
	findings := []accepted{
		{
			"/Relational/Network/Default/Resource", "AwsSolutions-VPC7", "",
			"No packet can leave or enter the network but through the gateway endpoints, whose policies name what lies behind them, and by security groups that name each other; a flow log would cost by the gigabyte and tell of the database's own clients alone.",
		},
		{"/Relational/DbMigrate/Role/DefaultPolicy/Resource", "AwsSolutions-IAM5", `^Resource::\*$`, interfaces},
		{"/Relational/LedgerProjector/Role/DefaultPolicy/Resource", "AwsSolutions-IAM5", `^Resource::\*$`, interfaces},
		{"/Relational/LedgerProjector/Role/DefaultPolicy/Resource", "AwsSolutions-IAM5", `^Resource::.*Content.*/c/\*$`, keys},
		{"/Relational/LedgerProjector/Role/DefaultPolicy/Resource", "AwsSolutions-IAM5", `^Resource::.*DeadLetters.*/dead/\*$`, dead},
		{"/Relational/LedgerApi/Role/DefaultPolicy/Resource", "AwsSolutions-IAM5", `^Resource::\*$`, interfaces},
		{"/Relational/LedgerCheck/Role/DefaultPolicy/Resource", "AwsSolutions-IAM5", `^Resource::\*$`, interfaces},
	}
	if stage == Dev {
		findings = append(findings, accepted{
			"/Relational/Database/Resource", "AwsSolutions-RDS10", "",
			"Development is thrown away with its stack; production is protected.",
		})
	}
	return findings
}
