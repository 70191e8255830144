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
		h := &heard[i]
		old := h.ID == 0 && h.Comment.Kind == KindRetract // out of a batch, where it has no id
		if (old || r.freshLocked(h.ID)) && r.mergeLocked(h, now) {
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
	if r.takesLocked(len(c.Text)+len(c.Data)*4/3, c.prior()) != nil {
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
func (r *Room) SetWhole(since int64) { r.whole.Store(since) }

// Whole returns what SetWhole was told last.
func (r *Room) Whole() int64 { return r.whole.Load() }

// Twice returns how many comments came from other nodes that had come before.
func (h *Hub) Twice() uint64 { return h.twice.Load() }

// KeptBatches returns the batches that are kept for who resumes, the oldest first, as far
// as they are encoded and in every inbox, and since when they have all that was said, in
// Unix milliseconds; 0 = they have not.
func (r *Room) KeptBatches() (all []*Batch, since int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.kept.list {
		if b.Seq <= r.posted {
			all = append(all, b.Batch)
		}
	}
	if since = r.whole.Load(); since != 0 && r.lost >= since {
		since = r.lost + 1
	}
	return all, since
}

// Restore puts a batch that was sealed on another node behind those that the room keeps,
// for who joins later: nobody may be in the room, since nobody gets it. wall is when it
// was sealed there, and then is the same moment by this node's clock, which may be before
// its start. It reports whether it could. Errors: ErrGone.
func (r *Room) Restore(heard []Heard, then, wall int64) (restored bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone {
		return false, ErrGone
	}
	if r.online > 0 || r.queued || r.pendingLocked() {
		return false, nil
	}
	for i := range heard {
		h := &heard[i]
		if h.ID == 0 && h.Comment.Kind == KindRetract || r.freshLocked(h.ID) {
			r.mergeLocked(h, then)
		}
	}
	if !r.pendingLocked() {
		return true, nil
	}
	sealed, ever := r.sealed, r.everSeal
	t := r.takeLocked(then, wall)
	r.sealed, r.everSeal = sealed, ever // the room is as quiet as it was
	r.commitLocked(&t)
	r.recent.order()
	r.posted = r.seq
	if r.weighLocked() {
		r.hub.noteKept(r, r.seq, then)
	}
	return true, nil
}
