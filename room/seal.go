package room

// taken is what a seal has taken over from the room: nobody else changes it.
type taken struct {
	pending  []byte
	marks    []mark
	fleeting bool // some of it is for no history
	head     sealHead
	lag      int64

	sampled int // by the governor

	// Guarded by the room's mutex while the governor is at work: what came too late
	// to be left out, but must not get into the history.
	late    []uint64 // ids of comments taken back
	cleared bool
}

// Seal makes what is pending one batch, or returns nil if nothing is. The caller
// calls its Encode, posts it to every loop that Wanted it and then calls Posted:
// until then the room is not sealed again, so that two goroutines that seal one
// after the other cannot post in the wrong order. What is more than the budget is
// cut down with no lock held: a room takes comments meanwhile.
func (r *Room) Seal(now, wall int64) *Batch {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.pendingLocked() {
		r.queued = false
		return nil
	}
	t := r.takeLocked(now, wall)
	if b := r.budget(); b.exceeded(&t) {
		t = r.governLocked(t, b)
	} else if cap(t.pending) > looseBytesMax && cap(t.pending) > 4*len(t.pending) {
		t.pending = append(make([]byte, 0, len(t.pending)+suffixRoom), t.pending...)
	}
	return r.commitLocked(&t)
}

// takeLocked takes over what is pending. Who joins from now on is told how many
// are online by the next batch, if not by this one.
func (r *Room) takeLocked(now, wall int64) taken {
	t := taken{pending: r.pending, marks: r.marks, fleeting: r.fleeting, lag: max(0, now-r.due)}
	if t.pending == nil {
		t.pending = make([]byte, prefixRoom, 2*prefixRoom)
	}
	t.head = sealHead{room: r.name, seq: r.seq + 1, wall: wall, online: -1, likes: r.likes, sampled: r.refused}
	if online := r.online + r.elsewhere; online != r.shown {
		t.head.online, r.shown = online, online
	}
	if r.untold {
		t.head.settings, r.untold = r.Settings(), false
	}
	r.liked += r.likes
	r.sizeHint = len(t.pending) + len(t.pending)/4 + suffixRoom
	r.pending, r.marks, r.likes, r.refused, r.fleeting = nil, nil, 0, 0, false
	r.sealed, r.everSeal = now, true
	return t
}

// governLocked cuts t down to the budget, without the lock. The room is not sealed
// by anybody else meanwhile, since it is promised to the caller.
func (r *Room) governLocked(t taken, b budget) taken {
	cut := t
	r.over = &t
	r.mu.Unlock()
	g := r.hub.governor()
	g.govern(&cut, b)
	r.hub.governors.pool.Put(g)
	r.mu.Lock()
	r.over, r.spare = nil, t.pending[:prefixRoom]
	cut.late, cut.cleared = t.late, t.cleared
	return cut
}

// commitLocked makes t the room's next batch.
func (r *Room) commitLocked(t *taken) *Batch {
	sent := comments{t.pending[prefixRoom:], t.marks}
	merged := standing(t.marks) - len(t.marks) // here, or on the node where they were said
	r.seq++
	if t.head.settings != nil {
		r.toldAt.Store(r.seq)
	}
	r.total += uint64(len(t.marks))
	r.merged += uint64(merged)
	r.sampled += uint64(t.sampled)
	r.hub.merged.Add(uint64(merged))
	r.hub.sampled.Add(uint64(t.sampled))
	t.head.sampled += uint64(t.sampled)
	b := &Batch{
		Room: r, Seq: r.seq, Wall: t.head.wall, Comments: len(t.marks), Total: r.total,
		Merged: merged, Sampled: int(t.head.sampled), Lag: t.lag, shards: r.wanted,
		Likes: r.liked, Settings: t.head.settings,
	}
	b.frame(t.pending, &t.head)
	b.wanted = r.encodings
	r.rememberLocked(sent, t)
	r.keepLocked(b)
	r.adaptTickLocked(b.size(EncodingJSON))
	r.hub.sealed.Add(1)
	return b
}

// rememberLocked takes what was sent into the history.
func (r *Room) rememberLocked(sent comments, t *taken) {
	if t.cleared {
		return
	}
	if t.fleeting {
		sent = sent.kept()
	}
	r.recent.add(sent, r.hub.cfg().History)
	for _, id := range t.late {
		r.recent.remove(id)
	}
}

// Posted tells that the room's last batch is in every inbox it had to go to.
// What was said meanwhile comes into the due list.
func (r *Room) Posted() {
	r.mu.Lock()
	pending := r.pendingLocked()
	r.queued = pending
	r.due, r.quiet = r.nextSealLocked(), false
	r.posted = r.seq
	due, seq, sealed, kept := r.due, r.seq, r.sealed, r.weighLocked()
	r.mu.Unlock()
	if pending {
		r.hub.due.push(due, r)
	}
	if kept {
		r.hub.keep(r, seq, sealed)
	}
}

func (r *Room) pendingLocked() bool {
	return r.pending != nil || r.likes > 0 || r.refused > 0 || r.untold
}
