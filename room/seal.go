package room

// Seal makes what is pending one batch, or returns nil if nothing is. The caller
// calls its Encode, posts it to every loop that Wanted it and then calls Posted:
// until then the room is not sealed again, so that two goroutines that seal one
// after the other cannot post in the wrong order.
func (r *Room) Seal(now, wall int64) *Batch {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.pendingLocked() {
		r.queued = false
		return nil
	}
	if r.pending == nil {
		r.pending = make([]byte, prefixRoom, 2*prefixRoom)
	}
	said := r.waitingLocked()
	r.seq++
	r.total += uint64(len(said.marks))
	r.liked += r.likes
	b := &Batch{
		Room: r, Seq: r.seq, Comments: len(said.marks), Total: r.total, Sampled: int(r.refused),
		Lag: max(0, now-r.due), shards: r.wanted,
	}
	h := sealHead{room: r.name, seq: r.seq, wall: wall, online: -1, likes: r.likes, sampled: r.refused}
	if r.online != r.shown {
		h.online, r.shown = r.online, r.online
	}
	b.frame(r.pending, &h)
	b.wanted = r.encodings
	if r.retracts {
		said = said.kept()
	}
	r.recent.add(said, r.hub.cfg().History)
	r.sizeHint = len(r.pending) + len(r.pending)/4 + suffixRoom
	r.pending, r.marks, r.likes, r.refused, r.retracts = nil, nil, 0, 0, false
	r.adaptTickLocked(b.size(EncodingJSON))
	r.sealed, r.everSeal = now, true
	r.hub.sealed.Add(1)
	return b
}

// Posted tells that the room's last batch is in every inbox it had to go to.
// What was said meanwhile comes into the due list.
func (r *Room) Posted() {
	r.mu.Lock()
	pending := r.pendingLocked()
	r.queued = pending
	r.due, r.quiet = r.sealed+r.tick.Load(), false
	due := r.due
	r.mu.Unlock()
	if pending {
		r.hub.due.push(due, r)
	}
}

func (r *Room) pendingLocked() bool {
	return r.pending != nil || r.likes > 0 || r.refused > 0
}
