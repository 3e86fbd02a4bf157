package event

import (
	"encoding/json"
	"fmt"
	"time"
)

// Encoded is an event as it travels: its JSON, and what a bus asks to be told
// apart.
type Encoded struct {
	ID   string
	Type Type
	Time time.Time
	JSON []byte
}

// Encode returns e in the JSON format of CloudEvents 1.0.
func Encode(e Event) (Encoded, error) {
	text, err := json.Marshal(e)
	if err != nil {
		return Encoded{}, fmt.Errorf("encode event %s: %w", e.ID, err)
	}
	return Encoded{ID: e.ID, Type: e.Type, Time: e.Time, JSON: text}, nil
}
