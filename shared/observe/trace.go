package observe

import "context"

// Tracer starts spans.
type Tracer interface {
	// Start begins a span named name below the one that ctx carries. The span
	// must be ended.
	Start(ctx context.Context, name string) (context.Context, Span)
}

// Span is one piece of work in a trace.
type Span interface {
	// Annotate adds a value by which traces can be searched: a string, a number
	// or a boolean.
	Annotate(key string, value any)
	// End closes the span, failed if err is not nil.
	End(err error)
}

// NoTracer returns a tracer that records nothing.
func NoTracer() Tracer { return noTracer{} }

type noTracer struct{}

func (noTracer) Start(ctx context.Context, _ string) (context.Context, Span) {
	return ctx, noSpan{}
}

type noSpan struct{}

func (noSpan) Annotate(string, any) {}
func (noSpan) End(error)            {}
