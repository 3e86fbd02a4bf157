package stacks

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/jsii-runtime-go"

	"github.com/stowage-dev/stowage/infra/patterns"
)

// named is a function with the id of its construct.
type named struct {
	id       string
	function *patterns.Function
}

func (s *Service) functions() []named {
	all := []named{{"UploadApi", s.UploadAPI}, {"S3Ingest", s.Ingest}, {"StreamFanout", s.Fanout}, {"UploadCompleter", s.Completer}, {"UploadSweeper", s.Sweeper}, {"ImageDerivatives", s.Derivatives}}
	if s.Scanner != nil {
		all = append(all, named{"MalwareScanner", s.Scanner})
	}
	if s.TokenClaims != nil {
		all = append(all, named{"TokenClaims", s.TokenClaims})
	}
	return all
}

// addAlarms watches everything that needs a person: work that was given up,
// work that falls behind, and answers that failed.
func (s *Service) addAlarms() {
	for _, f := range s.functions() {
		s.watch(f.id+"Errors", "Invocations of "+f.id+" failed: read its log", f.function.MetricErrors(), 1)
		s.watch(f.id+"Throttles", "Invocations of "+f.id+" were throttled: raise the account's concurrency", f.function.MetricThrottles(), 1)
	}
	s.watch("IngestDeadLetters", "Notifications of uploads were given up: read the message in the dead-letter queue and redrive it",
		s.data.Ingest.MetricDeadLetters(), 1)
	s.watch("FanoutGivenUp", "Changes of objects were given up by the stream mapping: their records are in the dead-letter bucket",
		s.fanout.MetricGivenUp(), 1)
	s.addCompletionAlarms()
	s.addSweeperAlarms()
	s.addDerivativeAlarms()
	s.addScanningAlarms()
	s.watch("IngestLostVersions", "Bytes of objects were removed from the bucket behind the catalog's back: read the log of S3Ingest for \"counts on\"",
		s.ingested("IngestLostVersions"), 1)
	for _, f := range []named{{"S3Ingest", s.Ingest}, {"StreamFanout", s.Fanout}, {"UploadCompleter", s.Completer}, {"ImageDerivatives", s.Derivatives}} {
		s.watch(f.id+"DeadLetters", f.id+" gave records up: they are in the dead-letter bucket below dead/, with the reason",
			deadLettered(f.function), 1)
	}
	// A minute behind is not yet noticed by anybody; the stream keeps 24 hours.
	s.watch("FanoutIteratorAge", "Events are over a minute behind the catalog: read the log of StreamFanout",
		s.Fanout.MetricIteratorAge(), 60_000)
	s.watch("ApiServerErrors", "The API answered with a status of 500 or above: read its access log and the log of UploadApi",
		s.API.MetricServerErrors(), 1)
}

func (s *Service) watch(id, description string, metric awscloudwatch.IMetric, threshold float64) {
	s.Alarms.Watch(s.Stack, jsii.String(id+"Alarm"), &patterns.WatchProps{
		Description: jsii.String(description),
		Metric:      metric,
		Threshold:   jsii.Number(threshold),
	})
}

// deadLettered counts the records that a function has written to the
// dead-letter bucket, by the metric that the function itself reports.
func deadLettered(f *patterns.Function) awscloudwatch.Metric {
	return awscloudwatch.NewMetric(&awscloudwatch.MetricProps{
		DimensionsMap: &map[string]*string{"function": f.Function().FunctionName()},
		MetricName:    jsii.String("RecordsDeadLettered"),
		Namespace:     jsii.String("Stowage"),
		Period:        awscdk.Duration_Minutes(jsii.Number(1)),
		Statistic:     jsii.String("Sum"),
	})
}

// failing counts the records that a function has handed back, over 10 minutes, by the
// metric that the function itself reports. For Lambda such an invocation has succeeded.
func failing(f *patterns.Function) awscloudwatch.Metric {
	return awscloudwatch.NewMetric(&awscloudwatch.MetricProps{
		DimensionsMap: &map[string]*string{"function": f.Function().FunctionName()},
		MetricName:    jsii.String("RecordsFailed"),
		Namespace:     jsii.String("Stowage"),
		Period:        awscdk.Duration_Minutes(jsii.Number(10)),
		Statistic:     jsii.String("Sum"),
	})
}

// addDashboard draws, from top to bottom, what callers see, what lies in wait,
// and what the functions do.
func (s *Service) addDashboard() {
	graph := func(title string, left ...awscloudwatch.IMetric) awscloudwatch.IWidget {
		return awscloudwatch.NewGraphWidget(&awscloudwatch.GraphWidgetProps{
			Title: jsii.String(title), Left: &left, Width: jsii.Number(8), Height: jsii.Number(6),
		})
	}
	each := func(metric func(*patterns.Function) awscloudwatch.Metric) []awscloudwatch.IMetric {
		metrics := make([]awscloudwatch.IMetric, 0, len(s.functions()))
		for _, f := range s.functions() {
			metrics = append(metrics, metric(f.function).With(&awscloudwatch.MetricOptions{Label: jsii.String(f.id)}))
		}
		return metrics
	}
	dashboard := awscloudwatch.NewDashboard(s.Stack, jsii.String("Dashboard"), nil)
	dashboard.AddWidgets(
		graph("Requests", s.API.MetricCount()),
		graph("Failed requests", s.API.MetricClientErrors(), s.API.MetricServerErrors()),
		graph("Latency of requests", s.API.MetricLatency("p50"), s.API.MetricLatency("p99")),
	)
	dashboard.AddWidgets(
		graph("Uploads waiting to be verified", s.data.Ingest.MetricDepth(), s.data.Ingest.MetricOldest()),
		graph("Events behind the catalog (ms)", s.Fanout.MetricIteratorAge()),
		graph("Dead letters", s.data.Ingest.MetricDeadLetters(), s.fanout.MetricGivenUp(), deadLettered(s.Ingest), deadLettered(s.Fanout),
			s.completions.MetricDeadLetters(), deadLettered(s.Completer)),
	)
	dashboard.AddWidgets(
		graph("Function errors", each((*patterns.Function).MetricErrors)...),
		graph("Function throttles", each((*patterns.Function).MetricThrottles)...),
		graph("Function duration, p99 (ms)", each(func(f *patterns.Function) awscloudwatch.Metric { return f.MetricDuration("p99") })...),
	)
	dashboard.AddWidgets(
		graph("Left behind", s.swept("SweepExpiredUploads"), s.swept("SweepClosedUploads"), s.swept("SweepDeletedVersions"), s.swept("SweepAbortedMultiparts")),
		graph("Catalog throttles", s.data.Catalog.MetricThrottledReads(), s.data.Catalog.MetricThrottledWrites()),
	)
}
