package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// What operators and moderators decide holds on all nodes: sanctions, settings of
// rooms, word lists, revoked tokens. Each is an entry with a version, the later of two
// wins, and ties go by the node that made them, so that all nodes come to the same
// whatever the order in which they hear. A change is told at once; whoever missed it
// sees by the digest in the next reports that it differs, and asks.
//
// What a node has from its own disk when it starts is older than anything a node has
// that is there already.

const (
	// entriesMax bounds the entries: more than the bounds of all that is decided.
	entriesMax = 250_000
	// stateMax bounds their bytes, entryItem is what one counts besides its texts.
	stateMax  = 256 << 20
	entryItem = 200
	// tombstone is how long it is known that something no longer holds.
	tombstone = 24 * time.Hour
	// toldMax is the size of a value up to which a change has it with it; what is larger
	// is asked for in pieces.
	toldMax = 256 << 10
	// pieceBytes is how much of a large value one answer has, valueMax what a value may be.
	pieceBytes = 256 << 10
	valueMax   = 16 << 20
	// applyPlaces is how many changes of other nodes may wait to be put in force.
	applyPlaces = 4096
	// aheadMost is how far ahead of this node's clock a version may be.
	aheadMost = time.Hour
)

// Kinds of messages of this file.
const (
	kindState  = "state"  // told: entries
	kindSync   = "sync"   // asked: the key after which to go on; answer: entries
	kindPieces = "pieces" // asked: pieceQuestion; answer: piece
)

// entry is one decision.
type entry struct {
	Key   string          `json:"key"`
	At    int64           `json:"at"`              // version, Unix ms; 0 = from the disk of a node
	Node  string          `json:"node"`            // that made it
	Value json.RawMessage `json:"value,omitempty"` // none: it no longer holds
	Large bool            `json:"large,omitempty"` // the value is to be asked for
}

// later reports whether e wins over o.
func (e *entry) later(o *entry) bool {
	return cmp.Or(cmp.Compare(e.At, o.At), strings.Compare(e.Node, o.Node)) > 0
}

// sum is what an entry adds to the digest.
func (e *entry) sum() uint64 {
	h := fnv.New64a()
	h.Write([]byte(e.Key))
	h.Write([]byte{0})
	h.Write([]byte(e.Node))
	var at [8]byte
	for i := range at {
		at[i] = byte(e.At >> (8 * i))
	}
	h.Write(at[:])
	return h.Sum64()
}

// state is all entries. Any goroutine.
type state struct {
	changes chan entry // of other nodes, to be put in force

	mu sync.Mutex
	// Guarded by mu.
	entries map[string]*entry
	bytes   int
	digest  uint64
	last    int64             // greatest version that this node has made
	differ  map[string]uint64 // digest of nodes whose last report had another than ours

	keys       []string // of entries, in order, made once and not changed; nil = to be made
	keyChanges uint64   // entries that came or went so far
}

// put takes an entry in if it is later than what is there, and reports whether it is.
func (s *state) put(e *entry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.entries[e.Key]
	if old != nil && !e.later(old) || old == nil && len(s.entries) >= entriesMax {
		return false
	}
	bytes := s.bytes + e.weight()
	if old != nil {
		bytes -= old.weight()
	}
	if bytes > stateMax && bytes > s.bytes {
		return false
	}
	if old != nil {
		s.digest ^= old.sum()
	}
	s.bytes = bytes
	s.entries[e.Key] = e
	if old == nil {
		s.changeKeys()
	}
	s.digest ^= e.sum()
	return true
}

// weight is how many bytes an entry counts.
func (e *entry) weight() int { return entryItem + len(e.Key) + len(e.Value) }

// version makes the version of a change of this node: later than all that it knows of
// that key.
func (s *state) version(key string, now int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := max(now, s.last+1)
	if old := s.entries[key]; old != nil {
		at = max(at, old.At+1)
	}
	s.last = at
	return at
}

