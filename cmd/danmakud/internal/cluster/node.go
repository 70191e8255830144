package cluster

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"fmt"
	randv2 "math/rand/v2"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/danmakud/danmakud/room"
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
	early   []*nats.Msg    // questions that came before Start; RoutineControl's then
	turns   chan struct{}  // those who answer
	heard   chan *nats.Msg // ticks
	spoken  signal         // a room became due before all others
	silent  chan struct{}  // closed when nothing more will be said
	rooms   Rooms          // of this node

	// Atomic; any goroutine.
	dropped        [drops]atomic.Uint64
	unsent         atomic.Uint64 // comments that did not go out
	ticksSent      atomic.Uint64
	bytesSent      atomic.Uint64 // of ticks
	ticksHeard     atomic.Uint64
	commentsHeard  atomic.Uint64
	gaps           atomic.Uint64 // ticks of others that never came
	commentsLost   atomic.Uint64 // comments in them
	unprepared     atomic.Uint64 // rooms whose history could not be fetched in time
	audienceBytes  atomic.Uint64 // of audiences sent
	answering      atomic.Int64  // questions of other nodes
	answeringBytes atomic.Int64
	number         atomic.Uint32

	// Each has its own lock.
	peers     peers
	warned    rareness
	outbox    outbox
	gathering gathering
	inbox     inbox // of ticks
	told      inbox // of all else
	shards    shards
	preparing preparations
	counts    counts
	state     state
	history   *history                       // in JetStream; nil = none is kept
	unkept    unkept                         // by JetStream so far
	decided   chan *entry                    // here, to be told
	apply     func(key string, value []byte) // what other nodes decided; fixed when the node starts
	syncing   atomic.Bool                    // another node is being asked for all it has
	newcomer  atomic.Bool                    // somebody is there who knows nothing of this node's rooms
	repeat    atomic.Bool                    // somebody may lack viewers that audiences were told of

	out     []outgoing   // by shard; owned by RoutineSend
	scratch []room.Heard // owned by RoutineHear

	audienceSlice uint32 // whose turn it is; owned by RoutineReport

	progressMu sync.Mutex
	// Guarded by progressMu.
	progress map[shardNode]progress

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
	kindReport = "report" // told: a report
	kindLeave  = "leave"  // told: nothing; the node is going
	kindHello  = "hello"  // told by who begins: a report; the others answer with theirs at once
)

// newNode makes a node without a connection.
func newNode(o Options) *Node {
	n := &Node{
		options: o, control: make(chan *nats.Msg, heardPlaces), turns: make(chan struct{}, answersAtOnce),
		heard: make(chan *nats.Msg, heardPlaces), spoken: newSignal(), silent: make(chan struct{}),
		out: make([]outgoing, o.Shards), progress: make(map[shardNode]progress),
	}
	n.outbox = newOutbox(o.QueueMax, n.shardOf)
	n.inbox.ready, n.inbox.prior = newSignal(), isPrior
	n.told.ready = newSignal()
	n.history = newHistory(&n.options, n.shardOf)
	n.shards.heard = make(map[uint32]*heardShard)
	n.state.entries, n.state.differ = make(map[string]*entry), make(map[string]uint64)
	n.state.changes, n.decided = make(chan entry, applyPlaces), make(chan *entry, applyPlaces)
	n.unkept.ready, n.unkept.keys = newSignal(), make(map[string]struct{})
	n.counts.most, n.counts.elsewhere = elsewhereMax, make(map[string]map[string]count)
	n.preparing.turns, n.preparing.byRoom = make(chan struct{}, preparesAtOnce), make(map[string]*preparation)
	n.peers.byID = make(map[string]*Peer)
	n.listeners.told = make(map[string]func(string, json.RawMessage))
	n.listeners.asked = make(map[string]func(context.Context, string, json.RawMessage) (any, error))
	n.self = Peer{ID: newID(), Started: time.Now().UnixMilli(), Name: o.Name, Advertise: o.Advertise}
	n.ended, n.finish = context.WithCancel(context.Background())
	n.status = func() Status { return Status{} }
	return n
}

// listen registers what is done with messages of this package.
func (n *Node) listen() {
	n.OnAsked(kindWho, n.answerWho)
	n.OnAsked(kindSync, n.answerSync)
	n.OnAsked(kindPieces, n.answerPieces)
	n.OnAsked(kindHistory, n.answerHistory)
	n.OnTold(kindState, n.heardState)
	n.OnTold(kindReport, n.heardReport)
	n.OnTold(kindHello, n.heardHello)
	n.OnTold(kindAudience, n.heardAudiences)
	n.OnTold(kindLeave, func(node string, _ json.RawMessage) { n.forget(n.peers.remove(node), "left") })
}

