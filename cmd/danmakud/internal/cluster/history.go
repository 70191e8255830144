package cluster

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// With --bus-history JetStream keeps what was said, so that it is there when no node has
// it any more: each node has what its own viewers said in a tick kept, once, in the form
// in which it goes to the others, and reads a room's back when somebody comes to it
// (past.go). One stream has all rooms, each a subject. It is the operator's: limits that
// it has already stay. What JetStream does not take waits in a queue of its own, apart
// from what is for the other nodes, and chat does not go stale there.

const (
	// historyAtOnce is how many messages may be under way to JetStream.
	historyAtOnce = 64
	// historyTime is how long JetStream may take to answer, historyRetry how long is
	// waited after it has not: twice as long each time, up to historyRetryMost, while
	// there is no stream.
	historyTime      = 2 * time.Second
	historyRetry     = time.Second
	historyRetryMost = 16 * time.Second
	// readTime is how long somebody waits for what is read, readPause for how long nobody
	// does who comes after one who has waited in vain.
	readTime  = time.Second
	readPause = 5 * time.Second
	// historyTries is how often a message is tried that the stream refuses.
	historyTries = 3
	// historyTwice is for how long the stream knows a message again, at most.
	historyTwice = 2 * time.Minute
)

// errStream: there is a stream of that name that cannot be used.
var errStream = errors.New("the stream is no history of rooms")

// history is what JetStream keeps. Any goroutine, but for what is said to be
// RoutineHistory's.
type history struct {
	options  *Options
	queue    outbox
	patience time.Duration          // readTime; fixed before anybody reads
	stream   atomic.Pointer[opened] // nil = not there at present
	warned   rareness
	js       jetstream.JetStream // made with the first stream; owned by who opens
	missed   bool                // it was said that there is none; likewise
	servers  replicas            // likewise

	written atomic.Uint64 // messages
	refused atomic.Uint64 // messages that the stream did not take
	unkept  atomic.Uint64 // comments that found no place in the queue, or were refused
	patient atomic.Int64  // Unix ms before which nothing is read: it did not come in time
	read    atomic.Uint64 // rooms that were read
	unread  atomic.Uint64 // rooms that could not be read, or not in time

	seq   uint64     // of the newest message; owned by RoutineHistory
	under []*keeping // what is being written; likewise
}

// opened is the stream as it was found.
type opened struct {
	jetstream.Stream
	js jetstream.JetStream
}

// keeping is a message on its way into the stream.
type keeping struct {
	msg      *nats.Msg
	id       string
	comments uint64
	tries    int
	ack      jetstream.PubAckFuture // nil = it could not be sent
}

// newHistory returns nil where nothing is to be kept.
func newHistory(o *Options, shardOf func(room string) uint32) *history {
	if o.HistoryBatches <= 0 {
		return nil
	}
	h := &history{options: o, patience: readTime}
	h.queue = newOutbox(o.QueueMax, shardOf)
	h.queue.keeps = true
	return h
}

func (h *history) name() string { return h.options.Cluster + "-history" }

// subject is that of a room. A name may have dots, which divide subjects.
func (h *history) subject(room string) string {
	return h.options.Cluster + ".h." + base64.RawURLEncoding.EncodeToString([]byte(room))
}

// config is how the stream is made. Three servers have it where there are so many.
func (h *history) config(replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: h.name(), Subjects: []string{h.options.Cluster + ".h.*"},
		Description:       "danmakud: what was said in rooms",
		Retention:         jetstream.LimitsPolicy,
		Discard:           jetstream.DiscardOld,
		MaxMsgsPerSubject: int64(h.options.HistoryBatches),
		MaxAge:            h.options.HistoryAge,
		Duplicates:        min(historyTwice, h.options.HistoryAge),
		Storage:           jetstream.FileStorage,
		Replicas:          replicas,
	}
}

// open finds or makes the stream, if it is not known already, and reports whether there
// is one. What is wrong is logged once, until it is right again. Before RoutineHistory
// begins, and by it.
func (h *history) open(ctx context.Context, l *link) bool {
	if h.stream.Load() != nil {
		return true
	}
	if !l.up() {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, historyTime)
	defer cancel()
	s, err := h.find(ctx, l.conn)
	if err != nil {
		if !h.missed && !errors.Is(err, context.Canceled) {
			h.missed = true
			h.options.Log.Warn("bus: what is said is not kept in JetStream", "stream", h.name(), "error", err.Error())
		}
		return false
	}
	h.missed = false
	h.stream.Store(s)
	c := s.CachedInfo().Config
	h.options.Log.Info("bus: what is said is kept in JetStream", "stream", c.Name, "batches", c.MaxMsgsPerSubject, "age", c.MaxAge.String(), "replicas", c.Replicas)
	if c.MaxMsgsPerSubject != int64(h.options.HistoryBatches) || c.MaxAge != h.options.HistoryAge {
		h.options.Log.Warn("bus: the stream has other limits than this node's settings, and keeps them; change them with the nats tool, or remove the stream",
			"stream", c.Name, "batches", c.MaxMsgsPerSubject, "bus_history", h.options.HistoryBatches, "age", c.MaxAge.String(), "bus_history_age", h.options.HistoryAge.String())
	}
	return true
}

