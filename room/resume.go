package room

import (
	"sync"
	"sync/atomic"
)

// A room keeps its last batches for a while, so that who was gone for a moment can
// go on where it was. They are references to what was sent anyway, bounded by age,
// by bytes of the room and by bytes of all rooms together.

// resumeSlice is how many batches who resumes gets out of its room's ring at once;
// the rest when its socket is writable again, so that others get their turn.
const resumeSlice = 16

// keptBatches are a room's, the oldest first and the last one sealed at the end, if
// there are any. Guarded by the room's mutex.
type keptBatches struct {
	list  []keptBatch
	bytes int
}

type keptBatch struct {
	*Batch
	counted int // bytes of memory it is counted with
}

// at returns the batch with that sequence, or nil.
func (k *keptBatches) at(seq uint64) *Batch {
	if kept := k.entry(seq); kept != nil {
		return kept.Batch
	}
	return nil
}

func (k *keptBatches) entry(seq uint64) *keptBatch {
	if len(k.list) == 0 || seq < k.list[0].Seq || seq-k.list[0].Seq >= uint64(len(k.list)) {
		return nil
	}
	return &k.list[seq-k.list[0].Seq]
}

// dropFirst forgets the oldest n and returns the bytes that they were counted with.
func (k *keptBatches) dropFirst(n int) (bytes int) {
	for _, b := range k.list[:n] {
		bytes += b.counted
	}
	k.bytes -= bytes
	clear(k.list[:n]) // append will leave them behind
	if k.list = k.list[n:]; len(k.list) == 0 {
		k.list = nil
	}
	return bytes
}

// keeping is the bookkeeping over all rooms. Any goroutine.
type keeping struct {
	bytes   atomic.Int64  // of the batches in all rooms
	dropped atomic.Uint64 // batches forgotten before their time, for a bound of bytes

	mu sync.Mutex
	// Guarded by mu.
	queue []keptSince // of all rooms, the oldest first; some may be gone already
}

type keptSince struct {
	room *Room
	seq  uint64
	at   int64
}

// keepLocked takes the room's newest batch in. What it weighs is known when it is
// encoded, see weighLocked.
func (r *Room) keepLocked(b *Batch) {
	if r.hub.cfg().ResumeAge < 0 {
		r.forgetLocked(len(r.kept.list))
		r.lost = b.Wall
		return
	}
	r.kept.list = append(r.kept.list, keptBatch{Batch: b})
}

// weighLocked counts the bytes of the newest batch, which has just been posted, and
// keeps the room within its bound. It reports whether the batch is kept.
func (r *Room) weighLocked() (kept bool) {
	n := len(r.kept.list)
	if n == 0 {
		return false
	}
	r.countLocked(&r.kept.list[n-1], r.kept.list[n-1].bytes)
	return len(r.kept.list) > 0
}

// countLocked counts bytes more for a kept batch, and keeps the room within its bound.
func (r *Room) countLocked(k *keptBatch, bytes int) {
	k.counted += bytes
	r.kept.bytes += bytes
	r.hub.keeping.bytes.Add(int64(bytes))
	over := 0
	for left := r.kept.bytes; left > r.hub.cfg().ResumeBytes; over++ {
		left -= r.kept.list[over].counted
	}
	if over > 0 {
		r.forgetLocked(over)
		r.hub.keeping.dropped.Add(uint64(over))
	}
}

// forgetLocked forgets the n oldest kept batches.
func (r *Room) forgetLocked(n int) {
	if n > 0 {
		r.lost = r.kept.list[n-1].Wall
	}
	r.hub.keeping.bytes.Add(-int64(r.kept.dropFirst(n)))
}

// forget forgets kept batches up to seq and returns how many.
func (r *Room) forget(seq uint64) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for n < len(r.kept.list) && r.kept.list[n].Seq <= seq {
		n++
	}
	if n > 0 {
		r.forgetLocked(n)
	}
	return n
}

// keep notes that a room has kept a batch, and forgets what is too old or too much.
func (h *Hub) keep(r *Room, seq uint64, now int64) {
	h.noteKept(r, seq, now)
	h.forgetOld(now)
}

