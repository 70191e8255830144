package cluster

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"
)

// A room that gets its first viewer on this node is prepared: its shard is heard, and
// what was said in it lately is fetched from another node, so that who comes is shown
// the history and who comes from another node can resume. What is heard of the room
// meanwhile is held, and follows.

const (
	// prepareTime is how long a viewer waits for that at the most. Who has waited so
	// long comes in without.
	prepareTime = 1500 * time.Millisecond
	// preparesAtOnce bounds the rooms that are prepared at one time.
	preparesAtOnce = 64
	// heldMax bounds the ticks that are held for a room.
	heldMax = 256
	// pageBytes is about how much history one answer has.
	pageBytes = 512 << 10
	// historyMax bounds the history that is fetched for a room, in bytes.
	historyMax = 16 << 20
)

// preparation is a room that is being prepared.
type preparation struct {
	done []func()
	held []tick
}

// preparations are those under way. Any goroutine.
type preparations struct {
	turns chan struct{}

	mu sync.Mutex
	// Guarded by mu.
	byRoom map[string]*preparation
}

// hold keeps a tick for later if its room is being prepared, and reports whether it
// did.
func (p *preparations) hold(t *tick) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.byRoom[t.room]
	if at == nil || len(at.held) >= heldMax {
		return false
	}
	kept := *t
	kept.heard = slices.Clone(t.heard)
	at.held = append(at.held, kept)
	return true
}

// Prepare gets a room ready that is not, and calls done then, on another goroutine;
// after a while it does so anyhow. It does not block; any goroutine.
func (n *Node) Prepare(name string, done func()) {
	p := &n.preparing
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := p.byRoom[name]; at != nil {
		at.done = append(at.done, done)
		return
	}
	p.byRoom[name] = &preparation{done: []func(){done}}
	n.running.Add(1)
	go func() {
		defer n.running.Done()
		n.prepare(name)
		n.prepared(name)
	}()
}

// prepared lets go of what waited for a room.
func (n *Node) prepared(name string) {
	p := &n.preparing
	for {
		p.mu.Lock()
		at := p.byRoom[name]
		held := at.held
		at.held = nil
		if len(held) == 0 {
			delete(p.byRoom, name)
			p.mu.Unlock()
			for _, done := range at.done {
				done()
			}
			return
		}
		p.mu.Unlock()
		for i := range held {
			n.deliver(&held[i])
		}
		n.rooms.SealHeard()
	}
}

func (n *Node) prepare(name string) {
	ctx, cancel := context.WithTimeout(n.ended, prepareTime)
	defer cancel()
	select {
	case n.preparing.turns <- struct{}{}:
		defer func() { <-n.preparing.turns }()
	case <-ctx.Done():
		return
	}
	since := time.Now().UnixMilli()
	if err := n.hearShard(ctx, n.shardOf(name)); err != nil {
		n.unprepared.Add(1)
		n.rooms.Fill(name, nil, since)
		return
	}
	past := n.readHistory(ctx, name)
	got := n.fetch(ctx, name, since)
	older := <-past
	if ctx.Err() != nil {
		n.unprepared.Add(1)
	}
	got.batches = append(pastOf(older, got.batches, n.rooms.Hub().History()), got.batches...)
	n.rooms.Fill(name, got.batches, got.since)
	n.mergeAudience(name, got.audience)
}

// Kinds of messages of this file.
const (
	kindWho     = "who"     // asked: a room's name; answer: roomState
	kindHistory = "history" // asked: historyQuestion; answer: historyPage
)

// roomState is what a node has of a room.
type roomState struct {
	Here  bool  `json:"here"`
	Since int64 `json:"since"` // Unix ms since when it has all that was said
}

type historyQuestion struct {
	Room  string `json:"room"`
	After int64  `json:"after"` // batches sealed later than that, Unix ms
}

type historyPage struct {
	Since    int64             `json:"since"`
	Batches  []json.RawMessage `json:"batches"` // as viewers got them
	More     bool              `json:"more"`
	Audience []byte            `json:"audience,omitempty"` // of the first page: room.Room.Audience
}

// fetched is what other nodes have of a room.
type fetched struct {
	batches  []Past
	since    int64 // when they begin to have all that was said
	audience []byte
}

// fetch gets what was said lately in a room, and since when that is all: now where no
// other node has it.
func (n *Node) fetch(ctx context.Context, name string, now int64) (got fetched) {
	got.since = now
	best, since := "", now
	for _, a := range n.AskAll(ctx, kindWho, name) {
		var s roomState
		if a.Err == nil && json.Unmarshal(a.Body, &s) == nil && s.Here && s.Since > 0 && s.Since <= since {
			best, since = a.Node, s.Since
		}
	}
	if best == "" {
		return got
	}
	after, bytes := int64(0), 0
	for bytes < historyMax {
		var page historyPage
		if err := n.Ask(ctx, best, kindHistory, historyQuestion{name, after}, &page); err != nil {
			return got
		}
		if after == 0 {
			got.audience = page.Audience
		}
		since = page.Since
		for _, raw := range page.Batches {
			bytes += len(raw)
			heard, sealed, err := parseBatch(raw)
			if err != nil {
				n.drop(dropForeign)
				return got
			}
			got.batches, after = append(got.batches, Past{heard, sealed}), sealed
		}
		if !page.More || len(page.Batches) == 0 {
			got.since = since
			return got
		}
	}
	return got
}

// answerWho tells what this node has of a room.
func (n *Node) answerWho(_ context.Context, _ string, body json.RawMessage) (any, error) {
	var name string
	if err := json.Unmarshal(body, &name); err != nil {
		return nil, err
	}
	since := n.rooms.Since(name)
	return roomState{since != 0, since}, nil
}

// answerHistory gives out a page of what this node keeps of a room.
func (n *Node) answerHistory(_ context.Context, _ string, body json.RawMessage) (any, error) {
	var q historyQuestion
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, err
	}
	batches, since := n.rooms.Batches(q.Room)
	page := historyPage{Since: since, Batches: []json.RawMessage{}}
	if r := n.rooms.Hub().Find(q.Room); r != nil && q.After == 0 {
		page.Audience = r.Audience()
	}
	bytes := 0
	for _, b := range batches {
		if b.Wall <= q.After {
			continue
		}
		if bytes >= pageBytes {
			page.More = true
			break
		}
		bytes += len(b.Payload())
		page.Batches = append(page.Batches, b.Payload())
	}
	return page, nil
}
