package s3

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/versity/versitygw/backend/meta"
)

// attributes keeps the metadata of objects in extended attributes of their files, so that content and
// metadata change in one rename, and a long value (tags and user metadata may be 6 KB together, where
// ext4 has room for 4) in a file of its own that the attribute names by its hash.
//
// Metadata in side-car files named by the object's path, which the engine offers too, would outlive
// the object: the next version of a key would inherit the tags of the one before it.
type attributes struct {
	meta.XattrMeta
	dir string // of the long values
}

var _ meta.MetadataStorer = attributes{}

// maxInline is the longest value that is kept in the attribute itself.
const maxInline = 128

// spilled marks, as the first byte of an attribute, the hash of a long value.
const spilled = 0

// Names of attributes that the engine stores.
const (
	attrETag         = "etag"
	attrDeleteMarker = "delete-marker"
)

func newAttributes(root, dir string) (attributes, error) {
	a := attributes{dir: dir}
	if err := a.StoreAttribute(nil, root, "", "stowage-probe", []byte("1")); err != nil {
		return a, fmt.Errorf("the file system of %s keeps no extended attributes (%w): put the state directory on one that does (ext4, xfs, btrfs, APFS)", root, err)
	}
	return a, nil
}

// RetrieveAttribute implements meta.MetadataStorer.
func (a attributes) RetrieveAttribute(f *os.File, bucket, object, attribute string) ([]byte, error) {
	value, err := a.XattrMeta.RetrieveAttribute(f, bucket, object, attribute)
	if err != nil || len(value) == 0 || value[0] != spilled {
		return value, err //nolint:wrapcheck // the engine compares errors of this type
	}
	long, err := os.ReadFile(a.path(string(value[1:])))
	if err != nil {
		return nil, fmt.Errorf("read the %s of %s/%s: %w", attribute, bucket, object, err)
	}
	return long, nil
}

// StoreAttribute implements meta.MetadataStorer.
func (a attributes) StoreAttribute(f *os.File, bucket, object, attribute string, value []byte) error {
	if attribute == attrDeleteMarker && f == nil { // not when an old delete marker is put away
		// A delete marker has no ETag, and a conditional put over one succeeds: the engine looks for
		// the ETag to tell whether there is an object.
		if err := a.DeleteAttribute(bucket, object, attrETag); err != nil && !errors.Is(err, meta.ErrNoSuchKey) {
			return fmt.Errorf("make a delete marker of %s/%s: %w", bucket, object, err)
		}
	}
	if len(value) > maxInline || len(value) > 0 && value[0] == spilled {
		sum := sha256.Sum256(value)
		name := hex.EncodeToString(sum[:])
		if err := a.spill(name, value); err != nil {
			return fmt.Errorf("keep the %s of %s/%s: %w", attribute, bucket, object, err)
		}
		value = append([]byte{spilled}, name...)
	}
	return a.XattrMeta.StoreAttribute(f, bucket, object, attribute, value) //nolint:wrapcheck // the engine compares errors of this type
}

func (a attributes) path(name string) string { return filepath.Join(a.dir, name[:2], name) }

// spill writes a long value under the name of its hash. Equal values share a file, which is never
// removed: whoever stores a value finds it whole or writes it.
func (a attributes) spill(name string, value []byte) error {
	path := a.path(name)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err //nolint:wrapcheck // wrapped by the caller
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err //nolint:wrapcheck // wrapped by the caller
	}
	return replaceFile(path, value)
}

// replaceFile leaves the old file or the whole new one, whenever the process is killed.
func replaceFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
