package catalog

import (
	"fmt"
	"strings"
)

// Markdown returns docs/access-patterns.md: the tables, their indexes, and of
// each entity its keys, the ways in which it is read and written, and its
// attributes.
func (s *Schema) Markdown() string {
	var b strings.Builder
	b.WriteString(`# Access patterns

<!-- Generated from shared/catalog by: go test ./shared/catalog -update -->

One table holds the catalog. This page, the table that is deployed, and the code
that reads and writes it all come from the declaration in ` + "`shared/catalog`" + `.

## The catalog table

`)
	MainTable().describe(&b)
	b.WriteString("\n## Entities\n\n| entity | pk | sk | in an index as |\n|---|---|---|---|\n")
	entities := s.entities()
	for _, e := range entities {
		e.summarize(&b)
	}
	for _, e := range entities {
		e.describe(&b)
	}
	b.WriteString("\n## The idempotency table\n\nApart from the catalog, so that its writes make no stream records.\n\n")
	IdempotencyTable().describe(&b)
	return b.String()
}

// described is an entity of any type.
type described interface {
	summarize(b *strings.Builder)
	describe(b *strings.Builder)
	Accesses() []Access
}

func (s *Schema) entities() []described {
	return []described{s.Workspaces, s.Members, s.Shards, s.Buckets, s.Paths, s.Objects, s.Versions, s.Derivatives, s.Uploads, s.Sweeps}
}

// Accesses returns every way in which the adapter uses the table.
func (s *Schema) Accesses() []Access {
	var all []Access
	for _, e := range s.entities() {
		all = append(all, e.Accesses()...)
	}
	return all
}

// Accesses returns every way in which the adapter uses the entity.
func (e *Entity[T]) Accesses() []Access { return e.access }

func (t Table) describe(b *strings.Builder) {
	sort := "none"
	if t.SortKey != nil {
		sort = t.SortKey.describe()
	}
	fmt.Fprintf(b, "Partition key %s, sort key %s, time to live in `%s`, stream: %s.\n",
		t.PartitionKey.describe(), sort, t.TTL, orNone(string(t.Stream)))
	if len(t.Indexes) == 0 {
		return
	}
	b.WriteString("\n| index | partition key | sort key | projection | holds |\n|---|---|---|---|---|\n")
	for _, ix := range t.Indexes {
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n",
			ix.Name, ix.PartitionKey.describe(), ix.SortKey.describe(), ix.Projection, ix.Purpose)
	}
}

func (a Attribute) describe() string { return fmt.Sprintf("`%s` (%s)", a.Name, a.Type) }

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func (e *Entity[T]) summarize(b *strings.Builder) {
	var in []string
	for _, ix := range e.indexed {
		in = append(in, fmt.Sprintf("%s `%s` / `%s`", ix.index, ix.pk, ix.sk))
	}
	fmt.Fprintf(b, "| [%s](#%s) | `%s` | `%s` | %s |\n",
		e.name, strings.ToLower(e.name), e.pk.form, e.sk.form, strings.Join(in, "; "))
}

func (e *Entity[T]) describe(b *strings.Builder) {
	fmt.Fprintf(b, "\n### %s\n\n%s\n\n", e.name, e.doc)
	fmt.Fprintf(b, "- table: `%s` / `%s`\n", e.pk.form, e.sk.form)
	for _, ix := range e.indexed {
		fmt.Fprintf(b, "- %s: `%s` / `%s`, %s\n", ix.index, ix.pk, ix.sk, whenOrAlways(ix.whenDoc))
	}
	if e.expires != nil {
		fmt.Fprintf(b, "- deleted by DynamoDB: %s\n", e.expires.doc)
	}
	b.WriteString("\n| `ddbstore.Store` | DynamoDB | |\n|---|---|---|\n")
	for _, a := range e.access {
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", a.Method, a.Operation, a.Detail)
	}
	b.WriteString("\n| attribute | type | |\n|---|---|---|\n")
	for _, f := range e.fields {
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", f.name, f.kind, f.doc)
	}
}

func whenOrAlways(when string) string {
	if when == "" {
		return "always"
	}
	return "while " + when
}
