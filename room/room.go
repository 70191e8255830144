package room

import (
	"errors"
	"slices"
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
	place int64 // of its ticks among those of all rooms, as a part of a tick of 1<<16

	// Atomic; any goroutine.
	whole   atomic.Int64 // Unix ms since when nothing was missed that other nodes said; 0 = something was
	passMax atomic.Int64 // longest pass reported since the last seal, ns
	present atomic.Int64 // members, as online
	abroad  atomic.Int64 // members on other nodes, as elsewhere
	tick    atomic.Int64 // present least time between two batches, ns

	settings atomic.Pointer[Settings] // in force, never nil, never changed
	toldAt   atomic.Uint64            // sequence of the last batch that told them, 0 = none

	audience audience // has a lock of its own

	mu sync.Mutex
	// Guarded by mu.
	pending    []byte // prefixRoom free bytes, then comments separated by commas; nil when nothing is pending
	marks      []mark // of each pending comment, ends counted from prefixRoom
	likes      uint64
	refused    uint64 // comments refused since the last seal
	spare      []byte // memory for what will be pending, of what was over the budget; nil = none
	over       *taken // what the governor is at work on; nil = nothing
	untold     bool   // members do not know the settings in force yet
	fleeting   bool   // some of what is pending is for no history
	queued     bool   // somebody has promised to call Seal, or has not posted the last batch yet
	due        int64
	quiet      bool  // nothing was said for a whole tick before what is pending
	sealed     int64 // time of the last seal
	everSeal   bool
	seq        uint64
	frameBytes int // size of the last batch's frame
	sizeHint   int // what the next pending buffer starts with
	online     int
	shown      int               // online as last told in a batch
	members    []uint32          // per shard
	encodings  [Encodings]uint32 // members by encoding
	wanted     shardSet          // shards with members
	recent     history
	running    superchats
	kept       keptBatches
	posted     uint64 // the newest batch that is encoded and in every inbox
	said       outgoing
	heard      map[uint16]uint64 // newest id by the node it came from; nil = none has come
	elsewhere  int               // members that other nodes have
	lost       int64             // when the newest batch was sealed that is kept no more, Unix ms
	gone       bool
	emptied    int64 // when the last member left, or the room was made
	books
}

// books are what became of the comments that a room has taken: all of them were
// sent, merged, sampled or withdrawn, or are pending. Guarded by the room's mutex.
type books struct {
	total     uint64 // sent: comments in all batches so far
	merged    uint64 // went into an equal one's count
	sampled   uint64 // left out for lack of space
	withdrawn uint64 // taken back before they were sent
	liked     uint64 // likes in all batches so far
	audit     bookkeeper
}

// Online returns how many members the room has, those on other nodes included.
func (r *Room) Online() int { return int(r.present.Load() + r.abroad.Load()) }

// Here returns how many members the room has on this node.
func (r *Room) Here() int { return int(r.present.Load()) }

// Name returns the room's name.
func (r *Room) Name() string { return r.name }

// Tick returns the present least time between two batches: the configured one,
// or more while passes take longer than that.
func (r *Room) Tick() time.Duration { return time.Duration(r.tick.Load()) }

// Settings returns those in force, which must not be changed. One atomic load.
func (r *Room) Settings() *Settings { return r.settings.Load() }

// Publish adds a comment to what the next batch carries and returns its id.
// When sealNow is true nothing was pending and the tick has passed: the caller
// must call Seal as soon as it has handled what else is at hand. Otherwise the
// room is in the hub's due list or already promised to somebody. A retract is
// published by Retract. Errors: ErrFull, ErrGone.
func (r *Room) Publish(c *Comment, now, wall int64) (id uint64, sealNow bool, err error) {
	r.mu.Lock()
	if err := r.takesLocked(len(c.Text)+len(c.Data)*4/3, c.prior()); err != nil {
		if err == ErrFull {
			r.refused++
			r.hub.refused.Add(1)
			r.unspokenLocked(1)
		}
		r.mu.Unlock()
		return 0, false, err
	}
	id = r.hub.newID(wall)
	r.takeInLocked(c, id, now, wall)
	speak := r.speakLocked(c, id, now, wall)
	sealNow = r.dirtyLocked(now, speak)
	return id, sealNow, nil
}

