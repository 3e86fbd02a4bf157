// Package jpegscale decodes JPEGs at 1/8 to 4/8 of their size, for thumbnails, at a
// fraction of what it costs to decode and shrink them.
//
// A block of 8 x 8 pixels is transformed straight to N x N, from its N x N lowest
// frequencies, and the codes of all higher ones are passed over, several at a time,
// without being decoded. Most of the time that a JPEG takes is spent on those.
//
// It reads what cameras write: sequential, Huffman-coded JPEGs of 8 bits in one scan,
// grey or with luma and chroma. ErrUnsupported says that a JPEG is of another kind,
// for which a general decoder is needed. Data that ends too early or breaks off is an
// error: nothing is made up. It is plain Go without assembly, and safe for concurrent
// use.
package jpegscale

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
)

// ErrUnsupported is returned for JPEGs that are well and of a kind that this package
// does not read.
var ErrUnsupported = errors.New("this kind of JPEG is not supported")

// MaxEighths is the largest scale.
const MaxEighths = 4

// Decode decodes a JPEG at eighths/8 of its size, from 1 to MaxEighths: one of w x h
// pixels to ceil(w*eighths/8) x ceil(h*eighths/8). It returns an *image.Gray or an
// *image.YCbCr and keeps nothing of data.
//
// It allocates the samples of the result, of which there are at most 64 for each byte
// of data, and about 100 KiB.
func Decode(data []byte, eighths int) (image.Image, error) {
	if eighths < 1 || eighths > MaxEighths {
		return nil, fmt.Errorf("decode JPEG at %d/8: want 1/8 to %d/8", eighths, MaxEighths)
	}
	d := &decoder{n: eighths}
	if err := d.segments(data); err != nil {
		return nil, fmt.Errorf("decode JPEG at %d/8: %w", eighths, err)
	}
	return d.image(), nil
}

// Markers. ITU-T T.81, table B.1.
const (
	sof0  = 0xc0 // baseline
	sof1  = 0xc1 // extended sequential
	sof15 = 0xcf
	dht   = 0xc4
	jpg   = 0xc8
	dac   = 0xcc
	rst0  = 0xd0
	rst7  = 0xd7
	soi   = 0xd8
	eoi   = 0xd9
	sos   = 0xda
	dqt   = 0xdb
	dri   = 0xdd
	app14 = 0xee
	tem   = 0x01
)

// component is one of grey, luma and the two chromas.
type component struct {
	id               byte
	h, v             int // sampling factors
	quant            int // table
	dcTable, acTable int
	predicted        int32 // DC of the block before

	pix    []byte
	stride int
}

type decoder struct {
	n             int // samples that a side of a block becomes
	width, height int
	parts         []component
	restart       int // MCUs between restart markers; 0: none
	quant         [4][64]int32
	hasQuant      [4]bool
	dc            [4]*dcTable
	ac            [4]*acTable
	rgb           bool // by an Adobe marker
}

// segments reads the JPEG up to the end of its scan.
func (d *decoder) segments(data []byte) error {
	if len(data) < 2 || data[0] != 0xff || data[1] != soi {
		return errors.New("it does not begin as one")
	}
	rest := data[2:]
	for {
		marker, body, after, err := segment(rest)
		if err != nil {
			return err
		}
		rest = after
		switch {
		case marker == sos:
			if err := d.scanHeader(body); err != nil {
				return err
			}
			return d.scan(rest)
		case marker == sof0 || marker == sof1:
			err = d.frame(body)
		case marker == dht:
			err = d.huffman(body)
		case marker >= sof0 && marker <= sof15 && marker != jpg && marker != dac:
			return ErrUnsupported // progressive, lossless, arithmetic
		case marker == dac:
			return ErrUnsupported
		case marker == dqt:
			err = d.quantization(body)
		case marker == dri:
			if len(body) < 2 {
				return errShort
			}
			d.restart = int(binary.BigEndian.Uint16(body))
		case marker == app14:
			if len(body) >= 12 && string(body[:5]) == "Adobe" {
				d.rgb = body[11] == 0
			}
		}
		if err != nil {
			return err
		}
	}
}

var errShort = errors.New("it is cut short")

// segment takes the next segment off data.
func segment(data []byte) (marker byte, body, rest []byte, err error) {
	for len(data) >= 2 {
		if data[0] != 0xff {
			data = data[1:] // rubbish between segments, as decoders allow
			continue
		}
		marker = data[1]
		switch {
		case marker == 0xff:
			data = data[1:]
			continue
		case marker == 0, marker == tem, marker >= rst0 && marker <= soi:
			data = data[2:]
			continue
		case marker == eoi:
			return 0, nil, nil, errors.New("it ends before its pixels")
		}
		if len(data) < 4 {
			break
		}
		size := 2 + int(binary.BigEndian.Uint16(data[2:]))
		if size < 4 || size > len(data) {
			break
		}
		return marker, data[4:size], data[size:], nil
	}
	return 0, nil, nil, errShort
}

