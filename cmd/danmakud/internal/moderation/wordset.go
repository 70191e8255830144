package moderation

import (
	"fmt"
	"slices"
)

// wordSet is all lists in force, made once and then only read by any goroutine. A
// change makes another one.
type wordSet struct {
	lists  []WordList // without words; by name
	every  uint64     // the lists that count in all rooms, a bit each
	rooms  map[string]uint64
	action [listsMax]uint8 // index of listActions
	find   *automaton      // nil = there are no words
}

// newWordSet compiles lists. It takes a while with many words: not on a loop.
func newWordSet(lists []WordList) (*wordSet, error) {
	total := 0
	for _, l := range lists {
		total += len(l.Words)
	}
	if len(lists) > listsMax || total > wordsMax {
		return nil, fmt.Errorf("there may be %d word lists with %d words together, these are %d with %d", listsMax, wordsMax, len(lists), total)
	}
	s := &wordSet{rooms: make(map[string]uint64)}
	var sc Scratch
	words := make([]word, 0, total)
	for i, l := range lists {
		for _, text := range l.Words {
			words = append(words, word{slices.Clone(sc.foldWord(text)), uint8(i)})
		}
		s.action[i] = uint8(slices.Index(listActions[:], l.Action))
		for _, name := range l.Rooms {
			s.rooms[name] |= 1 << i
		}
		if len(l.Rooms) == 0 {
			s.every |= 1 << i
		}
		l.Count, l.Words = len(l.Words), nil
		s.lists = append(s.lists, l)
	}
	if total == 0 {
		return s, nil
	}
	var err error
	s.find, err = newAutomaton(words)
	return s, err
}

// hitsMax bounds the hits of one text that are masked one by one. A text with more
// is masked from the first to the last of them.
const hitsMax = 64

// scan looks for words in what sc.fold was called with. It returns the list of the
// strictest action that was hit, -1 if none was; sc.hits then has what to mask, if
// that is the action.
func (s *wordSet) scan(sc *Scratch, in string) (strictest int) {
	sc.hits = sc.hits[:0]
	active := s.every
	if len(s.rooms) > 0 {
		active |= s.rooms[in]
	}
	if s.find == nil || active == 0 {
		return -1
	}
	strictest = -1
	for at := newPlace(); s.find.find(&at, sc.runes); {
		strictest = s.take(sc, at.state, at.at, active, strictest)
		if strictest >= 0 && s.action[strictest] == listReject {
			break // there is nothing stricter
		}
	}
	return strictest
}

// take goes over the words that end at a state, before sc.runes[to].
func (s *wordSet) take(sc *Scratch, at int32, to int, active uint64, strictest int) int {
	for e := s.find.states[at].ends; e != 0; e = s.find.ends[e].next {
		found := &s.find.ends[e]
		if active&(1<<found.list) == 0 {
			continue
		}
		action := s.action[found.list]
		if action != listMask && strictest >= 0 && s.action[strictest] >= action {
			continue // as strict already
		}
		h := hit{to - int(found.length), to}
		if !sc.stands(h) {
			continue
		}
		if action == listMask {
			sc.addHit(h)
		}
		if strictest < 0 || action > s.action[strictest] {
			strictest = int(found.list)
		}
	}
	return strictest
}

// addHit notes what is to be masked.
func (sc *Scratch) addHit(h hit) {
	if n := len(sc.hits); n == hitsMax {
		last := &sc.hits[n-1]
		last.from, last.to = min(last.from, h.from), max(last.to, h.to)
		return
	}
	sc.hits = append(sc.hits, h)
}
