package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/stowage-dev/stowage/shared/event"
)

// envelope is in what EventBridge delivers the events of an account and a region.
type envelope struct{ account, region string }

// envelopeOf is that of the account to which a queue belongs, which is in its URL:
// https://sqs.<region>.amazonaws.com/<account>/<name>.
func envelopeOf(region, queueURL string) envelope {
	e := envelope{region: region}
	if u, err := url.Parse(queueURL); err == nil {
		e.account, _, _ = strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	}
	return e
}

// around puts an event into its envelope. The id is the event's own, where EventBridge would
// choose one: the same object makes the same message.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html
func (e envelope) around(enc event.Encoded) (string, error) {
	text, err := json.Marshal(struct {
		Version    string          `json:"version"`
		ID         string          `json:"id"`
		DetailType event.Type      `json:"detail-type"`
		Source     string          `json:"source"`
		Account    string          `json:"account"`
		Time       string          `json:"time"`
		Region     string          `json:"region"`
		Resources  []string        `json:"resources"`
		Detail     json.RawMessage `json:"detail"`
	}{"0", enc.ID, enc.Type, event.Source, e.account, enc.Time.UTC().Format(time.RFC3339), e.region, []string{}, enc.JSON})
	if err != nil {
		return "", fmt.Errorf("encode its envelope: %w", err)
	}
	return string(text), nil
}
