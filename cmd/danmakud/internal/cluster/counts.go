package cluster

import (
	"maps"
	"sync"
	"time"

	"github.com/danmakud/danmakud/room"
)

// How many viewers a room has is the sum over all nodes, and how many different ones it
// has had is what the node says that knows of most: see audience.go. Each tells, with every report,
// of the rooms whose number has changed, and of an eighth of all others, so that what
// was lost on the way is right again after eight reports. What a node has told counts
// until it is told otherwise, or the node is gone.

const (
	// countsSlices is in how many reports all rooms are told.
	countsSlices = 8
	// countsMost is how many rooms one message tells of.
	countsMost = 4000
	// countsTaken is how many are taken of a message, which once told of twice as many.
	countsTaken = 8000
	// countExpiry is how long a number counts that is not told again: rooms that are no
	// more may have been told of by a message that was lost.
	countExpiry = 3 * countsSlices * reportEvery / 2
	// elsewhereMax bounds the rooms that have viewers elsewhere.
	elsewhereMax = 1 << 20
)

// counts are viewers by room, here as told last and elsewhere. Any goroutine.
type counts struct {
	most int // rooms elsewhere

	mu sync.Mutex
	// Guarded by mu.
	told      map[string]Tally // what the others know of this node
	slice     uint32
	elsewhere map[string]map[string]count // by room, by node
}

// Tally is what is counted of a room.
type Tally struct {
	Viewers int
	Watched uint64 // different viewers so far
}

// count is what one node has told.
type count struct {
	Tally
	at time.Time
}

// next returns what is to be told now, given how many viewers each room has. all says
// that somebody knows nothing yet.
func (c *counts) next(here map[string]Tally, slice func(name string) uint32, all bool) map[string]Tally {
	c.mu.Lock()
	defer c.mu.Unlock()
	tell := make(map[string]Tally)
	for name, n := range here {
		if all || c.told[name] != n || slice(name)%countsSlices == c.slice {
			tell[name] = n
		}
	}
	for name := range c.told {
		if here[name].Viewers == 0 {
			tell[name] = Tally{}
		}
	}
	c.told = here
	c.slice = (c.slice + 1) % countsSlices
	return tell
}

// hear takes in what a node tells, and returns how many viewers those rooms have now
// where that is different, and whether there was space for all.
func (c *counts) hear(node string, told map[string]Tally, now time.Time) (changed map[string]int, all bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	changed, all = make(map[string]int), true
	for name, n := range told {
		byNode := c.elsewhere[name]
		if byNode == nil && n.Viewers > 0 && len(c.elsewhere) >= c.most {
			all = false
			continue
		}
		if byNode[node].Viewers != n.Viewers {
			changed[name] = 0
		}
		if n.Viewers <= 0 {
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
		changed[name] = sum(c.elsewhere[name]).Viewers
	}
	return changed, all
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
		changed[name] = sum(byNode).Viewers
		if len(byNode) == 0 {
			delete(c.elsewhere, name)
		}
	}
	return changed
}

// of returns what a room has elsewhere.
func (c *counts) of(name string) Tally {
	c.mu.Lock()
	defer c.mu.Unlock()
	return sum(c.elsewhere[name])
}

func sum(byNode map[string]count) (all Tally) {
	for _, c := range byNode {
		all.Viewers += c.Viewers
		all.Watched = max(all.Watched, c.Watched)
	}
	return all
}

// Elsewhere returns how many viewers a room has on other nodes. Any goroutine.
func (n *Node) Elsewhere(name string) int { return n.counts.of(name).Viewers }

// RoomsElsewhere returns the rooms that have viewers on other nodes, and what is counted
// of them. Any goroutine.
func (n *Node) RoomsElsewhere() map[string]Tally {
	n.counts.mu.Lock()
	defer n.counts.mu.Unlock()
	all := make(map[string]Tally, len(n.counts.elsewhere))
	for name, byNode := range n.counts.elsewhere {
		all[name] = sum(byNode)
	}
	return all
}

// countsToTell returns what the others are to be told of this node's rooms, in pieces
// that fit into a message; at least one.
func (n *Node) countsToTell(all bool) (pieces []map[string]Tally) {
	here := make(map[string]Tally)
	n.rooms.Counts(func(name string, t Tally) { here[name] = t })
	piece := make(map[string]Tally)
	for name, t := range n.counts.next(here, n.shardOf, all) {
		if len(piece) == countsMost {
			pieces, piece = append(pieces, piece), make(map[string]Tally)
		}
		piece[name] = t
	}
	return append(pieces, piece)
}

// takeCounts takes in what a node has told of its rooms.
func (n *Node) takeCounts(node string, viewers map[string]int, watched map[string]uint64) {
	if len(viewers) > countsTaken || n.rooms == nil || !n.peers.has(node) {
		return
	}
	told := make(map[string]Tally, len(viewers))
	for name, here := range viewers {
		if room.ValidName(name) && here >= 0 && here <= viewersMost {
			told[name] = Tally{here, min(watched[name], watchedMost)}
		}
	}
	changed, all := n.counts.hear(node, told, time.Now())
	if !all {
		n.drop(dropOverflow)
	}
	n.rooms.SetElsewhere(changed)
}

// viewersMost is more than a node can have in a room.
const viewersMost = 1 << 24

// watchedMost is more than there are people, and a number in JSON.
const watchedMost = 1 << 40
