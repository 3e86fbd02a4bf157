// Command upload-sweeper is the Lambda function that ends what was left behind: see
// package sweeper.
package main

import (
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/stowage-dev/stowage/functions/internal/sweeper"
	"github.com/stowage-dev/stowage/shared/boot"
	"github.com/stowage-dev/stowage/shared/closing"
	"github.com/stowage-dev/stowage/shared/ddbstore"
	"github.com/stowage-dev/stowage/shared/s3store"
)

func main() { boot.Start(build) }

func build(rt *boot.Runtime) (lambda.Handler, error) {
	cfg, err := sweeper.ParseConfig(rt.Settings)
	if err != nil {
		return nil, err
	}
	objects := s3.NewFromConfig(rt.AWS)
	store := ddbstore.New(dynamodb.NewFromConfig(rt.AWS), ddbstore.Config{Table: cfg.Table, Now: rt.Now})
	keeper, contents := s3store.NewKeeper(objects, cfg.Bucket), s3store.NewContents(objects, cfg.Bucket)
	deps := sweeper.Deps{
		Index: store, Catalog: store, Ender: store, Checkpoints: store,
		Closer: closing.New(keeper, store), Versions: keeper, Contents: contents, Multiparts: contents,
		Metrics: rt.Metrics, Log: rt.Log, Now: rt.Now,
	}
	if cfg.InventoryBucket != "" {
		reports := s3store.InventoryConfig{Bucket: cfg.InventoryBucket, Prefix: cfg.InventoryPrefix, Now: rt.Now}
		deps.Contents = s3store.NewInventory(objects, reports, contents)
	}
	return boot.JSON(sweeper.New(deps).Handle), nil
}
