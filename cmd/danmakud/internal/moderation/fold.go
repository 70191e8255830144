package moderation

import (
	"hash/maphash"
	"slices"
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

	squeezed  []byte // the text as comments are compared, three bytes a code point
	last      rune   // the last of squeezed
	run       int    // how many of it there were
	separator bool   // a visible separator came behind the last of runes

	iter   norm.Iter // unlike Append it allocates nothing
	normal []byte    // a segment normalized,
	cased  []byte    // with its case folded,
	folded []byte    // and normalized again
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
	sc.begin()
	foldings := theFoldings()
	for i := 0; i < len(text); {
		var f folding
		size := 1
		if c := text[i]; c < utf8.RuneSelf {
			f = foldings.table[c]
		} else {
			var r rune
			r, size = utf8.DecodeRuneInString(text[i:])
			if r < tableEnd {
				f = foldings.table[r]
			} else {
				f = foldingHigh(r)
			}
		}
		switch {
		case f&^foldPlain == 0:
			sc.add(f, uint32(i), uint32(i+size))
		case f&foldJoins != 0:
			sc.foldSlow(text)
			return
		case f&foldSeveral != 0:
			for _, f := range foldings.several[f&foldRune] {
				sc.take(f, uint32(i), uint32(i+size))
			}
		default:
			sc.leave(f)
		}
		i += size
	}
}

func (sc *Scratch) begin() {
	sc.runes, sc.origins, sc.squeezed = sc.runes[:0], sc.origins[:0], sc.squeezed[:0]
	sc.last, sc.run, sc.separator = -1, 0, false
}

// foldingHigh is foldingOf for what is beyond the table: of emoji and of the
// ideographs of plane 2 it knows that they stay as they are, everything else goes
// the slow way.
func foldingHigh(r rune) folding {
	if 0x1F300 <= r && r <= 0x1FAFF && (r < 0x1F3FB || r > 0x1F3FF) || 0x20000 <= r && r <= 0x2A6DF {
		return folding(r)
	}
	return foldJoins
}

// foldSlow is fold for texts in which code points join or become several: it goes
// by the segments of the normalization, and all that a segment becomes has the
// whole segment as its origin.
func (sc *Scratch) foldSlow(text string) {
	sc.begin()
	for start := 0; start < len(text); {
		end := start + norm.NFKC.NextBoundaryInString(text[start:], true)
		for folded := sc.foldSegment(text[start:end]); len(folded) > 0; {
			r, size := utf8.DecodeRune(folded)
			folded = folded[size:]
			sc.take(foldingFolded(r), uint32(start), uint32(end))
		}
		start = end
	}
}

// foldSegment returns a segment normalized, with its case folded, and normalized
// again; valid until the next call.
func (sc *Scratch) foldSegment(segment string) []byte {
	if len(segment) == 1 && segment[0] < utf8.RuneSelf {
		sc.folded = append(sc.folded[:0], byte(theFoldings().table[segment[0]]))
		return sc.folded
	}
	sc.iter.InitString(norm.NFKC, segment)
	sc.normal = sc.appendIter(sc.normal[:0])
	// No character becomes more than three times as long.
	sc.cased = slices.Grow(sc.cased[:0], 3*len(sc.normal))
	n, _, err := foldCase.Transform(sc.cased[:3*len(sc.normal)], sc.normal, true)
	if err != nil {
		return sc.normal // not UTF-8
	}
	sc.iter.Init(norm.NFKC, sc.cased[:n])
	sc.folded = sc.appendIter(sc.folded[:0])
	return sc.folded
}

func (sc *Scratch) appendIter(dst []byte) []byte {
	for !sc.iter.Done() {
		dst = append(dst, sc.iter.Next()...)
	}
	return dst
}

// foldingFolded is classify, by the table where that knows.
func foldingFolded(r rune) folding {
	if r < tableEnd {
		if f := theFoldings().table[r]; f&(foldJoins|foldSeveral) == 0 {
			return f
		}
	}
	return classify(r)
}

// take is add or leave.
func (sc *Scratch) take(f folding, start, end uint32) {
	if f&^foldPlain == 0 {
		sc.add(f, start, end)
	} else {
		sc.leave(f)
	}
}

// leave takes what no word has: it may be a separator, and may count when comments
// are compared.
func (sc *Scratch) leave(f folding) {
	if f&foldDrop != 0 {
		return
	}
	sc.separator = true
	if f&foldMark != 0 {
		sc.squeeze(rune(f & foldRune))
	}
}

// add takes a folded code point that words may have and that came from
// text[start:end].
func (sc *Scratch) add(f folding, start, end uint32) {
	r := rune(f & foldRune)
	sc.squeeze(r)
	sc.runes = append(sc.runes, r)
	sc.origins = append(sc.origins, origin{start, end, sc.separator, f&foldLetter != 0})
	sc.separator = false
}

// squeezedRune is what one code point has in Scratch.squeezed.
const squeezedRune = 3

// squeeze adds r to the text as it is compared: of a run there are two at most, so
// that 哈哈哈哈 is 哈哈 and 66666 is 666. Zeros stay, 100 is not 1000.
func (sc *Scratch) squeeze(r rune) {
	if r != sc.last {
		sc.last, sc.run = r, 0
	}
	if sc.run++; sc.run <= 2 || r == '0' {
		sc.squeezed = append(sc.squeezed, byte(r>>16), byte(r>>8), byte(r))
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
