package stacks

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/infra/patterns"
	"github.com/stowage-dev/stowage/shared/batch"
	"github.com/stowage-dev/stowage/shared/event"
	"github.com/stowage-dev/stowage/shared/pgstore"
)

// TestTheCoreIsTheSameWithoutTheRelationalStack asks that nothing in the core refers to it, and
// that a deployment without it takes away nothing that one deployed before imports.
func TestTheCoreIsTheSameWithoutTheRelationalStack(t *testing.T) {
	without, with := eachStage(t), eachRelational(t)
	for i := range without {
		for _, pair := range [][2]template{{without[i].data, with[i].data}, {without[i].service, with[i].service}} {
			for _, section := range []string{"Resources", "Outputs"} {
				a, errA := json.Marshal(pair[0][section])
				b, errB := json.Marshal(pair[1][section])
				if errA != nil || errB != nil || string(a) != string(b) {
					t.Errorf("%s: the Relational stack changes the %s of the core", without[i].stage, section)
				}
			}
		}
	}
}

func TestTheDatabaseLetsNobodyInByPassword(t *testing.T) {
	for _, d := range eachRelational(t) {
		d.relational.one(t, "Relational/Database/Resource").want(t, map[string]any{
			"MasterUserAuthenticationType": "iam-db-auth", "EnableIAMDatabaseAuthentication": true, "EnableHttpEndpoint": false,
			"MasterUserPassword": nil, "ManageMasterUserPassword": nil, "StorageEncrypted": true,
			"DeletionProtection": d.stage == Prod,
		})
		d.relational.one(t, "Relational/Database/Parameters").want(t, map[string]any{"Parameters": map[string]any{
			"rds.force_ssl": "1", "idle_in_transaction_session_timeout": "60000", "log_lock_waits": "1"}})
		if secrets := d.relational.all("AWS::SecretsManager::Secret"); len(secrets) > 0 {
			t.Errorf("%s: %s is a secret", d.stage, secrets[0].path())
		}
		for _, instance := range d.relational.all("AWS::RDS::DBInstance") {
			instance.want(t, map[string]any{"EnablePerformanceInsights": true, "PubliclyAccessible": false, "DBInstanceClass": "db.serverless"})
		}
	}
}

func TestDevelopmentPausesAndProductionHasAProxy(t *testing.T) {
	for _, d := range eachRelational(t) {
		scaling := d.relational.one(t, "Relational/Database/Resource")
		if d.stage == Dev {
			scaling.want(t, map[string]any{"ServerlessV2ScalingConfiguration": map[string]any{"MinCapacity": 0, "MaxCapacity": 2, "SecondsUntilAutoPause": 300}})
			if proxies := d.relational.all("AWS::RDS::DBProxy"); len(proxies) > 0 {
				t.Error("development pays for a proxy")
			}
			continue
		}
		scaling.want(t, map[string]any{"ServerlessV2ScalingConfiguration": map[string]any{"MinCapacity": 0.5, "MaxCapacity": 8}, "BackupRetentionPeriod": 14})
		d.relational.one(t, "Relational/Proxy/Resource").want(t, map[string]any{
			"RequireTLS": true, "DefaultAuthScheme": "IAM_AUTH", "Auth": nil, "EngineFamily": "POSTGRESQL", "DebugLogging": false,
		})
		d.relational.one(t, "Relational/Proxy/Targets").want(t, map[string]any{
			"ConnectionPoolConfigurationInfo": map[string]any{"ConnectionBorrowTimeout": 10, "MaxConnectionsPercent": 80, "MaxIdleConnectionsPercent": 20},
		})
		d.relational.one(t, "Relational/Proxy/Reader").want(t, map[string]any{"TargetRole": "READ_ONLY"})
	}
}

