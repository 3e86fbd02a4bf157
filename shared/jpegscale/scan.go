package jpegscale

import (
	"encoding/binary"
	"errors"
)

// scan decodes the entropy-coded data: MCU by MCU, each of so many blocks of every
// component. ITU-T T.81, A.2.
func (d *decoder) scan(data []byte) error {
	luma := d.parts[0]
	across, down := ceil(d.width, 8*luma.h), ceil(d.height, 8*luma.v)
	blocks := 0
	for _, p := range d.parts {
		blocks += across * down * p.h * p.v
	}
	if blocks > 4*len(data) {
		return errShort // a block takes two codes of a bit at least
	}
	for i := range d.parts {
		p := &d.parts[i]
		p.stride = across * p.h * d.n
		p.pix = make([]byte, p.stride*down*p.v*d.n)
	}
	r := &bitReader{data: data}
	left := d.restart
	for y := range down {
		for x := range across {
			if d.restart > 0 {
				if left == 0 {
					if err := r.nextInterval(); err != nil {
						return err
					}
					for i := range d.parts {
						d.parts[i].predicted = 0
					}
					left = d.restart
				}
				left--
			}
			if err := d.mcu(r, x, y); err != nil {
				return err
			}
		}
		if r.overrun() {
			return errShort
		}
	}
	return nil
}

var errCode = errors.New("it has a code that its Huffman table does not")

// wanted is up to which coefficient, in the order of the zigzag, a block of so many
// samples is made of.
func wanted(n int) int { return [...]int{0, 1, 5, 13, 25}[n] }

func (d *decoder) mcu(r *bitReader, x, y int) error {
	var block [64]int32
	last := wanted(d.n)
	for i := range d.parts {
		p := &d.parts[i]
		dc, ac, quant := d.dc[p.dcTable], d.ac[p.acTable], &d.quant[p.quant]
		for v := range p.v {
			for h := range p.h {
				difference, ok := r.dc(dc)
				if !ok {
					return errCode
				}
				p.predicted += difference
				at := ((y*p.v+v)*p.stride + (x*p.h + h)) * d.n
				to := p.pix[at:]
				if d.n == 1 {
					if !r.pass(ac, 1) {
						return errCode
					}
					to[0] = sample(p.predicted*quant[0], 3)
					continue
				}
				block = [64]int32{p.predicted * quant[0]}
				k, any, ok := r.coefficients(ac, quant, &block, last)
				if !ok || !r.pass(ac, k) {
					return errCode
				}
				switch {
				case !any:
					fill(to, p.stride, d.n, sample(block[0], 3))
				case d.n == 2:
					idct2(to, p.stride, &block)
				case d.n == 3:
					idct3(to, p.stride, &block)
				default:
					idct4(to, p.stride, &block)
				}
			}
		}
	}
	return nil
}

// bitReader reads bits, the most significant first, and takes the zero bytes out that
// are stuffed behind 0xff.
type bitReader struct {
	data []byte
	pos  int
	bits uint64 // left-aligned
	n    int    // how many bits there are, 56 at least after a refill
	// made is how many of them were made up behind the end of the data.
	made int
}

// refill is called when less than 32 bits are left, which the longest code and its
// value need.
func (r *bitReader) refill() {
	if r.pos+8 <= len(r.data) {
		next := binary.BigEndian.Uint64(r.data[r.pos:])
		// No byte is 0xff: no byte of the complement is 0.
		if (^next-0x0101010101010101)&next&0x8080808080808080 == 0 {
			r.bits |= next >> r.n
			r.pos += (63 - r.n) >> 3
			r.n |= 56
			return
		}
	}
	for r.n <= 56 {
		var b byte
		switch {
		case r.pos >= len(r.data):
			r.made += 8
		case r.data[r.pos] != 0xff:
			b = r.data[r.pos]
			r.pos++
		case r.pos+1 < len(r.data) && r.data[r.pos+1] == 0:
			b = 0xff
			r.pos += 2
		default: // a marker
			r.made += 8
		}
		r.bits |= uint64(b) << (56 - r.n)
		r.n += 8
	}
}

// overrun reports whether more bits were read than there were.
func (r *bitReader) overrun() bool { return r.made > r.n }

