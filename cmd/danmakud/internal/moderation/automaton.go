package moderation

import (
	"errors"
	"slices"
	"sort"
)

// automaton finds all words of all lists in one pass (Aho and Corasick, 1975), a
// step for each code point whatever the words are. Its trie is a double array: the
// child of state s by code c is state base[s]+c, if that has s as its check. It is
// made once and then only read, by any goroutine.
type automaton struct {
	codes  map[rune]uint16 // codes of what is beyond the table
	low    []uint16        // codes of code points below tableEnd; 0 = in no word
	states []state
	first  []int32 // by code: the state after the root and that code
	ends   []end   // index 0 is not used
	filter *filter
}

// state has 16 bytes, four to a cache line: a step reads one or two.
type state struct {
	base  int32  // where its children are
	check int32  // whose child it is; -1 = free
	link  uint32 // see fail and depth
	ends  uint32 // index of the first word that ends here, 0 = none
}

// failBits are those of state.link that hold the state of the longest suffix that is in
// the trie too; above them is the depth.
const failBits = 29

func (s *state) fail() int32 { return int32(s.link & (1<<failBits - 1)) }

// depth is how many characters lead to it from the root, filterRunes if they are more.
func (s *state) depth() int { return int(s.link >> failBits) }

// end is a word that ends at a state, and the next one that does.
type end struct {
	list   uint8  // index of the list that has the word
	length uint16 // in folded code points
	next   uint32
}

// word is one of a list's, folded.
type word struct {
	runes []rune
	list  uint8
}

// runesMax bounds distinct characters over all words: a code has 16 bits.
const runesMax = 1<<16 - 1

// newAutomaton builds it of words that are not empty. It keeps none of their memory.
func newAutomaton(words []word) (*automaton, error) {
	a := &automaton{low: make([]uint16, tableEnd), codes: make(map[rune]uint16), ends: make([]end, 1)}
	if err := a.number(words); err != nil {
		return nil, err
	}
	a.filter = newFilter(words)
	t := newTrie(a, words)
	t.place()
	t.link()
	t.begin()
	a.states = slices.Clip(slices.Clone(t.states))
	a.ends = slices.Clip(a.ends)
	return a, nil
}

// number gives each character a code, the most frequent the lowest: then the
// children of a state lie close together and the arrays have few holes.
func (a *automaton) number(words []word) error {
	count := make(map[rune]int)
	for _, w := range words {
		for _, r := range w.runes {
			count[r]++
		}
	}
	if len(count) > runesMax {
		return errors.New("the words have more than 65,535 different characters")
	}
	a.first = make([]int32, len(count)+1)
	order := make([]rune, 0, len(count))
	for r := range count {
		order = append(order, r)
	}
	sort.Slice(order, func(i, j int) bool {
		if count[order[i]] != count[order[j]] {
			return count[order[i]] > count[order[j]]
		}
		return order[i] < order[j]
	})
	for i, r := range order {
		if r < tableEnd {
			a.low[r] = uint16(i + 1)
		} else {
			a.codes[r] = uint16(i + 1)
		}
	}
	return nil
}

func (a *automaton) code(r rune) int32 {
	if r < tableEnd {
		return int32(a.low[r])
	}
	return int32(a.codes[r])
}

// place is where a search for words stands in a text. It begins with newPlace.
type place struct {
	state int32
	at    int // what is before this is dealt with
	// begin is the last place at which the filter says a word may begin: the word, if
	// there is one, began before at or begins there.
	begin int
}

func newPlace() place { return place{begin: -1} }

// find goes on to where the next words end, which p.state then has. It reports false if
// none do up to the end. Where there are ideographs and the like it steps through no more
// of the text than lies between where the filter lets a word begin and where it turns out
// that there is none. Of an alphabet most short beginnings are those of some word, and
// asking would cost more than stepping.
func (a *automaton) find(p *place, runes []rune) bool {
	for p.at < len(runes) {
		if runes[p.at] < alphabetsEnd {
			p.state, p.at = a.run(p.state, runes[:alphabet(runes, p.at)], p.at)
		} else {
			if a.skip(p, runes); p.at == len(runes) {
				return false
			}
			p.state = a.step(p.state, runes[p.at])
			p.at++
		}
		if a.states[p.state].ends != 0 {
			return true
		}
	}
	return false
}

// skip goes on to where the filter lets a word begin, if none can have begun before p.at.
func (a *automaton) skip(p *place, runes []rune) {
	// What led to this state is the longest part of the text before p.at with which a word
	// begins. If that is shorter than a key of the filter, it knows more.
	depth := a.states[p.state].depth()
	if from := p.at - depth; depth < filterRunes && p.begin < from {
		if p.begin = a.filter.next(runes, from); p.begin >= p.at {
			p.state, p.at = 0, p.begin
		}
	}
}

// alphabetsEnd is where the scripts of East Asia begin; emoji and the like are above.
const alphabetsEnd = 0x2E80

// alphabet returns where the letters that begin at runes[i] end, or are enough for a call:
// to look at more each time that a word ends would be too much.
func alphabet(runes []rune, i int) int {
	const enough = 16
	for most := min(len(runes), i+enough); i < most && runes[i] < alphabetsEnd; {
		i++
	}
	return i
}

// run is find without the filter: it goes on from state s with runes[i] until words end
// or the text does. It returns the state, and where in runes it is then.
func (a *automaton) run(s int32, runes []rune, i int) (state int32, to int) {
	states, low, first := a.states, a.low, a.first
	for ; i < len(runes); i++ {
		c, r := int32(0), runes[i]
		if uint32(r) < uint32(len(low)) {
			c = int32(low[r])
		} else {
			c = int32(a.codes[r])
		}
		at := &states[s]
		child := at.base + c
		switch {
		case c == 0:
			s = 0
		case uint32(child) < uint32(len(states)) && states[child].check == s:
			s = child
		case at.fail() == 0: // so do most, and then it is one look and not another round
			s = first[c]
		default:
			s = a.follow(at.fail(), c)
		}
		if states[s].ends != 0 {
			return s, i + 1
		}
	}
	return s, i
}

// step returns the state after s and a character.
func (a *automaton) step(s int32, r rune) int32 {
	c := a.code(r)
	at := &a.states[s]
	child := at.base + c
	switch {
	case c == 0:
		return 0
	case uint32(child) < uint32(len(a.states)) && a.states[child].check == s:
		return child
	case at.fail() == 0: // so do most, and then it is one look and not another round
		return a.first[c]
	}
	return a.follow(at.fail(), c)
}

// follow returns the state after s and a code, which is not 0.
func (a *automaton) follow(s int32, c int32) int32 {
	for {
		at := &a.states[s]
		if child := at.base + c; uint32(child) < uint32(len(a.states)) && a.states[child].check == s {
			return child
		}
		if s == 0 {
			return 0
		}
		s = at.fail()
	}
}

// bytes is the memory it holds.
func (a *automaton) bytes() int {
	const stateSize, endSize, codeSize, codesEntry = 16, 8, 2, 16
	return len(a.states)*stateSize + len(a.ends)*endSize + len(a.first)*4 + len(a.low)*codeSize + len(a.codes)*codesEntry + a.filter.bytes()
}
