package poller

import (
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A Loop is one goroutine, one kernel poller, the columns of the connections it
// has adopted, one inbox and one receive buffer. Its methods are for its own
// goroutine, that is, for calls from its [Handler] and from posted functions,
// unless they say otherwise.
type Loop struct {
	// Fixed after construction.
	index   int
	kernel  kernel
	handler Handler
	socket  SocketOptions
	census  *census

	// Owned by the loop goroutine.
	columns  columns
	buffer   []byte // what read fills, for one Data
	events   []event
	batch    []message // messages being run
	nextItem int       // of events or batch: how far the walk has come
	broken   []Slot    // refused by the kernel when their interest changed; reap closes them
	current  Slot      // the connection a handler call is about, or noSlot
	more     bool      // Handler.Turn has more to do
	now      int64     // monotonic nanoseconds
	wall     int64     // unix milliseconds
	sweepAt  int64     // when the next sweep is due, as now
	worked   int64     // when there was last something to do, as now
	yielded  int64     // when others were last let run, as now
	busyFrom int64     // up to when the time is counted as busy or slept, as now
	log      limitedLog
	verify   verifier

	// Atomic; any goroutine.
	inbox    inbox
	asleep   atomic.Bool // in a wait that a wake must end
	stopping atomic.Bool
	rousing  atomic.Int32 // goroutines between reading asleep and having woken
	load     atomic.Int64 // connections, those in the inbox included
	turned   atomic.Int64 // when the last turn began, as now
	waited   atomic.Int64 // how long the oldest message of that turn had waited then, ns
	counters loopCounters
}

func newLoop(index int, k kernel, c *Config, shared *census) *Loop {
	l := &Loop{
		index:   index,
		kernel:  k,
		socket:  c.Socket,
		census:  shared,
		columns: newColumns(),
		buffer:  make([]byte, c.ReceiveBuffer),
		events:  make([]event, eventBatch),
		current: noSlot,
		log:     limitedLog{log: c.Log.With(slog.Int("loop", index))},
		inbox:   inbox{limit: c.InboxLimit},
	}
	l.readClock()
	l.turned.Store(l.now)
	l.busyFrom = l.now
	l.sweepAt = l.now + int64(sweepEvery)
	l.worked = l.now - int64(napWithin)
	l.handler = c.NewHandler(l)
	return l
}

// runLoop is the goroutine.
func (l *Loop) runLoop() {
	for !l.stopping.Load() {
		l.turn()
		l.yield()
	}
	l.shut()
}

// yield gives others a chance to run on this processor, every few milliseconds.
// The runtime's monitor takes a goroutine that was not scheduled anew for 10 ms for
// one that hogs its processor, and polls every 20 µs from then on: for loops that
// sleep often and shortly that was a quarter of all their work. More often than
// needed is no good either: each yield wakes another thread, which may take the
// loop over.
func (l *Loop) yield() {
	if l.now-l.yielded >= int64(yieldEvery) {
		l.yielded = l.now
		runtime.Gosched()
	}
}

// turn is everything a loop does, once.
func (l *Loop) turn() {
	l.verify.enter()
	n := l.wait()
	if n > 0 || l.more || !l.inbox.empty() {
		l.worked = l.now
	}
	l.walkEvents(l.events[:n])
	l.walkInbox()
	l.runTurn()
	l.runSweep()
	l.reap()
	l.verify.turn(l)
}

// wait returns the number of events found.
func (l *Loop) wait() int {
	timeout := l.prepareSleep()
	if timeout > 0 { // the clock is read once more only before a sleep
		l.wasBusy(monotonic())
	}
	n, errno := l.kernel.wait(l.events, timeout)
	l.readClock()
	if timeout == 0 {
		l.wasBusy(l.now)
	}
	l.busyFrom = l.now
	l.turned.Store(l.now)
	l.asleep.Store(false) // last: awake, a loop lags by the time since turned
	l.counters.waits.Add(1)
	if errno != 0 && errno != unix.EINTR {
		panic(fmt.Sprintf("poller: loop %d: wait: %v", l.index, errno))
	}
	return n
}

// wasBusy counts the time up to now as busy.
func (l *Loop) wasBusy(now int64) { l.counters.busy.Add(now - l.busyFrom) }

// prepareSleep returns how long the coming wait may last. Whoever posts puts the
// message in first and reads asleep after; here asleep is set first and the inbox
// read after. So one of the two sees the other, and no wake is ever missed.
func (l *Loop) prepareSleep() time.Duration {
	left := time.Duration(l.sweepAt - l.now)
	if l.more || left <= 0 {
		return 0
	}
	if l.now-l.worked < int64(napWithin) {
		left = min(left, napMost)
	}
	l.asleep.Store(true)
	if !l.inbox.empty() || l.stopping.Load() {
		l.asleep.Store(false)
		return 0
	}
	return left
}

func (l *Loop) readClock() {
	t := time.Now()
	l.now, l.wall = int64(t.Sub(processStart)), t.UnixMilli()
}

// walkEvents runs all events. A walk that a panic ended is taken up behind the
// event that caused it: one deferred call a walk, not one an event.
func (l *Loop) walkEvents(events []event) {
	for l.nextItem = 0; l.nextItem < len(events); {
		l.walkEventsGuarded(events)
	}
}

func (l *Loop) walkEventsGuarded(events []event) {
	defer l.recovered()
	for l.nextItem < len(events) {
		e := events[l.nextItem]
		l.nextItem++
		l.handleEvent(e)
	}
	l.current = noSlot
}

// handleEvent reads before it writes, so that an answer to what was read and the
// rest that waited for room leave in one call of the handler; and before it
// closes, since a peer may have hung up right behind its last words.
func (l *Loop) handleEvent(e event) {
	c := l.columns.find(e.token)
	if c == nil {
		l.counters.staleEvents.Add(1)
		return
	}
	l.current = e.slot
	over := e.ready&hungUp != 0
	switch {
	case c.wanted()&wantRead != 0 && e.ready&(canRead|hungUp) != 0:
		l.read(e.slot, c, over)
	case over:
		// Nothing will be read, nothing can be written, and the kernel would
		// report it for ever.
		if c.flags&flagEnded == 0 {
			c.flags |= flagEnded
			l.handler.HalfClosed(e.slot)
		}
		l.Close(e.slot, ReasonPeerClosed)
	}
	if e.ready&canWrite != 0 && c.state == open && c.flags&flagWantWrite != 0 {
		l.handler.Writable(e.slot)
	}
}

// read is one read for one event, however much there is: the rest is reported
// again, after everyone else had a turn.
func (l *Loop) read(s Slot, c *column, over bool) {
	n, errno := l.kernel.read(int(c.fd), l.buffer)
	for errno == unix.EINTR {
		n, errno = l.kernel.read(int(c.fd), l.buffer)
	}
	l.counters.reads.Add(1)
	switch {
	case errno == 0 && n > 0:
		l.counters.bytesRead.Add(uint64(n))
		c.lastRead = l.Seconds()
		l.handler.Data(s, l.buffer[:n:n])
	case errno == 0:
		c.flags |= flagEnded
		l.handler.HalfClosed(s)
		l.rearm(s, c)
	case errno != unix.EAGAIN:
		l.Close(s, reasonOf(errno, ReasonReadError))
	case over:
		// The error was taken by a write meanwhile; the hang-up stays.
		l.Close(s, ReasonPeerReset)
	}
}

func (l *Loop) walkInbox() {
	var since int64
	l.batch, since = l.inbox.take()
	if l.batch == nil {
		if l.waited.Load() != 0 {
			l.waited.Store(0)
		}
		return
	}
	l.waited.Store(max(0, l.now-since))
	for l.nextItem = 0; l.nextItem < len(l.batch); {
		l.walkInboxGuarded()
	}
	l.inbox.recycle(l.batch)
	l.batch = nil
}

func (l *Loop) walkInboxGuarded() {
	defer l.recovered()
	for l.nextItem < len(l.batch) {
		m := l.batch[l.nextItem]
		l.nextItem++
		if m.call != nil {
			l.current = noSlot
			m.call()
		} else {
			l.adopt(m.fd, m.opened)
			if s := l.current; m.data != nil && s != noSlot && l.Open(s) {
				l.handler.Data(s, m.data)
			}
		}
	}
	l.current = noSlot
}

// adopt makes fd a connection of this loop; opened is nil for Handler.Opened.
func (l *Loop) adopt(fd int, opened func(Slot)) {
	l.current = noSlot
	s, c, ok := l.columns.take(fd)
	if !ok {
		l.kernel.closeFD(fd)
		l.release()
		return
	}
	l.current = s
	c.armed = c.wanted()
	c.lastRead, c.lastWrite = l.Seconds(), l.Seconds()
	if errno := l.kernel.add(fd, token{s, c.generation}, c.armed); errno != 0 {
		l.counters.pollErrors.Add(1)
		l.log.warn(l.now, "socket not registered", "error", errno)
		if errno == unix.EEXIST {
			c.fd = noFD // adopted twice: the other slot has it, and goes on
		}
		l.columns.kill(s) // never opened, so never Closed; reap closes the fd
		return
	}
	l.counters.adopted.Add(1)
	if opened != nil {
		opened(s)
	} else {
		l.handler.Opened(s)
	}
}

func (l *Loop) runTurn() {
	defer l.recovered()
	l.more = false // also if Turn panics: it is called again next turn anyway
	l.more = l.handler.Turn()
}

func (l *Loop) runSweep() {
	if l.now < l.sweepAt {
		return
	}
	defer l.recovered()
	l.sweepAt = l.now + int64(sweepEvery)
	l.columns.trim()
	l.handler.Sweep()
}

// reap closes what was decided to be closed. Nothing that runs after it in this
// turn knows an fd or a token.
func (l *Loop) reap() {
	for i := 0; i < len(l.broken); i++ {
		l.closeGuarded(l.broken[i], ReasonPollError)
	}
	l.broken = l.broken[:0]
	for {
		fd, ok := l.columns.release()
		if !ok {
			return
		}
		if fd >= 0 {
			// Closing alone would do, unless someone holds a duplicate. What
			// remove answers is of no use: the fd goes either way.
			l.kernel.remove(fd)
			l.kernel.closeFD(fd)
		}
		l.load.Add(-1)
		if fd != movedFD {
			l.census.release()
		}
	}
}

// shut is what a loop does last. What Post and Adopt have accepted is still run
// and opened, so that nobody waits for ever and every socket is closed one way.
func (l *Loop) shut() {
	l.stopGuarded()
	l.inbox.close()
	l.readClock()
	l.walkInbox()
	for s := Slot(0); s < l.columns.high; s++ {
		l.closeGuarded(s, ReasonShutdown)
	}
	l.reap()
	l.verify.turn(l)
}

func (l *Loop) stopGuarded() {
	defer l.recovered()
	l.handler.Stopping()
}

func (l *Loop) closeGuarded(s Slot, r Reason) {
	defer l.recovered()
	l.Close(s, r)
}

// recovered is deferred around every call of the handler.
func (l *Loop) recovered() {
	v := recover()
	if v == nil {
		return
	}
	l.counters.panics.Add(1)
	l.log.warn(l.now, "handler panicked", "panic", v, "stack", string(debug.Stack()))
	if s := l.current; s != noSlot {
		l.current = noSlot // if Closed panics too, that ends it
		l.closeGuarded(s, ReasonPanic)
	}
}

// Post runs f on the loop's goroutine, after the events of its next turn; calls
// of one goroutine in order. It reports false, and does nothing, when InboxLimit
// calls wait already (counted) or the loop has stopped. A loop that is awake is
// not woken, so that posting to a busy one makes no system call. Any goroutine.
func (l *Loop) Post(f func()) bool {
	switch l.inbox.put(message{call: f}) {
	case putDone:
		l.rouse()
		return true
	case putFull:
		l.counters.inboxFull.Add(1)
	}
	return false
}

// Adopt hands a connected, non-blocking, close-on-exec socket to the loop, which
// owns it from now on and calls Handler.Opened soon. It sets the socket options
// of the Config. It reports false, and leaves fd to the caller, when there are
// MaxConnections already or the loop has stopped. Any goroutine.
func (l *Loop) Adopt(fd int) bool { return l.adoptFor(fd, nil) }

// openedBy is what is called for a connection that ln accepted; nil = Handler.Opened.
func (l *Loop) openedBy(ln *listener) func(Slot) {
	if !ln.other {
		return nil
	}
	return l.handler.(OtherHandler).OpenedOther
}

// adoptFor is Adopt with what is called in place of Handler.Opened, if not nil.
func (l *Loop) adoptFor(fd int, opened func(Slot)) bool {
	if !l.census.take() {
		return false
	}
	l.load.Add(1)
	tune(fd, l.socket)
	if l.inbox.put(message{fd: fd, opened: opened}) != putDone {
		l.release()
		return false
	}
	l.rouse()
	return true
}

// release ends the count of a connection.
func (l *Loop) release() {
	l.load.Add(-1)
	l.census.release()
}

// rouse wakes the loop if it sleeps.
func (l *Loop) rouse() {
	if !l.asleep.Load() {
		return
	}
	// Stop waits for rousing to be zero before it frees the kernel: a late wake
	// would write into whatever has got its fd number since.
	l.rousing.Add(1)
	l.turned.Store(monotonic()) // the sleep that ends here was no lag
	if l.asleep.CompareAndSwap(true, false) {
		l.counters.wakes.Add(1)
		l.kernel.wake()
	}
	l.rousing.Add(-1)
}

// stop asks the loop to end. Any goroutine.
func (l *Loop) stop() {
	l.stopping.Store(true)
	l.rouse()
}

// free gives back the kernel, and what was handed to a loop that never ran. Call
// it when the goroutine has ended or was never started.
func (l *Loop) free() {
	l.inbox.close()
	left, _ := l.inbox.take()
	for _, m := range left {
		if m.call == nil {
			l.kernel.closeFD(m.fd)
			l.release()
		}
	}
	for l.rousing.Load() != 0 {
		runtime.Gosched()
	}
	l.kernel.close()
}

// Index returns the loop's place in [Reactor.Loops]. Any goroutine.
func (l *Loop) Index() int { return l.index }

// Now returns nanoseconds since the process started, monotonic, as read once at
// the start of the turn.
func (l *Loop) Now() int64 { return l.now }

// LastTurn returns when the loop began its last turn, or was woken for the next one,
// on the clock of [Now]. A loop that sleeps begins one every second, so an older time means that it is in
// the middle of a turn that takes long. Any goroutine.
func (l *Loop) LastTurn() int64 { return l.turned.Load() }

// Lag returns how far behind the loop is at now, on the clock of [Now]: how long
// the oldest thing it has at hand has been waiting, in nanoseconds. A loop that
// sleeps has nothing at hand. Any goroutine.
func (l *Loop) Lag(now int64) int64 {
	if l.asleep.Load() {
		return 0
	}
	return max(0, now-l.turned.Load()+l.waited.Load())
}

// Wall returns the same instant in unix milliseconds. It follows changes of the
// wall clock.
func (l *Loop) Wall() int64 { return l.wall }

// Seconds returns Now in whole seconds, the clock of LastRead and LastWrite.
func (l *Loop) Seconds() uint32 { return uint32(l.now / int64(time.Second)) }

// RemoteAddr returns the peer's address, the zero value for a unix socket or a
// slot that is not open.
func (l *Loop) RemoteAddr(s Slot) netip.AddrPort {
	l.verify.owner()
	if c := l.columns.at(s); c.state == open {
		return remoteAddr(int(c.fd))
	}
	return netip.AddrPort{}
}
