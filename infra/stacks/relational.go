package stacks

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strconv"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsdynamodb"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/stowage-dev/stowage/infra/internal/assets"
	"github.com/stowage-dev/stowage/infra/patterns"
	"github.com/stowage-dev/stowage/shared/event"
)

// RelationalFunctions are the names of the functions of the Relational stack.
func RelationalFunctions() []string {
	return []string{fnLedgerProjector, fnLedgerAPI, fnLedgerCheck, fnDBMigrate}
}

const (
	fnLedgerProjector = "ledger-projector"
	fnLedgerAPI       = "ledger-api"
	fnLedgerCheck     = "ledger-check"
	fnDBMigrate       = "db-migrate"
)

// The database and its users. The master creates the others, which authenticate by IAM
// as it does, when it brings the schema up to date.
const (
	databaseName      = "stowage"
	databaseMaster    = "postgres"
	userProjector     = "ledger_writer"
	userAPI           = "ledger_api"
	userCheck         = "ledger_check"
	migrationResource = "Custom::StowageMigrations"
	// rotateTask is what db-migrate calls it.
	rotateTask = "rotateCursorKeys"
)

// objectEvents begins the types of all events about objects.
const objectEvents = "dev.stowage.object."

const (
	// projectorTimeout is the time-out of ledger-projector, which writes a batch in a
	// few transactions.
	projectorTimeout = 60
	// projectorBatch is how many events one invocation gets, gathered for a second: a
	// transaction for each event would cost as much again.
	projectorBatch = 100
	// projectorReceives is how often an event is delivered before it is a dead letter: as
	// often as SQS allows, so that the queue outlasts an outage of days. With a delivery
	// every 6 minutes that is 100 hours. What can never be booked is given up by the function.
	projectorReceives = 1000
	// projectorConcurrency bounds the connections that the projector holds.
	projectorConcurrency = 4
	// apiTimeout is just under that of API Gateway: a database that wakes takes long.
	apiTimeout   = 29
	checkTimeout = 900
	// migrateTimeout is the longest that Lambda has: an index on a table that has grown
	// takes minutes, and one that is cut short is begun anew by the next deployment.
	migrateTimeout = 900
	// checkHour is when the books are checked, and cursor keys rotated, by UTC: a database
	// that pauses is woken once for both.
	checkHour = 3
)

// Relational holds the storage ledger and search: a database in a network of its own, the
// functions that work with it, and their routes, rule and alarms. It refers to Data and
// Service, and neither to it.
type Relational struct {
	Stack     awscdk.Stack
	Network   *patterns.IsolatedNetwork
	Database  *patterns.Database
	Proxy     *patterns.DatabaseProxy // nil without one
	Projector *patterns.Function
	API       *patterns.Function
	Check     *patterns.Function
	Migrate   *patterns.Function

	settings Settings
	data     *Data
	service  *Service
	events   *patterns.IngestQueue
	// migrated is what has brought the schema up to date: who uses it waits for that.
	migrated constructs.Construct
}

// NewRelational makes the Relational stack.
func NewRelational(scope constructs.Construct, id string, settings Settings, data *Data, service *Service) *Relational {
	r := &Relational{
		Stack:    newStack(scope, id, settings, "Stowage: the storage ledger and search"),
		settings: settings, data: data, service: service,
	}
	r.addDatabase()
	r.addMigrations()
	r.addProjector()
	r.addAPI()
	r.addCheck()
	r.addAlarms()
	output(r.Stack, "DatabaseEndpoint", "Host of the database's writer", r.Database.Endpoint())
	output(r.Stack, "LedgerQueue", "Queue of the events that the ledger is to have", r.events.Queue().QueueUrl())
	output(r.Stack, "LedgerDeadLetterQueue", "Queue of the events that the ledger gave up", r.events.DeadLetters().QueueUrl())
	return r
}

