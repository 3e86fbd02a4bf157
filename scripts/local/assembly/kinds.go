package assembly

import "strings"

const typeAPI = "AWS::ApiGatewayV2::Api"

// kind says what the resources of one type are called and what Ref and
// Fn::GetAtt give for them, as the CloudFormation reference documents it for
// each type. A type without a kind is unknown.
type kind struct {
	nameProperty string   // the property that sets the physical name, if any
	needs        []string // further properties that the values are made of
	maxName      int      // length limit of a generated name; 0: 128
	lower        bool     // generated names are lower case
	// endpoints are attributes that say where a database is reached; the port comes along.
	endpoints []string
	values    func(identity) (ref string, attributes map[string]string)
}

// attrs keeps the table below readable.
type attrs = map[string]string

// kinds is the table of all resource types that are known here.
func kinds() map[string]kind {
	all := map[string]kind{}
	for _, group := range []map[string]kind{storageKinds(), computeKinds(), accessKinds(), eventKinds(), apiKinds(), userKinds(), observabilityKinds(), customKinds(), networkKinds(), databaseKinds()} {
		for name, k := range group {
			all[name] = k
		}
	}
	return all
}

func storageKinds() map[string]kind {
	return map[string]kind{
		"AWS::S3::Bucket": {nameProperty: "BucketName", maxName: 63, lower: true, values: func(i identity) (string, attrs) {
			return i.name, attrs{
				"Arn":                 "arn:aws:s3:::" + i.name,
				"DomainName":          i.name + ".s3.amazonaws.com",
				"RegionalDomainName":  i.name + ".s3." + i.region + ".amazonaws.com",
				"DualStackDomainName": i.name + ".s3.dualstack." + i.region + ".amazonaws.com",
			}
		}},
		"AWS::S3::BucketPolicy": {values: byName},
		"AWS::DynamoDB::GlobalTable": {nameProperty: "TableName", values: func(i identity) (string, attrs) {
			arn := i.arn("dynamodb", "table/"+i.name)
			return i.name, attrs{"Arn": arn, "TableId": i.uuid("table"), "StreamArn": arn + "/stream/2026-01-01T00:00:00.000"}
		}},
		"AWS::SecretsManager::Secret": {nameProperty: "Name", values: func(i identity) (string, attrs) {
			arn := i.arn("secretsmanager", "secret:"+i.name+"-"+i.token("secret", 6, alphanumeric))
			return arn, attrs{"Id": arn}
		}},
		"AWS::SecretsManager::RotationSchedule": {needs: []string{"SecretId"}, values: func(i identity) (string, attrs) { return i.properties["SecretId"], nil }},
		"AWS::SecretsManager::ResourcePolicy":   {needs: []string{"SecretId"}, values: func(i identity) (string, attrs) { return i.properties["SecretId"], nil }},
		"AWS::SSM::Parameter": {nameProperty: "Name", needs: []string{"Type", "Value"}, values: func(i identity) (string, attrs) {
			return i.name, attrs{"Type": i.properties["Type"], "Value": i.properties["Value"]}
		}},
	}
}

func computeKinds() map[string]kind {
	return map[string]kind{
		"AWS::Lambda::Function": {nameProperty: "FunctionName", maxName: 64, values: func(i identity) (string, attrs) {
			return i.name, attrs{"Arn": i.arn("lambda", "function:"+i.name)}
		}},
		"AWS::Lambda::EventSourceMapping": {values: func(i identity) (string, attrs) {
			id := i.uuid("mapping")
			return id, attrs{"Id": id, "EventSourceMappingArn": i.arn("lambda", "event-source-mapping:"+id)}
		}},
		"AWS::Lambda::Permission":        {values: func(i identity) (string, attrs) { return i.name, attrs{"Id": i.name} }},
		"AWS::Lambda::EventInvokeConfig": {values: byName},
	}
}

