// Package server is one danmakud: the reactor, the rooms, a session for each
// viewer, and their assembly.
//
//	poller.Reactor ── one handler per loop ── room.Shard
//	      │ Data            │ command              ▲ Deliver
//	      │                 ▼                      │
//	      │            room.Publish ── Seal ── Server.post (all loops with members)
//	      │                 │ tick not over        ▲
//	      │                 └────────► sealer ─────┘
//	      └─ Detach: plain HTTP ► publicHTTP (net/http)
//
// Start reading in handler.go: it has every entry of the loop.
package server

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/admin"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/archive"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/cluster"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/doctor"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/dplayer"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/moderation"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/token"
	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/room"
	"github.com/danmakud/danmakud/wsproto"
)

// spareProcs is how many processors the Go scheduler gets besides one for each
// loop. While none is idle the runtime takes a loop's processor away as soon as
// the loop sleeps, polls every 20 µs to see to that, and the loop has to queue for
// it when it wakes: with two loops on two cores that doubled the cost of a
// delivery in small rooms. Two, since the sealer and the collector may take one.
const spareProcs = 2

// otherFiles is what is kept for listeners, pollers, the control listener's
// connections and the log.
const otherFiles = 128 + archive.OpenFiles

// spoolMax bounds the memory of large frames in bytes. What finds no place is sent
// the other way.
const spoolMax = 64 << 20

// Server is a running danmakud.
type Server struct {
	// Fixed after construction.
	log       *slog.Logger
	options   Options
	started   time.Time
	openFiles int // RLIMIT_NOFILE
	hub       *room.Hub
	reactor   *poller.Reactor
	spool     *poller.Spool // nil = the system has none
	handlers  []*handler    // by loop
	sealer    *sealer
	public    *publicHTTP
	metrics   *metrics
	behind    *behind
	callback  *callback
	nodes     *cluster.Node // nil = this one is by itself
	guestSeed uint64        // tells this node's guests from those of others, see viewerHash

	revocations *token.Revocations
	desk        *moderation.Desk
	chores      *errands         // what moderators do
	reviews     *errands         // comments the webhook is asked about
	archive     *archive.Archive // nil = none
	replay      *dplayer.Handler // nil = not served
	asks        chan func()      // for the goroutine of Run
	drains      chan string      // likewise: who asks for a drain
	leaving     chan struct{}    // closed when the server goes down

	reviewing  context.Context    // of the reviews under way
	endReviews context.CancelFunc // treats them as failed

	control         *http.Server // nil = no control listener
	controlListener net.Listener
	api             *admin.API // that control serves

	// Owned by the goroutine of Run.
	asked    config.Config // settings as the operator gave them, for the next reload
	service  *service
	watch    watch
	attended int64 // when attend was called last, on the loops' clock
	tidied   int64 // likewise, when moderation was last tidied up
	looked   int64 // when the files with keys were looked at last, likewise

	stats statsCache // of what dashboards ask for; it has its own lock

	// Atomic; any goroutine.
	rules        atomic.Pointer[rules]
	nextUID      atomic.Uint64
	partialBytes atomic.Int64 // held for unfinished heads and messages, all loops together
	draining     atomic.Bool
	told         atomic.Uint64 // viewers that the drain said goodbye to
	cutOff       atomic.Uint64 // of them, who had not taken it in time
	rejected     struct{ rooms, room, http, addresses, behind, banned atomic.Uint64 }
	refreshing   atomic.Bool   // files with keys are being looked at
	misforwarded atomic.Uint64 // X-Forwarded-For of trusted proxies that could not be read
	injected     atomic.Uint64 // comments published by the control plane
	settled      atomic.Uint64 // comments of viewers published after a review or a decision

	taps     taps
	settling sync.Mutex // changes of rooms' settings take turns; held while they are written

	tokenProblems []atomic.Uint64 // tokens refused, by place in token.Problems

	places addressTable // connections of each address; it has its own locks
}

// Run serves until ctx is done, then drains and returns. An error before the
// ports accept is one of configuration or of the system; an error after a drain
// tells that not all viewers went in time.
func Run(ctx context.Context, c config.Config, log *slog.Logger, o Options) error {
	s, err := newServer(ctx, c, log, o)
	if errors.Is(err, context.Canceled) {
		return nil // told to end before it began
	}
	if err != nil {
		return err
	}
	s.Start()
	return s.serve(ctx)
}

