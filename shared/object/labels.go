package object

import (
	"maps"
	"mime"
	"slices"
	"strings"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/limits"
)

// ValidateTags returns an InvalidArgument error unless tags are at most
// limits.Tags, with keys and values of allowed lengths.
func ValidateTags(tags map[string]string) error {
	if len(tags) > limits.Tags {
		return fault.Invalid("tags", "has %d entries, the most is %d", len(tags), limits.Tags)
	}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		value := tags[key]
		switch {
		case key == "":
			return fault.Invalid("tags", "has an empty key")
		case len(key) > limits.TagKeyBytes:
			return fault.Invalid("tags", "has a key of %d bytes, the most is %d", len(key), limits.TagKeyBytes)
		case len(value) > limits.TagValueBytes:
			return fault.Invalid("tags", "has a value of %d bytes, the most is %d", len(value), limits.TagValueBytes)
		}
		if err := validateText("tags", key); err != nil {
			return err
		}
		if err := validateText("tags", value); err != nil {
			return err
		}
	}
	return nil
}

// ValidateMetadata returns an InvalidArgument error unless metadata's names and
// values together are at most limits.MetadataBytes.
func ValidateMetadata(metadata map[string]string) error {
	var size int64
	for _, name := range slices.Sorted(maps.Keys(metadata)) {
		if name == "" {
			return fault.Invalid("metadata", "has an empty name")
		}
		if err := validateText("metadata", name); err != nil {
			return err
		}
		if err := validateText("metadata", metadata[name]); err != nil {
			return err
		}
		size += int64(len(name) + len(metadata[name]))
	}
	if size > limits.MetadataBytes {
		return fault.Invalid("metadata", "has %d bytes, the most is %d", size, limits.MetadataBytes)
	}
	return nil
}

// ValidateContentType returns an InvalidArgument error unless s is a media type
// such as "image/png", with or without parameters.
func ValidateContentType(s string) error {
	if len(s) > limits.ContentTypeBytes {
		return fault.Invalid("contentType", "has %d bytes, the most is %d", len(s), limits.ContentTypeBytes)
	}
	mediaType, _, err := mime.ParseMediaType(s)
	if err != nil || strings.Count(mediaType, "/") != 1 {
		return fault.Invalid("contentType", "%q is not a media type such as image/png", s)
	}
	return nil
}

// MediaType returns the media type of a content type in lower case and without
// its parameters, or "" when there is none.
func MediaType(contentType string) string {
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return ""
	}
	return mediaType
}