// takeInLocked appends a comment to what is pending.
func (r *Room) takeInLocked(c *Comment, id uint64, now, wall int64) {
	from := r.openLocked(now)
	r.pending = appendComment(r.pending, c, id, wall)
	r.closeLocked(markOf(c, id))
	if c.Kind == KindSuperchat && c.Duration > 0 {
		r.runLocked(c, id, from, now)
	}
}

// openLocked makes ready for another pending comment and returns where it begins.
func (r *Room) openLocked(now int64) (from int) {
	if r.pending == nil {
		if r.pending, r.spare = r.spare, nil; r.pending == nil {
			r.pending = make([]byte, prefixRoom, r.firstSizeLocked(now))
		}
	}
	if len(r.marks) > 0 {
		r.pending = append(r.pending, ',')
	}
	return len(r.pending)
}

// closeLocked takes in the comment that now ends the pending ones.
func (r *Room) closeLocked(m mark) {
	m.end = uint32(len(r.pending) - prefixRoom)
	r.marks = append(r.marks, m)
	r.fleeting = r.fleeting || m.fleeting()
	r.audit.take(uint64(m.stands()))
}

// runLocked has the pending superchat that begins at from shown to who joins, once
// it is in a batch.
func (r *Room) runLocked(c *Comment, id uint64, from int, now int64) {
	sc := superchat{id: id, until: now + int64(c.Duration), seq: r.nextSeqLocked()}
	sc.open = slices.Clone(r.pending[from : len(r.pending)-1])
	if r.running.add(sc, now) {
		r.hub.forgotten.Add(1)
	}
}

// nextSeqLocked is the sequence of the batch that will have what is pending.
func (r *Room) nextSeqLocked() uint64 {
	if r.over != nil {
		return r.seq + 2
	}
	return r.seq + 1
}

// Like adds n likes to what the next batch tells. sealNow as in Publish.
func (r *Room) Like(n uint64, now int64) (sealNow bool, err error) {
	r.mu.Lock()
	if r.gone {
		r.mu.Unlock()
		return false, ErrGone
	}
	r.likes += n
	speak := r.likedLocked(n, now)
	return r.dirtyLocked(now, speak), nil
}

// takesLocked returns nil if a comment with so many bytes of text fits into this
// tick. What is never left out may use as much again, so that a flood of chat never
// costs a gift.
func (r *Room) takesLocked(text int, prior bool) error {
	if r.gone {
		return ErrGone
	}
	if r.hasSpace(len(r.marks), len(r.pending), text, prior) {
		return nil
	}
	return ErrFull
}

// hasSpace reports whether beside so many comments with so many bytes there is space
// for one with that much text.
func (r *Room) hasSpace(comments, bytes, text int, prior bool) bool {
	most, bytesMost := r.hub.cfg().PendingComments, r.hub.cfg().PendingBytes
	if prior {
		most, bytesMost = 2*most, 2*bytesMost
	}
	return comments < most && bytes+text < bytesMost
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
// due list has its own lock. speak is what speakLocked said.
func (r *Room) dirtyLocked(now int64, speak speech) (sealNow bool) {
	if r.queued {
		r.mu.Unlock()
		r.announce(speak)
		return false
	}
	r.queued = true
	r.due, r.quiet = now, true
	if next := r.nextSealLocked(); r.everSeal && next > now {
		r.due, r.quiet = next, false
	}
	due := r.due
	r.mu.Unlock()
	r.announce(speak)
	if due <= now {
		return true
	}
	r.hub.due.push(due, r)
	return false
}

// Epoch names this life of the room: sequences count within it.
func (r *Room) Epoch() string { return r.epoch }

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
