package moderation

import "slices"

// trie is an automaton in the making.
type trie struct {
	*automaton
	words []word // sorted by code, so that each state's are next to each other
	free  int    // no state below this is free
	queue []branch
}

// branch is a state whose children are to be placed: words[from:to] go through it.
type branch struct {
	state    int32
	from, to int
	depth    int
}

func newTrie(a *automaton, words []word) *trie {
	t := &trie{automaton: a, words: slices.Clone(words), free: 1}
	slices.SortFunc(t.words, func(x, y word) int {
		return slices.CompareFunc(x.runes, y.runes, func(p, q rune) int { return int(a.code(p) - a.code(q)) })
	})
	t.grow(1)
	t.states[0].check = 0 // the root is nobody's child, and taken
	return t
}

// grow makes sure there are n states.
func (t *trie) grow(n int) {
	for len(t.states) < n {
		t.states = append(t.states, state{check: -1})
	}
}

// place gives every state its place, level by level: failure links go to shallower
// states, so that link finds them ready in the order of the queue.
func (t *trie) place() {
	t.queue = append(t.queue, branch{0, 0, len(t.words), 0})
	var codes []int32
	for at := 0; at < len(t.queue); at++ {
		b := t.queue[at]
		b.from = t.end(b)
		codes = codes[:0]
		for i := b.from; i < b.to; i++ {
			if c := t.code(t.words[i].runes[b.depth]); len(codes) == 0 || codes[len(codes)-1] != c {
				codes = append(codes, c)
			}
		}
		if len(codes) == 0 {
			continue
		}
		base := t.fit(codes)
		t.states[b.state].base = base
		next := b.from
		for _, c := range codes {
			from := next
			for next < b.to && t.code(t.words[next].runes[b.depth]) == c {
				next++
			}
			t.states[base+c].check = b.state
			t.queue = append(t.queue, branch{base + c, from, next, b.depth + 1})
		}
	}
}

// end notes the words that end at a branch's state, which are the first of its
// words, and returns where the others begin.
func (t *trie) end(b branch) int {
	i := b.from
	for ; i < b.to && len(t.words[i].runes) == b.depth; i++ {
		if t.has(t.states[b.state].ends, t.words[i].list) {
			continue // the same word twice in a list
		}
		t.ends = append(t.ends, end{t.words[i].list, uint16(b.depth), t.states[b.state].ends})
		t.states[b.state].ends = uint32(len(t.ends) - 1)
	}
	return i
}

func (t *trie) has(ends uint32, list uint8) bool {
	for e := ends; e != 0; e = t.ends[e].next {
		if t.ends[e].list == list {
			return true
		}
	}
	return false
}

// triesMax bounds how many places fit tries before it gives up the holes below: it
// keeps the building of large lists linear, for a few holes more.
const triesMax = 64

// fit finds a base at which the places of all codes, which are sorted, are free.
func (t *trie) fit(codes []int32) int32 {
	for t.free < len(t.states) && t.states[t.free].check >= 0 {
		t.free++
	}
	first, last := int(codes[0]), int(codes[len(codes)-1])
	tries := 0
	for at := max(t.free, first+1); ; at++ { // a base is never 0: that is the root's own when it has no child
		if at < len(t.states) && t.states[at].check >= 0 {
			continue
		}
		base := at - first
		if t.isFree(base, codes) {
			t.grow(base + last + 1)
			if tries >= triesMax {
				t.free = max(t.free, at-triesMax)
			}
			return int32(base)
		}
		tries++
	}
}

func (t *trie) isFree(base int, codes []int32) bool {
	for _, c := range codes {
		if at := base + int(c); at < len(t.states) && t.states[at].check >= 0 {
			return false
		}
	}
	return true
}

// link sets the failure links, and has each state end what its suffixes end.
func (t *trie) link() {
	for _, b := range t.queue[1:] {
		parent := t.states[b.state].check
		r := t.words[b.from].runes[b.depth-1]
		fail := int32(0)
		if parent != 0 {
			fail = t.follow(t.states[parent].fail(), t.code(r))
		}
		t.states[b.state].link = uint32(fail) | uint32(min(b.depth, filterRunes))<<failBits
		t.join(b.state, t.states[fail].ends)
	}
}

// begin notes the children of the root.
func (t *trie) begin() {
	for c := range t.first[1:] {
		t.first[c+1] = t.follow(0, int32(c+1))
	}
}

// join appends the words of a suffix to those that end at s. Those of s are its own
// still, so that their chain is nobody else's.
func (t *trie) join(s int32, suffix uint32) {
	last := t.states[s].ends
	if last == 0 {
		t.states[s].ends = suffix
		return
	}
	for t.ends[last].next != 0 {
		last = t.ends[last].next
	}
	t.ends[last].next = suffix
}
