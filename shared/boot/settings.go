package boot

import (
	"errors"
	"fmt"
	"strings"
)

// Settings reads environment variables and remembers what was wrong with them,
// so that a misconfigured function names all its mistakes at once.
type Settings struct {
	lookup  func(string) (string, bool)
	missing []string
	invalid []error
}

// NewSettings reads through lookup, which is os.LookupEnv in a function.
func NewSettings(lookup func(string) (string, bool)) *Settings {
	return &Settings{lookup: lookup}
}

// Required is the value of a variable that must be set and not be empty.
func (s *Settings) Required(name string) string {
	v := s.Optional(name, "")
	if v == "" {
		s.missing = append(s.missing, name)
	}
	return v
}

// Optional is the value of a variable, or fallback where it is not set or empty.
func (s *Settings) Optional(name, fallback string) string {
	if v, ok := s.lookup(name); ok && v != "" {
		return v
	}
	return fallback
}

// OneOf is the value of a variable that must be one of allowed; not set, it is
// the first of them.
func (s *Settings) OneOf(name string, allowed ...string) string {
	v := s.Optional(name, allowed[0])
	for _, a := range allowed {
		if v == a {
			return v
		}
	}
	s.invalid = append(s.invalid, fmt.Errorf("environment variable %s is %q: want one of %s",
		name, v, strings.Join(allowed, ", ")))
	return v
}

// Err names every variable that was asked for and is missing or wrong.
func (s *Settings) Err() error {
	errs := make([]error, 0, 1+len(s.invalid))
	if len(s.missing) > 0 {
		errs = append(errs, fmt.Errorf("environment variables not set: %s", strings.Join(s.missing, ", ")))
	}
	return errors.Join(append(errs, s.invalid...)...)
}
