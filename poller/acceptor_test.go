package poller

import (
	"log/slog"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// newFakeAcceptor makes an acceptor whose turns the test makes by hand, with one
// listener and one loop on the same fake kernel.
func newFakeAcceptor(t *testing.T, k *fakeKernel, limit int64) *acceptor {
	l := newTestLoop(t, k, nil)
	l.census.limit.Store(limit)
	ln := &listener{fd: k.socket(), addr: &net.TCPAddr{}}
	k.add(ln.fd, token{0, 1}, wantRead)
	a := &acceptor{
		kernel:    k,
		listeners: []*listener{ln},
		loops:     []*Loop{l},
		reply:     []byte("full"),
		events:    make([]event, eventBatch),
		bucket:    newBucket(0),
		reserve:   -1,
		log:       limitedLog{log: slog.New(slog.DiscardHandler)},
	}
	a.refillReserve()
	t.Cleanup(func() {
		a.linger.expire(k, maxTime)
		k.closeFD(a.reserve)
		k.closeFD(ln.fd)
		l.walkInbox()
	})
	return a
}

// offer makes the next turn see the listener ready.
func (k *fakeKernel) offer(answers ...answer) {
	k.accepts = append(k.accepts, answers...)
	k.batches = append(k.batches, []event{{token{0, 1}, canRead}})
}

// conn is an accept that works.
func (k *fakeKernel) conn() answer { return answer{n: k.socket()} }

func TestAcceptErrorsOfOneConnection(t *testing.T) {
	k := newFake(t)
	a := newFakeAcceptor(t, k, 10)
	k.offer(answer{errno: unix.ECONNABORTED}, answer{errno: unix.EINTR}, answer{errno: unix.EPERM}, answer{errno: unix.EPROTO}, k.conn())
	a.turn()
	if a.counters.accepted.Load() != 1 || a.counters.errors.Load() != 3 || a.resumeAt != 0 {
		t.Errorf("accepted %d, errors %d, paused %v", a.counters.accepted.Load(), a.counters.errors.Load(), a.resumeAt != 0)
	}
}

func TestB12AcceptPausesAndDoubles(t *testing.T) {
	for _, errno := range []unix.Errno{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.EINVAL} {
		t.Run(errno.Error(), func(t *testing.T) {
			k := newFake(t)
			a := newFakeAcceptor(t, k, 10)
			interestNow := func() interest { return k.sockets[a.listeners[0].fd].want }
			for i, want := range []time.Duration{100, 200, 400, 800, 1000, 1000} {
				k.offer(answer{errno: errno}, answer{errno: unix.EAGAIN})
				k.accepts = k.accepts[:len(k.accepts)-1]
				a.turn()
				if got := time.Duration(a.resumeAt - a.now); got != want*time.Millisecond || interestNow() != 0 {
					t.Fatalf("pause %d: %v, interest %d", i, got, interestNow())
				}
				a.resumeAt = 1 // over
			}
			k.offer(k.conn())
			a.turn()
			if a.penalty != 0 || a.resumeAt != 0 || interestNow() != wantRead || a.counters.paused.Load() != 6 {
				t.Errorf("did not recover: penalty %v, interest %d, paused %d", a.penalty, interestNow(), a.counters.paused.Load())
			}
		})
	}
}

// While accepting is paused the acceptor sleeps, whatever waits.
func TestB12PausedAcceptorSleeps(t *testing.T) {
	k := newFake(t)
	a := newFakeAcceptor(t, k, 10)
	if a.sleep() >= 0 {
		t.Error("an idle acceptor does not sleep for ever")
	}
	k.offer(answer{errno: unix.ENOBUFS})
	a.turn()
	if d := a.sleep(); d <= 0 || d > acceptPauseMin {
		t.Errorf("sleeps %v", d)
	}
}

func TestB12ReserveAnswersWaiting(t *testing.T) {
	k := newFake(t)
	a := newFakeAcceptor(t, k, 10)
	was := a.reserve
	first, second := k.conn(), k.conn()
	k.sockets[first.n].reads = []answer{{text: "GET"}}
	k.offer(answer{errno: unix.EMFILE}, first, second)
	a.turn()
	if got := a.counters.refusedFiles.Load(); got != 2 || k.sockets[first.n] != nil || k.sockets[second.n] != nil {
		t.Errorf("%d refused", got)
	}
	if a.reserve < 0 || was < 0 {
		t.Error("reserve not taken back")
	}
}

// TestRefusalsArePaced: who comes back at once after each refusal, in any number, is not
// refused at any speed; it waits in the kernel. A place that became free is given all the
// same, to the first that is looked at.
func TestRefusalsArePaced(t *testing.T) {
	k := newFake(t)
	a := newFakeAcceptor(t, k, 1)
	k.offer(k.conn())
	a.turn() // the place is taken
	a.refusals = newBucket(refuseRate)
	a.refusals.rate = 1e-9 // no token comes while this test runs
	var many []answer
	for range refuseRate {
		many = append(many, k.conn())
	}
	k.offer(many...)
	for range refuseRate / acceptBatch * 2 {
		if a.turn(); a.resumeAt != 0 {
			break
		}
		k.offer()
	}
	if got, want := a.counters.refusedLimit.Load(), uint64(refuseRate/10+1); got != want || a.counters.paused.Load() != 1 || k.sockets[a.listeners[0].fd].want != 0 {
		t.Errorf("%d refused, want %d; %d pauses, interest %d", got, want, a.counters.paused.Load(), k.sockets[a.listeners[0].fd].want)
	}
	if d := a.sleep(); d <= 0 || d > ratePause {
		t.Errorf("sleeps %v", d)
	}
	a.loops[0].census.release()
	a.resumeAt = 1 // over
	k.offer()
	a.turn()
	if got := a.counters.accepted.Load(); got != 2 {
		t.Errorf("%d accepted, want 2", got)
	}
	for a.refusals = (bucket{}); len(k.accepts) > 0; a.turn() { // the others may go
		k.offer()
	}
}

func TestRefusedAboveLimit(t *testing.T) {
	k := newFake(t)
	a := newFakeAcceptor(t, k, 1)
	good, bad := k.conn(), k.conn()
	k.offer(good, bad)
	a.turn()
	s := k.sockets[bad.n]
	if string(s.written) != "full" || !s.shut || a.counters.refusedLimit.Load() != 1 || a.counters.accepted.Load() != 1 {
		t.Errorf("written %q, shut %v", s.written, s.shut)
	}
	if d := a.sleep(); d <= 0 || d > lingerTime {
		t.Errorf("sleeps %v with a refused connection to close", d)
	}
	for range lingerLimit { // pushes the first one out
		k.offer(k.conn())
		a.turn()
	}
	if k.sockets[bad.n] == s {
		t.Error("the oldest refused connection was kept above the limit")
	}
	if a.linger.count != lingerLimit {
		t.Errorf("%d linger", a.linger.count)
	}
	a.linger.expire(k, maxTime)
	if a.linger.count != 0 || a.linger.next() != maxTime || len(k.sockets) != 2 {
		t.Errorf("%d linger, %d sockets", a.linger.count, len(k.sockets))
	}
}

func TestAcceptRateBucket(t *testing.T) {
	b := newBucket(100)
	at := b.filled
	take := func(want bool) {
		t.Helper()
		if b.take(at) != want {
			t.Errorf("take is %v with %v tokens", !want, b.tokens)
		}
	}
	for range 10 { // the burst
		take(true)
	}
	take(false)
	at += int64(25 * time.Millisecond)
	take(true)
	take(true)
	take(false)
	b.giveBack()
	at += int64(time.Hour)
	for range 10 {
		take(true)
	}
	take(false)
	if b.interval() != 10*time.Millisecond {
		t.Errorf("interval %v", b.interval())
	}
	unlimited := newBucket(0)
	for range 1000 {
		if !unlimited.take(at) {
			t.Fatal("no limit is a limit")
		}
	}
	if slow := newBucket(0.5); slow.burst != 1 {
		t.Errorf("burst %v of a slow bucket", slow.burst)
	}
}

func TestAcceptRatePauses(t *testing.T) {
	k := newFake(t)
	a := newFakeAcceptor(t, k, 10)
	a.setRate(10)
	k.offer(k.conn(), k.conn())
	a.turn()
	if a.counters.accepted.Load() != 1 || a.counters.paused.Load() != 1 || time.Duration(a.resumeAt-a.now) != 100*time.Millisecond {
		t.Errorf("accepted %d, paused %d for %v", a.counters.accepted.Load(), a.counters.paused.Load(), time.Duration(a.resumeAt-a.now))
	}
	a.drainBacklogs() // the end ignores the rate
	if a.counters.accepted.Load() != 2 {
		t.Error("drain left one in the backlog")
	}
}

// TestNewRateEndsThePauseOfTheOld: a rate that changes holds from the next turn
// on, also in the middle of a pause that the old one has set.
func TestNewRateEndsThePauseOfTheOld(t *testing.T) {
	k := newFake(t)
	a := newFakeAcceptor(t, k, 10)
	a.setRate(0.001)
	k.offer(k.conn())
	a.turn()
	if a.counters.accepted.Load() != 1 || a.resumeAt == 0 {
		t.Fatalf("accepted %d, paused %v, want one and a pause", a.counters.accepted.Load(), a.resumeAt != 0)
	}
	a.setRate(0)
	k.offer(k.conn())
	a.turn()
	if a.resumeAt != 0 || k.sockets[a.listeners[0].fd].want != wantRead {
		t.Error("the pause goes on")
	}
	if a.counters.accepted.Load() != 2 {
		t.Errorf("accepted %d, want the one that waited", a.counters.accepted.Load())
	}
}

func TestMaxConnectionsChanges(t *testing.T) {
	r := &Reactor{census: new(census)}
	for _, tc := range []struct {
		limit int
		want  bool
	}{{1, true}, {1, false}, {2, true}, {1, false}} {
		r.SetMaxConnections(tc.limit)
		if got := r.census.take(); got != tc.want {
			t.Errorf("with limit %d and %d there: taken %v", tc.limit, r.Connections(), got)
		}
	}
}