// changeKeys forgets the order of the keys. The caller holds mu.
func (s *state) changeKeys() {
	s.keys = nil
	s.keyChanges++
}

// sortedKeys returns the keys of all entries in order. They are sorted once for all the
// pages that a node asks for, and without the lock: loops wait for it when a moderator
// decides.
func (s *state) sortedKeys() []string {
	s.mu.Lock()
	if s.keys != nil {
		defer s.mu.Unlock()
		return s.keys
	}
	keys, changes := slices.Collect(maps.Keys(s.entries)), s.keyChanges
	s.mu.Unlock()
	slices.Sort(keys)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keyChanges == changes {
		s.keys = keys
	}
	return keys
}

// after returns entries by key from the one behind that key on, about pageBytes.
func (s *state) after(key string) []entry {
	keys := s.sortedKeys()
	from, found := slices.BinarySearch(keys, key)
	if found {
		from++
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var page []entry
	bytes := 0
	for _, k := range keys[from:] {
		at := s.entries[k]
		if at == nil {
			continue // it went meanwhile
		}
		if bytes >= pageBytes {
			break
		}
		e := at.light()
		bytes += len(e.Value) + len(e.Key) + 100
		page = append(page, e)
	}
	return page
}

// light is e without a value that is too large to go along.
func (e *entry) light() entry {
	l := *e
	if len(l.Value) > toldMax {
		l.Value, l.Large = nil, true
	}
	return l
}

// sweep forgets what no longer holds for long enough.
func (s *state) sweep(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, e := range s.entries {
		if e.Value == nil && now.UnixMilli()-e.At > tombstone.Milliseconds() {
			s.digest ^= e.sum()
			s.bytes -= e.weight()
			delete(s.entries, key)
			s.changeKeys()
		}
	}
}

// of returns what is known of a key, nil if nothing is.
func (s *state) of(key string) *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.entries[key]
}

func (s *state) sumOf() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.digest
}

// OnState has f put in force what other nodes decided; value is nil for what no longer
// holds. It is called on one goroutine. Before Start.
func (n *Node) OnState(f func(key string, value []byte)) { n.apply = f }

// Have takes in what this node has from its disk. Before Start.
func (n *Node) Have(key string, value []byte) {
	n.take(&entry{Key: key, Node: n.self.ID, Value: value})
}

// Decide tells the other nodes what was decided here; value is nil for what no longer
// holds. Any goroutine; it does not block.
func (n *Node) Decide(key string, value []byte) {
	e := &entry{Key: key, At: n.state.version(key, time.Now().UnixMilli()), Node: n.self.ID, Value: value}
	n.take(e)
	select {
	case n.decided <- e:
	default: // the digest will tell
		n.drop(dropUnsent)
	}
}

// RoutineState tells what was decided here and puts in force what was decided
// elsewhere.
func (n *Node) RoutineState() {
	defer n.running.Done()
	for {
		select {
		case e := <-n.decided:
			if n.link.up() && n.Tell(kindState, []entry{e.light()}) != nil {
				n.drop(dropUnsent)
			}
			if !n.unkept.add(e.Key) {
				n.drop(dropUnkept)
			}
		case e := <-n.state.changes:
			n.change(&e)
		case <-n.ended.Done():
			return
		}
	}
}

// take takes an entry in, and reports whether it is news. What there is no space for is
// counted.
func (n *Node) take(e *entry) bool {
	took := n.state.put(e)
	if !took && n.state.wants(e, time.Now()) {
		n.drop(dropOverflow)
	}
	return took
}

// change puts an entry of another node in force.
func (n *Node) change(e *entry) {
	if e.Large {
		value, err := n.pieces(e)
		if err != nil {
			n.options.Log.Warn("bus: what another node has decided was not got", "key", e.Key, "error", err.Error())
			return
		}
		e.Value, e.Large = value, false
	}
	if n.take(e) && n.apply != nil {
		n.apply(e.Key, e.Value)
	}
}

