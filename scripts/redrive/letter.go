package main

import (
	"context"
	"slices"
	"strings"
	"time"
)

// letter is one thing that was given up.
type letter struct {
	source  string
	id      string
	at      time.Time // when it came to be
	to      string    // who is to try again: a function or a queue
	code    string
	message string
	about   []string // keys, ids and paths in it
	payload []byte

	// redrive has it tried again and removes it. An error leaves it where it is.
	redrive func(ctx context.Context) error
}

// source is a place where letters lie.
type source interface {
	name() string
	// each calls do for every letter until do returns false. Letters are valid until
	// each returns.
	each(ctx context.Context, do func(letter) (more bool)) error
}

// filter says which letters are meant.
type filter struct {
	now          time.Time
	older, newer time.Duration
	failure      string
	key          string
	id           string
	limit        int
}

func (f filter) matches(l letter) bool {
	age := f.now.Sub(l.at)
	has := func(text, part string) bool { return strings.Contains(strings.ToLower(text), strings.ToLower(part)) }
	switch {
	case f.older > 0 && age < f.older, f.newer > 0 && age > f.newer:
		return false
	case f.failure != "" && !has(l.code, f.failure) && !has(l.message, f.failure):
		return false
	case f.id != "" && !has(l.id, f.id):
		return false
	case f.key != "" && !slices.ContainsFunc(l.about, func(key string) bool { return strings.Contains(key, f.key) }):
		return false
	}
	return true
}
