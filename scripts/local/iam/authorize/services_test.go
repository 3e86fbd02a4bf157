package authorize_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	eb "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"
)

// TestS3 makes the calls of the upload's way, as who makes them and as somebody else.
func TestS3(t *testing.T) {
	t.Parallel()
	f := start(t, newAuthorizer(t, config()))
	b, available, pending, v1 := aws.String("content"), aws.String("c/ws/available"), aws.String("c/ws/pending"), aws.String("v1")
	tags := &s3types.Tagging{TagSet: []s3types.Tag{{Key: aws.String("stowage"), Value: aws.String("available")}}}
	put := func(in *s3.PutObjectInput) func(context.Context, *s3.Client) error {
		return func(ctx context.Context, c *s3.Client) error {
			in.Bucket, in.Body = b, strings.NewReader("x")
			_, err := c.PutObject(ctx, in)
			return err
		}
	}
	get := func(in *s3.GetObjectInput) func(context.Context, *s3.Client) error {
		return func(ctx context.Context, c *s3.Client) error {
			in.Bucket = b
			_, err := c.GetObject(ctx, in)
			return err
		}
	}
	const obj, ctxKeys = bucket + "/c/ws/available", bucket + "/c/ws/pending"
	for name, test := range map[string]struct {
		who   string
		call  func(context.Context, *s3.Client) error
		want  string
		asked string
	}{
		"signer puts":                    {signer, put(&s3.PutObjectInput{Key: pending}), "", "s3:PutObject " + ctxKeys + ", kms:GenerateDataKey " + dataKey},
		"signer puts elsewhere":          {signer, put(&s3.PutObjectInput{Key: aws.String("d/x")}), "no identity-based policy allows the s3:PutObject action", "s3:PutObject " + bucket + "/d/x"},
		"signer puts with tags":          {signer, put(&s3.PutObjectInput{Key: pending, Tagging: aws.String("stowage=available")}), "explicit deny in a resource-based policy", ""},
		"signer names another key":       {signer, put(&s3.PutObjectInput{Key: pending, ServerSideEncryption: s3types.ServerSideEncryptionAwsKms, SSEKMSKeyId: aws.String("other")}), "kms:GenerateDataKey on resource: " + otherKey, "s3:PutObject " + ctxKeys + ", kms:GenerateDataKey " + otherKey},
		"signer has S3 encrypt":          {signer, put(&s3.PutObjectInput{Key: pending, ServerSideEncryption: s3types.ServerSideEncryptionAes256}), "", "s3:PutObject " + ctxKeys},
		"signer reads what is available": {signer, get(&s3.GetObjectInput{Key: available, VersionId: v1}), "", "s3:GetObjectVersion " + obj + ", kms:Decrypt " + dataKey},
		"signer reads what is pending":   {signer, get(&s3.GetObjectInput{Key: pending, VersionId: v1}), "explicit deny in a resource-based policy", "s3:GetObjectVersion " + ctxKeys},
		"signer reads the newest":        {signer, get(&s3.GetObjectInput{Key: available}), "no identity-based policy allows the s3:GetObject action", "s3:GetObject " + obj},
		"ingest reads what is pending":   {ingest, get(&s3.GetObjectInput{Key: pending, VersionId: v1}), "", "s3:GetObjectVersion " + ctxKeys + ", kms:Decrypt " + dataKey},
		"the developer is quarantined":   {developer, get(&s3.GetObjectInput{Key: pending}), "explicit deny", ""},
		"ingest heads": {ingest, func(ctx context.Context, c *s3.Client) error {
			_, err := c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: b, Key: pending, VersionId: v1})
			return err
		}, "", "s3:GetObjectVersion " + ctxKeys},
		"ingest heads with checksum": {ingest, func(ctx context.Context, c *s3.Client) error {
			_, err := c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: b, Key: pending, VersionId: v1, ChecksumMode: s3types.ChecksumModeEnabled})
			return err
		}, "", "s3:GetObjectVersion " + ctxKeys + ", kms:Decrypt " + dataKey},
		"ingest tags": {ingest, func(ctx context.Context, c *s3.Client) error {
			_, err := c.PutObjectTagging(ctx, &s3.PutObjectTaggingInput{Bucket: b, Key: pending, VersionId: v1, Tagging: tags})
			return err
		}, "", "s3:PutObjectVersionTagging " + ctxKeys},
		"signer tags": {signer, func(ctx context.Context, c *s3.Client) error {
			_, err := c.PutObjectTagging(ctx, &s3.PutObjectTaggingInput{Bucket: b, Key: pending, VersionId: v1, Tagging: tags})
			return err
		}, "explicit deny", ""},
		"ingest erases": {ingest, func(ctx context.Context, c *s3.Client) error {
			_, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: b, Key: pending, VersionId: v1})
			return err
		}, "", "s3:DeleteObjectVersion " + ctxKeys},
		"ingest deletes softly": {ingest, func(ctx context.Context, c *s3.Client) error {
			_, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: b, Key: pending})
			return err
		}, "s3:DeleteObject on resource: " + ctxKeys, ""},
		"ingest lists": {ingest, func(ctx context.Context, c *s3.Client) error {
			_, err := c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: b})
			return err
		}, "s3:ListBucket on resource: " + bucket, ""},
		"ingest erases many, one elsewhere": {ingest, func(ctx context.Context, c *s3.Client) error {
			_, err := c.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: b, Delete: &s3types.Delete{Objects: []s3types.ObjectIdentifier{{Key: pending, VersionId: v1}, {Key: aws.String("d/x"), VersionId: v1}}}})
			return err
		}, "s3:DeleteObjectVersion on resource: " + bucket + "/d/x", ""},
		"signer creates a multipart upload": {signer, func(ctx context.Context, c *s3.Client) error {
			_, err := c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: b, Key: pending})
			return err
		}, "", "s3:PutObject " + ctxKeys + ", kms:GenerateDataKey " + dataKey},
		"signer uploads a part": {signer, func(ctx context.Context, c *s3.Client) error {
			_, err := c.UploadPart(ctx, &s3.UploadPartInput{Bucket: b, Key: pending, UploadId: v1, PartNumber: aws.Int32(1), Body: strings.NewReader("x")})
			return err
		}, "", "s3:PutObject " + ctxKeys + ", kms:Decrypt " + dataKey},
		"signer completes": {signer, func(ctx context.Context, c *s3.Client) error {
			_, err := c.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: b, Key: pending, UploadId: v1, MultipartUpload: &s3types.CompletedMultipartUpload{}})
			return err
		}, "", "s3:PutObject " + ctxKeys},
		"signer completes with checksums": {signer, func(ctx context.Context, c *s3.Client) error {
			_, err := c.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: b, Key: pending, UploadId: v1, ChecksumCRC64NVME: aws.String("AAAAAAAAAAA="), MultipartUpload: &s3types.CompletedMultipartUpload{}})
			return err
		}, "", "s3:PutObject " + ctxKeys + ", kms:Decrypt " + dataKey},
	} {
		err := test.call(t.Context(), f.s3(f.as(t, test.who, nil)))
		denied(t, name, err, test.want)
		if test.asked != "" && f.asked() != test.asked {
			t.Errorf("%s: asked for %s, want %s", name, f.asked(), test.asked)
		}
	}
}

