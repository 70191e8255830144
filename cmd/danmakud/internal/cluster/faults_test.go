package cluster

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/natstest"
	"github.com/nats-io/nats.go"
)

// patience only keeps a hang from lasting.
const patience = 2 * time.Minute

// await waits until something is so.
func await(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// reach is join with a server that is there, however long it takes to answer.
func reach(t *testing.T, s *natstest.Server) *Node {
	t.Helper()
	n, err := join(t, Options{URLs: []string{s.URL()}})
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the server is reached", n.Up)
	return n
}

// A server that takes nothing holds up who writes to it, and nobody else: loops ask
// whether the bus is there. Pings do not tell then, and it is found lost all the same.
func TestUpWhileNothingIsTaken(t *testing.T) {
	t.Parallel()
	s := natstest.Newest(t).Start(t, natstest.Options{})
	n := reach(t, s)
	s.Signal(syscall.SIGSTOP)
	large := make([]byte, messageMax)
	var failed error
	written := make(chan struct{})
	sent := make(chan struct{}, 1)
	go func() {
		defer close(written)
		for failed == nil {
			failed = n.link.publish("x", large)
			select {
			case sent <- struct{}{}:
			default:
			}
		}
	}()
	for stuck := false; !stuck; { // until the sockets are full
		select {
		case <-sent:
		case <-time.After(500 * time.Millisecond):
			stuck = true
		}
	}
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		for range 20 {
			n.Up()
			time.Sleep(10 * time.Millisecond)
		}
	}()
	select {
	case <-asked:
	case <-written:
		t.Errorf("whether the bus is there was known only when it took something: %v", failed)
	}
	await(t, "the server is found lost", func() bool { return !n.Up() })
	<-written
}

// What the connection did not take is there when it is back, in order, and is not
// counted as lost.
func TestNothingIsLostBeforeTheLossIsKnown(t *testing.T) {
	s := natstest.Newest(t).Start(t, natstest.Options{})
	n := reach(t, s)
	s.Kill()
	await(t, "the server is found lost", func() bool { return !n.Up() })
	n.link.lostAt.Store(0) // as if nobody had told us yet
	n.outbox.keeps = true  // nothing goes stale, however long the server takes to come back
	n.queue(said(7, 0, 3))
	n.queue(said(7, 3, 4))
	n.sendQueue()
	if st := n.Stats(); st.CommentsUnsent != 0 || st.Queued == 0 || st.TicksSent != 0 {
		t.Fatalf("%+v", st)
	}
	s.Restart()
	ticks := s.Stranger().Overhear("t.b.*")
	await(t, "the queue is sent", func() bool { n.sendQueue(); return n.Stats().Queued == 0 })
	for i, want := range []int{3, 4} {
		_, p := ticks.Next()
		tick, body, _, ok := parseHead(p)
		if !ok || tick.parseBody(body, nil) != nil || len(tick.heard) != want || tick.seq != uint64(i+1) {
			t.Errorf("tick %d: %+v", i, tick)
		}
	}
	if st := n.Stats(); st.CommentsUnsent != 0 || st.TicksSent != 2 {
		t.Errorf("%+v", st)
	}
}

// A server may take less than we would send: then chat is left out, and disclosed.
func TestTooLargeForTheServer(t *testing.T) {
	s := natstest.Newest(t).Start(t, natstest.Options{MaxPayload: 2048})
	n := reach(t, s)
	n.outbox.keeps = true // nothing goes stale
	ticks := s.Stranger().Overhear("t.b.*")
	all := said(7, 0, 2000)
	all.Comments[5].Prior = true
	n.queue(all)
	n.sendQueue()
	_, p := ticks.Next()
	tick, body, _, ok := parseHead(p)
	if !ok || tick.parseBody(body, nil) != nil || len(tick.heard) != 1 || tick.sampled != 1999 {
		t.Errorf("%d comments, %d left out", len(tick.heard), tick.sampled)
	}
	for i := range all.Comments {
		all.Comments[i].Prior = true
	}
	n.queue(all)
	n.sendQueue()
	if st := n.Stats(); st.CommentsUnsent != 1999+2000 || st.Dropped["large"] != 1 || st.Queued != 0 {
		t.Errorf("%+v", st)
	}
}

// What is left out counts as had, so that who misses the tick that tells of it knows how
// much it was.
func TestLostDisclosuresAreCounted(t *testing.T) {
	s := natstest.Newest(t).Start(t, natstest.Options{})
	n := reach(t, s)
	n.outbox.keeps = true // nothing goes stale
	ticks := s.Stranger().Overhear("t.b.*")
	speak := func(comments, sampled int) []byte {
		all := said(7, 0, comments)
		all.Sampled = uint64(sampled)
		n.queue(all)
		n.sendQueue()
		_, p := ticks.Next()
		return p
	}
	first, _, last := speak(2, 0), speak(3, 40), speak(1, 5)
	n.outbox.gone[n.shardOf("r")] = 100
	forgone := speak(1, 0)
	b, _ := bare()
	b.options.Shards = 16
	for _, p := range [][]byte{first, last, forgone} {
		b.hear(p)
	}
	if st := b.Stats(); st.TicksMissed != 1 || st.CommentsLost != 143 {
		t.Errorf("%d ticks missed, %d comments lost", st.TicksMissed, st.CommentsLost)
	}
}

// What waited goes out when those are back who were there before, or gatherTime is over.
func TestGathering(t *testing.T) {
	var g gathering
	now := time.Now()
	if !g.over(now) {
		t.Error("waits for nobody")
	}
	g.back(now) // at the start
	if !g.over(now) {
		t.Error("waits for nobody")
	}
	g.lost([]Peer{{ID: "a"}, {ID: "b"}})
	if g.heard("a") || g.over(now.Add(time.Hour)) {
		t.Error("what was still under way when the bus was lost counts")
	}
	g.back(now)
	if g.heard("a") || g.heard("a") || g.heard("c") || g.over(now) || !g.heard("b") || !g.over(now) {
		t.Error("a is back, then b, and then all are")
	}
	g.lost([]Peer{{ID: "a"}})
	g.lost(nil) // again, before anybody was heard
	g.back(now)
	if g.over(now.Add(gatherTime)) || !g.over(now.Add(gatherTime+1)) || g.heard("a") {
		t.Error("waits for as long as it should, and no longer")
	}
	g.lost([]Peer{{ID: "a"}})
	if g.end(); !g.over(now) {
		t.Error("waits when nobody should")
	}
}

// The server is there again before the other node is: what waited for it goes when it is.
func TestSendsWhenOthersAreBack(t *testing.T) {
	s := natstest.Newest(t).Start(t, natstest.Options{})
	n := reach(t, s)
	n.status = func() Status { return Status{} }
	p, _ := n.envelope(kindReport, report{Peer: Peer{ID: otherID, Number: 3}}, nil)
	other := []byte(strings.Replace(string(p), n.self.ID, otherID, 1)) // the sender
	n.handle(&nats.Msg{Data: other})
	if len(n.Peers()) != 1 {
		t.Fatalf("%+v", n.Peers())
	}
	s.Kill()
	await(t, "the server is found lost", func() bool { return !n.Up() })
	n.queue(said(7, 0, 3))
	s.Restart()
	await(t, "the server is back", n.Up)
	if n.sendQueue(); n.Stats().TicksSent != 0 {
		t.Error("sent to nobody")
	}
	n.handle(&nats.Msg{Data: other})
	if n.sendQueue(); n.Stats().TicksSent != 1 {
		t.Error("not sent to who is there")
	}
}
