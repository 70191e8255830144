package cluster

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/danmakud/danmakud/room"
	"github.com/nats-io/nats.go"
)

// The way out: RoutineSpeak takes what rooms have for others when it is due and puts it
// into a queue, RoutineSend gives that to the connection, which may block. While the
// bus is away the queue keeps what it can. What then comes late is no chat: nobody wants
// to read on the other nodes what was shouted half a minute ago, and it would stand
// behind what was said since.

const (
	// staleAfter is how long chat may wait for the bus.
	staleAfter = 3 * time.Second
	// queueItem is what an entry of the queue counts besides its texts.
	queueItem = 256
)

// waiting is an entry of the queue.
type waiting struct {
	said  *room.Said
	at    time.Time
	bytes int
	prior bool // only what is never dropped for lack of space is left
}

// outbox is the queue. Any goroutine.
type outbox struct {
	most    int                      // bytes
	ready   signal                   // there is something
	keeps   bool                     // chat may wait for as long as it must
	shardOf func(room string) uint32 // of the node

	mu sync.Mutex
	// Guarded by mu.
	list  []waiting
	bytes int
	bare  int               // so many entries, the oldest, have no chat that could go
	gone  map[uint32]uint64 // comments that no tick tells of any more, by shard
}

func newOutbox(most int, shardOf func(room string) uint32) outbox {
	return outbox{most: most, ready: newSignal(), shardOf: shardOf, gone: make(map[uint32]uint64)}
}

// weight is how many bytes of the queue s takes.
func weight(s *room.Said) int {
	n := queueItem
	for i := range s.Comments {
		n += len(s.Comments[i].Text) + 40
	}
	return n
}

// put adds what was said. Over the bound the oldest chat goes first, then the oldest of
// all; it returns how many comments went, and how many entries as a whole.
func (o *outbox) put(w waiting) (comments, whole int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list = append(o.list, w)
	o.bytes += w.bytes
	comments, whole = o.trim()
	o.ready.set()
	return comments, whole
}

// putBack puts an entry in front again that was taken and could not be sent.
func (o *outbox) putBack(w waiting) (comments, whole int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list, o.bare = slices.Insert(o.list, 0, w), 0
	o.bytes += w.bytes
	return o.trim()
}

// trim makes the queue as small as it must be. mu is held.
func (o *outbox) trim() (comments, whole int) {
	for ; o.bytes > o.most && o.bare < len(o.list); o.bare++ {
		comments += o.dropChat(&o.list[o.bare])
	}
	for o.bytes > o.most && len(o.list) > 0 {
		s := o.list[0].said
		o.bytes -= o.list[0].bytes
		comments += int(commentsOf(s))
		o.gone[o.shardOf(s.Room)] += commentsOf(s) + s.Sampled
		o.dropFirst()
		whole++
	}
	return comments, whole
}

// dropFirst removes the oldest entry from the list. mu is held.
func (o *outbox) dropFirst() {
	o.list[0] = waiting{}
	o.list, o.bare = o.list[1:], max(0, o.bare-1)
}

// dropChat leaves of an entry what is never dropped for lack of space, and returns how
// many comments went.
func (o *outbox) dropChat(w *waiting) (n int) {
	if w.prior {
		return 0
	}
	left := &room.Said{Room: w.said.Room, Likes: w.said.Likes, Sampled: w.said.Sampled}
	for _, c := range w.said.Comments {
		if c.Prior {
			left.Comments = append(left.Comments, c)
			continue
		}
		n += c.Count
	}
	left.Sampled += uint64(n)
	o.bytes -= w.bytes
	w.said, w.prior, w.bytes = left, true, weight(left)
	o.bytes += w.bytes
	return n
}

// take removes the oldest entry. Chat that is too old is gone from it; stale is how
// many comments that were.
func (o *outbox) take(now time.Time) (w waiting, stale int, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.list) == 0 {
		o.list = nil
		return w, 0, false
	}
	if !o.keeps && now.Sub(o.list[0].at) > staleAfter {
		stale = o.dropChat(&o.list[0])
	}
	w = o.list[0]
	o.bytes -= w.bytes
	o.dropFirst()
	return w, stale, true
}

