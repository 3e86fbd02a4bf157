package stack_test

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

	"github.com/stowage-dev/stowage/scripts/local/engines/s3"
	"github.com/stowage-dev/stowage/scripts/local/stack"
)

// recorderDir holds testdata/recorder, compiled for this machine.
var recorderDir string

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == s3.Command {
		os.Exit(s3.Main(os.Args, os.Stdin))
	}
	dir, err := os.MkdirTemp("", "stack-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "bootstrap"), "./testdata/recorder")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the recorder: %v\n%s", err, out)
		os.Exit(1)
	}
	recorderDir = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// app is an assembly for tests: a bucket that tells a queue, a queue and a
// table's stream that are mapped to functions, a rule, and an API behind a user
// pool with a trigger. Every function is the recorder.
type app struct {
	dir    string
	record string
}

func newApp(t *testing.T) app {
	t.Helper()
	a := app{dir: t.TempDir(), record: filepath.Join(t.TempDir(), "record.jsonl")}
	if err := os.Symlink(recorderDir, filepath.Join(a.dir, "asset.recorder")); err != nil {
		t.Fatal(err)
	}
	a.write(t, "manifest.json", `{"artifacts":{
		"App.assets":{"type":"cdk:asset-manifest","properties":{"file":"App.assets.json"}},
		"App":{"type":"aws:cloudformation:stack","environment":"aws://unknown-account/eu-west-1","dependencies":["App.assets"],"properties":{"templateFile":"App.template.json"}}}}`)
	a.write(t, "App.assets.json", `{"files":{
		"recorder":{"source":{"path":"asset.recorder"},"destinations":{"d":{"objectKey":"recorder.zip"}}},
		"broken":{"source":{"path":"asset.broken"},"destinations":{"d":{"objectKey":"broken.zip"}}}}}`)
	a.resources(t, a.declared())
	return a
}

func (a app) resources(t *testing.T, resources map[string]any) {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"Resources": resources})
	if err != nil {
		t.Fatal(err)
	}
	a.write(t, "App.template.json", string(raw))
}

