package main

import (
	"bytes"
	"fmt"
	"slices"
)

// roomLog is what verified viewers of one worker saw in one room. The first
// copy of a batch is parsed and checked in full, all others must be the same
// bytes. Owned by the worker's loop goroutine.
type roomLog struct {
	index   int
	name    string
	salt    uint64
	epoch   string                  // of the first welcome; all must agree
	batches map[uint64]*batchRecord // by seq
	strays  map[string]*roomLog     // all rooms of this worker by name, to name a stray's origin
	packed  map[uint64]*batchRecord // by fingerprint of the compressed frame
	voices  map[string]*voice       // by uid: senders without stamps
	keeps   bool                    // for each batch what was said in it
}

// batchRecord is one distinct batch.
type batchRecord struct {
	seq      uint64
	size     int // of the whole plain frame, header included
	wire     int // of the frame as viewers with compression get it; 0 = none of them has been looked at
	sum      uint64
	sampled  int64
	comments int
	keys     []stampKey // in order
	intended []int64    // microseconds; nil once dropped
	payload  []byte     // to compare other copies with; nil once dropped

	said   []said // with keeps
	newest string // greatest id in it

	packed    []byte // the whole compressed frame, to compare others with; nil if none came or once dropped
	packedSum uint64 // 0 = no compressed frame has come
}

// stampKey names one comment.
type stampKey struct{ sender, sequence uint32 }

// recordKeep is how many bytes of payloads a worker keeps for comparison byte
// by byte. Older batches are compared by length and fingerprint.
const recordKeep = 64 << 20

// recordStore bounds the kept payloads of all rooms of a worker.
type recordStore struct {
	queue []*batchRecord // oldest first, from at
	at    int
	bytes int
}

// keep takes in a new record and drops the payloads of the oldest beyond the bound.
func (s *recordStore) keep(r *batchRecord) {
	s.queue = append(s.queue, r)
	s.bytes += len(r.payload) + len(r.packed)
	for s.bytes > recordKeep && s.at < len(s.queue)-1 {
		old := s.queue[s.at]
		s.bytes -= len(old.payload) + len(old.packed)
		old.payload, old.packed, old.intended = nil, nil, nil
		s.queue[s.at] = nil
		s.at++
	}
	if s.at > 4096 && s.at > len(s.queue)/2 {
		s.queue = slices.Delete(s.queue, 0, s.at)
		s.at = 0
	}
}

// same says whether a further copy of the batch says the same.
func (r *batchRecord) same(payload []byte) bool {
	if r.payload != nil {
		return bytes.Equal(r.payload, payload)
	}
	return r.sum == fingerprint(payload)
}

// grown takes note that a record has n bytes more than when it was kept.
func (s *recordStore) grown(r *batchRecord, n int) {
	if r.payload == nil {
		r.packed = nil // it was dropped before; its sums remain
		return
	}
	s.bytes += n
}

// took notes the frame in which a viewer with compression got the batch. All
// must get the same bytes: false if this one did not.
func (r *batchRecord) took(frame []byte, deflated bool) bool {
	if !deflated {
		if r.wire == 0 {
			r.wire = r.size
		}
		return r.packedSum == 0 && r.wire == len(frame)
	}
	if r.wire != 0 {
		return r.samePacked(frame)
	}
	r.wire, r.packed, r.packedSum = len(frame), bytes.Clone(frame), fingerprint(frame)
	return true
}

// samePacked says whether a compressed frame is the one that others got.
func (r *batchRecord) samePacked(frame []byte) bool {
	switch {
	case r.packedSum == 0 || r.wire != len(frame):
		return false
	case r.packed != nil:
		return bytes.Equal(r.packed, frame)
	}
	return r.packedSum == fingerprint(frame)
}

// beginsLike says whether the compressed frame of that size that begins with p
// is the batch's.
func (r *batchRecord) beginsLike(p []byte, size int) bool {
	return r.packed != nil && r.wire == size && bytes.HasPrefix(r.packed, p)
}

// knownPacked finds the batch of a compressed frame without inflating it: next
// is the one that is most likely. nil: nobody has seen these bytes.
func (l *roomLog) knownPacked(next uint64, frame []byte) *batchRecord {
	if r := l.batches[next]; r != nil && r.samePacked(frame) {
		return r
	}
	if r := l.packed[fingerprint(frame)]; r != nil && r.samePacked(frame) {
		return r
	}
	return nil
}

// first checks and records a batch that nobody of this worker has seen yet.
// The faults it finds are the batch's own, not those of a viewer. nil: the
// bytes are so wrong that there is nothing to record.
func (l *roomLog) first(seq uint64, payload []byte, f *faults) *batchRecord {
	r, err := l.inspect(seq, payload, f)
	if err != nil {
		f.add(faultCorrupt, 1, "room %s batch %d: %v: %.120q", l.name, seq, err, payload)
		return nil
	}
	r.size = plainSize(len(payload))
	l.batches[seq] = r
	return r
}