// TestS3Keys are the condition keys of S3's own.
func TestS3Keys(t *testing.T) {
	t.Parallel()
	f := start(t, newAuthorizer(t, config()))
	c, ctx, b, k := f.s3(f.as(t, developer, nil)), t.Context(), aws.String("content"), aws.String("c/ws/available")
	expect := func(name, action, want string) {
		t.Helper()
		got := strings.Join(strings.Fields(strings.NewReplacer(
			"s3:authtype=REST-HEADER", "", "s3:signatureversion=AWS4-HMAC-SHA256", "", "s3:resourceaccount=000000000000", "", "s3:tlsversion=1.3", "",
		).Replace(f.keys(action, "s3:"))), " ")
		var kept []string
		for _, key := range strings.Fields(got) {
			if !strings.HasPrefix(key, "s3:signatureage=") && !strings.HasPrefix(key, "s3:x-amz-content-sha256=") {
				kept = append(kept, key)
			}
		}
		if got := strings.Join(kept, " "); got != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
	_, _ = c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: b, Prefix: aws.String("c/"), Delimiter: aws.String("/"), MaxKeys: aws.Int32(10)})
	expect("list", "s3:ListBucket", "s3:delimiter=/ s3:max-keys=10 s3:prefix=c/")
	_, _ = c.PutObject(ctx, &s3.PutObjectInput{Bucket: b, Key: k, Body: strings.NewReader("x"), ACL: s3types.ObjectCannedACLPrivate, StorageClass: s3types.StorageClassGlacier, IfNoneMatch: aws.String("*"),
		Tagging: aws.String("a=1&b=2"), ObjectLockMode: s3types.ObjectLockModeGovernance, ObjectLockLegalHoldStatus: s3types.ObjectLockLegalHoldStatusOn, ServerSideEncryption: s3types.ServerSideEncryptionAes256})
	expect("put", "s3:PutObject", "s3:if-none-match=* s3:object-lock-legal-hold=ON s3:object-lock-mode=GOVERNANCE s3:objectcreationoperation=true s3:requestobjecttag/a=1 s3:requestobjecttag/b=2 s3:requestobjecttagkeys=a|b s3:x-amz-acl=private s3:x-amz-server-side-encryption=AES256 s3:x-amz-storage-class=GLACIER")
	_, _ = c.PutObjectTagging(ctx, &s3.PutObjectTaggingInput{Bucket: b, Key: k, VersionId: aws.String("v1"), Tagging: &s3types.Tagging{TagSet: []s3types.Tag{{Key: aws.String("x"), Value: aws.String("y")}}}})
	expect("tag", "s3:PutObjectVersionTagging", "s3:existingobjecttag/stowage=available s3:requestobjecttag/x=y s3:requestobjecttagkeys=x s3:versionid=v1")
	_, _ = c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: b, Key: k, VersionId: aws.String("v1")})
	expect("delete", "s3:DeleteObjectVersion", "s3:versionid=v1") // which has no key for existing tags
	_, _ = c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: b, Key: k})
	expect("multipart", "s3:PutObject", "s3:objectcreationoperation=false")
	if got := f.keys("s3:PutObject", "s3:authtype"); got != "s3:authtype=REST-HEADER" {
		t.Errorf("signed in the header: %s", got)
	}
	if got := f.keys("kms:GenerateDataKey", "kms:", "aws:calledvia", "aws:viaaws"); got != "aws:calledvia=s3.amazonaws.com aws:calledviafirst=s3.amazonaws.com aws:calledvialast=s3.amazonaws.com aws:viaawsservice=true "+
		"kms:calleraccount=000000000000 kms:encryptionalgorithm=SYMMETRIC_DEFAULT kms:encryptioncontext:aws:s3:arn=arn:aws:s3:::content kms:encryptioncontextkeys=aws:s3:arn kms:viaservice=s3.us-east-1.amazonaws.com" {
		t.Errorf("via S3: %s", got)
	}
}