// serve is what Run does between Start and the end. It is the goroutine that looks
// after the loops, tells the service manager, reloads and drains.
func (s *Server) serve(ctx context.Context) error {
	s.service.ready(s.status())
	ticker := time.NewTicker(s.service.every())
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return s.Close()
		case <-s.options.Hangups:
			s.reload()
		case by := <-s.drains:
			s.log.Info("drain asked for", "by", by)
			return s.Close()
		case f := <-s.asks:
			f()
		case <-ticker.C:
			s.attend()
		}
	}
}

// Options are what a server gets besides its settings. The zero value is fine.
type Options struct {
	// Version and Commit say what the binary was built from.
	Version, Commit string
	// Hangups ask for the settings to be read again (SIGHUP), which Reread does.
	// Reread returns a valid configuration or an error.
	Hangups <-chan os.Signal
	Reread  func() (config.Config, error)
	// SetLevel is told the log level when it changes; nil if it cannot.
	SetLevel func(level string)
	// Inherited are listening sockets of whoever started the process. One named
	// "control" is for the control listener, the others are used in place of
	// Config.Listen. Their files are closed when the listeners are open.
	Inherited []*os.File
}

// New opens the listeners; nothing is accepted before Start.
func New(c config.Config, log *slog.Logger) (*Server, error) {
	return newServer(context.Background(), c, log, Options{})
}

// newServer is New with options. ctx ends it while it waits for the store of the
// process that it replaces.
func newServer(ctx context.Context, c config.Config, log *slog.Logger, o Options) (*Server, error) {
	sockets, err := sortInherited(o.Inherited)
	if err != nil {
		return nil, err
	}
	defer sockets.close()
	soft, hard, err := poller.RaiseNoFile()
	if err != nil {
		log.Warn("limit of open files stays as it is", "soft", soft, "hard", hard, "error", err)
	}
	s := &Server{
		log: log, options: o, service: newService(log), openFiles: int(min(soft, 1<<24)), asked: c,
		started: time.Now(),
		asks:    make(chan func()), drains: make(chan string, 1), leaving: make(chan struct{}),
	}
	s.places.seed = maphash.MakeSeed()
	s.revocations = token.NewRevocations(revocationsMost)
	s.tokenProblems = make([]atomic.Uint64, len(token.Problems()))
	if err := s.apply(&c); err != nil {
		return nil, err
	}
	doctor.LogFirst(log, doctor.ThisHost(), s.settings().MaxConnections)
	loops := c.Loops
	if loops == 0 {
		loops = runtime.GOMAXPROCS(0)
	}
	if want := loops + spareProcs; runtime.GOMAXPROCS(0) < want {
		runtime.GOMAXPROCS(want)
	}
	if s.desk, err = openDesk(ctx, &c, log); err != nil {
		return nil, err
	}
	s.chores = newErrands("moderation", choresAtOnce, choresMost, log)
	s.reviews = newErrands("review", reviewsAtOnce, reviewsMost, log)
	s.reviewing, s.endReviews = context.WithCancel(context.Background())
	if err := s.restoreRevocations(); err != nil {
		s.release()
		return nil, err
	}
	if err := s.openArchive(&c); err != nil {
		s.release()
		return nil, err
	}
	if err := s.joinCluster(ctx, &c); err != nil {
		s.release()
		return nil, err
	}
	s.sealer = newSealer(s)
	s.behind = newBehind(s)
	s.callback = newCallback(s)
	rooms := roomConfig(&c)
	rooms.Shards, rooms.Ring = loops, c.Ring
	rooms.Epoch, rooms.FirstID = strconv.FormatInt(s.started.UnixMilli(), 36), room.FirstID(s.started)
	rooms.Kick = s.sealer.wake
	rooms.SettingsOf, rooms.Encoders, rooms.Key = s.desk.Settings, s.encoders(), s.desk.Key
	if s.spool, err = poller.NewSpool(spoolMax); err == nil {
		rooms.Spool = spool{s.spool}
	} else {
		log.Info("large frames are copied for each viewer", "error", err)
	}
	s.clusterRoomConfig(&rooms)
	s.hub = room.NewHub(rooms)
	s.metrics = newMetrics(s)
	s.public = newPublicHTTP(s)
	if s.reactor, err = poller.New(s.pollerConfig(loops, sockets.public)); err != nil {
		s.closeSpool()
		s.release()
		return nil, err
	}
	if s.controlListener, err = s.listenControl(sockets.control); err != nil {
		s.reactor.Stop()
		s.closeSpool()
		s.release()
		return nil, fmt.Errorf("control listener: %w", err)
	}
	if s.controlListener != nil {
		s.control = s.controlServer()
	}
	return s, nil
}

