package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// answersAtOnce bounds the questions of other nodes that are answered at one time,
	// answersWaiting those that wait for it, and answersBytes their bytes.
	answersAtOnce  = 16
	answersWaiting = 1024
	answersBytes   = 16 << 20
	// answerTime is how long an answer may take.
	answerTime = 10 * time.Second
)

// Errors of asking.
var (
	// ErrAlone: the bus is not there.
	ErrAlone = errors.New("the bus is not there at present")
	// ErrNoPeer: there is no such node.
	ErrNoPeer = errors.New("no such node at present")
)

// Answer is what one node answers.
type Answer struct {
	Node string
	Body json.RawMessage
	Err  error
}

// listeners are what is done with messages, by kind. Fixed when the node starts.
type listeners struct {
	told  map[string]func(node string, body json.RawMessage)
	asked map[string]func(ctx context.Context, node string, body json.RawMessage) (any, error)
}

// OnTold has f called with what other nodes Tell under that kind, one after the other
// in the order of each node, on the node's control goroutine: f must not wait for the
// bus. Before Start.
func (n *Node) OnTold(kind string, f func(node string, body json.RawMessage)) {
	n.listeners.told[kind] = f
}

// OnAsked has f answer what other nodes Ask under that kind, on a goroutine of its own,
// several at one time; ctx ends after 10 s, or with the node. Before Start.
func (n *Node) OnAsked(kind string, f func(ctx context.Context, node string, body json.RawMessage) (any, error)) {
	n.listeners.asked[kind] = f
}

// Tell sends body as JSON to all other nodes. ErrAlone, or why it cannot be sent. Any
// goroutine but those of the loops.
func (n *Node) Tell(kind string, body any) error {
	p, err := n.envelope(kind, body, nil)
	if err != nil {
		return err
	}
	if !n.link.up() {
		return ErrAlone
	}
	return n.link.publish(n.subjectAll(), p)
}

// Ask asks one node and unpacks its answer. Any goroutine but those of the loops.
func (n *Node) Ask(ctx context.Context, node, kind string, body, answer any) error {
	if !n.peers.has(node) {
		return ErrNoPeer
	}
	p, err := n.envelope(kind, body, nil)
	if err != nil {
		return err
	}
	if !n.link.up() {
		return ErrAlone
	}
	m, err := n.link.conn.RequestWithContext(ctx, n.subjectNode(node), p)
	if err != nil {
		return fmt.Errorf("node %s does not answer: %w", node, err)
	}
	a := answerOf(m)
	if a.Err != nil {
		return a.Err
	}
	return json.Unmarshal(a.Body, answer)
}

// AskAll asks all nodes that are there and returns their answers when all have come or
// ctx is done; those that have not come have ctx's error. Any goroutine but those of
// the loops.
func (n *Node) AskAll(ctx context.Context, kind string, body any) []Answer {
	all := n.peers.list()
	answers := make([]Answer, len(all))
	var wait sync.WaitGroup
	for i, p := range all {
		wait.Go(func() {
			var raw json.RawMessage
			err := n.Ask(ctx, p.ID, kind, body, &raw)
			answers[i] = Answer{p.ID, raw, err}
		})
	}
	wait.Wait()
	return answers
}

func answerOf(m *nats.Msg) Answer {
	got, err := decodeMessage(m.Data)
	if err != nil {
		return Answer{Err: err}
	}
	if got.Error != "" {
		err = errors.New(got.Error)
	}
	return Answer{got.Node, got.Body, err}
}

// envelope is a message of this node.
func (n *Node) envelope(kind string, body any, failure error) ([]byte, error) {
	m := message{Version: version, Kind: kind, Node: n.self.ID, Shards: n.options.Shards}
	if failure != nil {
		m.Error = failure.Error()
	}
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		m.Body = raw
	}
	return m.encode()
}

// RoutineControl handles what nodes tell and ask, until the node ends.
func (n *Node) RoutineControl() {
	defer n.running.Done()
	for _, m := range n.early {
		n.handle(m)
	}
	n.early = nil
	var all []*nats.Msg
	for {
		select {
		case <-n.told.ready:
		case <-n.ended.Done():
			return
		}
		all = n.told.takeAll(all)
		for _, m := range all {
			n.handle(m)
		}
		clear(all)
	}
}

// handle takes one message, which may be anything.
func (n *Node) handle(m *nats.Msg) {
	n.link.received.Add(1)
	got, err := decodeMessage(m.Data)
	switch {
	case errors.Is(err, errLarge):
		n.drop(dropLarge)
		return
	case errors.Is(err, errVersion):
		n.drop(dropVersion)
		return
	case err != nil:
		n.drop(dropForeign)
		return
	case got.Node == n.self.ID: // NATS does not send it back, but somebody else may
		n.drop(dropOld)
		return
	case got.Shards != n.options.Shards:
		n.drop(dropShards)
		n.warnShards(got)
		if got.Kind == kindHello {
			n.say(kindReport, nil, nil) // from which it sees that it does not fit
		}
		return
	}
	if n.gathering.heard(got.Node) {
		n.outbox.ready.set()
	}
	if f := n.listeners.told[got.Kind]; f != nil && m.Reply == "" {
		f(got.Node, got.Body)
		return
	}
	f := n.listeners.asked[got.Kind]
	if f == nil || m.Reply == "" {
		n.drop(dropUnknown)
		return
	}
	size := int64(len(m.Data))
	done := func() {
		n.answering.Add(-1)
		n.answeringBytes.Add(-size)
	}
	waiting, bytes := n.answering.Add(1), n.answeringBytes.Add(size)
	if waiting > answersWaiting || bytes > answersBytes {
		done()
		n.drop(dropBusy)
		return
	}
	n.running.Add(1)
	go func() {
		defer n.running.Done()
		defer done()
		n.answer(f, got, m)
	}()
}

// answer lets f answer m, when it is its turn.
func (n *Node) answer(f func(context.Context, string, json.RawMessage) (any, error), got *message, m *nats.Msg) {
	ctx, cancel := context.WithTimeout(n.ended, answerTime)
	defer cancel()
	select {
	case n.turns <- struct{}{}:
		defer func() { <-n.turns }()
	case <-ctx.Done():
		return
	}
	body, err := f(ctx, got.Node, got.Body)
	p, encodeErr := n.envelope(got.Kind, body, err)
	if encodeErr != nil {
		p, _ = n.envelope(got.Kind, nil, encodeErr)
	}
	if err := m.Respond(p); err != nil {
		n.drop(dropUnsent)
	}
}

// warnShards says that another node splits rooms differently, which none of the two can
// mend.
func (n *Node) warnShards(got *message) {
	if n.warned.allow("shards", time.Now()) {
		n.options.Log.Error("another node of this cluster has other --bus-shards: neither hears the other",
			"node", got.Node, "its_shards", got.Shards, "shards", n.options.Shards)
	}
}
