package template

import (
	"fmt"
	"strings"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/assembly"
)

// Function is a Lambda function whose code is a bootstrap for provided.al2023.
type Function struct {
	Origin
	Name, ARN     string
	Handler       string
	Runtime       string
	Architecture  string // arm64 or x86_64
	AssetDir      string
	Environment   map[string]string
	Timeout       time.Duration
	MemoryMB      int
	EphemeralMB   int
	RoleARN       string
	Tracing       bool
	DeadLetterARN string
	LogGroup      string // name; empty: Lambda's own
	LogFormat     string // Text or JSON
	LogLevel      string // of JSON logs; empty: INFO
	// ReservedConcurrency is nil when the function shares the account's.
	ReservedConcurrency *int
	Async               AsyncConfig
	// InNetwork says that the function stands in a network, and reaches what that lets it.
	InNetwork bool
}

// AsyncConfig says what becomes of asynchronous invocations.
type AsyncConfig struct {
	MaxAge     time.Duration // zero: 6 hours
	MaxRetries *int          // nil: 2
	OnSuccess  string        // destination ARN
	OnFailure  string        // destination ARN
}

// Mapping is an event source mapping.
type Mapping struct {
	Origin
	ID, SourceARN, FunctionARN string
	BatchSize                  int
	Window                     time.Duration
	Filters                    []string // event patterns; a record must match one
	Enabled                    bool
	ReportBatchItemFailures    bool
	MaxConcurrency             int // of a queue mapping; 0: no limit

	// The rest is for streams.
	StartingPosition      string
	BisectOnError         bool
	MaxRetries            int           // -1: until the record expires
	MaxRecordAge          time.Duration // -1: until the record expires
	OnFailureARN          string
	ParallelizationFactor int
}

// Permission is a statement of a function's resource policy.
type Permission struct {
	Origin
	FunctionARN, Action, Principal, SourceARN, SourceAccount string
}

// Lambda's defaults, from the CloudFormation reference of AWS::Lambda::Function.
const (
	defaultTimeout     = 3 * time.Second
	defaultMemoryMB    = 128
	defaultEphemeralMB = 512
)

type functionProperties struct {
	Architectures []string
	Code          struct {
		S3Bucket, S3Key, S3ObjectVersion, ZipFile string
		SourceKMSKeyArn                           NoLocalEffect // assets are read from disk
	}
	DeadLetterConfig             struct{ TargetArn string }
	Description                  NoLocalEffect // for people
	Environment                  struct{ Variables map[string]string }
	EphemeralStorage             struct{ Size *integer }
	FunctionName                 string
	Handler                      string
	KmsKeyArn                    NoLocalEffect // the environment is not stored anywhere
	LoggingConfig                loggingConfig
	MemorySize                   *integer
	PackageType                  string
	RecursiveLoop                NoLocalEffect // loops are not detected locally
	ReservedConcurrentExecutions *integer
	Role                         string
	Runtime                      string
	RuntimeManagementConfig      NoLocalEffect // the binary brings its runtime
	Tags                         NoLocalEffect // functions are not matched by tag
	Timeout                      *integer
	TracingConfig                struct{ Mode string }
	VpcConfig                    struct{ SecurityGroupIDs, SubnetIDs []string }
}

type loggingConfig struct {
	LogFormat, LogGroup, ApplicationLogLevel string
	SystemLogLevel                           NoLocalEffect // the host's own lines are always written
}

func decodeFunction(d *decoder, r assembly.Resource) error {
	arn := r.Attributes["Arn"]
	if d.handlers[arn] {
		d.model.Inert = append(d.model.Inert, Inert{Type: r.Type, Name: r.Name, ConstructPath: r.ConstructPath,
			Reason: "CDK's own custom-resource handler: what it does is done from the custom resource's properties"})
		return nil
	}
	p, err := properties[functionProperties](r)
	if err != nil {
		return err
	}
	if err := p.check(r); err != nil {
		return err
	}
	f := &Function{
		Origin: origin(r), Name: r.Ref, ARN: arn, Handler: p.Handler, Runtime: p.Runtime, Architecture: "x86_64",
		AssetDir: r.AssetDir, Environment: p.Environment.Variables,
		Timeout: seconds(p.Timeout, defaultTimeout), MemoryMB: number(p.MemorySize, defaultMemoryMB), EphemeralMB: number(p.EphemeralStorage.Size, defaultEphemeralMB),
		RoleARN: p.Role, Tracing: p.TracingConfig.Mode == "Active", DeadLetterARN: p.DeadLetterConfig.TargetArn,
		LogGroup: p.LoggingConfig.LogGroup, LogFormat: p.LoggingConfig.LogFormat, LogLevel: p.LoggingConfig.ApplicationLogLevel,
		ReservedConcurrency: optional(p.ReservedConcurrentExecutions), InNetwork: len(p.VpcConfig.SubnetIDs) > 0,
	}
	if len(p.Architectures) == 1 {
		f.Architecture = p.Architectures[0]
	}
	if f.LogFormat == "" {
		f.LogFormat = "Text"
	}
	d.model.Functions = append(d.model.Functions, f)
	return nil
}

func (p functionProperties) check(r assembly.Resource) error {
	if r.AssetDir == "" {
		return fmt.Errorf("property Code: the local runtime runs functions whose code is an asset, not inline code or a bucket's object")
	}
	if err := oneOf("Runtime", p.Runtime, "provided.al2023"); err != nil {
		return err
	}
	if p.PackageType != "" {
		if err := oneOf("PackageType", p.PackageType, "Zip"); err != nil {
			return err
		}
	}
	return required("Role", p.Role)
}

