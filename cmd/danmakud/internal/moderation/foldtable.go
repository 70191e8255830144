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
	foldDrop    folding = 1 << foldDropBit  // nothing to be seen: zero width, formatting, variation selectors
	foldSpace   folding = 1 << foldSpaceBit // white space
	foldMark    folding = 1 << foldMarkBit  // punctuation and the like: says something, but no word has it
	foldJoins   folding = 1 << 24           // may join the one before it: see Scratch.foldSlow
	foldLetter  folding = 1 << 25           // of a script that puts spaces between words, or a digit
	foldSeveral folding = 1 << 26           // becomes several: the low bits are an index into foldings.several
	foldMarks   folding = 1 << 27           // of foldJoins: nothing but what compose knows happens to it
	foldWhole   folding = 1 << 28           // is not made of others: compose may begin with it
	foldPlain           = foldRune | foldLetter | foldWhole

	foldDropBit, foldSpaceBit, foldMarkBit = 21, 22, 23
)

// tableEnd is where the table ends; above it are rare ideographs.
const tableEnd = 0x20000

// foldings is what becomes of every code point below tableEnd.
type foldings struct {
	table   [tableEnd]folding
	several [][]folding
	classes [tableEnd]uint8 // canonical combining classes of those that are foldMarks
	pairs   pairs
}

// theFoldings takes some milliseconds to make, so Open asks for it first.
var theFoldings = sync.OnceValue(func() *foldings {
	f := new(foldings)
	for r := range rune(tableEnd) {
		one, several := foldingOf(r)
		if several != nil {
			one = foldSeveral | folding(len(f.several))
			f.several = append(f.several, several)
		}
		f.table[r] = one | f.joining(r, one)
		f.pairs.note(r)
	}
	return f
})

// foldCase is stateless.
var foldCase = cases.Fold()

// foldingOf works out the folding of one code point, or the foldings of what it
// becomes.
func foldingOf(r rune) (one folding, several []folding) {
	if !utf8.ValidRune(r) {
		return folding(utf8.RuneError), nil
	}
	if invisible(r) {
		return foldDrop, nil
	}
	var buf [utf8.UTFMax]byte
	raw := buf[:utf8.EncodeRune(buf[:], r)]
	normal := norm.NFKC.Bytes(raw)
	if !norm.NFKC.Properties(raw).BoundaryBefore() || !norm.NFKC.Properties(normal).BoundaryBefore() {
		return foldJoins, nil
	}
	folded := []rune(string(norm.NFKC.Bytes(foldCase.Bytes(normal))))
	for _, r := range folded {
		several = append(several, classify(r))
	}
	if len(several) == 1 {
		return several[0], nil
	}
	return 0, several
}

// classify returns the folding of what is folded already.
func classify(r rune) folding {
	// The library folds either case of Cherokee to the other one.
	if 0xAB70 <= r && r <= 0xABBF {
		r += 0x13A0 - 0xAB70
	} else if 0x13F8 <= r && r <= 0x13FD {
		r += 0x13F0 - 0x13F8
	}
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

// isPlain is 1 if words may have it, else 0.
func (f folding) isPlain() uint32 { return uint32(f>>foldDropBit|f>>foldSpaceBit|f>>foldMarkBit)&1 ^ 1 }

// parts is 1 if it is a visible separator, else 0.
func (f folding) parts() uint32 {
	return uint32(f>>foldSpaceBit|f>>foldMarkBit) & 1 &^ uint32(f>>foldDropBit)
}

// counts is 1 if it counts when comments are compared, else 0.
func (f folding) counts() uint32 { return uint32(f>>foldDropBit|f>>foldSpaceBit)&1 ^ 1 }
