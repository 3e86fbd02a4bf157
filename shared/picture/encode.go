package picture

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/png"

	"compress/zlib"

	"github.com/gen2brain/jpegn"
)

// quality of the JPEGs: that of sharp and libvips, at which the eye sees no loss in a
// picture of that size.
const quality = 80

// encode writes the picture as a JPEG, or as a PNG where it is transparent anywhere.
func (l layers) encode(h *header) (Copy, error) {
	c := Copy{Width: l.width, Height: l.height, ContentType: "image/jpeg"}
	var err error
	switch img := l.image().(type) {
	case *image.RGBA:
		profile := profileFor(h.profile, spaceRGB)
		if !img.Opaque() {
			c.ContentType = "image/png"
			c.Data, err = encodePNG(img, profile)
			return c, err
		}
		c.Data, err = encodeJPEG(img, profile)
	case *image.Gray:
		c.Data, err = encodeJPEG(img, profileFor(h.profile, spaceGray))
	default:
		c.Data, err = encodeJPEG(img, profileFor(h.profile, spaceRGB))
	}
	return c, err
}

// image puts the layers together.
func (l layers) image() image.Image {
	rect := image.Rect(0, 0, l.width, l.height)
	switch {
	case len(l.parts) == 3:
		return &image.YCbCr{
			Y: l.parts[0].pix(), Cb: l.parts[1].pix(), Cr: l.parts[2].pix(),
			YStride: l.parts[0].width, CStride: l.parts[1].width,
			SubsampleRatio: image.YCbCrSubsampleRatio420, Rect: rect,
		}
	case l.parts[0].channels == 4:
		img := &image.RGBA{Pix: l.parts[0].pix(), Stride: 4 * l.width, Rect: rect}
		for i := 0; i < len(img.Pix); i += 4 {
			// The filter overshoots each channel by itself: no colour may be more
			// than its opacity.
			a := img.Pix[i+3]
			img.Pix[i], img.Pix[i+1], img.Pix[i+2] = min(img.Pix[i], a), min(img.Pix[i+1], a), min(img.Pix[i+2], a)
		}
		return img
	default:
		return &image.Gray{Pix: l.parts[0].pix(), Stride: l.width, Rect: rect}
	}
}

// pix is all rows of a layer that was resampled.
func (l layer) pix() []byte {
	pix := make([]byte, 0, l.width*l.height*l.channels)
	for y := range l.height {
		pix = append(pix, l.row(y)...)
	}
	return pix
}

// profileChunk is the most of a profile that fits one segment, behind its marker and
// its number.
const profileChunk = 65533 - len(profileMarker) - 2

func encodeJPEG(img image.Image, profile []byte) ([]byte, error) {
	opts := &jpegn.EncodeOptions{Quality: quality, OptimizeCoding: true}
	for n, of := 1, ceil(len(profile), profileChunk); len(profile) > 0; n++ {
		part := profile[:min(len(profile), profileChunk)]
		profile = profile[len(part):]
		body := append([]byte(profileMarker), byte(n), byte(of))
		opts.Segments = append(opts.Segments, jpegn.Segment{Marker: markerAPP2, Data: append(body, part...)})
	}
	var out bytes.Buffer
	if err := jpegn.Encode(&out, img, opts); err != nil {
		return nil, fmt.Errorf("encode JPEG: %w", err)
	}
	return out.Bytes(), nil
}

// pngHeader is how long the signature and the chunk IHDR of a PNG are.
const pngHeader = 8 + 8 + 13 + 4

func encodePNG(img image.Image, profile []byte) ([]byte, error) {
	var out bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.DefaultCompression}
	if err := encoder.Encode(&out, img); err != nil {
		return nil, fmt.Errorf("encode PNG: %w", err)
	}
	if len(profile) == 0 {
		return out.Bytes(), nil
	}
	chunk := bytes.NewBufferString("ICC\x00\x00") // its name, and how it is compressed
	z := zlib.NewWriter(chunk)
	if _, err := z.Write(profile); err != nil {
		return nil, fmt.Errorf("compress the profile: %w", err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("compress the profile: %w", err)
	}
	whole := append([]byte(nil), out.Bytes()[:pngHeader]...)
	whole = appendChunk(whole, "iCCP", chunk.Bytes())
	return append(whole, out.Bytes()[pngHeader:]...), nil
}

func appendChunk(to []byte, kind string, body []byte) []byte {
	to = binary.BigEndian.AppendUint32(to, uint32(len(body)))
	at := len(to)
	to = append(append(to, kind...), body...)
	return binary.BigEndian.AppendUint32(to, crc32.ChecksumIEEE(to[at:]))
}
