package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/jpeg"

	"github.com/gen2brain/jpegn"

	"github.com/stowage-dev/stowage/shared/jpegscale"
)

// JPEG markers. ITU-T T.81, table B.1.
const (
	markerSOF0  = 0xc0 // baseline
	markerSOF2  = 0xc2 // progressive
	markerSOF15 = 0xcf
	markerDHT   = 0xc4
	markerJPG   = 0xc8
	markerDAC   = 0xcc
	markerRST0  = 0xd0
	markerRST7  = 0xd7
	markerSOI   = 0xd8
	markerEOI   = 0xd9
	markerSOS   = 0xda
	markerAPP1  = 0xe1
	markerAPP2  = 0xe2
	markerTEM   = 0x01
)

// What application segments begin with.
const (
	exifHeader    = "Exif\x00\x00"
	profileMarker = "ICC_PROFILE\x00"
)

// maxScans bounds how often a progressive JPEG can make the decoder go over all of
// its blocks. Encoders write about ten scans.
const maxScans = 100

// readJPEG walks over every segment up to the end of the image, so that one that was
// cut short is known before it is decoded: the decoder would fill what is missing
// with grey.
func readJPEG(data []byte) (*header, error) {
	h := &header{format: "JPEG"}
	var parts profileParts
	var frame jpegFrame
	scans := 0
	rest := data[2:]
	for {
		marker, body, after, ok := nextSegment(rest)
		if !ok {
			return nil, broken("the JPEG is cut short")
		}
		rest = after
		switch {
		case marker == markerEOI:
			if scans == 0 {
				return nil, broken("the JPEG ends before its pixels")
			}
			h.width, h.height, h.memory = frame.width, frame.height, frame.memory()
			h.profile = parts.join()
			h.decode = func(eighths int) (image.Image, int, error) { return decodeJPEG(data, frame, eighths) }
			return h, nil
		case isFrame(marker):
			if frame.components != 0 {
				return nil, broken("the JPEG has more than one frame")
			}
			if frame, ok = readFrame(marker, body); !ok {
				return nil, broken("the JPEG's frame header is incomplete")
			}
		case marker == markerSOS:
			if scans++; frame.components == 0 || scans > maxScans {
				return nil, broken("the JPEG has scans before its frame, or more than %d", maxScans)
			}
			if rest, ok = skipScan(rest); !ok {
				return nil, broken("the JPEG is cut short")
			}
		case marker == markerAPP1 && bytes.HasPrefix(body, []byte(exifHeader)) && h.meta == (metadata{}):
			h.meta = readEXIF(body)
		case marker == markerAPP2 && bytes.HasPrefix(body, []byte(profileMarker)):
			parts.add(body[len(profileMarker):])
		}
	}
}

// decodeJPEG reads a JPEG at so many eighths of its size, or at more. What cameras
// write goes the fast way; other kinds can be read at 1/8, 1/4, 1/2 and 1/1. Of those
// for print (CMYK) the standard library alone gets the colours right, at full size.
func decodeJPEG(data []byte, frame jpegFrame, eighths int) (image.Image, int, error) {
	if frame.components == 4 {
		img, err := jpeg.Decode(bytes.NewReader(data))
		if err != nil {
			return nil, 0, fmt.Errorf("decode JPEG of four components: %w", err)
		}
		return img, whole, nil
	}
	if eighths <= jpegscale.MaxEighths {
		img, err := jpegscale.Decode(data, eighths)
		if !errors.Is(err, jpegscale.ErrUnsupported) {
			return img, eighths, err
		}
	}
	possible := 1
	for possible < eighths {
		possible *= 2
	}
	img, err := jpegn.Decode(bytes.NewReader(data), &jpegn.Options{ScaleDenom: whole / possible})
	if err != nil {
		return nil, 0, fmt.Errorf("decode JPEG at %d/8: %w", possible, err)
	}
	return img, possible, nil
}

