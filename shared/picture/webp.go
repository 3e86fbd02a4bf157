package picture

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"

	"golang.org/x/image/webp"
)

// Flags of the chunk VP8X. RFC 9649, 2.7.1.
const webpAlpha = 1 << 4

// webpFile is what a WebP container holds. Of an animation it is the first frame.
type webpFile struct {
	canvas   image.Rectangle
	at       image.Point // of the frame, on the canvas
	alpha    []byte      // chunk ALPH
	lossy    []byte      // chunk VP8
	lossless []byte      // chunk VP8L
}

// readWebP reads the chunks of the container. RFC 9649, 2.
func readWebP(data []byte) (*header, error) {
	h := &header{format: "WebP"}
	var f webpFile
	if len(data) < 12 {
		return nil, broken("the WebP is cut short")
	}
	for rest := data[12:]; len(rest) > 0; {
		kind, body, after, ok := nextRIFF(rest)
		if !ok {
			break
		}
		rest = after
		switch kind {
		case "VP8X":
			if len(body) < 10 {
				return nil, broken("the WebP's header is incomplete")
			}
			f.canvas = image.Rect(0, 0, 1+uint24(body[4:]), 1+uint24(body[7:]))
		case "ICCP":
			h.profile = body
		case "EXIF":
			h.meta = readEXIF(body)
		case "ANMF":
			if f.hasFrame() || len(body) < 16 {
				continue
			}
			f.at = image.Pt(2*uint24(body), 2*uint24(body[3:]))
			f.readFrame(body[16:])
		default:
			f.take(kind, body)
		}
	}
	return h, f.describe(h)
}

func (f *webpFile) hasFrame() bool { return f.lossy != nil || f.lossless != nil }

// readFrame reads the chunks inside a frame of an animation.
func (f *webpFile) readFrame(data []byte) {
	for len(data) > 0 {
		kind, body, rest, ok := nextRIFF(data)
		if !ok {
			return
		}
		f.take(kind, body)
		data = rest
	}
}

// take keeps the first image.
func (f *webpFile) take(kind string, body []byte) {
	switch {
	case f.hasFrame():
	case kind == "ALPH":
		f.alpha = body
	case kind == "VP8 ":
		f.lossy = body
	case kind == "VP8L":
		f.lossless = body
	}
}

// describe completes the header with what the frame itself says: a container that
// speaks of a small canvas can hold a huge frame.
func (f *webpFile) describe(h *header) error {
	size, ok := f.frameSize()
	if !ok {
		return broken("the WebP has no image")
	}
	if f.canvas.Empty() {
		f.canvas = image.Rectangle{Max: size}
	}
	frame := image.Rectangle{Max: size}.Add(f.at)
	if !frame.In(f.canvas) {
		return broken("the WebP's frame of %v does not fit its canvas of %v", size, f.canvas.Max)
	}
	h.width, h.height = f.canvas.Dx(), f.canvas.Dy()
	pixels := int64(h.width) * int64(h.height)
	h.memory = pixels * 2 // luma, chroma, and what the filters hold back
	if f.lossy == nil || f.alpha != nil {
		h.memory = pixels * 8 // pixels of 4 bytes, and the transforms of them
	}
	if frame != f.canvas {
		h.memory += pixels * 4
	}
	h.decode = func(int) (image.Image, int, error) {
		img, err := webp.Decode(bytes.NewReader(f.still(size)))
		if err != nil {
			return nil, 0, fmt.Errorf("decode WebP: %w", err)
		}
		if f.lossy != nil {
			img = fullRange(img)
		}
		return onCanvas(img, f.at, f.canvas), whole, nil
	}
	return nil
}

// frameSize reads the size of the frame from its bitstream.
// RFC 6386, 9.1; RFC 9649, 3.4.
func (f *webpFile) frameSize() (image.Point, bool) {
	switch {
	case len(f.lossy) >= 10:
		return image.Pt(int(binary.LittleEndian.Uint16(f.lossy[6:])&0x3fff), int(binary.LittleEndian.Uint16(f.lossy[8:])&0x3fff)), true
	case len(f.lossless) >= 5:
		bits := binary.LittleEndian.Uint32(f.lossless[1:])
		return image.Pt(1+int(bits&0x3fff), 1+int(bits>>14&0x3fff)), true
	default:
		return image.Point{}, false
	}
}

// still is the frame as a file of its own, which is all that the decoder knows.
func (f *webpFile) still(size image.Point) []byte {
	var chunks []byte
	switch {
	case f.lossless != nil:
		chunks = appendRIFF(chunks, "VP8L", f.lossless)
	case f.alpha != nil:
		header := make([]byte, 10)
		header[0] = webpAlpha
		putUint24(header[4:], size.X-1)
		putUint24(header[7:], size.Y-1)
		chunks = appendRIFF(chunks, "VP8X", header)
		chunks = appendRIFF(chunks, "ALPH", f.alpha)
		fallthrough
	default:
		chunks = appendRIFF(chunks, "VP8 ", f.lossy)
	}
	return appendRIFF(nil, "RIFF", append([]byte("WEBP"), chunks...))
}

func nextRIFF(data []byte) (kind string, body, rest []byte, ok bool) {
	if len(data) < 8 {
		return "", nil, nil, false
	}
	size := int64(binary.LittleEndian.Uint32(data[4:]))
	if 8+size > int64(len(data)) {
		return "", nil, nil, false
	}
	end := min(8+size+size&1, int64(len(data)))
	return string(data[:4]), data[8 : 8+size], data[end:], true
}

func appendRIFF(to []byte, kind string, body []byte) []byte {
	to = append(to, kind...)
	to = binary.LittleEndian.AppendUint32(to, uint32(len(body)))
	to = append(to, body...)
	if len(body)%2 == 1 {
		to = append(to, 0)
	}
	return to
}

func uint24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

func putUint24(b []byte, v int) { b[0], b[1], b[2] = byte(v), byte(v>>8), byte(v>>16) }

// fullRange stretches luma and chroma, which WebP keeps between 16 and 235 or 240,
// to what Go's color package takes them for. RFC 6386, 5; RFC 9649, 1.
func fullRange(img image.Image) image.Image {
	var ycc *image.YCbCr
	switch img := img.(type) {
	case *image.YCbCr:
		ycc = img
	case *image.NYCbCrA:
		ycc = &img.YCbCr
	default:
		return img
	}
	stretch(ycc.Y, 16, 219, 0)
	stretch(ycc.Cb, 128, 224, 128)
	stretch(ycc.Cr, 128, 224, 128)
	return img
}

// stretch maps each sample v to (v - from) * 255 / span + to.
func stretch(samples []byte, from, span, to int) {
	var table [256]byte
	for v := range table {
		scaled := float64(v-from)*255/float64(span) + float64(to) + 0.5
		table[v] = byte(min(max(scaled, 0), 255))
	}
	for i, v := range samples {
		samples[i] = table[v]
	}
}
