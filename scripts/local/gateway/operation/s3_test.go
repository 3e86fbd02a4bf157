package operation_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/stowage-dev/stowage/scripts/local/gateway/operation"
)

const (
	bucketARN = "arn:aws:s3:::content"
	objectARN = "arn:aws:s3:::content/c/ws/a b+ü"
)

// TestS3Operations sends each operation with the SDK: its name is then the SDK's own.
func TestS3Operations(t *testing.T) {
	t.Parallel()
	b, k, v, u := aws.String("content"), aws.String("c/ws/a b+ü"), aws.String("01ARZ3NDEKTSV4RRFFQ69G5FAV"), aws.String("upload")
	tags := &types.Tagging{TagSet: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}}
	body := func() *bytes.Reader { return bytes.NewReader([]byte("x")) }
	for _, test := range []struct {
		name     string
		call     func(context.Context, *s3.Client) error
		resource string
		actions  []string
	}{
		{"ListBuckets", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.ListBuckets(ctx, &s3.ListBucketsInput{})
		}), "*", []string{"s3:ListAllMyBuckets *"}},
		{"CreateBucket", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: b})
		}), bucketARN, []string{"s3:CreateBucket " + bucketARN}},
		{"DeleteBucket", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: b})
		}), bucketARN, []string{"s3:DeleteBucket " + bucketARN}},
		{"HeadBucket", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: b})
		}), bucketARN, []string{"s3:ListBucket " + bucketARN}},
		{"ListObjects", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.ListObjects(ctx, &s3.ListObjectsInput{Bucket: b, Prefix: k})
		}), bucketARN, []string{"s3:ListBucket " + bucketARN}},
		{"ListObjectsV2", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: b, Prefix: k})
		}), bucketARN, []string{"s3:ListBucket " + bucketARN}},
		{"ListObjectVersions", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: b})
		}), bucketARN, []string{"s3:ListBucketVersions " + bucketARN}},
		{"ListMultipartUploads", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: b})
		}), bucketARN, []string{"s3:ListBucketMultipartUploads " + bucketARN}},
		{"GetBucketLocation", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: b})
		}), bucketARN, []string{"s3:GetBucketLocation " + bucketARN}},
		{"GetBucketCors", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.GetBucketCors(ctx, &s3.GetBucketCorsInput{Bucket: b})
		}), bucketARN, []string{"s3:GetBucketCORS " + bucketARN}},
		{"DeleteBucketCors", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.DeleteBucketCors(ctx, &s3.DeleteBucketCorsInput{Bucket: b})
		}), bucketARN, []string{"s3:PutBucketCORS " + bucketARN}},
		{"DeleteBucketPolicy", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.DeleteBucketPolicy(ctx, &s3.DeleteBucketPolicyInput{Bucket: b})
		}), bucketARN, []string{"s3:DeleteBucketPolicy " + bucketARN}},
		{"PutBucketVersioning", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: b, VersioningConfiguration: &types.VersioningConfiguration{}})
		}), bucketARN, []string{"s3:PutBucketVersioning " + bucketARN}},
		{"GetBucketLifecycleConfiguration", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: b})
		}), bucketARN, []string{"s3:GetLifecycleConfiguration " + bucketARN}},
		{"GetBucketNotificationConfiguration", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.GetBucketNotificationConfiguration(ctx, &s3.GetBucketNotificationConfigurationInput{Bucket: b})
		}), bucketARN, []string{"s3:GetBucketNotification " + bucketARN}},
		{"GetBucketEncryption", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: b})
		}), bucketARN, []string{"s3:GetEncryptionConfiguration " + bucketARN}},
		{"GetPublicAccessBlock", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.GetPublicAccessBlock(ctx, &s3.GetPublicAccessBlockInput{Bucket: b})
		}), bucketARN, []string{"s3:GetBucketPublicAccessBlock " + bucketARN}},
		{"GetObjectLockConfiguration", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: b})
		}), bucketARN, []string{"s3:GetBucketObjectLockConfiguration " + bucketARN}},

		{"GetObject", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.GetObject(ctx, &s3.GetObjectInput{Bucket: b, Key: k})
		}), objectARN, []string{"s3:GetObject " + objectARN}},
		{"GetObject", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.GetObject(ctx, &s3.GetObjectInput{Bucket: b, Key: k, VersionId: v})
		}), objectARN, []string{"s3:GetObjectVersion " + objectARN}},
		{"HeadObject", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: b, Key: k})
		}), objectARN, []string{"s3:GetObject " + objectARN}},
		{"HeadObject", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: b, Key: k, VersionId: v})
		}), objectARN, []string{"s3:GetObjectVersion " + objectARN}},
		{"GetObjectAttributes", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.GetObjectAttributes(ctx, &s3.GetObjectAttributesInput{Bucket: b, Key: k, ObjectAttributes: []types.ObjectAttributes{types.ObjectAttributesEtag}})
		}), objectARN, []string{"s3:GetObjectAttributes " + objectARN, "s3:GetObject " + objectARN}},
		{"GetObjectAttributes", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.GetObjectAttributes(ctx, &s3.GetObjectAttributesInput{Bucket: b, Key: k, VersionId: v, ObjectAttributes: []types.ObjectAttributes{types.ObjectAttributesEtag}})
		}), objectARN, []string{"s3:GetObjectVersionAttributes " + objectARN, "s3:GetObjectVersion " + objectARN}},
		{"GetObjectTagging", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: b, Key: k})
		}), objectARN, []string{"s3:GetObjectTagging " + objectARN}},
		{"GetObjectTagging", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: b, Key: k, VersionId: v})
		}), objectARN, []string{"s3:GetObjectVersionTagging " + objectARN}},
		{"PutObjectTagging", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.PutObjectTagging(ctx, &s3.PutObjectTaggingInput{Bucket: b, Key: k, Tagging: tags})
		}), objectARN, []string{"s3:PutObjectTagging " + objectARN}},
		{"PutObjectTagging", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.PutObjectTagging(ctx, &s3.PutObjectTaggingInput{Bucket: b, Key: k, VersionId: v, Tagging: tags})
		}), objectARN, []string{"s3:PutObjectVersionTagging " + objectARN}},
		{"DeleteObjectTagging", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.DeleteObjectTagging(ctx, &s3.DeleteObjectTaggingInput{Bucket: b, Key: k})
		}), objectARN, []string{"s3:DeleteObjectTagging " + objectARN}},
		{"DeleteObjectTagging", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.DeleteObjectTagging(ctx, &s3.DeleteObjectTaggingInput{Bucket: b, Key: k, VersionId: v})
		}), objectARN, []string{"s3:DeleteObjectVersionTagging " + objectARN}},
		{"GetObjectAcl", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.GetObjectAcl(ctx, &s3.GetObjectAclInput{Bucket: b, Key: k, VersionId: v})
		}), objectARN, []string{"s3:GetObjectVersionAcl " + objectARN}},
		{"PutObjectAcl", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.PutObjectAcl(ctx, &s3.PutObjectAclInput{Bucket: b, Key: k, ACL: types.ObjectCannedACLPrivate})
		}), objectARN, []string{"s3:PutObjectAcl " + objectARN}},
		{"GetObjectRetention", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.GetObjectRetention(ctx, &s3.GetObjectRetentionInput{Bucket: b, Key: k, VersionId: v})
		}), objectARN, []string{"s3:GetObjectRetention " + objectARN}},
		{"PutObjectLegalHold", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.PutObjectLegalHold(ctx, &s3.PutObjectLegalHoldInput{Bucket: b, Key: k, LegalHold: &types.ObjectLockLegalHold{}})
		}), objectARN, []string{"s3:PutObjectLegalHold " + objectARN}},
		{"PutObject", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.PutObject(ctx, &s3.PutObjectInput{Bucket: b, Key: k, Body: body()})
		}), objectARN, []string{"s3:PutObject " + objectARN}},
		{"PutObject", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.PutObject(ctx, &s3.PutObjectInput{Bucket: b, Key: k, Body: body(), Tagging: aws.String("k=v"), ACL: types.ObjectCannedACLPrivate,
				ObjectLockMode: types.ObjectLockModeGovernance, ObjectLockLegalHoldStatus: types.ObjectLockLegalHoldStatusOn})
		}), objectARN, []string{"s3:PutObject " + objectARN, "s3:PutObjectTagging " + objectARN, "s3:PutObjectAcl " + objectARN, "s3:PutObjectRetention " + objectARN, "s3:PutObjectLegalHold " + objectARN}},
		{"PutObject", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.PutObject(ctx, &s3.PutObjectInput{Bucket: b, Key: k, Body: body(), GrantRead: aws.String("id=1")})
		}), objectARN, []string{"s3:PutObject " + objectARN, "s3:PutObjectAcl " + objectARN}},
		{"CopyObject", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: b, Key: k, CopySource: aws.String("other/from%2Fx%20y")})
		}), objectARN, []string{"s3:PutObject " + objectARN, "s3:GetObject arn:aws:s3:::other/from/x y"}},
		{"CopyObject", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: b, Key: k, CopySource: aws.String("/other/from?versionId=V"), Tagging: aws.String("k=v"), TaggingDirective: types.TaggingDirectiveReplace})
		}), objectARN, []string{"s3:PutObject " + objectARN, "s3:PutObjectTagging " + objectARN, "s3:GetObjectVersion arn:aws:s3:::other/from"}},
		{"DeleteObject", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: b, Key: k})
		}), objectARN, []string{"s3:DeleteObject " + objectARN}},
		{"DeleteObject", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: b, Key: k, VersionId: v, BypassGovernanceRetention: aws.Bool(true)})
		}), objectARN, []string{"s3:DeleteObjectVersion " + objectARN, "s3:BypassGovernanceRetention " + objectARN}},
		{"DeleteObjects", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: b, Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: k}, {Key: aws.String("a&b"), VersionId: v}}}})
		}), bucketARN, []string{"s3:DeleteObject " + objectARN, "s3:DeleteObjectVersion arn:aws:s3:::content/a&b"}},
		{"RestoreObject", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.RestoreObject(ctx, &s3.RestoreObjectInput{Bucket: b, Key: k, VersionId: v})
		}), objectARN, []string{"s3:RestoreObject " + objectARN}},
		{"CreateMultipartUpload", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: b, Key: k, Tagging: aws.String("k=v")})
		}), objectARN, []string{"s3:PutObject " + objectARN, "s3:PutObjectTagging " + objectARN}},
		{"UploadPart", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.UploadPart(ctx, &s3.UploadPartInput{Bucket: b, Key: k, UploadId: u, PartNumber: aws.Int32(1), Body: body()})
		}), objectARN, []string{"s3:PutObject " + objectARN}},
		{"UploadPartCopy", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.UploadPartCopy(ctx, &s3.UploadPartCopyInput{Bucket: b, Key: k, UploadId: u, PartNumber: aws.Int32(1), CopySource: aws.String("other/from")})
		}), objectARN, []string{"s3:PutObject " + objectARN, "s3:GetObject arn:aws:s3:::other/from"}},
		{"CompleteMultipartUpload", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: b, Key: k, UploadId: u, MultipartUpload: &types.CompletedMultipartUpload{}})
		}), objectARN, []string{"s3:PutObject " + objectARN}},
		{"AbortMultipartUpload", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: b, Key: k, UploadId: u})
		}), objectARN, []string{"s3:AbortMultipartUpload " + objectARN}},
		{"ListParts", s3call(func(ctx context.Context, c *s3.Client) (any, error) {
			return c.ListParts(ctx, &s3.ListPartsInput{Bucket: b, Key: k, UploadId: u})
		}), objectARN, []string{"s3:ListMultipartUploadParts " + objectARN}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := captured(t, operation.S3, func(ctx context.Context, endpoint *string) {
				_ = test.call(ctx, s3.New(s3.Options{BaseEndpoint: endpoint, Region: region, Credentials: creds(), UsePathStyle: true, Retryer: aws.NopRetryer{}}))
			})
			check(t, got, test.name, test.resource, test.actions...)
		})
	}
}

