package catalog

import (
	"fmt"
	"strings"
	"time"

	"github.com/stowage-dev/stowage/shared/upload"
)

const (
	uploadPrefix  = "U#"
	uploadSortKey = "UPLOAD"
)

// sweeps are the only items that belong to no workspace.
func sweeps() *Entity[upload.Checkpoint] {
	type C = upload.Checkpoint
	return declare("SWEEP#{sweep}", "CHECKPOINT", Entity[C]{
		name:  "Sweep",
		doc:   "How far a sweep has come. Losing it costs a longer sweep and nothing else.",
		parts: []part[C]{{"sweep", func(c *C) string { return c.Sweep }}},
		fields: []field[C]{
			text("sweep", "name", func(c *C) *string { return &c.Sweep }),
			text("mark", "the sweep's own note of its place", func(c *C) *string { return &c.Mark }),
			moment("savedAt", "", func(c *C) *time.Time { return &c.SavedAt }),
		},
		access: []Access{
			{"Checkpoint", "GetItem", "strongly consistent"},
			{"SaveCheckpoint", "PutItem", "the last writer wins"},
		},
	})
}

// Pending returns which upload an item of the expiry index is, and when it is due.
// The index holds nothing but keys.
func Pending(item Item) (upload.Pending, error) {
	key := keyOf(item)
	workspace, id, found := strings.Cut(strings.TrimPrefix(key.PK, uploadPrefix), "#")
	if !found || !strings.HasPrefix(key.PK, uploadPrefix) || key.SK != uploadSortKey {
		return upload.Pending{}, fmt.Errorf("decode %s of the expiry index: it is no upload", key)
	}
	due, err := parseStamp(item[ExpiryIndex+sortKey].Text)
	if err != nil {
		return upload.Pending{}, fmt.Errorf("decode %s of the expiry index: its sort key %w", key, err)
	}
	return upload.Pending{Workspace: workspace, ID: id, Due: due}, nil
}

// DuePartition names the attribute and value of one partition of the expiry index,
// and the attribute by which it is sorted.
func DuePartition(hour time.Time, shard int) (attribute, value, sort string) {
	return ExpiryIndex + partitionKey, fmt.Sprintf("EXP#%s#%d", ExpiryHour(hour), shard), ExpiryIndex + sortKey
}

// DueUntil is the sort key of the expiry index at t.
func DueUntil(t time.Time) Value { return Text(stamp(t)) }
