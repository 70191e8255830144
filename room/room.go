package room

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// Errors of Publish.
var (
	// ErrFull: the room holds as many comments as one tick may carry. The
	// comment is counted in the next batch's "sampled".
	ErrFull = errors.New("room: pending comments are at their limit")
	// ErrGone: the room was removed because nobody was in it; ask the hub again.
	ErrGone = errors.New("room: removed")
)

// Room is what was said in one room since its last batch, its sequence and its
// tick. Its members live in the shards. All methods may be called by any goroutine.
type Room struct {
	// Fixed after construction.
	name  string
	epoch string
	hub   *Hub

	// Atomic; any goroutine.
	passMax atomic.Int64 // longest pass reported since the last seal, ns
	present atomic.Int64 // members, as online
	tick    atomic.Int64 // present least time between two batches, ns

	mu sync.Mutex
	// Guarded by mu.
	pending    []byte   // prefixRoom free bytes, then comments separated by commas; nil when nothing is pending
	ends       []uint32 // end of each pending comment, counted from prefixRoom
	likes      uint64
	sampled    uint64 // comments refused since the last seal
	queued     bool   // somebody has promised to call Seal, or has not posted the last batch yet
	due        int64
	quiet      bool  // nothing was said for a whole tick before what is pending
	sealed     int64 // time of the last seal
	everSeal   bool
	seq        uint64
	total      uint64 // comments in all batches so far
	frameBytes int    // size of the last batch's frame
	sizeHint   int    // what the next pending buffer starts with
	online     int
	shown      int               // online as last told in a batch
	members    []uint32          // per shard
	encodings  [Encodings]uint32 // members by encoding
	wanted     shardSet          // shards with members
	recent     history
	gone       bool
	emptied    int64 // when the last member left
}

// Name returns the room's name.
func (r *Room) Name() string { return r.name }

// Tick returns the present least time between two batches: the configured one,
// or more while passes take longer than that.
func (r *Room) Tick() time.Duration { return time.Duration(r.tick.Load()) }

// Publish adds a comment to what the next batch carries and returns its id.
// When sealNow is true nothing was pending and the tick has passed: the caller
// must call Seal as soon as it has handled what else is at hand. Otherwise the
// room is in the hub's due list or already promised to somebody.
func (r *Room) Publish(c *Comment, now, wall int64) (id uint64, sealNow bool, err error) {
	r.mu.Lock()
	if r.gone {
		r.mu.Unlock()
		return 0, false, ErrGone
	}
	if !r.roomForLocked(c) {
		r.sampled++
		r.mu.Unlock()
		r.hub.refused.Add(1)
		return 0, false, ErrFull
	}
	id = r.hub.nextID.Add(1)
	if r.pending == nil {
		r.pending = make([]byte, prefixRoom, r.firstSizeLocked(now))
	}
	if len(r.ends) > 0 {
		r.pending = append(r.pending, ',')
	}
	r.pending = appendComment(r.pending, c, id, wall)
	r.ends = append(r.ends, uint32(len(r.pending)-prefixRoom))
	sealNow = r.dirtyLocked(now)
	return id, sealNow, nil
}

// Like adds n likes to what the next batch tells. sealNow as in Publish.
func (r *Room) Like(n uint64, now int64) (sealNow bool, err error) {
	r.mu.Lock()
	if r.gone {
		r.mu.Unlock()
		return false, ErrGone
	}
	r.likes += n
	return r.dirtyLocked(now), nil
}

// roomForLocked reports whether c still fits into this tick. What is not chat
// may use as much again, so that a flood of chat never costs a gift.
func (r *Room) roomForLocked(c *Comment) bool {
	comments, bytes := r.hub.cfg().PendingComments, r.hub.cfg().PendingBytes
	if c.Kind != KindChat {
		comments, bytes = 2*comments, 2*bytes
	}
	return len(r.ends) < comments && len(r.pending)+len(c.Text) < bytes
}

// firstSizeLocked is the capacity a batch begins with: what the last one needed,
// unless the room was quiet since, when one comment is all there will be.
func (r *Room) firstSizeLocked(now int64) int {
	if now-r.sealed >= r.tick.Load() {
		return 2 * prefixRoom
	}
	return max(r.sizeHint, 2*prefixRoom)
}