// s3call forgets the answer, which is none.
func s3call(f func(context.Context, *s3.Client) (any, error)) func(context.Context, *s3.Client) error {
	return func(ctx context.Context, c *s3.Client) error { _, err := f(ctx, c); return err }
}

// TestS3Requests are those that no SDK sends.
func TestS3Requests(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		request, header string
		body            string
		name, resource  string
		actions         []string
	}{
		{request: "OPTIONS /content/key", name: "Preflight", resource: bucketARN + "/key"},
		{request: "POST /content", name: "PostObject", resource: bucketARN, actions: []string{"s3:PutObject " + bucketARN + "/*"}},
		{request: "GET /content/", name: "ListObjects", resource: bucketARN, actions: []string{"s3:ListBucket " + bucketARN}},
		{request: "GET /content/dir/", name: "GetObject", resource: bucketARN + "/dir/", actions: []string{"s3:GetObject " + bucketARN + "/dir/"}},
		{request: "GET /content/a%2Fb%3Fc", name: "GetObject", resource: bucketARN + "/a/b?c", actions: []string{"s3:GetObject " + bucketARN + "/a/b?c"}},
		// What the engine does not know means nothing to it; a HEAD is of the object, whatever it says.
		{request: "GET /content/key?torrent", name: "GetObject", resource: bucketARN + "/key", actions: []string{"s3:GetObject " + bucketARN + "/key"}},
		{request: "HEAD /content/key?tagging", name: "HeadObject", resource: bucketARN + "/key", actions: []string{"s3:GetObject " + bucketARN + "/key"}},
		{request: "HEAD /content?acl", name: "HeadBucket", resource: bucketARN, actions: []string{"s3:ListBucket " + bucketARN}},
		// Presigned, headers may stand in the query.
		{request: "PUT /content/key?x-amz-tagging=a%3Db", name: "PutObject", resource: bucketARN + "/key", actions: []string{"s3:PutObject " + bucketARN + "/key", "s3:PutObjectTagging " + bucketARN + "/key"}},
		// What could be taken for one thing or another is told to be nothing.
		{request: "GET /content/key?tagging&acl", resource: bucketARN + "/key"},
		{request: "GET /content?policy&cors", resource: bucketARN},
		{request: "GET /content/key?uploads", resource: bucketARN + "/key"},
		{request: "PATCH /content/key", resource: bucketARN + "/key"},
		{request: "PUT /", resource: "*"},
		{request: "PATCH /content", resource: bucketARN},
		{request: "DELETE /content?location", resource: bucketARN},
		// A body that nobody can read takes the permission to delete everything.
		{request: "POST /content?delete", body: "<Delete", name: "DeleteObjects", resource: bucketARN, actions: []string{"s3:DeleteObject " + bucketARN + "/*"}},
		{request: "POST /content?delete", body: "<Delete/>", name: "DeleteObjects", resource: bucketARN, actions: []string{"s3:DeleteObject " + bucketARN + "/*"}},
		{request: "PUT /content/key", header: "nobucket", name: "CopyObject", resource: bucketARN + "/key", actions: []string{"s3:PutObject " + bucketARN + "/key"}},
	} {
		method, target, _ := strings.Cut(test.request, " ")
		r := httptest.NewRequest(method, target, strings.NewReader(test.body))
		if test.header != "" {
			r.Header.Set("X-Amz-Copy-Source", test.header)
		}
		t.Run(test.request, func(t *testing.T) {
			t.Parallel()
			check(t, newDeriver().Derive(operation.S3, r, []byte(test.body)), test.name, test.resource, test.actions...)
		})
	}
}