// noteKept notes that a room has kept a batch.
func (h *Hub) noteKept(r *Room, seq uint64, now int64) {
	k := &h.keeping
	k.mu.Lock()
	k.queue = append(k.queue, keptSince{r, seq, now})
	k.mu.Unlock()
}

// forgetOld forgets the kept batches that are too old, and the oldest of any room
// while all together have too many bytes. No lock of a hub or room may be held.
func (h *Hub) forgetOld(now int64) {
	age, total := int64(h.cfg().ResumeAge), int64(h.cfg().ResumeTotal)
	for {
		over := h.keeping.bytes.Load() > total
		first, ok := h.keeping.first(now-age, over)
		if !ok {
			return
		}
		if n := first.room.forget(first.seq); over {
			h.keeping.dropped.Add(uint64(n))
		}
	}
}

// first takes the oldest entry, if it is from before that time or if any will do.
func (k *keeping) first(before int64, anyway bool) (e keptSince, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.queue) == 0 || k.queue[0].at >= before && !anyway {
		return e, false
	}
	e, k.queue[0] = k.queue[0], keptSince{}
	if k.queue = k.queue[1:]; len(k.queue) == 0 {
		k.queue = nil
	}
	return e, true
}

// Kept returns the bytes of the batches that are kept for who resumes, and how many
// batches were forgotten before their time for a bound of bytes.
func (h *Hub) Kept() (bytes int64, dropped uint64) {
	return h.keeping.bytes.Load(), h.keeping.dropped.Load()
}

// resumeLocked lets e begin after the batch that was asked for, if all since are kept.
func (r *Room) resumeLocked(req *JoinRequest, e *Entry) {
	if !r.hub.resumes(req.Encoding) {
		return
	}
	if req.Epoch != r.epoch && req.After != 0 {
		r.resumeAfterLocked(req.After, e)
		return
	}
	if req.Epoch != r.epoch || req.Since > r.seq {
		return
	}
	if req.Since < r.seq {
		next := r.kept.at(req.Since + 1)
		if next == nil {
			return
		}
		e.total = next.Total - uint64(next.Comments)
	}
	e.Seq, e.Resumed = req.Since, true
}

// resumeAfterLocked lets e, who was on another node, begin with the first batch that
// may have a comment it has not seen. Some of what it gets it has.
func (r *Room) resumeAfterLocked(after uint64, e *Entry) {
	from := IDTime(after) - overlapMs
	if whole := r.whole.Load(); whole == 0 || whole > from || r.lost >= from {
		return
	}
	e.Resumed = true
	for _, b := range r.kept.list {
		if b.Wall >= from {
			e.Seq, e.total = b.Seq-1, b.Total-uint64(b.Comments)
			return
		}
	}
}

// older returns a kept batch, or nil, and the encoding in which it may be read: while
// a batch is being encoded that is the plain one.
func (r *Room) older(seq uint64, e Encoding) (*Batch, Encoding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if seq > r.posted {
		e = EncodingJSON
	}
	return r.kept.at(seq), e
}

// late returns b for a member with a foreign encoding in which b's own frame is not
// there, or may not be looked at yet, and the encoding in which it is: made now, for
// whoever comes back likewise, and as it is for encodings that know no resuming. It is
// counted with what the room keeps. Loops call it, and two at one time may both do the
// work.
func (r *Room) late(b *Batch, e Encoding) (*Batch, Encoding) {
	if !r.hub.resumes(e) {
		return b, e
	}
	e = r.hub.plain(e)
	if made := b.late.Load(); made != nil {
		return made, e
	}
	made := &Batch{Room: r, Seq: b.Seq, Wall: b.Wall, Comments: b.Comments, Total: b.Total}
	made.frames[e] = r.hub.frame(b, e)
	if !b.late.CompareAndSwap(nil, made) {
		return b.late.Load(), e
	}
	r.mu.Lock()
	if k := r.kept.entry(b.Seq); k != nil && k.Batch == b {
		r.countLocked(k, cap(made.frames[e]))
	}
	r.mu.Unlock()
	return made, e
}
