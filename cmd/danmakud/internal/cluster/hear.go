package cluster

import (
	"sync"
	"time"

	"github.com/danmakud/danmakud/room"
	"github.com/nats-io/nats.go"
)

// The way in: the library puts what comes into a channel, RoutineReceive takes it from
// there into a queue that drops the oldest when it is full. There is one for what is said
// in rooms, which RoutineHear reads and gives to them, and one for all else, which
// RoutineControl reads.

const (
	// heardPlaces is the length of each channel: what comes while RoutineReceive is not
	// scheduled.
	heardPlaces = 4096
	// inboxMax bounds each queue, in bytes.
	inboxMax = 32 << 20
	// inboxItem is what a message counts besides its bytes.
	inboxItem = 256
)

// inbox is a queue of messages that are not read yet. Any goroutine.
type inbox struct {
	ready signal              // there is something
	prior func(p []byte) bool // must not be dropped if it can be helped; nil = nothing is so

	mu sync.Mutex
	// Guarded by mu.
	list  []*nats.Msg
	bytes int
}

// put adds a message. Over the bound the oldest go that have nothing that must not be
// dropped, then the oldest of all; it returns how many.
func (b *inbox) put(m *nats.Msg) (dropped int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.list = append(b.list, m)
	b.bytes += inboxItem + len(m.Data)
	if b.bytes > inboxMax {
		if b.prior != nil {
			dropped = b.dropOldest(func(m *nats.Msg) bool { return !b.prior(m.Data) })
		}
		dropped += b.dropOldest(func(*nats.Msg) bool { return true })
	}
	b.ready.set()
	return dropped
}

// dropOldest removes messages that may go, the oldest first, until a quarter of the
// space is free: so that it is not looked through for every message.
func (b *inbox) dropOldest(may func(*nats.Msg) bool) (dropped int) {
	kept := b.list[:0]
	for _, m := range b.list {
		if b.bytes > inboxMax*3/4 && may(m) {
			b.bytes -= inboxItem + len(m.Data)
			dropped++
			continue
		}
		kept = append(kept, m)
	}
	clear(b.list[len(kept):])
	b.list = kept
	return dropped
}

// takeAll removes all messages, in dst's memory.
func (b *inbox) takeAll(dst []*nats.Msg) []*nats.Msg {
	b.mu.Lock()
	defer b.mu.Unlock()
	dst = append(dst[:0], b.list...)
	clear(b.list)
	b.list, b.bytes = b.list[:0], 0
	return dst
}

// RoutineReceive takes messages out of the library's hands.
func (n *Node) RoutineReceive() {
	defer n.running.Done()
	for {
		select {
		case m := <-n.heard:
			n.dropped[dropOverflow].Add(uint64(n.inbox.put(m)))
		case m := <-n.control:
			n.dropped[dropOverflow].Add(uint64(n.told.put(m)))
		case <-n.ended.Done():
			return
		}
	}
}

// RoutineHear reads what other nodes' rooms say.
func (n *Node) RoutineHear() {
	defer n.running.Done()
	var all []*nats.Msg
	for {
		select {
		case <-n.inbox.ready:
		case <-n.ended.Done():
			return
		}
		all = n.inbox.takeAll(all)
		for _, m := range all {
			n.hear(m.Data)
		}
		clear(all)
		n.rooms.SealHeard()
	}
}

// progress is how far another node is in a shard, as far as it was heard.
type progress struct{ seq, comments uint64 }

type shardNode struct {
	shard uint32
	node  string
}

