package room

import "slices"

// history is the newest comments of a room, kept as references into sealed
// batches. Guarded by the room's mutex.
type history struct {
	parts []historyPart // oldest first
	count int           // comments in all parts

	shown    []byte // the answer for the full depth, made at the first join after a seal
	shownFor int
}

// historyPart is the comments of one batch: text separated by commas, and the
// end of each comment in it.
type historyPart struct {
	text []byte
	ends []uint32
}

// tail returns the last n comments of p.
func (p historyPart) tail(n int) []byte {
	if n >= len(p.ends) {
		return p.text
	}
	return p.text[p.ends[len(p.ends)-n-1]+1:]
}

// add takes in the comments of a batch just sealed and forgets what lies deeper
// than depth. The batch's memory is shared, except where a handful of comments
// would pin a large batch.
func (h *history) add(text []byte, ends []uint32, depth int) {
	if depth <= 0 || len(ends) == 0 {
		return
	}
	p := historyPart{text, ends}
	if len(ends) > 4*depth {
		cut := ends[len(ends)-depth-1] + 1
		p.text = slices.Clone(text[cut:])
		p.ends = slices.Clone(ends[len(ends)-depth:])
		for i := range p.ends {
			p.ends[i] -= cut
		}
	}
	h.parts = append(h.parts, p)
	h.count += len(p.ends)
	for len(h.parts) > 1 && h.count-len(h.parts[0].ends) >= depth {
		h.count -= len(h.parts[0].ends)
		h.parts = slices.Delete(h.parts, 0, 1)
	}
	h.shown = nil
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
	for before+len(h.parts[first].ends) < n {
		before += len(h.parts[first].ends)
		first--
	}
	out := slices.Clone(h.parts[first].tail(n - before))
	for _, p := range h.parts[first+1:] {
		out = append(append(out, ','), p.text...)
	}
	h.shown, h.shownFor = out, n
	return out
}
