package moderation

import (
	"encoding/binary"
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
	bare    bool // there are no origins
	// aparts has the index in runes before which a visible separator stands, for each of
	// those, in order.
	aparts []int32

	squeezed []byte // the text as comments are compared, see squeezedRune

	iter   norm.Iter // unlike Append it allocates nothing
	normal []byte    // a segment normalized,
	cased  []byte    // with its case folded,
	folded []byte    // and normalized again
	hits   []hit
	masked []byte
}

// origin is where a folded code point came from: the bytes of the text.
type origin struct{ start, end uint32 }

// fold brings text into the form in which words are looked for: NFKC, case folded,
// without separators and what is not to be seen. Afterwards sc.runes and
// sc.origins have it, and sc.squeezed the form for key. All are valid until the
// next call. Nothing is allocated once sc has its size.
func (sc *Scratch) fold(text string) {
	sc.begin()
	sc.foldParts(text)
}

// foldBare is fold without the origins, which most texts do not need.
func (sc *Scratch) foldBare(text string) {
	sc.begin()
	sc.bare = true
	sc.foldParts(text)
}

// foldParts is fold from sc.begin on.
func (sc *Scratch) foldParts(text string) {
	foldings := theFoldings()
	for i := 0; i < len(text); {
		if sc.bare {
			i = sc.foldPlainlyBare(foldings, text, i)
		} else {
			i = sc.foldPlainly(foldings, text, i)
		}
		if i >= len(text) {
			return
		}
		f, size := foldings.at(text, i)
		next, _ := foldings.at(text, i+size)
		if (f|next)&foldJoins != 0 {
			i = sc.foldJoined(text, i)
			continue
		}
		for _, f := range foldings.several[f&foldRune] { // or it would not have stopped
			sc.take(f, uint32(i), uint32(i+size))
		}
		i += size
	}
}

func (sc *Scratch) begin() {
	sc.runes, sc.origins, sc.squeezed = sc.runes[:0], sc.origins[:0], sc.squeezed[:0]
	sc.bare, sc.aparts = false, sc.aparts[:0]
}

// foldPlainly takes code points from text[i] on, up to the first that becomes several or
// may become one with others, and returns where it stopped.
func (sc *Scratch) foldPlainly(foldings *foldings, text string, i int) int {
	f, size := foldings.at(text, i)
	for f&(foldSeveral|foldJoins) == 0 && i < len(text) {
		after := i + size
		next, nextSize := foldings.at(text, after)
		if next&foldJoins != 0 {
			break
		}
		sc.take(f, uint32(i), uint32(after))
		i, f, size = after, next, nextSize
	}
	return i
}

// foldPlainlyBare is foldPlainly without the origins. Most of all texts go this way and
// no other, so all is in one loop and in few locals. What changes from one character to
// the next is computed rather than branched upon, as no processor foretells it; only
// ideographs, which come in runs, have their own way.
func (sc *Scratch) foldPlainlyBare(foldings *foldings, text string, i int) int {
	sc.grow(len(text) - i)
	begun, n, q := i, len(sc.runes), len(sc.squeezed)
	runes, squeezed := sc.runes[:cap(sc.runes)], sc.squeezed[:cap(sc.squeezed)]
	aparts, m := sc.aparts[:cap(sc.aparts)], len(sc.aparts)
	last, repeats := sc.lastSqueezed(), false
	for i < len(text) {
		if r := ideograph(text, i); r != 0 {
			if r == last {
				repeats = repeats || repeated(squeezed[:q], r)
			}
			last = r
			runes[n] = rune(r)
			binary.LittleEndian.PutUint32(squeezed[q:q+squeezedRune], r)
			n, q, i = n+1, q+squeezedRune, i+3
			continue
		}
		f, size := foldings.table[text[i]], 1
		if text[i] >= utf8.RuneSelf {
			f, size = foldings.at(text, i)
		}
		if f&(foldSeveral|foldJoins) != 0 {
			break
		}
		r, plain, parts, counts := uint32(f&foldRune), f.isPlain(), f.parts(), f.counts()
		if r == last {
			repeats = repeats || repeated(squeezed[:q], r)
		}
		last ^= (last ^ r) & -counts
		runes[n] = rune(r)
		binary.LittleEndian.PutUint32(squeezed[q:q+squeezedRune], r)
		aparts[m] = int32(n)
		n, m, q, i = n+int(plain), m+int(parts), q+int(counts*squeezedRune), i+size
	}
	sc.runes, sc.squeezed, sc.aparts = runes[:n], squeezed[:q], aparts[:m]
	if i < len(text) && i > begun {
		i = sc.giveBack(foldings, text, i)
	}
	if repeats {
		sc.squeezeAgain()
	}
	return i
}

// giveBack takes back the code point that ends at text[i], if the one behind it may join
// it, and returns where it stopped then. sc.squeezed still has all there was.
func (sc *Scratch) giveBack(foldings *foldings, text string, i int) int {
	if f, _ := foldings.at(text, i); f&foldJoins == 0 {
		return i
	}
	_, size := utf8.DecodeLastRuneInString(text[:i])
	i -= size
	f, _ := foldings.at(text, i)
	sc.runes = sc.runes[:len(sc.runes)-int(f.isPlain())]
	sc.aparts = sc.aparts[:len(sc.aparts)-int(f.parts())]
	sc.squeezed = sc.squeezed[:len(sc.squeezed)-int(f.counts()*squeezedRune)]
	return i
}

