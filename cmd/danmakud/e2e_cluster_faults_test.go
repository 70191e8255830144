package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/natstest"
)

// queueSmall is a --bus-queue that fills within a test.
const queueSmall = 1 << 20

// faultFlags are those of nodes whose bus breaks.
var faultFlags = []string{"--comment-rate=0", fmt.Sprint("--bus-queue=", queueSmall)}

// fillQueue has so much said on a node, in a room of its own, that what waits for the bus
// reaches its bound: then the oldest chat goes, counted, and the queue is no larger.
func (s *instance) fillQueue(t *testing.T) {
	t.Helper()
	v := s.join("loud")
	go v.stay()
	random := rand.New(rand.NewPCG(1, 2))
	before := s.metrics()["danmakud_bus_comments_unsent_total"]
	most := 0.0
	await(t, "the queue to the bus is full", func() bool {
		var p []byte
		for range 100 {
			text := make([]rune, 150)
			for i := range text { // nothing that can be compressed away
				text[i] = 0x4e00 + rune(random.IntN(20000))
			}
			p = append(p, masked(opText, say(string(text), ""))...)
		}
		v.write(p)
		m := s.metrics()
		most = max(most, m["danmakud_bus_queue_bytes"])
		return m["danmakud_bus_comments_unsent_total"] > before && most > queueSmall/2
	})
	if most > queueSmall {
		t.Errorf("%v bytes wait for the bus, more than %d", most, queueSmall)
	}
	t.Logf("at most %v bytes waited, %v comments were left out", most, s.metrics()["danmakud_bus_comments_unsent_total"]-before)
}

// ready reports whether /readyz says so.
func (s *instance) ready() bool {
	s.t.Helper()
	r, _ := s.get("http://" + s.control + "/readyz")
	return r.StatusCode == http.StatusOK
}

// give has the control API of a node publish a gift of that name in the room.
func (s *instance) give(gift string) {
	s.t.Helper()
	body := fmt.Sprintf(`{"kind":"gift","gift":%q,"num":1,"price":1,"text":"x"}`, gift)
	if status, answer := s.api("POST", "/v1/rooms/r/comments", body); status != http.StatusOK {
		s.t.Fatalf("gift: %d %s", status, answer)
	}
}

// awaitGift waits until every watcher has it.
func (c *crosstalk) awaitGift(gift string) {
	c.t.Helper()
	await(c.t, gift+" on all nodes", func() bool {
		all := true
		c.each(func(w *watcher) { all = all && w.gifts[gift] == 1 })
		return all
	})
}

// NATS is killed under load and comes back: who is on a node gets all that is said there,
// all the time, and of the other nodes nothing twice and nothing out of order; what is
// missing is disclosed or counted.
func TestClusterNATSKilled(t *testing.T) {
	t.Parallel()
	natstest.Each(t, func(t *testing.T, b natstest.Binary) { testNATSKilled(t, b, 4*time.Second) })
}

// TestSoakClusterNATSKilled is the same for the 20 seconds that operators plan with.
func TestSoakClusterNATSKilled(t *testing.T) {
	t.Parallel()
	if os.Getenv("SOAK") == "" {
		t.Skip("skipped: 20 s without NATS are for make soak; TestClusterNATSKilled has some")
	}
	natstest.Each(t, func(t *testing.T, b natstest.Binary) { testNATSKilled(t, b, 20*time.Second) })
}

func testNATSKilled(t *testing.T, binary natstest.Binary, away time.Duration) {
	b := busOf(t, binary, natstest.Options{})
	all := b.nodes(2, faultFlags...)
	c := startCrosstalk(t, 2, all...)
	c.awaitFar(10)
	b.Kill()
	for _, s := range all {
		s.awaitMetric("danmakud_bus_connected", 0)
		if s.ready() {
			t.Error("/readyz says that more viewers may come")
		}
	}
	if w := all[0].join("r").welcome; !w.Degraded {
		t.Errorf("the welcome says nothing: %+v", w)
	}
	all[0].give("rose")
	c.awaitNear(int(away / talkEvery * 3 / 4)) // comments are a little further apart
	for _, s := range all {
		s.awaitMetric("danmakud_cluster_nodes", 0)
	}
	all[0].fillQueue(t)
	b.Restart()
	for _, s := range all {
		s.awaitMetric("danmakud_bus_connected", 1)
		s.awaitMetric("danmakud_cluster_nodes", 1)
	}
	c.awaitFar(10)
	c.awaitGift("rose")
	for _, s := range all {
		s.awaitOnline("r", len(c.watchers)+1)
		if !s.ready() {
			t.Error("/readyz still fails")
		}
	}
	if w := all[0].join("r").welcome; w.Degraded {
		t.Errorf("the welcome says %+v", w)
	}
	for i, books := range c.finish() {
		if books.sampled == 0 {
			t.Errorf("node %d: nothing went stale, the test shows less than it says: %+v", i, books)
		}
	}
}

// connectedTo returns the servers to which that node is connected.
func connectedTo(servers []*natstest.Server, node string) (where []int) {
	for i, s := range servers {
		if s.Pid() == 0 {
			continue
		}
		var page struct{ Connections []struct{ Name string } }
		s.Monitor("/connz", &page)
		for _, c := range page.Connections {
			if c.Name == "danmakud "+node {
				where = append(where, i)
			}
		}
	}
	return where
}

// Of three NATS servers one is killed, at which one of the nodes is: it goes on at
// another, of which it was never told but by NATS itself.
func TestClusterNATSNodeLost(t *testing.T) {
	t.Parallel()
	natstest.Each(t, func(t *testing.T, binary natstest.Binary) {
		// Old ones take long to agree on who leads JetStream.
		servers := binary.StartCluster(t, 3, natstest.Options{JetStream: binary == natstest.Newest(t)})
		var all []*instance
		for i, name := range []string{"a", "b"} {
			b := &bus{servers[i], t, servers[i].URL()}
			all = append(all, b.launch(here, name, faultFlags...))
		}
		t.Cleanup(func() { endTogether(all) })
		for _, s := range all {
			s.awaitReady()
			s.awaitMetric("danmakud_cluster_nodes", 1)
		}
		c := startCrosstalk(t, 1, all...)
		c.awaitFar(10)
		if a, b := connectedTo(servers, "a"), connectedTo(servers, "b"); fmt.Sprint(a, b) != "[0] [1]" {
			t.Fatalf("the nodes are at %v and %v", a, b)
		}
		servers[0].Kill()
		c.awaitNear(20)
		all[0].awaitMetric("danmakud_bus_losses_total", 1)
		all[0].awaitMetric("danmakud_bus_connected", 1)
		c.awaitFar(20)
		if at := connectedTo(servers, "a"); len(at) != 1 || at[0] == 0 {
			t.Errorf("the node is at %v", at)
		}
		if m := all[1].metrics(); m["danmakud_bus_losses_total"] != 0 || m["danmakud_bus_connected"] != 1 {
			t.Errorf("the other node noticed: %v losses", m["danmakud_bus_losses_total"])
		}
		servers[0].Restart()
		c.awaitFar(20)
		for _, s := range all {
			s.awaitMetric("danmakud_cluster_nodes", 1)
			s.awaitOnline("r", len(c.watchers))
		}
		c.finish()
	})
}
