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
	// keepTries is how often it is asked for the bucket while it gives no answer,
	// keepRetry how long that is apart.
	keepTries = 10
	keepRetry = time.Second
	// keepReplicas is on how many NATS servers the bucket is, where there are so many.
	keepReplicas = 3
	// keepMax bounds a value there: the servers' limit of a message.
	keepMax = 900 << 10
)

// openKeep finds or makes the bucket. Errors: ErrAlone; noKeep tells those that stay from
// what may be over soon.
func (n *Node) openKeep() (jetstream.KeyValue, error) {
	if !n.link.up() {
		return nil, ErrAlone
	}
	js, err := jetstream.New(n.link.conn)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(n.ended, keepTime)
	defer cancel()
	bucket := n.options.Cluster + "-decided"
	kv, err := js.KeyValue(ctx, bucket)
	if !errors.Is(err, jetstream.ErrBucketNotFound) {
		return kv, err
	}
	c := jetstream.KeyValueConfig{Bucket: bucket, Description: "danmakud: sanctions, settings of rooms, word lists, revoked tokens", Replicas: keepReplicas}
	kv, err = js.CreateKeyValue(ctx, c)
	var few *jetstream.APIError
	if errors.As(err, &few) { // there are not so many servers
		c.Replicas = 1
		kv, err = js.CreateKeyValue(ctx, c)
	}
	return kv, err
}

// noKeep reports whether an error of openKeep is that there is no JetStream for this node.
func noKeep(err error) bool {
	return errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount)
}

// awaitKeep is openKeep, again until it can be told whether there is JetStream: servers
// that have only just started have no leader yet. nil = there is none.
func (n *Node) awaitKeep() jetstream.KeyValue {
	for tries := 0; ; {
		kv, err := n.openKeep()
		switch {
		case err == nil:
			return kv
		case noKeep(err):
			return nil
		case !errors.Is(err, ErrAlone):
			tries++
		}
		if tries == keepTries {
			n.options.Log.Warn("bus: what is decided is not kept in JetStream, which does not answer", "error", err.Error())
			return nil
		}
		select {
		case <-time.After(keepRetry):
		case <-n.ended.Done():
			return nil
		}
	}
}

// RoutineKeep reads what JetStream has, and goes on with what comes, until the node
// ends. Where there is no JetStream it ends at once.
func (n *Node) RoutineKeep() {
	defer n.running.Done()
	kv := n.awaitKeep()
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
