package catalog

import (
	"strconv"
	"time"

	"github.com/stowage-dev/stowage/shared/workspace"
)

// MemberSortPrefix begins the sort key of every member of a workspace.
const MemberSortPrefix = "M#"

func workspaces() *Entity[workspace.Workspace] {
	type W = workspace.Workspace
	return declare("W#{workspace}", "WORKSPACE", Entity[W]{
		name:  "Workspace",
		doc:   "A tenant, its quota and its policy.",
		parts: []part[W]{{"workspace", func(w *W) string { return w.ID }}},
		fields: []field[W]{
			text("workspace", "id", func(w *W) *string { return &w.ID }),
			text("name", "display name", func(w *W) *string { return &w.Name }),
			moment("createdAt", "", func(w *W) *time.Time { return &w.CreatedAt }),
			text("createdBy", "subject", func(w *W) *string { return &w.CreatedBy }),
			moment("updatedAt", "", func(w *W) *time.Time { return &w.UpdatedAt }),
			number("rev", "rises by one with every write", func(w *W) *int64 { return &w.Rev }),
			number("quotaBytes", "the most bytes, stored and reserved", func(w *W) *int64 { return &w.Quota.Bytes }),
			number("quotaObjects", "the most objects", func(w *W) *int64 { return &w.Quota.Objects }),
			number("quotaUploads", "the most open uploads", func(w *W) *int64 { return &w.Quota.OpenUploads }),
			number("maxObjectBytes", "the largest object", func(w *W) *int64 { return &w.Quota.MaxObjectBytes }),
			number("writesPerSecond", "writing requests; 0: the default", func(w *W) *int64 { return &w.Quota.Writes.PerSecond }),
			number("writesBurst", "writing requests at once; 0: the default", func(w *W) *int64 { return &w.Quota.Writes.Burst }),
			number("shards", "over how many items the quota is spread", func(w *W) *int { return &w.Shards }),
			texts("allowedTypes", "media types accepted; none: all", func(w *W) *[]string { return &w.Types.Allowed }),
			texts("deniedTypes", "media types refused", func(w *W) *[]string { return &w.Types.Denied }),
			boolean("allowMismatch", "whether bytes may differ from the declared type", func(w *W) *bool { return &w.Types.AllowMismatch }),
		},
		access: []Access{
			{"CreateWorkspace", "TransactWriteItems", "workspace, its shards and its owner; refused when it exists"},
			{"Workspace", "GetItem", "strongly consistent"},
			{"SetQuota", "TransactWriteItems", "workspace and the shards that change, on its rev and on what they have available"},
		},
	})
}

func members() *Entity[workspace.Member] {
	type M = workspace.Member
	return declare("W#{workspace}", MemberSortPrefix+"{sub}", Entity[M]{
		name: "Member",
		doc:  "What one subject may do in one workspace.",
		parts: []part[M]{
			{"workspace", func(m *M) string { return m.Workspace }},
			{"sub", func(m *M) string { return m.Sub }},
		},
		indexed: []indexed[M]{{index: StateIndex, pk: "SUB#{sub}", sk: "{workspace}"}},
		fields: []field[M]{
			text("workspace", "id", func(m *M) *string { return &m.Workspace }),
			text("sub", "subject of the member's tokens", func(m *M) *string { return &m.Sub }),
			text("role", "owner, writer or reader", func(m *M) *workspace.Role { return &m.Role }),
			moment("createdAt", "", func(m *M) *time.Time { return &m.CreatedAt }),
			text("createdBy", "subject", func(m *M) *string { return &m.CreatedBy }),
		},
		access: []Access{
			{"PutMember", "TransactWriteItems", "refused when the workspace does not exist"},
			{"Member", "GetItem", "strongly consistent"},
			{"RemoveMember", "DeleteItem", ""},
			{"Members", "Query", "sk begins with " + MemberSortPrefix + ", strongly consistent, in pages"},
			{"MembershipsOf", "Query " + StateIndex, "eventually consistent"},
		},
	})
}

func shards() *Entity[workspace.Shard] {
	type S = workspace.Shard
	fields := []field[S]{
		text("workspace", "id", func(s *S) *string { return &s.Workspace }),
		number("shard", "from 0 to the workspace's shards - 1", func(s *S) *int { return &s.Number }),
	}
	for _, c := range counters() {
		fields = append(fields, number(c.name, c.doc, func(s *S) *int64 { return c.at(&s.Balance) }))
	}
	return declare("W#{workspace}#USAGE#{shard}", "USAGE", Entity[S]{
		name: "Usage",
		doc:  "One part of a workspace's quota. It says what is available, because a condition can compare and cannot add.",
		parts: []part[S]{
			{"workspace", func(s *S) string { return s.Workspace }},
			{"shard", func(s *S) string { return strconv.Itoa(s.Number) }},
		},
		fields: fields,
		access: []Access{
			{"Usage", "BatchGetItem", "all shards, strongly consistent each"},
			{"OpenUpload", "TransactWriteItems", "one shard when it holds enough, else several"},
			{"Publish", "TransactWriteItems", "the shards of the reservation"},
			{"ReleaseUpload", "TransactWriteItems", "the shards of the reservation"},
		},
	})
}

func buckets() *Entity[workspace.Bucket] {
	type B = workspace.Bucket
	return declare("W#{workspace}#RATE", "RATE", Entity[B]{
		name:  "Rate",
		doc:   "The token bucket of a workspace's writes, as the time up to which its tokens are spent: what is left is the time since then.",
		parts: []part[B]{{"workspace", func(b *B) string { return b.Workspace }}},
		fields: []field[B]{
			text("workspace", "id", func(b *B) *string { return &b.Workspace }),
			number(SpentAttribute, "microseconds since 1970", func(b *B) *int64 { return &b.Spent }),
		},
		access: []Access{
			{"Spend", "UpdateItem", "on condition that enough is left; never more than one write"},
		},
	})
}

// SpentAttribute is the attribute of a bucket that a spending changes.
const SpentAttribute = "spent"

// counter is one number of a balance.
type counter struct {
	name string
	doc  string
	at   func(*workspace.Balance) *int64
}

func counters() []counter {
	type B = workspace.Balance
	return []counter{
		{"availableBytes", "bytes free to be reserved", func(b *B) *int64 { return &b.Available.Bytes }},
		{"availableObjects", "objects free to be reserved", func(b *B) *int64 { return &b.Available.Objects }},
		{"availableUploads", "uploads that may still be opened", func(b *B) *int64 { return &b.Available.Uploads }},
		{"reservedBytes", "bytes reserved by open uploads", func(b *B) *int64 { return &b.Reserved.Bytes }},
		{"reservedObjects", "objects reserved by open uploads", func(b *B) *int64 { return &b.Reserved.Objects }},
		{"reservedUploads", "open uploads", func(b *B) *int64 { return &b.Reserved.Uploads }},
		{"storedBytes", "bytes held by stored versions", func(b *B) *int64 { return &b.Stored.Bytes }},
		{"storedObjects", "objects stored", func(b *B) *int64 { return &b.Stored.Objects }},
	}
}

// Delta is a change to one counter of a shard.
type Delta struct {
	Attribute string
	By        int64
}

// Deltas returns the counters that a movement changes, and by how much.
func Deltas(m workspace.Movement) []Delta {
	var deltas []Delta
	for _, c := range counters() {
		if by := *c.at(&m.Balance); by != 0 {
			deltas = append(deltas, Delta{c.name, by})
		}
	}
	return deltas
}
