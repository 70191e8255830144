package moderation

import (
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Most marks that follow a letter are of a few dozen, and most texts that have any have
// many: accents as some keyboards type them, Thai, Hindi, Arabic, Korean in its parts.
// compose knows what becomes of those (UAX 15, sections 1.2 and 1.3), for a tenth of what
// the library takes, which does the rest.

// marksMax bounds the marks of one letter that compose looks at.
const marksMax = 8

// compose takes the code point at text[i] with the marks behind it, and returns where
// they end; or takes nothing, if the library must be asked.
func (sc *Scratch) compose(text string, i int) (end int, ok bool) {
	foldings := theFoldings()
	starter, size := utf8.DecodeRuneInString(text[i:])
	if starter >= tableEnd || foldings.table[starter]&(foldWhole|foldJoins) != foldWhole {
		return 0, false
	}
	end = i + size
	var marks [marksMax]rune
	n := 0
	for end < len(text) {
		r, size := utf8.DecodeRuneInString(text[end:])
		f := foldJoins
		if r < tableEnd {
			f = foldings.table[r]
		}
		if f&foldJoins == 0 {
			break
		}
		if f&foldMarks == 0 || n == marksMax {
			return 0, false
		}
		marks[n] = r
		n++
		end += size
	}
	whole, left, ok := foldings.joined(starter, marks[:n])
	if !ok {
		return 0, false
	}
	return end, sc.takeComposed(starter, whole, marks[:left], n, uint32(i), uint32(end))
}

// joined puts marks onto a starter: what it becomes, and how many of marks are left,
// which are then the first. ok is false if they are not in their order.
func (f *foldings) joined(starter rune, marks []rune) (whole rune, left int, ok bool) {
	whole = starter
	before, waits := uint8(0), uint8(0) // the classes of the mark before, and of the last that is left
	for _, r := range marks {
		class := f.classes[r]
		if class < before || class == 0 && left > 0 {
			return 0, 0, false
		}
		before = class
		if left == 0 || waits < class {
			if one := f.pairs.find(whole, r); one != 0 {
				whole = one
				continue
			}
		}
		if class == 0 {
			return 0, 0, false // it begins something of its own
		}
		marks[left], waits = r, class
		left++
	}
	return whole, left, true
}

// takeComposed takes what starter became with its n marks, and those that are left of
// them. It reports false, and has taken nothing, if case folding may change more than
// whole.
func (sc *Scratch) takeComposed(starter, whole rune, left []rune, n int, start, end uint32) bool {
	foldings := theFoldings()
	if whole >= tableEnd {
		return false
	}
	f := foldings.table[whole]
	switch {
	case f&foldJoins != 0:
		return false
	case len(left) == 0 && f&foldSeveral != 0:
		for _, f := range foldings.several[f&foldRune] {
			sc.take(f, start, end)
		}
		return true
	case len(left) == 0:
		sc.take(f, start, end)
		return true
	case f&(foldSeveral|foldDrop) != 0:
		return false
	}
	if folded := rune(f & foldRune); folded != whole { // the small letter may take marks that the capital does not
		if whole != starter || folded >= tableEnd || foldings.table[folded]&foldWhole == 0 {
			return false
		}
		again, m, ok := foldings.joined(folded, left)
		if !ok || again >= tableEnd {
			return false
		}
		left = left[:m]
		if f = foldings.table[again]; f&(foldSeveral|foldJoins) != 0 || rune(f&foldRune) != again && f&foldDrop == 0 {
			return false
		}
	}
	sc.take(f, start, end)
	for _, r := range left {
		sc.take(foldings.table[r]&^(foldJoins|foldMarks), start, end)
	}
	return true
}

// joining returns what compose needs to know of a code point with that folding.
func (f *foldings) joining(r rune, one folding) folding {
	if !utf8.ValidRune(r) || one&foldSeveral != 0 && one&foldJoins != 0 {
		return 0
	}
	text := string(r)
	if norm.NFKD.String(text) != text {
		return 0
	}
	if one&foldJoins == 0 {
		return foldWhole
	}
	if foldCase.String(text) != text {
		return 0
	}
	f.classes[r] = norm.NFKC.PropertiesString(text).CCC()
	return foldMarks | classify(r)
}

// pairs are the code points that two others become, by those two: an open table, since
// it is asked for every mark.
type pairs struct {
	slots [pairSlots]pair
}

type pair struct{ first, second, whole rune }

// pairSlots is a power of two, some four times the pairs that there are.
const pairSlots = 4096

// note takes r in if it is a composition of two.
func (p *pairs) note(r rune) {
	if !utf8.ValidRune(r) {
		return
	}
	text := string(r)
	parts := []rune(norm.NFD.String(text))
	if len(parts) < 2 || norm.NFC.String(text) != text {
		return
	}
	last := len(parts) - 1
	first := []rune(norm.NFC.String(string(parts[:last])))
	if len(first) != 1 || first[0] >= hangulFirst && first[0] <= hangulLast || parts[0] >= hangulL && parts[0] < hangulL+hangulLs {
		return // Korean is computed
	}
	at := pairSlot(first[0], parts[last])
	for p.slots[at].whole != 0 {
		at = (at + 1) % pairSlots
	}
	p.slots[at] = pair{first[0], parts[last], r}
}

func pairSlot(first, second rune) uint32 {
	return (uint32(first)*2654435761 ^ uint32(second)*2246822519) >> 20 % pairSlots
}

// find returns what the two become, 0 if they stay two.
func (p *pairs) find(first, second rune) rune {
	if second >= hangulV && second < hangulT+hangulTs {
		return hangul(first, second)
	}
	for at := pairSlot(first, second); p.slots[at].whole != 0; at = (at + 1) % pairSlots {
		if s := &p.slots[at]; s.first == first && s.second == second {
			return s.whole
		}
	}
	return 0
}

// The syllables of Korean and the parts that they are made of, Unicode section 3.12.
const (
	hangulFirst, hangulLast = 0xAC00, 0xD7A3
	hangulL, hangulLs       = 0x1100, 19 // initial consonants
	hangulV, hangulVs       = 0x1161, 21 // vowels
	hangulT, hangulTs       = 0x11A7, 28 // final consonants, the first of which is none
)

// hangul is find for the parts of Korean syllables.
func hangul(first, second rune) rune {
	l, v, t, s := first-hangulL, second-hangulV, second-hangulT, first-hangulFirst
	switch {
	case l >= 0 && l < hangulLs && v >= 0 && v < hangulVs:
		return hangulFirst + (l*hangulVs+v)*hangulTs
	case s >= 0 && first <= hangulLast && s%hangulTs == 0 && t > 0 && t < hangulTs:
		return first + t
	}
	return 0
}
