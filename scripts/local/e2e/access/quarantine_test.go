package access_test

import (
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"

	"github.com/stowage-dev/stowage/scripts/local/iam/usage"
	"github.com/stowage-dev/stowage/shared/upload"
)

// quarantined is a version that was uploaded and not yet verified.
type quarantined struct {
	*world
	bucket, key, version *string
	body                 string
}

// as are clients of a role's session.
func (w *world) as(t *testing.T, construct string) aws.CredentialsProvider {
	t.Helper()
	c, err := w.Session(w.role(t, construct), "quarantine-test")
	if err != nil {
		t.Fatal(err)
	}
	return credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken)
}

// TestNothingIsReadBeforeItIsVerified holds the quarantine against everybody who may read, and against
// those who would open it. What is denied here is denied on purpose, so the run keeps a record of its own.
func TestNothingIsReadBeforeItIsVerified(t *testing.T) {
	record := filepath.Join(t.TempDir(), "usage.jsonl")
	w := startWorld(t, record)
	held, release := w.hold(w.by(t, "S3Ingest", "PutObjectTagging"))
	defer release()
	declared, body := document("quarantine/a.txt")
	opened := w.open(t, declared)
	w.sendBytes(t, opened, body)
	<-held // verified, and not yet tagged
	u, err := w.catalog().Upload(t.Context(), "alpha", opened.Upload.ID)
	if err != nil {
		t.Fatal(err)
	}
	q := quarantined{world: w, bucket: aws.String(w.Dev(nil).Bucket), key: &u.S3Key, body: string(body)}
	versions, err := w.s3(w.developer()).ListObjectVersions(t.Context(), &awss3.ListObjectVersionsInput{Bucket: q.bucket, Prefix: q.key})
	if err != nil || len(versions.Versions) != 1 {
		t.Fatalf("versions of %s: %v, %v", u.S3Key, versions, err)
	}
	q.version = versions.Versions[0].VersionId

	signer := w.s3(w.as(t, "Signer"))
	resource := "on resource: arn:aws:s3:::" + *q.bucket + "/" + *q.key
	q.isDenied(t, "the signer", signer, q.version, "assumed-role/"+roleName(w.role(t, "Signer"))+"/quarantine-test", "s3:GetObjectVersion", resource, "explicit deny in a resource-based policy")
	q.isDenied(t, "the signer, without a version", signer, nil, "s3:GetObject ", "explicit deny")
	q.isDenied(t, "the function that has it signed", w.s3(w.as(t, "UploadApi")), q.version, "s3:GetObjectVersion", "explicit deny")
	q.isDenied(t, "the developer", w.s3(w.developer()), q.version, "user/developer", "explicit deny in a resource-based policy")
	q.isRead(t, "ingest, which verifies it", w.s3(w.as(t, "S3Ingest")))
	q.staysShut(t)
	url := q.presigned(t, signer)
	if status, got := download(t, url); status != http.StatusForbidden || !strings.Contains(got, "explicit deny") {
		t.Errorf("a presigned URL: %d %s", status, got)
	}
	if status, got := download(t, strings.SplitN(url, "?", 2)[0]); status != http.StatusForbidden || !strings.Contains(got, "anonymous") {
		t.Errorf("nobody: %d %s", status, got)
	}
	if _, err := w.client.Content(t.Context(), opened.Upload.ObjectID, nil); err == nil {
		t.Error("the API hands out a URL before the verdict")
	}

	release()
	w.await(t, opened.Upload.ID, upload.Available)
	q.isRead(t, "the signer, once it is verified", signer)
	if status, got := download(t, url); status != http.StatusOK || got != q.body {
		t.Errorf("the same presigned URL, once it is verified: %d, %d bytes", status, len(got))
	}
	q.isDenied(t, "the function that has it signed, even now", w.s3(w.as(t, "UploadApi")), q.version, "because no identity-based policy allows the s3:GetObjectVersion action")
	q.wasKept(t, record, w.role(t, "Signer"))
}

func roleName(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }

