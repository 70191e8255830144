package room

import "sync/atomic"

// Spool is memory out of which sockets are written without copying. Any goroutine.
type Spool interface {
	// Add copies p and returns the copy, or nil when there is no place.
	Add(p []byte) Region
}

// Region is a frame in a spool. Only the Writers know how to use it.
type Region interface {
	// Free gives it back. It is called once, when no Writer uses it any more.
	Free()
}

// spooled is a batch's frames in the spool. Every loop that had members at the
// seal holds it until its pass is over; the last one to let go frees the regions.
// Whoever is served later, or has a torn frame, gets copies.
type spooled struct {
	regions [Encodings]Region // nil = not there
	holders atomic.Int32
}

// spool puts the batch's frames into the hub's spool, if there is one, where they
// are large and go to many: the copy and its pages cost about as much as it saves
// for a few dozen viewers.
func (b *Batch) spool() {
	h := b.Room.hub
	cfg := h.cfg()
	if cfg.Spool == nil {
		return
	}
	for e, frame := range b.frames {
		if len(frame) < cfg.SpoolMin || b.audience(Encoding(e)) < cfg.SpoolMembers {
			continue
		}
		r := cfg.Spool.Add(frame)
		if r == nil {
			h.unspooled.Add(1)
			continue
		}
		if b.spooled == nil {
			b.spooled = new(spooled)
			b.spooled.holders.Store(int32(b.shards.count()))
		}
		b.spooled.regions[e] = r
		h.spooled.Add(1)
	}
}

// audience is how many members get the frame in encoding e.
func (b *Batch) audience(e Encoding) (members int) {
	for wanted, n := range b.wanted {
		if b.made(Encoding(wanted)) == e {
			members += int(n)
		}
	}
	return members
}

// LetGo tells that a loop will not write the batch out of the spool any more, or
// never gets it. Once for each loop that Wanted it, others do not count; the shard
// does it for the batches that are delivered.
func (b *Batch) LetGo(shard int) {
	if b.spooled == nil || !b.Wanted(shard) || b.spooled.holders.Add(-1) != 0 {
		return
	}
	for _, r := range b.spooled.regions {
		if r != nil {
			r.Free()
		}
	}
}

// letGo lets go of all batches in the ring up to and including seq.
func (s *Shard) letGo(rs *roomShard, seq uint64) {
	for next := max(rs.ended+1, rs.first); next <= seq; next++ {
		rs.ring[next%uint64(len(rs.ring))].LetGo(s.index)
	}
	rs.ended = max(rs.ended, seq)
}

// held reports whether the batch's place in the spool is good until s lets go of it.
func (s *Shard) held(rs *roomShard, b *Batch) bool { return b.Seq > rs.ended && b.Wanted(s.index) }

// Spooled returns how many frames went into the spool, and how many found no
// place there.
func (h *Hub) Spooled() (in, full uint64) { return h.spooled.Load(), h.unspooled.Load() }
