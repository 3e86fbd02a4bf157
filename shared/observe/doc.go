// Package observe is how a function tells what it does: structured logs,
// metrics in CloudWatch's embedded format, and traces.
//
// Logs are slog JSON. Every line logged with an invocation's context carries
// the request id, and whatever [With] put there; callers never pass those by
// hand. Nothing here logs a payload, a token or a signed URL, and callers must
// not either.
//
// Metrics are summed in memory and written once per invocation as a line of
// CloudWatch's embedded metric format, so that counting costs no API call and
// needs no permission.
//
// Traces go to AWS X-Ray. The tag notrace builds without it: the X-Ray SDK
// doubles a binary's size, and this package is the only one that imports it, so
// that another exporter can take its place.
//
// Everything is safe for concurrent use. No IAM action is needed but
// xray:PutTraceSegments, which the Lambda service adds with active tracing.
package observe
