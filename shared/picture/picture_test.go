package picture_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gen2brain/jpegn"

	"github.com/stowage-dev/stowage/shared/limits"
	"github.com/stowage-dev/stowage/shared/picture"
)

func copies(t *testing.T, data []byte, sizes ...int) picture.Picture {
	t.Helper()
	p, err := picture.Copies(data, sizes, picture.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Copies) != len(sizes) {
		t.Fatalf("%d copies, want %d", len(p.Copies), len(sizes))
	}
	for _, c := range p.Copies {
		if got := decoded(t, c.Data, c.ContentType).Bounds().Size(); got != image.Pt(c.Width, c.Height) {
			t.Errorf("the copy has %v pixels and is said to have %d x %d", got, c.Width, c.Height)
		}
	}
	return p
}

func TestSizes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ width, height, size, wantWidth, wantHeight int }{
		{255, 100, 256, 255, 100}, {256, 100, 256, 256, 100}, {257, 100, 256, 256, 100},
		{1, 1, 256, 1, 1}, {512, 256, 256, 256, 128}, {256, 512, 256, 128, 256},
		{2000, 1, 256, 256, 1}, {1, 2000, 256, 1, 256}, {3000, 2000, 1024, 1024, 683},
		{1024, 1023, 1024, 1024, 1023}, {1025, 1025, 1024, 1024, 1024}, {2047, 3, 256, 256, 1},
	} {
		for name, data := range map[string][]byte{
			"jpeg": jpegOf(t, quartered(tc.width, tc.height)), "progressive": progressiveOf(t, quartered(tc.width, tc.height)),
			"png": pngOf(t, quartered(tc.width, tc.height)),
		} {
			p := copies(t, data, tc.size)
			if c := p.Copies[0]; p.Width != tc.width || p.Height != tc.height || c.Width != tc.wantWidth || c.Height != tc.wantHeight {
				t.Errorf("%s of %d x %d at %d: %d x %d of %d x %d", name, tc.width, tc.height, tc.size, c.Width, c.Height, p.Width, p.Height)
			}
		}
	}
}

// TestEveryScaleShowsTheSame: whatever part of its size a picture is decoded at, its copy
// is in place and in colour.
func TestEveryScaleShowsTheSame(t *testing.T) {
	t.Parallel()
	for _, size := range []int{40, 79, 80, 81, 160, 240, 241, 320, 321, 400, 560, 640} {
		for name, data := range map[string][]byte{
			"jpeg": jpegOf(t, quartered(640, 480)), "progressive": progressiveOf(t, quartered(640, 480)), "png": pngOf(t, quartered(640, 480)),
		} {
			p := copies(t, data, size, min(size, 64))
			for i, c := range p.Copies {
				img := decoded(t, c.Data, c.ContentType)
				wantQuarters(t, img, quarters())
				// The edge between red and blue is in the middle, to a pixel.
				h := img.Bounds().Dy()
				upper, lower := color.GrayModel.Convert(img.At(2, h/2-2)), color.GrayModel.Convert(img.At(2, h/2+1))
				if !near(upper, color.GrayModel.Convert(quarters()[0])) || !near(lower, color.GrayModel.Convert(quarters()[2])) {
					t.Errorf("%s at %d, copy %d: around the edge are %v and %v", name, size, i, upper, lower)
				}
			}
		}
	}
}

func TestOrientation(t *testing.T) {
	t.Parallel()
	q := quarters()
	for o, want := range map[uint16][4]color.RGBA{ // as EXIF shows it, from the stored quarters
		0: {q[0], q[1], q[2], q[3]}, 1: {q[0], q[1], q[2], q[3]}, 2: {q[1], q[0], q[3], q[2]},
		3: {q[3], q[2], q[1], q[0]}, 4: {q[2], q[3], q[0], q[1]}, 5: {q[0], q[2], q[1], q[3]},
		6: {q[2], q[0], q[3], q[1]}, 7: {q[3], q[1], q[2], q[0]}, 8: {q[1], q[3], q[0], q[2]},
		9: {q[0], q[1], q[2], q[3]},
	} {
		for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
			tag := exif(order, o, "", "", "")
			for name, data := range map[string][]byte{
				"jpeg": jpegOf(t, quartered(301, 202), app1(tag)),
				"png":  pngOf(t, quartered(301, 202), chunk("eXIf", tag)),
			} {
				p := copies(t, data, 256, 100)
				turned := o >= 5 && o <= 8
				if (p.Width == 202) != turned || (p.Copies[0].Height == 256) != turned {
					t.Errorf("%s %d: %d x %d, copied as %d x %d", name, o, p.Width, p.Height, p.Copies[0].Width, p.Copies[0].Height)
				}
				for _, c := range p.Copies {
					wantQuarters(t, decoded(t, c.Data, c.ContentType), want)
				}
			}
		}
	}
	p := copies(t, file(t, "oriented.webp"), 256)
	wantQuarters(t, decoded(t, p.Copies[0].Data, "image/jpeg"), [4]color.RGBA{q[2], q[0], q[3], q[1]})
}

