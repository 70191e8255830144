package cluster

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"fmt"
	randv2 "math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// idLen is how long the id of a node is, which is new at each start.
const idLen = 16

// helloTime is how long a node waits for the others to say that they are there.
const helloTime = 400 * time.Millisecond

// Node is this node among the others.
type Node struct {
	// Fixed after construction.
	options   Options
	link      *link
	listeners listeners
	status    func() Status

	ended  context.Context // done when the node ends
	finish context.CancelFunc

	control chan *nats.Msg // what nodes tell and ask
	turns   chan struct{}  // those who answer

	// Atomic; any goroutine.
	dropped   [drops]atomic.Uint64
	answering atomic.Int64
	number    atomic.Uint32

	peers  peers
	warned rareness

	self    Peer           // id, start, name and address
	running sync.WaitGroup // its goroutines
}

// Status is what a node tells of itself.
type Status struct {
	Connections, Most int
	Behind, Draining  bool
}

// Kinds of messages of this file.
const (
	kindReport = "report" // told: a Peer
	kindLeave  = "leave"  // told: nothing; the node is going
	kindHello  = "hello"  // told by who begins: a Peer; the others report at once
)

// Join connects to the bus and gets to know who is there. Start begins to hear and
// speak. Errors: ErrRefused, ErrMismatch, what is wrong with a file.
func Join(ctx context.Context, o Options) (*Node, error) {
	n := &Node{options: o, control: make(chan *nats.Msg, controlPlaces), turns: make(chan struct{}, answersAtOnce)}
	n.peers.byID = make(map[string]*Peer)
	n.listeners.told = make(map[string]func(string, json.RawMessage))
	n.listeners.asked = make(map[string]func(context.Context, string, json.RawMessage) (any, error))
	n.self = Peer{ID: newID(), Started: time.Now().UnixMilli(), Name: o.Name, Advertise: o.Advertise}
	n.ended, n.finish = context.WithCancel(context.Background())
	n.status = func() Status { return Status{} }
	var err error
	if n.link, err = dial(&n.options); err != nil {
		return nil, err
	}
	n.OnTold(kindReport, n.heardReport)
	n.OnTold(kindHello, n.heardHello)
	n.OnTold(kindLeave, func(node string, _ json.RawMessage) { n.forget(n.peers.remove(node), "left") })
	for _, subject := range []string{n.subjectAll(), n.subjectNode(n.self.ID)} {
		if _, err := n.link.subscribe(subject, n.control); err != nil {
			n.link.close()
			return nil, fmt.Errorf("%w: %w", ErrRefused, err)
		}
	}
	if err := n.meet(ctx); err != nil {
		n.link.close()
		return nil, err
	}
	return n, nil
}

// meet says hello and waits for the others, and takes a number that none of them has.
func (n *Node) meet(ctx context.Context) error {
	n.number.Store(uint32(n.freeNumber()))
	if !n.link.up() {
		return nil
	}
	n.say(kindHello)
	patience := time.After(helloTime)
	for {
		select {
		case m := <-n.control:
			got, err := decodeMessage(m.Data)
			if err == nil && got.Shards != n.options.Shards && got.Node != n.self.ID {
				return fmt.Errorf("%w: --bus-shards is %d, the others of cluster %q have %d", ErrMismatch, n.options.Shards, n.options.Cluster, got.Shards)
			}
			n.handle(m)
		case <-patience:
			n.number.Store(uint32(n.freeNumber()))
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// freeNumber draws a number that no node has that is known.
func (n *Node) freeNumber() uint16 {
	for {
		number := uint16(1 + randv2.N(1<<16-1))
		if n.peers.numbered(number) == nil {
			return number
		}
	}
}

// Start begins to report, hear and speak. status is asked for each report.
func (n *Node) Start(status func() Status) {
	n.status = status
	n.running.Add(2)
	go n.RoutineControl()
	go n.RoutineReport()
}

// Close says that the node is going and ends it.
func (n *Node) Close() {
	if n.link.up() {
		n.Tell(kindLeave, nil)
		ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
		n.link.flush(ctx)
		cancel()
	}
	n.finish()
	n.running.Wait()
	n.link.close()
}

// RoutineReport tells the others how this node is, and forgets those who tell nothing.
func (n *Node) RoutineReport() {
	defer n.running.Done()
	for {
		n.say(kindReport)
		wait := time.NewTimer(reportEvery - reportEvery/10 + randv2.N(reportEvery/5))
		select {
		case <-wait.C:
		case <-n.link.changed:
			wait.Stop()
			n.linkChanged()
		case <-n.ended.Done():
			wait.Stop()
			return
		}
		for _, p := range n.peers.expire(time.Now()) {
			n.forget(p, "silent")
		}
	}
}

// linkChanged says hello where the link is back: others may have come meanwhile.
func (n *Node) linkChanged() {
	if n.link.up() {
		n.say(kindHello)
	}
}

// say tells the others of this node.
func (n *Node) say(kind string) {
	if !n.link.up() {
		return
	}
	if err := n.Tell(kind, n.Self()); err != nil {
		n.drop(dropUnsent)
	}
}

// Self is this node as it tells of itself. Any goroutine.
func (n *Node) Self() Peer {
	p, s := n.self, n.status()
	p.Number = n.Number()
	p.Connections, p.Most, p.Behind, p.Draining = s.Connections, s.Most, s.Behind, s.Draining
	return p
}

// Number is what this node's comments have in their ids. It changes where two nodes
// began with the same.
func (n *Node) Number() uint16 { return uint16(n.number.Load()) }

// Peers returns the other nodes that are there, by name. Any goroutine.
func (n *Node) Peers() []Peer { return n.peers.list() }

// Up reports whether the bus is there. Any goroutine.
func (n *Node) Up() bool { return n.link.up() }

func (n *Node) heardReport(node string, body json.RawMessage) {
	var p Peer
	if json.Unmarshal(body, &p) != nil || p.ID != node || p.Number == 0 {
		n.drop(dropForeign)
		return
	}
	if n.peers.put(p, time.Now()) {
		n.options.Log.Info("node joined", "node", p.Name, "id", p.ID, "advertise", p.Advertise)
	}
	if self := n.Self(); p.Number == self.Number && p.before(&self) {
		n.number.Store(uint32(n.freeNumber()))
		n.options.Log.Warn("two nodes had the same number, this one has taken another", "node", p.Name)
	}
}

func (n *Node) heardHello(node string, body json.RawMessage) {
	n.heardReport(node, body)
	n.say(kindReport)
}

// forget does what is to be done when a node is no longer there; nil = it never was.
func (n *Node) forget(p *Peer, why string) {
	if p == nil {
		return
	}
	n.options.Log.Info("node gone", "node", p.Name, "id", p.ID, "why", why)
}

func (n *Node) subjectAll() string           { return n.options.Cluster + ".all" }
func (n *Node) subjectNode(id string) string { return n.options.Cluster + ".node." + id }

// newID draws an id that no other node has ever had.
func newID() string {
	var p [10]byte
	rand.Read(p[:])
	return base32.StdEncoding.EncodeToString(p[:])
}
