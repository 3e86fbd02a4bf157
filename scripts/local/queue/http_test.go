package queue_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/stowage-dev/stowage/scripts/local/queue"
)

// client is the SDK's client of a broker with the queues q, dead and q.fifo. The
// SDK checks the digests of bodies itself.
func client(tb testing.TB) *sqs.Client {
	tb.Helper()
	dead, q, fifo := named("dead"), named("q"), named("q.fifo")
	q.RedriveTarget, q.MaxReceiveCount = dead.ARN, 1
	server := httptest.NewServer(openWith(tb, q, dead, fifo))
	tb.Cleanup(server.Close)
	return sqs.New(sqs.Options{
		Region: "us-east-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""), RetryMaxAttempts: 1,
	})
}

func url(name string) *string { return aws.String(named(name).URL) }

func wantAPIError(tb testing.TB, err error, code string) {
	tb.Helper()
	var apiError smithy.APIError
	if !errors.As(err, &apiError) || apiError.ErrorCode() != code {
		tb.Errorf("error %v, want %s", err, code)
	}
}

func TestAttributesGoThereAndBack(t *testing.T) {
	c, ctx := client(t), context.Background()
	attributes := map[string]types.MessageAttributeValue{
		"text":   {DataType: aws.String("String"), StringValue: aws.String("value")},
		"number": {DataType: aws.String("Number.int"), StringValue: aws.String("42")},
		"bytes":  {DataType: aws.String("Binary"), BinaryValue: []byte{0, 1, 254, 255}},
	}
	sent, err := c.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl: url("q"), MessageBody: aws.String("body"), MessageAttributes: attributes,
		MessageSystemAttributes: map[string]types.MessageSystemAttributeValue{"AWSTraceHeader": {DataType: aws.String("String"), StringValue: aws.String("Root=1")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if *sent.MD5OfMessageBody != "841a2d689ad86bd1611447453c22c6fc" || *sent.MD5OfMessageAttributes == "" || *sent.MD5OfMessageSystemAttributes == "" {
		t.Errorf("digests %s, %s, %s", *sent.MD5OfMessageBody, *sent.MD5OfMessageAttributes, *sent.MD5OfMessageSystemAttributes)
	}
	got, err := c.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: url("q"), MessageAttributeNames: []string{"All"}, MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
	})
	if err != nil || len(got.Messages) != 1 {
		t.Fatalf("%d messages, %v", len(got.Messages), err)
	}
	m := got.Messages[0]
	if *m.MD5OfMessageAttributes != *sent.MD5OfMessageAttributes || string(m.MessageAttributes["bytes"].BinaryValue) != "\x00\x01\xfe\xff" ||
		*m.MessageAttributes["number"].StringValue != "42" || m.Attributes["AWSTraceHeader"] != "Root=1" || m.Attributes["SenderId"] != "000000000000" {
		t.Errorf("received %+v", m)
	}
}

// TestDigestOfAttributes compares with a digest that SQS gave:
// https://github.com/getmoto/moto/blob/master/tests/test_sqs/test_sqs.py
func TestDigestOfAttributes(t *testing.T) {
	b := openWith(t, named("q"))
	sent := send(t, b, "q", queue.Message{Body: "derp", Attributes: map[string]queue.Attribute{
		"timestamp": {DataType: "Number", StringValue: ptr("1493147359900")},
	}})
	if want := "235c5c510d26fb653d073faed50ae77c"; sent.MD5OfAttributes != want {
		t.Errorf("digest %s, want %s", sent.MD5OfAttributes, want)
	}
}

