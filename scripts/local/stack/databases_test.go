package stack_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/rds/auth"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stowage-dev/stowage/scripts/local/stack"
	"github.com/stowage-dev/stowage/scripts/local/stack/stacktest"
	"github.com/stowage-dev/stowage/scripts/local/template"
)

type object = stacktest.Object

// withDatabase is an app with a cluster behind a proxy, a function in its network and a
// custom resource of it.
func withDatabase(a stacktest.App, status string) map[string]any {
	resources := a.Resources()
	user := func(from object, user string) object {
		return object{"Fn::Join": []any{"", []any{"arn:aws:rds-db:", stacktest.Ref("AWS::Region"), ":", stacktest.Ref("AWS::AccountId"), ":dbuser:", from, "/" + user}}}
	}
	proxyID := object{"Fn::Select": []any{6, object{"Fn::Split": []any{":", stacktest.GetAtt("Proxy", "DBProxyArn")}}}}
	allow := func(name, role string, statements ...object) object {
		return stacktest.Resource("AWS::IAM::Policy", object{"PolicyName": name, "Roles": []object{stacktest.Ref(role)}, "PolicyDocument": stacktest.Statements(statements...)})
	}
	for name, resource := range map[string]object{
		"Network": stacktest.Resource("AWS::EC2::VPC", object{"CidrBlock": "10.0.0.0/16"}),
		"Subnet":  stacktest.Resource("AWS::EC2::Subnet", object{"VpcId": stacktest.Ref("Network"), "AvailabilityZone": object{"Fn::Select": []any{0, object{"Fn::GetAZs": ""}}}}),
		"Group":   stacktest.Resource("AWS::EC2::SecurityGroup", object{"VpcId": stacktest.Ref("Network")}),
		"ToS3": stacktest.Resource("AWS::EC2::VPCEndpoint", object{"VpcId": stacktest.Ref("Network"), "VpcEndpointType": "Gateway", "ServiceName": "com.amazonaws.eu-west-1.s3",
			"PolicyDocument": stacktest.Statements(object{"Effect": "Allow", "Principal": object{"AWS": "*"}, "Action": "s3:GetObject", "Resource": "*",
				"Condition": object{"StringEquals": object{"aws:PrincipalAccount": stacktest.Ref("AWS::AccountId")}}})}),
		"Parameters": stacktest.Resource("AWS::RDS::DBClusterParameterGroup", object{"Description": "d", "Family": "aurora-postgresql17", "Parameters": object{"rds.force_ssl": "1", "log_lock_waits": "1"}}),
		"Cluster": stacktest.Resource("AWS::RDS::DBCluster", object{"Engine": "aurora-postgresql", "EngineVersion": "17.7", "DatabaseName": "books", "MasterUsername": "postgres",
			"MasterUserAuthenticationType": "iam-db-auth", "EnableIAMDatabaseAuthentication": true, "DBClusterParameterGroupName": stacktest.Ref("Parameters"),
			"ServerlessV2ScalingConfiguration": object{"MinCapacity": 0.5, "MaxCapacity": 2}}),
		"Writer":    stacktest.Resource("AWS::RDS::DBInstance", object{"Engine": "aurora-postgresql", "DBClusterIdentifier": stacktest.Ref("Cluster"), "DBInstanceClass": "db.serverless"}),
		"Reader":    stacktest.Resource("AWS::RDS::DBInstance", object{"Engine": "aurora-postgresql", "DBClusterIdentifier": stacktest.Ref("Cluster"), "DBInstanceClass": "db.serverless"}),
		"ProxyRole": stacktest.Resource("AWS::IAM::Role", object{"AssumeRolePolicyDocument": stacktest.Statements(object{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": object{"Service": "rds.amazonaws.com"}})}),
		"ProxyMay":  allow("Proxy", "ProxyRole", object{"Effect": "Allow", "Action": "rds-db:connect", "Resource": user(stacktest.GetAtt("Cluster", "DBClusterResourceId"), "postgres")}),
		"Proxy": stacktest.Resource("AWS::RDS::DBProxy", object{"DBProxyName": "books-proxy", "DefaultAuthScheme": "IAM_AUTH", "EngineFamily": "POSTGRESQL", "RequireTLS": true,
			"RoleArn": stacktest.GetAtt("ProxyRole", "Arn"), "VpcSubnetIds": []object{stacktest.Ref("Subnet")}}),
		"Targets": stacktest.Resource("AWS::RDS::DBProxyTargetGroup", object{"DBProxyName": stacktest.Ref("Proxy"), "TargetGroupName": "default", "DBClusterIdentifiers": []object{stacktest.Ref("Cluster")},
			"ConnectionPoolConfigurationInfo": object{"ConnectionBorrowTimeout": 10, "MaxConnectionsPercent": 80}}),
		"ReadProxy": stacktest.Resource("AWS::RDS::DBProxyEndpoint", object{"DBProxyName": stacktest.Ref("Proxy"), "DBProxyEndpointName": "books-r", "TargetRole": "READ_ONLY"}),
		"RoleMay": allow("Database", "Role",
			object{"Effect": "Allow", "Action": "rds-db:connect", "Resource": []object{user(proxyID, "postgres"), user(proxyID, "rdsadmin"), user(stacktest.GetAtt("Cluster", "DBClusterResourceId"), "postgres")}},
			object{"Effect": "Allow", "Resource": "*", "Action": []string{"s3:GetObject", "s3:PutObject", "ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets",
				"ec2:DeleteNetworkInterface", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"}}),
		"Migrations": stacktest.Resource("Custom::Migrations", object{"ServiceToken": stacktest.GetAtt("Migrate", "Arn"), "ServiceTimeout": "60", "Status": status, "Version": 1}),
	} {
		resources[name] = resource
	}
	migrate := a.Function("custom")
	migrate["Properties"].(object)["VpcConfig"] = object{"SubnetIds": []object{stacktest.Ref("Subnet")}, "SecurityGroupIds": []object{stacktest.Ref("Group")}}
	migrate["Properties"].(object)["Environment"].(object)["Variables"].(object)["DB_HOST"] = stacktest.GetAtt("Proxy", "Endpoint")
	resources["Migrate"] = migrate
	return resources
}

// as connects to an endpoint as a role of the app.
func as(t *testing.T, s *stack.Stack, role, endpoint, user string) (*pgx.Conn, error) {
	t.Helper()
	c, err := s.Session("arn:aws:iam::000000000000:role/"+role, "test")
	if err != nil {
		t.Fatal(err)
	}
	token, err := auth.BuildAuthToken(t.Context(), endpoint, "eu-west-1", user, aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken}, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	host, _, err := net.SplitHostPort(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := pgx.ParseConfig("postgres://" + user + "@" + endpoint + "/books?sslmode=require")
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	pem, err := os.ReadFile(s.Databases[0].Engine.Authority().Path())
	if err != nil || !roots.AppendCertsFromPEM(pem) {
		t.Fatal("no authority", err)
	}
	cfg.Password, cfg.DefaultQueryExecMode = token, pgx.QueryExecModeExec
	cfg.TLSConfig = &tls.Config{RootCAs: roots, ServerName: host, MinVersion: tls.VersionTLS12}
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	if err == nil {
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
	}
	return conn, err
}

func TestADatabaseLetsInWhomPoliciesLet(t *testing.T) {
	t.Parallel()
	a := stacktest.New(t, recorderDir)
	a.Write(t, withDatabase(a, "SUCCESS"))
	s := start(t, config(a, t.TempDir()))
	declared, proxy := s.Model.Databases[0], s.Model.Proxies[0]

	for name, endpoint := range map[string]string{"writer": declared.Writer, "reader": declared.Reader, "proxy": proxy.Endpoint, "proxy's reader": proxy.Endpoints[0].Address} {
		conn, err := as(t, s, "App-Role", endpoint, "postgres")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_, err = conn.Exec(t.Context(), "CREATE TABLE IF NOT EXISTS entries (id int)")
		var refused *pgconn.PgError
		if reads := strings.Contains(name, "reader"); reads != (errors.As(err, &refused) && refused.Code == "25006") {
			t.Errorf("%s writes: %v", name, err)
		}
	}
	// The function itself may be rdsadmin at the proxy; the proxy may not.
	for name, tt := range map[string][3]string{
		"a user that is not granted":   {"App-Role", declared.Writer, "rdsadmin"},
		"one whom the proxy is denied": {"App-Role", proxy.Endpoint, "rdsadmin"},
		"a role without a grant":       {"App-ProxyRole", proxy.Endpoint, "postgres"},
	} {
		if _, err := as(t, s, tt[0], tt[1], tt[2]); err == nil || !strings.Contains(err.Error(), "authentication failed") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, engine := range []string{"postgres", "pgbouncer"} {
		answer := httptest.NewRecorder()
		s.Chaos.Handler().ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/restarts/"+engine, http.NoBody))
		if answer.Code/100 != 2 {
			t.Errorf("restart %s: %d %s", engine, answer.Code, answer.Body)
		}
		// The pool may need a moment for new connections; it says so until then.
		var starting *pgconn.PgError
		_, err := as(t, s, "App-Role", proxy.Endpoint, "postgres")
		for deadline := time.Now().Add(30 * time.Second); errors.As(err, &starting) && starting.Code == "57P03" && time.Now().Before(deadline); {
			time.Sleep(50 * time.Millisecond)
			_, err = as(t, s, "App-Role", proxy.Endpoint, "postgres")
		}
		if err != nil {
			t.Errorf("after a restart of %s: %v", engine, err)
		}
	}
	if commands := s.Dev(nil).Databases; len(commands) != 1 || !strings.HasSuffix(commands[0], "-U postgres books") {
		t.Errorf("dev.json tells of %v", commands)
	}
	if host := s.Model.Functions; !strings.HasPrefix(environment(t, host, "DB_HOST"), "127.0.0.1:") {
		t.Error("the function is not told where the proxy is")
	}
}

func TestAFunctionInANetworkReachesItsEndpointsAlone(t *testing.T) {
	t.Parallel()
	a := stacktest.New(t, recorderDir)
	a.Write(t, withDatabase(a, "SUCCESS"))
	s := start(t, config(a, t.TempDir()))
	c, err := s.FunctionSession("App-Migrate")
	if err != nil {
		t.Fatal(err)
	}
	cfg := clients(s)
	cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken}, nil
	})
	cfg.RetryMaxAttempts = 1
	url := s.Model.Queues[0].URL
	if _, err := sqs.NewFromConfig(cfg).SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("m")}); err == nil || !strings.Contains(err.Error(), "no endpoint of sqs") {
		t.Errorf("a call that would wait for ever on AWS: %v", err)
	}
	objects := awss3.NewFromConfig(cfg, func(o *awss3.Options) { o.UsePathStyle = true })
	bucket := aws.String(s.Dev(nil).Bucket)
	putObject(t, s, "there.txt", "hello")
	if _, err := objects.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: bucket, Key: aws.String("there.txt")}); err != nil {
		t.Errorf("what role and endpoint allow: %v", err)
	}
	if _, err := objects.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: bucket, Key: aws.String("mine.txt"), Body: strings.NewReader("x")}); err == nil || !strings.Contains(err.Error(), "no VPC endpoint policy allows the s3:PutObject action") {
		t.Errorf("what the role allows and the endpoint does not: %v", err)
	}
}