func accessKinds() map[string]kind {
	return map[string]kind{
		"AWS::IAM::Role": {nameProperty: "RoleName", needs: []string{"Path"}, maxName: 64, values: func(i identity) (string, attrs) {
			return i.name, attrs{
				"Arn":    i.globalARN("iam", "role"+orSlash(i.properties["Path"])+i.name),
				"RoleId": "AROA" + strings.ToUpper(i.token("role", 17, lowerAlphanumeric)),
			}
		}},
		"AWS::IAM::Policy": {nameProperty: "PolicyName", values: func(i identity) (string, attrs) { return i.name, attrs{"Id": i.name} }},
		"AWS::IAM::ManagedPolicy": {nameProperty: "ManagedPolicyName", needs: []string{"Path"}, values: func(i identity) (string, attrs) {
			arn := i.globalARN("iam", "policy"+orSlash(i.properties["Path"])+i.name)
			return arn, attrs{"PolicyArn": arn}
		}},
		"AWS::KMS::Key": {values: func(i identity) (string, attrs) {
			id := i.uuid("key")
			return id, attrs{"Arn": i.arn("kms", "key/"+id), "KeyId": id}
		}},
		"AWS::KMS::Alias": {nameProperty: "AliasName", values: byName},
	}
}

func eventKinds() map[string]kind {
	return map[string]kind{
		"AWS::SQS::Queue": {nameProperty: "QueueName", needs: []string{"FifoQueue"}, maxName: 75, values: func(i identity) (string, attrs) {
			if i.properties["FifoQueue"] == "true" && !strings.HasSuffix(i.name, ".fifo") {
				i.name += ".fifo"
			}
			url := i.gateway + "/" + i.account + "/" + i.name
			return url, attrs{"Arn": i.arn("sqs", i.name), "QueueName": i.name, "QueueUrl": url}
		}},
		"AWS::SQS::QueuePolicy": {values: func(i identity) (string, attrs) { return i.name, attrs{"Id": i.name} }},
		"AWS::SNS::Topic": {nameProperty: "TopicName", values: func(i identity) (string, attrs) {
			arn := i.arn("sns", i.name)
			return arn, attrs{"TopicArn": arn, "TopicName": i.name}
		}},
		"AWS::SNS::TopicPolicy": {values: func(i identity) (string, attrs) { return i.name, attrs{"Id": i.name} }},
		"AWS::SNS::Subscription": {needs: []string{"TopicArn"}, values: func(i identity) (string, attrs) {
			arn := i.properties["TopicArn"] + ":" + i.uuid("subscription")
			return arn, attrs{"Arn": arn}
		}},
		"AWS::Events::EventBus": {nameProperty: "Name", values: func(i identity) (string, attrs) {
			return i.name, attrs{"Arn": i.arn("events", "event-bus/"+i.name), "Name": i.name}
		}},
		"AWS::Events::Rule": {nameProperty: "Name", needs: []string{"EventBusName"}, maxName: 64, values: ruleValues},
		"AWS::Events::Archive": {nameProperty: "ArchiveName", maxName: 48, values: func(i identity) (string, attrs) {
			return i.name, attrs{"Arn": i.arn("events", "archive/"+i.name), "ArchiveName": i.name}
		}},
		"AWS::GuardDuty::MalwareProtectionPlan": {values: func(i identity) (string, attrs) {
			id := i.token("plan", 20, lowerAlphanumeric)
			return id, attrs{"Arn": i.arn("guardduty", "malware-protection-plan/"+id), "MalwareProtectionPlanId": id, "Status": "ACTIVE", "CreatedAt": "2026-01-01T00:00:00.000Z"}
		}},
		"AWS::Scheduler::ScheduleGroup": {nameProperty: "Name", maxName: 64, values: func(i identity) (string, attrs) {
			return i.name, attrs{"Arn": i.arn("scheduler", "schedule-group/"+i.name), "State": "ACTIVE"}
		}},
		"AWS::Scheduler::Schedule": {nameProperty: "Name", needs: []string{"GroupName"}, maxName: 64, values: func(i identity) (string, attrs) {
			group := i.properties["GroupName"]
			if group == "" {
				group = "default"
			}
			return i.name, attrs{"Arn": i.arn("scheduler", "schedule/"+group+"/"+i.name)}
		}},
	}
}