// inspect parses a batch in full and checks every comment in it.
func (l *roomLog) inspect(seq uint64, payload []byte, f *faults) (*batchRecord, error) {
	m, err := parseBatch(payload)
	if err != nil {
		return nil, err
	}
	if m.Seq != seq {
		return nil, fmt.Errorf("seq %d read again as %d", seq, m.Seq)
	}
	if m.Room != l.name {
		f.add(faultStray, 1, "a batch of room %q in room %q", m.Room, l.name)
		return nil, fmt.Errorf("it belongs to room %q", m.Room)
	}
	r := &batchRecord{
		seq:      seq,
		sum:      fingerprint(payload),
		sampled:  m.Sampled,
		payload:  bytes.Clone(payload),
		keys:     make([]stampKey, 0, len(m.Comments)),
		intended: make([]int64, 0, len(m.Comments)),
	}
	for i := range m.Comments {
		c := &m.Comments[i]
		if c.Kind != "" && c.Kind != "chat" {
			continue // the server speaking, not a sender of ours
		}
		s, ok := l.recognize(c)
		if !ok {
			l.blame(c, seq, f)
			continue
		}
		if c.ID == "" || c.UID == "" || c.TS == 0 {
			f.add(faultCorrupt, 1, "room %s batch %d: comment without id, uid or ts: %+v", l.name, seq, *c)
		}
		r.sampled += max(0, c.Count-1) // they are disclosed, too, and not there
		r.keys = append(r.keys, stampKey{s.sender, s.sequence})
		r.intended = append(r.intended, s.intended)
		r.newest = max(r.newest, c.ID)
		if l.keeps {
			r.said = append(r.said, said{stampKey: stampKey{s.sender, s.sequence}, intended: s.intended, id: fingerprint([]byte(c.ID))})
		}
	}
	r.comments = len(r.keys)
	return r, nil
}

// recognize tells who said a comment, and when it was meant to be said.
func (l *roomLog) recognize(c *commentMessage) (stamp, bool) {
	if l.voices != nil {
		v := l.voices[c.UID]
		if v == nil {
			return stamp{}, false
		}
		return v.recognize(c.Text)
	}
	return readStamp([]byte(c.Text), l.salt)
}

// blame finds out whether an unverifiable text is damaged or from another room.
func (l *roomLog) blame(c *commentMessage, seq uint64, f *faults) {
	for _, other := range l.strays {
		if _, ok := readStamp([]byte(c.Text), other.salt); ok {
			f.add(faultStray, 1, "a comment of room %s in room %s batch %d", other.name, l.name, seq)
			return
		}
	}
	f.add(faultCorrupt, 1, "room %s batch %d: text does not match its stamp: %.80q", l.name, seq, c.Text)
}

// differ is called for a copy that is not the same as the first one seen.
func (l *roomLog) differ(viewer int, r *batchRecord, payload []byte, f *faults) {
	at := 0
	for at < min(len(payload), len(r.payload)) && payload[at] == r.payload[at] {
		at++
	}
	f.add(faultCorrupt, 1, "viewer %d room %s batch %d differs from the first copy seen (%d bytes here), from byte %d on",
		viewer, l.name, r.seq, len(payload), at)
}

// order walks the room's batches in sequence and checks that the comments of
// each sender rise by one. Gaps are not judged here, since this worker may not
// have seen every batch; the parent judges completeness by count.
func (l *roomLog) order(f *faults) {
	senders := map[uint32]*sequence{}
	for _, r := range l.sorted() {
		for _, k := range r.keys {
			s := senders[k.sender]
			if s == nil {
				s = &sequence{next: uint64(k.sequence)}
				senders[k.sender] = s
			}
			switch s.take(uint64(k.sequence)) {
			case arrivedAgain:
				f.add(faultRepeated, 1, "room %s batch %d: comment %d of sender %d again", l.name, r.seq, k.sequence, k.sender)
			case arrivedLate:
				f.add(faultReordered, 1, "room %s batch %d: comment %d of sender %d came late", l.name, r.seq, k.sequence, k.sender)
			}
		}
	}
}

// sorted lists the batches in sequence.
func (l *roomLog) sorted() []*batchRecord {
	all := make([]*batchRecord, 0, len(l.batches))
	for _, r := range l.batches {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b *batchRecord) int {
		if a.seq < b.seq {
			return -1
		}
		return 1
	})
	return all
}

// historyClaim is what a welcome said about the past; it is checked when the
// room's log is complete.
type historyClaim struct {
	viewer int
	seq    uint64 // of the welcome: nothing in the history may be newer
	keys   []stampKey
}

// checkHistory holds the claims against the log: every comment of a history
// that the log knows must lie in a batch up to the welcome's, in order.
func (l *roomLog) checkHistory(claims []historyClaim, f *faults) {
	if len(claims) == 0 {
		return
	}
	where := map[stampKey]uint64{}
	for seq, r := range l.batches {
		for _, k := range r.keys {
			where[k] = seq
		}
	}
	for _, c := range claims {
		last := uint64(0)
		for _, k := range c.keys {
			seq, ok := where[k]
			switch {
			case !ok: // sealed before this worker had a verified viewer here
			case seq > c.seq:
				f.add(faultHistory, 1, "viewer %d room %s: history up to batch %d holds a comment of batch %d", c.viewer, l.name, c.seq, seq)
			case seq < last:
				f.add(faultHistory, 1, "viewer %d room %s: history out of order at batch %d", c.viewer, l.name, seq)
			default:
				last = seq
			}
		}
	}
}
