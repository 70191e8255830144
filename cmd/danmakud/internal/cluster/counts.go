package cluster

import (
	"maps"
	"sync"
	"time"

	"github.com/danmakud/danmakud/room"
)

// How many viewers a room has is the sum over all nodes. Each tells, with every report,
// of the rooms whose number has changed, and of an eighth of all others, so that what
// was lost on the way is right again after eight reports. What a node has told counts
// until it is told otherwise, or the node is gone.

const (
	// countsSlices is in how many reports all rooms are told.
	countsSlices = 8
	// countsMost is how many rooms one message tells of.
	countsMost = 8000
	// countExpiry is how long a number counts that is not told again: rooms that are no
	// more may have been told of by a message that was lost.
	countExpiry = 3 * countsSlices * reportEvery / 2
)

// counts are viewers by room, here as told last and elsewhere. Any goroutine.
type counts struct {
	mu sync.Mutex
	// Guarded by mu.
	told      map[string]int // what the others know of this node
	slice     uint32
	elsewhere map[string]map[string]count // by room, by node
}

type count struct {
	viewers int
	at      time.Time
}

// next returns what is to be told now, given how many viewers each room has. all says
// that somebody knows nothing yet.
func (c *counts) next(here map[string]int, slice func(name string) uint32, all bool) map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	tell := make(map[string]int)
	for name, n := range here {
		if all || c.told[name] != n || slice(name)%countsSlices == c.slice {
			tell[name] = n
		}
	}
	for name := range c.told {
		if here[name] == 0 {
			tell[name] = 0
		}
	}
	c.told = here
	c.slice = (c.slice + 1) % countsSlices
	return tell
}

// hear takes in what a node tells, and returns what is different now, by room.
func (c *counts) hear(node string, told map[string]int, now time.Time) map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	changed := make(map[string]int)
	for name, n := range told {
		byNode := c.elsewhere[name]
		if byNode[node].viewers != n {
			changed[name] = 0
		}
		if n <= 0 {
			delete(byNode, node)
			if len(byNode) == 0 {
				delete(c.elsewhere, name)
			}
			continue
		}
		if byNode == nil {
			byNode = make(map[string]count)
			c.elsewhere[name] = byNode
		}
		byNode[node] = count{n, now}
	}
	for name := range changed {
		changed[name] = sum(c.elsewhere[name])
	}
	return changed
}

// forget forgets what a node has told ("" = what nobody has told again for too long),
// and returns what is different then, by room.
func (c *counts) forget(node string, now time.Time) map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	changed := make(map[string]int)
	for name, byNode := range c.elsewhere {
		before := len(byNode)
		maps.DeleteFunc(byNode, func(id string, n count) bool {
			return id == node || node == "" && now.Sub(n.at) > countExpiry
		})
		if len(byNode) == before {
			continue
		}
		changed[name] = sum(byNode)
		if len(byNode) == 0 {
			delete(c.elsewhere, name)
		}
	}
	return changed
}

// of returns how many viewers a room has elsewhere.
func (c *counts) of(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return sum(c.elsewhere[name])
}

func sum(byNode map[string]count) (n int) {
	for _, c := range byNode {
		n += c.viewers
	}
	return n
}

// Elsewhere returns how many viewers a room has on other nodes. Any goroutine.
func (n *Node) Elsewhere(name string) int { return n.counts.of(name) }

// RoomsElsewhere returns the rooms that have viewers on other nodes, and how many. Any
// goroutine.
func (n *Node) RoomsElsewhere() map[string]int {
	n.counts.mu.Lock()
	defer n.counts.mu.Unlock()
	all := make(map[string]int, len(n.counts.elsewhere))
	for name, byNode := range n.counts.elsewhere {
		all[name] = sum(byNode)
	}
	return all
}

// countsToTell returns what the others are to be told of this node's rooms, in pieces
// that fit into a message; at least one.
func (n *Node) countsToTell(all bool) (pieces []map[string]int) {
	here := make(map[string]int)
	n.rooms.Counts(func(name string, viewers int) { here[name] = viewers })
	piece := make(map[string]int)
	for name, viewers := range n.counts.next(here, n.shardOf, all) {
		if len(piece) == countsMost {
			pieces, piece = append(pieces, piece), make(map[string]int)
		}
		piece[name] = viewers
	}
	return append(pieces, piece)
}

// takeCounts takes in what a node has told of its rooms.
func (n *Node) takeCounts(node string, told map[string]int) {
	if len(told) > countsMost || n.rooms == nil || !n.peers.has(node) {
		return
	}
	for name, viewers := range told {
		if !room.ValidName(name) || viewers < 0 || viewers > viewersMost {
			delete(told, name)
		}
	}
	n.rooms.SetElsewhere(n.counts.hear(node, told, time.Now()))
}

// viewersMost is more than a node can have in a room.
const viewersMost = 1 << 24