func TestReceiveShowsOnlyWhatIsAskedFor(t *testing.T) {
	c, ctx := client(t), context.Background()
	_, err := c.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: url("dead"), MessageBody: aws.String("x"), MessageAttributes: map[string]types.MessageAttributeValue{
		"a.one": {DataType: aws.String("String"), StringValue: aws.String("1")}, "b": {DataType: aws.String("String"), StringValue: aws.String("2")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		system, names        []string
		wantSystem, wantUser int
	}{
		{nil, nil, 0, 0},
		{[]string{"SentTimestamp"}, []string{"b"}, 1, 1},
		{[]string{"SentTimestamp", "SenderId"}, []string{"a.*"}, 2, 1},
		{nil, []string{".*"}, 0, 2},
	} {
		var system []types.MessageSystemAttributeName
		for _, name := range tt.system {
			system = append(system, types.MessageSystemAttributeName(name))
		}
		got, err := c.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: url("dead"), MessageSystemAttributeNames: system, MessageAttributeNames: tt.names, VisibilityTimeout: 0})
		if err != nil || len(got.Messages) != 1 {
			t.Fatalf("%v: %v", got, err)
		}
		m := got.Messages[0]
		if len(m.Attributes) != tt.wantSystem || len(m.MessageAttributes) != tt.wantUser {
			t.Errorf("asked for %v and %v, got %v and %v", tt.system, tt.names, m.Attributes, m.MessageAttributes)
		}
		_, err = c.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{QueueUrl: url("dead"), ReceiptHandle: m.ReceiptHandle})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestBatchesFailPartly(t *testing.T) {
	c, ctx := client(t), context.Background()
	entry := func(id, body string) types.SendMessageBatchRequestEntry {
		return types.SendMessageBatchRequestEntry{Id: aws.String(id), MessageBody: aws.String(body)}
	}
	sent, err := c.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: url("q"), Entries: []types.SendMessageBatchRequestEntry{
		entry("1", "good"), entry("2", "bad \x01"), entry("3", "good too"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(sent.Successful) != 2 || len(sent.Failed) != 1 || *sent.Failed[0].Id != "2" || *sent.Failed[0].Code != "InvalidMessageContents" || !sent.Failed[0].SenderFault {
		t.Fatalf("%+v %+v", sent.Successful, sent.Failed)
	}
	got, err := c.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: url("q"), MaxNumberOfMessages: 10})
	if err != nil || len(got.Messages) != 2 {
		t.Fatalf("%v %v", got, err)
	}
	changed, err := c.ChangeMessageVisibilityBatch(ctx, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: url("q"), Entries: []types.ChangeMessageVisibilityBatchRequestEntry{
		{Id: aws.String("1"), ReceiptHandle: got.Messages[0].ReceiptHandle, VisibilityTimeout: 60}, {Id: aws.String("2"), ReceiptHandle: aws.String("x"), VisibilityTimeout: 60},
	}})
	if err != nil || len(changed.Successful) != 1 || *changed.Failed[0].Code != "ReceiptHandleIsInvalid" {
		t.Errorf("%+v %v", changed, err)
	}
	deleted, err := c.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: url("q"), Entries: []types.DeleteMessageBatchRequestEntry{
		{Id: aws.String("1"), ReceiptHandle: got.Messages[0].ReceiptHandle}, {Id: aws.String("2"), ReceiptHandle: aws.String("x")},
	}})
	if err != nil || len(deleted.Successful) != 1 || len(deleted.Failed) != 1 {
		t.Errorf("%+v %v", deleted, err)
	}

	var eleven []types.SendMessageBatchRequestEntry
	for _, id := range strings.Split("abcdefghijk", "") {
		eleven = append(eleven, entry(id, "x"))
	}
	half := strings.Repeat("x", 1<<19)
	for name, tt := range map[string]struct {
		entries []types.SendMessageBatchRequestEntry
		code    string
	}{
		"none":         {[]types.SendMessageBatchRequestEntry{}, "AWS.SimpleQueueService.EmptyBatchRequest"},
		"eleven":       {eleven, "AWS.SimpleQueueService.TooManyEntriesInBatchRequest"},
		"same id":      {[]types.SendMessageBatchRequestEntry{entry("1", "x"), entry("1", "y")}, "AWS.SimpleQueueService.BatchEntryIdsNotDistinct"},
		"bad id":       {[]types.SendMessageBatchRequestEntry{entry("a b", "x")}, "AWS.SimpleQueueService.InvalidBatchEntryId"},
		"one MiB":      {[]types.SendMessageBatchRequestEntry{entry("1", half), entry("2", half)}, ""},
		"over one MiB": {[]types.SendMessageBatchRequestEntry{entry("1", half), entry("2", half+"x")}, "AWS.SimpleQueueService.BatchRequestTooLong"},
	} {
		_, err := c.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: url("dead"), Entries: tt.entries})
		if tt.code == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		var apiError smithy.APIError
		if !errors.As(err, &apiError) || !strings.HasSuffix(tt.code, apiError.ErrorCode()) {
			t.Errorf("%s: %v, want %s", name, err, tt.code)
		}
	}
}