// hear reads one tick, which may be anything.
func (n *Node) hear(p []byte) {
	n.link.received.Add(1)
	t, body, why, ok := parseHead(p)
	if !ok {
		n.drop(why)
		return
	}
	if t.shards != uint64(n.options.Shards) {
		n.drop(dropShards)
		return
	}
	if t.node == n.self.ID { // NATS does not send it back, but somebody else may
		n.drop(dropOld)
		return
	}
	if err := t.parseBody(body, n.scratch); err != nil {
		n.drop(dropForeign)
		return
	}
	n.scratch = t.heard
	shard := n.shardOf(t.room)
	if !n.follow(shard, &t) {
		n.drop(dropOld)
		return
	}
	n.ticksHeard.Add(1)
	if !n.preparing.hold(&t) {
		n.deliver(&t)
	}
	clear(n.scratch)
}

// deliver gives a tick to its room, if that is here.
func (n *Node) deliver(t *tick) {
	n.commentsHeard.Add(uint64(len(t.heard)))
	n.rooms.Hear(t.room, t.heard, t.likes, t.sampled)
}

// standsFor is how many comments a tick has or says that it left out.
func (t *tick) standsFor() uint64 {
	n := t.sampled
	for i := range t.heard {
		n += uint64(max(1, t.heard[i].Comment.Count))
	}
	return n
}

// follow notes how far a node is in a shard, and reports whether the tick is new. What
// is missing in between is counted, and the rooms are told.
func (n *Node) follow(shard uint32, t *tick) bool {
	n.progressMu.Lock()
	defer n.progressMu.Unlock()
	key := shardNode{shard, t.node}
	at, known := n.progress[key]
	if known && t.seq <= at.seq {
		return false
	}
	if lost := t.comments - at.comments - t.standsFor(); known && lost < 1<<32 {
		n.commentsLost.Add(lost)
	}
	if known && t.seq > at.seq+1 {
		n.gaps.Add(t.seq - at.seq - 1)
		n.rooms.Missed(time.Now().UnixMilli(), func(name string) bool { return n.shardOf(name) == shard })
		if n.warned.allow("gap", time.Now()) {
			n.options.Log.Warn("bus: ticks of another node are missing", "node", t.node, "ticks", t.seq-at.seq-1)
		}
	}
	if !known && len(n.progress) >= progressMax {
		clear(n.progress) // nodes come and go: what is still there is known again soon
	}
	n.progress[key] = progress{t.seq, t.comments}
	return true
}

// progressMax bounds what is remembered of other nodes' shards.
const progressMax = 1 << 20

// forgetShard forgets how far the nodes are in a shard that is heard no more.
func (n *Node) forgetShard(shard uint32) {
	n.progressMu.Lock()
	defer n.progressMu.Unlock()
	for key := range n.progress {
		if key.shard == shard {
			delete(n.progress, key)
		}
	}
}

// Past is a batch that was sealed on another node.
type Past struct {
	Heard  []room.Heard
	Sealed int64 // Unix milliseconds
}

// Rooms are the rooms of this node as the bus sees them.
type Rooms interface {
	// Hub is that of the rooms, Now its clock.
	Hub() *room.Hub
	Now() int64
	// Hear merges what was said in a room on another node, if the room is here.
	Hear(name string, heard []room.Heard, likes, sampled uint64)
	// SealHeard seals the rooms that became due by Hear.
	SealHeard()
	// Missed tells that what was said before since, in Unix ms, was missed in the rooms
	// for which in says so, and if it is 0 that from now on it will be.
	Missed(since int64, in func(name string) bool)
	// Counts calls f with each room that has viewers here; Tally.Viewers is how many.
	Counts(f func(name string, t Tally))
	// SetElsewhere tells how many viewers rooms have on other nodes.
	SetElsewhere(viewers map[string]int)
	// Populated calls f with the rooms that must be heard.
	Populated(f func(name string))
	// Batches returns the batches of a room that are kept, the oldest first, and since
	// when they have all that was said, in Unix ms; 0 if they have not or the room is not
	// here. Since returns the second alone.
	Batches(name string) (batches []*room.Batch, since int64)
	Since(name string) int64
	// Fill makes the room if need be, puts batches in front of what it has and says
	// since when it has all that was said.
	Fill(name string, batches []Past, since int64)
}
