package patterns

import (
	"math"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsrds"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

const (
	// databaseEngine and the version that its parameter group is of.
	databaseEngine  = "aurora-postgresql"
	databaseFamily  = "aurora-postgresql17"
	databaseVersion = "17.7"
	// DatabasePort is where PostgreSQL and its proxies listen.
	DatabasePort = 5432
	// maxCapacity is the most that Serverless v2 offers.
	// https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-serverless-v2.how-it-works.html
	maxCapacity = 256
	maxReaders  = 15
)

// DatabaseProps configures a Database. Network and Name are required.
type DatabaseProps struct {
	// Network that the database stands in.
	Network *IsolatedNetwork
	// Name of the database.
	Name *string
	// MasterUser is the user that owns it. It has no password: it authenticates by IAM.
	// Nil: postgres.
	MasterUser *string
	// MinCapacity in ACUs (2 GiB of memory and the CPU that goes with it), in steps of a
	// half. At 0 the database is paused when nobody is connected, costs its storage alone
	// and takes some 15 seconds to wake; no DatabaseProxy can stand in front of it then,
	// as its connections keep it awake. Nil: 0.5.
	MinCapacity *float64
	// MaxCapacity in ACUs, at least 1. Nil: 4.
	MaxCapacity *float64
	// AutoPause is how long nobody is connected before a database with MinCapacity 0 is
	// paused, from 5 minutes to a day. Nil: 5 minutes.
	AutoPause awscdk.Duration
	// Readers is how many instances only read; the first takes over from the writer. Nil: none.
	Readers *float64
	// BackupRetention is for how long every moment can be restored, from 1 to 35 days. Nil: 7 days.
	BackupRetention awscdk.Duration
	// EncryptionKey encrypts the storage, the backups and what Performance Insights keeps.
	// Nil: a key of the database's own, rotated yearly.
	EncryptionKey awskms.IKey
	// DeletionProtection refuses to delete the database. Nil: true when it is retained.
	DeletionProtection *bool
	// RemovalPolicy of the database. Empty: RETAIN. With DESTROY no last snapshot is taken.
	RemovalPolicy awscdk.RemovalPolicy
}

// Database is an Aurora PostgreSQL Serverless v2 cluster that only IAM lets anybody into:
// TLS is required, no user has a password, and the Data API is off.
type Database struct {
	constructs.Construct
	cluster     awsrds.CfnDBCluster
	instances   []awsrds.CfnDBInstance
	group       awsec2.SecurityGroup
	network     *IsolatedNetwork
	key         awskms.IKey
	minCapacity float64
	readers     int
	subnets     *[]*string
}

// NewDatabase makes a Database.
func NewDatabase(scope constructs.Construct, id *string, props *DatabaseProps) *Database {
	p := withDatabaseDefaults(scope, id, props)
	d := &Database{network: p.Network, key: p.EncryptionKey, minCapacity: *p.MinCapacity, readers: int(*p.Readers)}
	constructs.NewConstruct_Override(d, scope, id)
	if d.key == nil {
		d.key = newKey(d, "Encrypts a database", p.RemovalPolicy)
	}
	d.group = p.Network.securityGroup(d, "SecurityGroup", "A database")
	d.subnets = p.Network.vpc.SelectSubnets(&awsec2.SubnetSelection{SubnetType: awsec2.SubnetType_PRIVATE_ISOLATED}).SubnetIds
	subnets := awsrds.NewCfnDBSubnetGroup(d, jsii.String("Subnets"), &awsrds.CfnDBSubnetGroupProps{
		DbSubnetGroupDescription: jsii.String("Isolated subnets"),
		SubnetIds:                strings2any(d.subnets),
	})
	parameters := awsrds.NewCfnDBClusterParameterGroup(d, jsii.String("Parameters"), &awsrds.CfnDBClusterParameterGroupProps{
		Description: jsii.String("TLS alone; transactions that are left open end"),
		Family:      jsii.String(databaseFamily),
		Parameters: map[string]string{
			"rds.force_ssl":                       "1",
			"idle_in_transaction_session_timeout": "60000", // ms
			"log_lock_waits":                      "1",
		},
	})
	d.cluster = d.newCluster(p, subnets, parameters)
	for i := range 1 + d.readers {
		d.addInstance(i)
	}
	return d
}

func withDatabaseDefaults(scope constructs.Construct, id *string, props *DatabaseProps) DatabaseProps {
	p := *props
	p.MasterUser = orDefault(p.MasterUser, "postgres")
	p.MinCapacity = orDefault(p.MinCapacity, 0.5)
	p.MaxCapacity = orDefault(p.MaxCapacity, 4)
	p.AutoPause = orDuration(p.AutoPause, awscdk.Duration_Minutes(jsii.Number(5)))
	p.Readers = orDefault(p.Readers, 0)
	p.BackupRetention = orDuration(p.BackupRetention, awscdk.Duration_Days(jsii.Number(7)))
	p.RemovalPolicy = orRetain(p.RemovalPolicy)
	p.DeletionProtection = orDefault(p.DeletionProtection, p.RemovalPolicy == awscdk.RemovalPolicy_RETAIN)
	if p.Network == nil {
		refuse(scope, id, "Network", "nil", "give the network that the database stands in")
	}
	if p.Name == nil || *p.Name == "" {
		refuse(scope, id, "Name", "empty", "name the database")
	}
	requireRange(scope, id, "MinCapacity", p.MinCapacity, 0, maxCapacity)
	requireRange(scope, id, "MaxCapacity", p.MaxCapacity, 1, maxCapacity)
	for field, value := range map[string]float64{"MinCapacity": *p.MinCapacity, "MaxCapacity": *p.MaxCapacity} {
		if math.Mod(value, 0.5) != 0 {
			refuse(scope, id, field, value, "set it in steps of 0.5")
		}
	}
	if *p.MinCapacity > *p.MaxCapacity {
		refuse(scope, id, "MinCapacity", *p.MinCapacity, "set it to at most MaxCapacity")
	}
	requireRange(scope, id, "AutoPause", jsii.Number(seconds(p.AutoPause)), 300, 86_400)
	requireRange(scope, id, "Readers", p.Readers, 0, maxReaders)
	requireRange(scope, id, "BackupRetention", p.BackupRetention.ToDays(nil), 1, 35)
	return p
}

func (d *Database) newCluster(p DatabaseProps, subnets awsrds.CfnDBSubnetGroup, parameters awsrds.CfnDBClusterParameterGroup) awsrds.CfnDBCluster {
	scaling := &awsrds.CfnDBCluster_ServerlessV2ScalingConfigurationProperty{MinCapacity: p.MinCapacity, MaxCapacity: p.MaxCapacity}
	if d.minCapacity == 0 {
		scaling.SecondsUntilAutoPause = jsii.Number(seconds(p.AutoPause))
	}
	cluster := awsrds.NewCfnDBCluster(d, jsii.String("Resource"), &awsrds.CfnDBClusterProps{
		BackupRetentionPeriod:            p.BackupRetention.ToDays(nil),
		CopyTagsToSnapshot:               jsii.Bool(true),
		DatabaseName:                     p.Name,
		DbClusterParameterGroupName:      parameters.Ref(),
		DbSubnetGroupName:                subnets.Ref(),
		DeletionProtection:               p.DeletionProtection,
		EnableCloudwatchLogsExports:      jsii.Strings("postgresql"),
		EnableHttpEndpoint:               jsii.Bool(false),
		EnableIamDatabaseAuthentication:  jsii.Bool(true),
		Engine:                           jsii.String(databaseEngine),
		EngineVersion:                    jsii.String(databaseVersion),
		KmsKeyId:                         d.key.KeyArn(),
		MasterUserAuthenticationType:     jsii.String("iam-db-auth"), // there is no password that could leak
		MasterUsername:                   p.MasterUser,
		Port:                             jsii.Number(DatabasePort),
		ServerlessV2ScalingConfiguration: scaling,
		StorageEncrypted:                 jsii.Bool(true),
		VpcSecurityGroupIds:              &[]interface{}{d.group.SecurityGroupId()},
	})
	cluster.ApplyRemovalPolicy(p.RemovalPolicy, nil)
	return cluster
}

// addInstance makes the writer and then the readers; which is which Aurora decides by
// the order of promotion.
func (d *Database) addInstance(n int) {
	name, tier := "Writer", 0
	if n > 0 {
		name, tier = "Reader"+string(rune('0'+n%10)), 1
		if n >= 10 {
			name = "Reader1" + string(rune('0'+n%10))
		}
	}
	instance := awsrds.NewCfnDBInstance(d, jsii.String(name), &awsrds.CfnDBInstanceProps{
		AutoMinorVersionUpgrade:            jsii.Bool(true),
		DbClusterIdentifier:                d.cluster.Ref(),
		DbInstanceClass:                    jsii.String("db.serverless"),
		EnablePerformanceInsights:          jsii.Bool(true),
		Engine:                             jsii.String(databaseEngine),
		PerformanceInsightsKmsKeyId:        d.key.KeyArn(),
		PerformanceInsightsRetentionPeriod: jsii.Number(7), // days: what is free
		PromotionTier:                      jsii.Number(tier),
		PubliclyAccessible:                 jsii.Bool(false),
	})
	// What an instance holds lies in the cluster.
	instance.ApplyRemovalPolicy(awscdk.RemovalPolicy_DESTROY, nil)
	if n > 0 {
		instance.Node().AddDependency(d.instances[0])
	}
	d.instances = append(d.instances, instance)
}

// GrantConnect lets a function in its network connect to the cluster itself as a user of
// the database, with an IAM token.
func (d *Database) GrantConnect(function *Function, user string) awsiam.Grant {
	requireNetwork(d, function)
	d.letIn(function.group, "Clients of the cluster")
	return grantConnect(d, function.role, d.cluster.AttrDbClusterResourceId(), user)
}

// letIn opens the way from a group's members to the database.
func (d *Database) letIn(from awsec2.SecurityGroup, what string) {
	openPort(from, d.group, what)
}

// Cluster gives the cluster itself.
func (d *Database) Cluster() awsrds.CfnDBCluster { return d.cluster }

// Instances give the cluster's instances, the writer first: what needs the database to
// answer depends on them.
func (d *Database) Instances() []awsrds.CfnDBInstance { return d.instances }

// Endpoint is the host name that always leads to the writer.
func (d *Database) Endpoint() *string { return d.cluster.AttrEndpointAddress() }

// ReaderEndpoint is the host name that leads to the readers; nil when there are none.
func (d *Database) ReaderEndpoint() *string {
	if d.readers == 0 {
		return nil
	}
	return d.cluster.AttrReadEndpointAddress()
}

// MetricUtilization is how much of MaxCapacity is in use, in percent, the greatest over 5 minutes.
func (d *Database) MetricUtilization() awscloudwatch.Metric {
	return d.metric("ACUUtilization", "Maximum")
}

// MetricCapacity is how many ACUs are in use, the average over 5 minutes.
func (d *Database) MetricCapacity() awscloudwatch.Metric {
	return d.metric("ServerlessDatabaseCapacity", "Average")
}

// MetricDeadlocks counts deadlocks a second, the average over 5 minutes.
func (d *Database) MetricDeadlocks() awscloudwatch.Metric { return d.metric("Deadlocks", "Average") }

func (d *Database) metric(name, statistic string) awscloudwatch.Metric {
	return awscloudwatch.NewMetric(&awscloudwatch.MetricProps{
		DimensionsMap: &map[string]*string{"DBClusterIdentifier": d.cluster.Ref()},
		MetricName:    jsii.String(name),
		Namespace:     jsii.String("AWS/RDS"),
		Period:        awscdk.Duration_Minutes(jsii.Number(5)),
		Statistic:     jsii.String(statistic),
	})
}

// requireNetwork refuses a function that cannot reach a database.
func requireNetwork(scope constructs.Construct, function *Function) {
	if function.group == nil {
		refuse(scope.Node().Scope().(constructs.Construct), scope.Node().Id(), "function", *function.Node().Path()+", which stands in no network",
			"set its Network to that of the database")
	}
}

// grantConnect grants rds-db:connect as one user, of a cluster or of a proxy, by its
// resource id.
func grantConnect(scope constructs.Construct, grantee awsiam.IGrantable, resourceID *string, user string) awsiam.Grant {
	return awsiam.Grant_AddToPrincipal(&awsiam.GrantOnPrincipalOptions{
		Actions: jsii.Strings("rds-db:connect"),
		Grantee: grantee,
		ResourceArns: &[]*string{awscdk.Stack_Of(scope).FormatArn(&awscdk.ArnComponents{
			ArnFormat: awscdk.ArnFormat_COLON_RESOURCE_NAME, Service: jsii.String("rds-db"), Resource: jsii.String("dbuser"),
			ResourceName: jsii.String(*resourceID + "/" + user),
		})},
	})
}

// openPort lets the members of one group connect to those of another.
func openPort(from, to awsec2.SecurityGroup, what string) {
	port := awsec2.Port_Tcp(jsii.Number(DatabasePort))
	to.AddIngressRule(from, port, jsii.String(what), nil)
	from.AddEgressRule(to, port, jsii.String("PostgreSQL"), nil)
}

// strings2any is a list as L1 constructs take it.
func strings2any(list *[]*string) *[]interface{} {
	out := make([]interface{}, 0, len(*list))
	for _, s := range *list {
		out = append(out, s)
	}
	return &out
}
