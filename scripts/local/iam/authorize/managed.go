package authorize

// ManagedPolicy gives those of AWS's own policies that templates attach to functions' roles
// (https://docs.aws.amazon.com/aws-managed-policy/latest/reference/about-managed-policy-reference.html).
func ManagedPolicy(arn string) (Document, bool) {
	text, ok := managedText(arn)
	return Document{Name: arn, JSON: []byte(text)}, ok
}

func managedText(arn string) (string, bool) {
	const (
		logs  = `"logs:CreateLogGroup","logs:CreateLogStream","logs:PutLogEvents"`
		ec2   = `"ec2:CreateNetworkInterface","ec2:DescribeNetworkInterfaces","ec2:DescribeSubnets","ec2:DeleteNetworkInterface","ec2:AssignPrivateIpAddresses","ec2:UnassignPrivateIpAddresses"`
		begin = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":[`
		end   = `],"Resource":"*"}]}`
	)
	switch arn {
	case "arn:aws:iam::aws:policy/AdministratorAccess":
		return begin + `"*"` + end, true
	case "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole":
		return begin + logs + end, true
	case "arn:aws:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole":
		return begin + logs + "," + ec2 + end, true
	case "arn:aws:iam::aws:policy/service-role/AWSLambdaSQSQueueExecutionRole":
		return begin + logs + `,"sqs:ReceiveMessage","sqs:DeleteMessage","sqs:GetQueueAttributes"` + end, true
	case "arn:aws:iam::aws:policy/service-role/AWSLambdaDynamoDBExecutionRole":
		return begin + logs + `,"dynamodb:DescribeStream","dynamodb:GetRecords","dynamodb:GetShardIterator","dynamodb:ListStreams"` + end, true
	case "arn:aws:iam::aws:policy/AWSXRayDaemonWriteAccess", "arn:aws:iam::aws:policy/AWSXrayWriteOnlyAccess":
		return begin + `"xray:PutTraceSegments","xray:PutTelemetryRecords","xray:GetSamplingRules","xray:GetSamplingTargets","xray:GetSamplingStatisticSummaries"` + end, true
	case "arn:aws:iam::aws:policy/CloudWatchLambdaInsightsExecutionRolePolicy":
		return begin + logs + end, true
	case "arn:aws:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs":
		return begin + logs + `,"logs:DescribeLogGroups","logs:DescribeLogStreams","logs:GetLogEvents","logs:FilterLogEvents"` + end, true
	}
	return "", false
}
