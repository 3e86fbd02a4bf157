package jpegscale

// The inverse transform of N x N samples from the N x N lowest of the coefficients of
// a block of 8 x 8:
//
//	f(x, y) = 1/4 * sum C(u) C(v) F(u, v) cos((2x+1)uπ/2N) cos((2y+1)vπ/2N)
//
// with C(0) = 1/√2 and C = 1 otherwise (ITU-T T.81, A.3.3, with 8 replaced by N but in
// the scale). Each dimension contributes 1/2 C cos, here in fixed point.

// precision of the constants. The first pass keeps spare bits of its results.
const (
	precision = 12
	spare     = 4
)

// sample rounds, and puts what is around 0 around 128.
func sample(v int32, shift uint) byte {
	v = (v+1<<(shift-1))>>shift + 128
	if uint32(v) > 255 {
		return byte(^(v >> 31)) // 0 below, 255 above
	}
	return byte(v)
}

func fill(to []byte, stride, n int, v byte) {
	for y := range n {
		row := to[y*stride : y*stride+n]
		for x := range row {
			row[x] = v
		}
	}
}

// idct2 needs no constant: all of them are 1/√2, twice.
func idct2(to []byte, stride int, f *[64]int32) {
	a, b := f[0]+f[1], f[0]-f[1]
	c, d := f[8]+f[9], f[8]-f[9]
	to[0], to[1] = sample(a+c, 3), sample(b+d, 3)
	to[stride], to[stride+1] = sample(a-c, 3), sample(b-d, 3)
}

const (
	half   = 1448 // 1/2 * 1/√2
	cosA3  = 1774 // 1/2 * cos(π/6)
	cosB3  = 1024 // 1/2 * cos(2π/6)
	cosA4  = 1892 // 1/2 * cos(π/8)
	cosB4  = 784  // 1/2 * cos(3π/8)
	round1 = 1 << (precision - spare - 1)
)

func idct3(to []byte, stride int, f *[64]int32) {
	var t [9]int32
	for u := range 3 { // down the columns
		even, odd, two := f[u]*half+round1, f[8+u]*cosA3, f[16+u]*cosB3
		t[u] = (even + odd + two) >> (precision - spare)
		t[3+u] = (even - 2*two) >> (precision - spare)
		t[6+u] = (even - odd + two) >> (precision - spare)
	}
	for y := range 3 {
		row := to[y*stride : y*stride+3]
		even, odd, two := t[3*y]*half, t[3*y+1]*cosA3, t[3*y+2]*cosB3
		row[0] = sample(even+odd+two, precision+spare)
		row[1] = sample(even-2*two, precision+spare)
		row[2] = sample(even-odd+two, precision+spare)
	}
}

func idct4(to []byte, stride int, f *[64]int32) {
	var t [16]int32
	for u := range 4 {
		plus, minus := (f[u]+f[16+u])*half+round1, (f[u]-f[16+u])*half+round1
		outer, inner := f[8+u]*cosA4+f[24+u]*cosB4, f[8+u]*cosB4-f[24+u]*cosA4
		t[u] = (plus + outer) >> (precision - spare)
		t[4+u] = (minus + inner) >> (precision - spare)
		t[8+u] = (minus - inner) >> (precision - spare)
		t[12+u] = (plus - outer) >> (precision - spare)
	}
	for y := range 4 {
		row := to[y*stride : y*stride+4]
		a, b, c, d := t[4*y], t[4*y+1], t[4*y+2], t[4*y+3]
		plus, minus := (a+c)*half, (a-c)*half
		outer, inner := b*cosA4+d*cosB4, b*cosB4-d*cosA4
		row[0] = sample(plus+outer, precision+spare)
		row[1] = sample(minus+inner, precision+spare)
		row[2] = sample(minus-inner, precision+spare)
		row[3] = sample(plus-outer, precision+spare)
	}
}
