package main

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"syscall"
)

// state is how far a viewer's connection has come.
type state uint8

const (
	connecting state = iota
	upgrading        // request sent
	joining          // upgraded, waiting for welcome
	joined
	leaving // close frame sent, waiting for the server's
	over
)

// viewer is one connection. Owned by the loop goroutine, but for out.
type viewer struct {
	// Fixed after construction.
	fleet      *fleet
	room       *roomLog
	number     int // in the fleet
	fd         int
	slot       int32
	generation int32
	level      level
	deflate    bool // offers permessage-deflate
	mute       bool // its latencies are its own fault

	// The stream.
	state      state
	closeSeen  bool   // the server's close frame
	stalled    bool   // told not to read
	long       bool   // the last frame was long: read only the head of the next one
	carry      []byte // start of a frame whose rest is not there yet
	discarding int    // bytes of the frame under way that are still to be dropped
	began      int64  // connect, microseconds
	heard      int64  // last bytes of a counted viewer
	leaveAt    int64  // of a churning viewer

	// What came.
	early    bool // joined before anything was sent
	welcome  uint64
	uid      string
	seq      sequence
	bytes    int64
	batches  int64
	comments int64
	skips    []skipRange
	echoes   map[uint32]*sequence // relay only: by sender
	beats    int                  // packets only: heartbeats without an answer yet
	joinedAt int64                // microseconds

	told       bool   // goodbye has come
	retryAfter int64  // of the goodbye, ms
	host       string // of the goodbye: where to go

	node  int    // where it is
	epoch string // of its room there
	moved bool   // another connection goes on for it

	out *sender // nil unless it sends; has its own lock
}

const (
	longFrame   = 4 << 10 // framed viewers read the heads of longer ones only
	glanceSize  = 256     // enough for a header and the sequence
	quietMicros = 1e6     // a counted viewer that was silent for this long may be pinged
)

// connected continues after connect.
func (v *viewer) connected(err error, now int64) {
	f := v.fleet
	if err == nil {
		record(f.connectDelays, now-v.began)
		head := f.handshake.request(v.room.name, v.deflate, f.away[v.number].query())
		var n int
		if n, err = send(v.fd, head); err == nil && n < len(head) {
			err = io.ErrShortWrite // 300 bytes into an empty socket
		}
	}
	if err == nil {
		v.state = upgrading
		err = f.loop.watch(v, syscall.EPOLL_CTL_MOD, syscall.EPOLLIN)
	}
	if err != nil {
		v.end(err)
	}
}

// readable reads once, by the viewer's level.
func (v *viewer) readable() {
	if v.level == counted && v.state == joined {
		v.count()
		return
	}
	if v.discarding > 0 && !v.drop() {
		return
	}
	l := v.fleet.loop
	kept := copy(l.scratch, v.carry)
	limit := len(l.scratch)
	if v.level == framed && v.state == joined {
		limit = kept + longFrame
		if v.long {
			limit = kept + glanceSize
		}
	}
	n, errno := receive(v.fd, l.scratch[kept:limit])
	switch {
	case errno == syscall.EAGAIN:
		return
	case errno != 0:
		v.end(errno)
		return
	case n == 0:
		v.end(io.EOF)
		return
	}
	v.fleet.status.Bytes += int64(n)
	rest := v.consume(l.scratch[:kept+n], nowMicros())
	if v.state == over {
		return
	}
	v.carry = append(v.carry[:0], rest...)
	if v.discarding > 0 {
		v.drop()
	}
}

// drop discards the rest of a frame whose head has been read; true when it is
// all gone.
func (v *viewer) drop() bool {
	n, errno := discard(v.fd, v.discarding)
	switch {
	case errno == syscall.EAGAIN:
		return false
	case errno != 0:
		v.end(errno)
		return false
	case n == 0:
		v.end(io.EOF)
		return false
	}
	v.discarding -= n
	v.fleet.status.Bytes += int64(n)
	return v.discarding == 0
}