// isDenied wants a GET to be denied with a message that says all of these.
func (q quarantined) isDenied(t *testing.T, who string, c *awss3.Client, version *string, says ...string) {
	t.Helper()
	_, err := c.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: q.bucket, Key: q.key, VersionId: version})
	denied(t, who+" reads", err, says...)
}

func denied(t *testing.T, what string, err error, says ...string) {
	t.Helper()
	var apiErr smithy.APIError
	if !errors.As(err, &apiErr) || apiErr.ErrorCode() != "AccessDenied" {
		t.Errorf("%s: %v; want AccessDenied", what, err)
		return
	}
	for _, text := range says {
		if !strings.Contains(apiErr.ErrorMessage(), text) {
			t.Errorf("%s: %q does not say %q", what, apiErr.ErrorMessage(), text)
		}
	}
}

func (q quarantined) isRead(t *testing.T, who string, c *awss3.Client) {
	t.Helper()
	out, err := c.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: q.bucket, Key: q.key, VersionId: q.version})
	if err != nil {
		t.Errorf("%s: %v", who, err)
		return
	}
	defer out.Body.Close()
	if got, err := io.ReadAll(out.Body); err != nil || string(got) != q.body {
		t.Errorf("%s: %d bytes, %v", who, len(got), err)
	}
}

// staysShut tries to open the quarantine.
func (q quarantined) staysShut(t *testing.T) {
	t.Helper()
	signer := q.s3(q.as(t, "Signer"))
	verdict := &s3types.Tagging{TagSet: []s3types.Tag{{Key: aws.String("stowage"), Value: aws.String("available")}}}
	for who, c := range map[string]*awss3.Client{"the signer": signer, "the developer": q.s3(q.developer()), "the sweeper": q.s3(q.as(t, "UploadSweeper"))} {
		_, err := c.PutObjectTagging(t.Context(), &awss3.PutObjectTaggingInput{Bucket: q.bucket, Key: q.key, VersionId: q.version, Tagging: verdict})
		denied(t, who+" gives a verdict", err, "s3:PutObjectVersionTagging", "explicit deny in a resource-based policy")
		_, err = c.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: q.bucket, Key: aws.String(*q.key + "x"), Body: strings.NewReader("x"), Tagging: aws.String("stowage=available")})
		denied(t, who+" puts what is tagged already", err, "explicit deny in a resource-based policy")
	}
	tokens := sts.New(sts.Options{BaseEndpoint: aws.String(q.GatewayURL()), Region: q.Dev(nil).Region, Credentials: q.as(t, "UploadApi"), Retryer: aws.NopRetryer{}})
	_, err := tokens.AssumeRole(t.Context(), &sts.AssumeRoleInput{
		RoleArn: aws.String(q.role(t, "Signer")), RoleSessionName: aws.String("writer"),
		Tags: []ststypes.Tag{{Key: aws.String("stowage-quarantine"), Value: aws.String("writer")}},
	})
	denied(t, "a session that tags itself", err, "sts:TagSession")
	_, err = tokens.AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: aws.String(q.role(t, "S3Ingest")), RoleSessionName: aws.String("writer")})
	denied(t, "upload-api becomes ingest", err, "sts:AssumeRole")
}

// presigned is a URL of the version as the API hands them out.
func (q quarantined) presigned(t *testing.T, signer *awss3.Client) string {
	t.Helper()
	get, err := awss3.NewPresignClient(signer).PresignGetObject(t.Context(), &awss3.GetObjectInput{Bucket: q.bucket, Key: q.key, VersionId: q.version})
	if err != nil {
		t.Fatal(err)
	}
	return get.URL
}

func download(t *testing.T, url string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// wasKept looks for the denials in the run's record, with the statement that denied.
func (q quarantined) wasKept(t *testing.T, record, role string) {
	t.Helper()
	lines, err := usage.Read(record)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(lines, func(l usage.Line) bool {
		return l.Role == role && l.Denial != nil && l.Action == "s3:GetObjectVersion" && strings.Contains(l.Denial.Why, "DenyReadBeforeVerified")
	}) {
		t.Errorf("no line of %d tells of the denial by DenyReadBeforeVerified", len(lines))
	}
}
