package picture_test

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/picture"
)

// allocated is how many bytes do allocates. Tests that ask must not run beside others.
func allocated(do func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// sized returns a small picture of each format whose header claims another size.
func sized(tb testing.TB, width, height int) map[string][]byte {
	tb.Helper()
	small := quartered(64, 48)
	be16 := binary.BigEndian.PutUint16
	baseline := jpegOf(tb, small)
	progressive := progressiveOf(tb, small)
	for marker, data := range map[string][]byte{"\xff\xc0\x00\x11\x08": baseline, "\xff\xc2\x00\x11\x08": progressive} {
		at := bytes.Index(data, []byte(marker)) + len(marker)
		be16(data[at:], uint16(height))
		be16(data[at+2:], uint16(width))
	}
	ihdr := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(width)), uint32(height))
	pngData := append([]byte("\x89PNG\r\n\x1a\n"), chunk("IHDR", append(ihdr, 8, 6, 0, 0, 0))...)
	pngData = append(pngData, chunk("IDAT", zlibZeros(1<<16))...)
	gifData := bytes.Clone(file(tb, "animated.gif"))
	binary.LittleEndian.PutUint16(gifData[6:], uint16(width))
	binary.LittleEndian.PutUint16(gifData[8:], uint16(height))
	webpData := bytes.Clone(file(tb, "animated.webp"))
	put24 := func(b []byte, v int) { b[0], b[1], b[2] = byte(v), byte(v>>8), byte(v>>16) }
	put24(webpData[24:], width-1)
	put24(webpData[27:], height-1)
	return map[string][]byte{"jpeg": baseline, "progressive": progressive, "png": pngData, "gif": gifData, "webp": webpData}
}

func zlibZeros(n int) []byte {
	var out bytes.Buffer
	z := zlib.NewWriter(&out)
	z.Write(make([]byte, n))
	z.Close()
	return out.Bytes()
}

// TestHugePictures: what is too large is refused by its header, with its size told and
// next to nothing allocated.
func TestHugePictures(t *testing.T) {
	for name, data := range sized(t, 50_000, 50_000) {
		var p picture.Picture
		var err error
		used := allocated(func() { p, err = picture.Copies(data, []int{1024, 256}, picture.DefaultLimits()) })
		if !fault.Is(err, fault.TooLarge) || p.Width != 50_000 || p.Height != 50_000 {
			t.Errorf("%s of 50,000 x 50,000: %d x %d, %v", name, p.Width, p.Height, err)
		}
		if used > 1<<20 {
			t.Errorf("%s of 50,000 x 50,000: %d bytes were allocated", name, used)
		}
	}
}

func TestLimitsAreExact(t *testing.T) {
	t.Parallel()
	data := pngOf(t, quartered(100, 80))
	for _, tc := range []struct {
		lim  picture.Limits
		want fault.Code
	}{
		{picture.Limits{Pixels: 8000, Memory: 1 << 20}, ""},
		{picture.Limits{Pixels: 7999, Memory: 1 << 20}, fault.TooLarge},
		{picture.Limits{Pixels: 8000, Memory: 32_000}, ""},
		{picture.Limits{Pixels: 8000, Memory: 31_999}, fault.TooLarge},
	} {
		if _, err := picture.Copies(data, []int{64}, tc.lim); fault.CodeOf(err) != tc.want {
			t.Errorf("%+v: %v, want %q", tc.lim, err, tc.want)
		}
	}
}

// TestMemoryIsWhatTheHeaderSays: decoding allocates no more than what the limit was held
// against, for every kind of picture; copies are small beside that.
func TestMemoryIsWhatTheHeaderSays(t *testing.T) {
	const width, height = 1500, 1100
	img := quartered(width, height)
	nrgba, deep := image.NewNRGBA(img.Rect), image.NewNRGBA64(img.Rect)
	paletted := image.NewPaletted(img.Rect, color.Palette{color.White, color.Black})
	gray := image.NewGray(img.Rect)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range nrgba.Pix {
		nrgba.Pix[i] = byte(rng.Uint32())
	}
	for name, data := range map[string][]byte{
		"jpeg": jpegOf(t, img), "progressive": progressiveOf(t, img), "grey jpeg": jpegOf(t, gray), "grey progressive": progressiveOf(t, gray),
		"png": pngOf(t, img), "png with alpha": pngOf(t, nrgba), "png of 16 bits": pngOf(t, deep), "paletted png": pngOf(t, paletted), "grey png": pngOf(t, gray),
	} {
		claimed := picture.Memory(data)
		var err error
		used := allocated(func() { err = picture.DecodeWhole(data) })
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		// What does not grow with the picture, and the reader of its bytes.
		slack := int64(1<<20 + 2*len(data))
		if used > claimed+slack {
			t.Errorf("%s: %d bytes were allocated, its header was taken to mean %d", name, used, claimed)
		}
	}
}