// TestTheNetworkHasNoWayOut asks for what costs by the hour, and for a way to the
// internet: there is none of either.
func TestTheNetworkHasNoWayOut(t *testing.T) {
	for _, d := range eachRelational(t) {
		for _, kind := range []string{"AWS::EC2::NatGateway", "AWS::EC2::InternetGateway", "AWS::EC2::Route", "AWS::EC2::EIP", "AWS::EC2::EgressOnlyInternetGateway"} {
			if found := d.relational.all(kind); len(found) > 0 {
				t.Errorf("%s: %s is a way out", d.stage, found[0].path())
			}
		}
		endpoints := d.relational.all("AWS::EC2::VPCEndpoint")
		if len(endpoints) != 2 {
			t.Errorf("%s: %d endpoints, want those of S3 and DynamoDB", d.stage, len(endpoints))
		}
		for _, e := range endpoints {
			e.want(t, map[string]any{"VpcEndpointType": "Gateway"})
			for _, statement := range statements(e.property("PolicyDocument")) {
				if slices.Contains(texts(statement["Resource"]), "*") {
					t.Errorf("%s: its policy lets everything through", e.path())
				}
			}
		}
		for _, group := range d.relational.all("AWS::EC2::SecurityGroup") {
			if group.property("SecurityGroupIngress") != nil {
				t.Errorf("%s lets addresses in: only groups are", group.path())
			}
		}
	}
}

// connections gives the database users, with what they connect to, that a role may be.
func connections(t *testing.T, d deployment, role string) []string {
	t.Helper()
	var users []string
	for _, statement := range statements(d.relational.one(t, "Relational/"+role+"/DefaultPolicy/Resource").property("PolicyDocument")) {
		if !slices.Contains(texts(statement["Action"]), "rds-db:connect") {
			continue
		}
		resources, ok := statement["Resource"].([]any)
		if !ok {
			resources = []any{statement["Resource"]}
		}
		for _, resource := range resources {
			text, err := json.Marshal(resource)
			if err != nil {
				t.Fatal(err)
			}
			to := "cluster"
			if strings.Contains(string(text), "DBProxyArn") {
				to = "proxy"
			}
			parts := strings.Split(strings.TrimRight(string(text), `"]}`), "/")
			users = append(users, parts[len(parts)-1]+"@"+to)
		}
	}
	slices.Sort(users)
	return users
}

func TestEachFunctionConnectsAsItselfAlone(t *testing.T) {
	for _, d := range eachRelational(t) {
		to := "cluster"
		if d.stage == Prod {
			to = "proxy"
			if got := connections(t, d, "Proxy/Role"); !slices.Equal(got, []string{"ledger_api@cluster", "ledger_check@cluster", "ledger_writer@cluster"}) {
				t.Errorf("the proxy connects as %v", got)
			}
		}
		for role, want := range map[string]string{
			"LedgerProjector/Role": "ledger_writer@" + to, "LedgerApi/Role": "ledger_api@" + to, "LedgerCheck/Role": "ledger_check@" + to,
			"DbMigrate/Role": "postgres@cluster",
		} {
			if got := connections(t, d, role); !slices.Equal(got, []string{want}) {
				t.Errorf("%s: %s connects as %v, want %s", d.stage, role, got, want)
			}
		}
	}
}

// TestTheSchemaComesFirst asks that the migrations wait for the database and the way to
// it, and that whoever uses the schema waits for them.
func TestTheSchemaComesFirst(t *testing.T) {
	for _, d := range eachRelational(t) {
		migrations := d.relational.one(t, "Relational/Migrations/Default")
		migrations.want(t, map[string]any{"ServiceTimeout": "960"})
		if hash, _ := migrations.property("Migrations").(string); len(hash) != 64 {
			t.Errorf("%s: the resource's hash is %q: a new migration would not run", d.stage, hash)
		}
		waits := texts(migrations.at("DependsOn"))
		for _, path := range []string{"Relational/Database/Writer", "Relational/Network/Default/S3/Resource"} {
			if r := d.relational.one(t, path); !slices.Contains(waits, r.id) {
				t.Errorf("%s: the migrations do not wait for %s", d.stage, path)
			}
		}
		open := slices.ContainsFunc(d.relational.all("AWS::EC2::SecurityGroupIngress"), func(r resource) bool {
			return strings.Contains(r.path(), "Database/SecurityGroup/from RelationalDbMigrate") && slices.Contains(waits, r.id)
		})
		if !open {
			t.Errorf("%s: the migrations do not wait until the database lets them in", d.stage)
		}
		for _, f := range []string{"LedgerProjector", "LedgerApi", "LedgerCheck"} {
			if !slices.Contains(texts(d.relational.one(t, "Relational/"+f+"/Default/Resource").at("DependsOn")), migrations.id) {
				t.Errorf("%s: %s does not wait for the schema", d.stage, f)
			}
		}
	}
}

