package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// Messages that come faster than they can be read do not pile up.
func TestFloodIsBounded(t *testing.T) {
	n, _ := bare()
	defer n.finish()
	n.running.Add(1)
	go n.RoutineReceive()
	p := make([]byte, 1<<20)
	const messages = 100
	for range messages {
		n.control <- &nats.Msg{Data: p}
		n.heard <- &nats.Msg{Data: p}
	}
	await(t, "all are received", func() bool { return len(n.control)+len(n.heard) == 0 })
	held := func(b *inbox) int {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.list)
	}
	await(t, "what does not fit is counted", func() bool {
		return held(&n.told)+held(&n.inbox)+int(n.Stats().Dropped["overflow"]) == 2*messages
	})
	if kept := max(held(&n.told), held(&n.inbox)); kept<<20 > inboxMax {
		t.Errorf("%d MiB wait", kept)
	}
}

// Questions that wait for their turn are bounded in number and bytes.
func TestQuestionsAreBounded(t *testing.T) {
	n, _ := bare()
	wait := make(chan struct{})
	n.OnAsked("slow", func(ctx context.Context, _ string, _ json.RawMessage) (any, error) {
		<-wait
		return nil, nil
	})
	n.link.conn = &nats.Conn{}
	ask := func(size int) {
		p, _ := (&message{Version: version, Kind: "slow", Node: otherID, Shards: 256, Body: json.RawMessage(`"` + strings.Repeat("x", size) + `"`)}).encode()
		n.handle(&nats.Msg{Data: p, Reply: "r"})
	}
	for range 20 {
		ask(900 << 10)
	}
	large := n.Stats().Dropped["busy"]
	for range answersWaiting {
		ask(1)
	}
	if all := n.Stats().Dropped["busy"]; large == 0 || all <= large || n.answeringBytes.Load() > answersBytes {
		t.Errorf("%d of 20 large ones and %d of %d others dropped, %d bytes wait", large, all-large, answersWaiting, n.answeringBytes.Load())
	}
	close(wait)
	n.finish()
	n.running.Wait()
	if n.answering.Load() != 0 || n.answeringBytes.Load() != 0 {
		t.Errorf("%d questions with %d bytes are left", n.answering.Load(), n.answeringBytes.Load())
	}
}

// What nodes may tell of rooms and decisions is bounded, whoever tells it.
func TestWhatIsToldIsBounded(t *testing.T) {
	c := counts{most: 2, elsewhere: map[string]map[string]count{}}
	c.hear(otherID, map[string]Tally{"r": {1, 1}, "s": {1, 1}}, time.Now())
	if changed, all := c.hear(otherID, map[string]Tally{"r": {2, 2}, "t": {1, 1}}, time.Now()); all || len(changed) != 1 || changed["r"] != 2 {
		t.Errorf("%v is taken", changed)
	}
	s := state{entries: map[string]*entry{}}
	value := make(json.RawMessage, stateMax/4)
	for i := range 5 {
		if took := s.put(&entry{Key: fmt.Sprint(i), At: 1, Node: otherID, Value: value}); took != (i < 3) {
			t.Errorf("entry %d: %v, %d bytes", i, took, s.bytes)
		}
	}
	if !s.put(&entry{Key: "0", At: 2, Node: otherID}) || !s.put(&entry{Key: "5", At: 1, Node: otherID, Value: value}) {
		t.Errorf("there is space again, %d bytes", s.bytes)
	}
}

// A decision for which there is no space is counted, one that is no news is not.
func TestDecisionsWithoutSpaceAreCounted(t *testing.T) {
	n, _ := bare()
	n.state.bytes = stateMax
	applied := 0
	n.OnState(func(string, []byte) { applied++ })
	n.change(&entry{Key: "k", At: 1, Node: otherID, Value: json.RawMessage("1")})
	if dropped := n.Stats().Dropped["overflow"]; dropped != 1 || applied != 0 {
		t.Errorf("%d dropped, %d in force", dropped, applied)
	}
	n.state.bytes = 0
	for range 2 {
		n.change(&entry{Key: "k", At: 1, Node: otherID, Value: json.RawMessage("1")})
	}
	if dropped := n.Stats().Dropped["overflow"]; dropped != 1 || applied != 1 {
		t.Errorf("%d dropped, %d in force", dropped, applied)
	}
}

// The id of a node becomes a subject: it is nothing else.
func TestNodeIDs(t *testing.T) {
	for id, want := range map[string]bool{otherID: true, newID(): true, "": false, "AAAAAAAAAAAAAAA": false, "AAAAAAA.AAAAAAAA": false,
		"AAAAAAAAAAAAAAA*": false, "AAAAAAAAAAAAAA\r\n": false, "aaaaaaaaaaaaaaaa": false, "AAAAAAAAAAAAAAA1": false} {
		if validID(id) != want {
			t.Errorf("%q: %v", id, !want)
		}
	}
}
