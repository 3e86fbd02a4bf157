package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// work goes over all sources and does what was asked for.
type work struct {
	options
	out      io.Writer
	progress *progress

	seen, matched, redriven int
	failed                  []error
}

func (w *work) do(ctx context.Context, sources []source) error {
	for _, s := range sources {
		if w.full() {
			break
		}
		err := s.each(ctx, func(l letter) bool {
			w.seen++
			w.progress.tick(w)
			if !w.filter.matches(l) {
				return true
			}
			w.matched++
			w.one(ctx, l)
			return !w.full() && ctx.Err() == nil
		})
		if err != nil {
			return errors.Join(fmt.Errorf("%s: %w", s.name(), err), w.end())
		}
	}
	if err := ctx.Err(); err != nil {
		return errors.Join(fmt.Errorf("interrupted: %w", err), w.end())
	}
	return w.end()
}

func (w *work) full() bool { return w.filter.limit > 0 && w.matched >= w.filter.limit }

func (w *work) one(ctx context.Context, l letter) {
	switch {
	case w.action == list:
		w.printLine("", l)
	case w.action == show:
		w.printWhole(l)
	case w.dryRun:
		w.printLine("would redrive ", l)
	default:
		if err := l.redrive(ctx); err != nil {
			w.failed = append(w.failed, fmt.Errorf("%s %s: %w", l.source, l.id, err))
			fmt.Fprintf(w.out, "failed   %s  %s: %v\n", l.source, l.id, err)
			return
		}
		w.redriven++
		w.printLine("redriven ", l)
	}
}

// printLine tells of a letter in one line.
func (w *work) printLine(what string, l letter) {
	failure := l.code
	if l.message != "" {
		failure = strings.TrimPrefix(failure+": "+l.message, ": ")
	}
	const most = 160
	if r := []rune(oneLine(failure)); len(r) > most {
		failure = string(r[:most]) + "…"
	}
	fmt.Fprintf(w.out, "%s%s  %s  %s  -> %s  %s  [%s]\n", what, l.source, l.id, w.age(l), l.to, oneLine(failure), strings.Join(l.about, " "))
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

func (w *work) age(l letter) string {
	age := w.filter.now.Sub(l.at)
	switch {
	case l.at.IsZero():
		return "?"
	case age >= 48*time.Hour:
		return fmt.Sprintf("%dd", int(age.Hours()/24))
	default:
		return age.Truncate(time.Second).String()
	}
}

// printWhole prints a letter with its payload.
func (w *work) printWhole(l letter) {
	fmt.Fprintf(w.out, "source   %s\nid       %s\nat       %s (%s ago)\nto       %s\nerror    %s %s\nabout    %s\n",
		l.source, l.id, l.at.UTC().Format(time.RFC3339), w.age(l), l.to, l.code, l.message, strings.Join(l.about, " "))
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, l.payload, "", "  "); err != nil {
		pretty.Reset()
		pretty.Write(l.payload)
	}
	fmt.Fprintf(w.out, "%s\n\n", pretty.String())
}

// end sums up. Letters that failed again are an error.
func (w *work) end() error {
	w.progress.clear()
	switch {
	case w.action != redrive:
		fmt.Fprintf(w.out, "%d of %d\n", w.matched, w.seen)
	case w.dryRun:
		fmt.Fprintf(w.out, "%d of %d would be redriven\n", w.matched, w.seen)
	default:
		fmt.Fprintf(w.out, "%d redriven, %d failed again, of %d looked at\n", w.redriven, len(w.failed), w.seen)
	}
	if n := len(w.failed); n > 0 {
		return fmt.Errorf("%d of %d failed again and stay where they are", n, w.matched)
	}
	return nil
}

// progress tells now and then how far it is.
type progress struct {
	to    io.Writer
	now   func() time.Time
	last  time.Time
	shown bool
}

const progressEvery = time.Second

func newProgress(to io.Writer, o options, now func() time.Time) *progress {
	if o.action != redrive {
		to = io.Discard
	}
	return &progress{to: to, now: now, last: now()}
}

func (p *progress) tick(w *work) {
	if now := p.now(); now.Sub(p.last) >= progressEvery {
		p.last, p.shown = now, true
		fmt.Fprintf(p.to, "redrive: %d looked at, %d redriven, %d failed again\n", w.seen, w.redriven, len(w.failed))
	}
}

func (p *progress) clear() {
	if p.shown {
		fmt.Fprintln(p.to, "redrive: done")
	}
}
