package catalog

import (
	"fmt"
	"strings"
	"time"
)

// Entity is one kind of item, whose Go type is T: where it is stored, which
// indexes hold it, and what its attributes are. It is safe for concurrent use.
type Entity[T any] struct {
	name    string
	doc     string
	parts   []part[T]
	pk, sk  template[T]
	indexed []indexed[T]
	fields  []field[T]
	expires *expiry[T]
	access  []Access
}

// part is a named piece of keys.
type part[T any] struct {
	name string
	of   func(*T) string
}

// indexed puts an entity into an index.
type indexed[T any] struct {
	index  string
	pk, sk string
	// when says which items the index holds; nil is all of them.
	when    func(*T) bool
	whenDoc string

	partition, sort template[T]
}

// expiry makes DynamoDB delete items by themselves.
type expiry[T any] struct {
	at  func(*T) time.Time // zero: never
	doc string
}

// Access is one way in which the adapter reads or writes an entity.
type Access struct {
	Method    string // of ddbstore.Store
	Operation string // of DynamoDB
	Detail    string
}

// Key is the primary key of an item.
type Key struct{ PK, SK string }

// String returns the key for logs and errors.
func (k Key) String() string { return "(" + k.PK + ", " + k.SK + ")" }

// Item returns the key's attributes.
func (k Key) Item() Item {
	return Item{partitionKey: Text(k.PK), sortKey: Text(k.SK)}
}

// template is a key's form, such as "O#{workspace}#{object}", compiled.
type template[T any] struct {
	form   string
	pieces []func(*T) string
}

func (t template[T]) of(v *T) string {
	var b strings.Builder
	for _, piece := range t.pieces {
		b.WriteString(piece(v))
	}
	return b.String()
}

// compile takes form apart. It panics on a name that parts does not hold: the
// declaration itself would be wrong.
func compile[T any](form string, parts []part[T]) template[T] {
	t := template[T]{form: form}
	for rest := form; rest != ""; {
		literal, tail, found := strings.Cut(rest, "{")
		if literal != "" {
			t.pieces = append(t.pieces, func(*T) string { return literal })
		}
		if !found {
			break
		}
		name, after, _ := strings.Cut(tail, "}")
		t.pieces = append(t.pieces, find(form, name, parts))
		rest = after
	}
	return t
}

func find[T any](form, name string, parts []part[T]) func(*T) string {
	for _, p := range parts {
		if p.name == name {
			return p.of
		}
	}
	panic(fmt.Sprintf("catalog: key %s names %q, which the entity does not declare", form, name))
}

// declare returns e with its keys compiled.
func declare[T any](pk, sk string, e Entity[T]) *Entity[T] {
	e.pk, e.sk = compile(pk, e.parts), compile(sk, e.parts)
	for i := range e.indexed {
		ix := &e.indexed[i]
		ix.partition, ix.sort = compile(ix.pk, e.parts), compile(ix.sk, e.parts)
	}
	return &e
}

// Key returns the primary key of v, of which only the parts of the key need be
// set.
func (e *Entity[T]) Key(v T) Key {
	return Key{e.pk.of(&v), e.sk.of(&v)}
}

// Partition returns the name and value of the attribute by which index groups
// v with others. It panics when the entity is not in that index.
func (e *Entity[T]) Partition(index string, v T) (attribute, value string) {
	return index + partitionKey, e.in(index).partition.of(&v)
}

// Position returns where v stands in index: what DynamoDB takes to begin a page
// after v, whether or not v still exists. It panics when the entity is not in
// that index.
func (e *Entity[T]) Position(index string, v T) Item {
	ix := e.in(index)
	item := e.Key(v).Item()
	item[index+partitionKey] = Text(ix.partition.of(&v))
	item[index+sortKey] = Text(ix.sort.of(&v))
	return item
}

func (e *Entity[T]) in(index string) indexed[T] {
	for _, ix := range e.indexed {
		if ix.index == index {
			return ix
		}
	}
	panic(fmt.Sprintf("catalog: %s is not in %s", e.name, index))
}

// Encode returns v as an item, with the keys of the table and of every index
// that holds it.
func (e *Entity[T]) Encode(v T) Item {
	item := encodeFields(&v, e.fields)
	for name, value := range e.Key(v).Item() {
		item[name] = value
	}
	for _, ix := range e.indexed {
		if ix.when == nil || ix.when(&v) {
			item[ix.index+partitionKey] = Text(ix.partition.of(&v))
			item[ix.index+sortKey] = Text(ix.sort.of(&v))
		}
	}
	if e.expires != nil {
		if at := e.expires.at(&v); !at.IsZero() {
			item[ttl] = Int(at.Unix())
		}
	}
	return item
}

// Decode returns what item says, which must be of this entity: an item whose
// attributes do not lead to its own key is refused, so that nothing can pass
// for what it is not. Attributes that the entity does not declare are ignored.
func (e *Entity[T]) Decode(item Item) (T, error) {
	var v T
	if err := decodeFields(&v, item, e.fields); err != nil {
		return v, fmt.Errorf("decode %s %s: %w", e.name, keyOf(item), err)
	}
	want := e.Key(v)
	if keyOf(item) != want {
		return v, fmt.Errorf("decode %s %s: its attributes belong to %s", e.name, keyOf(item), want)
	}
	return v, nil
}

func keyOf(item Item) Key {
	return Key{item[partitionKey].Text, item[sortKey].Text}
}
