package patterns_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/assertions"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsdynamodb"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/jsii-runtime-go"
	"github.com/google/go-cmp/cmp"

	"github.com/stowage-dev/stowage/infra/patterns"
)

func TestMain(m *testing.M) {
	code := m.Run()
	jsii.Close()
	os.Exit(code)
}

// newStack makes a stack of its own for one test.
func newStack() awscdk.Stack {
	return awscdk.NewStack(awscdk.NewApp(nil), jsii.String("Test"), &awscdk.StackProps{
		Env: &awscdk.Environment{Region: jsii.String("eu-west-1")},
	})
}

// codeDir makes the directory of a function that does nothing.
func codeDir(t *testing.T) *string {
	t.Helper()
	return writeBootstrap(t, []byte("#!/bin/sh\n"))
}

func writeBootstrap(t *testing.T, text []byte) *string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "bootstrap"), text, 0o700); err != nil {
		t.Fatal(err)
	}
	return jsii.String(dir)
}

// properties are those of the resources of a type, in a stack.
func properties(t *testing.T, stack awscdk.Stack, kind string) []map[string]any {
	t.Helper()
	found := *assertions.Template_FromStack(stack, nil).FindResources(jsii.String(kind), nil)
	list := make([]map[string]any, 0, len(found))
	for _, body := range found {
		list = append(list, (*body)["Properties"].(map[string]any))
	}
	return list
}

func stringKey(name string) *awsdynamodb.Attribute {
	return &awsdynamodb.Attribute{Name: jsii.String(name), Type: awsdynamodb.AttributeType_STRING}
}

// refusal runs build and gives what it refuses, nil when it refuses nothing.
func refusal(t *testing.T, build func()) (refused *patterns.PropsError) {
	t.Helper()
	defer func() {
		switch cause := recover().(type) {
		case nil:
		case *patterns.PropsError:
			refused = cause
		default:
			t.Fatalf("panics with %v", cause)
		}
	}()
	build()
	return nil
}

