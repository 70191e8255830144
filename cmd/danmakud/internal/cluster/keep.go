package cluster

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Where the NATS servers have JetStream, what was decided is kept there, too: so it is
// there for nodes that have no disk of their own, also when none was up meanwhile. The
// nodes tell each other all the same; what comes from there is one more way to hear.

const (
	// keepTime is how long a request to JetStream may take.
	keepTime = 2 * time.Second
	// keepMax bounds a value there: the servers' limit of a message.
	keepMax = 900 << 10
)

// openKeep finds or makes the bucket; nil if there is no JetStream, or it is not for
// this node.
func (n *Node) openKeep(ctx context.Context) jetstream.KeyValue {
	js, err := jetstream.New(n.link.conn)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, keepTime)
	defer cancel()
	bucket := n.options.Cluster + "-decided"
	kv, err := js.KeyValue(ctx, bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		kv, err = js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: bucket, Description: "danmakud: sanctions, settings of rooms, word lists, revoked tokens"})
	}
	if err != nil {
		return nil
	}
	return kv
}

// RoutineKeep reads what JetStream has, and goes on with what comes, until the node
// ends. Where there is no JetStream it ends at once.
func (n *Node) RoutineKeep() {
	defer n.running.Done()
	for !n.link.up() {
		select {
		case <-time.After(sendRetry):
		case <-n.ended.Done():
			return
		}
	}
	kv := n.openKeep(n.ended)
	if kv == nil {
		return
	}
	watcher, err := kv.WatchAll(n.ended)
	if err != nil {
		n.options.Log.Warn("bus: what was decided is not read from JetStream", "error", err.Error())
		return
	}
	defer watcher.Stop()
	n.keeper.Store(&kv)
	n.options.Log.Info("bus: what is decided is kept in JetStream", "bucket", kv.Bucket())
	for {
		select {
		case got, ok := <-watcher.Updates():
			if !ok {
				return
			}
			if got != nil && got.Operation() == jetstream.KeyValuePut {
				n.kept(got.Value())
			}
		case <-n.ended.Done():
			return
		}
	}
}

// kept takes in an entry that JetStream has, which may be anything.
func (n *Node) kept(value []byte) {
	var e entry
	if json.Unmarshal(value, &e) != nil || e.Large {
		n.drop(dropForeign)
		return
	}
	if n.state.wants(&e, time.Now()) {
		select {
		case n.state.changes <- e:
		case <-n.ended.Done():
		}
	}
}

// keep has JetStream keep what was decided here, if it is there.
func (n *Node) keep(e *entry) {
	kv := n.keeper.Load()
	if kv == nil {
		return
	}
	p, err := json.Marshal(e)
	if err == nil && len(p) > keepMax {
		err = errLarge
	}
	if err == nil {
		ctx, cancel := context.WithTimeout(n.ended, keepTime)
		_, err = (*kv).Put(ctx, base64.RawURLEncoding.EncodeToString([]byte(e.Key)), p)
		cancel()
	}
	if err != nil {
		n.drop(dropUnkept)
		n.options.Log.Warn("bus: not kept in JetStream", "key", e.Key, "error", err.Error())
	}
}
