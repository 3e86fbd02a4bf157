package jpegscale_test

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/gen2brain/jpegn"
	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/shared/jpegscale"
)

// scene draws a picture with plain areas, edges and noise.
func scene(width, height int, seed uint64) *image.RGBA {
	rng := rand.New(rand.NewPCG(seed, 1))
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			v := 60 + 120*float64(x)/float64(width)
			if (x/13+y/9)%4 == 0 {
				v = 200
			}
			if y > height/2 {
				v += rng.NormFloat64() * 8
			}
			level := func(v float64) uint8 { return uint8(min(max(v, 16), 239)) }
			img.SetRGBA(x, y, color.RGBA{level(v), level(v*0.7 + 40), level(255 - v), 255})
		}
	}
	return img
}

func encode(tb testing.TB, img image.Image, o jpegn.EncodeOptions) []byte {
	tb.Helper()
	var out bytes.Buffer
	if err := jpegn.Encode(&out, img, &o); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

func ceil(n, by int) int { return (n + by - 1) / by }

// planes are the samples of an image, with their sizes.
type plane struct {
	pix                   []byte
	stride, width, height int
}

func planes(tb testing.TB, img image.Image) []plane {
	tb.Helper()
	size := img.Bounds().Size()
	switch img := img.(type) {
	case *image.Gray:
		return []plane{{img.Pix, img.Stride, size.X, size.Y}}
	case *image.YCbCr:
		c := img.COffset(size.X-1, size.Y-1)
		cw, ch := c%img.CStride+1, c/img.CStride+1
		return []plane{{img.Y, img.YStride, size.X, size.Y}, {img.Cb, img.CStride, cw, ch}, {img.Cr, img.CStride, cw, ch}}
	default:
		tb.Fatalf("decoded as %T", img)
		return nil
	}
}

// shrink is what a block of 8 x 8 samples is at n x n: transformed, cut to its lowest
// frequencies, and transformed back, in floating point.
func shrink(p plane, bx, by, n int) []float64 {
	c := func(u int) float64 {
		if u == 0 {
			return math.Sqrt2 / 2
		}
		return 1
	}
	f := make([]float64, n*n)
	for v := range n {
		for u := range n {
			for y := range 8 {
				for x := range 8 {
					s := float64(p.pix[(8*by+y)*p.stride+8*bx+x]) - 128
					f[v*n+u] += s * c(u) * c(v) / 4 * math.Cos(float64((2*x+1)*u)*math.Pi/16) * math.Cos(float64((2*y+1)*v)*math.Pi/16)
				}
			}
		}
	}
	out := make([]float64, n*n)
	for y := range n {
		for x := range n {
			for v := range n {
				for u := range n {
					out[y*n+x] += f[v*n+u] * c(u) * c(v) / 4 * math.Cos(float64((2*x+1)*u)*math.Pi/float64(2*n)) * math.Cos(float64((2*y+1)*v)*math.Pi/float64(2*n))
				}
			}
			out[y*n+x] = min(max(out[y*n+x]+128, 0), 255)
		}
	}
	return out
}

// clipped reports whether a block reaches black or white.
func clipped(p plane, bx, by int) bool {
	for y := range 8 {
		for _, v := range p.pix[(8*by+y)*p.stride+8*bx:][:8] {
			if v == 0 || v == 255 {
				return true
			}
		}
	}
	return false
}

// checkAgainst holds a scaled decoding against what the standard library decodes at full
// size, block by block.
func checkAgainst(t *testing.T, data []byte, n int) {
	t.Helper()
	full, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	small, err := jpegscale.Decode(data, n)
	if err != nil {
		t.Fatal(err)
	}
	size := full.Bounds().Size()
	if want := image.Pt(ceil(size.X*n, 8), ceil(size.Y*n, 8)); small.Bounds().Size() != want {
		t.Fatalf("%v at %d/8 is %v, want %v", size, n, small.Bounds().Size(), want)
	}
	whole, scaled := planes(t, full), planes(t, small)
	if len(whole) != len(scaled) {
		t.Fatalf("%d planes, want %d", len(scaled), len(whole))
	}
	for i, p := range whole {
		for by := range p.height / 8 {
			for bx := range p.width / 8 {
				if clipped(p, bx, by) {
					continue // something of the block was lost when it was decoded in full
				}
				want := shrink(p, bx, by, n)
				for y := range n {
					for x := range n {
						got := float64(scaled[i].pix[(by*n+y)*scaled[i].stride+bx*n+x])
						if math.Abs(got-want[y*n+x]) > 2 {
							t.Fatalf("plane %d, block (%d, %d), sample (%d, %d) at %d/8: %.0f, want %.1f", i, bx, by, x, y, n, got, want[y*n+x])
						}
					}
				}
			}
		}
	}
}

func TestEveryScaleAndSampling(t *testing.T) {
	t.Parallel()
	for _, sampling := range []jpegn.Subsampling{jpegn.Subsample444, jpegn.Subsample440, jpegn.Subsample422, jpegn.Subsample420, jpegn.SubsampleGray} {
		for _, size := range []image.Point{{1, 1}, {7, 9}, {8, 8}, {9, 7}, {16, 16}, {17, 15}, {100, 75}, {131, 257}} {
			for _, o := range []jpegn.EncodeOptions{
				{Quality: 30}, {Quality: 95}, {Quality: 95, OptimizeCoding: true}, {Quality: 80, RestartInterval: 1}, {Quality: 80, RestartInterval: 7},
			} {
				o.Subsampling = sampling
				data := encode(t, scene(size.X, size.Y, 1), o)
				for n := 1; n <= jpegscale.MaxEighths; n++ {
					t.Run(fmt.Sprintf("%v/%v/q%d/r%d/%d", sampling, size, o.Quality, o.RestartInterval, n), func(t *testing.T) { checkAgainst(t, data, n) })
				}
			}
		}
	}
}

func TestAnyPicture(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		data := encode(t, scene(rapid.IntRange(1, 90).Draw(rt, "width"), rapid.IntRange(1, 90).Draw(rt, "height"), rapid.Uint64().Draw(rt, "seed")), jpegn.EncodeOptions{
			Quality:         rapid.IntRange(1, 100).Draw(rt, "quality"),
			Subsampling:     rapid.SampledFrom([]jpegn.Subsampling{jpegn.Subsample444, jpegn.Subsample420, jpegn.SubsampleGray}).Draw(rt, "sampling"),
			OptimizeCoding:  rapid.Bool().Draw(rt, "optimize"),
			RestartInterval: rapid.IntRange(0, 9).Draw(rt, "restart"),
		})
		checkAgainst(t, data, rapid.IntRange(1, jpegscale.MaxEighths).Draw(rt, "eighths"))
	})
}

