package moderation

import (
	"hash/maphash"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Scratch is the memory that judging needs, kept from one comment to the next.
// The zero value is ready; one goroutine at a time.
type Scratch struct {
	// runes is the text as words are looked for in it, and origins, of the same
	// length, where each of them came from.
	runes   []rune
	origins []origin

	squeezed  []byte // the text as comments are compared
	last      rune   // the last of squeezed
	run       int    // how many of it there were
	separator bool   // a visible separator came behind the last of runes

	normal norm.Iter
	folded []byte // a segment with its case folded
	hits   []hit
	masked []byte
}

// origin is where a folded code point came from: the bytes of the text.
type origin struct {
	start, end uint32
	apart      bool // a visible separator stands before it
	letter     bool // see foldLetter
}

// fold brings text into the form in which words are looked for: NFKC, case folded,
// without separators and what is not to be seen. Afterwards sc.runes and
// sc.origins have it, and sc.squeezed the form for key. All are valid until the
// next call. Nothing is allocated once sc has its size.
func (sc *Scratch) fold(text string) {
	sc.runes, sc.origins, sc.squeezed = sc.runes[:0], sc.origins[:0], sc.squeezed[:0]
	sc.last, sc.run, sc.separator = -1, 0, false
	table := foldingTable()
	for i := 0; i < len(text); {
		var f folding
		size := 1
		if c := text[i]; c < utf8.RuneSelf {
			f = table[c]
		} else {
			var r rune
			r, size = utf8.DecodeRuneInString(text[i:])
			if r < tableEnd {
				f = table[r]
			} else {
				f = foldingHigh(r)
			}
		}
		if f&foldComplex != 0 {
			sc.foldSlow(text)
			return
		}
		sc.add(f, uint32(i), uint32(i+size))
		i += size
	}
}

// foldingHigh is foldingOf for what is beyond the table: of emoji and of the
// ideographs of plane 2 it knows that they stay as they are, everything else goes
// the slow way.
func foldingHigh(r rune) folding {
	if 0x1F300 <= r && r <= 0x1FAFF || 0x20000 <= r && r <= 0x2A6DF {
		return folding(r)
	}
	return foldComplex
}

// foldSlow is fold for texts in which code points join or become several: it goes
// by the segments of the normalization, and all that a segment becomes has the
// whole segment as its origin.
func (sc *Scratch) foldSlow(text string) {
	sc.runes, sc.origins, sc.squeezed = sc.runes[:0], sc.origins[:0], sc.squeezed[:0]
	sc.last, sc.run, sc.separator = -1, 0, false
	sc.normal.InitString(norm.NFKC, text)
	for start := 0; !sc.normal.Done(); {
		segment := sc.normal.Next()
		end := sc.normal.Pos()
		sc.folded = norm.NFKC.Append(sc.folded[:0], foldCase.Bytes(segment)...)
		for i := 0; i < len(sc.folded); {
			r, size := utf8.DecodeRune(sc.folded[i:])
			i += size
			sc.add(classify(r), uint32(start), uint32(end))
		}
		start = end
	}
}

// add takes one folded code point that came from text[start:end].
func (sc *Scratch) add(f folding, start, end uint32) {
	if f&foldDrop != 0 {
		return
	}
	if f&foldSpace != 0 {
		sc.separator = true
		return
	}
	r := rune(f & foldRune)
	sc.squeeze(r)
	if f&foldMark != 0 {
		sc.separator = true
		return
	}
	sc.runes = append(sc.runes, r)
	sc.origins = append(sc.origins, origin{start, end, sc.separator, f&foldLetter != 0})
	sc.separator = false
}

// squeeze adds r to the text as it is compared: of a run there are two at most, so
// that 哈哈哈哈 is 哈哈 and 66666 is 666. Zeros stay, 100 is not 1000.
func (sc *Scratch) squeeze(r rune) {
	if r != sc.last {
		sc.last, sc.run = r, 0
	}
	if sc.run++; sc.run <= 2 || r == '0' {
		sc.squeezed = utf8.AppendRune(sc.squeezed, r)
	}
}

// key returns what is equal for texts that say the same after fold, and never 0
// unless there is nothing to be seen.
func (sc *Scratch) key(seed maphash.Seed) uint64 {
	if len(sc.squeezed) == 0 {
		return 0
	}
	return max(1, maphash.Bytes(seed, sc.squeezed))
}

// foldWord returns a word of a list in the form in which it is looked for; it
// lives until the next call of fold.
func (sc *Scratch) foldWord(word string) []rune {
	sc.fold(word)
	return sc.runes
}
