package template

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/assembly"
)

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

type clusterProperties struct {
	AutoMinorVersionUpgrade          NoLocalEffect // the engine has one version
	BackupRetentionPeriod            NoLocalEffect // nothing is backed up
	CopyTagsToSnapshot               NoLocalEffect
	DBClusterIdentifier              string
	DBClusterParameterGroupName      string
	DBSubnetGroupName                NoLocalEffect // there is one network
	DatabaseName                     string
	DeletionProtection               NoLocalEffect // RESET=1 asks nobody
	EnableCloudwatchLogsExports      NoLocalEffect // the log is a file
	EnableHTTPEndpoint               boolean
	EnableIAMDatabaseAuthentication  boolean
	Engine, EngineVersion            string
	KmsKeyID                         NoLocalEffect // nothing is encrypted locally
	MasterUserAuthenticationType     string
	MasterUsername                   string
	Port                             NoLocalEffect // every endpoint has a port of its own
	ServerlessV2ScalingConfiguration NoLocalEffect // this machine is as large as it is
	StorageEncrypted                 NoLocalEffect // nothing is encrypted locally
	VpcSecurityGroupIDs              NoLocalEffect // functions and engines share this machine
}

func decodeCluster(d *decoder, r assembly.Resource) error {
	p, err := properties[clusterProperties](r)
	if err != nil {
		return err
	}
	if err := errors.Join(
		oneOf("Engine", p.Engine, "aurora-postgresql"),
		oneOf("MasterUserAuthenticationType", p.MasterUserAuthenticationType, "iam-db-auth"),
		required("DatabaseName", p.DatabaseName), required("MasterUsername", p.MasterUsername),
	); err != nil {
		return err
	}
	if !p.EnableIAMDatabaseAuthentication {
		return errors.New("property EnableIAMDatabaseAuthentication: the local runtime lets nobody in but by IAM")
	}
	if p.EnableHTTPEndpoint {
		return errors.New("property EnableHttpEndpoint: the local runtime does not serve the Data API")
	}
	d.model.Databases = append(d.model.Databases, &Database{
		Origin: origin(r), Identifier: r.Ref, ResourceID: r.Attributes["DBClusterResourceId"], Name: p.DatabaseName, Master: p.MasterUsername,
		Writer: r.Attributes["Endpoint.Address"], Reader: r.Attributes["ReadEndpoint.Address"],
	})
	useParameters(d, r)
	return nil
}

// database runs f with the cluster of this identifier once every one is known.
func (d *decoder) database(r assembly.Resource, identifier string, f func(*Database) error) {
	d.later(r, func() error {
		for _, known := range d.model.Databases {
			if known.Identifier == identifier {
				return f(known)
			}
		}
		return fmt.Errorf("no stack declares the cluster %s", identifier)
	})
}

func decodeInstance(d *decoder, r assembly.Resource) error {
	p, err := properties[struct {
		AutoMinorVersionUpgrade            NoLocalEffect // the engine has one version
		DBClusterIdentifier                string
		DBInstanceClass                    NoLocalEffect // this machine is as large as it is
		EnablePerformanceInsights          NoLocalEffect // nothing is monitored locally
		Engine                             string
		PerformanceInsightsKMSKeyID        NoLocalEffect
		PerformanceInsightsRetentionPeriod NoLocalEffect
		PromotionTier                      NoLocalEffect // nobody takes over
		PubliclyAccessible                 NoLocalEffect // 127.0.0.1 is the only address
	}](r)
	if err != nil {
		return err
	}
	if err := oneOf("Engine", p.Engine, "aurora-postgresql"); err != nil {
		return err
	}
	d.database(r, p.DBClusterIdentifier, func(db *Database) error {
		db.Instances++
		return nil
	})
	return nil
}

func decodeParameterGroup(d *decoder, r assembly.Resource) error {
	p, err := properties[struct {
		DBClusterParameterGroupName string
		Description, Tags           NoLocalEffect // for people
		Family                      string
		Parameters                  map[string]string
	}](r)
	if err != nil {
		return err
	}
	if err := oneOf("Family", p.Family, "aurora-postgresql17"); err != nil {
		return err
	}
	settings := map[string]string{}
	for name, value := range p.Parameters {
		if name == "rds.force_ssl" { // TLS is the only way in
			if err := oneOf("Parameters: rds.force_ssl", value, "1"); err != nil {
				return err
			}
			continue
		}
		settings[name] = value
	}
	d.parameters[r.Ref] = settings
	return nil
}

