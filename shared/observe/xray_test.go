//go:build !notrace

package observe_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/stowage-dev/stowage/shared/observe"
)

// TestXRay runs a span as Lambda would have it and reads what the daemon is sent.
func TestXRay(t *testing.T) {
	daemon, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer daemon.Close()
	tracer, err := observe.NewTracer(daemon.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	var cfg aws.Config
	observe.InstrumentAWS(&cfg, tracer)
	if len(cfg.APIOptions) == 0 {
		t.Error("AWS calls are not traced")
	}

	//nolint:staticcheck // the key that aws-lambda-go uses
	ctx := context.WithValue(t.Context(), "x-amzn-trace-id", "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1")
	t.Setenv("LAMBDA_TASK_ROOT", t.TempDir())
	_, span := tracer.Start(ctx, "records")
	span.Annotate("record", "m1")
	span.Annotate("odd", []int{1}) // is left out
	span.End(errors.New("it broke"))

	buf := make([]byte, 1<<16)
	if err := daemon.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, _, err := daemon.ReadFrom(buf)
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(buf[:n]), "\n")
	var got struct {
		Name        string
		TraceID     string `json:"trace_id"`
		ParentID    string `json:"parent_id"`
		Fault       bool
		Annotations map[string]any
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if got.Name != "records" || got.TraceID != "1-5759e988-bd862e3fe1be46a994272793" || got.ParentID != "53995c3f42cd8ad8" || !got.Fault || got.Annotations["record"] != "m1" {
		t.Errorf("the daemon was sent %s", body)
	}
}

func TestNoDaemonNoTraces(t *testing.T) {
	tracer, err := observe.NewTracer("")
	if err != nil {
		t.Fatal(err)
	}
	var cfg aws.Config
	observe.InstrumentAWS(&cfg, tracer)
	if len(cfg.APIOptions) > 0 {
		t.Error("AWS calls are traced to nobody")
	}
	_, span := tracer.Start(t.Context(), "x")
	span.Annotate("a", 1)
	span.End(nil)
}

// TestSpanOutsideOfAnInvocation: at init and in tests there is no trace to be part of.
func TestSpanOutsideOfAnInvocation(t *testing.T) {
	tracer, err := observe.NewTracer("127.0.0.1:2000")
	if err != nil {
		t.Fatal(err)
	}
	_, span := tracer.Start(t.Context(), "x")
	span.Annotate("a", 1)
	span.End(errors.New("no matter"))
}

func TestDaemonAddressThatIsNone(t *testing.T) {
	if _, err := observe.NewTracer("not an address"); err == nil {
		t.Error("it was taken for an address")
	}
}
