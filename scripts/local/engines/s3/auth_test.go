package s3_test

import (
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/stowage-dev/stowage/scripts/local/gateway/identity"
)

func (e *engine) session(t *testing.T, d time.Duration) identity.Credentials {
	t.Helper()
	c, _, err := e.issuer.IssueSession(identity.Session{RoleARN: roleARN, Name: "signer", Duration: d})
	if err != nil {
		t.Fatalf("issue a session: %v", err)
	}
	return c
}

func TestWhoMayCall(t *testing.T) {
	t.Parallel()
	e := start(t, t.TempDir())
	live, dead := e.session(t, time.Hour), e.session(t, -time.Second)
	foreign, err := identity.New(identity.Config{MasterKey: make([]byte, identity.MasterKeySize)})
	if err != nil {
		t.Fatal(err)
	}
	stranger := foreign.IssueUser(developer)
	user := e.issuer.IssueUser(developer)
	for name, test := range map[string]struct{ key, secret, token, want string }{
		"session":                {live.AccessKeyID, live.SecretAccessKey, live.SessionToken, "<nil>"},
		"user":                   {user.AccessKeyID, user.SecretAccessKey, "", "<nil>"},
		"wrong secret":           {user.AccessKeyID, live.SecretAccessKey, "", "SignatureDoesNotMatch"},
		"expired session":        {dead.AccessKeyID, dead.SecretAccessKey, dead.SessionToken, "ExpiredToken"},
		"session without token":  {live.AccessKeyID, live.SecretAccessKey, "", "InvalidToken"},
		"token of another key":   {live.AccessKeyID, live.SecretAccessKey, dead.SessionToken, "InvalidToken"},
		"user with a token":      {user.AccessKeyID, user.SecretAccessKey, live.SessionToken, "InvalidToken"},
		"key of another runtime": {stranger.AccessKeyID, stranger.SecretAccessKey, "", "InvalidAccessKeyId"},
	} {
		_, err := e.clientOf(test.key, test.secret, test.token).PutObject(t.Context(), &awss3.PutObjectInput{
			Bucket: aws.String(bucket), Key: aws.String("x"), Body: strings.NewReader("x"),
		})
		if got := code(err); got != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
	for _, ev := range e.take() {
		if ev.Caller.AccessKeyID == live.AccessKeyID && ev.Caller.Principal != "arn:aws:sts::000000000000:assumed-role/ingest/signer" {
			t.Errorf("the session's event names %s", ev.Caller.Principal)
		}
	}
}

// TestPresignedPut sends what a URL was signed for, and then something else.
func TestPresignedPut(t *testing.T) {
	t.Parallel()
	e := start(t, t.TempDir())
	c := e.session(t, time.Hour)
	const body = "the bytes that were announced"
	sum := sha256.Sum256([]byte(body))
	sign := func(key string, expires time.Duration) (string, http.Header) {
		r, err := awss3.NewPresignClient(e.clientOf(c.AccessKeyID, c.SecretAccessKey, c.SessionToken)).PresignPutObject(t.Context(), &awss3.PutObjectInput{
			Bucket: aws.String(bucket), Key: &key, ContentLength: aws.Int64(int64(len(body))), ContentType: aws.String("text/plain"),
			ChecksumSHA256: aws.String(base64.StdEncoding.EncodeToString(sum[:])), IfNoneMatch: aws.String("*"),
		}, awss3.WithPresignExpires(expires))
		if err != nil {
			t.Fatalf("presign: %v", err)
		}
		return r.URL, r.SignedHeader
	}
	for _, test := range []struct {
		name, key, body string
		change          func(http.Header)
		mangle          func(url string) string
		want            int
	}{
		{name: "as signed", key: "k", want: 200},
		{name: "again", key: "k", want: 412},
		{name: "other bytes of that length", key: "bytes", body: strings.ToUpper(body), want: 400},
		{name: "shorter", key: "short", body: body[1:], want: 403},
		{name: "longer", key: "long", body: body + "!", want: 403},
		{name: "other type", key: "type", change: func(h http.Header) { h.Set("Content-Type", "text/html") }, want: 403},
		{name: "no checksum", key: "sum", change: func(h http.Header) { h.Del("X-Amz-Checksum-Sha256") }, want: 403},
		{name: "no condition", key: "cond", change: func(h http.Header) { h.Del("If-None-Match") }, want: 403},
		{name: "tags that were not signed", key: "tags", change: func(h http.Header) { h.Set("X-Amz-Tagging", "stowage=available") }, want: 403},
		{name: "other key", key: "mine", mangle: func(u string) string { return strings.Replace(u, "/mine?", "/yours?", 1) }, want: 403},
		{name: "no token", key: "token", mangle: func(u string) string { return strings.Replace(u, "X-Amz-Security-Token=", "X-Nothing=", 1) }, want: 400},
	} {
		url, header := sign(test.key, time.Minute)
		sent := test.body
		if sent == "" {
			sent = body
		}
		if test.mangle != nil {
			url = test.mangle(url)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, strings.NewReader(sent))
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range header {
			if k != "Host" && k != "Content-Length" {
				r.Header[k] = v
			}
		}
		if test.change != nil {
			test.change(r.Header)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		answer, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != test.want {
			t.Errorf("%s: got %d, want %d: %s", test.name, resp.StatusCode, test.want, answer)
		}
	}
	if events := e.take(); len(events) != 1 || events[0].Key != "k" {
		t.Errorf("told %+v, want the one put that succeeded", events)
	}
}
