package cluster

import (
	"context"
	"encoding/json"
	"strconv"
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

// bucket returns where JetStream keeps decisions, nil if nowhere so far.
func bucket(n *Node) jetstream.KeyValue {
	js, err := jetstream.New(n.link.conn)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	kv, err := js.KeyValue(ctx, n.options.Cluster+"-decided")
	if err != nil {
		return nil
	}
	return kv
}

// awaitKept waits until JetStream has decisions with that key, of which it returns the
// value.
func awaitKept(t *testing.T, n *Node, key string) (value json.RawMessage) {
	t.Helper()
	await(t, key+" is kept", func() bool {
		kv := bucket(n)
		if kv == nil {
			return false
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		keys, err := kv.Keys(ctx)
		for _, k := range keys {
			got, err := kv.Get(ctx, k)
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
// kept also if the node is there, and has decided, before JetStream is.
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
			n.Decide("early", []byte(`6`))
			natstest.RestartAll(all)
			var kv jetstream.KeyValue
			await(t, "the bucket", func() bool { kv = bucket(n); return kv != nil })
			n.Decide("k", []byte(`7`))
			if got := string(awaitKept(t, n, "k")); got != "7" {
				t.Errorf("kept %s", got)
			}
			if got := string(awaitKept(t, n, "early")); got != "6" {
				t.Errorf("decided before JetStream was there, kept %s", got)
			}
			status, err := kv.Status(context.Background())
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

// What JetStream does not take is tried again until it does, and the newest of a key is
// what it has then; what it can never take is counted.
func TestKeepsAfterAll(t *testing.T) {
	t.Parallel()
	s := natstest.Newest(t).Start(t, natstest.Options{JetStream: true})
	n := started(t, Options{URLs: []string{s.URL()}})
	n.Decide("k", []byte(`1`))
	awaitKept(t, n, "k")
	s.Kill()
	await(t, "the bus is gone", func() bool { return !n.Up() })
	n.Decide("k", []byte(`2`))
	n.Decide("k", []byte(`3`))
	n.Decide("large", []byte(`"`+strings.Repeat("x", keepMax)+`"`))
	s.Restart()
	await(t, "the newest is kept", func() bool { return string(awaitKept(t, n, "k")) == "3" })
	await(t, "the large one is counted", func() bool { return n.dropped[dropUnkept].Load() == 1 })
}

// What waits for JetStream is bounded, and each key waits once.
func TestUnkeptBound(t *testing.T) {
	u := unkept{ready: newSignal(), keys: make(map[string]struct{})}
	for i := range unkeptMost {
		if !u.add(strconv.Itoa(i)) {
			t.Fatalf("no space for the %dth", i+1)
		}
	}
	if u.add("more") || !u.add("0") {
		t.Error("space for one more, or none for one that is there")
	}
	for range unkeptMost {
		if _, ok := u.take(); !ok {
			t.Fatal("one is gone")
		}
	}
	if key, ok := u.take(); ok {
		t.Errorf("%s is left", key)
	}
	u.add("0")
	u.end()
	if _, ok := u.take(); ok || !u.add("1") || len(u.keys) != 0 {
		t.Error("one waits for nobody")
	}
}
