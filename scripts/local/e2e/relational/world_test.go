package relational_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/rds/auth"
	"github.com/jackc/pgx/v5"

	"github.com/stowage-dev/stowage/scripts/local/engines/s3"
	"github.com/stowage-dev/stowage/scripts/local/seed"
	"github.com/stowage-dev/stowage/scripts/local/stack"
	"github.com/stowage-dev/stowage/scripts/local/template"
	"github.com/stowage-dev/stowage/shared/client"
)

const root = "../../../.."

// patience is for a machine on which everything is compiled at once.
const patience = 5 * time.Minute

// TestMain is the S3 engine when it is started as that.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == s3.Command {
		os.Exit(s3.Main(os.Args, os.Stdin))
	}
	os.Exit(m.Run())
}

// synthesize writes the assembly with the Relational stack.
func synthesize(t *testing.T) string {
	t.Helper()
	out := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "run", "./infra")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CDK_OUTDIR="+out,
		`CDK_CONTEXT_JSON={"relational":"true","relationalProxy":"true","relationalReaders":"1"}`)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("synthesize: %v\n%s", err, said)
	}
	return out
}

// world is the running stacks with a client of workspace alpha.
type world struct {
	*stack.Stack
	token  string
	client *client.Client
	record string // of what was used
}

func start(t *testing.T, record string) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	log, err := os.Create(filepath.Join(t.TempDir(), "runtime.log"))
	if err != nil {
		t.Fatal(err)
	}
	soon := 300 * time.Millisecond
	w := &world{record: record}
	w.Stack, err = stack.Start(ctx, stack.Config{
		Assembly: synthesize(t), State: t.TempDir(), Source: root, Usage: record, QueueRetryDelay: &soon,
		RetryDelay: func(int) time.Duration { return soon }, StreamRetryDelay: func(int) time.Duration { return soon },
		Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(w.Close(), log.Close()); err != nil {
			t.Error(err)
		}
		if raw, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("%s", raw[max(0, len(raw)-20_000):])
		}
	})
	seeder := seed.Seeder{APIURL: w.APIURL(), Mint: w.Mint}
	if err := seeder.Run(ctx, seed.Workspaces()); err != nil {
		t.Fatal(err)
	}
	tokens, _, err := seeder.Tokens(ctx, seed.Workspaces())
	if err != nil {
		t.Fatal(err)
	}
	w.token = tokens["alpha"]
	if w.client, err = client.New(w.APIURL(), client.StaticToken(w.token), &client.Options{Workspace: "alpha", PollInterval: 20 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	return w
}

// get asks the API as a user of alpha, and decodes the answer.
func (w *world) get(t *testing.T, path string) (int, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.APIURL()+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	answer := map[string]any{}
	if err := json.Unmarshal(raw, &answer); err != nil {
		t.Fatalf("%s: %d %s", path, resp.StatusCode, raw)
	}
	return resp.StatusCode, answer
}

// items waits until a list has at least n items.
func (w *world) items(t *testing.T, path string, n int) []any {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		status, answer := w.get(t, path)
		list, _ := answer["items"].([]any)
		if status == http.StatusOK && len(list) >= n {
			return list
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %d %v, want %d items", path, status, answer, n)
		}
	}
}

func (w *world) put(t *testing.T, path, contentType, content string) client.Upload {
	t.Helper()
	u, err := w.client.Put(t.Context(), client.NewUpload{Path: path, ContentType: contentType, IfExists: "version"},
		bytes.NewReader([]byte(content)), int64(len(content)), nil)
	if err != nil {
		t.Fatal(err)
	}
	u, err = w.client.Wait(t.Context(), u.ID)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// queue is one of the two queues of the ledger's events.
func (w *world) queue(t *testing.T, id string) *template.Queue {
	t.Helper()
	i := slices.IndexFunc(w.Model.Queues, func(q *template.Queue) bool { return q.ConstructPath == "Relational/LedgerEvents/"+id+"/Resource" })
	if i < 0 {
		t.Fatalf("the ledger has no queue %s", id)
	}
	return w.Model.Queues[i]
}

// connect connects to the database with the role of a function.
func (w *world) connect(t *testing.T, construct, endpoint, user string) error {
	t.Helper()
	c, err := w.Session(w.role(t, construct), "test")
	if err != nil {
		t.Fatal(err)
	}
	token, err := auth.BuildAuthToken(t.Context(), endpoint, w.Dev(nil).Region, user,
		credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken))
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := pgx.ParseConfig("postgres://" + user + "@" + endpoint + "/stowage?sslmode=require")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Password = token
	cfg.TLSConfig = &tls.Config{RootCAs: w.Databases[0].Engine.Authority().Pool(), ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		return err
	}
	return conn.Close(t.Context())
}

// role is the ARN of the role of a construct of the Relational stack.
func (w *world) role(t *testing.T, construct string) string {
	t.Helper()
	for _, r := range w.Model.Roles {
		if strings.HasPrefix(r.ConstructPath, "Relational/"+construct+"/") {
			return r.ARN
		}
	}
	t.Fatalf("no role belongs to Relational/%s", construct)
	return ""
}