// count is all that happens to a counted viewer: bytes go, their number stays.
// The server pings only after silence, so only then is there need to look.
func (v *viewer) count() {
	f := v.fleet
	now := f.now
	var n int
	var errno syscall.Errno
	if now-v.heard > quietMicros {
		n, errno = receive(v.fd, f.loop.scratch[:longFrame])
		if p := f.loop.scratch[:max(n, 0)]; errno == 0 && n >= 2 && p[0] == 0x80|opPing && n == 2+int(p[1]) {
			v.write(opPong, p[2:])
			return
		}
	} else {
		n, errno = discard(v.fd, discardMost)
	}
	switch {
	case errno == syscall.EAGAIN:
		return
	case errno != 0:
		v.end(errno)
		return
	case n == 0:
		v.end(io.EOF)
		return
	}
	v.heard = now
	v.bytes += int64(n)
	f.status.Bytes += int64(n)
	f.status.FrameBytes += int64(n)
}

// consume takes whole frames off p and returns what is left of it.
func (v *viewer) consume(p []byte, now int64) []byte {
	for len(p) > 0 && v.state != over {
		if v.state == upgrading {
			n, err := v.fleet.handshake.response(p, v.deflate)
			if err != nil {
				v.end(err)
				return nil
			}
			if n == 0 {
				return p
			}
			p = p[n:]
			v.state = joining
			record(v.fleet.upgradeDelays, now-v.began)
			v.introduce()
			continue
		}
		if v.level == counted && v.state == joined {
			v.heard = now
			v.bytes += int64(len(p))
			v.fleet.status.FrameBytes += int64(len(p))
			return nil
		}
		h, ok, err := readHeaderOf(p, v.fleet.plan.data(), v.deflate)
		if err != nil {
			v.fleet.faults.add(faultFraming, 1, "viewer %d after %d batches: %v: % x", v.number, v.batches, err, p[:min(len(p), 16)])
			v.end(nil)
			return nil
		}
		if !ok {
			return p
		}
		size := h.size + h.payload
		v.long = size > longFrame
		if len(p) < size {
			if v.skim(h, p, size) {
				return nil
			}
			v.fleet.loop.grow(size)
			return p
		}
		v.frame(h, p[:size], now)
		p = p[size:]
	}
	return nil
}

// skim takes note of a batch by its head alone and has the rest dropped.
func (v *viewer) skim(h frameHeader, p []byte, size int) bool {
	if v.level != framed || v.state != joined || h.op != opText || len(p) < h.size+headRoom {
		return false
	}
	seq, err := seqOf(p[h.size:])
	if h.deflated {
		// The sequence is inside. The head of the batch that is next will do.
		if r := v.room.batches[v.seq.next]; r == nil || !r.beginsLike(p, size) {
			return false
		}
		seq, err = v.seq.next, nil
	}
	if err != nil || v.deflate && v.room.batches[seq] == nil {
		return false
	}
	v.arrive(seq, size)
	v.discarding = size - len(p)
	return true
}

// frame takes one whole frame.
func (v *viewer) frame(h frameHeader, whole []byte, now int64) {
	payload := whole[h.size:]
	switch h.op {
	case opPing:
		v.write(opPong, payload)
	case opClose:
		v.closed(payload)
	case opText:
		if h.deflated {
			v.inflate(payload, whole, now)
			return
		}
		v.text(payload, whole, false, now)
	case opBinary:
		v.packets(payload, whole, now)
	}
}

// inflate takes a compressed frame: by comparison if its bytes are known.
func (v *viewer) inflate(payload, whole []byte, now int64) {
	f := v.fleet
	if r := v.room.knownPacked(v.seq.next, whole); r != nil && v.state == joined {
		if v.arrive(r.seq, len(whole)) && v.level == verified {
			v.credit(r, len(whole), now)
		}
		return
	}
	f.status.Inflated++
	plain, err := f.loop.inflate.plain(payload)
	if err != nil {
		f.faults.add(faultCorrupt, 1, "viewer %d room %s: a compressed frame of %d bytes, batch %d was next: %v",
			v.number, v.room.name, len(whole), v.seq.next, err)
		return
	}
	v.text(plain, whole, true, now)
}

// text takes one message; whole is the frame it came in.
func (v *viewer) text(payload, whole []byte, deflated bool, now int64) {
	if v.state == joining {
		v.join(payload, now)
		return
	}
	if v.fleet.plan.Speaks == speaksRelay {
		v.echo(payload, len(whole), now)
		return
	}
	seq, err := seqOf(payload)
	if err != nil {
		v.notice(payload)
		return
	}
	// With compression whoever is first looks at a batch, a plain one too: batches
	// are looked at in their order, which voices rely on.
	if v.arrive(seq, len(whole)) && (v.level == verified || v.deflate && v.room.batches[seq] == nil || deflated) {
		v.verify(seq, payload, whole, deflated, now)
	}
}