func TestEventsReachTheLedgerOrALetterBox(t *testing.T) {
	for _, d := range eachRelational(t) {
		letters := d.relational.one(t, "Relational/LedgerEvents/DeadLetters/Resource")
		d.relational.one(t, "Relational/ObjectEvents/Default/Resource").want(t, map[string]any{
			"EventPattern":                   map[string]any{"source": []string{event.Source}, "detail-type": []any{map[string]string{"prefix": objectEvents}}},
			"Targets.0.DeadLetterConfig.Arn": map[string]any{"Fn::GetAtt": []string{letters.id, "Arn"}},
		})
		d.relational.one(t, "Relational/LedgerEvents/Default/Resource").want(t, map[string]any{
			"RedrivePolicy.deadLetterTargetArn": map[string]any{"Fn::GetAtt": []string{letters.id, "Arn"}},
		})
		outlasts(t, d.relational.one(t, "Relational/LedgerEvents/Default/Resource"))
		d.relational.one(t, "Relational/ProjectorMapping/Resource").want(t, map[string]any{
			"BatchSize": 100, "MaximumBatchingWindowInSeconds": 1, "FunctionResponseTypes": []string{"ReportBatchItemFailures"}, "ScalingConfig.MaximumConcurrency": 4,
		})
	}
	for _, kind := range []event.Type{event.Available, event.Versioned, event.Updated, event.Deleted, event.Undeleted, event.Purged} {
		if !strings.HasPrefix(string(kind), objectEvents) {
			t.Errorf("the rule of the ledger does not match %s", kind)
		}
	}
}

// outlasts asks that a queue does not give an event up while the database is away for days.
func outlasts(t *testing.T, queue resource) {
	t.Helper()
	receives, _ := queue.property("RedrivePolicy.maxReceiveCount").(float64)
	hidden, _ := queue.property("VisibilityTimeout").(float64)
	if has := time.Duration(receives*hidden) * time.Second; has < 3*24*time.Hour {
		t.Errorf("%s gives up after %s", queue.path(), has)
	}
}

// TestAnOutageIsToldToSomebody: of messages that have come three times, the age of the
// oldest says nothing.
func TestAnOutageIsToldToSomebody(t *testing.T) {
	for _, d := range eachRelational(t) {
		queue := d.relational.one(t, "Relational/LedgerEvents/Default/Resource")
		projector := d.relational.one(t, "Relational/LedgerProjector/Default/Resource")
		d.relational.one(t, "Relational/LedgerBehindAlarm/Resource").want(t, map[string]any{
			"MetricName": "ApproximateAgeOfOldestMessage", "Threshold": 900,
			"Dimensions.0.Value": map[string]any{"Fn::GetAtt": []string{queue.id, "QueueName"}},
		})
		failing := d.relational.one(t, "Relational/LedgerProjectorFailingAlarm/Resource")
		failing.want(t, map[string]any{
			"MetricName": "RecordsFailed", "Namespace": "Stowage", "Statistic": "Sum", "Threshold": 1, "EvaluationPeriods": 2,
			"Dimensions.0.Name": "function", "Dimensions.0.Value": map[string]any{"Ref": projector.id},
		})
		hidden, _ := queue.property("VisibilityTimeout").(float64)
		timeout, _ := projector.property("Timeout").(float64)
		if period, _ := failing.property("Period").(float64); period < hidden+timeout {
			t.Errorf("%s looks at %.0f s: what comes every %.0f s may be tried in none of them", failing.path(), period, hidden+timeout)
		}
	}
}

// TestTheProjectorOutlastsADatabaseThatWakes: within one invocation, since the message would
// come back after the database has paused again.
func TestTheProjectorOutlastsADatabaseThatWakes(t *testing.T) {
	const texts = 10 * time.Second // to read the texts of a batch, before the database is asked
	if pgstore.WakePatience < 2*pgstore.WakeConnectTimeout || pgstore.WakeConnectTimeout < 15*time.Second {
		t.Errorf("%s with attempts of %s do not outlast 15 s, and 30 s after a day", pgstore.WakePatience, pgstore.WakeConnectTimeout)
	}
	for _, d := range eachRelational(t) {
		timeout, _ := d.relational.one(t, "Relational/LedgerProjector/Default/Resource").property("Timeout").(float64)
		if has := time.Duration(timeout) * time.Second; has < pgstore.WakePatience+batch.DefaultReserve+texts {
			t.Errorf("%s: the projector has %s, and waits for the database for %s", d.stage, has, pgstore.WakePatience)
		}
	}
}

