package stack_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	ebtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/stowage-dev/stowage/scripts/local/stack"
	"github.com/stowage-dev/stowage/scripts/local/stack/stacktest"
)

// edited is a deep copy of resources, to change.
func edited(t *testing.T, resources map[string]any) map[string]any {
	t.Helper()
	raw, err := json.Marshal(resources)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func properties(resources map[string]any, id string) map[string]any {
	return resources[id].(map[string]any)["Properties"].(map[string]any)
}

func apply(t *testing.T, s *stack.Stack, a stacktest.App, resources map[string]any) []string {
	t.Helper()
	a.Write(t, resources)
	lines, err := s.Apply(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func putEvent(t *testing.T, s *stack.Stack, source, detail string) {
	t.Helper()
	out, err := eventbridge.NewFromConfig(clients(s)).PutEvents(t.Context(), &eventbridge.PutEventsInput{Entries: []ebtypes.PutEventsRequestEntry{
		{EventBusName: aws.String("events"), Source: &source, DetailType: aws.String("Noted"), Detail: &detail}}})
	if err != nil || out.FailedEntryCount != 0 {
		t.Fatalf("put: %+v, %v", out, err)
	}
}

func sendMessage(t *testing.T, s *stack.Stack, queue, body string) {
	t.Helper()
	url := s.GatewayURL() + "/000000000000/App-" + queue
	if _, err := sqs.NewFromConfig(clients(s)).SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &body}); err != nil {
		t.Fatal(err)
	}
}

// TestApplyInPlace: each part that can change while it runs does, and events go
// on by what is declared now.
func TestApplyInPlace(t *testing.T) {
	a := stacktest.New(t, recorderDir)
	s := start(t, config(a, t.TempDir()))
	resources := edited(t, a.Resources())
	token, _, err := s.Mint(t.Context(), "somebody")
	if err != nil {
		t.Fatal(err)
	}

	properties(resources, "Queue")["VisibilityTimeout"] = 77
	properties(resources, "Rule")["EventPattern"] = map[string]any{"source": []string{"other"}}
	properties(resources, "FromQueue")["BatchSize"] = 1
	properties(resources, "Route")["RouteKey"] = "GET /v2/{proxy+}"
	resources["More"] = stacktest.Resource("AWS::SQS::Queue", stacktest.Object{})
	resources["FromMore"] = stacktest.Resource("AWS::Lambda::EventSourceMapping", stacktest.Object{
		"EventSourceArn": stacktest.GetAtt("More", "Arn"), "FunctionName": stacktest.Ref("Recorder")})
	statements := properties(resources, "RolePolicy")["PolicyDocument"].(map[string]any)["Statement"].([]any)
	statements[0].(map[string]any)["Resource"] = []any{stacktest.GetAtt("Queue", "Arn"), stacktest.GetAtt("More", "Arn")}
	lines := apply(t, s, a, resources)
	for _, want := range []string{
		"App/Queue: visibility time-out changed", "App/Rule: pattern changed", "App/FromQueue: batch size changed",
		"App/Api: routes changed", "App/More: queue added", "App/FromMore: mapping added", "App/Role: policies changed",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("%q is not among\n%s", want, strings.Join(lines, "\n"))
		}
	}
	if joined := strings.Join(lines, "\n"); strings.Contains(joined, "restart") {
		t.Errorf("something is said to need a restart:\n%s", joined)
	}

	url := s.GatewayURL() + "/000000000000/App-Queue"
	out, err := sqs.NewFromConfig(clients(s)).GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: &url, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameVisibilityTimeout}})
	if err != nil || out.Attributes["VisibilityTimeout"] != "77" {
		t.Errorf("the queue has %v, %v", out, err)
	}
	putEvent(t, s, "test", `{"n":"by-the-old-pattern"}`)
	putEvent(t, s, "other", `{"n":"by-the-new-pattern"}`)
	if line := a.Await(t, "by-the-new-pattern"); strings.Contains(line, "by-the-old-pattern") {
		t.Errorf("event = %s", line)
	}
	sendMessage(t, s, "More", "by-the-new-mapping")
	a.Await(t, "by-the-new-mapping")
	sendMessage(t, s, "Queue", "by-the-changed-mapping")
	a.Await(t, "by-the-changed-mapping")
	if status, body := get(t, s.APIURL()+"/v2/things", token); status != http.StatusOK {
		t.Errorf("the new route: %d %s", status, body)
	}
	if status, _ := get(t, s.APIURL()+"/v1/things", token); status != http.StatusNotFound {
		t.Errorf("the old route: %d", status)
	}
	if lines := apply(t, s, a, resources); len(lines) != 0 {
		t.Errorf("applied again: %v", lines)
	}
}

// TestApplySaysWhatNeedsARestart: resource by resource, and the rest is applied.
func TestApplySaysWhatNeedsARestart(t *testing.T) {
	a := stacktest.New(t, recorderDir)
	s := start(t, config(a, t.TempDir()))
	resources := edited(t, a.Resources())
	resources["Second"] = stacktest.Resource("AWS::S3::Bucket", stacktest.Object{})
	properties(resources, "Bucket")["VersioningConfiguration"] = map[string]any{"Status": "Suspended"}
	delete(properties(resources, "Bucket"), "NotificationConfiguration")
	delete(resources, "BucketMaySend")
	delete(resources, "Secret")
	properties(resources, "Queue")["VisibilityTimeout"] = 77
	a.Write(t, resources)
	lines, err := s.Apply(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"App/Second: bucket added: needs a restart", "App/Bucket: notifications changed; versioned needs a restart",
		"App/Secret: secret removed: needs a restart", "App/Queue: policies, visibility time-out changed",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("%q is not among\n%s", want, strings.Join(lines, "\n"))
		}
	}
}

// TestWhatDoesNotFitIsNotApplied: the stack goes on as it was, to the last part.
func TestWhatDoesNotFitIsNotApplied(t *testing.T) {
	a := stacktest.New(t, recorderDir)
	s := start(t, config(a, t.TempDir()))
	for name, tc := range map[string]struct {
		change func(resources map[string]any)
		want   string
	}{
		"an unknown property":    {func(r map[string]any) { properties(r, "Queue")["Colour"] = "blue" }, "Colour"},
		"a dangling reference":   {func(r map[string]any) { delete(r, "Dead") }, "Dead"},
		"a setting out of range": {func(r map[string]any) { properties(r, "FromQueue")["BatchSize"] = 10_001 }, "batch size 10001"},
		"a pattern that is none": {func(r map[string]any) {
			properties(r, "Rule")["EventPattern"] = map[string]any{"source": []any{map[string]any{"sounds-like": "x"}}}
		}, "sounds-like"},
	} {
		t.Run(name, func(t *testing.T) {
			resources := edited(t, a.Resources())
			properties(resources, "Recorder")["Timeout"] = 20
			tc.change(resources)
			a.Write(t, resources)
			if lines, err := s.Apply(t.Context()); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Apply = %v, %v; want %q", lines, err, tc.want)
			}
			putEvent(t, s, "test", `{"n":"still-`+strings.ReplaceAll(name, " ", "-")+`"}`)
			a.Await(t, "still-"+strings.ReplaceAll(name, " ", "-"))
		})
	}
	if lines := apply(t, s, a, a.Resources()); len(lines) != 0 {
		t.Errorf("something had been applied: %v", lines)
	}
}