func TestQueueIsDescribed(t *testing.T) {
	c, ctx := client(t), context.Background()
	got, err := c.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: url("q"), AttributeNames: []types.QueueAttributeName{"All"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"QueueArn": prefix + "q", "VisibilityTimeout": "30", "MessageRetentionPeriod": "345600", "MaximumMessageSize": "1048576", "DelaySeconds": "0",
		"RedrivePolicy": `{"deadLetterTargetArn":"` + prefix + `dead","maxReceiveCount":1}`, "ApproximateNumberOfMessages": "0",
	} {
		if got.Attributes[name] != want {
			t.Errorf("%s = %q, want %q", name, got.Attributes[name], want)
		}
	}
	some, err := c.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: url("dead"), AttributeNames: []types.QueueAttributeName{"DelaySeconds", "RedrivePolicy"}})
	if err != nil || len(some.Attributes) != 1 {
		t.Errorf("%v %v", some, err)
	}
	_, err = c.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: url("q"), AttributeNames: []types.QueueAttributeName{"Colour"}})
	wantAPIError(t, err, "InvalidAttributeName")

	found, err := c.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String("q.fifo")})
	if err != nil || *found.QueueUrl != *url("q.fifo") {
		t.Errorf("%v %v", found, err)
	}
	_, err = c.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String("none")})
	var missing *types.QueueDoesNotExist
	if !errors.As(err, &missing) {
		t.Errorf("got %v", err)
	}
	listed, err := c.ListQueues(ctx, &sqs.ListQueuesInput{QueueNamePrefix: aws.String("q")})
	if err != nil || len(listed.QueueUrls) != 2 {
		t.Errorf("%v %v", listed, err)
	}
	sources, err := c.ListDeadLetterSourceQueues(ctx, &sqs.ListDeadLetterSourceQueuesInput{QueueUrl: url("dead")})
	if err != nil || len(sources.QueueUrls) != 1 || sources.QueueUrls[0] != *url("q") {
		t.Errorf("%v %v", sources, err)
	}
	_, err = c.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("new")})
	wantAPIError(t, err, "AWS.SimpleQueueService.UnsupportedOperation")
	if err == nil || !strings.Contains(err.Error(), "CreateQueue") {
		t.Errorf("the error does not name the operation: %v", err)
	}
}

