//go:build !notrace

package observe

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-xray-sdk-go/v2/instrumentation/awsv2"
	"github.com/aws/aws-xray-sdk-go/v2/strategy/ctxmissing"
	"github.com/aws/aws-xray-sdk-go/v2/xray"
	"github.com/aws/aws-xray-sdk-go/v2/xraylog"
)

// NewTracer returns the tracer of this build. Lambda names the X-Ray daemon in
// AWS_XRAY_DAEMON_ADDRESS, given here as daemon; without one nothing is traced. Call
// it once, before anything else runs: the SDK keeps its settings globally.
func NewTracer(daemon string) (Tracer, error) {
	if daemon == "" {
		return NoTracer(), nil
	}
	// The SDK would write lines that are not JSON between ours.
	xray.SetLogger(xraylog.NullLogger)
	// A span outside of an invocation (at init, in a test) is no error.
	err := xray.Configure(xray.Config{
		DaemonAddr:             daemon,
		ContextMissingStrategy: ctxmissing.NewDefaultIgnoreErrorStrategy(),
	})
	if err != nil {
		return nil, err //nolint:wrapcheck // boot says which variable it came from
	}
	return xrayTracer{}, nil
}

// InstrumentAWS makes every call of the clients built from cfg a span, where t
// traces at all.
func InstrumentAWS(cfg *aws.Config, t Tracer) {
	if _, ok := t.(xrayTracer); ok {
		awsv2.AWSV2Instrumentor(&cfg.APIOptions)
	}
}

type xrayTracer struct{}

func (xrayTracer) Start(ctx context.Context, name string) (context.Context, Span) {
	ctx, seg := xray.BeginSubsegment(ctx, name)
	if seg == nil {
		return ctx, noSpan{}
	}
	return ctx, xraySpan{seg}
}

type xraySpan struct{ seg *xray.Segment }

func (s xraySpan) Annotate(key string, value any) {
	// The SDK refuses other types than documented; a trace is not worth failing for.
	_ = s.seg.AddAnnotation(key, value)
}

func (s xraySpan) End(err error) { s.seg.Close(err) }
