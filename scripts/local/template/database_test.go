package template_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stowage-dev/stowage/scripts/local/assembly"
	"github.com/stowage-dev/stowage/scripts/local/template"
)

func TestDatabasesThatCannotBeServedAreNamed(t *testing.T) {
	t.Parallel()
	const cluster = `"Engine":"aurora-postgresql","DatabaseName":"d","MasterUsername":"m","MasterUserAuthenticationType":"iam-db-auth"`
	const proxy = `"DBProxyName":"p","EngineFamily":"POSTGRESQL","RoleArn":"r"`
	for _, tt := range []struct{ typ, properties, want string }{
		{"AWS::RDS::DBCluster", cluster + `,"EnableIAMDatabaseAuthentication":true`, ""},
		{"AWS::RDS::DBCluster", cluster, "lets nobody in but by IAM"},
		{"AWS::RDS::DBCluster", cluster + `,"EnableIAMDatabaseAuthentication":true,"EnableHttpEndpoint":true`, "does not serve the Data API"},
		{"AWS::RDS::DBCluster", cluster + `,"ManageMasterUserPassword":true`, `does not know property "ManageMasterUserPassword"`},
		{"AWS::RDS::DBCluster", `"Engine":"aurora-mysql"`, `not "aurora-mysql"`},
		{"AWS::RDS::DBInstance", `"Engine":"aurora-postgresql","DBClusterIdentifier":"gone"`, "no stack declares the cluster gone"},
		{"AWS::RDS::DBClusterParameterGroup", `"Family":"aurora-postgresql17","Parameters":{"rds.force_ssl":"0"}`, "rds.force_ssl"},
		{"AWS::RDS::DBProxy", proxy + `,"DefaultAuthScheme":"NONE","RequireTLS":true`, `not "NONE"`},
		{"AWS::RDS::DBProxy", proxy + `,"DefaultAuthScheme":"IAM_AUTH"`, "RequireTLS"},
		{"AWS::RDS::DBProxyTargetGroup", `"DBProxyName":"p","TargetGroupName":"default"`, "want one cluster, have 0"},
		{"AWS::RDS::DBProxyEndpoint", `"DBProxyName":"gone","TargetRole":"READ_ONLY"`, "no stack declares the proxy gone"},
		{"AWS::EC2::VPCEndpoint", `"VpcEndpointType":"Interface","ServiceName":"com.amazonaws.eu-west-1.sqs"`, `not "Interface"`},
		{"AWS::EC2::VPCEndpoint", `"VpcEndpointType":"Gateway","ServiceName":"com.amazonaws.eu-west-1.sqs"`, `not "sqs"`},
		{"Custom::Thing", ``, "ServiceToken is required"},
		{"Custom::Thing", `"ServiceToken":"arn:gone"`, "property ServiceToken"},
		{"Custom::Thing", `"ServiceToken":"arn:gone","ServiceTimeout":"soon"`, "want a number of seconds, have soon"},
	} {
		r := assembly.Resource{Stack: "App", LogicalID: "Subject", ConstructPath: "App/Subject", Type: tt.typ}
		if err := json.Unmarshal([]byte("{"+tt.properties+"}"), &r.Properties); err != nil {
			t.Fatal(err)
		}
		_, err := template.Decode([]assembly.Resource{r})
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s %s: %v, want %q", tt.typ, tt.properties, err, tt.want)
		}
	}
}