// ruleValues follows the reference: on a custom bus Ref is `bus|rule`, and the
// ARN names the bus too. EventBusName may be a name or an ARN.
func ruleValues(i identity) (string, attrs) {
	bus := i.properties["EventBusName"]
	if _, name, ok := strings.Cut(bus, ":event-bus/"); ok {
		bus = name
	}
	if bus == "" || bus == "default" {
		return i.name, attrs{"Arn": i.arn("events", "rule/"+i.name)}
	}
	return bus + "|" + i.name, attrs{"Arn": i.arn("events", "rule/"+bus+"/"+i.name)}
}

func apiKinds() map[string]kind {
	return map[string]kind{
		typeAPI: {nameProperty: "Name", values: func(i identity) (string, attrs) {
			id := i.token("api", 10, lowerAlphanumeric)
			return id, attrs{"ApiEndpoint": i.endpoint, "ApiId": id}
		}},
		"AWS::ApiGatewayV2::Integration": {values: func(i identity) (string, attrs) {
			id := i.token("integration", 7, lowerAlphanumeric)
			return id, attrs{"IntegrationId": id}
		}},
		"AWS::ApiGatewayV2::Route": {values: func(i identity) (string, attrs) {
			id := i.token("route", 7, lowerAlphanumeric)
			return id, attrs{"RouteId": id}
		}},
		"AWS::ApiGatewayV2::Authorizer": {values: func(i identity) (string, attrs) {
			id := i.token("authorizer", 6, lowerAlphanumeric)
			return id, attrs{"AuthorizerId": id}
		}},
		"AWS::ApiGatewayV2::Stage": {nameProperty: "StageName", values: byName},
	}
}

func userKinds() map[string]kind {
	return map[string]kind{
		"AWS::Cognito::UserPool": {nameProperty: "UserPoolName", values: func(i identity) (string, attrs) {
			id := i.region + "_" + i.token("pool", 9, alphanumeric)
			provider := "cognito-idp." + i.region + ".amazonaws.com/" + id
			return id, attrs{"Arn": i.arn("cognito-idp", "userpool/"+id), "ProviderName": provider, "ProviderURL": "https://" + provider, "UserPoolId": id}
		}},
		"AWS::Cognito::UserPoolClient": {nameProperty: "ClientName", values: func(i identity) (string, attrs) {
			id := i.token("client", 26, lowerAlphanumeric)
			return id, attrs{"ClientId": id, "Name": i.name}
		}},
		"AWS::Cognito::UserPoolResourceServer": {nameProperty: "Identifier", values: byName},
		"AWS::Cognito::UserPoolGroup":          {nameProperty: "GroupName", values: byName},
		"AWS::Cognito::UserPoolDomain":         {nameProperty: "Domain", values: byName},
	}
}

func observabilityKinds() map[string]kind {
	alarm := kind{nameProperty: "AlarmName", values: func(i identity) (string, attrs) {
		return i.name, attrs{"Arn": i.arn("cloudwatch", "alarm:"+i.name)}
	}}
	return map[string]kind{
		"AWS::CloudWatch::Alarm":          alarm,
		"AWS::CloudWatch::CompositeAlarm": alarm,
		"AWS::CloudWatch::Dashboard":      {nameProperty: "DashboardName", values: byName},
		"AWS::Logs::LogGroup": {nameProperty: "LogGroupName", values: func(i identity) (string, attrs) {
			return i.name, attrs{"Arn": i.arn("logs", "log-group:"+i.name+":*")}
		}},
		"AWS::Logs::MetricFilter":    {nameProperty: "FilterName", values: byName},
		"AWS::Logs::ResourcePolicy":  {nameProperty: "PolicyName", values: byName},
		"AWS::Logs::QueryDefinition": {values: func(i identity) (string, attrs) { id := i.uuid("query"); return id, attrs{"QueryDefinitionId": id} }},
	}
}

func customKinds() map[string]kind {
	return map[string]kind{
		"AWS::CDK::Metadata":            {values: byName},
		"Custom::S3BucketNotifications": {values: byName},
		"Custom::S3AutoDeleteObjects":   {values: byName},
	}
}

func byName(i identity) (string, attrs) { return i.name, nil }

// orSlash is an IAM path, which is "/" when nothing else was said.
func orSlash(path string) string {
	if path == "" {
		return "/"
	}
	return path
}
