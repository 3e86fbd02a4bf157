package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/stowage-dev/stowage/scripts/bench/catalogdb"
)

// environment is what the templates set, with the engine and STS at the given URLs.
func environment(dynamodbURL, stsURL string) []string {
	return []string{
		"AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE",
		"AWS_SECRET_ACCESS_KEY=secret",
		"AWS_SESSION_TOKEN=token",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=1769",
		"AWS_ENDPOINT_URL_DYNAMODB=" + dynamodbURL,
		"AWS_ENDPOINT_URL_STS=" + stsURL,
		"NODE_ENV=production",
		"STOWAGE_STAGE=prod",
		"STOWAGE_TABLE=" + catalogdb.Table,
		"STOWAGE_IDEMPOTENCY_TABLE=" + catalogdb.IdempotencyTable,
		"STOWAGE_BUCKET=content",
		"STOWAGE_SIGNER_ROLE_ARN=arn:aws:iam::123456789012:role/signer",
		"STOWAGE_CURSOR_SECRET_ARN=arn:aws:secretsmanager:eu-central-1:123456789012:secret:cursor",
		"STOWAGE_COMPLETION_QUEUE_URL=http://127.0.0.1:9/completions",
	}
}

// startSTS serves, at the Addr of the server, the session of the signer role: the one call of
// STS that the function makes, at its first request.
func startSTS(ctx context.Context) (*http.Server, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{$}", assumeRole)
	server := &http.Server{Addr: listener.Addr().String(), Handler: mux, ReadHeaderTimeout: time.Minute}
	go server.Serve(listener) //nolint:errcheck // it ends when it is closed
	return server, nil
}

func assumeRole(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintf(w, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>`+
		`<AccessKeyId>ASIAIOSFODNN7EXAMPLE</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>`+
		`<Expiration>%s</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
}
