package main

import (
	"iter"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

type class uint8

const (
	other class = iota
	letter
	mark
	number
	apostrophe
)

// What the ASCII characters are: most text is made of them.
var ascii = func() (classes [utf8.RuneSelf]class) {
	for r := range rune(utf8.RuneSelf) {
		classes[r] = classByTables(r)
	}
	return classes
}()

func classOf(r rune) class {
	if r < utf8.RuneSelf {
		return ascii[r]
	}
	return classByTables(r)
}

func classByTables(r rune) class {
	switch {
	case r == '\'' || r == '’':
		return apostrophe
	case unicode.IsLetter(r):
		return letter
	case unicode.IsMark(r):
		return mark
	case unicode.IsNumber(r):
		return number
	}
	return other
}

// words iterates over the words of a text: maximal runs of letters, marks and numbers, apostrophes between
// letters included. A mark belongs to the letter before it.
func words(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		start := -1
		afterLetter := false
		for i, r := range text {
			switch class := classOf(r); class {
			case letter, number, mark:
				if start < 0 {
					start, afterLetter = i, false
				}
				if class != mark {
					afterLetter = class == letter
				}
				continue
			case apostrophe:
				next, _ := utf8.DecodeRuneInString(text[i+utf8.RuneLen(r):])
				if start >= 0 && afterLetter && classOf(next) == letter {
					continue
				}
			}
			if start >= 0 && !yield(text[start:i]) {
				return
			}
			start = -1
		}
		if start >= 0 {
			yield(text[start:])
		}
	}
}

// lowerCase lower-cases words by Unicode's default: unlike strings.ToLower, with a final sigma and with what
// becomes more than one character.
type lowerCase struct {
	caser cases.Caser
	// The last ASCII word, kept for its memory only.
	word []byte
}

func newLowerCase() lowerCase { return lowerCase{caser: cases.Lower(language.Und)} }

// of answers a word in lower case, which lasts until the next call.
func (l *lowerCase) of(word string) []byte {
	l.word = append(l.word[:0], word...)
	for i, c := range l.word {
		switch {
		case 'A' <= c && c <= 'Z':
			l.word[i] = c + 'a' - 'A'
		case c >= utf8.RuneSelf:
			return []byte(l.caser.String(word))
		}
	}
	return l.word
}
