package cluster

import (
	"sync"
	"time"
)

// gatherTime is how long what waits for the bus goes on to wait when that is back and
// others are not: longer than between two of their attempts.
const gatherTime = 2 * reconnectMost

// gathering is who is still away after the bus was. What is sent then would reach nobody.
// Any goroutine.
type gathering struct {
	mu sync.Mutex
	// Guarded by mu.
	away  map[string]bool // nodes that were there when the bus was lost, and have not been heard again
	until time.Time       // nobody waits for them longer; zero = the bus is lost
}

// lost notes who was there when the bus was lost.
func (g *gathering) lost(there []Peer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.away == nil {
		g.away = make(map[string]bool)
	}
	for _, p := range there {
		g.away[p.ID] = true
	}
	g.until = time.Time{}
}

// back notes that the bus is back.
func (g *gathering) back(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.until = now.Add(gatherTime)
}

// heard notes that a node is there, and reports whether it was the last one that was
// away.
func (g *gathering) heard(node string) (last bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.until.IsZero() || !g.away[node] {
		return false
	}
	delete(g.away, node)
	return len(g.away) == 0
}

// end waits for nobody any more.
func (g *gathering) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.away)
}

// over reports whether nobody is waited for.
func (g *gathering) over(now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.away) > 0 && !g.until.IsZero() && now.After(g.until) {
		clear(g.away)
	}
	return len(g.away) == 0
}