func TestCaptureTime(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		date, fraction, offset string
		want                   time.Time
	}{
		{"2026:05:01 10:20:30", "", "", time.Date(2026, 5, 1, 10, 20, 30, 0, time.UTC)},
		{"2026:05:01 10:20:30", "25", "+02:00", time.Date(2026, 5, 1, 8, 20, 30, 25e7, time.UTC)},
		{"2026:05:01 10:20:30", "007", "-09:30", time.Date(2026, 5, 1, 19, 50, 30, 7e6, time.UTC)},
		{"2026:05:01 10:20:30", "x", "nonsense", time.Date(2026, 5, 1, 10, 20, 30, 0, time.UTC)},
		{"0000:00:00 00:00:00", "", "", time.Time{}},
		{"    :  :     :  :  ", "", "", time.Time{}},
		{"2026:02:30 10:20:30", "", "", time.Time{}},
		{"1500:01:01 00:00:00", "", "", time.Time{}},
		{"", "", "", time.Time{}},
		{strings.Repeat("9", 100), "", "", time.Time{}},
	} {
		tag := exif(binary.BigEndian, 1, tc.date, tc.fraction, tc.offset)
		p := copies(t, jpegOf(t, quartered(8, 8), app1(tag)))
		if !p.CapturedAt.Equal(tc.want) {
			t.Errorf("%q %q %q: %v, want %v", tc.date, tc.fraction, tc.offset, p.CapturedAt, tc.want)
		}
	}
}

// TestBrokenMetadata: a picture with metadata that nobody can read is still a picture.
func TestBrokenMetadata(t *testing.T) {
	t.Parallel()
	good := exif(binary.LittleEndian, 6, "2026:05:01 10:20:30", "1", "+02:00")
	for cut := range good {
		copies(t, jpegOf(t, quartered(8, 8), app1(good[:cut])), 256)
		bad := bytes.Clone(good)
		bad[cut] ^= 0xff
		copies(t, jpegOf(t, quartered(8, 8), app1(bad)), 256)
	}
}

func TestMetadataIsStripped(t *testing.T) {
	t.Parallel()
	const secret = "N 48.8584 E 2.2945"
	tag := exif(binary.LittleEndian, 1, "2026:05:01 10:20:30", "", "")
	for name, data := range map[string][]byte{
		"jpeg": append(jpegOf(t, quartered(400, 300), app1(append(tag, secret...)),
			jpegn.Segment{Marker: 0xe1, Data: []byte("http://ns.adobe.com/xap/1.0/\x00" + secret)},
			jpegn.Segment{Marker: 0xed, Data: []byte(secret)}, jpegn.Segment{Marker: 0xfe, Data: []byte(secret)}), secret...),
		"png": append(pngOf(t, quartered(400, 300), chunk("eXIf", append(tag, secret...)), chunk("tEXt", []byte("Comment\x00"+secret))), secret...),
		"gif": append(bytes.Clone(file(t, "animated.gif")), secret...),
	} {
		for _, c := range copies(t, data, 1024, 256).Copies {
			if bytes.Contains(c.Data, []byte(secret)) || bytes.Contains(c.Data, []byte("Exif")) || bytes.Contains(c.Data, []byte("2026:05:01")) {
				t.Errorf("%s: the copy carries metadata", name)
			}
		}
	}
}

