package console

import "strings"

// labels are short names for the page: physical names without what all of their
// kind begin with.
type labels struct{ functions, queues, tables, buckets string }

func newLabels(r Resources) labels {
	var queues, tables, buckets []string
	for _, q := range r.Queues {
		queues = append(queues, q.Name)
	}
	for _, t := range r.Tables {
		tables = append(tables, t.Name)
	}
	for _, b := range r.Buckets {
		buckets = append(buckets, b.Name)
	}
	return labels{commonPrefix(r.Functions), commonPrefix(queues), commonPrefix(tables), commonPrefix(buckets)}
}

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