func TestMoveTaskRedrives(t *testing.T) {
	c, ctx := client(t), context.Background()
	for _, body := range []string{"a", "b", "c"} {
		if _, err := c.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: url("q"), MessageBody: &body}); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // once to receive, once more to be found dead
		if _, err := c.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: url("q"), MaxNumberOfMessages: 10, VisibilityTimeout: 1}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1100 * time.Millisecond)
	}
	count := func(name string) string {
		got, err := c.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: url(name), AttributeNames: []types.QueueAttributeName{"ApproximateNumberOfMessages"}})
		if err != nil {
			t.Fatal(err)
		}
		return got.Attributes["ApproximateNumberOfMessages"]
	}
	if n := count("dead"); n != "3" {
		t.Fatalf("%s dead letters", n)
	}
	_, err := c.StartMessageMoveTask(ctx, &sqs.StartMessageMoveTaskInput{SourceArn: aws.String(prefix + "q")})
	wantAPIError(t, err, "InvalidParameterValue")
	slow, err := c.StartMessageMoveTask(ctx, &sqs.StartMessageMoveTaskInput{SourceArn: aws.String(prefix + "dead"), MaxNumberOfMessagesPerSecond: aws.Int32(1)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.CancelMessageMoveTask(ctx, &sqs.CancelMessageMoveTaskInput{TaskHandle: slow.TaskHandle}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.StartMessageMoveTask(ctx, &sqs.StartMessageMoveTaskInput{SourceArn: aws.String(prefix + "dead")}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); count("dead") != "0" && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
	if n := count("q"); n != "3" {
		t.Errorf("%s messages came back", n)
	}
	listed, err := c.ListMessageMoveTasks(ctx, &sqs.ListMessageMoveTasksInput{SourceArn: aws.String(prefix + "dead"), MaxResults: aws.Int32(10)})
	if err != nil || len(listed.Results) != 2 || *listed.Results[0].Status != "COMPLETED" {
		t.Errorf("%+v %v", listed.Results, err)
	}
	back, err := c.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: url("q"), MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"}})
	if err != nil || len(back.Messages) != 1 || back.Messages[0].Attributes["ApproximateReceiveCount"] != "1" || back.Messages[0].Attributes["DeadLetterQueueSourceArn"] != "" {
		t.Errorf("%+v %v", back, err)
	}
}

func TestBadRequestsGetTheServicesErrors(t *testing.T) {
	server := httptest.NewServer(openWith(t, named("q")))
	defer server.Close()
	tests := map[string]struct{ target, body, want string }{
		"no target":     {"", "{}", "UnknownOperationException"},
		"no operation":  {"AmazonSQS.Nonsense", "{}", "UnsupportedOperation"},
		"no JSON":       {"AmazonSQS.SendMessage", "{", "SerializationException"},
		"wrong type":    {"AmazonSQS.SendMessage", `{"MessageBody":1}`, "SerializationException"},
		"no queue":      {"AmazonSQS.SendMessage", `{"MessageBody":"x"}`, "QueueDoesNotExist"},
		"zero messages": {"AmazonSQS.ReceiveMessage", `{"QueueUrl":"q","MaxNumberOfMessages":0}`, "InvalidParameterValue"},
		"wait":          {"AmazonSQS.ReceiveMessage", `{"QueueUrl":"q","WaitTimeSeconds":21}`, "InvalidParameterValue"},
		"visibility":    {"AmazonSQS.ChangeMessageVisibility", `{"QueueUrl":"q"}`, "MissingParameter"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			request, err := http.NewRequest(http.MethodPost, server.URL, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("X-Amz-Target", tt.target)
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			if response.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), `"__type":"com.amazonaws.sqs#`+tt.want+`"`) ||
				!strings.HasSuffix(response.Header.Get("X-Amzn-Query-Error"), ";Sender") {
				t.Errorf("%d %s %s", response.StatusCode, response.Header.Get("X-Amzn-Query-Error"), body)
			}
		})
	}
}

func FuzzServeHTTP(f *testing.F) {
	f.Add("SendMessage", `{"QueueUrl":"q","MessageBody":"x","MessageAttributes":{"a":{"DataType":"String","StringValue":"v"}}}`)
	f.Add("ReceiveMessage", `{"QueueUrl":"q","WaitTimeSeconds":0}`)
	f.Add("DeleteMessage", `{"QueueUrl":"q","ReceiptHandle":"cQphCmI="}`)
	f.Add("SendMessageBatch", `{"QueueUrl":"q","Entries":[{"Id":"1","MessageBody":"x"}]}`)
	f.Add("ChangeMessageVisibility", `{"QueueUrl":"q","ReceiptHandle":"cQphCmI=","VisibilityTimeout":-1}`)
	f.Add("StartMessageMoveTask", `{"SourceArn":"q"}`)
	b := openWith(f, named("q"))
	f.Fuzz(func(t *testing.T, operation, body string) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		request := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)).WithContext(ctx)
		request.Header.Set("X-Amz-Target", "AmazonSQS."+operation)
		answer := httptest.NewRecorder()
		b.ServeHTTP(answer, request)
		if answer.Code == http.StatusInternalServerError && ctx.Err() == nil {
			t.Errorf("%s %s: %s", operation, body, answer.Body)
		}
	})
}

func BenchmarkSendReceiveDelete(b *testing.B) {
	broker := open(b, queue.Config{Queues: []queue.Queue{named("q")}, Path: b.TempDir() + "/queues.db"})
	for b.Loop() {
		send(b, broker, "q", text("a body of a usual length, more or less"))
		remove(b, broker, "q", receive(b, broker, "q", 1)[0])
	}
}