// embedded is the profile that a copy carries.
func embedded(t *testing.T, c picture.Copy) []byte {
	t.Helper()
	p, err := picture.Profile(c.Data)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestProfileIsKept(t *testing.T) {
	t.Parallel()
	small, large := profile(600, "RGB "), profile(150_000, "RGB ")
	img, hole := quartered(400, 300), quartered(400, 300)
	hole.SetRGBA(0, 0, color.RGBA{})
	gray := image.NewGray(image.Rect(0, 0, 400, 300))
	for _, tc := range []struct {
		name       string
		data, want []byte
	}{
		{"jpeg", jpegOf(t, img, app2(small, 65000)...), small},
		{"jpeg, several segments", jpegOf(t, img, app2(large, 65000)...), large},
		{"jpeg, tiny segments", jpegOf(t, img, app2(small, 100)...), small},
		{"grey jpeg", jpegOf(t, gray, app2(profile(400, "GRAY"), 65000)...), profile(400, "GRAY")},
		{"png", pngOf(t, img, iccp(small)), small},
		{"transparent png", pngOf(t, hole, iccp(small)), small},
		{"none", jpegOf(t, img), nil},
		{"of another space", jpegOf(t, img, app2(profile(600, "CMYK"), 65000)...), nil},
		{"of colours in grey", jpegOf(t, gray, app2(small, 65000)...), nil},
		{"too large", jpegOf(t, img, app2(profile(int(limits.PictureProfileBytes)+1, "RGB "), 65000)...), nil},
		{"the largest", jpegOf(t, img, app2(profile(int(limits.PictureProfileBytes), "RGB "), 65000)...), profile(int(limits.PictureProfileBytes), "RGB ")},
		{"bomb", pngOf(t, img, iccp(make([]byte, 50<<20))), nil},
		{"a segment missing", jpegOf(t, img, app2(large, 65000)[:2]...), nil},
		{"nonsense", jpegOf(t, img, app2(bytes.Repeat([]byte{7}, 600), 65000)...), nil},
		{"too short", jpegOf(t, img, app2([]byte("ICC"), 65000)...), nil},
	} {
		for _, c := range copies(t, tc.data, 256, 100).Copies {
			if got := embedded(t, c); !bytes.Equal(got, tc.want) {
				t.Errorf("%s: the copy has a profile of %d bytes, want %d", tc.name, len(got), len(tc.want))
			}
		}
	}
	// Real ones, of Display P3.
	for _, name := range []string{"p3.jpeg", "p3.webp"} {
		c := copies(t, file(t, name), 256).Copies[0]
		original, err := picture.Profile(file(t, name))
		if err != nil || len(original) == 0 || !bytes.Equal(embedded(t, c), original) {
			t.Errorf("%s: profile of %d bytes became one of %d, %v", name, len(original), len(embedded(t, c)), err)
		}
	}
}

func TestFormats(t *testing.T) {
	t.Parallel()
	q := quarters()
	clear := q
	clear[3] = color.RGBA{}
	for _, tc := range []struct {
		name        string
		contentType string
		want        [4]color.RGBA
	}{
		{"lossy.webp", "image/jpeg", q}, {"lossless.webp", "image/jpeg", q}, {"p3.jpeg", "image/jpeg", p3(q)},
		{"alpha-lossy.webp", "image/png", clear}, {"alpha-lossless.webp", "image/png", clear},
		{"animated.webp", "image/jpeg", q}, {"animated-lossless.webp", "image/jpeg", q}, {"animated.gif", "image/jpeg", q},
		{"progressive.jpeg", "image/jpeg", q},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := copies(t, file(t, tc.name), 1024, 32)
			if p.Width != 64 || p.Height != 48 {
				t.Errorf("%d x %d", p.Width, p.Height)
			}
			for _, c := range p.Copies {
				if c.ContentType != tc.contentType {
					t.Errorf("copied as %s", c.ContentType)
				}
				wantQuarters(t, decoded(t, c.Data, c.ContentType), tc.want)
			}
		})
	}
}

// p3 are the numbers that colours have in Display P3, which a copy with that profile keeps.
func p3(q [4]color.RGBA) [4]color.RGBA {
	return [4]color.RGBA{{185, 59, 52, 255}, {93, 177, 67, 255}, {38, 42, 192, 255}, {207, 200, 76, 255}}
}

func TestKindsOfPNG(t *testing.T) {
	t.Parallel()
	img := quartered(300, 200)
	paletted := image.NewPaletted(img.Rect, color.Palette{quarters()[0], quarters()[1], quarters()[2], quarters()[3]})
	deep, nrgba := image.NewNRGBA64(img.Rect), image.NewNRGBA(img.Rect)
	for y := range 200 {
		for x := range 300 {
			for _, set := range []interface{ Set(x, y int, c color.Color) }{paletted, deep, nrgba} {
				set.Set(x, y, img.At(x, y))
			}
		}
	}
	for name, data := range map[string][]byte{"paletted": pngOf(t, paletted), "16 bits": pngOf(t, deep), "rgba": pngOf(t, nrgba)} {
		c := copies(t, data, 128).Copies[0]
		if c.ContentType != "image/jpeg" {
			t.Errorf("%s: copied as %s", name, c.ContentType)
		}
		wantQuarters(t, decoded(t, c.Data, c.ContentType), quarters())
	}
	nrgba.SetNRGBA(150, 100, color.NRGBA{1, 2, 3, 128})
	if c := copies(t, pngOf(t, nrgba), 128).Copies[0]; c.ContentType != "image/png" {
		t.Errorf("with a transparent pixel: copied as %s", c.ContentType)
	}
}

