package ledger

import (
	"slices"

	"github.com/stowage-dev/stowage/shared/fault"
)

// Class is a storage class, by S3's name.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-class-intro.html
type Class string

// The storage classes that the ledger knows.
const (
	Standard           Class = "STANDARD"
	IntelligentTiering Class = "INTELLIGENT_TIERING"
	StandardIA         Class = "STANDARD_IA"
	OneZoneIA          Class = "ONEZONE_IA"
	GlacierIR          Class = "GLACIER_IR"
	Glacier            Class = "GLACIER"
	DeepArchive        Class = "DEEP_ARCHIVE"
)

// DefaultClass is the one into which the content bucket's lifecycle moves every object
// on its first day.
const DefaultClass = IntelligentTiering

// Classes returns every class, in a fixed order.
func Classes() []Class {
	return []Class{Standard, IntelligentTiering, StandardIA, OneZoneIA, GlacierIR, Glacier, DeepArchive}
}

// ParseClass returns the class that text names; the empty text names DefaultClass.
func ParseClass(text string) (Class, error) {
	if text == "" {
		return DefaultClass, nil
	}
	if c := Class(text); slices.Contains(Classes(), c) {
		return c, nil
	}
	return "", fault.Invalid("class", "%q is not a storage class of S3 such as %s", text, DefaultClass)
}
