package poller

import (
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// An acceptor is one goroutine with a poller for the listeners. It gives each
// connection to the loop that has the fewest. What it may not give, it refuses.
type acceptor struct {
	// Fixed after construction.
	kernel    kernel
	listeners []*listener
	loops     []*Loop
	reply     []byte
	shared    bool // other processes may listen on the same ports

	// Owned by the acceptor goroutine.
	events   []event
	now      int64
	bucket   bucket
	refusals bucket        // of connections for which there is no place
	resumeAt int64         // accepting is paused until then; 0 = it is not
	penalty  time.Duration // the last pause after a failure; 0 = accepting works
	reserve  int           // an fd to be spent when there is no other; -1 = gone
	linger   lingerers
	log      limitedLog

	// Guarded by mu.
	mu      sync.Mutex
	started bool
	stopped bool

	// Atomic; any goroutine.
	stopping atomic.Bool
	rate     atomic.Uint64 // bits of the accept rate asked for; bucket follows
	counters acceptCounters

	done chan struct{} // closed when the goroutine has ended
}

func newAcceptor(c *Config) (*acceptor, error) {
	k, err := newKernel()
	if err != nil {
		return nil, err
	}
	a := &acceptor{
		kernel:  k,
		reply:   c.RefuseReply,
		shared:  c.ReusePort,
		events:  make([]event, eventBatch),
		bucket:  newBucket(c.AcceptRate),
		reserve: -1,
		log:     limitedLog{log: c.Log.With(slog.String("part", "acceptor"))},
		done:    make(chan struct{}),

		refusals: newBucket(refuseRate),
	}
	a.rate.Store(math.Float64bits(c.AcceptRate))
	a.refillReserve()
	if err := a.open(c); err != nil {
		a.stop()
		return nil, err
	}
	return a, nil
}

// open opens the listeners. After an error those that it opened are there.
func (a *acceptor) open(c *Config) error {
	for _, address := range c.Listen {
		ln, err := listen(address, c)
		if err != nil {
			return fmt.Errorf("listen on %q: %w", address, err)
		}
		a.listeners = append(a.listeners, ln)
	}
	for _, f := range c.Inherited {
		ln, err := inherit(f)
		if err != nil {
			return fmt.Errorf("inherited file %q: %w", f.Name(), err)
		}
		a.listeners = append(a.listeners, ln)
	}
	for _, address := range c.ListenOther {
		ln, err := listen(address, c)
		if err != nil {
			return fmt.Errorf("listen on %q: %w", address, err)
		}
		ln.other = true
		a.listeners = append(a.listeners, ln)
	}
	for i, ln := range a.listeners {
		if errno := a.kernel.add(ln.fd, token{Slot(i), 1}, wantRead); errno != 0 {
			return fmt.Errorf("listen on %v: %w", ln.addr, errno)
		}
	}
	return nil
}

func (a *acceptor) start() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.stopped {
		a.started = true
		go a.runAcceptor()
	}
}

// stop ends accepting, see [Reactor.CloseListeners].
func (a *acceptor) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped {
		return
	}
	a.stopped = true
	if a.started {
		a.stopping.Store(true)
		a.kernel.wake()
		<-a.done
	}
	for _, ln := range a.listeners {
		ln.close()
	}
	if a.reserve >= 0 {
		a.kernel.closeFD(a.reserve)
	}
	a.linger.expire(a.kernel, maxTime)
	a.kernel.close()
}

// runAcceptor is the goroutine.
func (a *acceptor) runAcceptor() {
	defer close(a.done)
	for !a.stopping.Load() {
		a.turn()
	}
	a.drainBacklogs()
}

func (a *acceptor) turn() {
	n, errno := a.kernel.wait(a.events, a.sleep())
	a.counters.waits.Add(1)
	if errno != 0 && errno != unix.EINTR {
		panic(fmt.Sprintf("poller: acceptor: wait: %v", errno))
	}
	a.now = monotonic()
	a.linger.expire(a.kernel, a.now)
	a.takeRate()
	a.resume()
	for _, e := range a.events[:n] {
		a.acceptSome(a.listeners[e.slot])
	}
	if n == 0 && a.shared {
		for _, ln := range a.listeners {
			a.acceptSome(ln)
		}
	}
}

// acceptSome takes a batch of what waits in one listener.
func (a *acceptor) acceptSome(ln *listener) {
	for range acceptBatch {
		if a.resumeAt != 0 || !a.acceptOne(ln) {
			return
		}
	}
}

// setRate changes the rate of the bucket. It wakes the acceptor, which may be in
// a pause that the old rate has set. Any goroutine.
func (a *acceptor) setRate(rate float64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.rate.Swap(math.Float64bits(rate)) != math.Float64bits(rate) && a.started && !a.stopped {
		a.kernel.wake()
	}
}

// takeRate makes the rate that was asked for the bucket's. What it had saved is
// not given away again.
func (a *acceptor) takeRate() {
	rate := math.Float64frombits(a.rate.Load())
	if rate == a.bucket.rate {
		return
	}
	a.bucket = newBucket(rate)
	a.bucket.tokens, a.bucket.filled = 1, a.now
	if a.resumeAt != 0 && a.penalty == 0 {
		a.resumeAt = a.now // the pause was the old rate's
	}
}

