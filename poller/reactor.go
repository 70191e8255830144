package poller

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
)

// A Reactor is an acceptor and its loops.
type Reactor struct {
	// Fixed after construction.
	loops    []*Loop
	acceptor *acceptor
	census   *census

	// Guarded by mu.
	mu      sync.Mutex
	started bool
	stopped bool

	running sync.WaitGroup // goroutines of the loops
}

// A census counts the connections of all loops against their limit. Any
// goroutine.
type census struct {
	limit atomic.Int64
	count atomic.Int64
}

// take reports whether there is room for one more, and counts it.
func (c *census) take() bool {
	if c.count.Add(1) > c.limit.Load() {
		c.count.Add(-1)
		return false
	}
	return true
}

func (c *census) release() { c.count.Add(-1) }

// New opens the listeners and one kernel poller per loop, and starts no
// goroutine. After an error nothing is left open.
func New(c Config) (*Reactor, error) {
	if err := c.complete(); err != nil {
		return nil, fmt.Errorf("poller: %w", err)
	}
	r := &Reactor{census: new(census)}
	r.census.limit.Store(int64(c.MaxConnections))
	a, err := newAcceptor(&c)
	if err != nil {
		return nil, fmt.Errorf("poller: %w", err)
	}
	r.acceptor = a
	for i := range c.Loops {
		k, err := newKernel()
		if err != nil {
			r.Stop()
			return nil, fmt.Errorf("poller: loop %d: %w", i, err)
		}
		r.loops = append(r.loops, newLoop(i, k, &c, r.census))
	}
	a.loops = r.loops
	return r, nil
}

// complete puts in the defaults.
func (c *Config) complete() error {
	if c.NewHandler == nil {
		return errors.New("Config.NewHandler is required")
	}
	if c.Loops == 0 {
		c.Loops = min(runtime.GOMAXPROCS(0), maxLoops)
	}
	if c.Loops < 1 || c.Loops > maxLoops {
		return fmt.Errorf("%d loops; 1 to %d are possible", c.Loops, maxLoops)
	}
	if c.MaxConnections < 0 || c.AcceptRate < 0 || c.Backlog < 0 || c.ReceiveBuffer < 0 || c.InboxLimit < 0 {
		return errors.New("a limit is negative")
	}
	if c.MaxConnections == 0 {
		soft, err := noFile()
		if err != nil {
			return err
		}
		c.MaxConnections = int(min(max(soft, fileReserve+1)-fileReserve, maxSlots))
	}
	defaults(&c.Backlog, backlogMax)
	defaults(&c.ReceiveBuffer, receiveBufferDefault)
	defaults(&c.InboxLimit, inboxLimitDefault)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

func defaults(v *int, value int) {
	if *v == 0 {
		*v = value
	}
}

// Start starts the loops, then the acceptor. Once only; after Stop it does
// nothing.
func (r *Reactor) Start() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.started || r.stopped {
		return
	}
	r.started = true
	for _, l := range r.loops {
		r.running.Go(l.runLoop)
	}
	r.acceptor.start()
}

// Addrs returns the addresses that are listened on, in the order of
// Config.Listen, then Config.Inherited, then Config.ListenOther, with the real ports. Any goroutine.
func (r *Reactor) Addrs() []net.Addr {
	addrs := make([]net.Addr, len(r.acceptor.listeners))
	for i, ln := range r.acceptor.listeners {
		addrs[i] = ln.addr
	}
	return addrs
}

// Loops returns the loops, by index. The slice is not to be changed. Any
// goroutine.
func (r *Reactor) Loops() []*Loop { return r.loops }

// Connections returns how many there are now on all loops. Any goroutine.
func (r *Reactor) Connections() int { return int(r.census.count.Load()) }

// SetMaxConnections changes Config.MaxConnections, to n of at least 1. Connections
// beyond a lower limit stay. Any goroutine.
func (r *Reactor) SetMaxConnections(n int) { r.census.limit.Store(int64(n)) }

// SetAcceptRate changes Config.AcceptRate from the acceptor's next turn on. Any
// goroutine.
func (r *Reactor) SetAcceptRate(rate float64) { r.acceptor.setRate(rate) }

// CloseListeners ends accepting. Connections that wait in the backlog are
// accepted first, since closing would reset them. It returns when the listeners
// are closed. Any goroutine but those of the loops; calling again does nothing.
func (r *Reactor) CloseListeners() { r.acceptor.stop() }

// Stop closes the listeners and every connection left, with ReasonShutdown, and
// returns when all goroutines have ended and all fds are freed. Any goroutine
// but those of the loops; calling again does nothing.
func (r *Reactor) Stop() {
	r.CloseListeners()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return
	}
	r.stopped = true
	for _, l := range r.loops {
		l.stop()
	}
	r.running.Wait()
	for _, l := range r.loops {
		l.free()
	}
}