// TestCursorKeysAreRotatedBySchedule: deployments that change db-migrate may be months apart.
func TestCursorKeysAreRotatedBySchedule(t *testing.T) {
	for _, d := range eachRelational(t) {
		function := d.relational.one(t, "Relational/DbMigrate/Default/Resource").id
		rule := d.relational.one(t, "Relational/RotateNightly/Default/Resource")
		rule.want(t, map[string]any{
			"ScheduleExpression": "cron(0 3 * * ? *)", "State": "ENABLED",
			"Targets.0.Arn": map[string]any{"Fn::GetAtt": []string{function, "Arn"}}, "Targets.0.Input": `{"task":"rotateCursorKeys"}`,
		})
		if waits := texts(rule.at("DependsOn")); !slices.Contains(waits, d.relational.one(t, "Relational/Migrations/Default").id) {
			t.Errorf("%s: the schedule does not wait for the schema", d.stage)
		}
		callers := 0
		for _, permission := range d.relational.all("AWS::Lambda::Permission") {
			if !refersTo(permission.property("FunctionName"), function) {
				continue
			}
			if callers++; !refersTo(permission.property("SourceArn"), rule.id) || permission.property("Principal") != "events.amazonaws.com" {
				t.Errorf("%s: %s lets another than the schedule call db-migrate", d.stage, permission.path())
			}
		}
		if callers != 1 {
			t.Errorf("%s: %d permissions to call db-migrate, want the schedule's", d.stage, callers)
		}
	}
}

func TestWhatTheLedgerGivesUpIsToldToSomebody(t *testing.T) {
	for _, d := range eachRelational(t) {
		watched := map[string]bool{}
		for _, alarm := range d.relational.all("AWS::CloudWatch::Alarm") {
			name, _ := alarm.property("MetricName").(string)
			watched[name] = true
			if alarm.property("AlarmDescription") == nil || len(alarm.property("AlarmActions").([]any)) != 1 {
				t.Errorf("%s tells nobody what has happened", alarm.path())
			}
		}
		want := []string{"Errors", "Throttles", "ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage", "RecordsDeadLettered",
			"LedgerDifferences", "LedgerImbalance", "ACUUtilization"}
		if d.stage == Prod {
			want = append(want, "DatabaseConnectionsCurrentlySessionPinned", "DatabaseConnectionsBorrowLatency", "ClientConnectionsSetupFailedAuth", "DatabaseConnectionsSetupFailed")
		}
		for _, metric := range want {
			if !watched[metric] {
				t.Errorf("%s: nobody watches %s", d.stage, metric)
			}
		}
	}
}

// TestFunctionsOfTheLedgerSeeNothingTheyCannotReach asks that no function in the network
// is told of a service that it cannot reach from there.
func TestFunctionsOfTheLedgerSeeNothingTheyCannotReach(t *testing.T) {
	for _, d := range eachRelational(t) {
		for _, f := range d.relational.all("AWS::Lambda::Function") {
			if f.property("VpcConfig") == nil {
				t.Errorf("%s stands outside of the network", f.path())
			}
			variables, _ := f.property("Environment.Variables").(map[string]any)
			for name := range variables {
				if strings.Contains(name, "SECRET") || strings.Contains(name, "QUEUE") || strings.Contains(name, "BUS") {
					t.Errorf("%s is given %s, which it cannot reach", f.path(), name)
				}
			}
		}
		for _, policy := range d.relational.all("AWS::IAM::Policy") {
			if strings.HasPrefix(policy.path(), "Relational/Proxy/") {
				continue
			}
			for _, statement := range statements(policy.property("PolicyDocument")) {
				for _, action := range texts(statement["Action"]) {
					service, _, _ := strings.Cut(action, ":")
					// With the last three Lambda acts for the function, from outside of the network.
					reached := []string{"s3", "dynamodb", "rds-db", "kms", "ec2", "logs", "xray", "sqs"}
					if !slices.Contains(reached, service) {
						t.Errorf("%s grants %s, which cannot be reached", policy.path(), action)
					}
				}
			}
		}
	}
}

