package picture

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"io"

	"github.com/stowage-dev/stowage/shared/limits"
)

// colorSpace is the data colour space of an ICC profile.
// ICC.1:2022, 7.2.6.
type colorSpace string

const (
	spaceRGB  colorSpace = "RGB "
	spaceGray colorSpace = "GRAY"
)

// Offsets in the header of an ICC profile. ICC.1:2022, 7.2.
const (
	profileHeader    = 128
	profileSpaceAt   = 16
	profileMagicAt   = 36
	profileMagic     = "acsp"
	profileSizeField = 4
)

// profileFor returns the profile if it describes samples of that space, and else
// nil: a copy that claims the wrong colours is worse than one that claims none.
func profileFor(profile []byte, space colorSpace) []byte {
	if len(profile) < profileHeader || int64(len(profile)) > limits.PictureProfileBytes {
		return nil
	}
	size := binary.BigEndian.Uint32(profile[:profileSizeField])
	if int64(size) > int64(len(profile)) || size < profileHeader {
		return nil
	}
	profile = profile[:size]
	if string(profile[profileMagicAt:profileMagicAt+len(profileMagic)]) != profileMagic ||
		colorSpace(profile[profileSpaceAt:profileSpaceAt+4]) != space {
		return nil
	}
	return profile
}

// inflateProfile reads a compressed profile, but no more of it than a profile may have.
func inflateProfile(compressed []byte) []byte {
	z, err := zlib.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return nil
	}
	defer z.Close()
	profile, err := io.ReadAll(io.LimitReader(z, limits.PictureProfileBytes+1))
	if err != nil {
		return nil
	}
	return profile
}
