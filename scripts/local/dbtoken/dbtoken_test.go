package dbtoken_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/feature/rds/auth"

	"github.com/stowage-dev/stowage/scripts/local/dbtoken"
	"github.com/stowage-dev/stowage/scripts/local/gateway/identity"
	"github.com/stowage-dev/stowage/scripts/local/gateway/sigv4"
)

const (
	endpoint = "127.0.0.1:5432"
	region   = "eu-central-1"
	roleARN  = "arn:aws:iam::000000000000:role/ledger"
)

// world is a verifier with somebody who has credentials for it.
type world struct {
	verifier    *dbtoken.Verifier
	now         time.Time
	credentials aws.CredentialsProviderFunc
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{now: time.Now()}
	clock := func() time.Time { return w.now }
	issuer, err := identity.New(identity.Config{MasterKey: make([]byte, identity.MasterKeySize), Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	issued, err := issuer.IssueFor(roleARN, "ledger-api")
	if err != nil {
		t.Fatal(err)
	}
	w.credentials = func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: issued.AccessKeyID, SecretAccessKey: issued.SecretAccessKey, SessionToken: issued.SessionToken}, nil
	}
	w.verifier = &dbtoken.Verifier{Region: region, Credentials: issuer, Now: clock}
	return w
}

func (w *world) token(t *testing.T) string {
	t.Helper()
	token, err := auth.BuildAuthToken(t.Context(), endpoint, region, "ledger_api", w.credentials)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// presign makes a token that BuildAuthToken would not.
func (w *world) presign(t *testing.T, service, region string, query url.Values) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+endpoint+"/?"+query.Encode(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	c, err := w.credentials(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	signed, _, err := v4.NewSigner().PresignHTTP(t.Context(), c, r, emptyHash, service, region, w.now)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(signed, "https://")
}

func TestATokenTellsWhoSignedIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	caller, err := w.verifier.Verify(w.token(t), endpoint, "ledger_api")
	if err != nil {
		t.Fatal(err)
	}
	if caller.RoleARN != roleARN || caller.Function != "ledger-api" {
		t.Errorf("caller = %+v", caller)
	}
}

func TestATokenEndsAfterFifteenMinutes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	long := w.presign(t, "rds-db", region, url.Values{"Action": {"connect"}, "DBUser": {"ledger_api"}, "X-Amz-Expires": {"86400"}})
	signed := w.now
	for name, tt := range map[string]struct {
		token string
		after time.Duration
		want  error
	}{
		"a moment before":        {w.token(t), 15*time.Minute - 2*time.Second, nil},
		"at the end":             {w.token(t), 15 * time.Minute, dbtoken.ErrExpired},
		"with a longer life":     {long, 15 * time.Minute, dbtoken.ErrExpired},
		"of a clock far ahead":   {w.token(t), -6 * time.Minute, dbtoken.ErrOther},
		"of a clock that is off": {w.token(t), -4 * time.Minute, nil},
	} {
		w.now = signed.Add(tt.after)
		if _, err := w.verifier.Verify(tt.token, endpoint, "ledger_api"); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestATokenForSomethingElseIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := w.token(t)
	connect := url.Values{"Action": {"connect"}, "DBUser": {"ledger_api"}, "X-Amz-Expires": {"900"}}
	for name, tt := range map[string]struct {
		token, endpoint, user string
		want                  error
	}{
		"another user":      {good, endpoint, "postgres", dbtoken.ErrOther},
		"another endpoint":  {good, "127.0.0.1:5433", "ledger_api", dbtoken.ErrOther},
		"another service":   {w.presign(t, "rds", region, connect), endpoint, "ledger_api", dbtoken.ErrOther},
		"another region":    {w.presign(t, "rds-db", "eu-west-1", connect), endpoint, "ledger_api", dbtoken.ErrOther},
		"another action":    {w.presign(t, "rds-db", region, url.Values{"Action": {"delete"}, "DBUser": {"ledger_api"}, "X-Amz-Expires": {"900"}}), endpoint, "ledger_api", dbtoken.ErrOther},
		"an altered user":   {strings.Replace(good, "ledger_api", "postgres", 1), endpoint, "postgres", sigv4.ErrMismatch},
		"an altered ending": {good[:len(good)-1] + flip(good[len(good)-1]), endpoint, "ledger_api", sigv4.ErrMismatch},
		"an unknown key":    {strings.Replace(good, "ASIA", "AKIA", 1), endpoint, "ledger_api", identity.ErrUnknownKey},
		"a password":        {"hunter2", endpoint, "ledger_api", dbtoken.ErrNotToken},
		"nothing":           {"", endpoint, "ledger_api", dbtoken.ErrNotToken},
		"no URL":            {"%zz/?", endpoint, "ledger_api", dbtoken.ErrNotToken},
	} {
		if _, err := w.verifier.Verify(tt.token, tt.endpoint, tt.user); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

func flip(b byte) string {
	if b == '0' {
		return "1"
	}
	return "0"
}

// What a refusal says goes to a log: no token stands in it.
func TestARefusalDoesNotTellTheToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := w.token(t)
	w.now = w.now.Add(time.Hour)
	signature := good[strings.Index(good, "X-Amz-Signature=")+len("X-Amz-Signature="):]
	_, err := w.verifier.Verify(good, endpoint, "ledger_api")
	if err == nil || strings.Contains(err.Error(), signature) || strings.Contains(err.Error(), "Security-Token") {
		t.Errorf("error = %v", err)
	}
}

func FuzzVerify(f *testing.F) {
	issuer, err := identity.New(identity.Config{MasterKey: make([]byte, identity.MasterKeySize)})
	if err != nil {
		f.Fatal(err)
	}
	v := &dbtoken.Verifier{Region: region, Credentials: issuer, Now: time.Now}
	f.Add("127.0.0.1:5432/?Action=connect&DBUser=ledger_api&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=ASIA/20260101/eu-central-1/rds-db/aws4_request&X-Amz-Date=20260101T000000Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host&X-Amz-Signature=00")
	f.Fuzz(func(t *testing.T, token string) {
		if caller, err := v.Verify(token, endpoint, "ledger_api"); err == nil {
			t.Errorf("%q is of %+v", token, caller)
		}
	})
}