// Join connects to the bus and gets to know who is there. Start begins to hear and
// speak. Errors: ErrRefused, ErrMismatch, what is wrong with a file.
func Join(ctx context.Context, o Options) (*Node, error) {
	n := newNode(o)
	n.listen()
	var err error
	onLost := func() { n.gathering.lost(n.peers.list()) }
	onBack := func() { n.gathering.back(time.Now()) }
	if n.link, err = dial(&n.options, onLost, onBack); err != nil {
		return nil, err
	}
	if err = n.listenTo(); err == nil {
		err = n.meet(ctx)
	}
	if err != nil {
		n.link.close()
		return nil, err
	}
	return n, nil
}

// listenTo begins to hear what nodes tell and ask, and tries what else must be heard, so
// that a node that may not does not start.
func (n *Node) listenTo() error {
	for _, subject := range []string{n.subjectAll(), n.subjectNode(n.self.ID)} {
		if _, err := n.link.subscribe(subject, n.control); err != nil {
			return fmt.Errorf("%w: %w", ErrRefused, err)
		}
		if err := n.link.denied(); err != nil {
			return err
		}
	}
	for _, subject := range []string{n.subjectShard(0), n.link.conn.NewInbox()} {
		sub, err := n.link.conn.SubscribeSync(subject)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrRefused, err)
		}
		defer sub.Unsubscribe() // the error is that the connection is closed
		if err := n.link.denied(); err != nil {
			return err
		}
	}
	return nil
}

