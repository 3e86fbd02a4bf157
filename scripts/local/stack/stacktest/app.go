// Package stacktest makes small assemblies to test the local runtime with.
package stacktest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Build compiles the function of every assembly, once for a test binary. Call it
// from TestMain, and remove what it returns at the end.
func Build() (dir string, err error) {
	_, here, _, ok := runtime.Caller(0)
	if !ok {
		return "", fmt.Errorf("find the recorder's source")
	}
	if dir, err = os.MkdirTemp("", "stacktest-"); err != nil {
		return "", fmt.Errorf("make room for the recorder: %w", err)
	}
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "bootstrap"), "./testdata/recorder")
	build.Dir = filepath.Dir(here)
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the recorder: %w\n%s", err, out)
	}
	return dir, nil
}

// App is an assembly for tests: a bucket that tells a queue, a queue and a
// table's stream that are mapped to functions, a rule, and an API behind a user
// pool with a trigger. Every function is the recorder.
type App struct {
	Dir    string // of the assembly
	Record string // the file in which its functions note their events
}

// New writes the assembly. Its functions run the binary that Build made in recorder.
func New(t *testing.T, recorder string) App {
	t.Helper()
	a := App{Dir: t.TempDir(), Record: filepath.Join(t.TempDir(), "record.jsonl")}
	if err := os.Symlink(recorder, filepath.Join(a.Dir, "asset.recorder")); err != nil {
		t.Fatal(err)
	}
	a.write(t, "manifest.json", `{"artifacts":{
		"App.assets":{"type":"cdk:asset-manifest","properties":{"file":"App.assets.json"}},
		"App":{"type":"aws:cloudformation:stack","environment":"aws://unknown-account/eu-west-1","dependencies":["App.assets"],"properties":{"templateFile":"App.template.json"}}}}`)
	a.write(t, "App.assets.json", `{"files":{
		"recorder":{"source":{"path":"asset.recorder"},"destinations":{"d":{"objectKey":"recorder.zip"}}},
		"broken":{"source":{"path":"asset.broken"},"destinations":{"d":{"objectKey":"broken.zip"}}}}}`)
	a.Write(t, a.Resources())
	return a
}

// Write replaces the template by one with these resources.
func (a App) Write(t *testing.T, resources map[string]any) {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"Resources": resources})
	if err != nil {
		t.Fatal(err)
	}
	a.write(t, "App.template.json", string(raw))
}