func TestPropsThatCannotWorkAreRefused(t *testing.T) {
	code := codeDir(t)
	minutes := func(n float64) awscdk.Duration { return awscdk.Duration_Minutes(jsii.Number(n)) }
	secs := func(n float64) awscdk.Duration { return awscdk.Duration_Seconds(jsii.Number(n)) }
	function := func(s awscdk.Stack, p patterns.FunctionProps) *patterns.Function {
		return patterns.NewFunction(s, jsii.String("F"), &p)
	}
	queue := func(s awscdk.Stack, p patterns.IngestQueueProps) *patterns.IngestQueue {
		return patterns.NewIngestQueue(s, jsii.String("Q"), &p)
	}
	consume := func(s awscdk.Stack, p patterns.QueueFunctionProps) {
		p.Function = function(s, patterns.FunctionProps{CodeDir: code})
		p.Queue = queue(s, patterns.IngestQueueProps{ConsumerTimeout: secs(10)})
		patterns.NewQueueFunction(s, jsii.String("M"), &p)
	}
	fanout := func(s awscdk.Stack, stream awsdynamodb.StreamViewType, p patterns.StreamFanoutProps) {
		p.Table = patterns.NewCatalogTable(s, jsii.String("T"), &patterns.CatalogTableProps{PartitionKey: stringKey("pk"), Stream: stream})
		p.Function = function(s, patterns.FunctionProps{CodeDir: code})
		p.OnFailure = patterns.NewDeadLetterBucket(s, jsii.String("D"), nil)
		patterns.NewStreamFanout(s, jsii.String("S"), &p)
	}
	images := awsdynamodb.StreamViewType_NEW_AND_OLD_IMAGES
	api := func(s awscdk.Stack, issuer string, audience ...string) {
		patterns.NewHTTPAPI(s, jsii.String("A"), &patterns.HTTPAPIProps{Issuer: jsii.String(issuer), Audience: jsii.Strings(audience...)})
	}
	for _, c := range []struct {
		name  string
		field string // "" when the props are right
		build func(awscdk.Stack)
	}{
		{"memory under the least", "MemorySize", func(s awscdk.Stack) {
			function(s, patterns.FunctionProps{CodeDir: code, MemorySize: jsii.Number(127)})
		}},
		{"least memory", "", func(s awscdk.Stack) { function(s, patterns.FunctionProps{CodeDir: code, MemorySize: jsii.Number(128)}) }},
		{"most memory", "", func(s awscdk.Stack) {
			function(s, patterns.FunctionProps{CodeDir: code, MemorySize: jsii.Number(10240)})
		}},
		{"memory over the most", "MemorySize", func(s awscdk.Stack) {
			function(s, patterns.FunctionProps{CodeDir: code, MemorySize: jsii.Number(10241)})
		}},
		{"longest time-out", "", func(s awscdk.Stack) { function(s, patterns.FunctionProps{CodeDir: code, Timeout: minutes(15)}) }},
		{"time-out too long", "Timeout", func(s awscdk.Stack) { function(s, patterns.FunctionProps{CodeDir: code, Timeout: secs(901)}) }},
		{"no code", "CodeDir", func(s awscdk.Stack) { function(s, patterns.FunctionProps{}) }},
		{"no bootstrap", "CodeDir", func(s awscdk.Stack) { function(s, patterns.FunctionProps{CodeDir: jsii.String(t.TempDir())}) }},
		{"no consumer", "ConsumerTimeout", func(s awscdk.Stack) { queue(s, patterns.IngestQueueProps{}) }},
		{"never received", "MaxReceiveCount", func(s awscdk.Stack) {
			queue(s, patterns.IngestQueueProps{ConsumerTimeout: secs(1), MaxReceiveCount: jsii.Number(0)})
		}},
		{"batch of one", "", func(s awscdk.Stack) { consume(s, patterns.QueueFunctionProps{BatchSize: jsii.Number(1)}) }},
		{"batch of eleven", "BatchSize", func(s awscdk.Stack) { consume(s, patterns.QueueFunctionProps{BatchSize: jsii.Number(11)}) }},
		{"one at once", "MaxConcurrency", func(s awscdk.Stack) { consume(s, patterns.QueueFunctionProps{MaxConcurrency: jsii.Number(1)}) }},
		{"two at once", "", func(s awscdk.Stack) { consume(s, patterns.QueueFunctionProps{MaxConcurrency: jsii.Number(2)}) }},
		{"function slower than its queue", "Function", func(s awscdk.Stack) {
			patterns.NewQueueFunction(s, jsii.String("M"), &patterns.QueueFunctionProps{
				Function: function(s, patterns.FunctionProps{CodeDir: code, Timeout: secs(11)}),
				Queue:    queue(s, patterns.IngestQueueProps{ConsumerTimeout: secs(10)}),
			})
		}},
		{"table without a stream", "Table", func(s awscdk.Stack) { fanout(s, "", patterns.StreamFanoutProps{}) }},
		{"table with a stream", "", func(s awscdk.Stack) { fanout(s, images, patterns.StreamFanoutProps{}) }},
		{"records younger than a minute", "MaxRecordAge", func(s awscdk.Stack) { fanout(s, images, patterns.StreamFanoutProps{MaxRecordAge: secs(59)}) }},
		{"records of a minute", "", func(s awscdk.Stack) { fanout(s, images, patterns.StreamFanoutProps{MaxRecordAge: secs(60)}) }},
		{"eleven at once", "Parallelization", func(s awscdk.Stack) { fanout(s, images, patterns.StreamFanoutProps{Parallelization: jsii.Number(11)}) }},
		{"filter that is no JSON", "Filters", func(s awscdk.Stack) {
			fanout(s, images, patterns.StreamFanoutProps{Filters: &[]interface{}{func() {}}})
		}},
		{"table without a key", "PartitionKey", func(s awscdk.Stack) {
			patterns.NewCatalogTable(s, jsii.String("T"), &patterns.CatalogTableProps{})
		}},
		{"index that is not declared", "index", func(s awscdk.Stack) {
			table := patterns.NewCatalogTable(s, jsii.String("T"), &patterns.CatalogTableProps{PartitionKey: stringKey("pk")})
			table.GrantQueryIndex(function(s, patterns.FunctionProps{CodeDir: code}).Role(), "gsi9")
		}},
		{"issuer over http", "Issuer", func(s awscdk.Stack) { api(s, "http://login.example.com", "a") }},
		{"issuer over https", "", func(s awscdk.Stack) { api(s, "https://login.example.com", "a") }},
		{"no audience", "Audience", func(s awscdk.Stack) { api(s, "https://login.example.com") }},
		{"bus without a source", "Source", func(s awscdk.Stack) { patterns.NewEventBus(s, jsii.String("B"), &patterns.EventBusProps{}) }},
		{"alarm without words", "Description", func(s awscdk.Stack) {
			topic := patterns.NewAlarmTopic(s, jsii.String("A"), nil)
			topic.Watch(s, jsii.String("W"), &patterns.WatchProps{Metric: function(s, patterns.FunctionProps{CodeDir: code}).MetricErrors()})
		}},
		{"pool without scopes", "Scopes", func(s awscdk.Stack) {
			patterns.NewUserPool(s, jsii.String("U"), &patterns.UserPoolProps{ResourceServer: jsii.String("r")})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			refused := refusal(t, func() { c.build(newStack()) })
			switch {
			case c.field == "" && refused != nil:
				t.Error(refused)
			case c.field != "" && refused == nil:
				t.Errorf("%s is not refused", c.field)
			case c.field != "" && (refused.Field != c.field || !strings.HasPrefix(refused.Construct, "Test/") || refused.Value == "" || refused.Remedy == ""):
				t.Errorf("got %#v, want one of %s", refused, c.field)
			}
		})
	}
}

