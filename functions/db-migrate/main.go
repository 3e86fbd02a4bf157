// Command db-migrate is the Lambda function behind a custom resource that brings the
// relational store's schema up to date: see package dbmigrate.
package main

import (
	"context"

	"github.com/aws/aws-lambda-go/cfn"
	"github.com/aws/aws-lambda-go/lambda"

	"github.com/stowage-dev/stowage/functions/internal/dbmigrate"
	"github.com/stowage-dev/stowage/shared/boot"
	"github.com/stowage-dev/stowage/shared/pgstore"
	"github.com/stowage-dev/stowage/shared/pgstore/migrate"
)

func main() { boot.Start(build) }

func build(rt *boot.Runtime) (lambda.Handler, error) {
	// What is wrong with the configuration is an answer too: CloudFormation would wait for
	// one that never comes.
	h := dbmigrate.New(func(ctx context.Context) (migrate.Result, error) {
		cfg, err := dbmigrate.ParseConfig(rt.Settings)
		if err != nil {
			return migrate.Result{}, err
		}
		return migrate.Run(ctx, pgstore.Config{Settings: cfg.Database, Password: pgstore.IAM(rt.AWS), Tracer: rt.Tracer}, rt.Log)
	}, rt.Log)
	return boot.JSON(cfn.LambdaWrap(h.Handle)), nil
}
