package server

import "container/heap"

// noPlace is the place of who is not in the heap.
const noPlace = -1

// expiries has those whose token comes to an end, the soonest first, so that a
// sweep looks at nobody else. Loop goroutine only.
type expiries struct{ heap expiryHeap }

func (e *expiries) add(w *holder) { heap.Push(&e.heap, w) }

// remove does nothing for who is not in it.
func (e *expiries) remove(w *holder) {
	if w.place != noPlace {
		heap.Remove(&e.heap, int(w.place))
	}
}

// due takes out one whose time is over at now, Unix seconds; nil when there is none.
func (e *expiries) due(now int64) *holder {
	if len(e.heap) == 0 || e.heap[0].person.expires > now {
		return nil
	}
	return heap.Pop(&e.heap).(*holder)
}

// expiryHeap is what container/heap works on.
type expiryHeap []*holder

func (h expiryHeap) Len() int           { return len(h) }
func (h expiryHeap) Less(i, j int) bool { return h[i].person.expires < h[j].person.expires }

func (h expiryHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = int32(i), int32(j)
}

// Push is for container/heap.
func (h *expiryHeap) Push(x any) {
	w := x.(*holder)
	w.place = int32(len(*h))
	*h = append(*h, w)
}

// Pop is for container/heap.
func (h *expiryHeap) Pop() any {
	last := len(*h) - 1
	w := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	w.place = noPlace
	return w
}
