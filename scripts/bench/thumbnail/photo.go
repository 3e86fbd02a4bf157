package main

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"os"
)

// writePhoto makes a picture of 12 megapixels with what makes photographs costly:
// texture at every scale, hard edges, and the noise of a sensor. It is the same
// picture every time.
func writePhoto(path string) error {
	const width, height = 4000, 3000
	rng := rand.New(rand.NewPCG(1, 2))
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	octaves := newOctaves(rng)
	for y := range height {
		for x := range width {
			texture := octaves.at(float64(x)/width, float64(y)/height)
			if (x/400+y/300)%5 == 0 {
				texture += 40 * math.Sin(float64(x*y)/20000)
			}
			noise := rng.NormFloat64() * 3
			i := img.PixOffset(x, y)
			img.Pix[i] = level(128 + texture + noise)
			img.Pix[i+1] = level(120 + texture*0.8 + 20*math.Sin(float64(x)/300) + noise)
			img.Pix[i+2] = level(110 + texture*0.6 + 30*math.Cos(float64(y)/200) + noise)
			img.Pix[i+3] = 255
		}
	}
	var out bytes.Buffer
	if err := jpeg.Encode(&out, img, &jpeg.Options{Quality: 90}); err != nil {
		return fmt.Errorf("encode a photo: %w", err)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		return fmt.Errorf("write a photo: %w", err)
	}
	return nil
}

func level(v float64) uint8 { return uint8(min(max(v, 0), 255)) }

// octaves is fractal noise: the finer, the weaker.
type octaves []octave

type octave struct {
	across, down int
	values       []float64
}

func newOctaves(rng *rand.Rand) octaves {
	var all octaves
	strength := 90.0
	for across := 3; across < 1500; across *= 2 {
		o := octave{across: across, down: across*3/4 + 2}
		o.values = make([]float64, (o.across+2)*(o.down+2))
		for i := range o.values {
			o.values[i] = (rng.Float64()*2 - 1) * strength
		}
		all = append(all, o)
		strength *= 0.6
	}
	return all
}

// at is the sum of all octaves at a place between 0 and 1.
func (os octaves) at(x, y float64) float64 {
	sum := 0.0
	for _, o := range os {
		fx, fy := x*float64(o.across), y*float64(o.down)
		i, dx, dy := int(fy)*(o.across+2)+int(fx), fx-math.Floor(fx), fy-math.Floor(fy)
		upper := o.values[i]*(1-dx) + o.values[i+1]*dx
		i += o.across + 2
		lower := o.values[i]*(1-dx) + o.values[i+1]*dx
		sum += upper*(1-dy) + lower*dy
	}
	return sum
}
