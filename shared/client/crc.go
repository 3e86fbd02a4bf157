package client

import (
	"encoding/base64"
	"encoding/binary"
)

// nvmePolynomial is the generator of CRC-64/NVME, its bits reflected.
// https://reveng.sourceforge.io/crc-catalogue/17plus.htm#crc.cat.crc-64-nvme
const nvmePolynomial = 0x9a6c9329ac4bc9b5

// matrix is a linear map over GF(2) on the 64 bits of a checksum: column i is what
// bit i alone becomes.
type matrix [64]uint64

func (m *matrix) times(v uint64) uint64 {
	var sum uint64
	for i := 0; v != 0; i, v = i+1, v>>1 {
		if v&1 == 1 {
			sum ^= m[i]
		}
	}
	return sum
}

// after returns the map that is first o, then m.
func (m *matrix) after(o *matrix) *matrix {
	var out matrix
	for i, column := range o {
		out[i] = m.times(column)
	}
	return &out
}

// oneZeroBit is what a checksum becomes when one zero bit follows.
func oneZeroBit() *matrix {
	var m matrix
	m[0] = nvmePolynomial
	for i := 1; i < 64; i++ {
		m[i] = 1 << (i - 1)
	}
	return &m
}

// zeroBytes is what a checksum becomes when n zero bytes follow. With it, parts that
// are hashed side by side give the checksum of the whole, as zlib's crc32_combine does
// for 32 bits: crc(A+B) = zeroBytes(len(B)).times(crc(A)) ^ crc(B).
func zeroBytes(n int64) *matrix {
	step := oneZeroBit()
	for range 3 { // one bit, doubled thrice, is one byte
		step = step.after(step)
	}
	var out matrix
	for i := range out {
		out[i] = 1 << i
	}
	all := &out
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			all = step.after(all)
		}
		step = step.after(step)
	}
	return all
}

func base64CRC(sum uint64) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, sum))
}
