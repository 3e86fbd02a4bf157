package operation_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	streamtypes "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	eventtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/stowage-dev/stowage/scripts/local/gateway/operation"
)

const (
	tableARN  = "arn:aws:dynamodb:eu-west-1:000000000000:table/catalog"
	otherARN  = "arn:aws:dynamodb:eu-west-1:000000000000:table/other"
	streamARN = tableARN + "/stream/2026-11-22T00:00:00.000"
	queueARN  = "arn:aws:sqs:eu-west-1:000000000000:ingest"
	busARN    = "arn:aws:events:eu-west-1:000000000000:event-bus/bus"
	defaultB  = "arn:aws:events:eu-west-1:000000000000:event-bus/default"
	secretARN = "arn:aws:secretsmanager:eu-west-1:000000000000:secret:known-AbCdEf"
	roleARN   = "arn:aws:iam::000000000000:role/signer"
)

func TestDynamoDB(t *testing.T) {
	t.Parallel()
	table, other, index := aws.String("catalog"), aws.String("other"), aws.String("gsi1")
	item := map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: "x"}}
	for _, test := range []struct {
		name     string
		call     func(context.Context, *dynamodb.Client)
		resource string
		actions  []string
	}{
		{"GetItem", func(ctx context.Context, c *dynamodb.Client) {
			_, _ = c.GetItem(ctx, &dynamodb.GetItemInput{TableName: table, Key: item})
		}, tableARN, []string{"dynamodb:GetItem " + tableARN}},
		{"GetItem", func(ctx context.Context, c *dynamodb.Client) {
			_, _ = c.GetItem(ctx, &dynamodb.GetItemInput{TableName: aws.String(otherARN), Key: item})
		}, otherARN, []string{"dynamodb:GetItem " + otherARN}},
		{"PutItem", func(ctx context.Context, c *dynamodb.Client) {
			_, _ = c.PutItem(ctx, &dynamodb.PutItemInput{TableName: table, Item: item})
		}, tableARN, []string{"dynamodb:PutItem " + tableARN}},
		{"Query", func(ctx context.Context, c *dynamodb.Client) {
			_, _ = c.Query(ctx, &dynamodb.QueryInput{TableName: table})
		}, tableARN, []string{"dynamodb:Query " + tableARN}},
		{"Query", func(ctx context.Context, c *dynamodb.Client) {
			_, _ = c.Query(ctx, &dynamodb.QueryInput{TableName: table, IndexName: index})
		}, tableARN + "/index/gsi1", []string{"dynamodb:Query " + tableARN + "/index/gsi1"}},
		{"Scan", func(ctx context.Context, c *dynamodb.Client) {
			_, _ = c.Scan(ctx, &dynamodb.ScanInput{TableName: table, IndexName: index})
		}, tableARN + "/index/gsi1", []string{"dynamodb:Scan " + tableARN + "/index/gsi1"}},
		{"BatchGetItem", func(ctx context.Context, c *dynamodb.Client) {
			_, _ = c.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{"catalog": {Keys: []map[string]types.AttributeValue{item}}, "other": {Keys: []map[string]types.AttributeValue{item}}}})
		}, "*", []string{"dynamodb:BatchGetItem " + tableARN, "dynamodb:BatchGetItem " + otherARN}},
		{"BatchWriteItem", func(ctx context.Context, c *dynamodb.Client) {
			_, _ = c.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{"catalog": {{PutRequest: &types.PutRequest{Item: item}}}}})
		}, tableARN, []string{"dynamodb:BatchWriteItem " + tableARN}},
		{"TransactWriteItems", func(ctx context.Context, c *dynamodb.Client) {
			_, _ = c.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
				{Put: &types.Put{TableName: table, Item: item}},
				{Update: &types.Update{TableName: table, Key: item, UpdateExpression: aws.String("SET a = :a")}},
				{Put: &types.Put{TableName: table, Item: item}},
				{ConditionCheck: &types.ConditionCheck{TableName: table, Key: item, ConditionExpression: aws.String("a = :a")}},
				{Delete: &types.Delete{TableName: other, Key: item}},
			}})
		}, "*", []string{"dynamodb:PutItem " + tableARN, "dynamodb:UpdateItem " + tableARN, "dynamodb:ConditionCheckItem " + tableARN, "dynamodb:DeleteItem " + otherARN}},
		{"TransactGetItems", func(ctx context.Context, c *dynamodb.Client) {
			_, _ = c.TransactGetItems(ctx, &dynamodb.TransactGetItemsInput{TransactItems: []types.TransactGetItem{{Get: &types.Get{TableName: table, Key: item}}}})
		}, tableARN, []string{"dynamodb:GetItem " + tableARN}},
		{"ListTables", func(ctx context.Context, c *dynamodb.Client) { _, _ = c.ListTables(ctx, &dynamodb.ListTablesInput{}) }, "*", []string{"dynamodb:ListTables *"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := captured(t, operation.DynamoDB, func(ctx context.Context, endpoint *string) {
				test.call(ctx, dynamodb.New(dynamodb.Options{BaseEndpoint: endpoint, Region: region, Credentials: creds(), Retryer: aws.NopRetryer{}}))
			})
			check(t, got, test.name, test.resource, test.actions...)
		})
	}
}

