package secrets_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"
	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/scripts/local/gateway"
	"github.com/stowage-dev/stowage/scripts/local/gateway/identity"
	"github.com/stowage-dev/stowage/scripts/local/secrets"
)

const (
	region = "us-east-1"
	arn    = "arn:aws:secretsmanager:us-east-1:000000000000:secret:cursor-key-AbCdEf"
	name   = "cursor-key"
)

func open(t *testing.T, dir string, declared ...secrets.Secret) *secrets.Store {
	t.Helper()
	s, err := secrets.Open(secrets.Config{StateDir: dir, Secrets: declared})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return s
}

// serve puts a store behind a gateway and gives the SDK's client of it.
func serve(t *testing.T, s *secrets.Store) *secretsmanager.Client {
	t.Helper()
	issuer, err := identity.New(identity.Config{MasterKey: make([]byte, identity.MasterKeySize)})
	if err != nil {
		t.Fatal(err)
	}
	g, err := gateway.New(gateway.Config{Region: region, Account: "000000000000", Credentials: issuer, SecretARN: s.ARN,
		Services: map[string]http.Handler{"secretsmanager": s}})
	if err != nil {
		t.Fatalf("gateway: %v", err)
	}
	if err := g.Start(t.Context()); err != nil {
		t.Fatalf("gateway: %v", err)
	}
	t.Cleanup(func() { _ = g.Close() })
	c := issuer.IssueUser("arn:aws:iam::000000000000:user/developer")
	return secretsmanager.New(secretsmanager.Options{BaseEndpoint: aws.String(g.Endpoint()), Region: region, Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, "")})
}

func cursorKey() secrets.Secret {
	return secrets.Secret{ARN: arn, Name: name, Description: "seals cursors", Generate: &secrets.Generate{Length: 64, ExcludePunctuation: true}, Tags: map[string]string{"b": "2", "a": "1"}}
}

func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return fmt.Sprint(err)
}

func TestValueOutlivesARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	get := func() string {
		out, err := serve(t, open(t, dir, cursorKey())).GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String(name)})
		if err != nil {
			t.Fatalf("get: %v", err)
		}
		if *out.ARN != arn || *out.Name != name || !slices.Equal(out.VersionStages, []string{"AWSCURRENT"}) || time.Since(*out.CreatedDate) > time.Minute {
			t.Errorf("got %+v", out)
		}
		return *out.SecretString
	}
	first := get()
	if len(first) != 64 || strings.ContainsAny(first, "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ ") {
		t.Errorf("made %q", first)
	}
	if again := get(); again != first {
		t.Errorf("after a restart %q, before %q", again, first)
	}
	info, err := os.Stat(filepath.Join(dir, "secrets.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info, err)
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	c := serve(t, open(t, t.TempDir(), cursorKey()))
	ctx := t.Context()
	get := func(version, stage *string) (string, string) {
		out, err := c.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String(arn), VersionId: version, VersionStage: stage})
		if err != nil {
			return "", code(err)
		}
		return *out.SecretString, *out.VersionId
	}
	first, firstID := get(nil, nil)
	put, err := c.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: aws.String(name), SecretString: aws.String("second"), ClientRequestToken: aws.String(strings.Repeat("2", 32))})
	if err != nil || !slices.Equal(put.VersionStages, []string{"AWSCURRENT"}) {
		t.Fatalf("put: %+v, %v", put, err)
	}
	if v, _ := get(nil, nil); v != "second" {
		t.Errorf("current is %q", v)
	}
	if v, id := get(nil, aws.String("AWSPREVIOUS")); v != first || id != firstID {
		t.Errorf("previous is %q (%s)", v, id)
	}
	if v, _ := get(&firstID, nil); v != first {
		t.Errorf("the first version is %q", v)
	}
	if _, got := get(&firstID, aws.String("AWSCURRENT")); got != "InvalidRequestException" {
		t.Errorf("the first version as current: got %s", got)
	}

	// The same token: once more the same, or refused.
	if again, err := c.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: aws.String(name), SecretString: aws.String("second"), ClientRequestToken: put.VersionId}); err != nil || *again.VersionId != *put.VersionId {
		t.Errorf("put again: %v", err)
	}
	if _, err := c.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: aws.String(name), SecretString: aws.String("other"), ClientRequestToken: put.VersionId}); code(err) != "ResourceExistsException" {
		t.Errorf("another value with the token: got %v", err)
	}

	// A pending version is nobody's until it is made current.
	pending, err := c.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: aws.String(name), SecretBinary: []byte{0, 1, 2}, VersionStages: []string{"AWSPENDING"}})
	if err != nil {
		t.Fatalf("put pending: %v", err)
	}
	if v, _ := get(nil, nil); v != "second" {
		t.Errorf("current is %q", v)
	}
	if _, err := c.UpdateSecretVersionStage(ctx, &secretsmanager.UpdateSecretVersionStageInput{SecretId: aws.String(name), VersionStage: aws.String("AWSCURRENT"), MoveToVersionId: pending.VersionId}); code(err) != "InvalidParameterException" {
		t.Errorf("move without saying from where: got %v", err)
	}
	if _, err := c.UpdateSecretVersionStage(ctx, &secretsmanager.UpdateSecretVersionStageInput{SecretId: aws.String(name), VersionStage: aws.String("AWSCURRENT"), MoveToVersionId: pending.VersionId, RemoveFromVersionId: put.VersionId}); err != nil {
		t.Fatalf("move: %v", err)
	}
	out, err := c.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String(name)})
	if err != nil || !bytes.Equal(out.SecretBinary, []byte{0, 1, 2}) || out.SecretString != nil {
		t.Errorf("current is %+v, %v", out, err)
	}
	if v, _ := get(nil, aws.String("AWSPREVIOUS")); v != "second" {
		t.Errorf("previous is %q", v)
	}
	described, err := c.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: aws.String(strings.TrimSuffix(arn, "-AbCdEf"))})
	if err != nil || len(described.VersionIdsToStages) != 2 || *described.Description != "seals cursors" || *described.Tags[0].Key != "a" {
		t.Errorf("described %+v, %v", described, err)
	}
	listed, err := c.ListSecretVersionIds(ctx, &secretsmanager.ListSecretVersionIdsInput{SecretId: aws.String(name), IncludeDeprecated: aws.Bool(true)})
	if err != nil || len(listed.Versions) != 3 {
		t.Errorf("listed %+v, %v", listed, err)
	}
}

