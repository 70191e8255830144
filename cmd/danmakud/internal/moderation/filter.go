package moderation

import "math/bits"

// filter tells of most places in a text that no word begins there, from the characters
// at that place alone. The steps of an automaton wait for each other, and each for
// memory; these do not, so that many are under way at once.
//
// It is a Bloom filter of the first filterRunes characters of each word, or all of
// them if there are fewer: a key has two bits of one of its cells.
type filter struct {
	cells [1 << filterBits]uint64
	one   bool // there are keys of one character
}

const (
	// filterRunes is how many characters of a word are looked at. Of those with letters
	// less would stop little: if there are many, most of three in a row begin some.
	filterRunes = 4
	// filterBits makes 256 KiB, which is for 100,000 words what a core has at hand, and
	// lets one place in a hundred through.
	filterBits = 15
)

func newFilter(words []word) *filter {
	f := new(filter)
	for _, w := range words {
		key := w.runes[:min(len(w.runes), filterRunes)]
		h := uint32(0)
		for _, r := range key {
			h = filterHash(h, filterMix(r))
		}
		f.cells[h>>(32-filterBits)] |= 1<<(h&63) | 1<<(h>>6&63)
		f.one = f.one || len(key) == 1
	}
	return f
}

func filterMix(r rune) uint32 { return uint32(r) * 0x9E3779B1 } // odd, and of no meaning

// filterHash is the hash of a key with one more character.
func filterHash(h, mixed uint32) uint32 { return bits.RotateLeft32(h, 5) ^ mixed }

// has is odd if there may be a key with that hash. All that is asked of a place is one
// branch: a bit alone is set so often that one upon it would be guessed wrong.
func (f *filter) has(h uint32) uint64 {
	cell := f.cells[h>>(32-filterBits)]
	return cell >> (h & 63) & (cell >> (h >> 6 & 63))
}

// next returns the first place from i on at which a word may begin, the end if there is
// none.
func (f *filter) next(runes []rune, i int) int {
	a, b, c := mixAt(runes, i), mixAt(runes, i+1), mixAt(runes, i+2)
	for ; i < len(runes); i++ {
		d := mixAt(runes, i+3)
		h2 := filterHash(a, b)
		h3 := filterHash(h2, c)
		h4 := filterHash(h3, d)
		if (f.has(h4)|f.has(h3)|f.has(h2))&1 != 0 || f.one && f.has(a)&1 != 0 {
			break
		}
		a, b, c = b, c, d
	}
	return i
}

// mixAt is filterMix of runes[i], of nothing behind the end.
func mixAt(runes []rune, i int) uint32 {
	if i >= len(runes) {
		return 0
	}
	return filterMix(runes[i])
}

// bytes is the memory it holds.
func (f *filter) bytes() int { return len(f.cells) * 8 }
