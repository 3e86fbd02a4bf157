// Package pattern matches events against event patterns, as EventBridge rules and the filter
// criteria of Lambda event source mappings do.
package pattern

// Pattern is a compiled event pattern. It is immutable and safe for concurrent use.
type Pattern struct{}

// Compile parses an event pattern. Whatever AWS would refuse is an error that names the field and
// the operator.
func Compile(raw []byte) (*Pattern, error) { return &Pattern{}, nil }

// Match reports whether a JSON event matches. What is not a JSON object matches nothing.
func (p *Pattern) Match(event []byte) bool { return false }
