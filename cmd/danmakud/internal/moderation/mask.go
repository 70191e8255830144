package moderation

import (
	"slices"
	"unicode/utf8"
)

// maskSign stands for each character that is masked.
const maskSign = '*'

// hit is a word that was found: from and to are indexes into Scratch.runes.
type hit struct{ from, to int }

// stands reports whether a hit is one a reader would see. A hit without separators
// inside always is. One that leaps over separators must begin and end where words
// do, or "club admin" would have "bad" in it; scripts that write without spaces
// have no such places.
func (sc *Scratch) stands(h hit) bool {
	inside, _ := slices.BinarySearch(sc.aparts, int32(h.from+1))
	whole := inside == len(sc.aparts) || int(sc.aparts[inside]) >= h.to
	return whole || sc.boundary(h.from) && sc.boundary(h.to)
}

// boundary reports whether a word may begin at, or end before, sc.runes[i].
func (sc *Scratch) boundary(i int) bool {
	if i == 0 || i == len(sc.runes) {
		return true
	}
	if _, apart := slices.BinarySearch(sc.aparts, int32(i)); apart {
		return true
	}
	return foldingFolded(sc.runes[i-1])&foldLetter == 0 || foldingFolded(sc.runes[i])&foldLetter == 0
}

// mask returns text with the characters of all sc.hits as '*'. Separators between
// them stay; what is not to be seen goes. The result lives until the next call.
func (sc *Scratch) mask(text string) []byte {
	sc.masked = sc.masked[:0]
	sc.fold(text)       // for the origins, which scan has done without
	copied := uint32(0) // text[:copied] is dealt with
	upTo := 0           // so are all hits below this index of sc.runes
	for _, h := range sc.mergedHits() {
		for i := max(h.from, upTo); i < h.to; i++ {
			o := sc.origins[i]
			if o.start < copied {
				continue // several came from this one
			}
			sc.masked = appendBetween(sc.masked, text[copied:o.start], i > h.from)
			sc.masked = append(sc.masked, maskSign)
			copied = o.end
		}
		upTo = h.to
	}
	sc.masked = append(sc.masked, text[copied:]...)
	return sc.masked
}

// mergedHits orders sc.hits by where they begin. They are few: what is long is cut
// by hitsMax.
func (sc *Scratch) mergedHits() []hit {
	for i := 1; i < len(sc.hits); i++ {
		for j := i; j > 0 && sc.hits[j].from < sc.hits[j-1].from; j-- {
			sc.hits[j], sc.hits[j-1] = sc.hits[j-1], sc.hits[j]
		}
	}
	return sc.hits
}

// appendBetween appends what stands between two characters. Inside of a hit it is
// left out if it shows nothing.
func appendBetween(dst []byte, between string, inside bool) []byte {
	if !inside {
		return append(dst, between...)
	}
	for _, r := range between {
		if !invisible(r) {
			dst = utf8.AppendRune(dst, r)
		}
	}
	return dst
}
