package room

import (
	"container/heap"
	"sync"
)

// dueList is the rooms that wait for their tick to pass, the earliest first. A
// room is in it at most once, since it enters only with its first comment after
// a seal.
type dueList struct {
	kick func() // fixed after construction

	mu sync.Mutex
	// Guarded by mu.
	entries dueHeap
}

type dueEntry struct {
	due  int64
	room *Room
}

// push adds r and kicks the sealer if r is now the first.
func (l *dueList) push(due int64, r *Room) {
	l.mu.Lock()
	first := len(l.entries) == 0 || due < l.entries[0].due
	heap.Push(&l.entries, dueEntry{due, r})
	l.mu.Unlock()
	if first {
		l.kick()
	}
}

// pop removes and returns the first room if its time has come, else nil.
func (l *dueList) pop(now int64) *Room {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.entries) == 0 || l.entries[0].due > now {
		return nil
	}
	return heap.Pop(&l.entries).(dueEntry).room
}

func (l *dueList) next() (int64, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.entries) == 0 {
		return 0, false
	}
	return l.entries[0].due, true
}

// dueHeap implements heap.Interface.
type dueHeap []dueEntry

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due < h[j].due }
func (h dueHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *dueHeap) Push(x any)        { *h = append(*h, x.(dueEntry)) }
func (h *dueHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = dueEntry{}
	*h = old[:len(old)-1]
	return e
}