// TestRollback makes the previous version current again: the two change places.
func TestRollback(t *testing.T) {
	t.Parallel()
	c := serve(t, open(t, t.TempDir(), secrets.Secret{ARN: arn, Name: name, Value: "one"}))
	ctx := t.Context()
	one, err := c.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String(name)})
	if err != nil {
		t.Fatal(err)
	}
	two, err := c.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: aws.String(name), SecretString: aws.String("two")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.UpdateSecretVersionStage(ctx, &secretsmanager.UpdateSecretVersionStageInput{SecretId: aws.String(name), VersionStage: aws.String("AWSCURRENT"), MoveToVersionId: one.VersionId, RemoveFromVersionId: two.VersionId}); err != nil {
		t.Fatal(err)
	}
	out, err := c.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: aws.String(name)})
	if err != nil || !slices.Equal(out.VersionIdsToStages[*one.VersionId], []string{"AWSCURRENT"}) || !slices.Equal(out.VersionIdsToStages[*two.VersionId], []string{"AWSPREVIOUS"}) {
		t.Errorf("stages %v, %v", out.VersionIdsToStages, err)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	c := serve(t, open(t, t.TempDir(), cursorKey(), secrets.Secret{ARN: arn + "2", Name: "empty"}, secrets.Secret{ARN: arn + "3", Name: "large"}))
	ctx := t.Context()
	for what, test := range map[string]struct {
		call func() error
		want string
	}{
		"no such secret": {func() error {
			_, err := c.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String("none")})
			return err
		}, "ResourceNotFoundException"},
		"no value": {func() error {
			_, err := c.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String("empty")})
			return err
		}, "ResourceNotFoundException"},
		"no such version": {func() error {
			_, err := c.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String(name), VersionId: aws.String("x")})
			return err
		}, "ResourceNotFoundException"},
		"no value given": {func() error {
			_, err := c.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: aws.String(name)})
			return err
		}, "InvalidParameterException"},
		"longest": {func() error {
			_, err := c.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: aws.String("large"), SecretString: aws.String(strings.Repeat("x", 65536))})
			return err
		}, "<nil>"},
		"too long": {func() error {
			_, err := c.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: aws.String(name), SecretString: aws.String(strings.Repeat("x", 65537))})
			return err
		}, "InvalidParameterException"},
		"an operation that is not served": {func() error {
			_, err := c.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: aws.String(name)})
			return err
		}, "UnknownOperationException"},
		"password of no characters": {func() error {
			_, err := c.GetRandomPassword(ctx, &secretsmanager.GetRandomPasswordInput{PasswordLength: aws.Int64(0)})
			return err
		}, "InvalidParameterException"},
		"password of nothing": {func() error {
			_, err := c.GetRandomPassword(ctx, &secretsmanager.GetRandomPasswordInput{ExcludeLowercase: aws.Bool(true), ExcludeUppercase: aws.Bool(true), ExcludeNumbers: aws.Bool(true), ExcludePunctuation: aws.Bool(true)})
			return err
		}, "InvalidParameterException"},
	} {
		if got := code(test.call()); got != test.want {
			t.Errorf("%s: got %s, want %s", what, got, test.want)
		}
	}
}

