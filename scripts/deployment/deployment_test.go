package deployment_test

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stowage-dev/stowage/scripts/deployment"
)

func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "stack.json")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestDeployedStage reads what the CDK wrote of a deployment.
func TestDeployedStage(t *testing.T) {
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "config"))
	outputs := file(t, `{"stowage-prod-Service":{"ApiUrl":"https://api.example.com"},"stowage-prod-Data":{"CatalogTable":"catalog","DeadLetterBucket":"letters","IngestDeadLetterQueue":"https://sqs.eu-west-1.amazonaws.com/1/b"},
		"stowage-prod-Relational":{"LedgerQueue":"https://sqs.eu-west-1.amazonaws.com/1/l","LedgerDeadLetterQueue":"https://sqs.eu-west-1.amazonaws.com/1/a"}}`)
	s, err := deployment.Where{Outputs: outputs}.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dead := []string{"https://sqs.eu-west-1.amazonaws.com/1/a", "https://sqs.eu-west-1.amazonaws.com/1/b"}
	if s.Table != "catalog" || s.DeadLetterBucket != "letters" || s.LedgerQueue != "https://sqs.eu-west-1.amazonaws.com/1/l" ||
		!slices.Equal(s.DeadLetterQueues, dead) || s.API != "https://api.example.com" || s.AWS.Region != "eu-west-1" || deployment.ByPath(s.AWS) {
		t.Errorf("%+v", s)
	}
}

func TestLocalRuntime(t *testing.T) {
	t.Parallel()
	dev := file(t, `{"s3Endpoint":"http://127.0.0.1:9000","region":"us-east-1","accessKeyId":"a","secretAccessKey":"s","table":"catalog",
		"apiUrl":"http://127.0.0.1:8480","tokens":{"alpha":"t"},"events":"/state/events.jsonl",
		"queues":{"Relational/LedgerEvents/Default/Resource":"http://127.0.0.1:9000/0/l","Relational/LedgerEvents/DeadLetters/Resource":"http://127.0.0.1:9000/0/d"}}`)
	s, err := deployment.Where{Dev: dev}.OrDev().Find(t.Context())
	if err != nil || s.Table != "catalog" || s.LedgerQueue != "http://127.0.0.1:9000/0/l" || !deployment.ByPath(s.AWS) ||
		s.API != "http://127.0.0.1:8480" || s.Tokens["alpha"] != "t" || s.Events != "/state/events.jsonl" {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestWhatIsNoStack(t *testing.T) {
	t.Parallel()
	none := filepath.Join(t.TempDir(), "none")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-dev", "a", "-outputs", "b"}, "give one of them"},
		{[]string{"-dev", "a", "-stage", "b"}, "give one of them"},
		{[]string{"-stage", "a", "-outputs", "b"}, "give one of them"},
		{[]string{"-dev", none}, "there is no " + none + ": is `make dev` running?"},
		{[]string{"-stage", "nowhere"}, "there is no .stowage/outputs-nowhere.json: run `make deploy` first"},
		{[]string{"-outputs", file(t, "x")}, "invalid character"},
	} {
		var where deployment.Where
		flags := flag.NewFlagSet("test", flag.ContinueOnError)
		where.Flags(flags)
		if err := flags.Parse(c.args); err != nil {
			t.Fatal(err)
		}
		if _, err := where.Find(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.args, err, c.want)
		}
	}
}
