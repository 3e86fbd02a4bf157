package template

import (
	"encoding/json"
	"time"
)

// Model is everything that an assembly declares, by kind. Entities refer to each
// other by ARN, as in the template.
type Model struct {
	Functions   []*Function
	Mappings    []Mapping
	Permissions []Permission
	Queues      []*Queue
	Tables      []Table
	Buckets     []*Bucket
	Secrets     []*Secret
	Parameters  []Parameter
	Roles       []*Role
	Policies    []ManagedPolicy
	Keys        []*Key
	Topics      []*Topic
	Buses       []Bus
	Rules       []Rule
	Archives    []Archive
	Schedules   []Schedule
	APIs        []*API
	UserPools   []*UserPool
	LogGroups   []LogGroup
	Inert       []Inert

	Databases        []*Database
	Proxies          []*DatabaseProxy
	NetworkEndpoints []NetworkEndpoint
	CustomResources  []CustomResource
}

// Origin says where in the app an entity comes from.
type Origin struct {
	Stack, LogicalID, ConstructPath string
}

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

// Database is an Aurora PostgreSQL cluster.
type Database struct {
	Origin
	Identifier, ResourceID string
	Name, Master           string
	Writer, Reader         string // host:port
	Instances              int
	Settings               map[string]string // of its parameter group
}

// DatabaseProxy is an RDS Proxy with its target.
type DatabaseProxy struct {
	Origin
	Name, ResourceID      string
	RoleARN               string
	Endpoint              string // host:port
	Endpoints             []ProxyEndpoint
	Cluster               string // identifier
	BorrowTimeout         time.Duration
	IdleClientTimeout     time.Duration
	MaxConnectionsPercent int
}

// ProxyEndpoint is a further endpoint of a proxy.
type ProxyEndpoint struct {
	Address  string // host:port
	ReadOnly bool
}

// NetworkEndpoint is a way from a network to a service.
type NetworkEndpoint struct {
	Origin
	Service string // s3 or dynamodb
	Policy  json.RawMessage
}

