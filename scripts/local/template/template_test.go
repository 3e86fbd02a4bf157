package template_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stowage-dev/stowage/scripts/local/assembly"
	"github.com/stowage-dev/stowage/scripts/local/template"
)

// realModel decodes what CDK writes for an app with all the resource types that
// Stowage declares.
func realModel(t *testing.T) *template.Model {
	t.Helper()
	a, err := assembly.Load("../assembly/testdata/app")
	if err != nil {
		t.Fatal(err)
	}
	resources, err := a.Resolve(assembly.Environment{
		GatewayURL:  "http://127.0.0.1:4566",
		APIEndpoint: func(string, string) (string, error) { return "http://127.0.0.1:8080", nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	m, err := template.Decode(resources)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestFunction(t *testing.T) {
	m := realModel(t)
	f := byName(t, m.Functions, "Service-Api", func(f *template.Function) string { return f.Name })
	one := 1
	want := template.Function{
		Origin: template.Origin{Stack: "Service", LogicalID: "ApiF70053CD", ConstructPath: "Service/Api/Resource"},
		Name:   "Service-Api", ARN: "arn:aws:lambda:us-east-1:000000000000:function:Service-Api",
		Handler: "bootstrap", Runtime: "provided.al2023", Architecture: "arm64",
		Timeout: 29 * time.Second, MemoryMB: 512, EphemeralMB: 512, Tracing: true,
		RoleARN:  "arn:aws:iam::000000000000:role/Service-ApiServiceRole",
		LogGroup: "Service-Logs", LogFormat: "JSON",
		Async: template.AsyncConfig{MaxAge: time.Hour, MaxRetries: &one},
	}
	got := *f
	got.AssetDir, got.Environment = "", nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("function (-want +got):\n%s", diff)
	}
	if f.Environment["TABLE"] != "stowage-dev-data-Catalog" {
		t.Errorf("environment = %v", f.Environment)
	}
	for _, f := range m.Functions {
		if strings.Contains(f.Name, "Handler") {
			t.Errorf("%s is a custom-resource handler and must not be run", f.Name)
		}
	}
}

func TestMappings(t *testing.T) {
	m := realModel(t)
	want := map[string]template.Mapping{
		"queue": {BatchSize: 10, Window: time.Second, Enabled: true, ReportBatchItemFailures: true, MaxConcurrency: 5,
			MaxRetries: -1, MaxRecordAge: -1, ParallelizationFactor: 1,
			SourceARN: "arn:aws:sqs:us-east-1:000000000000:stowage-dev-data-Ingest"},
		"stream": {BatchSize: 100, Enabled: true, ReportBatchItemFailures: true, StartingPosition: "TRIM_HORIZON", BisectOnError: true,
			MaxRetries: 5, MaxRecordAge: time.Hour, ParallelizationFactor: 2, OnFailureARN: "arn:aws:s3:::stowage-dev-data-deadletters",
			Filters:   []string{`{"dynamodb":{"Keys":{"sk":{"S":["OBJECT"]}}}}`},
			SourceARN: m.Tables[0].StreamARN},
	}
	if len(m.Mappings) != 2 {
		t.Fatalf("%d mappings, want 2", len(m.Mappings))
	}
	for _, got := range m.Mappings {
		kind := "queue"
		if strings.Contains(got.SourceARN, ":dynamodb:") {
			kind = "stream"
		}
		if got.FunctionARN != "arn:aws:lambda:us-east-1:000000000000:function:Service-Api" {
			t.Errorf("%s mapping invokes %s", kind, got.FunctionARN)
		}
		got.Origin, got.ID, got.FunctionARN = template.Origin{}, "", ""
		if diff := cmp.Diff(want[kind], got); diff != "" {
			t.Errorf("%s mapping (-want +got):\n%s", kind, diff)
		}
	}
}

func TestStorage(t *testing.T) {
	m := realModel(t)
	content := byName(t, m.Buckets, "stowage-dev-data-content", func(b *template.Bucket) string { return b.Name })
	if !content.Versioned || !content.EventBridge || len(content.Policies) != 1 || len(content.Lifecycle) == 0 {
		t.Errorf("bucket = %+v", content)
	}
	wantNotification := []template.Notification{{ID: "Content88381566-0", Events: []string{"s3:ObjectCreated:*"}, Prefix: "c/",
		TargetARN: "arn:aws:sqs:us-east-1:000000000000:stowage-dev-data-Ingest"}}
	if diff := cmp.Diff(wantNotification, content.Notifications); diff != "" {
		t.Errorf("notifications (-want +got):\n%s", diff)
	}
	wantCORS := []template.CORSRule{{AllowedHeaders: []string{"*"}, AllowedMethods: []string{"GET", "PUT"},
		AllowedOrigins: []string{"http://localhost:5173"}, ExposeHeaders: []string{"ETag"}, MaxAge: 3000 * time.Second}}
	if diff := cmp.Diff(wantCORS, content.CORS); diff != "" {
		t.Errorf("CORS (-want +got):\n%s", diff)
	}
	table := m.Tables[0]
	if table.PartitionKey != "pk" || table.SortKey != "sk" || table.TTLAttribute != "ttl" || table.StreamView != "NEW_AND_OLD_IMAGES" {
		t.Errorf("table = %+v", table)
	}
	wantIndex := []template.Index{{Name: "gsi1", PartitionKey: "gsi1pk", SortKey: "gsi1sk", Projection: "INCLUDE", NonKeyAttributes: []string{"a"}}}
	if diff := cmp.Diff(wantIndex, table.GlobalIndexes); diff != "" {
		t.Errorf("indexes (-want +got):\n%s", diff)
	}
	secret := m.Secrets[0]
	if secret.Generate == nil || secret.Generate.Length != 43 || !secret.Generate.RequireEachIncludedType || secret.RotationSchedule != "rate(30 days)" {
		t.Errorf("secret = %+v", secret)
	}
}

func TestEventsAndQueues(t *testing.T) {
	m := realModel(t)
	ingest := byName(t, m.Queues, "stowage-dev-data-Ingest", func(q *template.Queue) string { return q.Name })
	if ingest.VisibilityTimeout != 180*time.Second || ingest.MaxReceiveCount != 5 || ingest.Retention != 96*time.Hour ||
		ingest.RedriveTargetARN != "arn:aws:sqs:us-east-1:000000000000:stowage-dev-data-IngestDLQ" {
		t.Errorf("queue = %+v", ingest)
	}
	rule := byName(t, m.Rules, "Service-Rule", func(r template.Rule) string { return r.Name })
	three := 3
	want := []template.Target{
		{ID: "Target0", ARN: "arn:aws:sqs:us-east-1:000000000000:Service-TargetQ", DeadLetterARN: "arn:aws:sqs:us-east-1:000000000000:Service-TargetDLQ", MaxRetries: &three, MaxAge: 2 * time.Hour},
		{ID: "Target1", ARN: "arn:aws:lambda:us-east-1:000000000000:function:Service-Api",
			Transformer: &template.InputTransformer{Paths: map[string]string{"detail-id": "$.detail.id"}, Template: `{"x":<detail-id>}`}},
	}
	if diff := cmp.Diff(want, rule.Targets); diff != "" {
		t.Errorf("targets (-want +got):\n%s", diff)
	}
	if rule.Bus != "DataBus3FDBCE27" || string(rule.Pattern) != `{"source":["stowage"]}` || !rule.Enabled {
		t.Errorf("rule = %+v", rule)
	}
	if len(m.Archives) != 1 || m.Archives[0].Retention != 30*24*time.Hour {
		t.Errorf("archives = %+v", m.Archives)
	}
	if len(m.Schedules) != 1 || m.Schedules[0].TimeZone != "Etc/UTC" || m.Schedules[0].Target.RoleARN == "" {
		t.Errorf("schedules = %+v", m.Schedules)
	}
}

func TestAccess(t *testing.T) {
	m := realModel(t)
	signer := byName(t, m.Roles, "Service-Signer", func(r *template.Role) string { return r.Name })
	if signer.Tags["stowage-quarantine"] != "reader" || signer.MaxSession != time.Hour || len(signer.Policies) != 1 {
		t.Errorf("role = %+v", signer)
	}
	if len(m.Keys) != 2 {
		t.Errorf("%d keys, want 2", len(m.Keys))
	}
	if i := slices.IndexFunc(m.Keys, func(k *template.Key) bool { return slices.Contains(k.Aliases, "alias/stowage") }); i < 0 {
		t.Error("no key has the alias")
	}
}

func TestWeb(t *testing.T) {
	m := realModel(t)
	if len(m.APIs) != 1 {
		t.Fatalf("%d APIs, want 1", len(m.APIs))
	}
	a := m.APIs[0]
	if len(a.Routes) != 3 || len(a.Authorizers) != 1 || len(a.Stages) != 1 || a.CORS == nil {
		t.Errorf("API = %+v", a)
	}
	for _, r := range a.Routes {
		if a.Integrations[r.Integration].FunctionARN == "" {
			t.Errorf("route %s goes nowhere", r.Key)
		}
		if open := strings.Contains(r.Key, "shares"); open != (r.AuthorizerID == "") {
			t.Errorf("route %s has the authorizer %q", r.Key, r.AuthorizerID)
		}
	}
	if s := a.Stages[0]; s.Name != "$default" || s.Throttle != (template.Throttle{Rate: 50, Burst: 100}) || s.AccessLogFormat == "" {
		t.Errorf("stage = %+v", s)
	}
	pool := m.UserPools[0]
	if pool.TriggerVersion != "V3_0" || len(pool.Clients) != 2 || len(pool.ResourceServers) != 1 {
		t.Errorf("pool = %+v", pool)
	}
}

func TestUnknownPropertyIsNamed(t *testing.T) {
	for _, tc := range []struct {
		name, typ, properties string
		want                  []string
	}{
		{"property", "AWS::SQS::Queue", `{"Colour":"red"}`, []string{"stack App, resource Subject (AWS::SQS::Queue) at App/Sub/Resource", `property "Colour"`}},
		{"nested property", "AWS::S3::Bucket", `{"CorsConfiguration":{"CorsRules":[{"Colour":1}]}}`, []string{`property "Colour"`}},
		{"type of a property", "AWS::SQS::Queue", `{"VisibilityTimeout":"soon"}`, []string{"want a whole number", "soon"}},
		{"type without a runner", "AWS::Foo::Bar", `{}`, []string{"AWS::Foo::Bar", "does not run this type"}},
		{"redrive policy", "AWS::SQS::Queue", `{"RedrivePolicy":{"colour":1}}`, []string{"RedrivePolicy", `"colour"`}},
		{"stream source", "AWS::Lambda::EventSourceMapping", `{"EventSourceArn":"arn:aws:kinesis:r:a:stream/s","FunctionName":"f"}`, []string{"sqs", "kinesis"}},
		{"tumbling window", "AWS::Lambda::EventSourceMapping", `{"TumblingWindowInSeconds":5}`, []string{`"TumblingWindowInSeconds"`}},
		{"runtime", "AWS::Lambda::Function", `{"Runtime":"python3.13"}`, []string{"python3.13"}},
		{"inline code", "AWS::Lambda::Function", `{"Code":{"ZipFile":"x"}}`, []string{"not inline code"}},
		{"function of nobody", "AWS::Lambda::Permission", `{"FunctionName":"gone"}`, []string{"FunctionName", "gone"}},
		{"bucket of nobody", "AWS::S3::BucketPolicy", `{"Bucket":"gone","PolicyDocument":{}}`, []string{"bucket gone"}},
		{"websocket API", "AWS::ApiGatewayV2::Api", `{"ProtocolType":"WEBSOCKET"}`, []string{"WEBSOCKET"}},
		{"trigger", "AWS::Cognito::UserPool", `{"LambdaConfig":{"PostConfirmation":"arn"}}`, []string{`"PostConfirmation"`}},
		{"notification to a topic", "AWS::S3::Bucket", `{"NotificationConfiguration":{"TopicConfigurations":[]}}`, []string{`"TopicConfigurations"`}},
		{"scanner that writes tags", "AWS::GuardDuty::MalwareProtectionPlan", `{"Actions":{"Tagging":{"Status":"ENABLED"}}}`, []string{"ENABLED", "DISABLED"}},
		{"filter rule", "AWS::S3::Bucket", `{"NotificationConfiguration":{"QueueConfigurations":[{"Filter":{"S3Key":{"Rules":[{"Name":"infix","Value":"x"}]}}}]}}`, []string{"infix"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := assembly.Resource{Stack: "App", LogicalID: "Subject", ConstructPath: "App/Sub/Resource", Type: tc.typ}
			if strings.Contains(tc.properties, "Runtime") {
				r.AssetDir = "somewhere"
			}
			if err := json.Unmarshal([]byte(tc.properties), &r.Properties); err != nil {
				t.Fatal(err)
			}
			_, err := template.Decode([]assembly.Resource{r})
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("err = %v\nwant it to say %q", err, want)
				}
			}
		})
	}
}

func TestDefaultsAreTheServices(t *testing.T) {
	m, err := template.Decode([]assembly.Resource{
		{Type: "AWS::SQS::Queue", Attributes: map[string]string{"QueueName": "q"}, Properties: map[string]any{}},
		{Type: "AWS::Lambda::Function", AssetDir: "a", Properties: map[string]any{"Runtime": "provided.al2023", "Role": "r"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if q := m.Queues[0]; q.VisibilityTimeout != 30*time.Second || q.Retention != 96*time.Hour || q.MaxMessageBytes != 1<<20 || q.Delay != 0 {
		t.Errorf("queue = %+v", q)
	}
	if f := m.Functions[0]; f.Timeout != 3*time.Second || f.MemoryMB != 128 || f.EphemeralMB != 512 || f.Architecture != "x86_64" || f.LogFormat != "Text" {
		t.Errorf("function = %+v", f)
	}
}

func TestNumbersAndBooleansMayBeText(t *testing.T) {
	m, err := template.Decode([]assembly.Resource{{Type: "AWS::SQS::Queue", Properties: map[string]any{
		"VisibilityTimeout": "60", "FifoQueue": "true", "RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:r:a:d","maxReceiveCount":"3"}`}}})
	if err != nil {
		t.Fatal(err)
	}
	if q := m.Queues[0]; q.VisibilityTimeout != time.Minute || !q.FIFO || q.MaxReceiveCount != 3 {
		t.Errorf("queue = %+v", q)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("AWS::SQS::Queue", `{"RedrivePolicy":"{}"}`)
	f.Add("AWS::Events::Rule", `{"EventPattern":{"source":["a"]},"Targets":[{"InputTransformer":null}]}`)
	f.Add("AWS::DynamoDB::GlobalTable", `{"KeySchema":[{}],"Replicas":[{}]}`)
	f.Add("AWS::Lambda::EventSourceMapping", `{"MaximumRecordAgeInSeconds":-1}`)
	f.Fuzz(func(_ *testing.T, typ, properties string) {
		r := assembly.Resource{Type: typ}
		if json.Unmarshal([]byte(properties), &r.Properties) == nil {
			_, _ = template.Decode([]assembly.Resource{r}) // must not panic
		}
	})
}

func byName[T any](t *testing.T, list []T, name string, of func(T) string) T {
	t.Helper()
	i := slices.IndexFunc(list, func(e T) bool { return of(e) == name })
	if i < 0 {
		t.Fatalf("nothing is called %s", name)
	}
	return list[i]
}