// TestBombs: little data that becomes much.
func TestBombs(t *testing.T) {
	lim := picture.Limits{Pixels: 1 << 22, Memory: 1 << 24}
	img := image.NewPaletted(image.Rect(0, 0, 2048, 2048), color.Palette{color.White})
	bomb := pngOf(t, img)
	if len(bomb) > 20_000 {
		t.Fatalf("the bomb has %d bytes", len(bomb))
	}
	if used := allocated(func() {
		if _, err := picture.Copies(bomb, []int{256}, lim); err != nil {
			t.Error(err)
		}
	}); used > 24<<20 {
		t.Errorf("a PNG of 4 megapixels took %d bytes", used)
	}
	for name, data := range map[string][]byte{
		// More pixels behind a small header, in each format that allows it.
		"png with more rows than its header": append(append([]byte("\x89PNG\r\n\x1a\n"),
			chunk("IHDR", []byte{0, 0, 0, 8, 0, 0, 0, 8, 8, 0, 0, 0, 0})...), append(chunk("IDAT", zlibZeros(100<<20)), chunk("IEND", nil)...)...),
		"webp frame larger than its canvas": webpCanvas(t, 8, 8),
		"jpeg of two frames":                twoFrames(t),
		"jpeg of a thousand scans":          manyScans(t, 1000),
	} {
		var err error
		used := allocated(func() { _, err = picture.Copies(data, []int{256}, lim) })
		if !strings.HasPrefix(name, "png") && !fault.Is(err, fault.InvalidArgument) {
			t.Errorf("%s: %v", name, err)
		}
		if used > 4<<20 {
			t.Errorf("%s: %d bytes were allocated", name, used)
		}
	}
}

func webpCanvas(t *testing.T, width, height int) []byte {
	t.Helper()
	return sized(t, width, height)["webp"]
}

func twoFrames(t *testing.T) []byte {
	t.Helper()
	data := jpegOf(t, quartered(64, 48))
	at := bytes.Index(data, []byte{0xff, 0xc0})
	frame := data[at : at+2+17]
	return append(append(bytes.Clone(data[:at]), frame...), data[at:]...)
}

// manyScans repeats the scans of a progressive JPEG.
func manyScans(t *testing.T, n int) []byte {
	t.Helper()
	data := progressiveOf(t, quartered(64, 48))
	first := bytes.Index(data, []byte{0xff, 0xda})
	second := first + 2 + bytes.Index(data[first+2:], []byte{0xff, 0xda})
	out := bytes.Clone(data[:first])
	for range n {
		out = append(out, data[first:second]...)
	}
	return append(out, data[first:]...)
}

// TestCutShort: no part of a picture passes for the whole, and none makes trouble.
func TestCutShort(t *testing.T) {
	t.Parallel()
	for name, data := range map[string][]byte{
		"jpeg": jpegOf(t, quartered(64, 48)), "progressive": progressiveOf(t, quartered(64, 48)), "png": pngOf(t, quartered(64, 48)),
		"gif": file(t, "animated.gif"), "lossy webp": file(t, "lossy.webp"), "lossless webp": file(t, "lossless.webp"), "animated webp": file(t, "animated.webp"),
	} {
		for cut := range data {
			_, err := picture.Copies(data[:cut], []int{32}, picture.DefaultLimits())
			if err != nil && !fault.Permanent(err) {
				t.Errorf("%s cut to %d bytes: %v is not permanent", name, cut, err)
			}
			// Behind the pixels of a JPEG its end is marked; other files may go on
			// with what is not of the picture.
			least := len(data) / 2
			if name == "jpeg" || name == "progressive" {
				least = len(data)
			}
			if err == nil && cut < least {
				t.Errorf("%s: %d of %d bytes were copied", name, cut, len(data))
			}
		}
	}
}

