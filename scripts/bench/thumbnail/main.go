// Command thumbnail measures what the copies of a 12-megapixel JPEG cost in CPU time
// beside npm's sharp, and how like they are, and fails when a copy takes more than 1.5
// times as long or is less than 0.98 like in structure.
//
//	go run ./scripts/bench/thumbnail [-photo FILE] [-rounds 7] [-runs 5] [-check=false]
//
// Both make the same copies from the same bytes in memory, in turn in every round, so
// that whatever else the machine does meets both alike; figures are of the best round
// of each. Without -photo it makes a picture that compresses like a photograph. sharp
// is installed below .tools with npm.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/stowage-dev/stowage/scripts/bench/subject"
	"github.com/stowage-dev/stowage/scripts/command"
	"github.com/stowage-dev/stowage/shared/picture"
)

const (
	maxRatio = 1.5
	minSSIM  = 0.98
)

type options struct {
	photo        string
	rounds, runs int
	check        bool
}

func main() {
	var o options
	flag.StringVar(&o.photo, "photo", "", "a JPEG to copy; none: one is made")
	flag.IntVar(&o.rounds, "rounds", 7, "how often the two are measured in turn")
	flag.IntVar(&o.runs, "runs", 5, "how many copies of each size a round makes")
	flag.BoolVar(&o.check, "check", true, "fail when a figure is not reached")
	flag.Parse()
	os.Exit(command.Run("thumbnail", func(ctx context.Context) error { return run(ctx, o) }))
}

// sizes are those that derivatives have.
func sizes() []int { return []int{256, 1024} }

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "thumbnail-")
	if err != nil {
		return fmt.Errorf("make a directory for pictures: %w", err)
	}
	defer os.RemoveAll(dir)
	if o.photo == "" {
		o.photo = filepath.Join(dir, "photo.jpg")
		if err := writePhoto(o.photo); err != nil {
			return err
		}
	}
	data, err := os.ReadFile(o.photo)
	if err != nil {
		return fmt.Errorf("read the photo: %w", err)
	}
	installed, err := subject.InstallPeer(ctx, "bench-sharp", sharpFiles, "sharp")
	if err != nil {
		return err
	}
	peer := sharp(installed)
	ours, theirs := best{}, best{}
	for range o.rounds {
		took, err := measure(data, o.runs)
		if err != nil {
			return err
		}
		ours.keep(took)
		if took, err = peer.measure(ctx, o.photo, dir, o.runs); err != nil {
			return err
		}
		theirs.keep(took)
	}
	return report(data, dir, o, ours, theirs)
}

// best is the least CPU time that a copy of each size took, in milliseconds.
type best map[int]float64

func (b best) keep(took map[int]float64) {
	for size, ms := range took {
		if least, ok := b[size]; !ok || ms < least {
			b[size] = ms
		}
	}
}

func report(data []byte, dir string, o options, ours, theirs best) error {
	exact, err := reference(data)
	if err != nil {
		return err
	}
	fmt.Printf("%d bytes, %d x %d pixels\n\n", len(data), exact.width, exact.height)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "copy\tours (ms CPU)\tsharp (ms CPU)\tratio\tSSIM to sharp\tSSIM to exact\tsharp's to exact\tbytes\tsharp's\t")
	var errs []error
	for _, size := range sizes() {
		p, err := picture.Copies(data, []int{size}, picture.DefaultLimits())
		if err != nil {
			return err
		}
		peer, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("sharp-%d.jpg", size)))
		if err != nil {
			return fmt.Errorf("read sharp's copy: %w", err)
		}
		like, err := compare(p.Copies[0].Data, peer, exact)
		if err != nil {
			return err
		}
		ratio := ours[size] / theirs[size]
		fmt.Fprintf(w, "%d\t%.1f\t%.1f\t%.2f\t%.4f\t%.4f\t%.4f\t%d\t%d\t\n", size, ours[size], theirs[size], ratio,
			like.toPeer, like.toExact, like.peerToExact, len(p.Copies[0].Data), len(peer))
		if ratio > maxRatio {
			errs = append(errs, fmt.Errorf("the copy of %d pixels takes %.2f times as long as sharp's, the most is %.1f", size, ratio, maxRatio))
		}
		// Where sharp loses the edge of a picture whose size is no multiple of 8, unlike
		// it is no fault.
		if like.toPeer < minSSIM && like.toExact < like.peerToExact {
			errs = append(errs, fmt.Errorf("the copy of %d pixels is %.4f like sharp's, the least is %.2f", size, like.toPeer, minSSIM))
		}
	}
	fmt.Fprintf(w, "both\t%.1f\t%.1f\t%.2f\t\t\t\t\t\t\n", ours[0], theirs[256]+theirs[1024], ours[0]/(theirs[256]+theirs[1024]))
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	if !o.check {
		return nil
	}
	return errors.Join(errs...)
}