// dirtyLocked sees to it that the room gets sealed: it puts it into the due
// list, or answers true if that is to happen at once. It unlocks r.mu, since the
// due list has its own lock.
func (r *Room) dirtyLocked(now int64) (sealNow bool) {
	if r.queued {
		r.mu.Unlock()
		return false
	}
	r.queued = true
	r.due, r.quiet = now, true
	if next := r.sealed + r.tick.Load(); r.everSeal && next > now {
		r.due, r.quiet = next, false
	}
	due := r.due
	r.mu.Unlock()
	if due <= now {
		return true
	}
	r.hub.due.push(due, r)
	return false
}

// Epoch names this life of the room: sequences count within it.
func (r *Room) Epoch() string { return r.epoch }

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
	r.seq++
	r.total += uint64(len(r.ends))
	b := &Batch{
		Room: r, Seq: r.seq, Comments: len(r.ends), Total: r.total,
		Lag: max(0, now-r.due), shards: r.wanted,
	}
	h := sealHead{room: r.name, seq: r.seq, wall: wall, online: -1, likes: r.likes, sampled: r.sampled}
	if r.online != r.shown {
		h.online, r.shown = r.online, r.online
	}
	commentsEnd := len(r.pending)
	b.frames[EncodingJSON], b.header = frameBatch(r.pending, &h)
	if b.Comments > 0 {
		b.comments = r.pending[prefixRoom:commentsEnd:commentsEnd] // framed in place, so they are still there
	}
	b.wanted = r.encodings
	r.recent.add(r.pending[prefixRoom:commentsEnd], r.ends, r.hub.cfg().History)
	b.bytes = cap(r.pending)
	r.sizeHint = commentsEnd + commentsEnd/4 + suffixRoom
	r.pending, r.ends, r.likes, r.sampled = nil, nil, 0, 0
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
	return r.pending != nil || r.likes > 0 || r.sampled > 0
}

// adaptTickLocked stretches the tick when a pass took longer than it, so that
// overload merges more instead of queueing, and shrinks it as soon as there is
// air. Large frames do not stretch it: they would only grow, and everything come
// later. A room that was quiet for a whole tick is at rest: whatever stretched it
// is over.
func (r *Room) adaptTickLocked(frameBytes int) {
	base, most := int64(r.hub.cfg().Tick), int64(r.hub.cfg().MaxTick)
	large := max(frameBytes, r.frameBytes) >= stretchBytesMax // the pass was about the frame before
	r.frameBytes = frameBytes
	tick, pass := r.tick.Load(), r.passMax.Swap(0)
	switch {
	case large:
		tick = max(base, tick-tick/4)
	case pass > tick:
		tick = min(most, pass+pass/8)
	case r.quiet:
		tick = base
	case pass < tick-tick/32:
		tick = max(base, tick-tick/16)
	}
	r.tick.Store(min(max(tick, base), max(most, base))) // the settings may have changed since
}

// passTook reports how long a pass over one shard's members took, or has taken
// so far when the next batch arrived before its end.
func (r *Room) passTook(ns int64) {
	for {
		old := r.passMax.Load()
		if ns <= old || r.passMax.CompareAndSwap(old, ns) {
			return
		}
	}
}

// Info is a room as operators see it.
type Info struct {
	Name    string        `json:"room"`
	Online  int           `json:"online"`
	Seq     uint64        `json:"seq"`
	Total   uint64        `json:"comments"`
	Pending int           `json:"pending"`
	Tick    time.Duration `json:"-"`
	TickMs  int64         `json:"tick_ms"`
}

// Info returns the room's present state.
func (r *Room) Info() Info {
	r.mu.Lock()
	defer r.mu.Unlock()
	tick := r.Tick()
	return Info{Name: r.name, Online: r.online, Seq: r.seq, Total: r.total,
		Pending: len(r.ends), Tick: tick, TickMs: tick.Milliseconds()}
}

// enterLocked counts a member in and returns the sequence it starts after.
func (r *Room) enterLocked(shard int, e Encoding) (seq, total uint64) {
	r.online++
	r.encodings[e]++
	r.shown = -1 // who has just joined must hear the next change, whichever it is
	r.present.Store(int64(r.online))
	if r.members[shard]++; r.members[shard] == 1 {
		r.wanted.add(shard)
	}
	return r.seq, r.total
}

// leave counts a member out and returns the sequence it had a claim to.
func (r *Room) leave(shard int, e Encoding, now int64) (seq uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.online--
	r.encodings[e]--
	r.present.Store(int64(r.online))
	if r.members[shard]--; r.members[shard] == 0 {
		r.wanted.remove(shard)
	}
	if r.online == 0 {
		r.emptied = now
	}
	return r.seq
}