func TestStreams(t *testing.T) {
	t.Parallel()
	client := func(endpoint *string) *dynamodbstreams.Client {
		return dynamodbstreams.New(dynamodbstreams.Options{BaseEndpoint: endpoint, Region: region, Credentials: creds(), Retryer: aws.NopRetryer{}})
	}
	got := captured(t, operation.DynamoDB, func(ctx context.Context, endpoint *string) {
		_, _ = client(endpoint).GetShardIterator(ctx, &dynamodbstreams.GetShardIteratorInput{StreamArn: aws.String(streamARN), ShardId: aws.String("shardId-00000000000000000001"), ShardIteratorType: streamtypes.ShardIteratorTypeLatest})
	})
	check(t, got, "GetShardIterator", streamARN, "dynamodb:GetShardIterator "+streamARN)
	for iterator, want := range map[string]string{streamARN + "|1|AAAA": streamARN, "opaque|x": "*", "opaque": "*"} {
		got := captured(t, operation.DynamoDB, func(ctx context.Context, endpoint *string) {
			_, _ = client(endpoint).GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: &iterator})
		})
		check(t, got, "GetRecords", want, "dynamodb:GetRecords "+want)
	}
}

func TestSQS(t *testing.T) {
	t.Parallel()
	url, body := aws.String("http://127.0.0.1:4566/000000000000/ingest"), aws.String("x")
	for _, test := range []struct {
		name     string
		call     func(context.Context, *sqs.Client)
		resource string
		action   string
	}{
		{"SendMessage", func(ctx context.Context, c *sqs.Client) {
			_, _ = c.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: url, MessageBody: body})
		}, queueARN, "sqs:SendMessage"},
		{"SendMessageBatch", func(ctx context.Context, c *sqs.Client) {
			_, _ = c.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: url, Entries: []sqstypes.SendMessageBatchRequestEntry{{Id: body, MessageBody: body}}})
		}, queueARN, "sqs:SendMessage"},
		{"DeleteMessageBatch", func(ctx context.Context, c *sqs.Client) {
			_, _ = c.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: url, Entries: []sqstypes.DeleteMessageBatchRequestEntry{{Id: body, ReceiptHandle: body}}})
		}, queueARN, "sqs:DeleteMessage"},
		{"GetQueueUrl", func(ctx context.Context, c *sqs.Client) {
			_, _ = c.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String("ingest")})
		}, queueARN, "sqs:GetQueueUrl"},
		{"StartMessageMoveTask", func(ctx context.Context, c *sqs.Client) {
			_, _ = c.StartMessageMoveTask(ctx, &sqs.StartMessageMoveTaskInput{SourceArn: aws.String(queueARN)})
		}, queueARN, "sqs:StartMessageMoveTask"},
		{"ListQueues", func(ctx context.Context, c *sqs.Client) { _, _ = c.ListQueues(ctx, &sqs.ListQueuesInput{}) }, "*", "sqs:ListQueues"},
	} {
		got := captured(t, "sqs", func(ctx context.Context, endpoint *string) {
			test.call(ctx, sqs.New(sqs.Options{BaseEndpoint: endpoint, Region: region, Credentials: creds(), Retryer: aws.NopRetryer{}}))
		})
		check(t, got, test.name, test.resource, test.action+" "+test.resource)
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	entry := func(bus *string) eventtypes.PutEventsRequestEntry {
		return eventtypes.PutEventsRequestEntry{EventBusName: bus, Source: aws.String("s"), DetailType: aws.String("d"), Detail: aws.String("{}")}
	}
	for _, test := range []struct {
		entries  []eventtypes.PutEventsRequestEntry
		resource string
		actions  []string
	}{
		{[]eventtypes.PutEventsRequestEntry{entry(aws.String("bus")), entry(aws.String(busARN))}, busARN, []string{"events:PutEvents " + busARN}},
		{[]eventtypes.PutEventsRequestEntry{entry(nil), entry(aws.String("bus"))}, "*", []string{"events:PutEvents " + defaultB, "events:PutEvents " + busARN}},
	} {
		got := captured(t, "events", func(ctx context.Context, endpoint *string) {
			_, _ = eventbridge.New(eventbridge.Options{BaseEndpoint: endpoint, Region: region, Credentials: creds(), Retryer: aws.NopRetryer{}}).PutEvents(ctx, &eventbridge.PutEventsInput{Entries: test.entries})
		})
		check(t, got, "PutEvents", test.resource, test.actions...)
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{secretARN: secretARN, "known": secretARN, "unknown": "arn:aws:secretsmanager:eu-west-1:000000000000:secret:unknown"} {
		got := captured(t, "secretsmanager", func(ctx context.Context, endpoint *string) {
			_, _ = secretsmanager.New(secretsmanager.Options{BaseEndpoint: endpoint, Region: region, Credentials: creds(), Retryer: aws.NopRetryer{}}).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &id})
		})
		check(t, got, "GetSecretValue", want, "secretsmanager:GetSecretValue "+want)
	}
	got := captured(t, "secretsmanager", func(ctx context.Context, endpoint *string) {
		_, _ = secretsmanager.New(secretsmanager.Options{BaseEndpoint: endpoint, Region: region, Credentials: creds(), Retryer: aws.NopRetryer{}}).BatchGetSecretValue(ctx, &secretsmanager.BatchGetSecretValueInput{SecretIdList: []string{"known"}})
	})
	check(t, got, "BatchGetSecretValue", "*", "secretsmanager:BatchGetSecretValue *", "secretsmanager:GetSecretValue "+secretARN)
}