func TestTableRefusesAStackWithoutARegion(t *testing.T) {
	stack := awscdk.NewStack(awscdk.NewApp(nil), jsii.String("Test"), nil)
	refused := refusal(t, func() {
		patterns.NewCatalogTable(stack, jsii.String("T"), &patterns.CatalogTableProps{PartitionKey: stringKey("pk")})
	})
	if refused == nil || !strings.Contains(refused.Error(), "construct Test/T: scope is a stack without a region: give its stack an Env with a Region") {
		t.Errorf("got %v", refused)
	}
}

func TestFunctionRefusesAnotherProcessorsExecutable(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	// The field e_machine of the ELF header: 62 is x86-64, 183 is AArch64.
	const machine = 18
	for value, refuse := range map[byte]bool{62: true, 183: false} {
		text[machine], text[machine+1] = value, 0
		dir := writeBootstrap(t, text)
		refused := refusal(t, func() {
			patterns.NewFunction(newStack(), jsii.String("F"), &patterns.FunctionProps{CodeDir: dir})
		})
		if (refused != nil) != refuse {
			t.Errorf("machine %d: got %v", value, refused)
		}
	}
}

func TestPropsAreLeftAlone(t *testing.T) {
	stack := newStack()
	function := patterns.FunctionProps{CodeDir: codeDir(t)}
	patterns.NewFunction(stack, jsii.String("F"), &function)
	bucket := patterns.UploadBucketProps{}
	patterns.NewUploadBucket(stack, jsii.String("B"), &bucket)
	queue := patterns.IngestQueueProps{ConsumerTimeout: awscdk.Duration_Seconds(jsii.Number(10))}
	patterns.NewIngestQueue(stack, jsii.String("Q"), &queue)

	if function.MemorySize != nil || function.Timeout != nil || function.LogRetention != "" {
		t.Errorf("the function's props became %+v", function)
	}
	if bucket.KeepNoncurrent != nil || bucket.AccessLogs != nil || bucket.RemovalPolicy != "" {
		t.Errorf("the bucket's props became %+v", bucket)
	}
	if queue.MaxReceiveCount != nil || queue.RemovalPolicy != "" {
		t.Errorf("the queue's props became %+v", queue)
	}
}

func TestStateIsRetainedUnlessToldOtherwise(t *testing.T) {
	stack := newStack()
	patterns.NewUploadBucket(stack, jsii.String("B"), nil)
	patterns.NewDeadLetterBucket(stack, jsii.String("D"), nil)
	patterns.NewCatalogTable(stack, jsii.String("T"), &patterns.CatalogTableProps{PartitionKey: stringKey("pk")})
	patterns.NewIngestQueue(stack, jsii.String("Q"), &patterns.IngestQueueProps{ConsumerTimeout: awscdk.Duration_Seconds(jsii.Number(10))})
	patterns.NewEventBus(stack, jsii.String("E"), &patterns.EventBusProps{Source: jsii.String("test")})
	template := assertions.Template_FromStack(stack, nil)
	for _, kind := range []string{"AWS::S3::Bucket", "AWS::KMS::Key", "AWS::DynamoDB::GlobalTable", "AWS::SQS::Queue", "AWS::Events::EventBus", "AWS::Events::Archive"} {
		for id, body := range *template.FindResources(jsii.String(kind), nil) {
			if (*body)["DeletionPolicy"] != "Retain" {
				t.Errorf("%s is not retained", id)
			}
		}
	}
	for _, table := range properties(t, stack, "AWS::DynamoDB::GlobalTable") {
		if replica := table["Replicas"].([]any)[0].(map[string]any); replica["DeletionProtectionEnabled"] != true {
			t.Errorf("a retained table can be deleted: %v", replica)
		}
	}
}

