package server

import (
	"context"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/cluster"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/room"
	"github.com/danmakud/danmakud/wsproto"
)

// joinCluster makes s.nodes, which stays nil where the settings know of no others.
func (s *Server) joinCluster(ctx context.Context, c *config.Config) (err error) {
	if len(c.NATS) == 0 {
		return nil
	}
	s.nodes, err = cluster.Join(ctx, cluster.Options{
		URLs: c.NATS, User: c.NATSUser, Password: c.NATSPassword, Token: c.NATSToken,
		CredsFile: c.NATSCreds, NKeyFile: c.NATSNKey, CAFile: c.NATSCA, CertFile: c.NATSCert, KeyFile: c.NATSKey,
		Cluster: c.Cluster, Shards: c.BusShards, Name: c.NodeName(), Advertise: c.Advertise, QueueMax: c.BusQueue,
		HistoryBatches: c.BusHistory, HistoryAge: c.BusHistoryAge,
		Log: s.log,
	})
	if err == nil {
		// Guests are numbered apart from those of other nodes.
		s.nextUID.Store(uint64(s.nodes.Number()) << 40)
		s.guestSeed = xxhash.Sum64String(s.nodes.Self().ID)
	}
	return err
}

// clusterRoomConfig is what rooms need to speak to other nodes.
func (s *Server) clusterRoomConfig(c *room.Config) {
	if s.nodes == nil {
		return
	}
	c.AppendSaid, c.SaidText = s.nodes.AppendSaid, s.nodes.SaidText
	c.KickSpeaking, c.Lead = s.nodes.KickSpeaking, cluster.Lead(c.Tick)
}

// alone reports whether there should be other nodes and the bus is not there.
func (s *Server) alone() bool { return s.nodes != nil && !s.nodes.Up() }

// clusterStatus is what other nodes are told of this one.
func (s *Server) clusterStatus() cluster.Status {
	return cluster.Status{
		Connections: s.reactor.Connections(), Most: s.settings().MaxConnections,
		Behind: s.behind.refuses(s.now()), Draining: s.draining.Load(),
	}
}

// shared are the server's rooms as the bus sees them. Any goroutine but those of the
// loops.
type shared struct {
	*Server

	mu sync.Mutex
	// Guarded by mu.
	due []*room.Room // by Hear
}

func (s *shared) Hub() *room.Hub { return s.hub }
func (s *shared) Now() int64     { return s.now() }

// Hear merges what was said on another node.
func (s *shared) Hear(name string, heard []room.Heard, likes, sampled uint64) {
	r := s.hub.Find(name)
	if r == nil {
		return
	}
	// An error is that the room is gone just now.
	if _, sealNow, err := r.Merge(heard, likes, sampled, s.now()); err == nil && sealNow {
		s.mu.Lock()
		s.due = append(s.due, r)
		s.mu.Unlock()
	}
}

// SealHeard seals the rooms that are due by what was heard.
func (s *shared) SealHeard() {
	s.mu.Lock()
	due := s.due
	s.due = nil
	s.mu.Unlock()
	s.seal(due...)
}

func (s *shared) Missed(since int64, in func(name string) bool) {
	s.hub.Each(func(r *room.Room) {
		if in(r.Name()) && (since == 0 || r.Here() > 0) {
			r.SetWhole(since)
		}
	})
}

func (s *shared) Populated(f func(name string)) {
	s.hub.Each(func(r *room.Room) {
		if r.Here() > 0 || s.taps.has(r.Name()) {
			f(r.Name())
		}
	})
}

func (s *shared) Counts(f func(name string, t cluster.Tally)) {
	s.hub.Each(func(r *room.Room) {
		if here := r.Here(); here > 0 {
			f(r.Name(), cluster.Tally{Viewers: here, Watched: r.Watched()})
		}
	})
}

func (s *shared) SetElsewhere(viewers map[string]int) {
	for name, n := range viewers {
		if r := s.hub.Find(name); r != nil {
			r.SetElsewhere(n)
		}
	}
}

func (s *shared) Batches(name string) ([]*room.Batch, int64) {
	r := s.hub.Find(name)
	if r == nil {
		return nil, 0
	}
	return r.KeptBatches()
}

func (s *shared) Since(name string) int64 {
	if r := s.hub.Find(name); r != nil && r.Here() > 0 {
		return r.Whole()
	}
	return 0
}

// Fill gives a room the history that another node has of it. Where somebody is in it
// already it is too late for that.
func (s *shared) Fill(name string, batches []cluster.Past, since int64) {
	for _, b := range batches {
		restored := false
		_, err := s.inRoom(name, func(r *room.Room, now, _ int64) (_ bool, err error) {
			age := max(0, time.Now().UnixMilli()-b.Sealed)
			restored, err = r.Restore(b.Heard, now-age*1e6, b.Sealed)
			return false, err
		})
		if err != nil || !restored {
			since = time.Now().UnixMilli() // it may not have been heard before
			break
		}
	}
	s.inRoom(name, func(r *room.Room, _, _ int64) (bool, error) { // there may be no place for it: then nobody gets in either
		r.SetWhole(since)
		r.SetElsewhere(s.nodes.Elsewhere(name))
		return false, nil
	})
}

// roomReady reports whether a room may be entered: what is said in it on other nodes is
// heard. Any goroutine.
func (s *Server) roomReady(name string) bool {
	if s.nodes == nil || !s.nodes.Up() {
		return true
	}
	r := s.hub.Find(name)
	return r != nil && r.Whole() != 0
}

// prepareRoom has a room that is not ready get it, for somebody who does not wait.
func (s *Server) prepareRoom(name string) {
	if !s.roomReady(name) {
		s.nodes.Prepare(name, func() {})
	}
}

// awaitRoom has who wants to enter a room wait, as while the site is asked about it,
// until the room is ready. The error is errAsked, or refuses the upgrade; nil lets it
// go on.
func (h *handler) awaitRoom(s poller.Slot, name string, who *person, head, rest []byte) error {
	if h.server.roomReady(name) {
		return nil
	}
	if err := h.keepHead(s, head, rest); err != nil {
		return err
	}
	at := h.loop.Handle(s)
	h.asked[s] = &asking{who: who, room: name, head: len(head)}
	h.loop.PauseRead(s, true)
	// Should the inbox be full the clock of the handshake ends it.
	h.server.nodes.Prepare(name, func() { h.loop.Post(func() { h.roomPrepared(at) }) })
	return errAsked
}

// keepHead keeps a request's head, and what came behind it, until there is an answer.
func (h *handler) keepHead(s poller.Slot, head, rest []byte) error {
	k := h.partial(s)
	k.add(head)
	k.add(rest)
	if !h.charge(s) {
		return &refusedEntry{wsproto.Refusal{Status: 503, Message: "too many unfinished requests; try again later", Header: []string{"Retry-After: 5"}}, reasonPartialFull}
	}
	return nil
}

// roomPrepared goes on with a viewer's handshake, unless it has left.
func (h *handler) roomPrepared(at poller.Handle) {
	s, ok := h.loop.Resolve(at)
	if !ok || h.asked[s] == nil {
		return
	}
	defer h.closePanicked(s)
	h.out = h.out[:0]
	q, head, rest := h.takeUp(s)
	h.letIn(s, head, rest, entrant{who: q.who, prepared: true})
	h.flushReplies(s)
}

// closePanicked closes the connection that a posted call is about, if that panics: the
// loop knows of none. Deferred.
func (h *handler) closePanicked(s poller.Slot) {
	if v := recover(); v != nil {
		h.loop.Close(s, poller.ReasonPanic)
		panic(v)
	}
}
