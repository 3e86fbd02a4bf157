// Package picture makes small copies of pictures: JPEG, PNG, GIF and WebP.
//
// A copy is upright (the EXIF orientation is applied), carries no metadata, and has
// the colours of the original: its ICC profile is kept wherever it describes the
// copy's samples. Copies are JPEGs; of a picture that is transparent anywhere they
// are PNGs. Of an animation the first frame is copied. Nothing is enlarged.
//
// Pictures come from strangers. Everything that decides how much memory is needed is
// read from the headers and held against Limits before a pixel is decoded, and a
// decoder that panics refuses its picture and no more. Nothing but pixels and a
// checked colour profile passes from a picture to its copies.
//
// It is plain Go and calls no AWS service. All functions are safe for concurrent use.
package picture

import (
	"fmt"
	"image"
	"time"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/limits"
)

// Limits bound what is decoded.
type Limits struct {
	// Pixels is the largest width times height.
	Pixels int64
	// Memory is the most bytes that the decoded form of a picture may take. How
	// much that is depends on its format: a progressive JPEG takes far more than
	// another one.
	Memory int64
}

// DefaultLimits let the largest photographs of today's cameras pass, and need about
// 700 MiB for the worst of them.
func DefaultLimits() Limits {
	return Limits{Pixels: limits.PicturePixels, Memory: limits.PictureMemory}
}

// Picture is what was found out about a picture, and its copies.
type Picture struct {
	// Width and Height are in pixels, as the picture is shown.
	Width, Height int
	// CapturedAt is when the camera says it took the picture, zero when it says
	// nothing. A camera that tells no time zone is taken to be in UTC.
	CapturedAt time.Time
	// Copies are in the order of the sizes asked for.
	Copies []Copy
}

// Copy is one small copy.
type Copy struct {
	Width, Height int
	ContentType   string
	Data          []byte
}

// Copies reads the picture in data and makes a copy of it for each of sizes, whose
// longer side has at most so many pixels. Sizes must fall: each copy is made from
// the one before it.
//
// A picture that cannot be read is a permanent fault: UnsupportedType for what is
// none of the four, TooLarge beyond the limits, InvalidArgument for a broken one. Of
// such a picture the result holds what its header told.
func Copies(data []byte, sizes []int, lim Limits) (Picture, error) {
	var p Picture
	h, err := readHeader(data)
	if err != nil {
		return Picture{}, err
	}
	p.Width, p.Height = h.shown()
	p.CapturedAt = h.meta.capturedAt
	if err := h.within(lim); err != nil {
		return p, err
	}
	p.Copies, err = h.copies(sizes)
	return p, err
}

// copies decodes the picture and makes its copies.
func (h *header) copies(sizes []int) (all []Copy, err error) {
	if len(sizes) == 0 {
		return nil, nil
	}
	defer func() {
		if v := recover(); v != nil {
			all, err = nil, fault.Wrap(fault.InvalidArgument, fmt.Errorf("decoder panicked: %v", v), "the picture is broken")
		}
	}()
	img, eighths, err := h.decode(h.eighths(sizes[0]))
	if err != nil {
		return nil, fault.Wrap(fault.InvalidArgument, err, "the picture is broken")
	}
	if want := image.Pt(ceil(h.width*eighths, 8), ceil(h.height*eighths, 8)); img.Bounds().Size() != want {
		return nil, broken("its header says %v pixels, its body %v", want, img.Bounds().Size())
	}
	from := layersOf(img, h, eighths)
	for _, size := range sizes {
		from = from.fit(size)
		c, err := from.encode(h)
		if err != nil {
			return nil, fmt.Errorf("encode a copy of %d pixels: %w", size, err)
		}
		all = append(all, c)
	}
	return all, nil
}

// header is what a picture says of itself before it is decoded.
type header struct {
	format        string
	width, height int   // as stored
	memory        int64 // bytes that decoding takes at full size
	meta          metadata
	profile       []byte // ICC
	// decode reads the pixels at so many eighths of the size, or at more. It returns
	// how many it were.
	decode func(eighths int) (image.Image, int, error)
}

// shown returns the size of the picture when it stands upright.
func (h *header) shown() (width, height int) {
	if h.meta.orientation.transposes() {
		return h.height, h.width
	}
	return h.width, h.height
}

func (h *header) within(lim Limits) error {
	if pixels := int64(h.width) * int64(h.height); pixels > lim.Pixels {
		return fault.New(fault.TooLarge, "the picture has %d x %d pixels, the most is %d together", h.width, h.height, lim.Pixels)
	}
	if h.memory > lim.Memory {
		return fault.New(fault.TooLarge, "the %s picture of %d x %d pixels takes %d bytes to decode, the most is %d",
			h.format, h.width, h.height, h.memory, lim.Memory)
	}
	return nil
}

// eighths returns at what part of its size, in eighths, the picture still has the
// pixels that a copy needs.
func (h *header) eighths(size int) int {
	return min(max(ceil(8*size, max(h.width, h.height)), 1), whole)
}

// whole is the full size in eighths.
const whole = 8

// readHeader tells what kind of picture it is from its first bytes, whatever it was
// declared as.
func readHeader(data []byte) (*header, error) {
	for _, format := range []struct {
		magic string
		at    int
		read  func([]byte) (*header, error)
	}{
		{"\xff\xd8\xff", 0, readJPEG},
		{"\x89PNG\r\n\x1a\n", 0, readPNG},
		{"GIF8", 0, readGIF},
		{"WEBP", 8, readWebP},
	} {
		if len(data) >= format.at+len(format.magic) && string(data[format.at:format.at+len(format.magic)]) == format.magic {
			h, err := format.read(data)
			if err != nil {
				return nil, err
			}
			if h.width <= 0 || h.height <= 0 {
				return nil, broken("it has %d x %d pixels", h.width, h.height)
			}
			return h, nil
		}
	}
	return nil, fault.New(fault.UnsupportedType, "the bytes are no JPEG, PNG, GIF or WebP picture")
}

// broken is the error of a picture that is not as its format wants it.
func broken(format string, args ...any) error {
	return fault.New(fault.InvalidArgument, "the picture is broken: "+format, args...)
}
