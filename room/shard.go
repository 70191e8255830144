package room

import (
	"errors"
	"time"
)

// ErrMember: the slot is already a member of a room.
var ErrMember = errors.New("room: already a member")

// Writer is a loop's sockets as a shard sees them. Loop goroutine only.
type Writer interface {
	// Write sends what the socket takes of p now: fewer bytes, or none, when it
	// is full. An error is final for the connection.
	Write(slot uint32, p []byte) (int, error)
	// WriteRegion is Write for rest, the last bytes of what r has, without copying.
	WriteRegion(slot uint32, r Region, rest []byte) (int, error)
	// WantWrite asks for Shard.Writable once the socket takes bytes again.
	WantWrite(slot uint32, on bool)
	// Failed tells that a write failed for good; it closes the connection, which
	// calls Shard.Leave.
	Failed(slot uint32, err error)
}

// Shard is one loop's members of all rooms, and the last batches of each of
// those rooms. Everything here belongs to the loop goroutine.
type Shard struct {
	// Fixed after construction.
	hub   *Hub
	index int
	w     Writer
	// PassDone, if set, is told how long each finished pass took, ns.
	PassDone func(ns int64)

	// Owned by the loop goroutine.
	rooms   map[*Room]*roomShard
	table   []*roomShard // by member.room; nil = free
	free    []uint32     // free places of table
	columns []*[chunkMembers]member
	blocked map[uint32]*blockedOutput
	active  []*roomShard // rooms with a pass under way, served in rotation
	turn    int          // whose turn it is in active
	count   Counts
	audit   auditor
}

// Counts is what a shard has done. Copy it on the loop goroutine.
type Counts struct {
	Members           int    // present memberships
	FramesWritten     uint64 // batch frames handed to the kernel, whole or begun
	CommentsDelivered uint64 // comments in those frames
	BatchesSkipped    uint64 // batches a lagging viewer was told it missed
	CommentsSkipped   uint64
	BatchesResumed    uint64 // batches from before their join that those who resumed had a claim to
	Resumes           uint64 // joins that went on where they were
	ResumesMissed     uint64 // joins that were told they cannot
	BatchesUnsent     uint64 // batches owed to viewers when they left
	BatchesMissed     uint64 // batches that never reached the shard (its inbox was full)
	RepliesDropped    uint64 // replies to a blocked viewer beyond the bound
	Blocked           int    // viewers with a torn frame at present
	Passes            uint64
}

// member is the column of a slot: pointer-free, so that a million of them cost
// the garbage collector nothing.
type member struct {
	room     uint32 // place in Shard.table plus one; 0 = in no room
	place    uint32 // place in roomShard.members
	seq      uint32 // low bits of the last sequence sent, begun or skipped
	comments uint32 // low bits of the room's comment total at that sequence
	enc      Encoding
	blocked  bool // the socket was full: output waits in Shard.blocked
	resuming bool // has not caught up since it resumed: what the ring lacks the room may have
	bare     bool // gets packets without WebSocket frames
}

// roomShard is one room as this loop sees it.
type roomShard struct {
	room    *Room
	index   uint32   // own place in Shard.table
	members []uint32 // slots
	ring    []*Batch // ring[seq % len], batches first..last
	first   uint64
	last    uint64 // newest batch delivered to this shard
	total   uint64 // comments of the room up to and including it
	ended   uint64 // newest batch of which a pass is over; newer ones are held, see spool.go
	bytes   int    // memory of the batches in the ring

	// The pass under way: members[cursor] is next, -1 = none is left.
	passing bool
	cursor  int
	target  uint64 // newest batch when the pass began
	began   int64
}

// NewShard makes the shard of loop index, which writes through w.
func NewShard(h *Hub, index int, w Writer) *Shard {
	return &Shard{
		hub: h, index: index, w: w,
		rooms:   make(map[*Room]*roomShard),
		blocked: make(map[uint32]*blockedOutput),
	}
}

// Counts returns a copy of the shard's counters. Loop goroutine only.
func (s *Shard) Counts() Counts { return s.count }

// RoomOf returns the room of which slot is a member, or nil. Loop goroutine only.
func (s *Shard) RoomOf(slot uint32) *Room {
	if m := s.member(slot); m.room != 0 {
		return s.table[m.room-1].room
	}
	return nil
}

// Join makes slot a member of a room, which is made if need be: every batch
// sealed from now on is its, and those since it was gone, if it resumes. These
// follow the next Reply, which should be the welcome. Loop goroutine only.
// Errors: ErrName, ErrRoomsFull, ErrRoomFull, ErrMember.
func (s *Shard) Join(slot uint32, req JoinRequest, now int64) (Entry, error) {
	m := s.member(slot)
	if m.room != 0 {
		return Entry{}, ErrMember
	}
	entry, err := s.hub.enter(&req, s.index, now)
	if err != nil {
		return Entry{}, err
	}
	if req.Who != 0 && !(req.Fleeting && entry.Resumed) {
		entry.Room.audience.see(req.Who, s.hub.cfg().AppendSaid != nil)
	}
	rs := s.rooms[entry.Room]
	if rs == nil {
		rs = s.addRoom(entry.Room, entry.sealed, entry.sealedTotal)
	}
	m.room, m.place = rs.index+1, uint32(len(rs.members))
	m.seq, m.comments, m.enc = uint32(entry.Seq), uint32(entry.total), req.Encoding
	m.resuming = entry.Seq < entry.sealed
	s.countResume(&entry)
	rs.members = append(rs.members, slot)
	s.count.Members++
	s.audit.join(entry.Seq)
	return entry, nil
}