// find returns the stream, which is made if need be.
func (h *history) find(ctx context.Context, conn *nats.Conn) (*opened, error) {
	if h.js == nil {
		var err error
		if h.js, err = jetstream.New(conn, jetstream.WithPublishAsyncTimeout(historyTime)); err != nil {
			return nil, err
		}
	}
	js := h.js
	s, err := js.Stream(ctx, h.name())
	for _, replicas := range []int{3, 1} {
		if !errors.Is(err, jetstream.ErrStreamNotFound) {
			break
		}
		made, madeErr := js.CreateStream(ctx, h.config(replicas))
		switch {
		case madeErr == nil:
			s, err = made, nil
		case errors.Is(madeErr, jetstream.ErrStreamNameAlreadyInUse): // another node was faster
			s, err = js.Stream(ctx, h.name())
		case replicas == 1 || !h.servers.fewer(madeErr, time.Now()):
			err = madeErr
		}
	}
	if err != nil {
		return nil, err
	}
	c := s.CachedInfo().Config
	if c.Retention != jetstream.LimitsPolicy || len(c.Subjects) != 1 || c.Subjects[0] != h.config(1).Subjects[0] {
		return nil, fmt.Errorf("%w: %s has subjects %v and keeps them by %s", errStream, c.Name, c.Subjects, c.Retention)
	}
	return &opened{s, js}, nil
}

// warn logs what goes wrong, now and then while it lasts.
func (h *history) warn(what, text string, err error) {
	if h.warned.allow(what, time.Now()) {
		h.options.Log.Warn("bus: "+text, "stream", h.name(), "error", err.Error())
	}
}

// put queues what was said. h may be nil. It does not block.
func (h *history) put(w waiting) {
	if h == nil || len(w.said.Comments) == 0 {
		return
	}
	comments, whole := h.queue.put(w)
	h.unkept.Add(uint64(comments))
	h.refused.Add(uint64(whole))
}

// RoutineHistory writes what waits for JetStream, until the node ends.
func (n *Node) RoutineHistory() {
	defer n.running.Done()
	h := n.history
	for wait := historyRetry; ; {
		there := h.open(n.ended, n.link)
		if there && n.writeHistory(n.ended) {
			select {
			case <-h.queue.ready:
				continue
			case <-n.silent:
			}
		}
		if wait = min(2*wait, historyRetryMost); there || !n.link.up() {
			wait = historyRetry
		}
		retry := time.NewTimer(wait)
		select {
		case <-retry.C:
		case <-n.silent:
			retry.Stop()
			ctx, cancel := context.WithTimeout(context.Background(), historyTime)
			defer cancel()
			if h.open(ctx, n.link) {
				n.writeHistory(ctx)
			}
			return
		}
	}
}

// writeHistory writes until the queue is empty, which it reports, or something is not
// taken.
func (n *Node) writeHistory(ctx context.Context) (empty bool) {
	h := n.history
	for n.link.up() {
		for len(h.under) < historyAtOnce {
			w, _, ok := h.queue.take(time.Now())
			if !ok {
				break
			}
			s := w.said
			if len(s.Comments) == 0 { // all have made place for others
				continue
			}
			h.seq++
			k := n.keepingOf(h.subject(s.Room), func(prior bool) ([]byte, uint64, uint64) {
				body, comments, left := appendBody(nil, s, prior)
				t := tick{node: n.self.ID, shards: uint64(n.options.Shards), seq: h.seq, comments: comments}
				return appendTick(nil, &t, body, hasPrior(s)), comments, left
			})
			if k != nil {
				h.under = append(h.under, k)
			}
		}
		if len(h.under) == 0 {
			return true
		}
		if !h.write(ctx) {
			return false
		}
	}
	return false
}

// keepingOf makes the message of a tick, nil if it would be too large whatever is left
// out.
func (n *Node) keepingOf(subject string, tick func(priorOnly bool) (p []byte, comments, left uint64)) *keeping {
	h := n.history
	for _, priorOnly := range []bool{false, true} {
		p, comments, left := tick(priorOnly)
		if len(p) > messageMax {
			continue
		}
		h.unkept.Add(left)
		return &keeping{msg: &nats.Msg{Subject: subject, Data: p}, id: n.self.ID + "-" + strconv.FormatUint(h.seq, 36), comments: comments}
	}
	h.refused.Add(1)
	return nil
}

// write sends what is under way and waits for the answers. What was not taken stays
// under way, and its id keeps it from being there twice; ok says that there is none.
func (h *history) write(ctx context.Context) (ok bool) {
	s := h.stream.Load()
	if s == nil {
		return false
	}
	var failure error
	for _, k := range h.under {
		var err error
		if k.ack, err = s.js.PublishMsgAsync(k.msg, jetstream.WithMsgID(k.id), jetstream.WithExpectStream(h.name()), jetstream.WithRetryAttempts(0)); err != nil {
			failure = err
		}
	}
	left := h.under[:0]
	for _, k := range h.under {
		err := k.wait(ctx)
		if err == nil {
			h.written.Add(1)
			continue
		}
		failure = err
		var refused *jetstream.APIError
		if errors.As(err, &refused) || errors.Is(err, nats.ErrMaxPayload) {
			k.tries++
		}
		if k.tries >= historyTries {
			h.refused.Add(1)
			h.unkept.Add(k.comments)
			continue
		}
		left = append(left, k)
	}
	clear(h.under[len(left):])
	h.under = left
	var refused *jetstream.APIError
	switch {
	case failure == nil:
		return true
	case ctx.Err() != nil:
	case errors.As(failure, &refused) || errors.Is(failure, nats.ErrMaxPayload):
		h.warn("write", "JetStream refuses what is said", failure)
	default: // it may be gone
		h.stream.Store(nil)
		h.warn("write", "JetStream does not answer", failure)
	}
	return false
}

// wait returns when the stream has answered, which it does in historyTime or not at all.
func (k *keeping) wait(ctx context.Context) error {
	if k.ack == nil {
		return errUnsent
	}
	select {
	case <-k.ack.Ok():
		return nil
	case err := <-k.ack.Err():
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// errUnsent: the library did not send a message.
var errUnsent = errors.New("not sent")
