package room

// Heard is a comment that another node has taken.
type Heard struct {
	Comment Comment // a retract has the id it takes back in Target, 0 = all
	ID      uint64
	Wall    int64 // Unix milliseconds when it was said
}

// Merge adds what was said on another node to what the next batch carries. Nothing of
// it goes to other nodes again. Comments that have come before are passed over, since
// the ids of one node rise in a room; what the room has no space for counts as sampled.
// It returns how many comments it took. sealNow and the errors are as in Publish.
func (r *Room) Merge(heard []Heard, likes, sampled uint64, now int64) (took int, sealNow bool, err error) {
	r.mu.Lock()
	if r.gone {
		r.mu.Unlock()
		return 0, false, ErrGone
	}
	for i := range heard {
		if h := &heard[i]; r.freshLocked(h.ID) && r.mergeLocked(h, now) {
			took++
		}
	}
	r.likes += likes
	r.refused += sampled
	if !r.pendingLocked() {
		r.mu.Unlock()
		return 0, false, nil
	}
	return took, r.dirtyLocked(now, speech{}), nil
}

// mergeLocked takes one comment in and reports whether there was space for it.
func (r *Room) mergeLocked(h *Heard, now int64) bool {
	c := &h.Comment
	if r.takesLocked(len(c.Text)+len(c.Data)*4/3, isPrior(c.Kind, c.Role)) != nil {
		n := uint64(max(1, c.Count))
		r.refused += n
		r.hub.refused.Add(n)
		return false
	}
	switch {
	case c.Kind != KindRetract:
		r.takeInLocked(c, h.ID, now, h.Wall)
	case c.Target == 0:
		r.clearLocked(now, h.Wall)
	default:
		r.withdrawLocked(c.Target)
		r.openLocked(now)
		r.pending = appendRetract(r.pending, c.Target, h.Wall)
		r.closeLocked(mark{kind: KindRetract})
	}
	return true
}

// freshLocked reports whether the id has not come before, and remembers it.
func (r *Room) freshLocked(id uint64) bool {
	node := IDNode(id)
	if r.heard == nil {
		r.heard = make(map[uint16]uint64)
		if own := uint16(r.hub.node.Load()); r.seq > 0 || r.pendingLocked() {
			r.heard[own] = ^uint64(0) // what was said here so far is here
		}
	}
	if id <= r.heard[node] {
		r.hub.twice.Add(1)
		return false
	}
	if _, known := r.heard[node]; !known && len(r.heard) >= nodesMax {
		r.forgetNodeLocked()
	}
	r.heard[node] = id
	return true
}

// forgetNodeLocked forgets the node that has been silent for longest.
func (r *Room) forgetNodeLocked() {
	oldest, at := uint16(0), ^uint64(0)
	for node, id := range r.heard {
		if id < at {
			oldest, at = node, id
		}
	}
	delete(r.heard, oldest)
}

// SetElsewhere tells how many members the room has on other nodes. The next batch
// says so.
func (r *Room) SetElsewhere(n int) {
	r.mu.Lock()
	r.elsewhere = n
	r.mu.Unlock()
	r.abroad.Store(int64(n))
}

// SetWhole tells that since that moment, in Unix milliseconds, nothing was missed that
// was said on other nodes; 0 = it was. Who comes from another node can resume from then
// on.
func (r *Room) SetWhole(since int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.whole = since
}

// Twice returns how many comments came from other nodes that had come before.
func (h *Hub) Twice() uint64 { return h.twice.Load() }

// Kept returns the batches that are kept for who resumes, the oldest first. Those that
// are encoded and in every inbox only.
func (r *Room) Kept() []*Batch {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []*Batch
	for _, b := range r.kept.list {
		if b.Seq <= r.posted {
			all = append(all, b.Batch)
		}
	}
	return all
}