// sleep returns how long the next wait may last: negative is for ever.
func (a *acceptor) sleep() time.Duration {
	until := a.linger.next()
	if a.resumeAt != 0 {
		until = min(until, a.resumeAt)
	}
	if a.shared {
		until = min(until, monotonic()+int64(sharedLook))
	}
	if until == maxTime {
		return -1
	}
	return max(0, time.Duration(until-monotonic()))
}

// acceptOne reports whether it is worth trying again at once.
func (a *acceptor) acceptOne(ln *listener) bool {
	if !a.bucket.take(a.now) {
		a.pause(max(ratePause, a.bucket.interval()))
		return false
	}
	fd, errno := a.kernel.accept(ln.fd)
	switch errno {
	case 0:
		a.penalty = 0
		a.place(fd, ln)
		return true
	case unix.EINTR:
		a.bucket.giveBack()
		return true
	case unix.EAGAIN:
		a.bucket.giveBack()
		return false
	}
	a.counters.errors.Add(1)
	switch errno {
	case unix.ECONNABORTED, unix.EPERM, unix.EPROTO:
		return true // the fault of that one connection
	case unix.EMFILE, unix.ENFILE:
		a.spendReserve(ln)
	}
	a.log.warn(a.now, "accepting pauses", "error", errno)
	a.penalty = min(max(acceptPauseMin, 2*a.penalty), acceptPauseMax)
	a.pause(a.penalty)
	return false
}

// place gives fd, which came from ln, to the least loaded loop.
func (a *acceptor) place(fd int, ln *listener) {
	least := a.loops[0]
	for _, l := range a.loops[1:] {
		if l.load.Load() < least.load.Load() {
			least = l
		}
	}
	if least.adoptFor(fd, least.openedBy(ln)) {
		a.counters.accepted.Add(1)
		return
	}
	a.counters.refusedLimit.Add(1)
	a.log.warn(a.now, "connection refused", "limit", least.census.limit.Load())
	a.refuse(fd, ln)
	if a.linger.push(a.kernel, fd, a.now) {
		a.counters.lingersCut.Add(1)
	}
	if !a.refusals.take(a.now) {
		a.pause(ratePause)
	}
}

// refuse answers and ends the sending direction.
func (a *acceptor) refuse(fd int, ln *listener) {
	if len(a.reply) > 0 && !ln.other {
		a.kernel.write(fd, a.reply) // an empty send buffer takes it, or the peer is gone
	}
	a.kernel.shutdownWrite(fd)
}

// spendReserve answers connections that wait although there is no fd for them:
// the reserve is closed, its number serves one connection after the other, and
// is taken back. A short batch, since a pause follows and then the next one.
func (a *acceptor) spendReserve(ln *listener) {
	if a.reserve < 0 {
		a.refillReserve()
	}
	if a.reserve < 0 {
		return
	}
	a.kernel.closeFD(a.reserve)
	a.reserve = -1
	for range acceptBatch {
		fd, errno := a.kernel.accept(ln.fd)
		if errno != 0 {
			break
		}
		a.counters.refusedFiles.Add(1)
		a.refuse(fd, ln)
		discard(a.kernel, fd)
	}
	a.refillReserve()
}

func (a *acceptor) refillReserve() {
	fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		a.reserve = fd
	}
}

// pause stops accepting for d; backlogs fill meanwhile.
func (a *acceptor) pause(d time.Duration) {
	a.counters.paused.Add(1)
	if a.resumeAt == 0 {
		a.interest(wantRead, 0)
	}
	a.resumeAt = a.now + int64(d)
}

// resume ends a pause that is over.
func (a *acceptor) resume() {
	if a.resumeAt != 0 && a.now >= a.resumeAt {
		a.resumeAt = 0
		a.interest(0, wantRead)
	}
}

func (a *acceptor) interest(was, want interest) {
	for i, ln := range a.listeners {
		if errno := a.kernel.modify(ln.fd, token{Slot(i), 1}, was, want); errno != 0 {
			panic(fmt.Sprintf("poller: acceptor: interest %d in %v: %v", want, ln.addr, errno))
		}
	}
}

// drainBacklogs accepts what waits, whatever the rate, so that closing the
// listeners resets nobody who had come in time.
func (a *acceptor) drainBacklogs() {
	a.now = monotonic()
	a.bucket = newBucket(0)
	for _, ln := range a.listeners {
		if ln.inherited {
			continue // what waits there waits for whoever else has the socket
		}
		for range backlogMax {
			if !a.acceptOne(ln) {
				break
			}
		}
	}
}

// A bucket limits a rate. It has one token more every 1/rate seconds, and room
// for a tenth of a second of them.
type bucket struct {
	rate, burst, tokens float64 // rate 0 = no limit
	filled              int64   // when tokens was right, as monotonic
}

func newBucket(rate float64) bucket {
	burst := max(1, rate/10)
	return bucket{rate: rate, burst: burst, tokens: burst, filled: monotonic()}
}

func (b *bucket) take(now int64) bool {
	if b.rate == 0 {
		return true
	}
	b.tokens = min(b.burst, b.tokens+b.rate*time.Duration(now-b.filled).Seconds())
	b.filled = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// giveBack returns a token that was not used.
func (b *bucket) giveBack() { b.tokens = min(b.burst, b.tokens+1) }

// interval returns the time in which one token comes.
func (b *bucket) interval() time.Duration { return time.Duration(float64(time.Second) / b.rate) }
