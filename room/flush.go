package room

// This file holds all writes to an open viewer. Their order on one connection:
// the rest of a torn frame, then replies, then batches in sequence, so a frame
// is never cut by another.

// blockedOutput is what waits for a viewer whose socket is full.
type blockedOutput struct {
	// The torn frame, of which off bytes are sent: a batch's, or rest when batch is nil.
	batch *Batch
	enc   Encoding
	off   int
	rest  []byte

	replies []byte // whole frames
	since   int64  // when this frame was torn
}

// Reply sends one or more whole frames (or the handshake's answer) to one viewer,
// now or after what waits before it; it is dropped and counted when too much waits
// already. p is copied if it has to wait. Loop goroutine only.
func (s *Shard) Reply(slot uint32, p []byte, now int64) {
	if m := s.member(slot); m.blocked {
		if waits := len(s.blocked[slot].replies); waits > 0 && waits+len(p) > repliesBytesMax {
			s.count.RepliesDropped++
			return
		}
	}
	s.LastReply(slot, p, now)
}

// LastReply is Reply for what must not be dropped since it ends the connection.
// Loop goroutine only.
func (s *Shard) LastReply(slot uint32, p []byte, now int64) {
	m := s.member(slot)
	if m.blocked {
		out := s.blocked[slot]
		out.replies = append(out.replies, p...)
		return
	}
	n, err := s.w.Write(slot, p)
	if err != nil {
		s.w.Failed(slot, err)
	} else if n < len(p) {
		s.block(slot, m, &blockedOutput{rest: append([]byte(nil), p[n:]...), since: now})
	} else if m.resuming {
		s.sendBatches(slot, m, s.table[m.room-1], now)
	}
}

// Drained reports whether nothing waits to be written to slot. Loop goroutine only.
func (s *Shard) Drained(slot uint32) bool { return !s.member(slot).blocked }

// Writable continues where the socket was full, up to the newest batch. Loop goroutine only.
func (s *Shard) Writable(slot uint32, now int64) {
	m := s.member(slot)
	if !m.blocked || !s.resume(slot, m, now) {
		return
	}
	if m.room == 0 {
		return
	}
	s.sendBatches(slot, m, s.table[m.room-1], now)
}

// resume writes the torn frame's rest and the waiting replies. It reports
// whether the viewer is unblocked and still there.
func (s *Shard) resume(slot uint32, m *member, now int64) bool {
	out := s.blocked[slot]
	for {
		done, err := s.sendTorn(slot, out)
		if err != nil {
			s.w.Failed(slot, err)
			return false
		}
		if !done {
			return false
		}
		if len(out.replies) == 0 {
			break
		}
		out.rest, out.replies, out.since = out.replies, nil, now
	}
	m.blocked = false
	delete(s.blocked, slot)
	s.count.Blocked--
	s.w.WantWrite(slot, false)
	return true
}

// sendTorn makes one attempt at the rest of the torn frame.
func (s *Shard) sendTorn(slot uint32, out *blockedOutput) (done bool, err error) {
	if out.batch != nil {
		out.off, err = out.batch.write(s.w, slot, out.enc, out.off, false)
		if err != nil || out.off < out.batch.size(out.enc) {
			return false, err
		}
		out.batch = nil
		return true, nil
	}
	if len(out.rest) == 0 {
		return true, nil
	}
	n, err := s.w.Write(slot, out.rest)
	out.rest = out.rest[n:]
	return err == nil && len(out.rest) == 0, err
}

// sendBatches writes what m is owed, one frame a system call, until it is up to
// date or its socket is full.
func (s *Shard) sendBatches(slot uint32, m *member, rs *roomShard, now int64) {
	older := 0
	for rs.owes(m) {
		b, e := rs.batch(m.seq+1), m.enc
		held := b != nil && s.held(rs, b)
		if b == nil && m.resuming {
			if older++; older > resumeSlice {
				s.block(slot, m, &blockedOutput{since: now}) // others' turn: the socket is writable
				return
			}
			b, e = rs.room.older(rs.whole(m.seq+1), m.enc)
		}
		if b == nil {
			s.skip(slot, m, rs, now)
			if m.blocked || m.room == 0 {
				return
			}
			continue
		}
		if m.enc.Foreign() && (e != m.enc || b.Frame(e) == nil) {
			b, e = rs.room.late(b, m.enc)
		}
		size, start := b.size(e), b.start(e, m.bare)
		n, err := size, error(nil)
		if size > 0 {
			n, err = b.write(s.w, slot, e, start, held)
		}
		if err != nil {
			s.w.Failed(slot, err)
			return
		}
		if n == start && size > 0 {
			// Nothing of the frame is out, so nothing binds us to it: the viewer
			// may still skip it if it stays blocked for long.
			s.block(slot, m, &blockedOutput{since: now})
			return
		}
		m.seq, m.comments = uint32(b.Seq), uint32(b.Total)
		s.count.FramesWritten++
		s.count.CommentsDelivered += uint64(b.Comments)
		if n < size {
			s.block(slot, m, &blockedOutput{batch: b, enc: e, off: n, since: now})
			return
		}
	}
	m.resuming = false
}

// skip takes a viewer that lags behind the ring to the present: all but the
// newest batch are passed over, and it is told how many and how many comments, if its
// encoding has words for that.
func (s *Shard) skip(slot uint32, m *member, rs *roomShard, now int64) {
	m.resuming = false
	to, total := rs.last, uint32(rs.total)
	if newest := rs.batch(uint32(rs.last)); newest != nil { // none yet where all have just come
		to, total = to-1, total-uint32(newest.Comments)
	}
	batches, comments := uint32(to)-m.seq, total-m.comments
	m.seq, m.comments = uint32(to), total
	s.count.BatchesSkipped += uint64(batches)
	s.count.CommentsSkipped += uint64(comments)
	from, settings := to-uint64(batches)+1, (*Settings)(nil)
	if told := rs.room.toldAt.Load(); told >= from && told <= to {
		settings = rs.room.Settings()
	}
	var scratch [256]byte
	p := appendSkipped(scratch[:0], from, to, comments, settings)
	var space [272]byte
	if frame := s.hub.AppendNotice(space[:0], m.enc, p); len(frame) > 0 {
		s.Reply(slot, frame, now)
	}
}

// block remembers what could not be written and asks for writability.
func (s *Shard) block(slot uint32, m *member, out *blockedOutput) {
	m.blocked = true
	s.blocked[slot] = out
	s.count.Blocked++
	s.w.WantWrite(slot, true)
}
