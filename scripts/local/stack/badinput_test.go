package stack_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/stowage-dev/stowage/scripts/local/stack"
	"github.com/stowage-dev/stowage/scripts/local/stack/stacktest"
)

// TestTemplateEditedByHand: what is wrong is said with the place, and nothing of
// the state is touched.
func TestTemplateEditedByHand(t *testing.T) {
	for name, tc := range map[string]struct {
		edit func(template string) string
		want []string
	}{
		"a comma too many":      {func(s string) string { return strings.Replace(s, "\n", ",\n,", 1) }, []string{"App.template.json, line 1", "synthesize it again"}},
		"cut short":             {func(s string) string { return s[:len(s)/2] }, []string{"App.template.json, line", "cut short"}},
		"something after it":    {func(s string) string { return s + "}" }, []string{"App.template.json, line", "follows the document"}},
		"a merge's marks":       {func(s string) string { return "<<<<<<< HEAD\n" + s }, []string{"App.template.json, line 1"}},
		"a wrong kind of value": {func(s string) string { return strings.Replace(s, `"Timeout": 10`, `"Timeout": "soon"`, 1) }, []string{"AWS::Lambda::Function", "Timeout"}},
		"a misspelt property":   {func(s string) string { return strings.Replace(s, `"RedrivePolicy"`, `"RedrivePolice"`, 1) }, []string{"App", "Queue", "RedrivePolice"}},
		"a misspelt type":       {func(s string) string { return strings.Replace(s, "AWS::SQS::Queue\"", "AWS::SQS::Qeue\"", 1) }, []string{"AWS::SQS::Qeue"}},
		"a name that is gone":   {func(s string) string { return strings.Replace(s, `"Dead": {`, `"Dread": {`, 1) }, []string{"Dead"}},
		"an unknown function":   {func(s string) string { return strings.Replace(s, `"Ref": "Bus"`, `"Fn::Cidr": "Bus"`, 1) }, []string{"Fn::Cidr"}},
		"an unknown section":    {func(s string) string { return strings.Replace(s, `"Resources"`, `"Hooks": {}, "Resources"`, 1) }, []string{"Hooks"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := stacktest.New(t, recorderDir)
			path := filepath.Join(a.Dir, "App.template.json")
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var pretty bytes.Buffer
			if err := json.Indent(&pretty, raw, "", " "); err != nil {
				t.Fatal(err)
			}
			wrong := tc.edit(pretty.String())
			if wrong == pretty.String() {
				t.Fatal("the edit changed nothing")
			}
			if err := os.WriteFile(path, []byte(wrong), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg := config(a, t.TempDir())
			keepsake := filepath.Join(cfg.State, "data", "keepsake")
			if err := os.MkdirAll(filepath.Dir(keepsake), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(keepsake, []byte("kept"), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err = stack.Start(t.Context(), cfg)
			if err == nil {
				t.Fatal("it started")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("err = %v, want %q", err, want)
				}
			}
			if kept, err := os.ReadFile(keepsake); err != nil || string(kept) != "kept" {
				t.Errorf("the state has %q, %v", kept, err)
			}
		})
	}
}

// TestPoliciesThatCannotWork: each stops the start with the place and what is wrong in
// it; on AWS most would deploy, and then silently allow or deny something else.
func TestPoliciesThatCannotWork(t *testing.T) {
	statement := func(r map[string]any, id, document string) map[string]any {
		return properties(r, id)[document].(map[string]any)["Statement"].([]any)[0].(map[string]any)
	}
	own := func(r map[string]any) map[string]any { return statement(r, "RolePolicy", "PolicyDocument") }
	when := func(operator, key string) map[string]any {
		return map[string]any{operator: map[string]any{key: "x"}}
	}
	for name, tc := range map[string]struct {
		edit func(r map[string]any)
		want []string
	}{
		"a typo in an action":      {func(r map[string]any) { own(r)["Action"] = "sqs:SendMesage" }, []string{"Own", "statement 0", `"sqs:SendMesage"`}},
		"an unknown operator":      {func(r map[string]any) { own(r)["Condition"] = when("StringsEqual", "aws:username") }, []string{"Own", "StringsEqual"}},
		"an unknown condition key": {func(r map[string]any) { own(r)["Condition"] = when("StringEquals", "aws:SourceArm") }, []string{"Own", "aws:SourceArm"}},
		"an unknown element":       {func(r map[string]any) { own(r)["Conditions"] = when("StringEquals", "aws:username") }, []string{"Own", "Conditions"}},
		"an effect that is none":   {func(r map[string]any) { own(r)["Effect"] = "allow" }, []string{"Own", "Effect"}},
		"a role without trust":     {func(r map[string]any) { delete(properties(r, "Role"), "AssumeRolePolicyDocument") }, []string{"App/Role", "AssumeRolePolicyDocument"}},
		"a role that trusts nobody who needs it": {func(r map[string]any) {
			statement(r, "Role", "AssumeRolePolicyDocument")["Principal"] = map[string]any{"Service": "events.amazonaws.com"}
		}, []string{"App/Recorder", "Lambda may not assume its role"}},
		"a boundary of nowhere": {func(r map[string]any) {
			properties(r, "Role")["PermissionsBoundary"] = "arn:aws:iam::000000000000:policy/gone"
		}, []string{"App/Role", "policy/gone"}},
		"a boundary that leaves too little": {func(r map[string]any) {
			r["Boundary"] = stacktest.Resource("AWS::IAM::ManagedPolicy", stacktest.Object{"PolicyDocument": stacktest.Statements(
				stacktest.Object{"Effect": "Allow", "Action": "dynamodb:*", "Resource": "*"})})
			properties(r, "Role")["PermissionsBoundary"] = stacktest.Ref("Boundary")
		}, []string{"App/FromQueue", "because no permissions boundary allows the sqs:ReceiveMessage action"}},
		"a resource's policy without a principal": {func(r map[string]any) { delete(statement(r, "BucketMaySend", "PolicyDocument"), "Principal") }, []string{"App/Queue", "Principal"}},
		"a condition on a key that is missing": {func(r map[string]any) {
			statement(r, "BucketMaySend", "PolicyDocument")["Condition"] = when("StringEquals", "aws:PrincipalTag/team")
		}, []string{"App/Bucket cannot be deployed", "StringEquals on aws:PrincipalTag/team", "the request has no such key"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := stacktest.New(t, recorderDir)
			resources := edited(t, a.Resources())
			tc.edit(resources)
			a.Write(t, resources)
			s, err := stack.Start(t.Context(), config(a, t.TempDir()))
			if err == nil {
				s.Close()
				t.Fatal("it started")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("err = %v, want %q", err, want)
				}
			}
		})
	}
}

// TestURLsSignedWithAWrongClock: S3 refuses a presigned request before its time and after its end.
func TestURLsSignedWithAWrongClock(t *testing.T) {
	s := start(t, config(stacktest.New(t, recorderDir), t.TempDir()))
	dev := s.Dev(nil)
	put := func(signed, valid time.Duration) (int, string) {
		t.Helper()
		url := fmt.Sprintf("%s/%s/clock?X-Amz-Expires=%.0f", dev.S3Endpoint, dev.Bucket, valid.Seconds())
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, strings.NewReader("tick"))
		if err != nil {
			t.Fatal(err)
		}
		keys := aws.Credentials{AccessKeyID: dev.AccessKeyID, SecretAccessKey: dev.SecretAccessKey}
		url, _, err = v4.NewSigner().PresignHTTP(t.Context(), keys, req, "UNSIGNED-PAYLOAD", "s3", dev.Region, time.Now().Add(signed),
			func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
		if err != nil {
			t.Fatal(err)
		}
		if req, err = http.NewRequestWithContext(t.Context(), http.MethodPut, url, strings.NewReader("tick")); err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(answer)
	}
	const week = 7 * 24 * time.Hour
	for _, tc := range []struct {
		name          string
		signed, valid time.Duration // from now
		status        int
		says          string
	}{
		{"now", 0, 10 * time.Minute, http.StatusOK, ""},
		{"almost over", -9 * time.Minute, 10 * time.Minute, http.StatusOK, ""},
		{"over", -11 * time.Minute, 10 * time.Minute, http.StatusForbidden, "Request has expired"},
		{"by a clock that is a little fast", 14 * time.Minute, 10 * time.Minute, http.StatusOK, ""},
		{"by a clock that is far too fast", 16 * time.Minute, 10 * time.Minute, http.StatusForbidden, "Request is not valid yet"},
		{"for a week", 0, week, http.StatusOK, ""},
		{"for longer than that", 0, week + time.Second, http.StatusBadRequest, "AuthorizationQueryParametersError"},
	} {
		if status, body := put(tc.signed, tc.valid); status != tc.status || !strings.Contains(body, tc.says) {
			t.Errorf("signed %s: %d %s, want %d and %q", tc.name, status, body, tc.status, tc.says)
		}
	}
}

// TestClientsWithAWrongClock get the error that the service gives on AWS, and the
// same call with the right time goes through.
func TestClientsWithAWrongClock(t *testing.T) {
	s := start(t, config(stacktest.New(t, recorderDir), t.TempDir()))
	dev := s.Dev(nil)
	call := func(service, target string, off time.Duration) (int, string) {
		t.Helper()
		url, method, body := dev.S3Endpoint+"/", http.MethodPost, "{}"
		if service == "s3" {
			url, method, body = dev.S3Endpoint+"/"+dev.Bucket+"/clock", http.MethodPut, "tick"
		}
		if service == "sts" {
			body = "Action=GetCallerIdentity&Version=2011-06-15"
		}
		req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if target != "" {
			req.Header.Set("X-Amz-Target", target)
			req.Header.Set("Content-Type", "application/x-amz-json-1.0")
		} else if service == "sts" {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		sum := sha256.Sum256([]byte(body))
		hash := hex.EncodeToString(sum[:])
		req.Header.Set("X-Amz-Content-Sha256", hash)
		keys := aws.Credentials{AccessKeyID: dev.AccessKeyID, SecretAccessKey: dev.SecretAccessKey}
		if err := v4.NewSigner().SignHTTP(t.Context(), keys, req, hash, service, dev.Region, time.Now().Add(off)); err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(answer)
	}
	for _, tc := range []struct {
		service, target string
		tolerance       time.Duration
		code            string
	}{
		{"s3", "", 15 * time.Minute, "RequestTimeTooSkewed"},
		{"dynamodb", "DynamoDB_20120810.ListTables", 5 * time.Minute, "InvalidSignatureException"},
		{"sqs", "AmazonSQS.ListQueues", 5 * time.Minute, "SignatureDoesNotMatch"},
		{"sts", "", 5 * time.Minute, "SignatureDoesNotMatch"},
	} {
		t.Run(tc.service, func(t *testing.T) {
			for _, sign := range []time.Duration{-1, 1} {
				if status, body := call(tc.service, tc.target, sign*(tc.tolerance+time.Minute)); status < 400 || status >= 500 || !strings.Contains(body, tc.code) {
					t.Errorf("a clock off by %s: %d %s", sign*(tc.tolerance+time.Minute), status, body)
				}
				if status, body := call(tc.service, tc.target, sign*(tc.tolerance-time.Minute)); status != http.StatusOK {
					t.Errorf("a clock off by %s: %d %s", sign*(tc.tolerance-time.Minute), status, body)
				}
			}
		})
	}
	if _, body := call("dynamodb", "DynamoDB_20120810.ListTables", -time.Hour); !strings.Contains(body, "Signature expired: ") {
		t.Errorf("a slow clock: %s", body)
	}
	if _, body := call("dynamodb", "DynamoDB_20120810.ListTables", time.Hour); !strings.Contains(body, "Signature not yet current: ") {
		t.Errorf("a fast clock: %s", body)
	}
}

// TestStateOfAnotherVersion: older or newer, it is left as it is, and the message
// names both versions and the ways out.
func TestStateOfAnotherVersion(t *testing.T) {
	a := stacktest.New(t, recorderDir)
	cfg := config(a, t.TempDir())
	s, err := stack.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	putItem(t, s, "kept")
	a.Await(t, "kept")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	version := filepath.Join(cfg.State, "version")
	present, err := os.ReadFile(version)
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range []string{"0", "99", "", "one\ntwo"} {
		if err := os.WriteFile(version, []byte(other), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := stack.Start(t.Context(), cfg)
		if err == nil {
			t.Fatalf("it started with the state of version %q", other)
		}
		for _, want := range []string{cfg.State, "RESET=1", "--state", `version "` + strings.TrimSpace(string(present)) + `"`} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("err = %v, want %q", err, want)
			}
		}
	}
	if err := os.Remove(version); err != nil { // from before there were versions
		t.Fatal(err)
	}
	s = start(t, cfg)
	if n := countItems(t, s); n != 1 {
		t.Errorf("%d items, want 1: something was lost", n)
	}
}

func TestResetTakesStateOfAnyVersion(t *testing.T) {
	cfg := config(stacktest.New(t, recorderDir), t.TempDir())
	if err := os.WriteFile(filepath.Join(cfg.State, "version"), []byte("99\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.Reset = true
	s, err := stack.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	cfg.Reset = false
	start(t, cfg)
}

// TestDamagedState: a file of the state that cannot be read stops the start with its
// name and the ways out, and is left as it is.
func TestDamagedState(t *testing.T) {
	a := stacktest.New(t, recorderDir)
	cfg := config(a, t.TempDir())
	s, err := stack.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	putItem(t, s, "kept")
	a.Await(t, "kept")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files := []string{"queues.db", "async.db", "checkpoints.db", "bus/bus.db", "dynamodb.sqlite", "secrets/secrets.json", "master.key"}
	issuers, err := filepath.Glob(filepath.Join(cfg.State, "data", "issuer", "*.pem"))
	if err != nil || len(issuers) != 1 {
		t.Fatalf("the issuer keeps %v, %v", issuers, err)
	}
	for _, file := range append(files, "issuer/"+filepath.Base(issuers[0])) {
		t.Run(file, func(t *testing.T) {
			path := filepath.Join(cfg.State, "data", file)
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			damaged := bytes.Repeat([]byte("damaged "), len(whole)/8+1)
			if err := os.WriteFile(path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := stack.Start(t.Context(), cfg)
			if err == nil {
				s.Close()
				t.Error("it started")
			} else if !strings.Contains(err.Error(), filepath.Base(path)) || !strings.Contains(err.Error(), "RESET=1") && !strings.Contains(err.Error(), "remove it") {
				t.Errorf("err = %v, want the file and a way out", err)
			}
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, damaged) {
				t.Errorf("the file was changed, %v", err)
			}
			if err := os.WriteFile(path, whole, 0o600); err != nil {
				t.Fatal(err)
			}
		})
	}
	s = start(t, cfg)
	if n := countItems(t, s); n != 1 {
		t.Errorf("%d items, want 1: something was lost", n)
	}
}
