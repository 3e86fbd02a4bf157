// Command build makes the executables of the functions: functions/<name> for
// linux/arm64 in dist/<name>/bootstrap. The same source gives the same bytes
// from any directory and on any machine, so that a deployment replaces only
// what has changed.
//
//	go run ./scripts/build [-tags notrace] [-out dist] [name ...]
//
// Without names it builds every function. A function that does not compile is
// named with what the compiler said, and the others are built all the same.
//
// With -os, -arch and -from, benchmarks build with the same flags what they run on this
// machine, and what is no function.
package main

import (
	"context"
	"flag"
	"os"

	"github.com/stowage-dev/stowage/scripts/command"
)

func main() {
	out := flag.String("out", "dist", "directory that is written, relative to the module")
	tags := flag.String("tags", "", "build tags beside those of every function, comma-separated (notrace: without X-Ray)")
	system := flag.String("os", "linux", "operating system; Lambda's is linux")
	arch := flag.String("arch", "arm64", "processor: arm64, as the stacks say, or amd64")
	from := flag.String("from", "functions", "directory that the functions lie in, relative to the module")
	flag.Parse()

	b := builder{from: *from, out: *out, tags: *tags, os: *system, arch: *arch, log: os.Stderr}
	os.Exit(command.Run("build", func(ctx context.Context) error { return b.build(ctx, ".", flag.Args()) }))
}
