package sources_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/stowage-dev/stowage/scripts/local/queue"
	"github.com/stowage-dev/stowage/scripts/local/sources"
)

// taken collects what a notifier delivers.
type taken struct {
	functions []string
	payloads  []string
	bus       []sources.BusEvent
	err       error
}

func (d *taken) InvokeAsync(_ context.Context, function string, payload []byte) error {
	d.functions, d.payloads = append(d.functions, function), append(d.payloads, string(payload))
	return d.err
}

func (d *taken) PutEvent(_ context.Context, e sources.BusEvent) error {
	d.bus = append(d.bus, e)
	return d.err
}

func (d *taken) Send(_ context.Context, arn string, m queue.Message) (queue.Sent, error) {
	return queue.Sent{}, d.InvokeAsync(context.Background(), arn, []byte(m.Body))
}

func notifierTo(tb testing.TB, d *taken, b sources.BucketNotifications) *sources.Notifier {
	tb.Helper()
	b.Bucket = "content"
	n, err := sources.NewNotifier(sources.NotifierConfig{
		Buckets: []sources.BucketNotifications{b}, Sender: d, Functions: d, Bus: d, Region: "eu-west-1", NewID: func() string { return "id" },
	})
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

func objectEvent(name, key string) sources.ObjectEvent {
	return sources.ObjectEvent{
		Name: name, Bucket: "content", Key: key, VersionID: "v1", ETag: `"0123"`, Size: 7, Sequencer: "0055AED6DCD90281E5",
		Time: time.Date(2026, 3, 4, 5, 6, 7, 89_000_000, time.UTC), Principal: "AWS:AROA:session", SourceIP: "127.0.0.1", RequestID: "R1",
	}
}

func TestNotificationHasS3sShape(t *testing.T) {
	var d taken
	n := notifierTo(t, &d, sources.BucketNotifications{Notifications: []sources.Notification{
		{ID: "ingest", Events: []string{"s3:ObjectCreated:*", "s3:ObjectRemoved:*"}, TargetARN: queuePrefix + "work"},
	}})
	for _, name := range []string{"ObjectCreated:CompleteMultipartUpload", "ObjectRemoved:Delete", "ObjectRemoved:DeleteMarkerCreated", "ObjectTagging:Put"} {
		if err := n.Notify(context.Background(), objectEvent(name, "c/ws one/a+b/ü&=.jpg")); err != nil {
			t.Fatal(err)
		}
	}
	if len(d.payloads) != 3 {
		t.Fatalf("%d notifications", len(d.payloads))
	}
	var event events.S3Event
	strict(t, d.payloads[0], &event)
	r := event.Records[0]
	object := r.S3.Object
	if r.EventVersion != "2.1" || r.EventSource != "aws:s3" || r.AWSRegion != "eu-west-1" || r.EventName != "ObjectCreated:CompleteMultipartUpload" ||
		!r.EventTime.Equal(time.Date(2026, 3, 4, 5, 6, 7, 89_000_000, time.UTC)) || r.PrincipalID.PrincipalID != "AWS:AROA:session" || r.RequestParameters.SourceIPAddress != "127.0.0.1" ||
		r.ResponseElements["x-amz-request-id"] != "R1" || r.S3.SchemaVersion != "1.0" || r.S3.ConfigurationID != "ingest" || r.S3.Bucket.Name != "content" || r.S3.Bucket.Arn != "arn:aws:s3:::content" {
		t.Errorf("record %+v", r)
	}
	if object.Key != "c/ws+one/a%2Bb/%C3%BC%26%3D.jpg" || object.URLDecodedKey != "c/ws one/a+b/ü&=.jpg" || object.Size != 7 || object.ETag != "0123" || object.VersionID != "v1" || object.Sequencer != "0055AED6DCD90281E5" {
		t.Errorf("object %+v", object)
	}
	if strings.Contains(d.payloads[1], `"size"`) || strings.Contains(d.payloads[1], `"eTag"`) || !strings.Contains(d.payloads[2], `"eTag":"d41d8cd98f00b204e9800998ecf8427e"`) {
		t.Errorf("removals %s\n%s", d.payloads[1], d.payloads[2])
	}
}

func TestNotificationsAreSelected(t *testing.T) {
	tests := []struct {
		name           string
		events         []string
		prefix, suffix string
		event, key     string
		want           bool
	}{
		{"family", []string{"s3:ObjectCreated:*"}, "", "", "ObjectCreated:Put", "k", true},
		{"exact", []string{"s3:ObjectCreated:Put"}, "", "", "ObjectCreated:Put", "k", true},
		{"other of the family", []string{"s3:ObjectCreated:Put"}, "", "", "ObjectCreated:Copy", "k", false},
		{"second event", []string{"s3:ObjectRemoved:*", "s3:ObjectCreated:Copy"}, "", "", "ObjectCreated:Copy", "k", true},
		{"lifecycle is no removal", []string{"s3:ObjectRemoved:*"}, "", "", "LifecycleExpiration:Delete", "k", false},
		{"prefix", []string{"s3:ObjectCreated:*"}, "c/", "", "ObjectCreated:Put", "c/x", true},
		{"not the prefix", []string{"s3:ObjectCreated:*"}, "c/", "", "ObjectCreated:Put", "d/c/", false},
		{"suffix", []string{"s3:ObjectCreated:*"}, "", ".jpg", "ObjectCreated:Put", "x.jpg", true},
		{"not the suffix", []string{"s3:ObjectCreated:*"}, "", ".jpg", "ObjectCreated:Put", "x.JPG", false},
		{"both", []string{"s3:ObjectCreated:*"}, "c/", ".jpg", "ObjectCreated:Put", "c/x.jpg", true},
		{"one of both", []string{"s3:ObjectCreated:*"}, "c/", ".jpg", "ObjectCreated:Put", "c/x", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var d taken
			n := notifierTo(t, &d, sources.BucketNotifications{Notifications: []sources.Notification{
				{Events: tt.events, Prefix: tt.prefix, Suffix: tt.suffix, TargetARN: functionARN},
			}})
			if err := n.Notify(context.Background(), objectEvent(tt.event, tt.key)); err != nil {
				t.Fatal(err)
			}
			if got := slices.Equal(d.functions, []string{functionARN}); got != tt.want {
				t.Errorf("delivered to %v", d.functions)
			}
		})
	}
}