// CustomResource is one that a function of the template provides.
type CustomResource struct {
	Origin
	Type, FunctionARN string
	Properties        json.RawMessage // with the service token
	Timeout           time.Duration
	DependsOn         []string
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

// Queue is an SQS queue.
type Queue struct {
	Origin
	Name, ARN, URL    string
	FIFO              bool
	ContentDedupe     bool // deduplication id from the body
	VisibilityTimeout time.Duration
	Retention         time.Duration
	Delay             time.Duration
	ReceiveWait       time.Duration
	MaxMessageBytes   int
	RedriveTargetARN  string // empty: messages stay
	MaxReceiveCount   int
	Policies          []json.RawMessage
	KeyARN            string
}

// Table is a DynamoDB table.
type Table struct {
	Origin
	Name, ARN, StreamARN string
	Attributes           map[string]string // name to S, N or B
	PartitionKey         string
	SortKey              string // empty: none
	GlobalIndexes        []Index
	LocalIndexes         []Index
	TTLAttribute         string // empty: items do not expire
	StreamView           string // empty: no stream
	KeyARN               string
}

// Index is a secondary index.
type Index struct {
	Name, PartitionKey, SortKey string
	Projection                  string // ALL, KEYS_ONLY or INCLUDE
	NonKeyAttributes            []string
}

// Bucket is an S3 bucket with what its policy and notification resources say.
type Bucket struct {
	Origin
	Name, ARN     string
	Versioned     bool
	CORS          []CORSRule
	EventBridge   bool
	Notifications []Notification
	Policies      []json.RawMessage
	Lifecycle     json.RawMessage
	KeyARN        string
	BucketKey     bool // objects are encrypted with a key of the bucket's own, which KeyARN encrypts
	Tags          map[string]string
}

// CORSRule is one rule of a bucket's CORS configuration.
type CORSRule struct {
	ID                                                            string
	AllowedHeaders, AllowedMethods, AllowedOrigins, ExposeHeaders []string
	MaxAge                                                        time.Duration
}

// Notification sends a bucket's events to a queue or a function.
type Notification struct {
	ID             string
	Events         []string // such as s3:ObjectCreated:*
	Prefix, Suffix string
	TargetARN      string
}

// Secret is a Secrets Manager secret.
type Secret struct {
	Origin
	Name, ARN, Description string
	Value                  string    // given in the template
	Generate               *Generate // nil: not generated
	RotationARN            string    // function that rotates it
	RotationSchedule       string
	Policies               []json.RawMessage
	KeyARN                 string
	Tags                   map[string]string
}

// Generate says how a secret's first value is made.
type Generate struct {
	Length                                                                 int
	ExcludeCharacters                                                      string
	ExcludeLowercase, ExcludeUppercase, ExcludeNumbers, ExcludePunctuation bool
	IncludeSpace, RequireEachIncludedType                                  bool
	Template, Key                                                          string
}

// Parameter is an SSM parameter.
type Parameter struct {
	Origin
	Name, Type, Value string
}

// Role is an IAM role with every policy that is attached to it.
type Role struct {
	Origin
	Name, ARN, ID       string
	Trust               json.RawMessage
	Policies            []Policy
	ManagedPolicyARNs   []string // of AWS's own policies; those of the template are among Policies
	Tags                map[string]string
	PermissionsBoundary string
	MaxSession          time.Duration
	// Unused are grants that the template itself says nothing uses, and why.
	Unused []UnusedGrant
}

// UnusedGrant says why a role is granted what no run uses.
type UnusedGrant struct {
	Actions  []string
	Resource string // as in the policy
	Reason   string
}

// Policy is a named policy document.
type Policy struct {
	Name     string
	Document json.RawMessage
}

// ManagedPolicy is a managed policy of the template. It stands among the policies of every role that it is
// attached to.
type ManagedPolicy struct {
	Origin
	ARN string
	Policy
}

// Key is a KMS key.
type Key struct {
	Origin
	ID, ARN string
	Policy  json.RawMessage
	Aliases []string
}

// Topic is an SNS topic.
type Topic struct {
	Origin
	Name, ARN     string
	Policies      []json.RawMessage
	Subscriptions []Subscription
}

// Subscription delivers a topic's messages.
type Subscription struct {
	ARN, Protocol, Endpoint string
	RawDelivery             bool
	FilterPolicy            json.RawMessage
}

// Bus is an event bus beside the default one.
type Bus struct {
	Origin
	Name, ARN string
}

// Rule sends the events of a bus, or a schedule's ticks, to targets.
type Rule struct {
	Origin
	Name, ARN string
	Bus       string // name or ARN; empty: the default bus
	Pattern   json.RawMessage
	Schedule  string
	Enabled   bool
	Targets   []Target
}

// Target is where a rule or a schedule delivers.
type Target struct {
	ID, ARN, RoleARN string
	Input, InputPath string
	Transformer      *InputTransformer
	DeadLetterARN    string
	MaxRetries       *int          // nil: 185
	MaxAge           time.Duration // zero: 24 hours
	MessageGroupID   string
}

// InputTransformer builds a target's input from parts of the event.
type InputTransformer struct {
	Paths    map[string]string
	Template string
}

// Archive keeps a bus's events for replay.
type Archive struct {
	Origin
	Name, ARN, BusARN string
	Pattern           json.RawMessage
	Retention         time.Duration // zero: for ever
}

// Schedule is an EventBridge Scheduler schedule.
type Schedule struct {
	Origin
	Name, ARN  string
	Expression string
	TimeZone   string
	Enabled    bool
	Target     Target
}

// API is an HTTP API.
type API struct {
	Origin
	ID, Name, Endpoint string
	CORS               *CORS
	Routes             []Route
	Integrations       map[string]Integration   // by id
	Authorizers        map[string]JWTAuthorizer // by id
	Stages             []Stage
}

// CORS is what an HTTP API answers about other origins.
type CORS struct {
	AllowOrigins, AllowMethods, AllowHeaders, ExposeHeaders []string
	AllowCredentials                                        bool
	MaxAge                                                  time.Duration
}

// Route sends requests to an integration.
type Route struct {
	Key          string // "GET /v1/objects/{id}" or "$default"
	Integration  string // id
	AuthorizerID string // empty: open
	Scopes       []string
}

// Integration invokes a function with payload format 2.0.
type Integration struct {
	FunctionARN string
	Timeout     time.Duration // zero: 30 s
}

// JWTAuthorizer checks bearer tokens.
type JWTAuthorizer struct {
	Name, Issuer    string
	Audience        []string
	IdentitySources []string
}

// Stage serves an API under a name.
type Stage struct {
	Name            string
	Throttle        Throttle
	RouteThrottles  map[string]Throttle // by route key
	AccessLogFormat string              // empty: no access log
	Variables       map[string]string
}

// Throttle limits requests; zero is no limit.
type Throttle struct {
	Rate  float64
	Burst int
}

// UserPool is a Cognito user pool.
type UserPool struct {
	Origin
	ID, ARN         string
	TriggerARN      string // pre token generation; empty: none
	TriggerVersion  string // V1_0, V2_0 or V3_0
	Clients         []UserPoolClient
	ResourceServers []ResourceServer
	Groups          []string
}

// UserPoolClient is an app client.
type UserPoolClient struct {
	ID, Name       string
	GenerateSecret bool
	Flows, Scopes  []string
	AccessTokenTTL time.Duration // zero: 1 hour
}

// ResourceServer declares custom scopes.
type ResourceServer struct {
	Identifier string
	Scopes     []string
}

// LogGroup is a CloudWatch log group.
type LogGroup struct {
	Origin
	Name, ARN string
}

// Inert is a resource that is recognised and has nothing to run locally.
type Inert struct {
	Type, Name, ConstructPath, Reason string
}
