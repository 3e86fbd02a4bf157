package main

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"math"

	"golang.org/x/image/draw"
)

// luma is the brightness of a picture, 0 to 255.
type luma struct {
	width, height int
	at            []float64
}

// reference decodes the photo at full size, so that a copy can be held against the
// best that could be made of it.
func reference(data []byte) (luma, error) {
	img, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		return luma{}, fmt.Errorf("decode the photo: %w", err)
	}
	return lumaOf(img), nil
}

func lumaOf(img image.Image) luma {
	b := img.Bounds()
	gray := image.NewGray(image.Rect(0, 0, b.Dx(), b.Dy()))
	draw.Draw(gray, gray.Rect, img, b.Min, draw.Src)
	l := luma{b.Dx(), b.Dy(), make([]float64, b.Dx()*b.Dy())}
	for i, v := range gray.Pix {
		l.at[i] = float64(v)
	}
	return l
}

// likeness is how like copies are in structure: 1 is the same.
type likeness struct{ toPeer, toExact, peerToExact float64 }

func compare(ours, peers []byte, photo luma) (likeness, error) {
	a, err := jpeg.Decode(bytes.NewReader(ours))
	if err != nil {
		return likeness{}, fmt.Errorf("decode our copy: %w", err)
	}
	b, err := jpeg.Decode(bytes.NewReader(peers))
	if err != nil {
		return likeness{}, fmt.Errorf("decode sharp's copy: %w", err)
	}
	if a.Bounds() != b.Bounds() {
		return likeness{}, fmt.Errorf("our copy has %v pixels, sharp's %v", a.Bounds().Size(), b.Bounds().Size())
	}
	exact := photo.reduce(a.Bounds().Dx(), a.Bounds().Dy())
	x, y := lumaOf(a), lumaOf(b)
	return likeness{ssim(x, y), ssim(x, exact), ssim(y, exact)}, nil
}

// reduce resamples with the Lanczos window of three lobes, in floating point.
func (l luma) reduce(width, height int) luma {
	narrow := luma{width, l.height, make([]float64, width*l.height)}
	scale := float64(l.width) / float64(width)
	for x := range width {
		first, weights := taps(x, scale, l.width)
		for y := range l.height {
			for t, w := range weights {
				narrow.at[y*width+x] += w * l.at[y*l.width+first+t]
			}
		}
	}
	small := luma{width, height, make([]float64, width*height)}
	scale = float64(l.height) / float64(height)
	for y := range height {
		first, weights := taps(y, scale, l.height)
		for t, w := range weights {
			for x := range width {
				small.at[y*width+x] += w * narrow.at[(first+t)*width+x]
			}
		}
	}
	return small
}

func taps(i int, scale float64, have int) (first int, weights []float64) {
	center := (float64(i)+0.5)*scale - 0.5
	first = max(int(math.Ceil(center-3*scale)), 0)
	sum := 0.0
	for s := first; s <= min(int(math.Floor(center+3*scale)), have-1); s++ {
		x := math.Pi * (float64(s) - center) / scale
		w := 1.0
		if x != 0 {
			w = 3 * math.Sin(x) * math.Sin(x/3) / (x * x)
		}
		weights = append(weights, w)
		sum += w
	}
	for t := range weights {
		weights[t] /= sum
	}
	return first, weights
}

// ssim is the mean structural similarity over windows of 8 x 8 pixels, every 4.
// Z. Wang et al., Image quality assessment: from error visibility to structural
// similarity, IEEE TIP 13 (2004).
func ssim(a, b luma) float64 {
	const (
		window = 8
		step   = 4
		c1     = (0.01 * 255) * (0.01 * 255)
		c2     = (0.03 * 255) * (0.03 * 255)
	)
	sum, n := 0.0, 0
	for y := 0; y+window <= a.height; y += step {
		for x := 0; x+window <= a.width; x += step {
			var sa, sb, saa, sbb, sab float64
			for dy := range window {
				for dx := range window {
					i := (y+dy)*a.width + x + dx
					va, vb := a.at[i], b.at[i]
					sa, sb, saa, sbb, sab = sa+va, sb+vb, saa+va*va, sbb+vb*vb, sab+va*vb
				}
			}
			const count = window * window
			ma, mb := sa/count, sb/count
			varA, varB, cov := saa/count-ma*ma, sbb/count-mb*mb, sab/count-ma*mb
			sum += (2*ma*mb + c1) * (2*cov + c2) / ((ma*ma + mb*mb + c1) * (varA + varB + c2))
			n++
		}
	}
	return sum / float64(n)
}
