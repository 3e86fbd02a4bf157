package sources

import (
	"errors"
	"fmt"

	"github.com/stowage-dev/stowage/scripts/local/pattern"
)

// filter is a mapping's filter criteria: at least one pattern has to match.
type filter []*pattern.Pattern

func compileFilter(patterns []string) (filter, error) {
	var f filter
	var errs []error
	for i, text := range patterns {
		p, err := pattern.Compile([]byte(text))
		if err != nil {
			errs = append(errs, fmt.Errorf("filter %d: %w", i, err))
		}
		f = append(f, p)
	}
	return f, errors.Join(errs...)
}

func (f filter) passes(record []byte) bool {
	if len(f) == 0 {
		return true
	}
	for _, p := range f {
		if p.Match(record) {
			return true
		}
	}
	return false
}