func TestSettingsOfTheRelationalStack(t *testing.T) {
	for name, tt := range map[string]struct {
		context map[string]any
		want    string // part of the error; empty: none
	}{
		"a proxy in development":         {map[string]any{"relationalProxy": "true"}, ""},
		"no proxy in production":         {map[string]any{"stage": "prod", "relationalProxy": "false", "relationalMinAcu": "0"}, ""},
		"a paused database with a proxy": {map[string]any{"relationalProxy": "true", "relationalMinAcu": 0.0}, "relationalProxy=false: the connections of an RDS Proxy keep a database awake"},
		"production that pauses":         {map[string]any{"stage": "prod", "relationalMinAcu": "0"}, "never pause"},
		"thirds of ACUs":                 {map[string]any{"relationalMaxAcu": "1.3"}, "in steps of 0.5"},
		"the least of the most":          {map[string]any{"relationalMaxAcu": "1"}, ""},
		"less than that":                 {map[string]any{"relationalMaxAcu": "0.5"}, "from 1 to 256"},
		"the most":                       {map[string]any{"relationalMaxAcu": "256"}, ""},
		"more than the most":             {map[string]any{"relationalMaxAcu": "256.5"}, "from 1 to 256"},
		"more at least than at most":     {map[string]any{"relationalMinAcu": "3", "relationalMaxAcu": "2"}, "at most relationalMaxAcu, which is 2"},
		"no number":                      {map[string]any{"relationalMinAcu": "NaN"}, "a number of ACUs"},
		"backups of no day":              {map[string]any{"relationalBackupDays": "0"}, "from 1 to 35"},
		"a typing error":                 {map[string]any{"relationalMinAcus": "1"}, "write relationalMinAcu"},
		"neither yes nor no":             {map[string]any{"relationalProxy": "maybe"}, "true, false"},
	} {
		tt.context["relational"] = "true"
		_, err := ReadSettings(tt.context, "")
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, tt := range []struct {
		context map[string]any
		least   float64
	}{
		{map[string]any{"stage": "dev"}, 0},
		{map[string]any{"stage": "dev", "relationalProxy": "true"}, 0.5},
		{map[string]any{"stage": "prod"}, 0.5},
		{map[string]any{"stage": "prod", "relationalProxy": "false"}, 0.5},
		{map[string]any{"stage": "prod", "relationalProxy": "false", "relationalMinAcu": "0"}, 0},
	} {
		name := fmt.Sprint(tt.context)
		tt.context["relational"] = "true"
		if s, err := ReadSettings(tt.context, ""); err != nil || s.Relational.MinACU != tt.least {
			t.Errorf("with %s the least capacity is %+v, %v, want %v", name, s.Relational, err, tt.least)
		}
	}
	if _, err := ReadSettings(map[string]any{"relationalProxy": "true"}, ""); err == nil || !strings.Contains(err.Error(), "set relational=true too") {
		t.Errorf("a setting of a stack that is not asked for: %v", err)
	}
	if s, err := ReadSettings(nil, ""); err != nil || s.Relational != nil {
		t.Errorf("without a word the Relational stack is %+v, %v", s.Relational, err)
	}
}

func TestAProxyIsRefusedWhereTheDatabasePauses(t *testing.T) {
	defer func() {
		refused, ok := recover().(*patterns.PropsError)
		if !ok || refused.Field != "Database" || !strings.Contains(refused.Remedy, "keep a database awake") {
			t.Errorf("refused with %v", refused)
		}
	}()
	newTestAppWith(t, Settings{Stage: Dev, Region: "us-east-1", LogRetentionDays: 7, KeepNoncurrent: 1, ArchiveDays: 7, APIRate: 10, APIBurst: 10, IngestConcurrency: 2,
		CallbackURLs: []string{"http://localhost:3000"}, LogoutURLs: []string{"http://localhost:3000"}, LogLevel: "info",
		Relational: &RelationalSettings{Proxy: true, MaxACU: 2, BackupDays: 1}})
}