// ideograph returns the code point at text[i] if it is one of those ideographs that stay
// as they are, or 0. All that is left out of its bytes is in one number.
func ideograph(text string, i int) uint32 {
	if i >= len(text)-2 || int8(text[i+1]) >= -0x40 || int8(text[i+2]) >= -0x40 { // as 10xxxxxx is
		return 0
	}
	r := uint32(text[i])<<12 + uint32(text[i+1])<<6 + uint32(text[i+2]) - 0xE2080
	if r-0x4E00 >= 0x5200 {
		return 0
	}
	return r
}

// grow makes space for so many code points.
func (sc *Scratch) grow(n int) {
	sc.runes, sc.aparts = slices.Grow(sc.runes, n), slices.Grow(sc.aparts, n)
	sc.squeezed = slices.Grow(sc.squeezed, n*squeezedRune)
}

// at returns the folding of the code point that begins at text[i], and how many bytes
// that has; nothing at the end.
func (f *foldings) at(text string, i int) (folding, int) {
	if i >= len(text) {
		return 0, 0
	}
	c := text[i]
	if c < utf8.RuneSelf {
		return f.table[c], 1
	}
	if c&0xF0 == 0xE0 && len(text)-i >= 3 { // most of all there is
		b, d := text[i+1], text[i+2]
		r := rune(c&0x0F)<<12 | rune(b&0x3F)<<6 | rune(d&0x3F)
		if b&0xC0 == 0x80 && d&0xC0 == 0x80 && r >= 0x800 && (r < 0xD800 || r > 0xDFFF) {
			return f.table[r], 3
		}
	}
	r, size := utf8.DecodeRuneInString(text[i:])
	if r < tableEnd {
		return f.table[r], size
	}
	return foldingHigh(r), size
}

// foldingHigh is foldingOf for what is beyond the table: of most ideographs it knows
// that they stay as they are, everything else goes the slow way.
func foldingHigh(r rune) folding {
	if 0x20000 <= r && r <= 0x2A6DF {
		return folding(r)
	}
	return foldJoins
}

// foldJoined takes the code points from text[i] on that belong together, since they
// may become one, and returns where they end.
func (sc *Scratch) foldJoined(text string, i int) (end int) {
	if end, ok := sc.compose(text, i); ok {
		return end
	}
	return sc.foldLibrary(text, i)
}

// foldLibrary is foldJoined by the library: a segment of the normalization. All that
// it becomes has the whole of it as its origin.
func (sc *Scratch) foldLibrary(text string, i int) (end int) {
	end = i + norm.NFKC.NextBoundaryInString(text[i:], true)
	for folded := sc.foldSegment(text[i:end]); len(folded) > 0; {
		r, size := utf8.DecodeRune(folded)
		folded = folded[size:]
		sc.take(foldingFolded(r), uint32(i), uint32(end))
	}
	return end
}

// foldSlow is fold by the library alone.
func (sc *Scratch) foldSlow(text string) {
	sc.begin()
	for i := 0; i < len(text); {
		i = sc.foldLibrary(text, i)
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
	sc.aparts = append(sc.aparts, int32(len(sc.runes)))
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
	if !sc.bare {
		sc.origins = append(sc.origins, origin{start, end})
	}
}

const (
	squeezedRune = 4 // bytes of a code point in Scratch.squeezed
	squeezedRun  = 2 // of equal code points in a row
)

// squeeze adds r to the text as it is compared: of a run there are two at most, so
// that 哈哈哈哈 is 哈哈 and 66666 is 66. Zeros stay, 100 is not 1000.
func (sc *Scratch) squeeze(r rune) {
	if r == '0' || !repeated(sc.squeezed, uint32(r)) {
		sc.squeezed = binary.LittleEndian.AppendUint32(sc.squeezed, uint32(r))
	}
}

// repeated reports whether the last two of squeezed are r.
func repeated(squeezed []byte, r uint32) bool {
	n := len(squeezed)
	return n >= squeezedRun*squeezedRune &&
		binary.LittleEndian.Uint32(squeezed[n-squeezedRune:]) == r &&
		binary.LittleEndian.Uint32(squeezed[n-squeezedRun*squeezedRune:]) == r
}

// squeezeAgain squeezes all that is in sc.squeezed.
func (sc *Scratch) squeezeAgain() {
	all := sc.squeezed
	sc.squeezed = all[:0]
	for i := 0; i < len(all); i += squeezedRune {
		sc.squeeze(rune(binary.LittleEndian.Uint32(all[i:])))
	}
}

// lastSqueezed returns what squeeze added last, or what is no character.
func (sc *Scratch) lastSqueezed() uint32 {
	n := len(sc.squeezed)
	if n == 0 {
		return ^uint32(0)
	}
	return binary.LittleEndian.Uint32(sc.squeezed[n-squeezedRune:])
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
	sc.foldBare(word)
	return sc.runes
}
