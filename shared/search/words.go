// Package search is the domain of finding objects by words: how names are split into
// words, what a query may say, and how a misspelt one is corrected.
//
// Everything here is pure, and safe for concurrent use.
package search

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Marks surround a match in a text that was highlighted. They are for private use in
// Unicode, and Clean takes them out of whatever is stored.
const (
	MarkBegin = '\ue000'
	MarkEnd   = '\ue001'
)

// maxWordBytes is the longest word that is kept; a longer run of letters is no word.
const maxWordBytes = 64

// Words splits a name into its words, in lower case: runs of letters and digits, and, of
// a run such as "annualReport2026", its parts too. A word appears once for each time that
// it is there.
func Words(text string) []string {
	var words []string
	for _, run := range runs(text) {
		if w := strings.ToLower(run); len(w) <= maxWordBytes {
			words = append(words, w)
		}
		if parts := parts(run); len(parts) > 1 {
			for _, p := range parts {
				if w := strings.ToLower(p); len(w) <= maxWordBytes {
					words = append(words, w)
				}
			}
		}
	}
	return words
}

// runs are the stretches of letters, digits and the marks that belong to them.
func runs(text string) []string {
	return strings.FieldsFunc(norm.NFC.String(strings.ToValidUTF8(text, " ")), func(r rune) bool { return !wordRune(r) })
}

func wordRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) }

// parts splits a run where lower case turns into upper case and between letters and digits.
func parts(run string) []string {
	var out []string
	begin, last := 0, rune(0)
	for i, r := range run {
		if i > 0 && (unicode.IsLower(last) && unicode.IsUpper(r) || unicode.IsDigit(last) != unicode.IsDigit(r) && !unicode.IsMark(r)) {
			out = append(out, run[begin:i])
			begin = i
		}
		last = r
	}
	return append(out, run[begin:])
}

// Known reports whether a word is worth being known as the right spelling of another one:
// letters alone, neither too short nor too long.
func Known(word string) bool {
	n := 0
	for _, r := range word {
		if !unicode.IsLetter(r) {
			return false
		}
		n++
	}
	return n >= 4 && n <= 32
}

// Clean makes a text fit to be stored: valid UTF-8 without NUL and without marks, cut
// after at most max bytes, between two characters.
func Clean(text string, most int) string {
	if len(text) > most {
		text = text[:most]
		for len(text) > 0 {
			if r, n := utf8.DecodeLastRuneInString(text); r == utf8.RuneError && n == 1 {
				text = text[:len(text)-1]
				continue
			}
			break
		}
	}
	return strings.Map(func(r rune) rune {
		switch r {
		case 0, MarkBegin, MarkEnd:
			return ' '
		default:
			return r
		}
	}, strings.ToValidUTF8(text, " "))
}
