package jpegscale

import "errors"

// peek is how many bits tables are asked for at once. Tables of 12 bits stay in the
// processor's nearest cache.
const peek = 12

// codes are the codes of a table in the order of their lengths.
// ITU-T T.81, F.2.2.3.
type codes struct {
	symbol []byte
	// Of each length: the code after the last, left-aligned in 16 bits, and what to
	// add to a code to get the index of its symbol.
	end    [17]int32
	offset [17]int32
}

// newCodes reads how many codes of each length there are, and their symbols. It
// returns how long that was.
func newCodes(body []byte) (*codes, int, error) {
	c := &codes{}
	total, code := 0, int32(0)
	for length := 1; length <= 16; length++ {
		n := int(body[length-1])
		c.offset[length] = int32(total) - code
		code += int32(n)
		total += n
		if code > 1<<length {
			return nil, 0, errors.New("a Huffman table has more codes than there can be")
		}
		c.end[length] = code << (16 - length)
		code <<= 1
	}
	if total > 256 || len(body) < 16+total {
		return nil, 0, errShort
	}
	c.symbol = body[16 : 16+total : 16+total]
	return c, 16 + total, nil
}

// find returns the symbol whose code begins the 16 bits, and the code's length; 0 is
// no code.
func (c *codes) find(bits int32) (symbol byte, length int) {
	for length = 1; length <= 16; length++ {
		if bits < c.end[length] {
			return c.symbol[bits>>(16-length)+c.offset[length]], length
		}
	}
	return 0, 0
}

// dcTable decodes the codes of DC differences: by their first bits, the symbol and
// the length of its code, or 0 for codes that are longer.
type dcTable struct {
	fast [1 << peek]uint16
	*codes
}

func newDCTable(c *codes) *dcTable {
	t := &dcTable{codes: c}
	for bits := range t.fast {
		if symbol, length := c.find(int32(bits) << (16 - peek)); length > 0 && length <= peek {
			t.fast[bits] = uint16(symbol)<<8 | uint16(length)
		}
	}
	return t
}

// acTable decodes the codes of AC coefficients.
type acTable struct {
	// one decodes one code with the value that follows it: value, run of zeros
	// before it, and bits of both, each where the constants below say; 0 where they
	// are too long.
	one [1 << peek]uint32
	// skip passes over as many codes and their values as fit: the coefficients that
	// they stand for, whether they end the block, and their bits.
	skip [1 << peek]uint16
	*codes
}

// How the entries of acTable are made up. The end of a block is a run that leads out
// of it.
const (
	bitsMask = 0x1f
	runShift = 5
	runMask  = 0x7f
	endRun   = 64 // of one

	valueShift = 16 // of one, signed

	skipShift = 5 // of skip
	skipMask  = 0x7f
	skipEnd   = 1 << 15
)

func newACTable(c *codes) *acTable {
	t := &acTable{codes: c}
	for bits := range t.one {
		t.one[bits] = c.one(uint32(bits) << (32 - peek))
	}
	for bits := range t.skip {
		t.skip[bits] = t.several(uint32(bits))
	}
	return t
}

// one looks the code at the beginning of left-aligned bits up, of which peek are
// known.
func (c *codes) one(bits uint32) uint32 {
	symbol, length := c.find(int32(bits >> 16))
	run, size := uint32(symbol>>4), int(symbol&15)
	used := length + size
	switch {
	case length == 0 || used > peek:
		return 0
	case size > 0:
		value := extend(int32(bits<<length>>(32-size)), size)
		return uint32(value)<<valueShift | run<<runShift | uint32(used)
	case run == 15: // sixteen zeros: a value of 0 behind fifteen
		return run<<runShift | uint32(used)
	default:
		return endRun<<runShift | uint32(used)
	}
}

// several adds up the codes at the beginning of bits, each of which must be whole.
func (t *acTable) several(bits uint32) uint16 {
	var used, passed uint32
	for {
		e := t.one[bits<<used&(1<<peek-1)]
		n := e & bitsMask
		if n == 0 || used+n > peek {
			break
		}
		used += n
		run := e >> runShift & runMask
		if run == endRun {
			// It counts as a coefficient, so that it is only taken inside of a block.
			return skipEnd | uint16((passed+1)<<skipShift|used)
		}
		if passed += run + 1; passed > 63 {
			return 0
		}
	}
	return uint16(passed<<skipShift | used)
}

// extend turns the bits of a value into a signed one. ITU-T T.81, F.2.2.1.
func extend(bits int32, size int) int32 {
	if size > 0 && bits < 1<<(size-1) {
		bits += -1<<size + 1
	}
	return bits
}