// wants reports whether an entry of another node is one, and news.
func (s *state) wants(e *entry, now time.Time) bool {
	if len(e.Key) == 0 || len(e.Key) > 600 || !validID(e.Node) || e.At < 0 || e.At > now.Add(aheadMost).UnixMilli() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.entries[e.Key]
	return old == nil || e.later(old)
}

func (n *Node) heardState(_ string, body json.RawMessage) {
	var all []entry
	if json.Unmarshal(body, &all) != nil {
		n.drop(dropForeign)
		return
	}
	for _, e := range all {
		if !n.state.wants(&e, time.Now()) {
			continue
		}
		select {
		case n.state.changes <- e:
		default: // the digest will tell
			n.drop(dropOverflow)
		}
	}
}

// compare asks a node for what it has, when it differs and did so already before: what
// is under way is no difference.
func (n *Node) compare(node string, digest uint64) {
	own := n.state.sumOf()
	n.state.mu.Lock()
	before, differed := n.state.differ[node]
	if digest == own {
		delete(n.state.differ, node)
	} else {
		n.state.differ[node] = digest
	}
	n.state.mu.Unlock()
	if digest != own && differed && before == digest && n.syncing.CompareAndSwap(false, true) {
		n.running.Add(1)
		go func() {
			defer n.running.Done()
			defer n.syncing.Store(false)
			ctx, cancel := context.WithTimeout(n.ended, answerTime)
			defer cancel()
			n.sync(ctx, node)
		}()
	}
}

// sync gets all that a node has, and has what is news put in force.
func (n *Node) sync(ctx context.Context, node string) {
	key := ""
	for {
		var page []entry
		if err := n.Ask(ctx, node, kindSync, key, &page); err != nil || len(page) == 0 {
			return
		}
		for _, e := range page {
			key = max(key, e.Key)
			if !n.state.wants(&e, time.Now()) {
				continue
			}
			select {
			case n.state.changes <- e:
			case <-ctx.Done():
				return
			}
		}
	}
}

func (n *Node) answerSync(_ context.Context, _ string, body json.RawMessage) (any, error) {
	var key string
	if err := json.Unmarshal(body, &key); err != nil {
		return nil, err
	}
	return n.state.after(key), nil
}

type pieceQuestion struct {
	Key  string `json:"key"`
	At   int64  `json:"at"`
	From int    `json:"from"`
}

type piece struct {
	Bytes []byte `json:"bytes"`
	Size  int    `json:"size"` // of the whole value
}

// pieces gets a large value, from whoever of the others has it.
func (n *Node) pieces(e *entry) (value []byte, err error) {
	ctx, cancel := context.WithTimeout(n.ended, answerTime)
	defer cancel()
	for _, p := range n.peers.list() {
		value = value[:0]
		for {
			var got piece
			if err = n.Ask(ctx, p.ID, kindPieces, pieceQuestion{e.Key, e.At, len(value)}, &got); err != nil {
				break
			}
			value = append(value, got.Bytes...)
			if len(value) >= got.Size && got.Size > 0 && json.Valid(value) {
				return value, nil
			}
			if len(got.Bytes) == 0 || len(value) > valueMax {
				err = errLarge
				break
			}
		}
	}
	return nil, cmp.Or(err, ErrNoPeer)
}

func (n *Node) answerPieces(_ context.Context, _ string, body json.RawMessage) (any, error) {
	var q pieceQuestion
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, err
	}
	n.state.mu.Lock()
	defer n.state.mu.Unlock()
	e := n.state.entries[q.Key]
	if e == nil || e.At != q.At || q.From < 0 || q.From > len(e.Value) {
		return nil, errOther
	}
	return piece{e.Value[q.From:min(len(e.Value), q.From+pieceBytes)], len(e.Value)}, nil
}
