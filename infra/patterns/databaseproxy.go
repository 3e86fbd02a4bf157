package patterns

import (
	"slices"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsrds"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// DatabaseProxyProps configures a DatabaseProxy. Database is required.
type DatabaseProxyProps struct {
	// Database that connections lead to.
	Database *Database
	// MaxConnectionsPercent is how much of the database's connections the proxy may use. Nil: 80,
	// which leaves some to migrations and to people.
	MaxConnectionsPercent *float64
	// MaxIdleConnectionsPercent is how much it keeps open unused. Nil: 20.
	MaxIdleConnectionsPercent *float64
	// BorrowTimeout is how long a client waits for a free connection, at most 5 minutes.
	// Nil: 10 seconds, after which an API still has time to say so.
	BorrowTimeout awscdk.Duration
	// IdleClientTimeout is how long a client may say nothing. Nil: 30 minutes.
	IdleClientTimeout awscdk.Duration
}

// DatabaseProxy is an RDS Proxy: it lets many short-lived clients share few connections.
// TLS is required, and both a client and the proxy itself authenticate by IAM, so that
// neither a password nor a secret exists.
//
// It is paid for by the hour, and keeps its database awake.
type DatabaseProxy struct {
	constructs.Construct
	proxy    awsrds.CfnDBProxy
	reader   awsrds.CfnDBProxyEndpoint // nil when the database has no readers
	targets  awsrds.CfnDBProxyTargetGroup
	role     awsiam.Role
	group    awsec2.SecurityGroup
	database *Database
	users    []string
}

// NewDatabaseProxy makes a DatabaseProxy in front of a database that is never paused.
func NewDatabaseProxy(scope constructs.Construct, id *string, props *DatabaseProxyProps) *DatabaseProxy {
	p := *props
	p.MaxConnectionsPercent = orDefault(p.MaxConnectionsPercent, 80)
	p.MaxIdleConnectionsPercent = orDefault(p.MaxIdleConnectionsPercent, 20)
	p.BorrowTimeout = orDuration(p.BorrowTimeout, awscdk.Duration_Seconds(jsii.Number(10)))
	p.IdleClientTimeout = orDuration(p.IdleClientTimeout, awscdk.Duration_Minutes(jsii.Number(30)))
	if p.Database == nil {
		refuse(scope, id, "Database", "nil", "give the database that connections lead to")
	}
	if p.Database.minCapacity == 0 {
		refuse(scope, id, "Database", "one with a MinCapacity of 0", "set MinCapacity to 0.5 or more, or leave the proxy out: its connections keep a database awake, so that this one would never pause and cost as one that cannot")
	}
	requireRange(scope, id, "MaxConnectionsPercent", p.MaxConnectionsPercent, 1, 100)
	requireRange(scope, id, "MaxIdleConnectionsPercent", p.MaxIdleConnectionsPercent, 0, *p.MaxConnectionsPercent)
	requireRange(scope, id, "BorrowTimeout", jsii.Number(seconds(p.BorrowTimeout)), 1, 300)
	requireRange(scope, id, "IdleClientTimeout", jsii.Number(seconds(p.IdleClientTimeout)), 60, 28_800)

	x := &DatabaseProxy{database: p.Database}
	constructs.NewConstruct_Override(x, scope, id)
	x.group = p.Database.network.securityGroup(x, "SecurityGroup", "A proxy of a database")
	p.Database.letIn(x.group, "The proxy")
	x.role = awsiam.NewRole(x, jsii.String("Role"), &awsiam.RoleProps{
		AssumedBy:   awsiam.NewServicePrincipal(jsii.String("rds.amazonaws.com"), nil),
		Description: jsii.String("An RDS Proxy, which connects to its database"),
	})
	// Names are required, and unique in an account and region.
	name := awscdk.Names_UniqueResourceName(x, &awscdk.UniqueResourceNameOptions{MaxLength: jsii.Number(58), Separator: jsii.String("-")})
	x.proxy = awsrds.NewCfnDBProxy(x, jsii.String("Resource"), &awsrds.CfnDBProxyProps{
		DbProxyName:         name,
		DebugLogging:        jsii.Bool(false), // it would log statements
		DefaultAuthScheme:   jsii.String("IAM_AUTH"),
		EngineFamily:        jsii.String("POSTGRESQL"),
		IdleClientTimeout:   jsii.Number(seconds(p.IdleClientTimeout)),
		RequireTls:          jsii.Bool(true),
		RoleArn:             x.role.RoleArn(),
		VpcSecurityGroupIds: &[]interface{}{x.group.SecurityGroupId()},
		VpcSubnetIds:        strings2any(p.Database.subnets),
	})
	x.targets = awsrds.NewCfnDBProxyTargetGroup(x, jsii.String("Targets"), &awsrds.CfnDBProxyTargetGroupProps{
		ConnectionPoolConfigurationInfo: &awsrds.CfnDBProxyTargetGroup_ConnectionPoolConfigurationInfoFormatProperty{
			ConnectionBorrowTimeout:   jsii.Number(seconds(p.BorrowTimeout)),
			MaxConnectionsPercent:     p.MaxConnectionsPercent,
			MaxIdleConnectionsPercent: p.MaxIdleConnectionsPercent,
		},
		DbClusterIdentifiers: &[]interface{}{p.Database.cluster.Ref()},
		DbProxyName:          x.proxy.Ref(),
		TargetGroupName:      jsii.String("default"), // the only name that is taken
	})
	for _, instance := range p.Database.instances { // a target must be there when it is registered
		x.targets.Node().AddDependency(instance)
	}
	if p.Database.readers > 0 {
		x.reader = awsrds.NewCfnDBProxyEndpoint(x, jsii.String("Reader"), &awsrds.CfnDBProxyEndpointProps{
			DbProxyEndpointName: jsii.String(*name + "-r"),
			DbProxyName:         x.proxy.Ref(),
			TargetRole:          jsii.String("READ_ONLY"),
			VpcSecurityGroupIds: &[]interface{}{x.group.SecurityGroupId()},
			VpcSubnetIds:        strings2any(p.Database.subnets),
		})
	}
	return x
}

// GrantConnect lets a function in the database's network connect to the proxy as a user
// of the database, and the proxy to the database as the same.
func (x *DatabaseProxy) GrantConnect(function *Function, user string) awsiam.Grant {
	requireNetwork(x, function)
	openPort(function.group, x.group, "Clients of the proxy")
	grant := grantConnect(x, function.role, x.resourceID(), user)
	if slices.Contains(x.users, user) {
		return grant
	}
	x.users = append(x.users, user)
	return grant.Combine(grantConnect(x, x.role, x.database.cluster.AttrDbClusterResourceId(), user))
}

// resourceID is the last part of the proxy's ARN, by which database users are named:
// arn:aws:rds:<region>:<account>:db-proxy:<resource id>.
func (x *DatabaseProxy) resourceID() *string {
	return awscdk.Fn_Select(jsii.Number(6), awscdk.Fn_Split(jsii.String(":"), x.proxy.AttrDbProxyArn(), nil))
}

// Proxy gives the proxy itself.
func (x *DatabaseProxy) Proxy() awsrds.CfnDBProxy { return x.proxy }

// Role gives the role with which the proxy connects to the database.
func (x *DatabaseProxy) Role() awsiam.Role { return x.role }

// Endpoint is the host name that leads to the writer.
func (x *DatabaseProxy) Endpoint() *string { return x.proxy.AttrEndpoint() }

// ReaderEndpoint is the host name that leads to the readers; nil when there are none.
func (x *DatabaseProxy) ReaderEndpoint() *string {
	if x.reader == nil {
		return nil
	}
	return x.reader.AttrEndpoint()
}

// MetricPinned is how many connections to the database are pinned to one client, and so
// shared by nobody, the greatest over 5 minutes.
func (x *DatabaseProxy) MetricPinned() awscloudwatch.Metric {
	return x.metric("DatabaseConnectionsCurrentlySessionPinned", "Maximum")
}

// MetricBorrowLatency is how long clients wait for a connection, in microseconds, the
// average over 5 minutes.
func (x *DatabaseProxy) MetricBorrowLatency() awscloudwatch.Metric {
	return x.metric("DatabaseConnectionsBorrowLatency", "Average")
}

// MetricRefused counts clients that did not authenticate, over 5 minutes.
func (x *DatabaseProxy) MetricRefused() awscloudwatch.Metric {
	return x.metric("ClientConnectionsSetupFailedAuth", "Sum")
}

// MetricUnreachable counts connections to the database that failed, over 5 minutes.
func (x *DatabaseProxy) MetricUnreachable() awscloudwatch.Metric {
	return x.metric("DatabaseConnectionsSetupFailed", "Sum")
}

// https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/rds-proxy.monitoring.html
func (x *DatabaseProxy) metric(name, statistic string) awscloudwatch.Metric {
	return awscloudwatch.NewMetric(&awscloudwatch.MetricProps{
		DimensionsMap: &map[string]*string{"ProxyName": x.proxy.Ref()},
		MetricName:    jsii.String(name),
		Namespace:     jsii.String("AWS/RDS"),
		Period:        awscdk.Duration_Minutes(jsii.Number(5)),
		Statistic:     jsii.String(statistic),
	})
}
