package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/stowage-dev/stowage/scripts/bench/catalogdb"
)

// client opens uploads in a workspace, each for a path of its own.
type client struct {
	workspace string
	sent      int64
}

// requests are the client's next n requests as API Gateway sends them.
func (c *client) requests(_ context.Context, n int) ([][]byte, error) {
	events := make([][]byte, n)
	for i := range events {
		var err error
		if events[i], err = c.request(); err != nil {
			return nil, err
		}
	}
	return events, nil
}

func (c *client) request() ([]byte, error) {
	c.sent++
	body, err := json.Marshal(map[string]any{
		"path": fmt.Sprintf("reports/2026/q3-%d.pdf", c.sent), "size": 482113, "contentType": "application/pdf",
		"sha256": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
	})
	if err != nil {
		return nil, fmt.Errorf("encode a body: %w", err)
	}
	event, err := json.Marshal(map[string]any{
		"version": "2.0", "routeKey": "POST /v1/{proxy+}", "rawPath": "/v1/uploads", "rawQueryString": "", "body": string(body),
		"headers": map[string]string{
			"content-type": "application/json", "content-length": strconv.Itoa(len(body)), "host": "api.example.com",
			"user-agent": "bench", "x-forwarded-for": "192.0.2.1", "x-forwarded-proto": "https", "accept": "*/*",
		},
		"requestContext": map[string]any{
			"accountId": "123456789012", "apiId": "bench", "domainName": "api.example.com", "requestId": strconv.FormatInt(c.sent, 10), "stage": "$default",
			"http": map[string]string{"method": "POST", "path": "/v1/uploads", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "bench"},
			"authorizer": map[string]any{"jwt": map[string]any{"claims": map[string]string{
				"sub": catalogdb.Writer, "client_id": "web", "scope": "stowage/read stowage/write", "stowage:workspaces": c.workspace + ":owner",
			}}},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("encode an event: %w", err)
	}
	return event, nil
}
