package cluster

import (
	"sync"
	"time"
)

// drop is why something on the bus went nowhere.
type drop uint8

const (
	dropForeign  drop = iota // no message of danmakud, or one that is not as it must be
	dropShards               // of a node with other --bus-shards
	dropVersion              // of another version of the bus
	dropUnknown              // of a kind that this node does not know
	dropBusy                 // too many questions at one time
	dropUnsent               // an answer or report that could not be sent
	dropLarge                // more than a message may have
	dropOld                  // ticks that came again, or of a life of the node that is over
	dropStale                // chat that waited too long for the bus
	dropFull                 // ticks for which the queue to the bus had no place
	dropUnkept               // decisions that JetStream did not keep
	dropOverflow             // messages that came faster than they could be read
	dropAudience             // viewers of rooms that cannot be read
	drops
)

var dropNames = [drops]string{"foreign", "shards", "version", "unknown", "busy", "unsent", "large", "old", "stale", "full", "unkept", "overflow", "audience"}

func (n *Node) drop(d drop) { n.dropped[d].Add(1) }

// rareness lets each warning through once in warnEvery.
type rareness struct {
	mu sync.Mutex
	// Guarded by mu.
	last map[string]time.Time
}

const warnEvery = 10 * time.Second

func (r *rareness) allow(what string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.last[what]) < warnEvery {
		return false
	}
	if r.last == nil {
		r.last = make(map[string]time.Time)
	}
	r.last[what] = now
	return true
}