func str(s string) ddb.AttributeValue { return &ddb.AttributeValueMemberS{Value: s} }

func TestDynamoDB(t *testing.T) {
	t.Parallel()
	f := start(t, newAuthorizer(t, config()))
	name := aws.String("catalog")
	key := map[string]ddb.AttributeValue{"pk": str("W#alpha"), "sk": str("WORKSPACE")}
	getItem := func(ctx context.Context, c *dynamodb.Client) error {
		_, err := c.GetItem(ctx, &dynamodb.GetItemInput{TableName: name, Key: key, ProjectionExpression: aws.String("#n, meta.size"), ExpressionAttributeNames: map[string]string{"#n": "name"}, ReturnConsumedCapacity: ddb.ReturnConsumedCapacityTotal})
		return err
	}
	for what, test := range map[string]struct {
		who         string
		tags        map[string]string
		call        func(context.Context, *dynamodb.Client) error
		want, asked string
		keys        string
	}{
		"own workspace": {who: api, tags: map[string]string{"workspace": "alpha"}, call: getItem, asked: "dynamodb:GetItem " + table + ", kms:Decrypt " + dataKey,
			keys: "dynamodb:attributes=meta|name|pk|sk dynamodb:leadingkeys=W#alpha dynamodb:returnconsumedcapacity=TOTAL"},
		"another workspace": {who: api, tags: map[string]string{"workspace": "beta"}, call: getItem, want: "dynamodb:GetItem on resource: " + table + " because no identity-based policy"},
		"query of an index": {who: api, call: func(ctx context.Context, c *dynamodb.Client) error {
			_, err := c.Query(ctx, &dynamodb.QueryInput{TableName: name, IndexName: aws.String("gsi1"), KeyConditionExpression: aws.String("#p = :p AND begins_with(gsi1sk, :s)"), FilterExpression: aws.String("NOT attribute_exists(gone) AND size(tags[0].x) > :n"),
				ExpressionAttributeNames: map[string]string{"#p": "gsi1pk"}, ExpressionAttributeValues: map[string]ddb.AttributeValue{":p": str("W#alpha#DIR#"), ":s": str("a"), ":n": &ddb.AttributeValueMemberN{Value: "1"}}, Select: ddb.SelectAllProjectedAttributes})
			return err
		}, asked: "dynamodb:Query " + table + "/index/gsi1, kms:Decrypt " + dataKey,
			keys: "dynamodb:attributes=gone|gsi1pk|gsi1sk|tags dynamodb:leadingkeys=W#alpha#DIR# dynamodb:select=ALL_PROJECTED_ATTRIBUTES"},
		"query of the table": {who: api, call: func(ctx context.Context, c *dynamodb.Client) error {
			_, err := c.Query(ctx, &dynamodb.QueryInput{TableName: name})
			return err
		}, want: "dynamodb:Query on resource: " + table},
		"transaction": {who: ingest, call: func(ctx context.Context, c *dynamodb.Client) error {
			_, err := c.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []ddb.TransactWriteItem{
				{Put: &ddb.Put{TableName: name, Item: key}},
				{Update: &ddb.Update{TableName: name, Key: key, UpdateExpression: aws.String("SET avail = avail - :n, #x.y = if_not_exists(z, :n) REMOVE w"), ConditionExpression: aws.String("avail >= :n"), ExpressionAttributeNames: map[string]string{"#x": "nested"}, ExpressionAttributeValues: map[string]ddb.AttributeValue{":n": str("1")}}},
			}})
			return err
		}, asked: "dynamodb:PutItem " + table + ", kms:Decrypt " + dataKey + ", dynamodb:UpdateItem " + table + ", kms:Decrypt " + dataKey,
			keys: "dynamodb:attributes=avail|nested|pk|sk|w|z dynamodb:enclosingoperation=TransactWriteItems dynamodb:leadingkeys=W#alpha"},
		"transaction with an item too many": {who: ingest, call: func(ctx context.Context, c *dynamodb.Client) error {
			_, err := c.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []ddb.TransactWriteItem{{Put: &ddb.Put{TableName: name, Item: key}}, {Delete: &ddb.Delete{TableName: name, Key: key}}}})
			return err
		}, want: "dynamodb:DeleteItem on resource: " + table},
		"batch": {who: developer, call: func(ctx context.Context, c *dynamodb.Client) error {
			_, err := c.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]ddb.WriteRequest{"catalog": {{PutRequest: &ddb.PutRequest{Item: map[string]ddb.AttributeValue{"pk": str("a")}}}, {DeleteRequest: &ddb.DeleteRequest{Key: map[string]ddb.AttributeValue{"pk": str("b")}}}}}})
			return err
		}, keys: "dynamodb:attributes=pk dynamodb:leadingkeys=a|b"},
		"batch of reads": {who: developer, call: func(ctx context.Context, c *dynamodb.Client) error {
			_, err := c.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]ddb.KeysAndAttributes{"catalog": {Keys: []map[string]ddb.AttributeValue{{"pk": str("a")}, {"pk": str("b")}}, AttributesToGet: []string{"x"}}}})
			return err
		}, keys: "dynamodb:attributes=pk|x dynamodb:leadingkeys=a|b"},
	} {
		denied(t, what, test.call(t.Context(), f.dynamodb(f.as(t, test.who, test.tags))), test.want)
		if test.asked != "" && f.asked() != test.asked {
			t.Errorf("%s: asked for %s, want %s", what, f.asked(), test.asked)
		}
		if test.keys == "" {
			continue
		}
		last := ""
		for _, o := range f.got {
			if strings.HasPrefix(o.Request.Action, "dynamodb:") {
				last = o.Request.Action
			}
		}
		if what == "transaction" { // the keys of the update are those of its part alone
			if got := f.keys("dynamodb:PutItem", "dynamodb:attributes"); got != "dynamodb:attributes=pk|sk" {
				t.Errorf("%s: put of %s", what, got)
			}
		}
		if got := f.keys(last, "dynamodb:"); got != test.keys {
			t.Errorf("%s:\n got %s\nwant %s", what, got, test.keys)
		}
	}
}

