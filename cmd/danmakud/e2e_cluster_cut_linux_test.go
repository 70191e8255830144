package main

import (
	"net/http"
	"testing"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/natstest"
)

// Node a is behind a link, NATS and node b are at its other end. For a while the link
// swallows all packets, without a word to anybody:
//
//	namespace server: danmakud a ─ 198.18.0.1 ── link ── 198.18.0.2 ─ NATS, danmakud b :namespace viewers
func TestClusterLinkCut(t *testing.T) {
	t.Parallel()
	binary := natstest.Newest(t)
	cable := newCable(t)
	server := binary.Start(t, natstest.Options{Where: cable.viewers, Host: viewerAddress})
	b := &bus{server, t, server.URL()}
	all := []*instance{b.launch(cable.server, "a", faultFlags...), b.launch(cable.viewers, "b", faultFlags...)}
	t.Cleanup(func() { endTogether(all) })
	for _, s := range all {
		s.awaitReady()
		s.awaitMetric("danmakud_cluster_nodes", 1)
	}
	c := startCrosstalk(t, 2, all...)
	c.awaitFar(10)
	present := len(c.watchers)
	for _, s := range all {
		s.awaitOnline("r", present)
	}

	cable.set(conditions{cut: true})
	// So much that it fills the socket to NATS, before anybody knows that it is cut:
	// who joins meanwhile must not wait for that, nor who is there.
	all[0].fillQueue(t)
	all[0].join("r")
	c.awaitNear(20)
	all[0].awaitMetric("danmakud_bus_connected", 0)
	if r, _ := all[0].get("http://" + all[0].control + "/readyz"); r.StatusCode != http.StatusServiceUnavailable || !all[1].ready() {
		t.Errorf("/readyz of the node that is cut off: %s; of the other: ready %v", r.Status, all[1].ready())
	}
	if w := all[0].join("r").welcome; !w.Degraded {
		t.Errorf("the welcome says nothing: %+v", w)
	}
	if w := all[1].join("r").welcome; w.Degraded {
		t.Errorf("the welcome at the other end says %+v", w)
	}
	for i, s := range all {
		s.awaitMetric("danmakud_cluster_nodes", 0)
		s.awaitOnline("r", present/2+2-i)
	}
	c.awaitNear(100)

	cable.set(conditions{})
	for _, s := range all {
		s.awaitMetric("danmakud_bus_connected", 1)
		s.awaitMetric("danmakud_cluster_nodes", 1)
		s.awaitOnline("r", present+3)
	}
	c.awaitFar(20)
	if !all[0].ready() {
		t.Error("/readyz still fails")
	}
	if w := all[0].join("r").welcome; w.Degraded {
		t.Errorf("the welcome says %+v", w)
	}
	books := c.finish()
	if books[0].lost == 0 {
		t.Errorf("nothing was lost on the way to the node that was cut off, the test shows less than it says: %+v", books)
	}
	if m := all[1].metrics(); m["danmakud_bus_losses_total"] != 0 {
		t.Errorf("the other node lost the bus %v times", m["danmakud_bus_losses_total"])
	}
}