// TestPolyglots: a file that is something else, too, is copied as the picture that it is,
// and nothing of the other thing comes along; what only claims to be a picture is refused.
func TestPolyglots(t *testing.T) {
	t.Parallel()
	const script = "<script>alert(1)</script>"
	zip := "PK\x03\x04\x14\x00\x00\x00" + script + "PK\x05\x06"
	for name, data := range map[string][]byte{
		"jpeg and zip": append(jpegOf(t, quartered(64, 48)), zip...),
		"png and html": append(pngOf(t, quartered(64, 48), chunk("tEXt", []byte("Comment\x00"+script))), script...),
		"gif and zip":  append(bytes.Clone(file(t, "animated.gif")), zip...),
		"webp and pdf": append(bytes.Clone(file(t, "lossy.webp")), "%PDF-1.7"+script...),
	} {
		for _, c := range copies(t, data, 32).Copies {
			if bytes.Contains(c.Data, []byte("script")) || bytes.Contains(c.Data, []byte("PK\x03\x04")) || bytes.Contains(c.Data, []byte("%PDF")) {
				t.Errorf("%s: the copy is a polyglot, too", name)
			}
		}
	}
	for name, data := range map[string][]byte{
		"nothing": nil, "html": []byte("<!doctype html>" + script), "zip": []byte(zip), "svg": []byte("<svg xmlns='http://www.w3.org/2000/svg'/>"),
		"bmp": []byte("BM" + strings.Repeat("\x00", 100)), "heic": []byte("\x00\x00\x00\x18ftypheic" + strings.Repeat("\x00", 100)),
		"wav": []byte("RIFF\x00\x00\x00\x00WAVE" + script), "pdf, then jpeg": append([]byte("%PDF-1.7\n"), jpegOf(t, quartered(8, 8))...),
	} {
		if _, err := picture.Copies(data, []int{32}, picture.DefaultLimits()); !fault.Is(err, fault.UnsupportedType) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, magic := range []string{"\xff\xd8\xff", "\x89PNG\r\n\x1a\n", "GIF89a\x01\x00\x01\x00", "RIFF\x00\x00\x00\x00WEBP"} {
		if _, err := picture.Copies([]byte(magic+script), []int{32}, picture.DefaultLimits()); !fault.Is(err, fault.InvalidArgument) {
			t.Errorf("%q and nothing else: %v", magic, err)
		}
	}
}

// TestDamaged: whatever the bytes, a picture or a permanent fault.
func TestDamaged(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	lim := picture.Limits{Pixels: 1 << 16, Memory: 1 << 20}
	for _, data := range seeds(t) {
		for range 400 {
			bad := bytes.Clone(data)
			for range 1 + rng.IntN(6) {
				bad[rng.IntN(len(bad))] = byte(rng.Uint32())
			}
			if _, err := picture.Copies(bad, []int{64, 16}, lim); err != nil && !fault.Permanent(err) {
				t.Errorf("%v is not permanent", err)
			}
		}
	}
}

func seeds(tb testing.TB) [][]byte {
	tb.Helper()
	all := [][]byte{
		jpegOf(tb, quartered(64, 48)), progressiveOf(tb, quartered(64, 48)), pngOf(tb, quartered(64, 48), iccp(profile(200, "RGB "))),
		jpegOf(tb, quartered(64, 48), app1(exif(binary.BigEndian, 6, "2026:05:01 10:20:30", "1", "+02:00"))),
	}
	for _, name := range []string{"lossy.webp", "lossless.webp", "alpha-lossy.webp", "alpha-lossless.webp", "animated.webp", "animated.gif", "p3.jpeg"} {
		all = append(all, file(tb, name))
	}
	return all
}

func FuzzCopies(f *testing.F) {
	for _, data := range seeds(f) {
		f.Add(data)
	}
	lim := picture.Limits{Pixels: 1 << 16, Memory: 1 << 20}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := picture.Copies(data, []int{64, 16}, lim)
		if err != nil {
			if !fault.Permanent(err) {
				t.Errorf("%v is not permanent", err)
			}
			return
		}
		for _, c := range p.Copies {
			if size := decoded(t, c.Data, c.ContentType).Bounds().Size(); max(size.X, size.Y) > 64 {
				t.Errorf("a copy of %v", size)
			}
		}
	})
}

func TestPanicOfADecoder(t *testing.T) {
	t.Parallel()
	err := picture.CopyWith(func() { panic("index out of range") })
	var refused *fault.Error
	if !errors.As(err, &refused) || refused.Code != fault.InvalidArgument || strings.Contains(refused.Message, "index") {
		t.Errorf("%v", err)
	}
}
