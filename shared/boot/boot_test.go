package boot_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/stowage-dev/stowage/shared/boot"
)

// TestMain is a function when Lambda's Runtime API is named.
func TestMain(m *testing.M) {
	if os.Getenv("AWS_LAMBDA_RUNTIME_API") != "" {
		boot.Start(func(rt *boot.Runtime) (lambda.Handler, error) {
			if rt.Settings.Required("STOWAGE_TABLE"); rt.Settings.Err() != nil {
				return nil, rt.Settings.Err()
			}
			return boot.JSON(func(ctx context.Context, in struct{ Name string }) (map[string]string, error) {
				rt.Metrics.Add("Greetings", 1)
				rt.Log.InfoContext(ctx, "greeting")
				if in.Name == "" {
					return nil, errors.New("nobody to greet")
				}
				return map[string]string{"hello": in.Name}, nil
			}), nil
		})
	}
	os.Exit(m.Run())
}

func env(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
}

func TestSettings(t *testing.T) {
	s := boot.NewSettings(env(map[string]string{"A": "1", "EMPTY": "", "COLOUR": "mauve", "SHADE": "dark"}))
	if got := s.Required("A") + s.Optional("A", "x") + s.Optional("B", "2") + s.Optional("EMPTY", "3") + s.OneOf("SIZE", "s", "m") + s.OneOf("SHADE", "light", "dark"); got != "1123sdark" {
		t.Errorf("read %q", got)
	}
	if err := s.Err(); err != nil {
		t.Fatalf("nothing is wrong yet: %v", err)
	}
	s.Required("MISSING")
	s.OneOf("COLOUR", "red", "blue")
	s.Required("EMPTY")
	err := s.Err()
	for _, want := range []string{"MISSING, EMPTY", `COLOUR is "mauve"`, "red, blue"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want it to name %s", err, want)
		}
	}
}

func TestAWSConfigEndpoints(t *testing.T) {
	const all, one = "http://127.0.0.1:1", "http://127.0.0.1:2"
	for name, tc := range map[string]struct {
		vars   map[string]string
		s3     string
		dynamo string
	}{
		"AWS itself":      {nil, "", ""},
		"one for all":     {map[string]string{"AWS_ENDPOINT_URL": all}, all, all},
		"one for S3":      {map[string]string{"AWS_ENDPOINT_URL_S3": one}, one, ""},
		"S3 apart":        {map[string]string{"AWS_ENDPOINT_URL": all, "AWS_ENDPOINT_URL_S3": one}, one, all},
		"all disregarded": {map[string]string{"AWS_ENDPOINT_URL": all, "AWS_ENDPOINT_URL_S3": one, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			vars := map[string]string{"AWS_REGION": "eu-west-1"}
			for k, v := range tc.vars {
				vars[k] = v
				t.Setenv(k, v) // the SDK's clients look for themselves, too
			}
			cfg := boot.AWSConfig(boot.NewSettings(env(vars)))
			if got := aws.ToString(s3.NewFromConfig(cfg).Options().BaseEndpoint); got != tc.s3 {
				t.Errorf("S3 is at %q, want %q", got, tc.s3)
			}
			if got := aws.ToString(dynamodb.NewFromConfig(cfg).Options().BaseEndpoint); got != tc.dynamo {
				t.Errorf("DynamoDB is at %q, want %q", got, tc.dynamo)
			}
		})
	}
}

// TestCredentialsAreReadAnew: what is in the environment now is what signs.
func TestCredentialsAreReadAnew(t *testing.T) {
	var auth []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		auth = append(auth, r.Header.Get("Authorization")+" "+r.Header.Get("X-Amz-Security-Token"))
		w.WriteHeader(http.StatusBadRequest)
	}))
	defer srv.Close()
	vars := map[string]string{"AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": srv.URL, "AWS_ACCESS_KEY_ID": "AKIAFIRST", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t1"}
	client := sts.NewFromConfig(boot.AWSConfig(boot.NewSettings(env(vars))))
	call := func() error {
		_, err := client.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
		return err
	}
	_ = call()
	vars["AWS_ACCESS_KEY_ID"], vars["AWS_SESSION_TOKEN"] = "AKIASECOND", "t2"
	_ = call()
	delete(vars, "AWS_SECRET_ACCESS_KEY")
	if err := call(); err == nil || !strings.Contains(err.Error(), "AWS_SECRET_ACCESS_KEY") {
		t.Errorf("without a secret: %v, want an error that names the variable", err)
	}
	if len(auth) != 2 || !strings.Contains(auth[0], "AKIAFIRST/") || !strings.HasSuffix(auth[0], " t1") || !strings.Contains(auth[1], "AKIASECOND/") || !strings.HasSuffix(auth[1], " t2") {
		t.Errorf("signed as %q", auth)
	}
}