func (a app) write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(a.dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

type object = map[string]any

func ref(id string) object       { return object{"Ref": id} }
func att(id, name string) object { return object{"Fn::GetAtt": []string{id, name}} }

func resource(typ string, properties object) object {
	return object{"Type": typ, "Properties": properties}
}

// hostArchitecture makes the runtime run an asset as it is.
func hostArchitecture() string {
	return map[string]string{"amd64": "x86_64", "arm64": "arm64"}[runtime.GOARCH]
}

func (a app) function(answer string) object {
	return resource("AWS::Lambda::Function", object{
		"Code": object{"S3Bucket": "assets", "S3Key": "recorder.zip"}, "Handler": "bootstrap", "Runtime": "provided.al2023",
		"Architectures": []string{hostArchitecture()}, "Role": att("Role", "Arn"), "Timeout": 10,
		"Environment": object{"Variables": object{"RECORD": a.record, "ANSWER": answer, "QUEUE_URL": ref("Queue")}},
	})
}

func (a app) declared() map[string]any {
	key := func(name, typ string) object { return object{"AttributeName": name, "KeyType": typ} }
	str := func(name string) object { return object{"AttributeName": name, "AttributeType": "S"} }
	return map[string]any{
		"Role": resource("AWS::IAM::Role", object{"AssumeRolePolicyDocument": object{"Version": "2012-10-17", "Statement": []object{
			{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": object{"Service": "lambda.amazonaws.com"}}}}}),
		"Queue": resource("AWS::SQS::Queue", object{"RedrivePolicy": object{"deadLetterTargetArn": att("Dead", "Arn"), "maxReceiveCount": 3}}),
		"Dead":  resource("AWS::SQS::Queue", object{}),
		"Bucket": resource("AWS::S3::Bucket", object{"VersioningConfiguration": object{"Status": "Enabled"},
			"NotificationConfiguration": object{"QueueConfigurations": []object{{"Event": "s3:ObjectCreated:*", "Queue": att("Queue", "Arn")}}}}),
		"Table": resource("AWS::DynamoDB::GlobalTable", object{
			"AttributeDefinitions": []object{str("pk")}, "KeySchema": []object{key("pk", "HASH")}, "BillingMode": "PAY_PER_REQUEST",
			"StreamSpecification": object{"StreamViewType": "NEW_AND_OLD_IMAGES"}, "Replicas": []object{{"Region": "eu-west-1"}}}),
		"Bus": resource("AWS::Events::EventBus", object{"Name": "events"}),
		"Rule": resource("AWS::Events::Rule", object{"EventBusName": ref("Bus"), "EventPattern": object{"source": []string{"test"}}, "State": "ENABLED",
			"Targets": []object{{"Id": "T", "Arn": att("Recorder", "Arn"), "DeadLetterConfig": object{"Arn": att("Dead", "Arn")}}}}),
		"Recorder":  a.function(""),
		"Web":       a.function("http"),
		"Trigger":   a.function("event"),
		"FromQueue": resource("AWS::Lambda::EventSourceMapping", object{"EventSourceArn": att("Queue", "Arn"), "FunctionName": ref("Recorder")}),
		"FromStream": resource("AWS::Lambda::EventSourceMapping", object{"EventSourceArn": att("Table", "StreamArn"), "FunctionName": ref("Recorder"),
			"StartingPosition": "TRIM_HORIZON", "MaximumRetryAttempts": 1}),
		"Api": resource("AWS::ApiGatewayV2::Api", object{"Name": "Api", "ProtocolType": "HTTP"}),
		"Integration": resource("AWS::ApiGatewayV2::Integration", object{"ApiId": ref("Api"), "IntegrationType": "AWS_PROXY",
			"IntegrationUri": att("Web", "Arn"), "PayloadFormatVersion": "2.0"}),
		"Authorizer": resource("AWS::ApiGatewayV2::Authorizer", object{"ApiId": ref("Api"), "AuthorizerType": "JWT", "Name": "jwt",
			"IdentitySource":   []string{"$request.header.Authorization"},
			"JwtConfiguration": object{"Audience": []object{ref("Client")}, "Issuer": att("Pool", "ProviderURL")}}),
		"Route": resource("AWS::ApiGatewayV2::Route", object{"ApiId": ref("Api"), "RouteKey": "ANY /{proxy+}", "AuthorizationType": "JWT",
			"AuthorizerId": ref("Authorizer"), "Target": object{"Fn::Join": []any{"/", []any{"integrations", ref("Integration")}}}}),
		"Stage": resource("AWS::ApiGatewayV2::Stage", object{"ApiId": ref("Api"), "StageName": "$default", "AutoDeploy": true}),
		"Pool": resource("AWS::Cognito::UserPool", object{"LambdaConfig": object{
			"PreTokenGenerationConfig": object{"LambdaArn": att("Trigger", "Arn"), "LambdaVersion": "V2_0"}}}),
		"Client":  resource("AWS::Cognito::UserPoolClient", object{"UserPoolId": ref("Pool")}),
		"Secret":  resource("AWS::SecretsManager::Secret", object{"GenerateSecretString": object{"PasswordLength": 40}}),
		"AnAlarm": resource("AWS::CloudWatch::Alarm", object{"Threshold": 1}),
	}
}

// config runs the app in a state directory, with any free ports.
func (a app) config(state string) stack.Config {
	return stack.Config{Assembly: a.dir, State: state, Source: a.dir, NodeModules: filepath.Join("..", "..", "..", "node_modules")}
}

func start(t *testing.T, cfg stack.Config) *stack.Stack {
	t.Helper()
	s, err := stack.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// awaitRecord waits until the recorder has noted an event that contains text.
func (a app) awaitRecord(t *testing.T, text string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	for {
		raw, err := os.ReadFile(a.record)
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