func (a App) write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(a.Dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Object is a JSON object.
type Object = map[string]any

// Ref names a resource.
func Ref(id string) Object { return Object{"Ref": id} }

// GetAtt names a resource's attribute.
func GetAtt(id, name string) Object { return Object{"Fn::GetAtt": []string{id, name}} }

// Resource declares a resource.
func Resource(typ string, properties Object) Object {
	return Object{"Type": typ, "Properties": properties}
}

// Statements are a policy document.
func Statements(statements ...Object) Object {
	return Object{"Version": "2012-10-17", "Statement": statements}
}

// permission lets a service invoke a function for a source.
func permission(function, service string, source Object) Object {
	return Resource("AWS::Lambda::Permission", Object{"Action": "lambda:InvokeFunction", "FunctionName": GetAtt(function, "Arn"), "Principal": service, "SourceArn": source})
}

// hostArchitecture makes the runtime run an asset as it is.
func hostArchitecture() string {
	return map[string]string{"amd64": "x86_64", "arm64": "arm64"}[runtime.GOARCH]
}

// Function declares a recorder that gives a kind of answer: "event", "http" or "".
func (a App) Function(answer string) Object {
	return Resource("AWS::Lambda::Function", Object{
		"Code": Object{"S3Bucket": "assets", "S3Key": "recorder.zip"}, "Handler": "bootstrap", "Runtime": "provided.al2023",
		"Architectures": []string{hostArchitecture()}, "Role": GetAtt("Role", "Arn"), "Timeout": 10,
		"Environment": Object{"Variables": Object{"RECORD": a.Record, "ANSWER": answer, "QUEUE_URL": Ref("Queue")}},
	})
}

// Resources are what the template declares.
func (a App) Resources() map[string]any {
	key := func(name, typ string) Object { return Object{"AttributeName": name, "KeyType": typ} }
	str := func(name string) Object { return Object{"AttributeName": name, "AttributeType": "S"} }
	return map[string]any{
		"Role": Resource("AWS::IAM::Role", Object{"AssumeRolePolicyDocument": Object{"Version": "2012-10-17", "Statement": []Object{
			{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": Object{"Service": "lambda.amazonaws.com"}}}}}),
		"RolePolicy": Resource("AWS::IAM::Policy", Object{"PolicyName": "Own", "Roles": []Object{Ref("Role")}, "PolicyDocument": Statements(
			Object{"Effect": "Allow", "Action": []string{"sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}, "Resource": GetAtt("Queue", "Arn")},
			Object{"Effect": "Allow", "Resource": GetAtt("Table", "StreamArn"),
				"Action": []string{"dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams"}})}),
		"BucketMaySend": Resource("AWS::SQS::QueuePolicy", Object{"Queues": []Object{Ref("Queue")}, "PolicyDocument": Statements(
			Object{"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": GetAtt("Queue", "Arn"), "Principal": Object{"Service": "s3.amazonaws.com"},
				"Condition": Object{"ArnLike": Object{"aws:SourceArn": GetAtt("Bucket", "Arn")}}})}),
		"RuleMaySend": Resource("AWS::SQS::QueuePolicy", Object{"Queues": []Object{Ref("Dead")}, "PolicyDocument": Statements(
			Object{"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": GetAtt("Dead", "Arn"), "Principal": Object{"Service": "events.amazonaws.com"},
				"Condition": Object{"ArnEquals": Object{"aws:SourceArn": GetAtt("Rule", "Arn")}}})}),
		"RuleMayInvoke": permission("Recorder", "events.amazonaws.com", GetAtt("Rule", "Arn")),
		"ApiMayInvoke":  permission("Web", "apigateway.amazonaws.com", Object{"Fn::Sub": "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/*/*/*"}),
		"PoolMayInvoke": permission("Trigger", "cognito-idp.amazonaws.com", GetAtt("Pool", "Arn")),
		"Queue":         Resource("AWS::SQS::Queue", Object{"RedrivePolicy": Object{"deadLetterTargetArn": GetAtt("Dead", "Arn"), "maxReceiveCount": 3}}),
		"Dead":          Resource("AWS::SQS::Queue", Object{}),
		"Bucket": Resource("AWS::S3::Bucket", Object{"VersioningConfiguration": Object{"Status": "Enabled"},
			"NotificationConfiguration": Object{"QueueConfigurations": []Object{{"Event": "s3:ObjectCreated:*", "Queue": GetAtt("Queue", "Arn")}}}}),
		"Table": Resource("AWS::DynamoDB::GlobalTable", Object{
			"AttributeDefinitions": []Object{str("pk")}, "KeySchema": []Object{key("pk", "HASH")}, "BillingMode": "PAY_PER_REQUEST",
			"StreamSpecification": Object{"StreamViewType": "NEW_AND_OLD_IMAGES"}, "Replicas": []Object{{"Region": "eu-west-1"}}}),
		"Bus": Resource("AWS::Events::EventBus", Object{"Name": "events"}),
		"Rule": Resource("AWS::Events::Rule", Object{"EventBusName": Ref("Bus"), "EventPattern": Object{"source": []string{"test"}}, "State": "ENABLED",
			"Targets": []Object{{"Id": "T", "Arn": GetAtt("Recorder", "Arn"), "DeadLetterConfig": Object{"Arn": GetAtt("Dead", "Arn")}}}}),
		"Recorder":  a.Function(""),
		"Web":       a.Function("http"),
		"Trigger":   a.Function("event"),
		"FromQueue": Resource("AWS::Lambda::EventSourceMapping", Object{"EventSourceArn": GetAtt("Queue", "Arn"), "FunctionName": Ref("Recorder")}),
		"FromStream": Resource("AWS::Lambda::EventSourceMapping", Object{"EventSourceArn": GetAtt("Table", "StreamArn"), "FunctionName": Ref("Recorder"),
			"StartingPosition": "TRIM_HORIZON", "MaximumRetryAttempts": 1}),
		"Api": Resource("AWS::ApiGatewayV2::Api", Object{"Name": "Api", "ProtocolType": "HTTP"}),
		"Integration": Resource("AWS::ApiGatewayV2::Integration", Object{"ApiId": Ref("Api"), "IntegrationType": "AWS_PROXY",
			"IntegrationUri": GetAtt("Web", "Arn"), "PayloadFormatVersion": "2.0"}),
		"Authorizer": Resource("AWS::ApiGatewayV2::Authorizer", Object{"ApiId": Ref("Api"), "AuthorizerType": "JWT", "Name": "jwt",
			"IdentitySource":   []string{"$request.header.Authorization"},
			"JwtConfiguration": Object{"Audience": []Object{Ref("Client")}, "Issuer": GetAtt("Pool", "ProviderURL")}}),
		"Route": Resource("AWS::ApiGatewayV2::Route", Object{"ApiId": Ref("Api"), "RouteKey": "ANY /{proxy+}", "AuthorizationType": "JWT",
			"AuthorizerId": Ref("Authorizer"), "Target": Object{"Fn::Join": []any{"/", []any{"integrations", Ref("Integration")}}}}),
		"Stage": Resource("AWS::ApiGatewayV2::Stage", Object{"ApiId": Ref("Api"), "StageName": "$default", "AutoDeploy": true}),
		"Pool": Resource("AWS::Cognito::UserPool", Object{"LambdaConfig": Object{
			"PreTokenGenerationConfig": Object{"LambdaArn": GetAtt("Trigger", "Arn"), "LambdaVersion": "V2_0"}}}),
		"Client":  Resource("AWS::Cognito::UserPoolClient", Object{"UserPoolId": Ref("Pool")}),
		"Secret":  Resource("AWS::SecretsManager::Secret", Object{"GenerateSecretString": Object{"PasswordLength": 40}}),
		"AnAlarm": Resource("AWS::CloudWatch::Alarm", Object{"Threshold": 1}),
	}
}

// Await waits until the recorder has noted an event that contains text.
func (a App) Await(t *testing.T, text string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	for {
		raw, err := os.ReadFile(a.Record)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(raw)) {
			if strings.Contains(line, text) {
				return line
			}
		}
		select {
		case <-ctx.Done():
			t.Fatalf("no event with %q arrived; there are:\n%s", text, raw)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
