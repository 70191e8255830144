//go:build verify

package room

import (
	"fmt"
	"slices"
)

// An auditor keeps what a shard's books are held against: the sequences at which
// memberships began and ended. It exists in builds with the tag verify.
type auditor struct {
	joined uint64 // sum of the sequences that members joined at
	left   uint64 // sum of the sequences up to which those who left had a claim
}

func (a *auditor) join(seq uint64)    { a.joined += seq }
func (a *auditor) leave(claim uint64) { a.left += claim }

// A bookkeeper counts what a room has taken, in builds with the tag verify.
type bookkeeper struct{ taken uint64 }

func (k *bookkeeper) take(n uint64) { k.taken += n }

// Check panics, with values, when the shard's own records contradict each other
// or the room's. It takes time in proportion to the slots ever used. Loop
// goroutine only, and not from within a call of the shard.
func (s *Shard) Check() {
	s.checkTable()
	members, blocked := 0, 0
	for chunk, columns := range s.columns {
		for i := range columns {
			m := &columns[i]
			if m.room != 0 {
				members++
			}
			if m.blocked {
				blocked++
				s.checkBlocked(uint32(chunk*chunkMembers + i))
			}
		}
	}
	listed := 0
	var ahead uint64
	for r, rs := range s.rooms {
		listed += len(rs.members)
		ahead += s.checkMembers(rs)
		s.checkRing(rs)
		r.check(s.index, len(rs.members))
	}
	if members != listed || members != s.count.Members {
		panic(fmt.Sprintf("room: shard %d: %d columns with a room, %d members listed, %d counted", s.index, members, listed, s.count.Members))
	}
	if blocked != len(s.blocked) || blocked != s.count.Blocked {
		panic(fmt.Sprintf("room: shard %d: %d columns blocked, output waits for %d, %d counted", s.index, blocked, len(s.blocked), s.count.Blocked))
	}
	// Each of a membership's batches is delivered, skipped, unsent at its end, or
	// still to come; 32 bits, since that is what a column keeps of a sequence.
	had := s.count.FramesWritten + s.count.BatchesSkipped + s.count.BatchesUnsent
	if claim := s.audit.left + ahead - s.audit.joined; uint32(claim) != uint32(had) {
		panic(fmt.Sprintf("room: shard %d: members had a claim to %d batches, delivered %d, skipped %d, unsent %d",
			s.index, uint32(claim), s.count.FramesWritten, s.count.BatchesSkipped, s.count.BatchesUnsent))
	}
}

// checkTable compares the table of rooms with its map, its free places and the
// passes under way.
func (s *Shard) checkTable() {
	used := 0
	for i, rs := range s.table {
		if free := slices.Contains(s.free, uint32(i)); free != (rs == nil) {
			panic(fmt.Sprintf("room: shard %d: place %d of the table: free %v, used %v", s.index, i, free, rs != nil))
		}
		if rs == nil {
			continue
		}
		used++
		if s.rooms[rs.room] != rs || rs.index != uint32(i) || len(rs.members) == 0 {
			panic(fmt.Sprintf("room: shard %d: place %d has room %s, index %d, %d members", s.index, i, rs.room.name, rs.index, len(rs.members)))
		}
		if active := slices.Contains(s.active, rs); active != rs.passing {
			panic(fmt.Sprintf("room: shard %d: room %s: passing %v, in the rotation %v", s.index, rs.room.name, rs.passing, active))
		}
	}
	if used != len(s.rooms) {
		panic(fmt.Sprintf("room: shard %d: %d rooms in the table, %d in the map", s.index, used, len(s.rooms)))
	}
}

func (s *Shard) checkBlocked(slot uint32) {
	out := s.blocked[slot]
	if out == nil {
		panic(fmt.Sprintf("room: shard %d slot %d: blocked, but nothing waits", s.index, slot))
	}
	if out.batch != nil && (out.off <= 0 || out.off >= out.batch.size(out.enc)) {
		panic(fmt.Sprintf("room: shard %d slot %d: torn at byte %d of %d", s.index, slot, out.off, out.batch.size(out.enc)))
	}
}