// addDatabase makes the network and the database, encrypted with the catalog's key: who
// may read the catalog may know what the ledger says.
func (r *Relational) addDatabase() {
	s := r.settings.Relational
	r.Network = patterns.NewIsolatedNetwork(r.Stack, jsii.String("Network"), &patterns.IsolatedNetworkProps{
		Buckets: &[]awss3.IBucket{r.data.Content.Bucket(), r.data.DeadLetters.Bucket()},
		Tables:  &[]awsdynamodb.ITableV2{r.data.Catalog.Table()},
	})
	r.Database = patterns.NewDatabase(r.Stack, jsii.String("Database"), &patterns.DatabaseProps{
		BackupRetention: awscdk.Duration_Days(jsii.Number(s.BackupDays)),
		EncryptionKey:   r.data.Catalog.Key(),
		MasterUser:      jsii.String(databaseMaster),
		MaxCapacity:     jsii.Number(s.MaxACU),
		MinCapacity:     jsii.Number(s.MinACU),
		Name:            jsii.String(databaseName),
		Network:         r.Network,
		Readers:         jsii.Number(s.Readers),
		RemovalPolicy:   r.settings.Stage.RemovalPolicy(),
	})
	if s.Proxy {
		r.Proxy = patterns.NewDatabaseProxy(r.Stack, jsii.String("Proxy"), &patterns.DatabaseProxyProps{Database: r.Database})
	}
}

// addFunction makes a function in the network that connects as a user: to the proxy where
// there is one.
func (r *Relational) addFunction(id, name, user string, p functionProps) *patterns.Function {
	endpoint := r.Database.Endpoint()
	if r.Proxy != nil {
		endpoint = r.Proxy.Endpoint()
	}
	f := r.newFunction(id, name, user, endpoint, p)
	if r.Proxy != nil {
		r.Proxy.GrantConnect(f, user)
	} else {
		r.Database.GrantConnect(f, user)
	}
	// Before the first migration the user is not there.
	f.Function().Node().AddDependency(r.migrated)
	return f
}

func (r *Relational) newFunction(id, name, user string, endpoint *string, p functionProps) *patterns.Function {
	environment := map[string]*string{
		"STOWAGE_DB_HOST": endpoint,
		"STOWAGE_DB_PORT": jsii.String(strconv.Itoa(patterns.DatabasePort)),
		"STOWAGE_DB_NAME": jsii.String(databaseName),
		"STOWAGE_DB_USER": jsii.String(user),
	}
	for variable, value := range p.environment {
		environment[variable] = value
	}
	p.environment, p.network = environment, r.Network
	return addFunction(r.Stack, r.settings, r.service.dist, id, name, p)
}

// addMigrations makes the function that brings the schema up to date, and has
// CloudFormation call it with each deployment that changes it. It connects to the cluster
// itself: a migration holds session-level locks, for which a proxy would pin a connection.
//
// The function answers CloudFormation through the gateway endpoint of S3. A schedule has it
// rotate the key of the API's cursors when that is due, however seldom there is a deployment.
func (r *Relational) addMigrations() {
	r.Migrate = r.newFunction("DbMigrate", fnDBMigrate, databaseMaster, r.Database.Endpoint(), functionProps{
		description: "Stowage: brings the schema of the database up to date",
		memoryMB:    512,
		timeout:     migrateTimeout,
	})
	r.Database.GrantConnect(r.Migrate, databaseMaster)
	resource := awscdk.NewCustomResource(r.Stack, jsii.String("Migrations"), &awscdk.CustomResourceProps{
		Properties:   &map[string]interface{}{"Migrations": executableHash(r.service.dist, fnDBMigrate)},
		ResourceType: jsii.String(migrationResource),
		// A function that cannot answer fails the deployment now rather than in an hour.
		ServiceTimeout: awscdk.Duration_Seconds(jsii.Number(migrateTimeout + 60)),
		ServiceToken:   r.Migrate.Function().FunctionArn(),
	})
	// The instances, the way to them, and the way of the answer.
	resource.Node().AddDependency(r.Database, r.Network, r.Migrate)
	r.migrated = resource
	rotation := patterns.NewScheduledFunction(r.Stack, jsii.String("RotateNightly"), &patterns.ScheduledFunctionProps{
		Daily:       jsii.Number(checkHour),
		Description: jsii.String("Stowage: rotates the key of the ledger's cursors when it is 30 days old"),
		Function:    r.Migrate,
		Input:       map[string]string{"task": rotateTask},
	})
	rotation.Node().AddDependency(r.migrated) // before it there are no keys
}

