package console

import "strings"

// labels are short names for the page: physical names without what they all
// begin with.
type labels struct{ prefix string }

func newLabels(cfg Config) labels {
	var names []string
	names = append(names, cfg.Functions...)
	for _, q := range cfg.Queues {
		names = append(names, q.Name)
	}
	for _, t := range cfg.Tables {
		names = append(names, t.Name)
	}
	return labels{commonPrefix(names)}
}

// of is the label of a name.
func (l labels) of(name string) string { return strings.TrimPrefix(name, l.prefix) }

// commonPrefix is what all names begin with, up to and with a dash. It leaves
// something of each.
func commonPrefix(names []string) string {
	if len(names) < 2 {
		return ""
	}
	prefix := names[0]
	for _, name := range names[1:] {
		for !strings.HasPrefix(name, prefix) {
			prefix = prefix[:len(prefix)-1]
		}
	}
	return prefix[:strings.LastIndexByte(prefix, '-')+1]
}