// meet says hello and waits for the others, and takes a number that none of them has.
func (n *Node) meet(ctx context.Context) error {
	n.number.Store(uint32(n.freeNumber()))
	if !n.link.up() {
		return nil
	}
	n.say(kindHello, nil, nil)
	patience := time.After(helloTime)
	for {
		select {
		case m := <-n.control:
			got, err := decodeMessage(m.Data)
			if err == nil && got.Shards != n.options.Shards && got.Node != n.self.ID {
				return fmt.Errorf("%w: --bus-shards is %d, the others of cluster %q have %d", ErrMismatch, n.options.Shards, n.options.Cluster, got.Shards)
			}
			switch {
			case m.Reply == "":
				n.handle(m)
			case len(n.early) < answersWaiting: // there are no rooms yet of which it could tell
				n.early = append(n.early, m)
			default:
				n.drop(dropBusy)
			}
		case <-patience:
			n.number.Store(uint32(n.freeNumber()))
			return n.link.denied() // it may not have been let say hello
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

// Start begins to report, and to hear and speak for these rooms. status is asked for
// each report.
func (n *Node) Start(rooms Rooms, status func() Status) {
	n.status, n.rooms = status, rooms
	rooms.Hub().SetNode(n.Number())
	rooms.Hub().SetPhase(time.Now().UnixNano() - rooms.Now())
	for _, routine := range []func(){
		n.RoutineControl, n.RoutineReport, n.RoutineSpeak, n.RoutineSend, n.RoutineReceive, n.RoutineHear, n.RoutineTidy,
		n.RoutineState, n.RoutineKeep,
	} {
		n.running.Add(1)
		go routine()
	}
	if n.history != nil {
		n.history.open(n.ended, n.link)
		n.running.Add(1)
		go n.RoutineHistory()
	}
	n.catchUp()
}

// catchUp gets from one of the others what was decided before this node takes viewers.
func (n *Node) catchUp() {
	ctx, cancel := context.WithTimeout(n.ended, connectTimeout)
	defer cancel()
	for _, p := range n.peers.list() {
		n.sync(ctx, p.ID)
		break
	}
	for len(n.state.changes) > 0 && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
}

// Close says that the node is going and ends it.
func (n *Node) Close() {
	n.finish()
	n.running.Wait()
	if n.link.up() {
		if along := n.tellAudiences(); along != nil {
			n.tellAudience(along)
		}
		n.Tell(kindLeave, nil)
		ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
		n.link.flush(ctx)
		cancel()
	}
	n.link.close()
}

// report is what a node tells of itself.
type report struct {
	Peer
	// Rooms has viewers by room, of some rooms; 0 = none any more.
	Rooms map[string]int `json:"rooms,omitempty"`
	// Watched has the different viewers that these have had, where there were any.
	Watched map[string]uint64 `json:"watched,omitempty"`
	// Audience has viewers of rooms, as kindAudience.
	Audience []byte `json:"audience,omitempty"`
	// State is the digest of what was decided, as far as the node knows.
	State uint64 `json:"state,string"`
}

// tellReport tells the others of this node, its rooms and who is new in them.
func (n *Node) tellReport() {
	along := n.tellAudiences()
	for _, piece := range n.countsToTell(n.newcomer.Swap(false)) {
		if len(piece) > alongRooms {
			n.say(kindReport, piece, nil)
			continue
		}
		n.say(kindReport, piece, along)
		along = nil
	}
	if along != nil {
		n.tellAudience(along)
	}
}

// RoutineReport tells the others how this node is, and forgets those who tell nothing.
func (n *Node) RoutineReport() {
	defer n.running.Done()
	for {
		if n.link.up() {
			n.tellReport()
		}
		wait := time.NewTimer(reportEvery - reportEvery/10 + randv2.N(reportEvery/5))
		select {
		case <-wait.C:
		case <-n.link.changed:
			n.linkChanged()
		case <-n.ended.Done():
			wait.Stop()
			return
		}
		wait.Stop()
		n.rooms.SetElsewhere(n.counts.forget("", time.Now()))
		for _, p := range n.peers.expire(time.Now()) {
			n.forget(p, "silent")
		}
	}
}

// linkChanged says hello where the link is back: others may have come meanwhile. Of
// what was said there nobody here knows.
func (n *Node) linkChanged() {
	all := func(string) bool { return true }
	if !n.link.up() {
		n.rooms.Missed(0, all)
		return
	}
	n.rooms.Missed(time.Now().UnixMilli(), all)
	n.say(kindHello, nil, nil)
}

// say tells the others of this node, and of these of its rooms.
func (n *Node) say(kind string, rooms map[string]Tally, audience []byte) {
	r := report{Peer: n.Self(), State: n.state.sumOf(), Audience: audience, Rooms: make(map[string]int, len(rooms)), Watched: make(map[string]uint64, len(rooms))}
	for name, t := range rooms {
		r.Rooms[name] = t.Viewers
		if t.Watched > 0 {
			r.Watched[name] = t.Watched
		}
	}
	switch {
	case n.link.up() && n.Tell(kind, r) == nil:
		n.audienceBytes.Add(uint64(len(audience)))
		return
	case n.link.up():
		n.drop(dropUnsent)
	}
	if len(audience) > 0 {
		n.repeat.Store(true)
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

// AppendSaid is room.Config.AppendSaid.
func (n *Node) AppendSaid(p []byte, c *room.Comment, id uint64, wall int64) []byte {
	return appendComment(p, c, id, wall)
}

// SaidText is room.Config.SaidText.
func (n *Node) SaidText(said string) string { return saidText(said) }

// Lead is room.Config.Lead for rooms with that tick: time for the bus.
func Lead(tick time.Duration) time.Duration { return min(max(tick/8, leadLeast), leadMost) }

const (
	leadLeast = 5 * time.Millisecond
	leadMost  = 15 * time.Millisecond
)

// SpareHost returns HOST:PORT of another node to which a viewer may be sent, "" if there
// is none: by chance, the emptier the likelier. Any goroutine.
func (n *Node) SpareHost() string { return n.peers.spare(randv2.Float64()) }

// Up reports whether the bus is there. Any goroutine.
func (n *Node) Up() bool { return n.link.up() }

func (n *Node) heardReport(node string, body json.RawMessage) {
	var r report
	if json.Unmarshal(body, &r) != nil || r.ID != node || r.Number == 0 || !address.MatchString(r.Advertise) || len(r.Name) > nameMax {
		n.drop(dropForeign)
		return
	}
	p := r.Peer
	if n.peers.put(p, time.Now()) {
		n.options.Log.Info("node joined", "node", p.Name, "id", p.ID, "advertise", p.Advertise)
		n.newcomer.Store(true)
	}
	n.takeCounts(node, r.Rooms, r.Watched)
	if len(r.Audience) > 0 && n.rooms != nil && !n.takeAudiences(r.Audience) {
		n.drop(dropAudience)
	}
	n.compare(node, r.State)
	if self := n.Self(); p.Number == self.Number && p.before(&self) {
		n.number.Store(uint32(n.freeNumber()))
		if n.rooms != nil {
			n.rooms.Hub().SetNode(n.Number())
		}
		n.options.Log.Warn("two nodes had the same number, this one has taken another", "node", p.Name)
	}
}

func (n *Node) heardHello(node string, body json.RawMessage) {
	n.heardReport(node, body)
	n.repeat.Store(true) // what was told before it has not heard
	n.say(kindReport, nil, nil)
}

// address is what a node may say of where viewers reach it: it is told to viewers as it
// stands.
var address = regexp.MustCompile(`^[A-Za-z0-9.:_\[\]-]{0,260}$`)

// nameMax bounds the name of a node.
const nameMax = 256

// forget does what is to be done when a node is no longer there; nil = it never was.
func (n *Node) forget(p *Peer, why string) {
	if p == nil {
		return
	}
	n.options.Log.Info("node gone", "node", p.Name, "id", p.ID, "why", why)
	if n.rooms != nil {
		n.rooms.SetElsewhere(n.counts.forget(p.ID, time.Now()))
	}
}

func (n *Node) subjectAll() string           { return n.options.Cluster + ".all" }
func (n *Node) subjectNode(id string) string { return n.options.Cluster + ".node." + id }

// newID draws an id that no other node has ever had.
func newID() string {
	var p [10]byte
	rand.Read(p[:])
	return base32.StdEncoding.EncodeToString(p[:])
}