type mappingProperties struct {
	BatchSize                  *integer
	BisectBatchOnFunctionError boolean
	DestinationConfig          struct {
		OnFailure struct{ Destination string }
	}
	Enabled                        *boolean
	EventSourceArn                 string
	FilterCriteria                 struct{ Filters []struct{ Pattern string } }
	FunctionName                   string
	FunctionResponseTypes          []string
	KmsKeyArn                      NoLocalEffect // filters are not stored anywhere
	LoggingConfig                  NoLocalEffect // pollers log as the runtime does
	MaximumBatchingWindowInSeconds *integer
	MaximumRecordAgeInSeconds      *integer
	MaximumRetryAttempts           *integer
	MetricsConfig                  NoLocalEffect // no metrics are kept
	ParallelizationFactor          *integer
	ScalingConfig                  struct{ MaximumConcurrency *integer }
	StartingPosition               string
	Tags                           NoLocalEffect // mappings are not matched by tag
}

// Batch sizes that AWS takes when none is given.
const (
	defaultQueueBatch  = 10
	defaultStreamBatch = 100
)

func decodeMapping(d *decoder, r assembly.Resource) error {
	p, err := properties[mappingProperties](r)
	if err != nil {
		return err
	}
	for _, t := range p.FunctionResponseTypes {
		if err := oneOf("FunctionResponseTypes", t, "ReportBatchItemFailures"); err != nil {
			return err
		}
	}
	batch := defaultQueueBatch
	if service(p.EventSourceArn) == "dynamodb" {
		batch = defaultStreamBatch
	} else if err := oneOf("EventSourceArn's service", service(p.EventSourceArn), "sqs"); err != nil {
		return err
	}
	m := Mapping{
		Origin: origin(r), ID: r.Ref, SourceARN: p.EventSourceArn,
		BatchSize: number(p.BatchSize, batch), Window: seconds(p.MaximumBatchingWindowInSeconds, 0),
		Enabled: p.Enabled == nil || bool(*p.Enabled), ReportBatchItemFailures: len(p.FunctionResponseTypes) > 0,
		MaxConcurrency: number(p.ScalingConfig.MaximumConcurrency, 0), StartingPosition: p.StartingPosition,
		BisectOnError: bool(p.BisectBatchOnFunctionError), MaxRetries: number(p.MaximumRetryAttempts, -1),
		MaxRecordAge: -1, OnFailureARN: p.DestinationConfig.OnFailure.Destination, ParallelizationFactor: number(p.ParallelizationFactor, 1),
	}
	if age := number(p.MaximumRecordAgeInSeconds, -1); age >= 0 {
		m.MaxRecordAge = time.Duration(age) * time.Second
	}
	for _, f := range p.FilterCriteria.Filters {
		m.Filters = append(m.Filters, f.Pattern)
	}
	d.later(r, func() error {
		f, err := d.model.function(p.FunctionName)
		if err != nil {
			return err
		}
		m.FunctionARN = f.ARN
		d.model.Mappings = append(d.model.Mappings, m)
		return nil
	})
	return nil
}

type permissionProperties struct {
	Action, FunctionName, Principal, SourceAccount, SourceArn string
}

func decodePermission(d *decoder, r assembly.Resource) error {
	p, err := properties[permissionProperties](r)
	if err != nil {
		return err
	}
	d.later(r, func() error {
		if d.handlers[p.FunctionName] {
			return nil
		}
		f, err := d.model.function(p.FunctionName)
		if err != nil {
			return err
		}
		d.model.Permissions = append(d.model.Permissions, Permission{Origin: origin(r), FunctionARN: f.ARN, Action: p.Action,
			Principal: p.Principal, SourceARN: p.SourceArn, SourceAccount: p.SourceAccount})
		return nil
	})
	return nil
}

type invokeConfigProperties struct {
	DestinationConfig struct {
		OnSuccess, OnFailure struct{ Destination string }
	}
	FunctionName             string
	MaximumEventAgeInSeconds *integer
	MaximumRetryAttempts     *integer
	Qualifier                string
}

func decodeInvokeConfig(d *decoder, r assembly.Resource) error {
	p, err := properties[invokeConfigProperties](r)
	if err != nil {
		return err
	}
	if err := oneOf("Qualifier", p.Qualifier, "$LATEST"); err != nil {
		return err
	}
	d.later(r, func() error {
		f, err := d.model.function(p.FunctionName)
		if err != nil {
			return err
		}
		f.Async = AsyncConfig{
			MaxAge: seconds(p.MaximumEventAgeInSeconds, 0), MaxRetries: optional(p.MaximumRetryAttempts),
			OnSuccess: p.DestinationConfig.OnSuccess.Destination, OnFailure: p.DestinationConfig.OnFailure.Destination,
		}
		return nil
	})
	return nil
}

// function finds a function by name, ARN or partial ARN, as the properties that
// name functions allow.
func (m *Model) function(nameOrARN string) (*Function, error) {
	name := nameOrARN[strings.LastIndex(nameOrARN, ":")+1:]
	for _, f := range m.Functions {
		if f.Name == name {
			return f, nil
		}
	}
	return nil, fmt.Errorf("property FunctionName: no stack declares the function %s", nameOrARN)
}