// nextSegment takes the next segment off data. Fill bytes before a marker, and
// rubbish between segments, are skipped as every decoder does.
func nextSegment(data []byte) (marker byte, body, rest []byte, ok bool) {
	for {
		i := bytes.IndexByte(data, 0xff)
		if i < 0 || i+1 >= len(data) {
			return 0, nil, nil, false
		}
		marker, data = data[i+1], data[i+1:]
		switch {
		case marker == 0xff:
			continue
		case marker == markerEOI:
			return marker, nil, data[1:], true
		case marker == 0, marker == markerTEM, marker == markerSOI, marker >= markerRST0 && marker <= markerRST7:
			data = data[1:]
			continue
		}
		data = data[1:]
		if len(data) < 2 {
			return 0, nil, nil, false
		}
		size := int(binary.BigEndian.Uint16(data))
		if size < 2 || size > len(data) {
			return 0, nil, nil, false
		}
		return marker, data[2:size], data[size:], true
	}
}

// skipScan goes over entropy-coded data to the marker that follows it.
func skipScan(data []byte) (rest []byte, ok bool) {
	for {
		i := bytes.IndexByte(data, 0xff)
		if i < 0 || i+1 >= len(data) {
			return nil, false
		}
		switch next := data[i+1]; {
		case next == 0, next >= markerRST0 && next <= markerRST7:
			data = data[i+2:]
		case next == 0xff:
			data = data[i+1:]
		default:
			return data[i:], true
		}
	}
}

func isFrame(marker byte) bool {
	return marker >= markerSOF0 && marker <= markerSOF15 &&
		marker != markerDHT && marker != markerJPG && marker != markerDAC
}

// jpegFrame is a frame header. ITU-T T.81, B.2.2.
type jpegFrame struct {
	progressive   bool
	width, height int
	components    int
	// samples is how many samples all components have for each 8 x 8 pixels of the
	// finest one, in units of 64.
	samples float64
}

func readFrame(marker byte, body []byte) (jpegFrame, bool) {
	if len(body) < 6 {
		return jpegFrame{}, false
	}
	f := jpegFrame{
		progressive: marker >= markerSOF2,
		height:      int(binary.BigEndian.Uint16(body[1:])),
		width:       int(binary.BigEndian.Uint16(body[3:])),
		components:  int(body[5]),
	}
	if f.components == 0 || f.components > 4 || len(body) < 6+3*f.components {
		return jpegFrame{}, false
	}
	var most, all int
	for i := range f.components {
		sampling := body[6+3*i+1]
		n := int(sampling>>4) * int(sampling&15)
		if n == 0 {
			return jpegFrame{}, false
		}
		most, all = max(most, n), all+n
	}
	f.samples = float64(all) / float64(most)
	return f, true
}

// memory is what the decoder allocates at full size: a byte for each sample, or all
// the coefficients, of 4 bytes each, where they come in several scans; and the
// four-byte pixels that it makes of what is not stored as luma and chroma.
func (f jpegFrame) memory() int64 {
	pixels := float64(f.width) * float64(f.height)
	each := f.samples
	if f.progressive {
		each *= 5
	}
	if f.components == 4 {
		each += 4
	}
	return int64(pixels * each)
}

// profileParts puts together a profile that spans several segments.
// ICC.1:2022, B.4.
type profileParts struct {
	part  [256][]byte
	count byte
	wrong bool
}

func (p *profileParts) add(body []byte) {
	if len(body) < 2 || body[0] == 0 || body[0] > body[1] || p.count != 0 && p.count != body[1] || p.part[body[0]] != nil {
		p.wrong = true
		return
	}
	p.count = body[1]
	p.part[body[0]] = body[2:]
}

func (p *profileParts) join() []byte {
	if p.wrong {
		return nil
	}
	var profile []byte
	for i := 1; i <= int(p.count); i++ {
		if p.part[i] == nil {
			return nil
		}
		profile = append(profile, p.part[i]...)
	}
	return profile
}
