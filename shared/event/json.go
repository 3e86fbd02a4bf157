package event

import (
	"encoding/json"
	"fmt"
	"time"
)

// envelope is the JSON format of CloudEvents 1.0, with the extension attributes
// rev and workspace.
// https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
type envelope struct {
	SpecVersion     string    `json:"specversion"`
	ID              string    `json:"id"`
	Source          string    `json:"source"`
	Type            Type      `json:"type"`
	Subject         string    `json:"subject"`
	Time            time.Time `json:"time"`
	DataContentType string    `json:"datacontenttype"`
	Workspace       string    `json:"workspace"`
	Rev             int64     `json:"rev"`
	Data            Data      `json:"data"`
}

const (
	specVersion     = "1.0"
	dataContentType = "application/json"
)

// CloudEventSource returns the CloudEvents source of a workspace's events.
func CloudEventSource(workspace string) string { return "/workspaces/" + workspace }

// MarshalJSON returns the event in the JSON format of CloudEvents 1.0.
func (e Event) MarshalJSON() ([]byte, error) {
	text, err := json.Marshal(envelope{
		SpecVersion:     specVersion,
		ID:              e.ID,
		Source:          CloudEventSource(e.Workspace),
		Type:            e.Type,
		Subject:         e.Subject,
		Time:            e.Time.UTC(),
		DataContentType: dataContentType,
		Workspace:       e.Workspace,
		Rev:             e.Rev,
		Data:            e.Data,
	})
	if err != nil {
		return nil, fmt.Errorf("encode event %s: %w", e.ID, err)
	}
	return text, nil
}

// UnmarshalJSON reads what MarshalJSON wrote. Attributes that it does not know
// are ignored, as CloudEvents asks of a consumer.
func (e *Event) UnmarshalJSON(text []byte) error {
	var v envelope
	if err := json.Unmarshal(text, &v); err != nil {
		return fmt.Errorf("decode event: %w", err)
	}
	if v.SpecVersion != specVersion {
		return fmt.Errorf("decode event %q: specversion is %q, want %q", v.ID, v.SpecVersion, specVersion)
	}
	*e = Event{
		ID: v.ID, Type: v.Type, Subject: v.Subject, Workspace: v.Workspace,
		Rev: v.Rev, Time: v.Time, Data: v.Data,
	}
	return nil
}
