package event

import "time"

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
	text, err := e.MarshalJSON() // json.Marshal would go through its text once more
	if err != nil {
		return Encoded{}, err
	}
	return Encoded{ID: e.ID, Type: e.Type, Time: e.Time, JSON: text}, nil
}
