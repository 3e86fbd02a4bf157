package bus

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// event is the envelope in which rules match an event and targets receive it.
type event struct {
	Version    string          `json:"version"`
	ID         string          `json:"id"`
	DetailType string          `json:"detail-type"`
	Source     string          `json:"source"`
	Account    string          `json:"account"`
	Time       string          `json:"time"` // whole seconds, as EventBridge has it
	Region     string          `json:"region"`
	Resources  []string        `json:"resources"`
	Detail     json.RawMessage `json:"detail"`
	ReplayName string          `json:"replay-name,omitempty"`

	bus   string // name
	trace string // header of whoever put it
}

func (b *Bus) newEvent(e Entry) event {
	at := e.Time
	if at.IsZero() {
		at = b.cfg.Now()
	}
	resources := e.Resources
	if resources == nil {
		resources = []string{}
	}
	return event{
		Version: "0", ID: b.cfg.NewID(), DetailType: e.DetailType, Source: e.Source,
		Account: b.cfg.Account, Time: at.UTC().Format(time.RFC3339), Region: b.cfg.Region,
		Resources: resources, Detail: e.Detail, bus: busName(e.Bus), trace: e.Trace,
	}
}

func (ev event) encode() (json.RawMessage, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(ev); err != nil {
		return nil, fmt.Errorf("encode event %s: %w", ev.ID, err)
	}
	return bytes.TrimRight(buf.Bytes(), "\n"), nil
}

// busName takes the name or the ARN of a bus.
func busName(nameOrARN string) string {
	if nameOrARN == "" {
		return DefaultBus
	}
	if _, name, ok := strings.Cut(nameOrARN, ":event-bus/"); ok {
		return name
	}
	return nameOrARN
}

// entryFault is why one entry of a put is refused, with AWS's code.
type entryFault struct {
	code, message string
}

func (f *entryFault) Error() string { return f.code + ": " + f.message }

// Limits of an entry.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsRequestEntry.html
const (
	maxDetailType = 128
	maxSource     = 256
)

func (b *Bus) check(e Entry) *entryFault {
	for _, field := range []struct{ name, value string }{
		{"Source", e.Source}, {"DetailType", e.DetailType}, {"Detail", string(e.Detail)},
	} {
		if field.value == "" {
			return &entryFault{"InvalidArgument", fmt.Sprintf("Parameter %[1]s is not valid. Reason: %[1]s is a required argument.", field.name)}
		}
	}
	switch {
	case len(e.DetailType) > maxDetailType:
		return &entryFault{"InvalidArgument", fmt.Sprintf("Parameter DetailType is not valid. Reason: it is longer than %d characters.", maxDetailType)}
	case len(e.Source) > maxSource:
		return &entryFault{"InvalidArgument", fmt.Sprintf("Parameter Source is not valid. Reason: it is longer than %d characters.", maxSource)}
	case !json.Valid(e.Detail) || bytes.TrimLeft(e.Detail, " \t\r\n")[0] != '{':
		return &entryFault{"MalformedDetail", "Detail is malformed."}
	case !b.plan.Load().buses[busName(e.Bus)]:
		return &entryFault{"InvalidArgument", fmt.Sprintf("Parameter EventBusName is not valid. Reason: Event bus %s does not exist.", busName(e.Bus))}
	}
	return nil
}

// size is what an entry counts towards the limit of a request.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html#eb-putevent-size
func (e Entry) size() int {
	n := len(e.Source) + len(e.DetailType) + len(e.Detail)
	if !e.Time.IsZero() {
		n += 14
	}
	for _, r := range e.Resources {
		n += len(r)
	}
	return n
}
