package catalog

// AttributeType is a DynamoDB attribute type, by its letter.
type AttributeType string

// The types that a key attribute may have here.
const (
	String AttributeType = "S"
	Number AttributeType = "N"
)

// Attribute is a name and a type.
type Attribute struct {
	Name string
	Type AttributeType
}

// Projection says what an index holds of each item.
type Projection string

const (
	// All attributes.
	All Projection = "ALL"
	// KeysOnly holds the keys of the table and of the index.
	KeysOnly Projection = "KEYS_ONLY"
)

// Index is a global secondary index. Every index is sparse: it holds the items
// that carry its partition key.
type Index struct {
	Name         string
	PartitionKey Attribute
	SortKey      Attribute
	Projection   Projection
	// Purpose says what it is for, in a few words.
	Purpose string
}

// StreamView says what a stream record holds.
type StreamView string

// NewAndOldImages is the item before and after the write.
const NewAndOldImages StreamView = "NEW_AND_OLD_IMAGES"

// Table declares a DynamoDB table as plain data, from which the infrastructure
// and the tests create it.
type Table struct {
	PartitionKey Attribute
	// SortKey is nil for a table without one.
	SortKey *Attribute
	Indexes []Index
	// TTL is the attribute that holds the epoch second after which DynamoDB
	// may delete an item.
	TTL string
	// Stream is empty for a table without a stream.
	Stream StreamView
}

// Names of the catalog's indexes.
const (
	FolderIndex = "gsi1"
	StateIndex  = "gsi2"
	ExpiryIndex = "gsi3"
)

// Names of the attributes that are keys, or that DynamoDB itself looks at.
const (
	partitionKey = "pk"
	sortKey      = "sk"
	ttl          = "ttl"
)

// MainTable declares the single table of workspaces, members, objects,
// versions, uploads and quotas. Its stream is the outbox from which events are
// made.
func MainTable() Table {
	return Table{
		PartitionKey: Attribute{partitionKey, String},
		SortKey:      &Attribute{sortKey, String},
		Indexes: []Index{
			index(FolderIndex, All, "objects by folder"),
			index(StateIndex, All, "objects that are not available, by state; memberships by subject"),
			index(ExpiryIndex, KeysOnly, "uploads that hold quota, by the hour in which they expire"),
		},
		TTL:    ttl,
		Stream: NewAndOldImages,
	}
}

// IdempotencyTable declares the table of idempotency records. It is apart from
// the catalog so that its writes make no stream records.
func IdempotencyTable() Table {
	return Table{
		PartitionKey: Attribute{partitionKey, String},
		TTL:          ttl,
	}
}

func index(name string, projection Projection, purpose string) Index {
	return Index{
		Name:         name,
		PartitionKey: Attribute{name + partitionKey, String},
		SortKey:      Attribute{name + sortKey, String},
		Projection:   projection,
		Purpose:      purpose,
	}
}
