package main

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Crosstalk is one room that spans several nodes, with a talker and watchers on each.
// What a talker says is numbered, so each watcher knows what it has missed of whom:
//
//	talker 0 ── node 0 ── watchers: all of talker 0, one after the other;
//	              │                 of talker 1 what came over the bus, in order, once
//	             bus
//	              │
//	talker 1 ── node 1 ── watchers: the other way round
type crosstalk struct {
	t        *testing.T
	nodes    []*instance
	watchers []*watcher
	said     []atomic.Int64 // by talker
	hush     chan struct{}  // closed when the talkers are to end
	talkers  sync.WaitGroup
}

// watcher takes down what comes to one viewer.
type watcher struct {
	*viewer
	node int

	mu sync.Mutex
	// Guarded by mu.
	got     []int // comments, by talker
	newest  []int // number of the last one, by talker
	sampled int   // comments that were left out
	gifts   map[string]int
	silence time.Duration // the longest between two batches
	err     error
}

// talkEvery is the wait between two comments of a talker.
const talkEvery = 20 * time.Millisecond

// startCrosstalk has talkers talk in room "r" until finish, and so many others watch on
// each node.
func startCrosstalk(t *testing.T, watchers int, nodes ...*instance) *crosstalk {
	t.Helper()
	c := &crosstalk{t: t, nodes: nodes, said: make([]atomic.Int64, len(nodes)), hush: make(chan struct{})}
	var reading sync.WaitGroup
	t.Cleanup(func() {
		c.quiet()
		for _, w := range c.watchers {
			w.conn.Close()
		}
		reading.Wait()
	})
	for i, s := range nodes {
		for k := range watchers + 1 {
			w := &watcher{viewer: s.join("r?history=0"), node: i, got: make([]int, len(nodes)), newest: make([]int, len(nodes)), gifts: map[string]int{}}
			c.watchers = append(c.watchers, w)
			if k == 0 {
				defer c.talkers.Go(func() { c.talk(i, w.viewer) }) // when all watch
			}
		}
	}
	for _, w := range c.watchers {
		reading.Go(w.watch)
	}
	return c
}

func (c *crosstalk) talk(node int, v *viewer) {
	for n := int64(1); ; n++ {
		if err := v.writeAll(masked(opText, say(fmt.Sprintf("%d:%d", node, n), ""))); err != nil {
			return // its watcher tells
		}
		c.said[node].Store(n)
		select {
		case <-c.hush:
			return
		case <-time.After(talkEvery):
		}
	}
}

// quiet ends the talkers.
func (c *crosstalk) quiet() {
	select {
	case <-c.hush:
	default:
		close(c.hush)
	}
	c.talkers.Wait()
}