func (s *Server) pollerConfig(loops int, inherited []*os.File) poller.Config {
	c := s.settings()
	listen := c.Listen
	if len(inherited) > 0 {
		listen = nil
	}
	busy := wsproto.Refusal{Status: 503, Message: "the server is full", Header: []string{"Retry-After: 5"}}
	return poller.Config{
		Listen: listen, ListenOther: c.PacketListen, Inherited: inherited, ReusePort: c.ReusePort, Loops: loops, MaxConnections: c.MaxConnections, AcceptRate: c.AcceptRate,
		RefuseReply: busy.AppendTo(nil),
		Socket: poller.SocketOptions{
			NoDelay: c.NoDelay, NotSentLowat: c.NotSentLowat,
			SendBuffer: c.SendBuffer, ReceiveBuffer: c.ReceiveBuffer, UserTimeout: c.UserTimeout,
		},
		NewHandler: func(l *poller.Loop) poller.Handler {
			h := newHandler(s, l)
			s.handlers = append(s.handlers, h)
			return h
		},
		Log: s.log,
	}
}

// Start begins to serve: the acceptor last, and then says that it is ready.
func (s *Server) Start() {
	s.service.start()
	go s.sealer.run()
	go s.public.run()
	control := "off"
	if s.control != nil {
		control = s.controlListener.Addr().String()
		go func() {
			if err := s.control.Serve(s.controlListener); !errors.Is(err, http.ErrServerClosed) && !s.draining.Load() {
				s.log.Error("control listener ended", "error", err)
			}
		}()
	}
	if s.nodes != nil {
		s.shareDecisions()
		s.answerNodes()
		s.nodes.Start(&shared{Server: s}, s.clusterStatus)
	}
	s.reactor.Start()
	var addresses []string
	for _, a := range s.reactor.Addrs() {
		addresses = append(addresses, a.String())
	}
	public := len(addresses) - len(s.settings().PacketListen)
	s.log.Info("ready", "listen", addresses[:public], "packets", addresses[public:], "control", control, "loops", len(s.handlers), "tick", s.settings().Tick.String())
}

// Close drains and stops everything. See Run for its error.
func (s *Server) Close() error {
	close(s.leaving)
	err := s.drain()
	s.shutDownControl()
	s.callback.close()
	s.endReviews()
	s.reviews.close()
	s.chores.close()
	s.sealer.close()
	if s.stopReactor() {
		s.closeSpool()
	}
	s.shutDownHTTP()
	s.behind.close()
	s.release()
	s.service.close()
	s.log.Info("stopped")
	return err
}

// release closes what is no viewer's and no listener's, when nothing uses it any more.
func (s *Server) release() {
	s.endReviews()
	if s.nodes != nil {
		s.nodes.Close()
	}
	s.closeArchive()
	if err := s.desk.Close(); err != nil {
		s.log.Error("moderation not closed", "error", err)
	}
}

func (s *Server) closeSpool() {
	if s.spool != nil {
		s.spool.Close()
	}
}

// now is the loops' clock.
func (s *Server) now() int64 { return poller.Now() }

// originPolicy allows pages of the host itself and those of the operator's list.
func originPolicy(allow []string) (func(origin, host string) bool, error) {
	if len(allow) == 0 {
		return wsproto.SameHost, nil
	}
	listed, err := wsproto.OriginPolicy(allow)
	if err != nil {
		return nil, err
	}
	return func(origin, host string) bool {
		return wsproto.SameHost(origin, host) || listed(origin, host)
	}, nil
}