func TestNeedsBody(t *testing.T) {
	t.Parallel()
	d := newDeriver()
	for request, want := range map[string]bool{
		"PUT /content/key": false, "POST /content?delete": true, "PUT /content/key?tagging": true,
		"PUT /content/key?partNumber=1&uploadId=u": false, "POST /content": false, "POST /content/key?uploadId=u": true,
	} {
		method, target, _ := strings.Cut(request, " ")
		if got := d.NeedsBody(operation.S3, httptest.NewRequest(method, target, nil)); got != want {
			t.Errorf("%s: got %v, want %v", request, got, want)
		}
	}
	if !d.NeedsBody("sqs", httptest.NewRequest(http.MethodPost, "/", nil)) {
		t.Error("sqs: got false, want true")
	}
}

// FuzzDerive: whatever is sent there is an answer, and an operation without a name asks for no action.
func FuzzDerive(f *testing.F) {
	f.Add("s3", "PUT", "/b/k", "tagging&versionId=1", "x", "b/k?versionId=%", []byte("<Delete>"))
	f.Add("dynamodb", "POST", "/", "", "DynamoDB_20120810.TransactWriteItems", "", []byte(`{"TransactItems":[{"Put":{"TableName":"t"}},{}]}`))
	f.Add("sqs", "POST", "/", "", "AmazonSQS.SendMessage", "", []byte(`{"QueueUrl":"http://%"}`))
	f.Add("sts", "POST", "/", "", "", "", []byte(`Action=AssumeRole&RoleArn=%`))
	d := newDeriver()
	f.Fuzz(func(t *testing.T, service, method, path, query, target, source string, body []byte) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Method, r.URL.Path, r.URL.RawQuery = method, path, query
		r.Header.Set("X-Amz-Target", target)
		r.Header.Set("X-Amz-Copy-Source", source)
		op := d.Derive(operation.Service(service, r), r, body)
		if op.Resource == "" && service != "sts" {
			t.Errorf("no resource: %+v", op)
		}
		if op.Name == "" && len(op.Actions) > 0 && service == operation.S3 {
			t.Errorf("actions of no operation: %+v", op)
		}
		for _, a := range op.Actions {
			if a.Name == "" {
				t.Errorf("an action without a name: %+v", op)
			}
		}
	})
}