func (s *Shard) countResume(e *Entry) {
	switch {
	case e.Resumed:
		s.count.Resumes++
		s.count.BatchesResumed += e.sealed - e.Seq
	case e.Resume:
		s.count.ResumesMissed++
	}
}

// Leave ends slot's membership, if it has one. It may be called from within a
// Broadcast or Writable of this shard. Loop goroutine only.
func (s *Shard) Leave(slot uint32, now int64) {
	m := s.member(slot)
	if m.room == 0 {
		return
	}
	rs := s.table[m.room-1]
	claim := rs.room.leave(s.index, m.enc, now)
	s.count.BatchesUnsent += uint64(uint32(claim) - m.seq)
	s.count.Members--
	s.audit.leave(claim)
	// The last member takes the place: behind the cursor it has been served, and
	// before it a second visit finds it up to date.
	end := len(rs.members) - 1
	moved := rs.members[end]
	rs.members[m.place] = moved
	s.member(moved).place = m.place
	rs.members = rs.members[:end]
	m.room, m.place, m.resuming = 0, 0, false
	if end == 0 {
		s.dropRoom(rs)
	}
}

// Forget drops all output that waits for slot and its membership: the connection
// is gone. Loop goroutine only.
func (s *Shard) Forget(slot uint32, now int64) {
	s.Leave(slot, now)
	m := s.member(slot)
	m.bare, m.enc = false, EncodingJSON
	if m.blocked {
		m.blocked = false
		delete(s.blocked, slot)
		s.count.Blocked--
	}
}

// Deliver takes in sealed batches of any rooms, in the order they were sealed,
// and begins their passes. Rooms without members here are ignored. Loop goroutine only.
func (s *Shard) Deliver(batches []*Batch, now int64) {
	for _, b := range batches {
		rs := s.rooms[b.Room]
		if rs == nil || b.Seq <= rs.last {
			b.LetGo(s.index)
			continue // nobody here, or sealed before the first of us joined
		}
		if b.Seq != rs.last+1 {
			s.count.BatchesMissed += b.Seq - rs.last - 1
			s.letGo(rs, rs.last)
			clear(rs.ring)
			rs.first, rs.bytes = b.Seq, 0
		}
		s.keep(rs, b)
		if rs.passing {
			rs.room.passTook(now - rs.began) // not done within its tick
			continue
		}
		rs.begin(now)
		s.active = append(s.active, rs)
	}
}

// keep puts b into the ring as the newest.
func (s *Shard) keep(rs *roomShard, b *Batch) {
	n := uint64(len(rs.ring))
	rs.last, rs.total = b.Seq, b.Total
	rs.bytes += b.bytes
	if rs.last-rs.first >= n {
		s.dropOldest(rs)
	}
	rs.ring[b.Seq%n] = b
	for rs.bytes > ringBytesMax && rs.first < rs.last {
		s.dropOldest(rs)
	}
}

func (s *Shard) dropOldest(rs *roomShard) {
	old := &rs.ring[rs.first%uint64(len(rs.ring))]
	s.letGo(rs, rs.first)
	rs.bytes -= (*old).bytes
	*old = nil
	rs.first++
}

// batch returns the batch with the low sequence bits given, or nil when it is
// older than the ring reaches.
func (rs *roomShard) batch(seq uint32) *Batch {
	whole := rs.whole(seq)
	if whole < rs.first {
		return nil
	}
	return rs.ring[whole%uint64(len(rs.ring))]
}

// whole is the sequence, not beyond the newest, with these low bits.
func (rs *roomShard) whole(seq uint32) uint64 { return rs.last - uint64(uint32(rs.last)-seq) }

// owes reports whether batches newer than m's sequence are here. A member that
// joined while batches were still on their way may be ahead of the shard.
func (rs *roomShard) owes(m *member) bool { return int32(uint32(rs.last)-m.seq) > 0 }

func (rs *roomShard) begin(now int64) {
	rs.passing = true
	rs.cursor = len(rs.members) - 1
	rs.target = rs.last
	rs.began = now
}

func (s *Shard) addRoom(r *Room, seq, total uint64) *roomShard {
	rs := &roomShard{room: r, ring: make([]*Batch, s.hub.cfg().Ring), first: seq + 1, last: seq, ended: seq, total: total}
	if n := len(s.free); n > 0 {
		rs.index = s.free[n-1]
		s.free = s.free[:n-1]
		s.table[rs.index] = rs
	} else {
		rs.index = uint32(len(s.table))
		s.table = append(s.table, rs)
	}
	s.rooms[r] = rs
	return rs
}

// dropRoom forgets a room whose last member here left. A pass under way finds no
// members and ends by itself.
func (s *Shard) dropRoom(rs *roomShard) {
	delete(s.rooms, rs.room)
	s.table[rs.index] = nil
	s.free = append(s.free, rs.index)
	s.letGo(rs, rs.last)
	clear(rs.ring)
}

// member returns the column of slot, which is made if need be. It never moves.
func (s *Shard) member(slot uint32) *member {
	chunk := int(slot / chunkMembers)
	for chunk >= len(s.columns) {
		s.columns = append(s.columns, new([chunkMembers]member))
	}
	return &s.columns[chunk][slot%chunkMembers]
}

// Stalled calls f for each slot whose torn frame has not gone out for at least
// limit. f may close the connection. Loop goroutine only.
func (s *Shard) Stalled(now int64, limit time.Duration, f func(slot uint32)) {
	for slot, out := range s.blocked {
		if now-out.since >= int64(limit) {
			f(slot)
		}
	}
}
