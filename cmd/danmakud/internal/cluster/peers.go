package cluster

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

const (
	// reportEvery is how often a node says how it is, give or take a tenth.
	reportEvery = 1250 * time.Millisecond
	// peerExpiry is how long a node that says nothing counts as there.
	peerExpiry = 3 * time.Second
	// peersMax bounds the nodes that are remembered: what is beyond is no cluster of
	// ours.
	peersMax = 1024
)

// Peer is another node as it has told of itself.
type Peer struct {
	ID          string `json:"id"`
	Number      uint16 `json:"number"`  // in the ids of its comments
	Started     int64  `json:"started"` // Unix milliseconds
	Name        string `json:"name"`
	Advertise   string `json:"advertise,omitempty"` // HOST:PORT for viewers
	Connections int    `json:"connections"`
	Most        int    `json:"most"` // connections it takes
	Behind      bool   `json:"behind,omitempty"`
	Draining    bool   `json:"draining,omitempty"`

	heard time.Time // when it was last heard of
}

// before orders two nodes that want the same number: the elder keeps it.
func (p *Peer) before(o *Peer) bool {
	return cmp.Or(cmp.Compare(p.Started, o.Started), cmp.Compare(p.ID, o.ID)) < 0
}

// peers are the other nodes. Any goroutine.
type peers struct {
	mu sync.Mutex
	// Guarded by mu.
	byID map[string]*Peer
}

// put takes in what a node says of itself, and reports whether it is new.
func (t *peers) put(p Peer, now time.Time) (isNew bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byID[p.ID] == nil {
		if len(t.byID) >= peersMax {
			return false
		}
		isNew = true
	}
	p.heard = now
	t.byID[p.ID] = &p
	return isNew
}

// remove forgets a node, which it returns; nil if it was not there.
func (t *peers) remove(id string) *Peer {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.byID[id]
	delete(t.byID, id)
	return p
}

// expire forgets the nodes that have said nothing for too long, and returns them.
func (t *peers) expire(now time.Time) (gone []*Peer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, p := range t.byID {
		if now.Sub(p.heard) > peerExpiry {
			gone = append(gone, p)
			delete(t.byID, id)
		}
	}
	return gone
}

// has reports whether a node is there.
func (t *peers) has(id string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byID[id] != nil
}

// list returns copies of all, by name.
func (t *peers) list() []Peer {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]Peer, 0, len(t.byID))
	for _, p := range t.byID {
		all = append(all, *p)
	}
	slices.SortFunc(all, func(a, b Peer) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return all
}

// spare returns the address of a node that takes viewers, "" if there is none, chosen by
// chance in proportion to its free places.
func (t *peers) spare(random float64) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	free := 0
	for _, p := range t.byID {
		free += p.free()
	}
	at := int(random * float64(free))
	for _, p := range t.byID {
		if at -= p.free(); at < 0 && p.free() > 0 {
			return p.Advertise
		}
	}
	return ""
}

// free is how many viewers may be sent to a node.
func (p *Peer) free() int {
	if p.Advertise == "" || p.Draining || p.Behind {
		return 0
	}
	return max(0, p.Most-p.Connections)
}

// numbered returns the node that has that number, or nil.
func (t *peers) numbered(n uint16) *Peer {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.byID {
		if p.Number == n {
			c := *p
			return &c
		}
	}
	return nil
}
