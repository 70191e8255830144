package cluster

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/danmakud/danmakud/room"
	"github.com/nats-io/nats.go/jetstream"
)

// The way back out of JetStream: all of a room is read in one go, by a consumer that
// lives for as long as that. What was taken back is left out here, whatever the order in
// which nodes had it kept.

const (
	// readAtOnce is how many messages are asked for in one go.
	readAtOnce = 100
	// readGone is how long JetStream waits for messages that it has counted and does not
	// have any more, before it says so. Asked not to wait at all, servers of 2.9 never say
	// anything when the last has become too old between the two.
	readGone = readTime / 4
	// readerLife is how long JetStream keeps a consumer that its node has not removed.
	readerLife = 10 * time.Second
	// pastComments is how many comments a batch has that is made of what was read.
	pastComments = 100
)

// readHistory reads what JetStream has of a room, in the order in which it was kept.
// There is nothing if it does not come whole before ctx is done.
func (n *Node) readHistory(ctx context.Context, name string) <-chan []room.Heard {
	result := make(chan []room.Heard, 1)
	h := n.history
	if h == nil || n.rooms.Hub().History() <= 0 {
		result <- nil
		return result
	}
	n.running.Add(1)
	go func() {
		defer n.running.Done()
		result <- n.readNow(ctx, name)
	}()
	return result
}

// readNow is readHistory. Somebody waits for it: when JetStream has once not answered in
// time nobody else does for a while.
func (n *Node) readNow(ctx context.Context, name string) []room.Heard {
	h, s := n.history, n.history.stream.Load()
	if s == nil || time.Now().UnixMilli() < h.patient.Load() {
		h.unread.Add(1)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, h.patience)
	defer cancel()
	heard, err := n.pull(ctx, s, name)
	switch {
	case err == nil:
		h.read.Add(1)
		return heard
	case ctx.Err() != nil:
		h.patient.Store(time.Now().Add(readPause).UnixMilli())
	case h.stream.CompareAndSwap(s, nil): // it may be gone
		h.queue.ready.set()
	}
	h.unread.Add(1)
	h.warn("read", "what was said in a room is not read from JetStream", err)
	return nil
}

// pull reads what the stream has of a room, oldest first.
func (n *Node) pull(ctx context.Context, s *opened, name string) ([]room.Heard, error) {
	r := reading{room: name}
	for {
		whole, err := n.pullOn(ctx, s, &r)
		if err == nil && !whole {
			whole, err = n.history.ends(ctx, s, &r)
		}
		if err != nil {
			return nil, err
		}
		if whole {
			return slices.Concat(r.messages...), nil
		}
	}
}

// reading is what has been read of a room.
type reading struct {
	room     string
	messages [][]room.Heard // the newest, historyMax bytes of them
	sizes    []int
	bytes    int
	last     uint64 // of the messages, by its number in the stream
}

func (r *reading) add(seq uint64, heard []room.Heard, size int) {
	r.last = seq
	r.messages, r.sizes = append(r.messages, heard), append(r.sizes, size)
	for r.bytes += size; r.bytes > historyMax; r.messages, r.sizes = r.messages[1:], r.sizes[1:] {
		r.bytes -= r.sizes[0]
	}
}