func TestVisibilityFollowsTheConsumer(t *testing.T) {
	for timeout, want := range map[float64]float64{1: 6, 60: 360, 900: 5400} {
		stack := newStack()
		patterns.NewIngestQueue(stack, jsii.String("Q"), &patterns.IngestQueueProps{ConsumerTimeout: awscdk.Duration_Seconds(jsii.Number(timeout))})
		found := false
		for _, queue := range properties(t, stack, "AWS::SQS::Queue") {
			found = found || queue["VisibilityTimeout"] == want
		}
		if !found {
			t.Errorf("time-out %v s: no queue with a visibility of %v s", timeout, want)
		}
	}
}

func TestRouteAddsOnePermissionForTheAPI(t *testing.T) {
	stack := newStack()
	api := patterns.NewHTTPAPI(stack, jsii.String("A"), &patterns.HTTPAPIProps{
		Issuer: jsii.String("https://login.example.com"), Audience: jsii.Strings("a"),
	})
	function := patterns.NewFunction(stack, jsii.String("F"), &patterns.FunctionProps{CodeDir: codeDir(t)})
	api.Route("/v1/{proxy+}", function, awsapigatewayv2.HttpMethod_GET, awsapigatewayv2.HttpMethod_POST)
	if n := len(properties(t, stack, "AWS::ApiGatewayV2::Route")); n != 2 {
		t.Errorf("%d routes, want 2", n)
	}
	if n := len(properties(t, stack, "AWS::Lambda::Permission")); n != 1 {
		t.Errorf("%d permissions, want 1", n)
	}
}

func TestGrantsEndAtThePrefix(t *testing.T) {
	stack := newStack()
	bucket := patterns.NewUploadBucket(stack, jsii.String("B"), nil)
	role := awsiam.NewRole(stack, jsii.String("R"), &awsiam.RoleProps{AssumedBy: awsiam.NewAccountRootPrincipal()})
	bucket.GrantSignUploads(role, "c/")
	var statements []any
	for _, policy := range properties(t, stack, "AWS::IAM::Policy") {
		if role := policy["Roles"].([]any)[0].(map[string]any)["Ref"].(string); strings.HasPrefix(role, "R") {
			statements = policy["PolicyDocument"].(map[string]any)["Statement"].([]any)
		}
	}
	if len(statements) != 2 {
		t.Fatalf("the role is granted %v", statements)
	}
	objects := statements[0].(map[string]any)
	if diff := cmp.Diff([]any{"s3:PutObject", "s3:GetObjectVersion", "s3:ListMultipartUploadParts", "s3:AbortMultipartUpload"}, objects["Action"]); diff != "" {
		t.Error(diff)
	}
	text, err := json.Marshal(objects["Resource"])
	if err != nil || !strings.HasSuffix(string(text), `"/c/*"]]}`) {
		t.Errorf("the grant is on %s (%v)", text, err)
	}
}

// TestReasonsTravelInTheTemplate: scripts/privileges reads them from the role's metadata.
func TestReasonsTravelInTheTemplate(t *testing.T) {
	stack := newStack()
	role := awsiam.NewRole(stack, jsii.String("Role"), &awsiam.RoleProps{AssumedBy: awsiam.NewServicePrincipal(jsii.String("lambda.amazonaws.com"), nil)})
	patterns.ExplainUnused(role, jsii.String("arn:aws:s3:::one"), "first", "s3:ListBucket", "s3:GetObject")
	patterns.ExplainUnused(role, role.RoleArn(), "second", "sts:AssumeRole")
	for _, body := range *assertions.Template_FromStack(stack, nil).FindResources(jsii.String("AWS::IAM::Role"), nil) {
		metadata := (*body)["Metadata"].(map[string]any)
		want := map[string]any{"Actions": []any{"s3:ListBucket", "s3:GetObject"}, "Resource": "arn:aws:s3:::one", "Reason": "first"}
		if diff := cmp.Diff(want, metadata["UnusedGrant1"]); diff != "" {
			t.Error(diff)
		}
		if second, ok := metadata["UnusedGrant2"].(map[string]any); !ok || second["Reason"] != "second" {
			t.Errorf("metadata: %v", metadata)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("an empty reason was taken")
		}
	}()
	patterns.ExplainUnused(role, role.RoleArn(), "", "sts:AssumeRole")
}
