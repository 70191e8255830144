package cluster

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Where the NATS servers have JetStream, what was decided is kept there, too: so it is
// there for nodes that have no disk of their own, also when none was up meanwhile. The
// nodes tell each other all the same; what comes from there is one more way to hear.

const (
	// keepTime is how long a request to JetStream may take.
	keepTime = 2 * time.Second
	// keepRetry is after how long it is asked again for the bucket while it gives no
	// answer, keepSlower times as long each time, up to keepRetryMost: servers that have
	// only just started have no leader yet, and JetStream may be switched on later.
	keepRetry     = 2 * time.Second
	keepSlower    = 3
	keepRetryMost = 5 * time.Minute
	// keepTries is after how many it is said that there is none.
	keepTries = 4
	// unkeptRetryMost is after how long at most it is tried again to keep a decision.
	unkeptRetryMost = 15 * time.Second
	// keepReplicas is on how many NATS servers the bucket is, where there are so many.
	keepReplicas = 3
	// keepMax bounds a value there: the servers' limit of a message.
	keepMax = 900 << 10
	// unkeptMost bounds the decisions that wait for JetStream.
	unkeptMost = 4096
)

// unkept are the keys of decisions of this node that JetStream is to have. Any goroutine.
type unkept struct {
	ready signal

	mu sync.Mutex
	// Guarded by mu.
	keys   map[string]struct{}
	nobody bool // keeps any
}

// add reports whether there was space, or is nobody to keep it.
func (u *unkept) add(key string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.nobody {
		return true
	}
	if _, there := u.keys[key]; !there && len(u.keys) >= unkeptMost {
		return false
	}
	u.keys[key] = struct{}{}
	u.ready.set()
	return true
}

// end tells that there is no JetStream.
func (u *unkept) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.nobody, u.keys = true, nil
}

// take returns one of them, if there is any.
func (u *unkept) take() (key string, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for key := range u.keys {
		delete(u.keys, key)
		return key, true
	}
	return "", false
}

// openKeep finds or makes the bucket. Errors: ErrAlone; noKeep tells those that stay from
// what may be over soon.
func (n *Node) openKeep(servers *replicas) (jetstream.KeyValue, error) {
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
	if servers.fewer(err, time.Now()) {
		c.Replicas = 1
		kv, err = js.CreateKeyValue(ctx, c)
	}
	return kv, err
}

// noKeep reports whether an error of openKeep is that there is no JetStream for this node.
func noKeep(err error) bool {
	return errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount)
}

// awaitKeep is openKeep, again until it can be told whether there is JetStream. nil =
// there is none, or the node has ended.
func (n *Node) awaitKeep() jetstream.KeyValue {
	wait := keepRetry
	var servers replicas
	for tries := 0; ; {
		kv, err := n.openKeep(&servers)
		switch {
		case err == nil:
			return kv
		case noKeep(err):
			return nil
		case errors.Is(err, ErrAlone):
			wait = keepRetry
		default:
			if tries++; tries == keepTries {
				n.options.Log.Warn("bus: what is decided is not kept in JetStream, which does not answer; it is asked now and then", "error", err.Error())
			}
		}
		if !n.pause(wait) {
			return nil
		}
		wait = min(keepSlower*wait, keepRetryMost)
	}
}

// pause waits, and reports false if the node has ended meanwhile.
func (n *Node) pause(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-n.ended.Done():
		return false
	}
}

// RoutineKeep reads what JetStream has, and goes on with what comes, until the node
// ends; what is decided here it has kept there meanwhile. Where there is no JetStream it
// ends at once.
func (n *Node) RoutineKeep() {
	defer n.running.Done()
	kv := n.awaitKeep()
	if kv == nil {
		n.unkept.end()
		return
	}
	watcher, err := kv.WatchAll(n.ended)
	if err != nil {
		n.options.Log.Warn("bus: what was decided is not read from JetStream", "error", err.Error())
		n.unkept.end()
		return
	}
	defer watcher.Stop()
	n.options.Log.Info("bus: what is decided is kept in JetStream", "bucket", kv.Bucket())
	n.running.Add(1)
	go n.RoutineWriteKept(kv)
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

// RoutineWriteKept has JetStream keep what was decided here, also what was before it was
// there, until the node ends. What it does not take is tried again.
func (n *Node) RoutineWriteKept(kv jetstream.KeyValue) {
	defer n.running.Done()
	for wait := keepRetry; ; {
		key, ok := n.unkept.take()
		if !ok {
			select {
			case <-n.unkept.ready:
				continue
			case <-n.ended.Done():
				return
			}
		}
		err := n.keep(kv, key)
		if err == nil {
			wait = keepRetry
			continue
		}
		if n.warned.allow("keep", time.Now()) {
			n.options.Log.Warn("bus: not kept in JetStream", "key", key, "error", err.Error())
		}
		if errors.Is(err, errLarge) || !n.unkept.add(key) {
			n.drop(dropUnkept)
			continue
		}
		if !n.pause(wait) {
			return
		}
		wait = min(2*wait, unkeptRetryMost)
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

// keep has JetStream keep the newest that this node knows of a key.
func (n *Node) keep(kv jetstream.KeyValue, key string) error {
	e := n.state.of(key)
	if e == nil {
		return nil // long over
	}
	p, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if len(p) > keepMax {
		return errLarge
	}
	ctx, cancel := context.WithTimeout(n.ended, keepTime)
	defer cancel()
	_, err = kv.Put(ctx, base64.RawURLEncoding.EncodeToString([]byte(key)), p)
	return err
}
