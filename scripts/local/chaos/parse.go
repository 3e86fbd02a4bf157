package chaos

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Parse reads settings: a list of name=value, separated by commas.
//
//	seed=7                      every fault at its default rate, from this seed
//	on                          the same, from any seed
//	duplicates=0.2,kills=0.05   these faults alone, wherever they can strike
//	on,kills=0                  every fault but this
//	queues.duplicates=0.5       only from queues
//	S3Ingest.kills=0.3          only this function
//	max-delay=1s                and staleness, stall, linger: see Settings
//	off                         none; so is an empty text
func Parse(text string) (Settings, error) {
	var s Settings
	var errs []error
	on, rated, seeded := false, false, false
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		switch part {
		case "", "off":
			continue
		case "on":
			on = true
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		if !ok {
			errs = append(errs, fmt.Errorf("%q is neither on, off nor <name>=<value>", part))
			continue
		}
		rate, err := s.parsePart(strings.TrimSpace(name), strings.TrimSpace(value))
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
		rated, seeded = rated || rate, seeded || name == "seed"
	}
	if on || seeded && !rated {
		s.Rates = append(Default().Rates, s.Rates...)
	}
	s.Rates = latest(s.Rates)
	if err := errors.Join(errs...); err != nil {
		return Settings{}, fmt.Errorf("read the faults %q: %w", text, err)
	}
	return s, nil
}

// latest keeps the last of several rates for the same, where the first one stood.
func latest(rates []Rate) []Rate {
	var kept []Rate
	for _, r := range rates {
		i := slices.IndexFunc(kept, func(k Rate) bool { return k.key() == r.key() })
		if i < 0 {
			kept = append(kept, r)
		} else {
			kept[i] = r
		}
	}
	return kept
}

// parsePart reads one setting, and says whether it is a rate.
func (s *Settings) parsePart(name, value string) (rate bool, err error) {
	switch name {
	case "seed":
		s.Seed, err = strconv.ParseUint(value, 10, 64)
	case "max-delay":
		s.MaxDelay, err = time.ParseDuration(value)
	case "staleness":
		s.Staleness, err = time.ParseDuration(value)
	case "stall":
		s.Stall, err = time.ParseDuration(value)
	case "linger":
		s.Linger, err = time.ParseDuration(value)
	default:
		scope, fault := "", name
		if i := strings.LastIndexByte(name, '.'); i >= 0 {
			scope, fault = name[:i], name[i+1:]
		}
		if _, known := describe(Fault(fault)); !known {
			return false, fmt.Errorf("there is no such fault: there are %s", joined(faultNames()))
		}
		r := Rate{Scope: scope, Fault: Fault(fault)}
		r.Rate, err = strconv.ParseFloat(value, 64)
		s.Rates = append(s.Rates, r)
		rate = true
	}
	if err != nil {
		return rate, fmt.Errorf("read %q: %w", value, err)
	}
	return rate, nil
}