// forgone returns how many comments of a shard no tick tells of any more, once.
func (o *outbox) forgone(shard uint32) (n uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n = o.gone[shard]
	delete(o.gone, shard)
	return n
}

// size is how many bytes wait.
func (o *outbox) size() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bytes
}

// KickSpeaking has RoutineSpeak look at when rooms are due. It never blocks; any
// goroutine.
func (n *Node) KickSpeaking() {
	n.spoken.set()
}

// RoutineSpeak takes what is said here when it is due.
func (n *Node) RoutineSpeak() {
	defer n.running.Done()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		now := n.rooms.Now()
		n.rooms.Hub().SpeakDue(now, n.queue)
		wait := time.Hour
		if due, ok := n.rooms.Hub().NextSpeaking(); ok {
			wait = time.Duration(due - n.rooms.Now())
		}
		timer.Reset(max(0, wait))
		select {
		case <-timer.C:
		case <-n.spoken:
		case <-n.ended.Done():
			n.rooms.Hub().SpeakDue(1<<62, n.queue)
			close(n.silent)
			return
		}
	}
}

// queue puts what a room has for others into the queue.
func (n *Node) queue(s *room.Said) {
	w := waiting{said: s, at: time.Now(), bytes: weight(s)}
	n.countUnsent(n.outbox.put(w))
	n.history.put(w)
}

func (n *Node) countUnsent(comments, whole int) {
	n.unsent.Add(uint64(comments))
	n.dropped[dropFull].Add(uint64(whole))
}

// RoutineSend gives the queue to the connection while it is there.
func (n *Node) RoutineSend() {
	defer n.running.Done()
	for {
		n.sendQueue()
		retry := time.NewTimer(sendRetry)
		select {
		case <-n.outbox.ready:
		case <-retry.C: // the bus may be back
		case <-n.silent:
			retry.Stop()
			n.gathering.end()
			n.sendQueue()
			return
		}
		retry.Stop()
	}
}

// sendRetry is how often the queue is looked at while nothing new comes.
const sendRetry = 500 * time.Millisecond

// sendQueue sends until the queue is empty, the connection takes nothing, or nobody is
// there to hear it.
func (n *Node) sendQueue() {
	for n.link.up() && n.gathering.over(time.Now()) {
		w, stale, ok := n.outbox.take(time.Now())
		if !ok {
			return
		}
		n.unsent.Add(uint64(stale))
		if stale > 0 {
			n.drop(dropStale)
		}
		if !n.sendTick(w.said) {
			n.countUnsent(n.outbox.putBack(w))
			return
		}
	}
}

// sendTick sends what was said in one room, and reports whether that is done with. A
// message that is too large, for us or for the server, goes without chat; if it still is,
// it does not go at all.
func (n *Node) sendTick(s *room.Said) (done bool) {
	shard := n.shardOf(s.Room)
	out := &n.out[shard]
	out.comments += n.outbox.forgone(shard)
	for _, priorOnly := range []bool{false, true} {
		body, comments, left := appendBody(nil, s, priorOnly)
		t := tick{node: n.self.ID, shards: uint64(n.options.Shards), seq: out.seq + 1, comments: out.comments + comments + left + s.Sampled}
		p := appendTick(nil, &t, body, hasPrior(s))
		if len(p) > messageMax {
			continue
		}
		err := n.link.publish(n.subjectShard(shard), p)
		if errors.Is(err, nats.ErrMaxPayload) {
			continue
		}
		if err != nil {
			return false // the connection is being made again
		}
		out.seq, out.comments = t.seq, t.comments
		n.unsent.Add(left)
		n.ticksSent.Add(1)
		n.bytesSent.Add(uint64(len(p)))
		return true
	}
	n.drop(dropLarge)
	n.unsent.Add(commentsOf(s))
	out.comments += commentsOf(s) + s.Sampled
	return true
}

// commentsOf is for how many comments s has stands.
func commentsOf(s *room.Said) (n uint64) {
	for i := range s.Comments {
		n += uint64(s.Comments[i].Count)
	}
	return n
}

func hasPrior(s *room.Said) bool {
	for i := range s.Comments {
		if s.Comments[i].Prior {
			return true
		}
	}
	return false
}

// outgoing is how far this node is in a shard. Owned by RoutineSend.
type outgoing struct{ seq, comments uint64 }
