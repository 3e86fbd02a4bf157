package picture_test

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/gen2brain/jpegn"
)

// The quarters of the picture that the tests use, from top left to bottom right. The
// files in testdata show the same, at 64 x 48 pixels; sharp wrote them.
func quarters() [4]color.RGBA {
	return [4]color.RGBA{{200, 40, 40, 255}, {40, 180, 40, 255}, {40, 40, 200, 255}, {210, 200, 40, 255}}
}

func quartered(width, height int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			img.SetRGBA(x, y, quarters()[x*2/width+2*(y*2/height)])
		}
	}
	return img
}

func jpegOf(tb testing.TB, img image.Image, segments ...jpegn.Segment) []byte {
	tb.Helper()
	var out bytes.Buffer
	if err := jpegn.Encode(&out, img, &jpegn.EncodeOptions{Quality: 90, Segments: segments}); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

func progressiveOf(tb testing.TB, img image.Image) []byte {
	tb.Helper()
	var out bytes.Buffer
	if err := jpegn.Encode(&out, img, &jpegn.EncodeOptions{Quality: 90, Progressive: true}); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

// pngOf writes a PNG with more chunks before its pixels.
func pngOf(tb testing.TB, img image.Image, chunks ...[]byte) []byte {
	tb.Helper()
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		tb.Fatal(err)
	}
	const header = 8 + 25
	whole := bytes.Clone(out.Bytes()[:header])
	for _, c := range chunks {
		whole = append(whole, c...)
	}
	return append(whole, out.Bytes()[header:]...)
}

func chunk(kind string, body []byte) []byte {
	c := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	c = append(append(c, kind...), body...)
	return binary.BigEndian.AppendUint32(c, crc32.ChecksumIEEE(c[4:]))
}

func iccp(profile []byte) []byte {
	var body bytes.Buffer
	body.WriteString("name\x00\x00")
	z := zlib.NewWriter(&body)
	z.Write(profile)
	z.Close()
	return chunk("iCCP", body.Bytes())
}

// exif is a TIFF structure with an orientation and, unless they are empty, the texts
// of a moment.
func exif(order binary.AppendByteOrder, orientation uint16, date, fraction, offset string) []byte {
	type field struct {
		tag  uint16
		text string
	}
	var texts []field
	for _, f := range []field{{0x9003, date}, {0x9011, offset}, {0x9291, fraction}} {
		if f.text != "" {
			texts = append(texts, field{f.tag, f.text + "\x00"})
		}
	}
	mark := "II*\x00"
	if order == binary.AppendByteOrder(binary.BigEndian) {
		mark = "MM\x00*"
	}
	b := []byte(mark)
	b = order.AppendUint32(b, 8)
	b = order.AppendUint16(b, 2)
	short := order.AppendUint16(nil, orientation)
	b = order.AppendUint32(order.AppendUint16(order.AppendUint16(b, 0x0112), 3), 1)
	b = append(b, short[0], short[1], 0, 0)
	const sub = 8 + 2 + 2*12 + 4
	b = order.AppendUint32(order.AppendUint32(order.AppendUint16(order.AppendUint16(b, 0x8769), 4), 1), sub)
	b = order.AppendUint32(b, 0)
	b = order.AppendUint16(b, uint16(len(texts)))
	at := sub + 2 + 12*len(texts) + 4
	var tail []byte
	for _, f := range texts {
		b = order.AppendUint32(order.AppendUint16(order.AppendUint16(b, f.tag), 2), uint32(len(f.text)))
		if len(f.text) <= 4 {
			b = append(b, (f.text + "\x00\x00\x00\x00")[:4]...)
			continue
		}
		b = order.AppendUint32(b, uint32(at+len(tail)))
		tail = append(tail, f.text...)
	}
	b = order.AppendUint32(b, 0)
	return append(b, tail...)
}

func app1(exif []byte) jpegn.Segment {
	return jpegn.Segment{Marker: 0xe1, Data: append([]byte("Exif\x00\x00"), exif...)}
}

// profile is an ICC profile of so many bytes, or what passes for one.
func profile(size int, space string) []byte {
	p := make([]byte, size)
	binary.BigEndian.PutUint32(p, uint32(size))
	copy(p[16:], space)
	copy(p[36:], "acsp")
	for i := 128; i < size; i++ {
		p[i] = byte(i * 7)
	}
	return p
}

// app2 are the segments that carry a profile, in parts of at most so many bytes.
func app2(profile []byte, most int) []jpegn.Segment {
	var segments []jpegn.Segment
	of := (len(profile) + most - 1) / most
	for n := 1; n <= of; n++ {
		part := profile[(n-1)*most : min(n*most, len(profile))]
		segments = append(segments, jpegn.Segment{Marker: 0xe2, Data: append(append([]byte("ICC_PROFILE\x00"), byte(n), byte(of)), part...)})
	}
	return segments
}

func file(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// near reports whether two colours are alike: each channel within 24 of 255, which is
// what compression does to a plain area beside an edge.
func near(a, b color.Color) bool {
	ar, ag, ab, aa := a.RGBA()
	br, bg, bb, ba := b.RGBA()
	for _, d := range []int{int(ar) - int(br), int(ag) - int(bg), int(ab) - int(bb), int(aa) - int(ba)} {
		if max(d, -d) > 24*257 {
			return false
		}
	}
	return true
}

func decoded(tb testing.TB, data []byte, contentType string) image.Image {
	tb.Helper()
	read := jpeg.Decode
	if contentType == "image/png" {
		read = png.Decode
	}
	img, err := read(bytes.NewReader(data))
	if err != nil {
		tb.Fatalf("decode the copy as %s: %v", contentType, err)
	}
	return img
}

// wantQuarters checks the middle of each quarter of a picture.
func wantQuarters(tb testing.TB, img image.Image, want [4]color.RGBA) {
	tb.Helper()
	w, h := img.Bounds().Dx(), img.Bounds().Dy()
	for i, at := range []image.Point{{w / 4, h / 4}, {w * 3 / 4, h / 4}, {w / 4, h * 3 / 4}, {w * 3 / 4, h * 3 / 4}} {
		if got := img.At(at.X, at.Y); !near(got, want[i]) {
			tb.Errorf("at %v is %v, want %v", at, got, want[i])
		}
	}
}
