package cluster

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/natstest"
	"github.com/danmakud/danmakud/room"
	"github.com/nats-io/nats.go/jetstream"
)

// started is a node that has joined and has rooms, ended with the test.
func started(t *testing.T, o Options) *Node {
	t.Helper()
	n, err := join(t, o)
	if err != nil {
		t.Fatal(err)
	}
	n.Start(&rooms{hub: room.NewHub(room.Config{AppendSaid: appendComment})}, func() Status { return Status{} })
	t.Cleanup(n.Close)
	return n
}

// awaitKept waits until JetStream has decisions with that key, of which it returns the
// value.
func awaitKept(t *testing.T, n *Node, key string) (value json.RawMessage) {
	t.Helper()
	await(t, key+" is kept", func() bool {
		kv := n.keeper.Load()
		if kv == nil {
			return false
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		keys, err := (*kv).Keys(ctx)
		for _, k := range keys {
			got, err := (*kv).Get(ctx, k)
			var e entry
			if err == nil && json.Unmarshal(got.Value(), &e) == nil && e.Key == key {
				value = e.Value
			}
		}
		return err == nil && value != nil
	})
	return value
}

// Decisions are on as many servers as there are, up to three: one may be lost. They are
// kept also if the node is there before JetStream is.
func TestKeepsOnSeveralServers(t *testing.T) {
	t.Parallel()
	for name, servers := range map[string]int{"one": 1, "three": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var all []*natstest.Server
			if servers == 1 {
				all = append(all, natstest.Newest(t).Start(t, natstest.Options{JetStream: true}))
			} else {
				all = natstest.Newest(t).StartCluster(t, servers, natstest.Options{JetStream: true})
			}
			for _, s := range all {
				s.Kill()
			}
			n := started(t, Options{URLs: strings.Split(natstest.URLs(all), ",")})
			natstest.RestartAll(all)
			await(t, "the bucket", func() bool { return n.keeper.Load() != nil })
			n.Decide("k", []byte(`7`))
			if got := string(awaitKept(t, n, "k")); got != "7" {
				t.Errorf("kept %s", got)
			}
			status, err := (*n.keeper.Load()).Status(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			info := status.(*jetstream.KeyValueBucketStatus).StreamInfo()
			if info.Config.Replicas != servers {
				t.Fatalf("on %d servers of %d", info.Config.Replicas, servers)
			}
			if servers == 1 {
				return
			}
			for _, s := range all {
				if s.Name() == info.Cluster.Leader {
					s.Kill()
				}
			}
			if got := string(awaitKept(t, n, "k")); got != "7" {
				t.Errorf("without its leader %s", got)
			}
		})
	}
}
