// Command db-migrate is the Lambda function behind a custom resource that brings the
// relational store's schema up to date, and behind a schedule that rotates its cursor keys:
// see package dbmigrate.
package main

import (
	"github.com/aws/aws-lambda-go/lambda"

	"github.com/stowage-dev/stowage/functions/internal/dbmigrate"
	"github.com/stowage-dev/stowage/shared/boot"
	"github.com/stowage-dev/stowage/shared/pgstore"
)

func main() { boot.Start(build) }

func build(rt *boot.Runtime) (lambda.Handler, error) {
	open := func() (pgstore.Config, error) {
		cfg, err := dbmigrate.ParseConfig(rt.Settings)
		return pgstore.Config{Settings: cfg.Database, Password: pgstore.IAM(rt.AWS), Tracer: rt.Tracer}, err
	}
	return boot.JSON(dbmigrate.New(dbmigrate.Store{Open: open, Log: rt.Log}, rt.Log).Handle), nil
}
