package picture

import "math"

// weightBits is the precision of the weights of a filter: with samples of 8 bits and
// the overshoot of its lobes a sum fits into 32 bits.
const weightBits = 14

// axis says of which samples along one dimension each new sample is made.
type axis struct {
	taps    int     // how many
	first   []int32 // the first of them
	weights []int32 // taps for each new sample, together 1 << weightBits
}

// newAxis makes n samples that span so many of the have that there are. The spans
// are of the picture and need not be whole numbers: of a picture of 5 pixels at half
// the resolution there are 3 samples, which span 2.5. A mirrored axis runs backwards.
func newAxis(n int, span float64, have int, haveSpan float64, mirrored bool) axis {
	scale := haveSpan / span
	stretch := max(scale, 1) // a smaller picture needs a filter as wide as its new samples
	reach := lanczosLobes * stretch
	a := axis{taps: min(int(math.Ceil(2*reach))+1, have)}
	a.first = make([]int32, n)
	a.weights = make([]int32, n*a.taps)
	exact := make([]float64, a.taps)
	for i := range n {
		at := float64(i) + 0.5
		if mirrored {
			at = span - at
		}
		center := at*scale - 0.5
		first := min(max(int(math.Ceil(center-reach)), 0), have-a.taps)
		sum := 0.0
		for t := range exact {
			exact[t] = lanczos((float64(first+t) - center) / stretch)
			sum += exact[t]
		}
		a.first[i] = int32(first)
		quantize(a.weights[i*a.taps:(i+1)*a.taps], exact, sum)
	}
	return a
}

// quantize turns weights into fixed point so that they are together exactly one: a
// plain area stays as it is.
func quantize(weights []int32, exact []float64, sum float64) {
	if sum == 0 { // beyond the last sample
		exact, sum = append([]float64(nil), exact...), 1
		exact[len(exact)-1] = 1
	}
	left, largest := int32(1<<weightBits), 0
	for t, w := range exact {
		weights[t] = int32(math.Round(w / sum * (1 << weightBits)))
		left -= weights[t]
		if weights[t] > weights[largest] {
			largest = t
		}
	}
	weights[largest] += left
}

// lanczosLobes is how far the filter reaches on each side.
const lanczosLobes = 3

// lanczos is the Lanczos window of three lobes, which keeps edges where they are and
// lets little of what is too fine to be seen through.
func lanczos(x float64) float64 {
	switch {
	case x == 0:
		return 1
	case x <= -lanczosLobes || x >= lanczosLobes:
		return 0
	}
	x *= math.Pi
	return lanczosLobes * math.Sin(x) * math.Sin(x/lanczosLobes) / (x * x)
}

// along applies the axis to a row of samples of one channel.
func (a axis) along(to, row []byte) {
	for i := range to {
		weights := a.weights[i*a.taps : (i+1)*a.taps]
		samples := row[a.first[i]:]
		samples = samples[:len(weights)]
		sum := int32(1 << (weightBits - 1))
		for t, w := range weights {
			sum += w * int32(samples[t])
		}
		to[i] = clamp(sum)
	}
}

// along4 applies the axis to a row of pixels of four channels.
func (a axis) along4(to, row []byte) {
	for i := range a.first {
		weights := a.weights[i*a.taps : (i+1)*a.taps]
		samples := row[4*a.first[i]:]
		samples = samples[:4*len(weights)]
		const half = 1 << (weightBits - 1)
		r, g, b, alpha := int32(half), int32(half), int32(half), int32(half)
		for t, w := range weights {
			s := samples[4*t : 4*t+4 : 4*t+4]
			r += w * int32(s[0])
			g += w * int32(s[1])
			b += w * int32(s[2])
			alpha += w * int32(s[3])
		}
		p := to[4*i : 4*i+4 : 4*i+4]
		p[0], p[1], p[2], p[3] = clamp(r), clamp(g), clamp(b), clamp(alpha)
	}
}

// across makes the i-th row of the rows of an image.
func (a axis) across(to []byte, i int, rows []byte, sums []int32) {
	stride := len(to)
	for x := range sums {
		sums[x] = 1 << (weightBits - 1)
	}
	for t, w := range a.weights[i*a.taps : (i+1)*a.taps] {
		if w == 0 {
			continue
		}
		at := (int(a.first[i]) + t) * stride
		row := rows[at : at+stride]
		row = row[:len(sums)]
		for x, v := range row {
			sums[x] += w * int32(v)
		}
	}
	for x, sum := range sums {
		to[x] = clamp(sum)
	}
}

func clamp(sum int32) byte {
	v := sum >> weightBits
	if uint32(v) > 255 {
		return byte(^(v >> 31)) // 0 below, 255 above
	}
	return byte(v)
}
