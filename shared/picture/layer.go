package picture

import (
	"image"
	"image/color"
	"image/draw"
)

// layer is a part of a picture: its luma, one of its chromas, or, with four channels,
// all of it as pixels premultiplied with their opacity.
type layer struct {
	width, height int // samples
	// spanX and spanY are how many samples the picture spans: less than there are
	// where its size is no multiple of theirs.
	spanX, spanY float64
	channels     int
	row          func(y int) []byte // valid until the next call
}

// layers is a picture: one layer of grey, one of pixels, or luma and two chromas.
type layers struct {
	width, height int // pixels
	orientation   orientation
	parts         []layer
}

// layersOf takes a decoded picture apart as it is stored, so that the samples of a
// JPEG are not converted on their way from one JPEG to another.
func layersOf(img image.Image, h *header, eighths int) layers {
	size := img.Bounds().Size()
	l := layers{width: h.width, height: h.height, orientation: h.meta.orientation}
	// Decoded at a fraction, the last sample may lie half outside of the picture.
	spanX, spanY := float64(h.width*eighths)/whole, float64(h.height*eighths)/whole
	plane := func(pix []byte, stride, width, height int, coarseX, coarseY float64) layer {
		return layer{width, height, spanX / coarseX, spanY / coarseY, 1, func(y int) []byte {
			return pix[y*stride : y*stride+width]
		}}
	}
	switch img := img.(type) {
	case *image.Gray:
		l.parts = []layer{plane(img.Pix, img.Stride, size.X, size.Y, 1, 1)}
	case *image.YCbCr:
		coarseX, coarseY := subsampling(img.SubsampleRatio)
		cw, ch := ceil(size.X, coarseX), ceil(size.Y, coarseY)
		l.parts = []layer{
			plane(img.Y, img.YStride, size.X, size.Y, 1, 1),
			plane(img.Cb, img.CStride, cw, ch, float64(coarseX), float64(coarseY)),
			plane(img.Cr, img.CStride, cw, ch, float64(coarseX), float64(coarseY)),
		}
	default:
		l.parts = []layer{{size.X, size.Y, spanX, spanY, 4, pixelRows(img)}}
	}
	return l
}

func ceil(n, by int) int { return (n + by - 1) / by }

func subsampling(r image.YCbCrSubsampleRatio) (x, y int) {
	switch r {
	case image.YCbCrSubsampleRatio422:
		return 2, 1
	case image.YCbCrSubsampleRatio420:
		return 2, 2
	case image.YCbCrSubsampleRatio440:
		return 1, 2
	case image.YCbCrSubsampleRatio411:
		return 4, 1
	case image.YCbCrSubsampleRatio410:
		return 4, 2
	default:
		return 1, 1
	}
}

// pixelRows reads an image of any kind row by row, so that it is never there twice.
func pixelRows(img image.Image) func(y int) []byte {
	bounds := img.Bounds()
	if indexed, ok := img.(*image.Paletted); ok {
		return indexedRows(indexed)
	}
	strip := image.NewRGBA(image.Rect(0, 0, bounds.Dx(), 1))
	return func(y int) []byte {
		draw.Draw(strip, strip.Rect, img, bounds.Min.Add(image.Pt(0, y)), draw.Src)
		return strip.Pix
	}
}

func indexedRows(img *image.Paletted) func(y int) []byte {
	var palette [256]color.RGBA
	for i, c := range img.Palette {
		palette[i], _ = color.RGBAModel.Convert(c).(color.RGBA)
	}
	row := make([]byte, 4*img.Rect.Dx())
	return func(y int) []byte {
		for x, index := range img.Pix[y*img.Stride : y*img.Stride+img.Rect.Dx()] {
			c := palette[index]
			copy(row[4*x:4*x+4], []byte{c.R, c.G, c.B, c.A})
		}
		return row
	}
}

// fit returns the picture upright and no longer than size on its longer side.
func (l layers) fit(size int) layers {
	width, height := fitted(l.width, l.height, size)
	small := layers{width: width, height: height}
	for i, part := range l.parts {
		// Chroma at half the resolution, as in nearly every photograph.
		coarse := 1
		if i > 0 {
			coarse = 2
		}
		small.parts = append(small.parts, part.resample(l.orientation, ceil(width, coarse), ceil(height, coarse),
			float64(width)/float64(coarse), float64(height)/float64(coarse)))
	}
	if l.orientation.transposes() {
		small.width, small.height = height, width
	}
	return small
}

// fitted returns the size of a copy, which keeps the shape of the picture.
func fitted(width, height, size int) (int, int) {
	longer := max(width, height)
	if longer <= size {
		return width, height
	}
	scale := func(n int) int { return max(1, (2*n*size+longer)/(2*longer)) }
	return scale(width), scale(height)
}

// resample returns the layer with so many samples, upright.
func (l layer) resample(o orientation, width, height int, spanX, spanY float64) layer {
	alongX := newAxis(width, spanX, l.width, l.spanX, o.mirrorsX())
	alongY := newAxis(height, spanY, l.height, l.spanY, o.mirrorsY())
	stride := width * l.channels
	narrow := make([]byte, stride*l.height)
	for y := range l.height {
		to := narrow[y*stride : (y+1)*stride]
		if l.channels == 4 {
			alongX.along4(to, l.row(y))
		} else {
			alongX.along(to, l.row(y))
		}
	}
	small := make([]byte, stride*height)
	sums := make([]int32, stride)
	for y := range height {
		alongY.across(small[y*stride:(y+1)*stride], y, narrow, sums)
	}
	if o.transposes() {
		small = transpose(small, width, height, l.channels)
		width, height, spanX, spanY = height, width, spanY, spanX
		stride = width * l.channels
	}
	return layer{width, height, spanX, spanY, l.channels, func(y int) []byte { return small[y*stride : (y+1)*stride] }}
}

func transpose(pix []byte, width, height, channels int) []byte {
	turned := make([]byte, len(pix))
	for y := range height {
		for x := range width {
			from, to := (y*width+x)*channels, (x*height+y)*channels
			copy(turned[to:to+channels], pix[from:from+channels])
		}
	}
	return turned
}