// frame reads the size and the components. ITU-T T.81, B.2.2.
func (d *decoder) frame(body []byte) error {
	if d.parts != nil {
		return errors.New("it has more than one frame")
	}
	if len(body) < 6 || len(body) < 6+3*int(body[5]) {
		return errShort
	}
	d.height, d.width = int(binary.BigEndian.Uint16(body[1:])), int(binary.BigEndian.Uint16(body[3:]))
	count := int(body[5])
	if body[0] != 8 || count != 1 && count != 3 || d.width == 0 || d.height == 0 {
		return ErrUnsupported
	}
	for i := range count {
		c := body[6+3*i:]
		d.parts = append(d.parts, component{id: c[0], h: int(c[1] >> 4), v: int(c[1] & 15), quant: int(c[2])})
		if c[2] > 3 {
			return fmt.Errorf("component %d names quantization table %d", i, c[2])
		}
	}
	if count == 1 {
		d.parts[0].h, d.parts[0].v = 1, 1 // a single component is not interleaved
		return nil
	}
	if d.parts[0].id == 'R' && d.parts[1].id == 'G' && d.parts[2].id == 'B' {
		d.rgb = true
	}
	for _, chroma := range d.parts[1:] {
		if chroma.h != 1 || chroma.v != 1 {
			return ErrUnsupported
		}
	}
	if _, ok := ratios()[[2]int{d.parts[0].h, d.parts[0].v}]; !ok {
		return ErrUnsupported
	}
	return nil
}

// ratios are the sampling factors of luma for which there is an image.YCbCr.
func ratios() map[[2]int]image.YCbCrSubsampleRatio {
	return map[[2]int]image.YCbCrSubsampleRatio{
		{1, 1}: image.YCbCrSubsampleRatio444,
		{2, 1}: image.YCbCrSubsampleRatio422,
		{2, 2}: image.YCbCrSubsampleRatio420,
		{1, 2}: image.YCbCrSubsampleRatio440,
		{4, 1}: image.YCbCrSubsampleRatio411,
		{4, 2}: image.YCbCrSubsampleRatio410,
	}
}

// quantization reads tables, in the order of the zigzag. ITU-T T.81, B.2.4.1.
func (d *decoder) quantization(body []byte) error {
	for len(body) > 0 {
		wide, table := int(body[0]>>4), int(body[0]&15)
		body = body[1:]
		if wide > 1 || table > 3 {
			return fmt.Errorf("quantization table %d has precision %d", table, wide)
		}
		if len(body) < 64*(1+wide) {
			return errShort
		}
		for k := range 64 {
			if wide == 0 {
				d.quant[table][k] = int32(body[k])
			} else {
				d.quant[table][k] = int32(binary.BigEndian.Uint16(body[2*k:]))
			}
		}
		d.hasQuant[table] = true
		body = body[64*(1+wide):]
	}
	return nil
}

// huffman reads tables of codes. ITU-T T.81, B.2.4.2.
func (d *decoder) huffman(body []byte) error {
	for len(body) > 0 {
		class, table := body[0]>>4, body[0]&15
		if class > 1 || table > 3 {
			return fmt.Errorf("the Huffman table %d has class %d", table, class)
		}
		if len(body) < 17 {
			return errShort
		}
		codes, used, err := newCodes(body[1:])
		if err != nil {
			return err
		}
		if class == 0 {
			d.dc[table] = newDCTable(codes)
		} else {
			d.ac[table] = newACTable(codes)
		}
		body = body[1+used:]
	}
	return nil
}

// scanHeader reads which tables the components use. ITU-T T.81, B.2.3.
func (d *decoder) scanHeader(body []byte) error {
	if d.parts == nil {
		return errors.New("its pixels come before its header")
	}
	if len(body) < 1 || len(body) < 4+2*int(body[0]) {
		return errShort
	}
	if d.rgb && len(d.parts) == 3 || int(body[0]) != len(d.parts) {
		return ErrUnsupported
	}
	for i := range d.parts {
		p := &d.parts[i]
		if body[1+2*i] != p.id {
			return ErrUnsupported
		}
		p.dcTable, p.acTable = int(body[2+2*i]>>4), int(body[2+2*i]&15)
		if p.dcTable > 3 || p.acTable > 3 || d.dc[p.dcTable] == nil || d.ac[p.acTable] == nil || !d.hasQuant[p.quant] {
			return fmt.Errorf("component %d names a table that is not there", i)
		}
	}
	return nil
}

// image cuts the samples to the size of the picture.
func (d *decoder) image() image.Image {
	rect := image.Rect(0, 0, ceil(d.width*d.n, 8), ceil(d.height*d.n, 8))
	luma := d.parts[0]
	if len(d.parts) == 1 {
		return &image.Gray{Pix: luma.pix, Stride: luma.stride, Rect: rect}
	}
	return &image.YCbCr{
		Y: luma.pix, YStride: luma.stride,
		Cb: d.parts[1].pix, Cr: d.parts[2].pix, CStride: d.parts[1].stride,
		SubsampleRatio: ratios()[[2]int{luma.h, luma.v}], Rect: rect,
	}
}

func ceil(n, by int) int { return (n + by - 1) / by }