// checkMembers holds the list against the columns and returns the sum of the
// sequences that the members stand at. Whom the pass has left behind, or all if
// there is none, must be up to date or blocked: nobody is forgotten.
func (s *Shard) checkMembers(rs *roomShard) (at uint64) {
	served, upTo := -1, rs.last
	if rs.passing {
		served, upTo = rs.cursor, rs.target
	}
	for place, slot := range rs.members {
		m := s.member(slot)
		if m.room != rs.index+1 || int(m.place) != place {
			panic(fmt.Sprintf("room: shard %d slot %d: column %+v, listed at %d of room %s", s.index, slot, *m, place, rs.room.name))
		}
		if behind := int32(uint32(upTo) - m.seq); place > served && behind > 0 && !m.blocked {
			panic(fmt.Sprintf("room: shard %d slot %d: %d batches behind in room %s, and nothing will serve it", s.index, slot, behind, rs.room.name))
		}
		at += uint64(m.seq)
	}
	return at
}

func (s *Shard) checkRing(rs *roomShard) {
	bytes, kept := 0, uint64(0)
	for i, b := range rs.ring {
		if b == nil {
			continue
		}
		kept++
		bytes += b.bytes
		if b.Room != rs.room || b.Seq < rs.first || b.Seq > rs.last || b.Seq%uint64(len(rs.ring)) != uint64(i) {
			panic(fmt.Sprintf("room: shard %d: ring of %s has %s/%d at %d, keeps %d to %d", s.index, rs.room.name, b.Room.name, b.Seq, i, rs.first, rs.last))
		}
	}
	if kept != rs.last+1-rs.first || bytes != rs.bytes {
		panic(fmt.Sprintf("room: shard %d: ring of %s has %d batches of %d bytes, records say %d to %d of %d bytes", s.index, rs.room.name, kept, bytes, rs.first, rs.last, rs.bytes))
	}
}

// check compares the room's counts with each other, and with the members that
// one shard has: so online is the sum over all shards.
func (r *Room) check(shard, members int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	sum := 0
	for i, n := range r.members {
		sum += int(n)
		if r.wanted.has(i) != (n > 0) {
			panic(fmt.Sprintf("room: %s: shard %d has %d members, wanted %v", r.name, i, n, r.wanted.has(i)))
		}
	}
	if r.gone || r.online != sum || int(r.present.Load()) != sum || int(r.members[shard]) != members {
		panic(fmt.Sprintf("room: %s: gone %v, online %d, present %d, %d over all shards; shard %d has %d members, counted as %d",
			r.name, r.gone, r.online, r.present.Load(), sum, shard, members, r.members[shard]))
	}
	pending := uint64(standing(r.marks))
	if r.over != nil {
		pending += uint64(standing(r.over.marks))
	}
	if b := &r.books; b.audit.taken != b.total+b.merged+b.sampled+b.withdrawn+pending {
		panic(fmt.Sprintf("room: %s: took %d comments, sent %d, merged %d, sampled %d, withdrawn %d, pending %d",
			r.name, b.audit.taken, b.total, b.merged, b.sampled, b.withdrawn, pending))
	}
	r.checkKept()
	encodings := 0
	for _, n := range r.encodings {
		encodings += int(n)
	}
	if encodings != sum {
		panic(fmt.Sprintf("room: %s: %v members by encoding, %d in all", r.name, r.encodings, sum))
	}
}

// checkKept sees that the kept batches are the room's last ones, without a gap, and
// that their bytes are the sum.
func (r *Room) checkKept() {
	bytes := 0
	for i, b := range r.kept.list {
		bytes += b.counted
		if b.Room != r || b.Seq+uint64(len(r.kept.list)-1-i) != r.seq {
			panic(fmt.Sprintf("room: %s: keeps %s/%d as %d of %d up to %d", r.name, b.Room.name, b.Seq, i, len(r.kept.list), r.seq))
		}
	}
	if bytes != r.kept.bytes {
		panic(fmt.Sprintf("room: %s: keeps %d bytes, counted as %d", r.name, bytes, r.kept.bytes))
	}
}