// useParameters gives a cluster the settings of its parameter group.
func useParameters(d *decoder, r assembly.Resource) {
	group, _ := r.Properties["DBClusterParameterGroupName"].(string)
	d.database(r, r.Ref, func(db *Database) error {
		db.Settings = d.parameters[group]
		return nil
	})
}

func decodeProxy(d *decoder, r assembly.Resource) error {
	p, err := properties[struct {
		DBProxyName         string
		DebugLogging        NoLocalEffect // the pooler logs as it does
		DefaultAuthScheme   string
		EngineFamily        string
		IdleClientTimeout   *integer
		RequireTLS          boolean
		RoleArn             string
		Tags                NoLocalEffect // proxies are not matched by tag
		VpcSecurityGroupIDs NoLocalEffect // functions and engines share this machine
		VpcSubnetIDs        NoLocalEffect
	}](r)
	if err != nil {
		return err
	}
	if err := errors.Join(oneOf("DefaultAuthScheme", p.DefaultAuthScheme, "IAM_AUTH"), oneOf("EngineFamily", p.EngineFamily, "POSTGRESQL"),
		required("RoleArn", p.RoleArn)); err != nil {
		return err
	}
	if !p.RequireTLS {
		return errors.New("property RequireTLS: the local runtime lets nobody in without TLS")
	}
	arn := r.Attributes["DBProxyArn"]
	d.model.Proxies = append(d.model.Proxies, &DatabaseProxy{
		Origin: origin(r), Name: r.Ref, ResourceID: arn[strings.LastIndexByte(arn, ':')+1:], RoleARN: p.RoleArn, Endpoint: r.Attributes["Endpoint"],
		IdleClientTimeout: seconds(p.IdleClientTimeout, 30*time.Minute),
	})
	return nil
}

// proxy runs f with the proxy of this name once every one is known.
func (d *decoder) proxy(r assembly.Resource, name string, f func(*DatabaseProxy) error) {
	d.later(r, func() error {
		for _, known := range d.model.Proxies {
			if known.Name == name {
				return f(known)
			}
		}
		return fmt.Errorf("no stack declares the proxy %s", name)
	})
}

func decodeProxyTargets(d *decoder, r assembly.Resource) error {
	p, err := properties[struct {
		ConnectionPoolConfigurationInfo struct {
			ConnectionBorrowTimeout   *integer
			MaxConnectionsPercent     *integer
			MaxIdleConnectionsPercent NoLocalEffect // idle connections cost nothing here
		}
		DBClusterIdentifiers []string
		DBProxyName          string
		TargetGroupName      string
	}](r)
	if err != nil {
		return err
	}
	if err := oneOf("TargetGroupName", p.TargetGroupName, "default"); err != nil {
		return err
	}
	if len(p.DBClusterIdentifiers) != 1 {
		return fmt.Errorf("property DBClusterIdentifiers: want one cluster, have %d", len(p.DBClusterIdentifiers))
	}
	d.proxy(r, p.DBProxyName, func(proxy *DatabaseProxy) error {
		pool := p.ConnectionPoolConfigurationInfo
		proxy.Cluster = p.DBClusterIdentifiers[0]
		proxy.BorrowTimeout = seconds(pool.ConnectionBorrowTimeout, 2*time.Minute)
		proxy.MaxConnectionsPercent = number(pool.MaxConnectionsPercent, 100)
		return nil
	})
	return nil
}

func decodeProxyEndpoint(d *decoder, r assembly.Resource) error {
	p, err := properties[struct {
		DBProxyEndpointName string
		DBProxyName         string
		Tags                NoLocalEffect
		TargetRole          string
		VpcSecurityGroupIDs NoLocalEffect
		VpcSubnetIDs        NoLocalEffect
	}](r)
	if err != nil {
		return err
	}
	if err := oneOf("TargetRole", p.TargetRole, "READ_ONLY", "READ_WRITE"); err != nil {
		return err
	}
	d.proxy(r, p.DBProxyName, func(proxy *DatabaseProxy) error {
		proxy.Endpoints = append(proxy.Endpoints, ProxyEndpoint{Address: r.Attributes["Endpoint"], ReadOnly: p.TargetRole == "READ_ONLY"})
		return nil
	})
	return nil
}
