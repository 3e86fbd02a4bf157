package stack_test

import (
	"encoding/xml"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/stowage-dev/stowage/scripts/local/stack/stacktest"
)

// TestURLsOfASession: a URL that a session signs may do what the role allows to the
// session's tags and the session's own policy leaves of it. Everybody else hears from
// S3, in its own words, what they may not do.
func TestURLsOfASession(t *testing.T) {
	a := stacktest.New(t, recorderDir)
	resources := edited(t, a.Resources())
	resources["Signer"] = stacktest.Resource("AWS::IAM::Role", stacktest.Object{
		"AssumeRolePolicyDocument": stacktest.Statements(stacktest.Object{"Effect": "Allow", "Action": []string{"sts:AssumeRole", "sts:TagSession"},
			"Principal": stacktest.Object{"AWS": stacktest.Object{"Ref": "AWS::AccountId"}}, "Condition": stacktest.Object{"StringLike": stacktest.Object{"aws:RequestTag/tenant": "*"}}}),
		"Policies": []stacktest.Object{{"PolicyName": "Tenant", "PolicyDocument": stacktest.Statements(stacktest.Object{"Effect": "Allow",
			"Action": "s3:PutObject", "Resource": stacktest.Object{"Fn::Join": []any{"", []any{stacktest.GetAtt("Bucket", "Arn"), "/${aws:PrincipalTag/tenant}/*"}}}})}}})
	a.Write(t, resources)
	s := start(t, config(a, t.TempDir()))
	dev := s.Dev(nil)
	assume := sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::000000000000:role/App-Signer"), RoleSessionName: aws.String("somebody"),
		Policy: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::` + dev.Bucket + `/*/in/*"}]}`)}
	if _, err := sts.NewFromConfig(clients(s)).AssumeRole(t.Context(), &assume); err == nil || !strings.Contains(err.Error(), "sts:AssumeRole") {
		t.Errorf("without the tag that its trust policy asks for: %v", err)
	}
	assume.Tags = []ststypes.Tag{{Key: aws.String("tenant"), Value: aws.String("alpha")}}
	out, err := sts.NewFromConfig(clients(s)).AssumeRole(t.Context(), &assume)
	if err != nil {
		t.Fatal(err)
	}
	presign := awss3.NewPresignClient(awss3.New(awss3.Options{BaseEndpoint: &dev.S3Endpoint, Region: dev.Region, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken)}))
	put := func(key string, change func(url string) string) (int, string) {
		t.Helper()
		signed, err := presign.PresignPutObject(t.Context(), &awss3.PutObjectInput{Bucket: &dev.Bucket, Key: &key})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(signed.URL, "X-Amz-Security-Token=") {
			t.Fatal("the URL does not carry the session's token")
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, change(signed.URL), strings.NewReader("tenant's"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		var refused struct{ Code, Message string }
		if resp.StatusCode != http.StatusOK {
			if err := xml.Unmarshal(body, &refused); err != nil {
				t.Errorf("%s: %s is not S3's: %v", key, body, err)
			}
		}
		return resp.StatusCode, refused.Code + ": " + refused.Message
	}
	same := func(url string) string { return url }
	who := "User: arn:aws:sts::000000000000:assumed-role/App-Signer/somebody is not authorized to perform: s3:PutObject on resource: arn:aws:s3:::" + dev.Bucket
	for _, tc := range []struct {
		name, key string
		change    func(url string) string
		status    int
		says      string
	}{
		{"its own", "alpha/in/a.txt", same, http.StatusOK, ""},
		{"outside of the session's policy", "alpha/out/a.txt", same, http.StatusForbidden, "AccessDenied: " + who + "/alpha/out/a.txt because no session policy allows the s3:PutObject action"},
		{"another tenant's", "beta/in/a.txt", same, http.StatusForbidden, "AccessDenied: " + who + "/beta/in/a.txt because no identity-based policy allows the s3:PutObject action"},
		{"a key that was changed", "alpha/in/a.txt", func(url string) string { return strings.Replace(url, "/alpha/in/", "/alpha/in/x", 1) }, http.StatusForbidden, "SignatureDoesNotMatch: "},
		{"a token that was changed", "alpha/in/a.txt", func(url string) string {
			return strings.Replace(url, "X-Amz-Security-Token=", "X-Amz-Security-Token=x", 1)
		}, http.StatusForbidden, "SignatureDoesNotMatch: "},
	} {
		if status, said := put(tc.key, tc.change); status != tc.status || status != http.StatusOK && !strings.HasPrefix(said, tc.says) {
			t.Errorf("%s: %d %s, want %d %s", tc.name, status, said, tc.status, tc.says)
		}
	}
}