func TestASwappedProviderProvidesAgain(t *testing.T) {
	t.Parallel()
	a := stacktest.New(t, recorderDir)
	resources := a.Resources()
	resources["Migrate"] = a.Function("custom")
	resources["Migrations"] = stacktest.Resource("Custom::Migrations", object{"ServiceToken": stacktest.GetAtt("Migrate", "Arn"), "Status": "SUCCESS"})
	a.Write(t, resources)
	s := start(t, config(a, t.TempDir()))
	for _, function := range []string{"App-Recorder", "App-Migrate"} {
		if err := s.Swap(function, filepath.Join(recorderDir, "bootstrap")); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(a.Record)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(raw), `"RequestType":"Create"`) != 1 || strings.Count(string(raw), `"RequestType":"Update"`) != 1 {
		t.Errorf("asked for:\n%s", raw)
	}
}

// TestWhatIsNoLongerDeclaredIsKept: a custom resource that goes together with its function
// is nothing to warn of. It is told, once, what is kept and how to have it again.
func TestWhatIsNoLongerDeclaredIsKept(t *testing.T) {
	t.Parallel()
	a := stacktest.New(t, recorderDir)
	resources := a.Resources()
	resources["Migrate"] = a.Function("custom")
	resources["Migrations"] = stacktest.Resource("Custom::Migrations", object{"ServiceToken": stacktest.GetAtt("Migrate", "Arn"), "Status": "SUCCESS"})
	cfg := config(a, t.TempDir())
	for _, tc := range []struct {
		name      string
		resources map[string]any
		told      int
	}{
		{"declared", resources, 0}, {"no longer", a.Resources(), 1}, {"for good", a.Resources(), 0}, {"again", resources, 0},
	} {
		var log bytes.Buffer
		cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		a.Write(t, tc.resources)
		s, err := stack.Start(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil { // from here on nobody logs
			t.Fatal(err)
		}
		if told := strings.Count(log.String(), "level=INFO msg=\"what a custom resource made is kept"); told != tc.told || strings.Contains(log.String(), "was not deleted") {
			t.Errorf("%s: told %d times, want %d:\n%s", tc.name, told, tc.told, &log)
		}
	}
}

func TestACustomResourceIsAskedOnceAndItsFailureStopsTheStart(t *testing.T) {
	t.Parallel()
	a := stacktest.New(t, recorderDir)
	a.Write(t, withDatabase(a, "FAILED"))
	state := t.TempDir()
	if _, err := stack.Start(t.Context(), config(a, state)); err == nil || !strings.Contains(err.Error(), "Create failed: the recorder was told to") {
		t.Fatalf("error = %v", err)
	}
	a.Write(t, withDatabase(a, "SUCCESS"))
	for range 2 {
		s, err := stack.Start(t.Context(), config(a, state))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(a.Record)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(raw), `"RequestType":"Create"`); n != 2 {
		t.Errorf("created %d times, of which one failed:\n%s", n, raw)
	}
}

func environment(t *testing.T, functions []*template.Function, variable string) string {
	t.Helper()
	for _, f := range functions {
		if value, ok := f.Environment[variable]; ok {
			return value
		}
	}
	return ""
}
