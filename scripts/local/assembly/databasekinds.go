package assembly

import (
	"net"
	"strings"
)

// Attributes that say where a database is reached.
const (
	clusterWriter = "Endpoint.Address"
	clusterReader = "ReadEndpoint.Address"
	proxyEndpoint = "Endpoint"
)

const lowerHex = "0123456789abcdef"

func networkKinds() map[string]kind {
	// byID is a kind whose Ref is an id with the prefix, which is also the attribute.
	byID := func(prefix, attribute string) kind {
		return kind{values: func(i identity) (string, attrs) {
			id := prefix + "-" + i.token(attribute, 17, lowerHex)
			return id, attrs{attribute: id}
		}}
	}
	return map[string]kind{
		"AWS::EC2::VPC": {needs: []string{"CidrBlock"}, values: func(i identity) (string, attrs) {
			id := "vpc-" + i.token("vpc", 17, lowerHex)
			return id, attrs{"VpcId": id, "CidrBlock": i.properties["CidrBlock"]}
		}},
		"AWS::EC2::Subnet":                      byID("subnet", "SubnetId"),
		"AWS::EC2::RouteTable":                  byID("rtb", "RouteTableId"),
		"AWS::EC2::SubnetRouteTableAssociation": byID("rtbassoc", "Id"),
		"AWS::EC2::VPCEndpoint":                 byID("vpce", "Id"),
		"AWS::EC2::SecurityGroup":               byID("sg", "GroupId"),
		"AWS::EC2::SecurityGroupIngress":        byID("sgr", "Id"),
		"AWS::EC2::SecurityGroupEgress":         byID("sgr", "Id"),
	}
}

// databaseKinds gives addresses of this machine: what a function is told as the host is
// host:port, because every endpoint has a port of its own here.
func databaseKinds() map[string]kind {
	return map[string]kind{
		"AWS::RDS::DBSubnetGroup":           {nameProperty: "DBSubnetGroupName", lower: true, values: byName},
		"AWS::RDS::DBClusterParameterGroup": {nameProperty: "DBClusterParameterGroupName", lower: true, values: byName},
		"AWS::RDS::DBCluster": {nameProperty: "DBClusterIdentifier", maxName: 63, lower: true, endpoints: []string{clusterWriter, clusterReader},
			values: func(i identity) (string, attrs) {
				_, port, _ := net.SplitHostPort(i.databases[clusterWriter])
				return i.name, attrs{
					"DBClusterArn":        i.arn("rds", "cluster:"+i.name),
					"DBClusterResourceId": "cluster-" + strings.ToUpper(i.token("cluster", 26, lowerAlphanumeric)),
					clusterWriter:         i.databases[clusterWriter], clusterReader: i.databases[clusterReader], "Endpoint.Port": port,
				}
			}},
		"AWS::RDS::DBInstance": {nameProperty: "DBInstanceIdentifier", maxName: 63, lower: true, values: byName},
		"AWS::RDS::DBProxy": {nameProperty: "DBProxyName", maxName: 63, endpoints: []string{proxyEndpoint}, values: func(i identity) (string, attrs) {
			return i.name, attrs{"DBProxyArn": i.arn("rds", "db-proxy:prx-"+i.token("proxy", 17, lowerHex)), proxyEndpoint: i.databases[proxyEndpoint]}
		}},
		"AWS::RDS::DBProxyEndpoint": {nameProperty: "DBProxyEndpointName", maxName: 63, endpoints: []string{proxyEndpoint}, values: func(i identity) (string, attrs) {
			return i.name, attrs{"DBProxyEndpointArn": i.arn("rds", "db-proxy-endpoint:prx-endpoint-"+i.token("endpoint", 17, lowerHex)), proxyEndpoint: i.databases[proxyEndpoint]}
		}},
		"AWS::RDS::DBProxyTargetGroup": {values: func(i identity) (string, attrs) {
			arn := i.arn("rds", "target-group:prx-tg-"+i.token("targets", 17, lowerHex))
			return arn, attrs{"TargetGroupArn": arn}
		}},
	}
}
