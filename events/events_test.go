package events_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	lambdaevents "github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"github.com/stowage-dev/stowage/events"
	"github.com/stowage-dev/stowage/shared/event"
)

// typeOf is the Go type that a sample is decoded into.
func typeOf(name string) (any, error) {
	source, _, _ := strings.Cut(name, "/")
	switch {
	case name == "s3/test-event":
		return new(lambdaevents.S3TestEvent), nil
	case source == "s3":
		return new(lambdaevents.S3Event), nil
	case source == "sqs":
		return new(lambdaevents.SQSEvent), nil
	case source == "dynamodb":
		return new(lambdaevents.DynamoDBEvent), nil
	case source == "cognito":
		return new(lambdaevents.CognitoEventUserPoolsPreTokenGenV2_0), nil // of which version 3 is a copy
	case source == "eventbridge":
		return new(lambdaevents.EventBridgeEvent), nil
	case source == "apigatewayv2":
		return new(lambdaevents.APIGatewayV2HTTPRequest), nil
	default:
		return nil, fmt.Errorf("no type is known for samples of %q: name it here", source)
	}
}

// TestSamplesRoundTrip: every sample decodes into its type with nothing unknown in
// it, and nothing of it is lost when it is encoded again.
func TestSamplesRoundTrip(t *testing.T) {
	for _, name := range events.Names() {
		t.Run(name, func(t *testing.T) {
			sample := events.Read(name)
			first, err := typeOf(name)
			if err != nil {
				t.Fatal(err)
			}
			strict(t, sample, first)
			again, err := json.Marshal(first)
			if err != nil {
				t.Fatal(err)
			}
			second, err := typeOf(name)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(again, second); err != nil {
				t.Fatal(err)
			}
			encoded, err := json.Marshal(second)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(again), string(encoded)); diff != "" {
				t.Errorf("the second round trip differs (-first +second):\n%s", diff)
			}
			var was, is any
			if err := json.Unmarshal(sample, &was); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(again, &is); err != nil {
				t.Fatal(err)
			}
			lost(t, "", was, is)
		})
	}
}

func strict(t *testing.T, text []byte, into any) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		t.Fatalf("decode into %T: %v", into, err)
	}
}

// lost reports what was in the sample and is not in what was encoded again. Empty
// values may go.
func lost(t *testing.T, path string, was, is any) {
	t.Helper()
	switch was := was.(type) {
	case map[string]any:
		now, _ := is.(map[string]any)
		for k, v := range was {
			lost(t, path+"/"+k, v, now[k])
		}
	case []any:
		now, _ := is.([]any)
		if len(now) != len(was) {
			t.Errorf("%s has %d elements, had %d", path, len(now), len(was))
			return
		}
		for i, v := range was {
			lost(t, fmt.Sprintf("%s/%d", path, i), v, now[i])
		}
	case nil:
	default:
		if was != is && was != "" && was != false {
			t.Errorf("%s is %v, was %v", path, is, was)
		}
	}
}

// TestMessagesHoldNotifications: what S3 puts into a queue is a sample, too.
func TestMessagesHoldNotifications(t *testing.T) {
	for name, body := range map[string]any{
		"sqs/s3-object-created": new(lambdaevents.S3Event),
		"sqs/s3-test-event":     new(lambdaevents.S3TestEvent),
	} {
		var ev lambdaevents.SQSEvent
		strict(t, events.Read(name), &ev)
		for _, m := range ev.Records {
			strict(t, []byte(m.Body), body)
		}
	}
}

// TestDetailIsACloudEvent: what is on the bus is what package event reads and writes.
func TestDetailIsACloudEvent(t *testing.T) {
	var envelope lambdaevents.EventBridgeEvent
	strict(t, events.Read("eventbridge/object-available"), &envelope)
	var e event.Event
	if err := json.Unmarshal(envelope.Detail, &e); err != nil {
		t.Fatal(err)
	}
	if string(e.Type) != envelope.DetailType || e.Data.Rev != e.Rev || e.Data.ID != e.Subject {
		t.Errorf("event %+v does not fit its envelope of type %s", e, envelope.DetailType)
	}
	again, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var was, is any
	if err := json.Unmarshal(envelope.Detail, &was); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(again, &is); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(was, is); diff != "" {
		t.Errorf("event (-sample +encoded):\n%s", diff)
	}
}

func TestUnknownSample(t *testing.T) {
	defer func() {
		if v := recover(); v == nil || !strings.Contains(fmt.Sprint(v), `"s3/nothing"`) {
			t.Errorf("Read panicked with %v, want the name of the sample", v)
		}
	}()
	events.Read("s3/nothing")
}
