package cluster

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/natstest"
	"github.com/danmakud/danmakud/room"
)

// Who asks a node that is only just getting to know the others gets the answer when it
// has rooms of which it can tell.
func TestAskedTooEarly(t *testing.T) {
	s := natstest.Newest(t).Start(t, natstest.Options{})
	x := s.Stranger()
	hellos := x.Overhear("t.all")
	joined := make(chan *Node)
	go func() {
		n, err := Join(context.Background(), Options{URLs: []string{s.URL()}, Shards: 16, Cluster: "t", QueueMax: 1 << 20, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Error(err)
		}
		joined <- n
	}()
	_, p := hellos.Next()
	hello, err := decodeMessage(p)
	if err != nil {
		t.Fatal(err)
	}
	answer := make(chan []byte, 1)
	question, _ := (&message{Version: version, Kind: kindWho, Node: otherID, Shards: 16, Body: json.RawMessage(`"r"`)}).encode()
	go func() { answer <- x.Ask("t.node."+hello.Node, question, patience) }()
	n := <-joined
	if n == nil {
		return
	}
	n.Start(&rooms{hub: room.NewHub(room.Config{AppendSaid: appendComment})}, func() Status { return Status{} })
	defer n.Close()
	if got, err := decodeMessage(<-answer); err != nil || got.Node != n.self.ID || got.Kind != kindWho || got.Error != "" {
		t.Errorf("%+v, %v", got, err)
	}
}
