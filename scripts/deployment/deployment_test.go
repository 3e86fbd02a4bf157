package deployment_test

import (
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
	outputs := file(t, `{"stowage-prod-Data":{"CatalogTable":"catalog","DeadLetterBucket":"letters","IngestDeadLetterQueue":"https://sqs.eu-west-1.amazonaws.com/1/b"},
		"stowage-prod-Relational":{"LedgerQueue":"https://sqs.eu-west-1.amazonaws.com/1/l","LedgerDeadLetterQueue":"https://sqs.eu-west-1.amazonaws.com/1/a"}}`)
	s, err := deployment.Where{Outputs: outputs}.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dead := []string{"https://sqs.eu-west-1.amazonaws.com/1/a", "https://sqs.eu-west-1.amazonaws.com/1/b"}
	if s.Table != "catalog" || s.DeadLetterBucket != "letters" || s.LedgerQueue != "https://sqs.eu-west-1.amazonaws.com/1/l" ||
		!slices.Equal(s.DeadLetterQueues, dead) || s.AWS.Region != "eu-west-1" || deployment.ByPath(s.AWS) {
		t.Errorf("%+v", s)
	}
}

func TestLocalRuntime(t *testing.T) {
	t.Parallel()
	dev := file(t, `{"s3Endpoint":"http://127.0.0.1:9000","region":"us-east-1","accessKeyId":"a","secretAccessKey":"s","table":"catalog",
		"queues":{"Relational/LedgerEvents/Default/Resource":"http://127.0.0.1:9000/0/l","Relational/LedgerEvents/DeadLetters/Resource":"http://127.0.0.1:9000/0/d"}}`)
	s, err := deployment.Where{Dev: dev}.OrDev().Find(t.Context())
	if err != nil || s.Table != "catalog" || s.LedgerQueue != "http://127.0.0.1:9000/0/l" || !deployment.ByPath(s.AWS) {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestWhatIsNoStack(t *testing.T) {
	t.Parallel()
	for want, where := range map[string]deployment.Where{
		"two stacks":                    {Dev: "a", Outputs: "b"},
		"is the stack running":          {Dev: filepath.Join(t.TempDir(), "none")},
		"there is no .stowage/outputs-": {Outputs: deployment.Outputs("nowhere")},
		"invalid character":             {Outputs: file(t, "x")},
	} {
		if _, err := where.Find(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", where, err, want)
		}
	}
}