func (w *watcher) watch() {
	last := time.Now()
	for {
		m, err := w.read()
		w.mu.Lock()
		if err == nil {
			err = w.takeDown(m)
		}
		w.silence = max(w.silence, time.Since(last))
		last = time.Now()
		if err != nil {
			w.err = err
		}
		w.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// takeDown takes down one message. mu is held.
func (w *watcher) takeDown(m message) error {
	if m.Type != "batch" {
		return fmt.Errorf("not a batch: %+v", m)
	}
	w.sampled += m.Sampled
	for _, c := range m.comments {
		if c.Kind == "gift" {
			if w.gifts[c.Gift]++; w.gifts[c.Gift] > 1 {
				return fmt.Errorf("gift %q comes again", c.Gift)
			}
			continue
		}
		var talker, n int
		if _, err := fmt.Sscanf(c.Text, "%d:%d", &talker, &n); err != nil || talker >= len(w.got) || strings.ContainsAny(c.Text, " x") {
			return fmt.Errorf("nobody said %q", c.Text)
		}
		switch last := w.newest[talker]; {
		case n <= last:
			return fmt.Errorf("%q comes behind %d", c.Text, last)
		case talker == w.node && n != last+1:
			return fmt.Errorf("%q of this node follows %d", c.Text, last)
		}
		w.newest[talker] = n
		w.got[talker]++
	}
	return nil
}

// each calls f with every watcher, locked. The test ends if one has seen what must not be.
func (c *crosstalk) each(f func(w *watcher)) {
	c.t.Helper()
	for _, w := range c.watchers {
		w.mu.Lock()
		err := w.err
		f(w)
		w.mu.Unlock()
		if err != nil {
			c.t.Fatalf("a viewer on node %d: %v", w.node, err)
		}
	}
}

// awaitMore waits until every watcher has got so many more of the talkers for whom which
// says so.
func (c *crosstalk) awaitMore(what string, n int, which func(w *watcher, talker int) bool) {
	c.t.Helper()
	want := map[*watcher][]int{}
	c.each(func(w *watcher) {
		for talker := range w.got {
			want[w] = append(want[w], w.newest[talker]+n)
		}
	})
	await(c.t, what, func() bool {
		all := true
		c.each(func(w *watcher) {
			for talker := range w.got {
				all = all && (!which(w, talker) || w.newest[talker] >= want[w][talker])
			}
		})
		return all
	})
}

// awaitNear waits for so many more comments of each node's own talker: its viewers are
// served whatever the bus does.
func (c *crosstalk) awaitNear(n int) {
	c.t.Helper()
	c.awaitMore("what is said on the viewers' own node", n, func(w *watcher, talker int) bool { return talker == w.node })
}

// awaitFar waits for so many more comments of every talker.
func (c *crosstalk) awaitFar(n int) {
	c.t.Helper()
	c.awaitMore("what is said on all nodes", n, func(*watcher, int) bool { return true })
}

// books are what watchers of one node missed, and how the node accounts for it.
type farBooks struct{ missed, sampled, lost int }

// finish ends the talk, when the bus is there, and checks that whatever a viewer did not
// get was told to it as left out, or counted by its node as lost on the way. It returns
// that by node.
func (c *crosstalk) finish() []farBooks {
	c.t.Helper()
	c.quiet()
	await(c.t, "the last that was said", func() bool {
		all := true
		c.each(func(w *watcher) {
			for talker := range w.got {
				all = all && w.newest[talker] == int(c.said[talker].Load())
			}
		})
		return all
	})
	books := make([]farBooks, len(c.nodes))
	for i, s := range c.nodes {
		books[i].lost = int(s.metrics()["danmakud_bus_comments_lost_total"])
	}
	c.each(func(w *watcher) {
		b := &books[w.node]
		b.missed, b.sampled = 0, w.sampled
		for talker := range w.got {
			b.missed += int(c.said[talker].Load()) - w.got[talker]
		}
		if b.missed != b.sampled+b.lost {
			c.t.Errorf("a viewer on node %d missed %d comments, was told of %d, and %d are counted as lost", w.node, b.missed, b.sampled, b.lost)
		}
		c.t.Logf("a viewer on node %d: got %v, missed %+v, longest silence %v", w.node, w.got, *b, w.silence.Round(time.Millisecond))
	})
	for i, s := range c.nodes {
		m := s.metrics()
		if m["danmakud_panics_total"] != 0 || m["danmakud_batches_skipped_total"] != 0 || m["danmakud_bus_comments_duplicate_total"] != 0 {
			c.t.Errorf("node %d: %v panics, %v batches skipped, %v comments came twice", i, m["danmakud_panics_total"], m["danmakud_batches_skipped_total"], m["danmakud_bus_comments_duplicate_total"])
		}
		c.t.Logf("node %d: %.0f losses of the bus, %.0f ticks missed, %.0f comments unsent, RSS %.0f MiB", i, m["danmakud_bus_losses_total"],
			m["danmakud_bus_ticks_missed_total"], m["danmakud_bus_comments_unsent_total"], m["process_resident_memory_bytes"]/(1<<20))
	}
	return books
}
