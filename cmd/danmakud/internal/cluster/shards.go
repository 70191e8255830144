package cluster

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/danmakud/danmakud/room"
)

// Rooms hash to shards, each a subject. A node hears a shard only while it has viewers
// in one of its rooms, and a little longer, since rooms come and go.

const (
	// tidyEvery is how often it is looked which shards must be heard.
	tidyEvery = 5 * time.Second
	// shardLinger is how long a shard is heard that has no viewers.
	shardLinger = time.Minute
)

// shardOf is the shard of a room: the same on every node.
func (n *Node) shardOf(name string) uint32 {
	return room.Hash(name) % uint32(n.options.Shards)
}

func (n *Node) subjectShard(shard uint32) string {
	return n.options.Cluster + ".b." + strconv.FormatUint(uint64(shard), 10)
}

// shards are those that are heard. Any goroutine.
type shards struct {
	mu sync.Mutex
	// Guarded by mu.
	heard map[uint32]*heardShard
}

// heardShard is one of them.
type heardShard struct {
	sub    *nats.Subscription
	wanted time.Time     // when it last had viewers
	ready  chan struct{} // closed when the server has taken the subscription in
}

// hearShard has a shard heard, and returns when the server knows.
func (n *Node) hearShard(ctx context.Context, shard uint32) error {
	n.shards.mu.Lock()
	h := n.shards.heard[shard]
	if h != nil {
		h.wanted = time.Now()
		n.shards.mu.Unlock()
		select {
		case <-h.ready:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	h = &heardShard{wanted: time.Now(), ready: make(chan struct{})}
	n.shards.heard[shard] = h
	n.shards.mu.Unlock()
	defer close(h.ready)
	sub, err := n.link.subscribe(n.subjectShard(shard), n.heard)
	n.shards.mu.Lock()
	h.sub = sub
	if err != nil {
		delete(n.shards.heard, shard)
	}
	n.shards.mu.Unlock()
	if err != nil {
		return err
	}
	return n.link.flush(ctx)
}

// Shards returns how many shards are heard. Any goroutine.
func (n *Node) Shards() int {
	n.shards.mu.Lock()
	defer n.shards.mu.Unlock()
	return len(n.shards.heard)
}

// RoutineTidy has no shard heard that nobody needs.
func (n *Node) RoutineTidy() {
	defer n.running.Done()
	ticker := time.NewTicker(tidyEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			n.tidy(time.Now())
		case <-n.ended.Done():
			return
		}
	}
}

// tidy ends the subscriptions of shards that have had no viewers for a while.
func (n *Node) tidy(now time.Time) {
	n.rooms.Hub().SetPhase(now.UnixNano() - n.rooms.Now())
	n.state.sweep(now)
	wanted := make(map[uint32]bool)
	n.rooms.Populated(func(name string) { wanted[n.shardOf(name)] = true })
	var gone []uint32
	var unwanted []*nats.Subscription
	n.shards.mu.Lock()
	for shard, h := range n.shards.heard {
		if wanted[shard] {
			h.wanted = now
		}
		if h.sub != nil && now.Sub(h.wanted) > shardLinger {
			unwanted = append(unwanted, h.sub)
			delete(n.shards.heard, shard)
			gone = append(gone, shard)
		}
	}
	n.shards.mu.Unlock()
	for _, sub := range unwanted {
		sub.Unsubscribe() // the error is that the connection is closed
	}
	for _, shard := range gone {
		n.forgetShard(shard)
		n.rooms.Missed(0, func(name string) bool { return n.shardOf(name) == shard })
	}
}