func TestSTS(t *testing.T) {
	t.Parallel()
	client := func(endpoint *string) *sts.Client {
		return sts.New(sts.Options{BaseEndpoint: endpoint, Region: region, Credentials: creds(), Retryer: aws.NopRetryer{}})
	}
	got := captured(t, "sts", func(ctx context.Context, endpoint *string) {
		_, _ = client(endpoint).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: aws.String(roleARN), RoleSessionName: aws.String("s"), Tags: []ststypes.Tag{{Key: aws.String("k"), Value: aws.String("v")}}})
	})
	check(t, got, "AssumeRole", roleARN, "sts:AssumeRole "+roleARN, "sts:TagSession "+roleARN)
	got = captured(t, "sts", func(ctx context.Context, endpoint *string) {
		_, _ = client(endpoint).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	})
	check(t, got, "GetCallerIdentity", "*")
}

// TestOtherServices are derived from what their protocols show.
func TestOtherServices(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		service, path, target, body string
		name, resource, action      string
	}{
		{"kms", "/", "TrentService.Decrypt", `{"CiphertextBlob":"AA=="}`, "Decrypt", "*", "kms:Decrypt *"},
		{"kms", "/", "TrentService.Encrypt", `{"KeyId":"1234"}`, "Encrypt", "arn:aws:kms:eu-west-1:000000000000:key/1234", "kms:Encrypt arn:aws:kms:eu-west-1:000000000000:key/1234"},
		{"kms", "/", "TrentService.Encrypt", `{"KeyId":"alias/a"}`, "Encrypt", "arn:aws:kms:eu-west-1:000000000000:alias/a", "kms:Encrypt arn:aws:kms:eu-west-1:000000000000:alias/a"},
		{"lambda", "/2015-03-31/functions/f/invocations", "", "", "Invoke", "arn:aws:lambda:eu-west-1:000000000000:function:f", "lambda:InvokeFunction arn:aws:lambda:eu-west-1:000000000000:function:f"},
		{"lambda", "/2015-03-31/functions", "", "", "", "*", ""},
		{"logs", "/", "Logs_20140328.PutLogEvents", "{}", "PutLogEvents", "*", "logs:PutLogEvents *"},
		{"sqs", "/", "", "Action=SendMessage", "", "*", ""},
		{"dynamodb", "/", "DynamoDB_20120810.GetItem", "not JSON", "GetItem", "*", "dynamodb:GetItem *"},
	} {
		r := httptest.NewRequest(http.MethodPost, test.path, strings.NewReader(test.body))
		r.Header.Set("X-Amz-Target", test.target)
		var actions []string
		if test.action != "" {
			actions = []string{test.action}
		}
		check(t, newDeriver().Derive(test.service, r, []byte(test.body)), test.name, test.resource, actions...)
	}
}