// executableHash changes with every migration, because they are embedded in the
// executable. Running it once too often changes nothing.
func executableHash(dist assets.Dist, name string) string {
	content, err := os.ReadFile(filepath.Join(dist.Function(name), "bootstrap"))
	if err != nil {
		content = nil // NewFunction has refused the directory already
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// addProjector makes the function that enters into the ledger what happens to objects,
// the queue in front of it, and the rule that fills the queue. It reads the text of small
// text files, for search.
func (r *Relational) addProjector() {
	r.events = patterns.NewIngestQueue(r.Stack, jsii.String("LedgerEvents"), &patterns.IngestQueueProps{
		ConsumerTimeout: awscdk.Duration_Seconds(jsii.Number(projectorTimeout)),
		MaxReceiveCount: jsii.Number(projectorReceives),
		RemovalPolicy:   r.settings.Stage.RemovalPolicy(),
	})
	patterns.NewQueueRule(r.Stack, jsii.String("ObjectEvents"), &patterns.QueueRuleProps{
		Bus:         r.data.Bus,
		Description: jsii.String("Stowage: what happens to objects, for the ledger"),
		Pattern: &awsevents.EventPattern{
			Source:     jsii.Strings(event.Source),
			DetailType: awsevents.Match_Prefix(jsii.String(objectEvents)),
		},
		Queue: r.events,
	})
	r.Projector = r.addFunction("LedgerProjector", fnLedgerProjector, userProjector, functionProps{
		description: "Stowage: enters what happens to objects into the ledger and the search index",
		memoryMB:    1024,
		timeout:     projectorTimeout,
		environment: map[string]*string{
			"STOWAGE_BUCKET":             r.data.Content.Bucket().BucketName(),
			"STOWAGE_DEAD_LETTER_BUCKET": r.data.DeadLetters.Bucket().BucketName(),
		},
	})
	r.data.Content.GrantReadVerified(r.Projector.Role(), objectPrefix)
	r.data.DeadLetters.GrantWrite(r.Projector.Role())
	patterns.NewQueueFunction(r.Stack, jsii.String("ProjectorMapping"), &patterns.QueueFunctionProps{
		BatchSize:      jsii.Number(projectorBatch),
		BatchWindow:    awscdk.Duration_Seconds(jsii.Number(1)),
		Function:       r.Projector,
		MaxConcurrency: jsii.Number(projectorConcurrency),
		Queue:          r.events,
	})
}

// addAPI makes the function behind the routes of the ledger and of search. The catalog
// tells it who is a member, and how fast a workspace may write.
func (r *Relational) addAPI() {
	environment := map[string]*string{"STOWAGE_TABLE": r.data.Catalog.Table().TableName()}
	if reader := r.readerEndpoint(); reader != nil {
		environment["STOWAGE_DB_READER_HOST"] = reader
	}
	r.API = r.addFunction("LedgerApi", fnLedgerAPI, userAPI, functionProps{
		description: "Stowage: the ledger and search, over HTTP",
		memoryMB:    1769, // one vCPU: TLS to the database stretches cold starts
		timeout:     apiTimeout,
		environment: environment,
	})
	r.data.Catalog.Grant(r.API.Role(), "dynamodb:GetItem", "dynamodb:UpdateItem")
	const get, post = awsapigatewayv2.HttpMethod_GET, awsapigatewayv2.HttpMethod_POST
	r.service.API.RouteFrom(r.Stack, "LedgerEntries", "/v1/ledger/entries", r.API, get)
	r.service.API.RouteFrom(r.Stack, "LedgerStatement", "/v1/ledger/statement", r.API, get)
	r.service.API.RouteFrom(r.Stack, "LedgerAdjustments", "/v1/ledger/adjustments", r.API, post)
	r.service.API.RouteFrom(r.Stack, "Search", "/v1/search", r.API, get)
}

func (r *Relational) readerEndpoint() *string {
	if r.Proxy != nil {
		return r.Proxy.ReaderEndpoint()
	}
	return r.Database.ReaderEndpoint()
}

// addCheck makes the function that proves the books every night: debits equal credits,
// and the ledger says what the catalog says.
func (r *Relational) addCheck() {
	r.Check = r.addFunction("LedgerCheck", fnLedgerCheck, userCheck, functionProps{
		description: "Stowage: checks the ledger against itself and the catalog",
		memoryMB:    1024,
		timeout:     checkTimeout,
		environment: map[string]*string{"STOWAGE_TABLE": r.data.Catalog.Table().TableName()},
	})
	r.data.Catalog.Grant(r.Check.Role(), "dynamodb:BatchGetItem", "dynamodb:Scan")
	patterns.NewScheduledFunction(r.Stack, jsii.String("CheckNightly"), &patterns.ScheduledFunctionProps{
		Daily:       jsii.Number(checkHour),
		Description: jsii.String("Stowage: the nightly check of the ledger"),
		Function:    r.Check,
		Input:       map[string]string{},
	})
}

// ledgerRunbook ends the description of each alarm.
const ledgerRunbook = ". See docs/runbooks/ledger.md"

// addAlarms watches for books that are wrong, late or incomplete, and for a database that
// is at its end.
func (r *Relational) addAlarms() {
	for _, f := range []named{{"LedgerProjector", r.Projector}, {"LedgerApi", r.API}, {"LedgerCheck", r.Check}, {"DbMigrate", r.Migrate}} {
		r.watch(f.id+"Errors", "Invocations of "+f.id+" failed: read its log"+ledgerRunbook, f.function.MetricErrors(), 1, 1)
		r.watch(f.id+"Throttles", "Invocations of "+f.id+" were throttled: raise the account's concurrency"+ledgerRunbook, f.function.MetricThrottles(), 1, 1)
	}
	r.watch("LedgerDeadLetters", "Events were given up before the ledger had them, so that it is incomplete: read the message in the dead-letter queue and redrive it"+ledgerRunbook,
		r.events.MetricDeadLetters(), 1, 1)
	r.watch("LedgerProjectorDeadLetters", "LedgerProjector gave records up: they are in the dead-letter bucket below dead/, with the reason"+ledgerRunbook,
		deadLettered(r.Projector), 1, 1)
	// SQS leaves what it has delivered three times out of the age of the oldest message: in an
	// outage without new events nothing else would tell. 10 minutes see every delivery.
	r.watch("LedgerProjectorFailing", "For 20 minutes events could not be booked; they wait in the queue for four days: read the log of LedgerProjector"+ledgerRunbook,
		failing(r.Projector), 1, 2)
	r.watch("LedgerDifferences", "The ledger differs from the catalog: read the log of LedgerCheck for what and where"+ledgerRunbook, r.checked("LedgerDifferences"), 1, 1)
	r.watch("LedgerImbalance", "Debits and credits of the ledger differ: read the log of LedgerCheck"+ledgerRunbook, r.checked("LedgerImbalance"), 1, 1)
	r.watch("LedgerCheckIncomplete", "The nightly check of the ledger did not come to its end in time: the log of LedgerCheck says how far it came"+ledgerRunbook, r.checked("LedgerCheckIncomplete"), 1, 1)
	r.watch("LedgerBehind", "The ledger is over 15 minutes behind: read the log of LedgerProjector"+ledgerRunbook, r.events.MetricOldest(), 15*60, 1)
	r.watch("DatabaseCapacity", "The database has been at nine tenths of its greatest capacity for 15 minutes: raise relationalMaxAcu, or find the statement in Performance Insights"+ledgerRunbook,
		r.Database.MetricUtilization(), 90, 3)
	if r.Proxy == nil {
		return
	}
	r.watch("ProxyPinned", "Sessions pin connections of the proxy, which then nobody shares: a statement sets session state or is prepared by name; the proxy's log says which"+ledgerRunbook,
		r.Proxy.MetricPinned(), 1, 2)
	r.watch("ProxyBorrow", "Clients wait over a second for a connection of the proxy: the database's connections do not suffice"+ledgerRunbook,
		r.Proxy.MetricBorrowLatency(), 1_000_000, 2)
	r.watch("ProxyRefused", "The proxy refused clients that did not authenticate: a role lacks rds-db:connect, or somebody tries tokens"+ledgerRunbook,
		r.Proxy.MetricRefused(), 5, 1)
	r.watch("ProxyUnreachable", "The proxy cannot connect to the database"+ledgerRunbook, r.Proxy.MetricUnreachable(), 1, 2)
}

func (r *Relational) watch(id, description string, metric awscloudwatch.IMetric, threshold, periods float64) {
	r.service.Alarms.Watch(r.Stack, jsii.String(id+"Alarm"), &patterns.WatchProps{
		Description: jsii.String(description),
		Metric:      metric,
		Periods:     jsii.Number(periods),
		Threshold:   jsii.Number(threshold),
	})
}

// checked is what the nightly check reports, the greatest over an hour.
func (r *Relational) checked(name string) awscloudwatch.Metric {
	return awscloudwatch.NewMetric(&awscloudwatch.MetricProps{
		DimensionsMap: &map[string]*string{"function": r.Check.Function().FunctionName()},
		MetricName:    jsii.String(name),
		Namespace:     jsii.String("Stowage"),
		Period:        awscdk.Duration_Hours(jsii.Number(1)),
		Statistic:     jsii.String("Maximum"),
	})
}