func TestTemplatedSecret(t *testing.T) {
	t.Parallel()
	template := secrets.Generate{SecretStringTemplate: `{"username":"admin"}`, GenerateStringKey: "password"}
	c := serve(t, open(t, t.TempDir(), secrets.Secret{ARN: arn, Name: name, Generate: &template}))
	out, err := c.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String(name)})
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]string
	if err := json.Unmarshal([]byte(*out.SecretString), &got); err != nil || got["username"] != "admin" || len(got["password"]) != 32 {
		t.Errorf("got %q, %v", *out.SecretString, err)
	}
	for what, g := range map[string]secrets.Generate{
		"no key":              {SecretStringTemplate: "{}"},
		"no template":         {GenerateStringKey: "k"},
		"template not JSON":   {SecretStringTemplate: "x", GenerateStringKey: "k"},
		"too long":            {Length: 4097},
		"too short for kinds": {Length: 3},
	} {
		if _, err := secrets.Open(secrets.Config{StateDir: t.TempDir(), Secrets: []secrets.Secret{{ARN: arn, Name: name, Generate: &g}}}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v, want an error that names the secret", what, err)
		}
	}
}

func TestDamagedState(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "secrets.json")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := secrets.Open(secrets.Config{StateDir: dir}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want an error that names %s", err, path)
	}
}

// TestPasswords are as long as asked and hold of each kind what was asked.
func TestPasswords(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		g := secrets.Generate{
			Length:            rapid.IntRange(5, 80).Draw(rt, "length"),
			ExcludeCharacters: rapid.StringOfN(rapid.RuneFrom([]rune("abcXYZ019!@#")), 0, 12, -1).Draw(rt, "excluded"),
			ExcludeUppercase:  rapid.Bool().Draw(rt, "no uppercase"),
			ExcludeNumbers:    rapid.Bool().Draw(rt, "no numbers"),
			IncludeSpace:      rapid.Bool().Draw(rt, "space"),
		}
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		if _, err := secrets.Open(secrets.Config{StateDir: dir, Secrets: []secrets.Secret{{ARN: arn, Name: name, Generate: &g}}}); err != nil {
			rt.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(dir, "secrets.json"))
		if err != nil {
			rt.Fatal(err)
		}
		var state map[string]struct{ Items []struct{ String string } }
		if err := json.Unmarshal(data, &state); err != nil {
			rt.Fatal(err)
		}
		p := state[arn].Items[0].String
		has := func(chars string) bool { return strings.ContainsAny(p, chars) }
		switch {
		case len(p) != g.Length:
			rt.Fatalf("%q has %d characters", p, len(p))
		case g.ExcludeCharacters != "" && has(g.ExcludeCharacters):
			rt.Fatalf("%q holds one of %q", p, g.ExcludeCharacters)
		case !has("abcdefghijklmnopqrstuvwxyz"), has("ABCDEFGHIJKLMNOPQRSTUVWXYZ") == g.ExcludeUppercase,
			has("0123456789") == g.ExcludeNumbers, has(" ") != g.IncludeSpace:
			rt.Fatalf("%q does not hold what %+v asks", p, g)
		}
	})
}