// TestFilesOfTheStandardLibrary copies the pictures that Go itself is tested with, and holds
// the kinds of JPEG that keep other colours than luma and chroma against their PNG.
func TestFilesOfTheStandardLibrary(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(goroot(t), "src", "image", "testdata")
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		p, err := picture.Copies(data, []int{256, 64}, picture.DefaultLimits())
		if err != nil {
			t.Errorf("%s: %v", f.Name(), err)
			continue
		}
		if twin, err := os.ReadFile(filepath.Join(dir, strings.TrimSuffix(f.Name(), ".jpeg")+".png")); err == nil && strings.HasSuffix(f.Name(), ".jpeg") {
			want, err := png.Decode(bytes.NewReader(twin))
			if err != nil {
				t.Fatal(err)
			}
			wantAlike(t, f.Name(), decoded(t, p.Copies[0].Data, p.Copies[0].ContentType), want)
		}
	}
}

// goroot is where the Go distribution is, with the pictures that Go itself is tested with.
func goroot(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatalf("ask where Go is: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// wantAlike compares pictures of one size by the mean of their differences.
func wantAlike(t *testing.T, name string, got, want image.Image) {
	t.Helper()
	if got.Bounds().Size() != want.Bounds().Size() {
		t.Errorf("%s: %v, want %v", name, got.Bounds(), want.Bounds())
		return
	}
	sum, n := 0, 0
	for y := range got.Bounds().Dy() {
		for x := range got.Bounds().Dx() {
			gr, gg, gb, _ := got.At(x, y).RGBA()
			wr, wg, wb, _ := want.At(x, y).RGBA()
			for _, d := range []int{int(gr) - int(wr), int(gg) - int(wg), int(gb) - int(wb)} {
				sum, n = sum+max(d, -d)>>8, n+1
			}
		}
	}
	if mean := float64(sum) / float64(n); mean > 8 {
		t.Errorf("%s: differs by %.1f on average", name, mean)
	}
}

func TestFirstFrameOnItsCanvas(t *testing.T) {
	t.Parallel()
	palette := color.Palette{color.Transparent, color.RGBA{200, 40, 40, 255}}
	frame := image.NewPaletted(image.Rect(50, 0, 100, 40), palette)
	for i := range frame.Pix {
		frame.Pix[i] = 1
	}
	second := image.NewPaletted(image.Rect(0, 0, 100, 80), color.Palette{color.Black})
	var out bytes.Buffer
	err := gif.EncodeAll(&out, &gif.GIF{Image: []*image.Paletted{frame, second}, Delay: []int{1, 1}, Config: image.Config{Width: 100, Height: 80}})
	if err != nil {
		t.Fatal(err)
	}
	p := copies(t, out.Bytes(), 256)
	if p.Width != 100 || p.Height != 80 {
		t.Errorf("%d x %d", p.Width, p.Height)
	}
	wantQuarters(t, decoded(t, p.Copies[0].Data, p.Copies[0].ContentType), [4]color.RGBA{{}, {200, 40, 40, 255}, {}, {}})
}

func TestNoSizes(t *testing.T) {
	t.Parallel()
	p := copies(t, jpegOf(t, quartered(30, 20)))
	if p.Width != 30 || p.Height != 20 || p.Copies != nil {
		t.Errorf("%+v", p)
	}
}

func ExampleCopies() {
	var photo bytes.Buffer
	if err := jpeg.Encode(&photo, image.NewGray(image.Rect(0, 0, 4000, 3000)), nil); err != nil {
		fmt.Println(err)
		return
	}
	p, err := picture.Copies(photo.Bytes(), []int{1024, 256}, picture.DefaultLimits())
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, c := range p.Copies {
		fmt.Println(c.Width, c.Height, c.ContentType)
	}
	// Output:
	// 1024 768 image/jpeg
	// 256 192 image/jpeg
}