// arrive judges the sequence of a batch; false if it had been here before.
func (v *viewer) arrive(seq uint64, size int) bool {
	f := v.fleet
	expected := v.seq.next
	switch v.seq.take(seq) {
	case arrivedAgain:
		f.faults.add(faultRepeated, 1, "viewer %d room %s: batch %d again, %d was next", v.number, v.room.name, seq, expected)
		return false
	case arrivedLate:
		f.faults.add(faultReordered, 1, "viewer %d room %s: batch %d came late, %d was next", v.number, v.room.name, seq, expected)
	case arrivedWild:
		f.faults.add(faultLost, 1, "viewer %d room %s: batch %d where %d was next", v.number, v.room.name, seq, expected)
	}
	v.batches++
	v.bytes += int64(size)
	f.status.Frames++
	f.status.FrameBytes += int64(size)
	return true
}

// verify looks at every byte of a batch: in full if nobody has seen it yet,
// else by comparison with the copy that was.
func (v *viewer) verify(seq uint64, payload, whole []byte, deflated bool, now int64) {
	f := v.fleet
	r := v.room.batches[seq]
	fresh := r == nil
	if fresh {
		if r = v.room.first(seq, payload, &f.faults); r == nil {
			return
		}
		f.status.Distinct += int64(r.comments)
	} else if !r.same(payload) {
		v.room.differ(v.number, r, payload, &f.faults)
		return
	}
	before := len(r.packed)
	if v.deflate && !r.took(whole, deflated) {
		f.faults.add(faultCorrupt, 1, "viewer %d room %s batch %d: says the same in other bytes (%d, compressed %t) than others got (%d)",
			v.number, v.room.name, seq, len(whole), deflated, r.wire)
		return
	}
	if fresh {
		f.loop.records.keep(r)
	} else {
		f.loop.records.grown(r, len(r.packed)-before)
	}
	if deflated {
		v.room.packed[r.packedSum] = r
	}
	if v.level == verified {
		v.credit(r, len(whole), now)
	}
}

// credit counts a batch that is right.
func (v *viewer) credit(r *batchRecord, size int, now int64) {
	f := v.fleet
	v.comments += int64(r.comments)
	f.status.VerifiedFrames++
	f.status.VerifiedBytes += int64(size)
	f.status.VerifiedPlain += int64(r.size)
	f.status.VerifiedComments += int64(r.comments)
	if !v.mute {
		for i, intended := range r.intended {
			f.latency(r.keys[i].sender, intended, now)
		}
	}
}

// echo takes a comment as the floor's relay hands it on.
func (v *viewer) echo(payload []byte, size int, now int64) {
	f := v.fleet
	var m noticeMessage
	err := json.Unmarshal(payload, &m)
	s, ok := readStamp([]byte(m.Text), v.room.salt)
	if err != nil || !ok {
		f.faults.add(faultCorrupt, 1, "viewer %d room %s: %.120q", v.number, v.room.name, payload)
		return
	}
	from := v.echoes[s.sender]
	if from == nil {
		if v.echoes == nil {
			v.echoes = map[uint32]*sequence{}
		}
		from = &sequence{next: uint64(s.sequence)}
		v.echoes[s.sender] = from
	}
	switch from.take(uint64(s.sequence)) {
	case arrivedAgain:
		f.faults.add(faultRepeated, 1, "viewer %d room %s: comment %d again", v.number, v.room.name, s.sequence)
		return
	case arrivedLate:
		f.faults.add(faultReordered, 1, "viewer %d room %s: comment %d came late", v.number, v.room.name, s.sequence)
	}
	v.batches++
	v.comments++
	v.bytes += int64(size)
	if v.number < f.plan.Rooms {
		f.status.Distinct++ // one viewer of each room counts for all
	}
	f.status.Frames++
	f.status.FrameBytes += int64(size)
	f.status.VerifiedFrames++
	f.status.VerifiedComments++
	f.status.VerifiedBytes += int64(size)
	f.status.VerifiedPlain += int64(size)
	f.latency(s.sender, s.intended, now)
}