func TestEventBridgeGetsEverythingUnencoded(t *testing.T) {
	var d taken
	n := notifierTo(t, &d, sources.BucketNotifications{EventBridge: true})
	for _, name := range []string{"ObjectCreated:Put", "ObjectRemoved:DeleteMarkerCreated", "ObjectRemoved:Delete", "ObjectTagging:Put", "ObjectRestore:Completed", "LifecycleExpiration:Delete"} {
		if err := n.Notify(context.Background(), objectEvent(name, "a b+c")); err != nil {
			t.Fatal(err)
		}
	}
	var kinds []string
	for _, e := range d.bus {
		kinds = append(kinds, e.DetailType)
	}
	if want := []string{"Object Created", "Object Deleted", "Object Deleted", "Object Tags Added", "Object Restore Completed", "Object Deleted"}; !slices.Equal(kinds, want) {
		t.Fatalf("events %q", kinds)
	}
	created := d.bus[0]
	if created.Source != "aws.s3" || !slices.Equal(created.Resources, []string{"arn:aws:s3:::content"}) || created.Time.IsZero() {
		t.Errorf("event %+v", created)
	}
	for i, want := range []string{
		`{"version":"0","bucket":{"name":"content"},"object":{"key":"a b+c","size":7,"etag":"0123","version-id":"v1","sequencer":"0055AED6DCD90281E5"},"request-id":"R1","requester":"000000000000","source-ip-address":"127.0.0.1","reason":"PutObject"}`,
		`{"version":"0","bucket":{"name":"content"},"object":{"key":"a b+c","etag":"d41d8cd98f00b204e9800998ecf8427e","version-id":"v1","sequencer":"0055AED6DCD90281E5"},"request-id":"R1","requester":"000000000000","source-ip-address":"127.0.0.1","reason":"DeleteObject","deletion-type":"Delete Marker Created"}`,
	} {
		if got := string(d.bus[i].Detail); got != want {
			t.Errorf("detail %s\nwant   %s", got, want)
		}
	}
	if !strings.Contains(string(d.bus[5].Detail), `"requester":"s3.amazonaws.com"`) {
		t.Errorf("expiration %s", d.bus[5].Detail)
	}
}

func TestNotifyFailsWhenSomebodyDidNotTakeIt(t *testing.T) {
	d := taken{err: errors.New("disk full")}
	n := notifierTo(t, &d, sources.BucketNotifications{Notifications: []sources.Notification{
		{Events: []string{"s3:ObjectCreated:*"}, TargetARN: functionARN}, {Events: []string{"s3:ObjectCreated:*"}, TargetARN: queuePrefix + "work"},
	}})
	err := n.Notify(context.Background(), objectEvent("ObjectCreated:Put", "k"))
	if err == nil || !strings.Contains(err.Error(), "s3://content/k") || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("got %v", err)
	}
	if len(d.functions) != 2 {
		t.Errorf("the second target was not tried: %v", d.functions)
	}
}

func TestTestEventGoesToQueuesAlone(t *testing.T) {
	var d taken
	n := notifierTo(t, &d, sources.BucketNotifications{Notifications: []sources.Notification{
		{Events: []string{"s3:ObjectCreated:*"}, TargetARN: functionARN}, {Events: []string{"s3:ObjectCreated:*"}, TargetARN: queuePrefix + "work"},
	}})
	if err := n.SendTestEvents(context.Background(), time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	var event map[string]string
	if err := json.Unmarshal([]byte(d.payloads[0]), &event); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(d.functions, []string{queuePrefix + "work"}) || event["Event"] != "s3:TestEvent" || event["Bucket"] != "content" || event["Service"] != "Amazon S3" || event["Time"] != "1970-01-01T00:00:00.000Z" {
		t.Errorf("%v %v", d.functions, event)
	}
}

func TestNotifierRefusesWhatCannotWork(t *testing.T) {
	tests := map[string]struct {
		b    sources.BucketNotifications
		want string
	}{
		"event":  {sources.BucketNotifications{Notifications: []sources.Notification{{Events: []string{"s3:ObjectMade:*"}, TargetARN: functionARN}}}, `unknown event "s3:ObjectMade:*"`},
		"prefix": {sources.BucketNotifications{Notifications: []sources.Notification{{Events: []string{"ObjectCreated:*"}, TargetARN: functionARN}}}, "unknown event"},
		"topic":  {sources.BucketNotifications{Notifications: []sources.Notification{{TargetARN: "arn:aws:sns:us-east-1:000000000000:t"}}}, "neither a queue nor a function"},
		"queue":  {sources.BucketNotifications{Notifications: []sources.Notification{{TargetARN: queuePrefix + "q"}}}, "nothing to deliver it with"},
		"bus":    {sources.BucketNotifications{EventBridge: true}, "there is no bus"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := sources.NotifierConfig{Buckets: []sources.BucketNotifications{tt.b}}
			if name != "queue" && name != "bus" {
				cfg.Functions = &taken{}
			}
			if _, err := sources.NewNotifier(cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one about %q", err, tt.want)
			}
		})
	}
}