// nextInterval goes on behind a restart marker.
func (r *bitReader) nextInterval() error {
	if r.overrun() {
		return errShort
	}
	// What was read ahead may reach no further than the marker.
	for r.pos < len(r.data) && r.data[r.pos] != 0xff {
		r.pos++
	}
	for r.pos+1 < len(r.data) && r.data[r.pos+1] == 0xff {
		r.pos++
	}
	if r.pos+1 >= len(r.data) || r.data[r.pos+1] < rst0 || r.data[r.pos+1] > rst7 {
		return errors.New("a restart marker is missing")
	}
	*r = bitReader{data: r.data, pos: r.pos + 2}
	return nil
}

func (r *bitReader) drop(n int) {
	r.bits <<= n
	r.n -= n
}

// value reads the bits of a value.
func (r *bitReader) value(size int) int32 {
	if size == 0 {
		return 0
	}
	v := int32(r.bits >> (64 - size))
	r.drop(size)
	return extend(v, size)
}

// dc reads by how much the DC differs from that of the block before.
func (r *bitReader) dc(t *dcTable) (difference int32, ok bool) {
	if r.n < 32 {
		r.refill()
	}
	var size, length int
	if e := t.fast[r.bits>>(64-peek)]; e != 0 {
		size, length = int(e>>8), int(e&0xff)
	} else {
		symbol, n := t.find(int32(r.bits >> 48))
		size, length = int(symbol), n
	}
	if length == 0 || size > 15 {
		return 0, false
	}
	r.drop(length)
	return r.value(size), true
}

// coefficients reads AC coefficients up to the one before last into their places. It
// returns which comes next, 64 at the end of the block, and whether any is not 0.
func (r *bitReader) coefficients(t *acTable, quant *[64]int32, block *[64]int32, last int) (k int, any, ok bool) {
	for k = 1; k < last; k++ {
		if r.n < 32 {
			r.refill()
		}
		var run int
		var value int32
		if e := t.one[r.bits>>(64-peek)]; e != 0 {
			r.drop(int(e & bitsMask))
			run, value = int(e>>runShift&runMask), int32(e)>>valueShift
		} else if run, value, ok = r.long(t); !ok {
			return 0, false, false
		}
		k += run
		if k > 63 {
			return 64, any, true
		}
		if value != 0 {
			block[zigzag[k]] = value * quant[k]
			any = true
		}
	}
	return k, any, true
}

// long reads a code that is too long for the table.
func (r *bitReader) long(t *acTable) (run int, value int32, ok bool) {
	symbol, length := t.find(int32(r.bits >> 48))
	if length == 0 {
		return 0, 0, false
	}
	r.drop(length)
	run, size := int(symbol>>4), int(symbol&15)
	if size == 0 && run != 15 {
		return endRun, 0, true
	}
	return run, r.value(size), true
}

// pass goes over the coefficients from the k-th to the end of the block.
func (r *bitReader) pass(t *acTable, k int) bool {
	for k < 64 {
		if r.n < 32 {
			r.refill()
		}
		e := t.skip[r.bits>>(64-peek)]
		if passed := int(e >> skipShift & skipMask); e != 0 && k+passed <= 64 {
			r.drop(int(e & bitsMask))
			if e&skipEnd != 0 {
				return true
			}
			k += passed
			continue
		}
		// One code alone: it is long, or the ones after it are of the next block.
		if e := t.one[r.bits>>(64-peek)]; e != 0 {
			r.drop(int(e & bitsMask))
			k += int(e>>runShift&runMask) + 1
			continue
		}
		run, _, ok := r.long(t)
		if !ok {
			return false
		}
		k += run + 1
	}
	return true
}

// zigzag tells where in a block the coefficients stand, row by row.
// ITU-T T.81, figure A.6.
var zigzag = [64]uint8{
	0, 1, 8, 16, 9, 2, 3, 10,
	17, 24, 32, 25, 18, 11, 4, 5,
	12, 19, 26, 33, 40, 48, 41, 34,
	27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36,
	29, 22, 15, 23, 30, 37, 44, 51,
	58, 59, 52, 45, 38, 31, 39, 46,
	53, 60, 61, 54, 47, 55, 62, 63,
}
