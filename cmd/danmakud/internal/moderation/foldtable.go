package moderation

import (
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// A folding says what a code point of the text becomes: in the low bits the folded
// code point, and one of the flags.
type folding uint32

const (
	foldRune    folding = 1<<21 - 1
	foldDrop    folding = 1 << 21 // nothing to be seen: zero width, formatting, variation selectors
	foldSpace   folding = 1 << 22 // white space
	foldMark    folding = 1 << 23 // punctuation and the like: says something, but no word has it
	foldComplex folding = 1 << 24 // depends on its neighbours, or becomes several: see Scratch.foldSlow
	foldLetter  folding = 1 << 25 // of a script that puts spaces between words, or a digit
)

// foldingTable has the code points below tableEnd. Above it are emoji and rare
// characters; folding.go asks foldingOf for them.
const tableEnd = 0x10000

var foldingTable = sync.OnceValue(func() *[tableEnd]folding {
	table := new([tableEnd]folding)
	for r := range rune(tableEnd) {
		table[r] = foldingOf(r)
	}
	return table
})

// foldCase is stateless.
var foldCase = cases.Fold()

// foldingOf works out the folding of one code point.
func foldingOf(r rune) folding {
	if !utf8.ValidRune(r) {
		return folding(utf8.RuneError)
	}
	if invisible(r) {
		return foldDrop
	}
	var buf [utf8.UTFMax]byte
	raw := buf[:utf8.EncodeRune(buf[:], r)]
	if !norm.NFKC.Properties(raw).BoundaryBefore() {
		return foldComplex // it may join the one before it
	}
	folded := []rune(string(norm.NFKC.Bytes(foldCase.Bytes(norm.NFKC.Bytes(raw)))))
	if len(folded) != 1 {
		return foldComplex
	}
	return classify(folded[0])
}

// classify returns the folding of what is folded already.
func classify(r rune) folding {
	f := folding(r)
	switch {
	case invisible(r):
		return foldDrop
	case unicode.IsSpace(r), unicode.Is(unicode.Z, r):
		return f | foldSpace
	case unicode.In(r, unicode.P, unicode.Sk, unicode.Sm):
		return f | foldMark
	case unicode.IsDigit(r), unicode.IsLetter(r) && !unspaced(r):
		return f | foldLetter
	}
	return f
}

// unspaced reports whether words of r's script follow each other without a space.
func unspaced(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Bopomofo,
		unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar) || r == 'ー'
}

// invisible reports whether r shows nothing of its own. Marks that only change how
// the character before them looks are among them, and so are the fillers of
// Hangul, which are letters by category and shown as nothing.
func invisible(r rune) bool {
	switch {
	case unicode.Is(unicode.Cc, r):
		return !unicode.IsSpace(r)
	case unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point):
		return true
	}
	return r == '\u2800' // a Braille pattern without a dot
}