// TestFilesOfTheStandardLibrary reads the JPEGs that Go itself is tested with.
func TestFilesOfTheStandardLibrary(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(goroot(t), "src", "image", "testdata", "*.jpeg"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no test files in the Go distribution: %v", err)
	}
	read := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for n := 1; n <= jpegscale.MaxEighths; n++ {
			_, err := jpegscale.Decode(data, n)
			if errors.Is(err, jpegscale.ErrUnsupported) {
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", file, err)
				continue
			}
			read++
			checkAgainst(t, data, n)
		}
	}
	if read < 20 {
		t.Errorf("only %d decodings of %d files", read, len(files))
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

func TestOtherKinds(t *testing.T) {
	t.Parallel()
	img := scene(64, 64, 1)
	for name, data := range map[string][]byte{
		"progressive": encode(t, img, jpegn.EncodeOptions{Progressive: true}),
		"RGB":         rgb(t),
	} {
		if _, err := jpegscale.Decode(data, 1); !errors.Is(err, jpegscale.ErrUnsupported) {
			t.Errorf("%s: %v, want ErrUnsupported", name, err)
		}
	}
	for _, n := range []int{-1, 0, 5, 8} {
		if _, err := jpegscale.Decode(encode(t, img, jpegn.EncodeOptions{}), n); err == nil {
			t.Errorf("decoded at %d/8", n)
		}
	}
}

// rgb is a JPEG that an Adobe marker says to be red, green and blue.
func rgb(t *testing.T) []byte {
	t.Helper()
	return encode(t, scene(16, 16, 1), jpegn.EncodeOptions{Subsampling: jpegn.Subsample444, Segments: []jpegn.Segment{
		{Marker: 0xee, Data: []byte("Adobe\x00\x64\x00\x00\x00\x00\x00")},
	}})
}

// TestCutShort: nothing is made up for what is missing.
func TestCutShort(t *testing.T) {
	t.Parallel()
	for _, o := range []jpegn.EncodeOptions{{Quality: 90}, {Quality: 90, RestartInterval: 3}} {
		data := encode(t, scene(50, 40, 3), o)
		for cut := range len(data) - 3 { // the end marker itself is not needed
			for n := 1; n <= jpegscale.MaxEighths; n++ {
				if _, err := jpegscale.Decode(data[:cut], n); err == nil {
					t.Fatalf("decoded %d of %d bytes at %d/8", cut, len(data), n)
				}
			}
		}
	}
}

// TestDamaged: whatever the bytes, no panic and no endless loop.
func TestDamaged(t *testing.T) {
	t.Parallel()
	data := encode(t, scene(60, 60, 3), jpegn.EncodeOptions{Quality: 90, RestartInterval: 5})
	rng := rand.New(rand.NewPCG(7, 7))
	for range 5_000 {
		bad := bytes.Clone(data)
		for range 1 + rng.IntN(4) {
			bad[rng.IntN(len(bad))] = byte(rng.Uint32())
		}
		_, _ = jpegscale.Decode(bad, 1+rng.IntN(jpegscale.MaxEighths))
	}
}

// TestClaims: a header that claims more than its data can hold costs nothing.
func TestClaims(t *testing.T) {
	data := encode(t, scene(64, 64, 1), jpegn.EncodeOptions{Quality: 90})
	at := bytes.Index(data, []byte{0xff, 0xc0}) + 5
	copy(data[at:], []byte{0xff, 0xff, 0xff, 0xff})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := jpegscale.Decode(data, jpegscale.MaxEighths)
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; err == nil || used > 1<<20 {
		t.Errorf("65535 x 65535 pixels in %d bytes: %v, after allocating %d bytes", len(data), err, used)
	}
}

func FuzzDecode(f *testing.F) {
	for _, o := range []jpegn.EncodeOptions{{Quality: 90}, {Quality: 10, RestartInterval: 2}, {Subsampling: jpegn.SubsampleGray}, {Progressive: true}} {
		f.Add(encode(f, scene(40, 30, 3), o))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for n := 1; n <= jpegscale.MaxEighths; n++ {
			img, err := jpegscale.Decode(data, n)
			if err == nil {
				img.At(img.Bounds().Max.X-1, img.Bounds().Max.Y-1)
			}
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	data := encode(b, scene(4000, 3000, 1), jpegn.EncodeOptions{Quality: 90})
	for n := 1; n <= jpegscale.MaxEighths; n++ {
		b.Run(fmt.Sprintf("%d-8", n), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := jpegscale.Decode(data, n); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
