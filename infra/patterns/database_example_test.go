package patterns_test

import (
	"fmt"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsdynamodb"
	"github.com/aws/jsii-runtime-go"

	"github.com/stowage-dev/stowage/infra/patterns"
)

// A database behind a proxy, and a function that is one of its users and reads a table
// too. Nothing of it has a password.
func ExampleNewDatabaseProxy() {
	stack := awscdk.NewStack(awscdk.NewApp(nil), jsii.String("Books"), &awscdk.StackProps{
		Env: &awscdk.Environment{Region: jsii.String("eu-west-1")},
	})

	catalog := patterns.NewCatalogTable(stack, jsii.String("Catalog"), &patterns.CatalogTableProps{PartitionKey: stringKey("pk")})
	network := patterns.NewIsolatedNetwork(stack, jsii.String("Network"), &patterns.IsolatedNetworkProps{
		Tables: &[]awsdynamodb.ITableV2{catalog.Table()},
	})
	database := patterns.NewDatabase(stack, jsii.String("Database"), &patterns.DatabaseProps{
		Network: network,
		Name:    jsii.String("books"),
		Readers: jsii.Number(1),
	})
	proxy := patterns.NewDatabaseProxy(stack, jsii.String("Proxy"), &patterns.DatabaseProxyProps{Database: database})

	api := patterns.NewFunction(stack, jsii.String("Api"), &patterns.FunctionProps{CodeDir: exampleCode(), Network: network})
	proxy.GrantConnect(api, "books_api")
	catalog.Grant(api.Role(), "dynamodb:GetItem")
	api.SetEnvironment("DB_HOST", proxy.Endpoint())

	fmt.Println(count(stack, "AWS::RDS::DBInstance"), "instances,", count(stack, "AWS::RDS::DBProxyEndpoint"), "endpoint that only reads,",
		count(stack, "AWS::SecretsManager::Secret"), "secrets")
	// Output: 2 instances, 1 endpoint that only reads, 0 secrets
}