func TestRuntimeNamesAllThatIsWrong(t *testing.T) {
	_, err := boot.NewRuntime(env(map[string]string{"STOWAGE_STAGE": "staging", "STOWAGE_LOG_LEVEL": "loud"}), io.Discard)
	for _, want := range []string{"AWS_REGION", "STOWAGE_STAGE", "staging", "STOWAGE_LOG_LEVEL", "loud"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want it to name %s", err, want)
		}
	}
}

func TestHandlers(t *testing.T) {
	double := boot.JSON(func(_ context.Context, n int) (int, error) { return 2 * n, nil })
	if out, err := double.Invoke(t.Context(), []byte(" 21 ")); err != nil || string(out) != "42" {
		t.Errorf("got %s, error %v", out, err)
	}
	for _, payload := range []string{"", "x", `"text"`, "1 2"} {
		if _, err := double.Invoke(t.Context(), []byte(payload)); err == nil || !strings.Contains(err.Error(), "int") {
			t.Errorf("%q: got %v, want an error that names the type", payload, err)
		}
	}
	size := boot.Raw(func(_ context.Context, p []byte) (int, error) { return len(p), nil })
	if out, err := size.Invoke(t.Context(), []byte("not JSON")); err != nil || string(out) != "8" {
		t.Errorf("got %s, error %v", out, err)
	}
	if _, err := boot.Raw(func(context.Context, []byte) (func(), error) { return func() {}, nil }).Invoke(t.Context(), nil); err == nil {
		t.Error("an answer that is no JSON was encoded")
	}
}

// runtimeAPI gives one invocation to a function and takes its answer.
type runtimeAPI struct {
	payload string
	given   bool
	answer  chan string
}

func (a *runtimeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/next") {
		if a.given {
			<-r.Context().Done()
			return
		}
		a.given = true
		w.Header().Set("Lambda-Runtime-Aws-Request-Id", "request-1")
		w.Header().Set("Lambda-Runtime-Deadline-Ms", fmt.Sprint(time.Now().Add(time.Minute).UnixMilli()))
		fmt.Fprint(w, a.payload)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	a.answer <- r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:] + " " + string(body)
	w.WriteHeader(http.StatusAccepted)
}

// function runs this binary as a function.
func function(t *testing.T, api string, vars ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append([]string{"AWS_LAMBDA_RUNTIME_API=" + strings.TrimPrefix(api, "http://"), "AWS_LAMBDA_FUNCTION_NAME=Greeter"}, vars...)
	var out bytes.Buffer
	cmd.Stdout = &out
	return cmd, &out
}

func TestStart(t *testing.T) {
	for payload, want := range map[string][2]string{
		`{"Name":"Zoë"}`: {`response {"hello":"Zoë"}`, `"Greetings":1`},
		`{}`:             {`error {"errorMessage":"nobody to greet"`, `"message":"invocation failed"`},
		`7`:              {`error {"errorMessage":"decode event as struct`, `"message":"invocation failed"`},
	} {
		api := &runtimeAPI{payload: payload, answer: make(chan string, 1)}
		srv := httptest.NewServer(api)
		cmd, out := function(t, srv.URL, "AWS_REGION=eu-west-1", "STOWAGE_TABLE=t")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-api.answer:
			if !strings.HasPrefix(got, want[0]) {
				t.Errorf("%s: answered %s, want %s", payload, got, want[0])
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s: no answer", payload)
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		srv.Close()
		if !strings.Contains(out.String(), want[1]) {
			t.Errorf("%s: wrote %s, want %s in it", payload, out, want[1])
		}
	}
}

func TestStartWithoutItsSettings(t *testing.T) {
	for missing, vars := range map[string][]string{
		"AWS_REGION":    {"STOWAGE_TABLE=t"},
		"STOWAGE_TABLE": {"AWS_REGION=eu-west-1"},
	} {
		cmd, out := function(t, "http://127.0.0.1:1", vars...)
		err := cmd.Run()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(out.String(), missing) {
			t.Errorf("without %s: %v, wrote %s", missing, err, out)
		}
	}
}