// notice takes a message for this viewer alone.
func (v *viewer) notice(payload []byte) {
	f := v.fleet
	m, err := parseNotice(payload)
	if err != nil {
		f.faults.add(faultCorrupt, 1, "viewer %d: %v: %.120q", v.number, err, payload)
		return
	}
	f.status.Notices++
	switch m.Type {
	case "skipped":
		v.skipped(m)
	case "error":
		f.status.Errors++
		f.codes[m.Code]++
		f.roomErrors[v.room.index]++
	case "goodbye":
		f.codes["goodbye:"+m.Reason]++
		v.told, v.retryAfter, v.host = true, m.RetryAfterMS, m.Host
	case "ack", "pong":
	default:
		f.faults.add(faultUnknown, 1, "viewer %d: %.120q", v.number, payload)
	}
}

// skipped takes the server's word that batches were left out. Whether the
// number of comments is right is judged when all batches are known.
func (v *viewer) skipped(m *noticeMessage) {
	f := v.fleet
	if m.To < m.From || m.Batches != m.To-m.From+1 || m.Comments < 0 {
		f.faults.add(faultSkip, 1, "viewer %d: from %d to %d is not %d batches", v.number, m.From, m.To, m.Batches)
		return
	}
	expected := v.seq.next
	if !v.seq.excuse(m.From, m.To) {
		f.faults.add(faultSkip, 1, "viewer %d: told that %d to %d are skipped where %d was next", v.number, m.From, m.To, expected)
		return
	}
	v.skips = append(v.skips, skipRange{From: m.From, To: m.To, Comments: m.Comments})
	f.status.SkippedBatches += int64(m.Batches)
}

// write sends a control frame. A sender's socket is shared with the pacer.
func (v *viewer) write(op byte, payload []byte) {
	frame := appendMasked(nil, op, payload, uint32(v.number)*2654435761+1)
	if v.out != nil {
		v.out.write(frame)
		return
	}
	// A short write needs a full socket; viewers write a few bytes a minute.
	if n, err := send(v.fd, frame); err == nil && n < len(frame) {
		v.fleet.faults.add(faultSender, 1, "viewer %d: control frame not written", v.number)
	}
}

// closed takes the server's close frame.
func (v *viewer) closed(payload []byte) {
	v.closeSeen = true
	code := uint16(1005)
	if len(payload) >= 2 {
		code = binary.BigEndian.Uint16(payload)
	}
	if v.state == leaving {
		if code != 1000 && !(v.fleet.plan.Returns && code == 1012) { // both may have begun to close
			v.fleet.faults.add(faultClose, 1, "viewer %d left with 1000 and was answered %d", v.number, code)
		}
		return
	}
	if v.fleet.plan.Returns && code == 1012 {
		v.dismissed(payload)
		return
	}
	v.fleet.faults.add(faultClosed, 1, "viewer %d: close %d %.100q", v.number, code, payload[min(2, len(payload)):])
}

// end takes note that the connection is over, and why, and lets go of it.
func (v *viewer) end(err error) {
	f := v.fleet
	switch v.state {
	case connecting, upgrading, joining:
		f.status.Connecting--
		if f.plan.Returns {
			f.missed(v.number, err, nowMicros())
			break
		}
		f.status.Failed++
		f.faults.add(faultConnect, 1, "viewer %d: %v", v.number, err)
	case joined:
		f.status.Joined--
		if f.plan.Resumes {
			f.status.Leaves++
			v.moveOn(err, nowMicros())
			break
		}
		if f.plan.Returns && v.closeSeen {
			f.status.Leaves++
			f.comeBack(v.number, nowMicros()+1000*v.retryAfter)
			break
		}
		f.status.Gone++
		if err != nil && !v.closeSeen {
			f.faults.add(faultClosed, 1, "viewer %d after %d batches: %v", v.number, v.batches, err)
		}
	case leaving:
		f.status.Joined--
		f.status.Leaves++
		if !v.closeSeen || err == errCloseTimeout {
			f.faults.add(faultClose, 1, "viewer %d: closing handshake: answered %t, then %v", v.number, v.closeSeen, err)
		}
	}
	v.state = over
	f.loop.release(v)
	f.forget(v)
}
