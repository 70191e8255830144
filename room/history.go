package room

import (
	"cmp"
	"slices"
)

// history is the newest comments of a room, kept as references into sealed
// batches. Guarded by the room's mutex.
type history struct {
	parts []comments // one batch each, oldest first; never changed, only replaced
	count int        // comments in all parts

	shown    []byte // the answer for the full depth, made at the first join after a seal
	shownFor int
}

// add takes in the comments of a batch just sealed and forgets what lies deeper
// than depth. The batch's memory is shared, except where a handful of comments
// would pin a large batch.
func (h *history) add(c comments, depth int) {
	if depth <= 0 || len(c.marks) == 0 {
		return
	}
	if len(c.marks) > 4*depth {
		cut := c.marks[len(c.marks)-depth-1].end + 1
		c.text = slices.Clone(c.text[cut:])
		c.marks = slices.Clone(c.marks[len(c.marks)-depth:])
		for i := range c.marks {
			c.marks[i].end -= cut
		}
	}
	h.parts = append(h.parts, c)
	h.count += len(c.marks)
	for len(h.parts) > 1 && h.count-len(h.parts[0].marks) >= depth {
		h.count -= len(h.parts[0].marks)
		h.parts = slices.Delete(h.parts, 0, 1)
	}
	h.shown = nil
}

// order brings the parts into the order of their ids: what is restored may be older than
// what is there.
func (h *history) order() {
	first := func(c comments) uint64 { return c.marks[0].id }
	slices.SortStableFunc(h.parts, func(a, b comments) int { return cmp.Compare(first(a), first(b)) })
	h.shown = nil
}

// remove forgets the comment with that id and reports whether it was there.
func (h *history) remove(id uint64) bool {
	for i, c := range h.parts {
		at := c.find(id)
		if at < 0 {
			continue
		}
		h.count--
		h.shown = nil
		if len(c.marks) == 1 {
			h.parts = slices.Delete(h.parts, i, i+1)
		} else {
			h.parts[i] = c.appendTo(comments{}, func(i int) bool { return i != at })
		}
		return true
	}
	return false
}

// last returns the newest n comments as JSON separated by commas. The result
// lives as long as it is referenced and must not be changed.
func (h *history) last(n int) []byte {
	n = min(n, h.count)
	if n <= 0 {
		return nil
	}
	if h.shown != nil && h.shownFor == n {
		return h.shown
	}
	first, before := len(h.parts)-1, 0 // part that holds the oldest wanted comment
	for before+len(h.parts[first].marks) < n {
		before += len(h.parts[first].marks)
		first--
	}
	out := slices.Clone(h.parts[first].tail(n - before))
	for _, p := range h.parts[first+1:] {
		out = append(append(out, ','), p.text...)
	}
	h.shown, h.shownFor = out, n
	return out
}

// kept returns what a history takes of a batch's comments: nothing fleeting, and
// nothing from before the last one that takes back all.
func (c comments) kept() comments {
	from := 0
	for i, m := range c.marks {
		if m.kind == KindRetract && m.clears {
			from = i
		}
	}
	return c.appendTo(comments{}, func(i int) bool { return i >= from && !c.marks[i].fleeting() })
}