func TestOtherServices(t *testing.T) {
	t.Parallel()
	f := start(t, newAuthorizer(t, config()))
	ctx := t.Context()
	url := aws.String(f.Endpoint() + "/000000000000/ingest")

	_, err := f.sqs(f.as(t, ingest, nil)).ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: url})
	denied(t, "receive", err, "")
	if f.asked() != "sqs:ReceiveMessage "+queue+", kms:Decrypt "+dataKey {
		t.Errorf("receive: asked for %s", f.asked())
	}
	_, err = f.sqs(f.as(t, ingest, nil)).SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String("x")})
	denied(t, "send", err, "is not authorized to perform: sqs:sendmessage on resource: "+queue+" because no identity-based policy allows the sqs:sendmessage action")

	put := func(who string, tags map[string]string, sources ...string) error {
		var entries []eb.PutEventsRequestEntry
		for _, s := range sources {
			entries = append(entries, eb.PutEventsRequestEntry{EventBusName: aws.String("bus"), Source: aws.String(s), DetailType: aws.String("d"), Detail: aws.String("{}")})
		}
		_, err := f.events(f.as(t, who, tags)).PutEvents(ctx, &eventbridge.PutEventsInput{Entries: entries})
		return err
	}
	denied(t, "put events", put(api, nil, "stowage", "stowage"), "")
	if got := f.keys("events:PutEvents", "events:"); got != "events:detail-type=d events:eventbusinvocation=false events:source=stowage" {
		t.Errorf("put events: %s", got)
	}
	denied(t, "put events of another source", put(api, nil, "stowage", "other"), "events:PutEvents on resource: "+bus)

	read := func(id string) error {
		_, err := f.secrets(f.as(t, api, nil)).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &id, VersionStage: aws.String("AWSPREVIOUS")})
		return err
	}
	// It may read the secret, but not have its key used: S3 and DynamoDB alone may ask for that.
	denied(t, "secret", read("cursor"), "kms:Decrypt on resource: "+dataKey)
	if got := f.keys("secretsmanager:GetSecretValue", "secretsmanager:", "aws:resourcetag"); got != "aws:resourcetag/use=cursors secretsmanager:resourcetag/use=cursors secretsmanager:secretid="+secret+" secretsmanager:versionstage=AWSPREVIOUS" {
		t.Errorf("secret: %s", got)
	}
	denied(t, "another secret", read("other"), "secretsmanager:GetSecretValue on resource: arn:aws:secretsmanager:us-east-1:000000000000:secret:other")
}