// pullOn reads on, and reports whether JetStream gave all that it had counted.
func (n *Node) pullOn(ctx context.Context, s *opened, r *reading) (whole bool, err error) {
	c, err := s.CreateConsumer(ctx, jetstream.ConsumerConfig{
		FilterSubject: n.history.subject(r.room), AckPolicy: jetstream.AckNonePolicy,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: r.last + 1,
		InactiveThreshold: readerLife, MemoryStorage: true,
	})
	if err != nil {
		return false, err
	}
	n.running.Add(1)
	defer func() {
		go func() { // who waits for the room does not wait for this
			defer n.running.Done()
			ctx, cancel := context.WithTimeout(n.ended, historyTime)
			defer cancel()
			_ = s.DeleteConsumer(ctx, c.CachedInfo().Name) // it ends by itself
		}()
	}()
	given := uint64(0)
	for pending := c.CachedInfo().NumPending; pending > 0; {
		batch, err := c.Fetch(int(min(pending, readAtOnce)), jetstream.FetchMaxWait(readGone))
		if err != nil {
			return false, err
		}
		got := false
		for m := range whileWaiting(ctx, batch.Messages()) {
			meta, err := m.Metadata()
			if err != nil {
				return false, err
			}
			if given++; meta.Sequence.Consumer != given { // those between came when nobody waited for them any more
				return false, nil
			}
			got, pending = true, meta.NumPending
			r.add(meta.Sequence.Stream, n.keptTick(m.Data(), r.room), len(m.Data()))
			if pending == 0 {
				break
			}
		}
		if err := cmp.Or(ctx.Err(), batch.Error()); err != nil {
			return false, err
		}
		if !got {
			return false, nil
		}
	}
	return true, nil
}

// ends reports whether the stream has nothing of a room behind what was read. Then what
// JetStream had counted and did not give has just been discarded; else it is slow.
func (h *history) ends(ctx context.Context, s *opened, r *reading) (bool, error) {
	m, err := s.GetLastMsgForSubject(ctx, h.subject(r.room))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return true, nil
	}
	return err == nil && m.Sequence <= r.last, err
}

// whileWaiting yields what comes until ch is closed or ctx is done.
func whileWaiting(ctx context.Context, ch <-chan jetstream.Msg) func(yield func(jetstream.Msg) bool) {
	return func(yield func(jetstream.Msg) bool) {
		for {
			select {
			case m, ok := <-ch:
				if !ok || !yield(m) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

// keptTick reads a message of the stream, which may be anything.
func (n *Node) keptTick(p []byte, name string) []room.Heard {
	t, body, why, ok := parseHead(p)
	if !ok {
		n.drop(why)
		return nil
	}
	if err := t.parseBody(body, nil); err != nil || t.room != name {
		n.drop(dropForeign)
		return nil
	}
	return t.heard
}

// pastOf makes batches of the newest comments of what JetStream has, which go before
// those of another node: older than all of these, each once, by time, without what was
// taken back or is for no history.
func pastOf(heard []room.Heard, newer []Past, most int) (all []Past) {
	gone := takenBack(heard)
	for _, p := range newer {
		for i := range p.Heard {
			if id := p.Heard[i].ID; id != 0 {
				gone.from = min(gone.from, id)
			}
		}
	}
	var left []room.Heard
	for i := range heard {
		if gone.keeps(&heard[i], i) {
			left = append(left, heard[i])
		}
	}
	slices.SortStableFunc(left, func(a, b room.Heard) int { return cmp.Compare(a.ID, b.ID) })
	left = left[max(0, len(left)-most):]
	for part := range slices.Chunk(left, pastComments) {
		all = append(all, Past{Heard: part, Sealed: part[len(part)-1].Wall})
	}
	return all
}

// absent says which comments are not to come back.
type absent struct {
	ids     map[uint64]bool // taken back, or there already
	before  uint64          // the room was cleared with that id
	cleared int             // by the message at that place
	from    uint64          // others have what comes from that id on
}

// takenBack reads that from what was kept.
func takenBack(heard []room.Heard) absent {
	gone := absent{ids: make(map[uint64]bool), cleared: -1, from: ^uint64(0)}
	for i := range heard {
		h := &heard[i]
		switch {
		case h.Comment.Kind != room.KindRetract:
		case h.Comment.Target != 0:
			gone.ids[h.Comment.Target] = true
		default:
			gone.before, gone.cleared = max(gone.before, h.ID), i
		}
	}
	return gone
}

// keeps reports whether the comment at that place may come back, once. A clear goes by
// its time and by its place, since clocks of nodes differ.
func (a *absent) keeps(h *room.Heard, place int) bool {
	if k := h.Comment.Kind; k == room.KindRetract || k == room.KindData {
		return false
	}
	if a.ids[h.ID] || h.ID < a.before || place < a.cleared || h.ID >= a.from {
		return false
	}
	a.ids[h.ID] = true
	return true
}