func TestSTS(t *testing.T) {
	t.Parallel()
	f := start(t, newAuthorizer(t, config()))
	assume := func(who, role string, tags ...string) error {
		in := &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: aws.String("ws-1"), ExternalId: aws.String("x"), DurationSeconds: aws.Int32(900)}
		for _, k := range tags {
			in.Tags = append(in.Tags, ststypes.Tag{Key: aws.String(k), Value: aws.String("v")})
		}
		_, err := f.sts(f.as(t, who, nil)).AssumeRole(t.Context(), in)
		return err
	}
	denied(t, "whom the role trusts", assume(api, signer), "")
	denied(t, "whom it does not", assume(developer, signer), "because no role trust policy allows the sts:AssumeRole action")
	denied(t, "with tags", assume(api, signer, "tenant"), "sts:TagSession on resource: "+signer)
	if got := f.keys("sts:TagSession", "sts:", "aws:requesttag", "aws:tagkeys"); got != "aws:requesttag/tenant=v aws:tagkeys=tenant sts:durationseconds=900 sts:externalid=x sts:rolesessionname=ws-1" {
		t.Errorf("keys: %s", got)
	}
	denied(t, "a role that trusts the account", assume(developer, bounded), "")
	denied(t, "without permission of its own", assume(api, bounded), "because no identity-based policy allows the sts:AssumeRole action")
	if _, err := f.sts(f.as(t, ingest, nil)).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{}); err != nil && strings.Contains(err.Error(), "not authorized") {
		t.Errorf("who am I: %v", err)
	}
	if len(f.got) != 0 {
		t.Errorf("who am I asked for %s", f.asked())
	}
}

// unavailable checks that a call may be tried again: nobody denied it.
func unavailable(t *testing.T, name string, err error, want string) {
	t.Helper()
	var apiErr smithy.APIError
	if !errors.As(err, &apiErr) || apiErr.ErrorCode() != "ServiceUnavailable" || !strings.Contains(apiErr.ErrorMessage(), want) {
		t.Errorf("%s: %v; want ServiceUnavailable that says %q", name, err, want)
	}
}

// TestTagsAreLookedUpForWhatHasThem: a lookup that fails puts the call off; one that is not needed is not
// made.
func TestTagsAreLookedUpForWhatHasThem(t *testing.T) {
	t.Parallel()
	cfg := config()
	cfg.ObjectTags = func(context.Context, string, string, string) (map[string]string, bool, error) {
		return nil, false, errors.New("the engine is gone")
	}
	f := start(t, newAuthorizer(t, cfg))
	_, err := f.s3(f.as(t, signer, nil)).PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("content"), Key: aws.String("c/x"), Body: strings.NewReader("x")})
	denied(t, "put", err, "")
	_, err = f.s3(f.as(t, signer, nil)).GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("content"), Key: aws.String("c/x")})
	unavailable(t, "get", err, "the engine is gone")
	cfg.ObjectTags = nil
	f = start(t, newAuthorizer(t, cfg))
	_, err = f.s3(f.as(t, ingest, nil)).GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("content"), Key: aws.String("c/x"), VersionId: aws.String("v")})
	denied(t, "no lookup", err, "")
}
