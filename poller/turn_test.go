package poller

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// journal notes what a handler is told, one word a call.
type journal struct{ words []string }

func (j *journal) note(format string, args ...any) {
	j.words = append(j.words, fmt.Sprintf(format, args...))
}

func (j *journal) hook(h *hooks) {
	h.data = func(s Slot, p []byte) { j.note("data%d:%s", s, p) }
	h.closed = func(s Slot, r Reason) { j.note("closed%d:%v", s, r) }
	h.writable = func(s Slot) { j.note("writable%d", s) }
	h.halfClosed = func(s Slot) { j.note("ended%d", s) }
}

func (j *journal) expect(t *testing.T, want string) {
	t.Helper()
	if got := strings.Join(j.words, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	j.words = nil
}

func TestReadOutcomes(t *testing.T) {
	for _, c := range []struct {
		name  string
		reads []answer
		turns int
		want  string
	}{
		{"bytes", []answer{{text: "ab"}}, 2, "data0:ab"},
		{"several segments, one a turn", []answer{{text: "a"}, {text: "b"}}, 1, "data0:a"},
		{"interrupted", []answer{{errno: unix.EINTR}, {errno: unix.EINTR}, {text: "a"}}, 1, "data0:a"},
		{"nothing there after all", []answer{{errno: unix.EAGAIN}}, 1, ""},
		{"end", []answer{{text: "a"}, {}}, 5, "data0:a ended0"},
		{"reset", []answer{{errno: unix.ECONNRESET}}, 2, "closed0:peer_reset"},
		{"reset behind bytes", []answer{{text: "a"}, {errno: unix.ECONNRESET}}, 3, "data0:a closed0:peer_reset"},
		{"timeout", []answer{{errno: unix.ETIMEDOUT}}, 1, "closed0:timeout"},
		{"timeout without a route", []answer{{errno: unix.ENETUNREACH}}, 1, "closed0:timeout"},
		{"timeout without a neighbour", []answer{{errno: unix.EHOSTUNREACH}}, 1, "closed0:timeout"},
		{"no memory", []answer{{errno: unix.ENOMEM}}, 1, "closed0:read_error"},
		{"no buffers", []answer{{text: "a"}, {errno: unix.ENOBUFS}}, 2, "data0:a closed0:read_error"},
		{"other error", []answer{{errno: unix.EIO}}, 1, "closed0:read_error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var j journal
			k := newFake(t)
			l := newTestLoop(t, k, j.hook)
			adopted(t, l, k.socket(c.reads...))
			for range c.turns {
				l.turn()
			}
			j.expect(t, c.want)
		})
	}
}

func TestWriteOutcomes(t *testing.T) {
	for _, c := range []struct {
		name   string
		writes []answer
		n      int
		reason Reason
		short  uint64
	}{
		{"all", nil, 4, ReasonNone, 0},
		{"short", []answer{{n: 3}}, 3, ReasonNone, 1},
		{"full", []answer{{errno: unix.EAGAIN}}, 0, ReasonNone, 1},
		{"interrupted", []answer{{errno: unix.EINTR}, {n: 4}}, 4, ReasonNone, 0},
		{"reset", []answer{{errno: unix.ECONNRESET}}, 0, ReasonPeerReset, 0},
		{"pipe", []answer{{errno: unix.EPIPE}}, 0, ReasonPeerReset, 0},
		{"timeout", []answer{{errno: unix.ETIMEDOUT}}, 0, ReasonTimeout, 0},
		{"timeout without a route", []answer{{errno: unix.ENETUNREACH}}, 0, ReasonTimeout, 0},
		{"no memory", []answer{{errno: unix.ENOMEM}}, 0, ReasonWriteError, 0},
		{"no buffers", []answer{{errno: unix.EINTR}, {errno: unix.ENOBUFS}}, 0, ReasonWriteError, 0},
		{"other", []answer{{errno: unix.EIO}}, 0, ReasonWriteError, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newFake(t)
			l := newTestLoop(t, k, nil)
			fd := k.socket()
			s := adopted(t, l, fd)[0]
			k.sockets[fd].writes = c.writes
			n, err := l.Write(s, []byte("abcd"))
			if n != c.n || ReasonOf(err) != c.reason || string(k.sockets[fd].written) != "abcd"[:n] {
				t.Errorf("n %d, err %v (%v), written %q", n, err, ReasonOf(err), k.sockets[fd].written)
			}
			if got := l.Stats(); got.ShortWrites != c.short || got.WriteCalls != 1 || got.BytesWritten != uint64(n) {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestClosedSlotRefuses(t *testing.T) {
	k := newFake(t)
	l := newTestLoop(t, k, nil)
	fd := k.socket()
	s := adopted(t, l, fd)[0]
	h := l.Handle(s)
	l.Close(s, ReasonApplication)
	l.Close(s, ReasonApplication+1) // hooks would note a second Closed
	if _, err := l.Write(s, []byte("x")); err != errClosed || ReasonOf(err) != ReasonNone {
		t.Errorf("Write: %v", err)
	}
	if _, err := l.Detach(s); err != errClosed {
		t.Errorf("Detach: %v", err)
	}
	l.WantWrite(s, true)
	l.PauseRead(s, true)
	l.CloseWrite(s)
	if k.sockets[fd].want != wantRead || k.sockets[fd].shut || l.Open(s) || l.RemoteAddr(s).IsValid() {
		t.Error("a closed slot still had an effect")
	}
	if _, ok := l.Resolve(h); ok {
		t.Error("resolved a closed slot")
	}
	if k.sockets[fd] == nil {
		t.Error("fd closed before the end of the turn")
	}
	l.turn()
	if k.sockets[fd] != nil {
		t.Error("fd not closed at the end of the turn")
	}
}

// Two events of one wait; the handler of the first closes the second, whose
// event then must reach nobody, although its fd is open until reap.
func TestB2FirstEventClosesSecond(t *testing.T) {
	var j journal
	var slots []Slot
	k := newFake(t)
	l := newTestLoop(t, k, func(h *hooks) {
		j.hook(h)
		h.data = func(s Slot, p []byte) {
			j.note("data%d:%s", s, p)
			h.l.Close(slots[1], ReasonApplication)
		}
	})
	slots = adopted(t, l, k.socket(answer{text: "first"}), k.socket(answer{text: "second"}))
	k.batches = [][]event{{{tokenOf(l, slots[0]), canRead}, {tokenOf(l, slots[1]), canRead | canWrite | hungUp}}}
	l.turn()
	j.expect(t, "data0:first closed1:reason_32")
	if got := l.Stats().StaleEvents; got != 1 {
		t.Errorf("%d stale events", got)
	}
}

// The same with a Detach, after which the fd number may come back within the
// turn: the new owner of the number must not get the old one's event.
func TestB2DetachedNumberReusedInTurn(t *testing.T) {
	var j journal
	var slots []Slot
	k := newFake(t)
	l := newTestLoop(t, k, func(h *hooks) {
		j.hook(h)
		h.data = func(s Slot, p []byte) {
			j.note("data%d:%s", s, p)
			if s != slots[0] {
				return
			}
			fd, err := h.l.Detach(slots[1])
			if err != nil {
				t.Fatal(err)
			}
			k.closeFD(fd)
			if again := k.socket(answer{text: "new"}); again != fd || !h.l.Adopt(again) {
				t.Error("number not reused")
			}
		}
	})
	slots = adopted(t, l, k.socket(answer{text: "go"}), k.socket(answer{text: "old"}))
	k.batches = [][]event{{{tokenOf(l, slots[0]), canRead}, {tokenOf(l, slots[1]), canRead}}}
	l.turn()
	j.expect(t, "data0:go closed1:detached")
	l.turn()
	j.expect(t, "data2:new")
}

// A handle, an event and a posted call that outlive their connection meet the
// next owner of fd and slot.
func TestB1StaleNames(t *testing.T) {
	var j journal
	k := newFake(t)
	l := newTestLoop(t, k, j.hook)
	fd := k.socket()
	s := adopted(t, l, fd)[0]
	old, oldToken := l.Handle(s), tokenOf(l, s)
	l.Close(s, ReasonApplication)
	l.turn()
	j.expect(t, "closed0:reason_32")

	again := k.socket(answer{text: "mine"})
	s2 := adopted(t, l, again)[0]
	if again != fd || s2 != s {
		t.Fatalf("fd %d then %d, slot %d then %d: nothing was reused", fd, again, s, s2)
	}
	l.Post(func() {
		if _, ok := l.Resolve(old); ok {
			j.note("resolved")
		}
	})
	k.batches = [][]event{{{oldToken, canRead | canWrite | hungUp}}}
	l.turn()
	j.expect(t, "")
	if got := l.Stats().StaleEvents; got != 1 {
		t.Errorf("%d stale events", got)
	}
	if _, ok := l.Resolve(l.Handle(s2)); !ok || l.Handle(s2) == old {
		t.Error("the new handle is not good")
	}
	l.turn()
	j.expect(t, "data0:mine")
}

func TestResolveForeign(t *testing.T) {
	k := newFake(t)
	l := newTestLoop(t, k, nil)
	s := adopted(t, l, k.socket())[0]
	h := l.Handle(s)
	for _, bad := range []Handle{0, makeHandle(1, s, h.Generation()), makeHandle(0, s+1, 1), makeHandle(0, maxSlots-1, 1), makeHandle(0, s, h.Generation()+1)} {
		if _, ok := l.Resolve(bad); ok {
			t.Errorf("resolved %x", bad)
		}
	}
	if got, ok := l.Resolve(h); !ok || got != s || h.Loop() != 0 || h.Slot() != s {
		t.Errorf("own handle %x: %v %v", h, got, ok)
	}
	if h := makeHandle(255, maxSlots-1, ^uint32(0)); h.Loop() != 255 || h.Slot() != maxSlots-1 || h.Generation() != ^uint32(0) {
		t.Errorf("%x does not come apart", h)
	}
}

func TestGenerationSkipsZero(t *testing.T) {
	cs := newColumns()
	s, c, _ := cs.take(7)
	c.generation = ^uint32(0)
	cs.kill(s)
	if fd, ok := cs.release(); !ok || fd != 7 || c.generation != 1 {
		t.Errorf("fd %d, generation %d", fd, c.generation)
	}
}

func TestSlotsReusedLastFirst(t *testing.T) {
	cs := newColumns()
	for range chunkSlots + 2 {
		cs.take(1)
	}
	first := cs.at(0)
	cs.kill(3)
	cs.release()
	cs.kill(chunkSlots + 1)
	cs.release()
	cs.trim()
	if cs.high != chunkSlots+1 {
		t.Errorf("high %d after the last slot was freed", cs.high)
	}
	for _, want := range []Slot{chunkSlots + 1, 3, chunkSlots + 2} {
		if s, _, _ := cs.take(1); s != want {
			t.Errorf("took slot %d, want %d", s, want)
		}
	}
	if cs.at(0) != first || cs.high != chunkSlots+3 {
		t.Errorf("column moved, or high %d", cs.high)
	}
}

// The collector must have nothing to follow in the columns.
func TestB15ColumnsHoldNoPointer(t *testing.T) {
	typ := reflect.TypeFor[column]()
	if typ.Size() > 24 {
		t.Errorf("%d bytes a slot", typ.Size())
	}
	for i := range typ.NumField() {
		switch f := typ.Field(i); f.Type.Kind() {
		case reflect.Int32, reflect.Uint32, reflect.Uint8:
		default:
			t.Errorf("%s is a %s", f.Name, f.Type)
		}
	}
}

// Errors of epoll_ctl end the one connection, not the loop, and not in the
// middle of what the handler does.
func TestB10PollErrors(t *testing.T) {
	var j journal
	k := newFake(t)
	l := newTestLoop(t, k, j.hook)
	slots := adopted(t, l, k.socket(answer{text: "a"}), k.socket(answer{text: "b"}))

	k.modifyErrno = unix.ENOENT
	l.WantWrite(slots[0], true)
	l.PauseRead(slots[0], true)
	j.expect(t, "")
	k.modifyErrno, k.removeErrno = 0, unix.ENOENT
	l.turn()
	j.expect(t, "data1:b closed0:poll_error")

	for _, errno := range []unix.Errno{unix.ENOSPC, unix.ENOMEM, unix.EPERM} {
		k.addErrno = errno
		fd := k.socket()
		l.Adopt(fd)
		l.turn()
		if k.sockets[fd] != nil {
			t.Errorf("%v: fd left open", errno)
		}
	}
	k.addErrno = 0
	j.expect(t, "")
	if got := l.Stats(); got.PollErrors != 5 || got.Connections != 1 {
		t.Errorf("%+v", got)
	}
}

// The kernel has no memory to change an interest: that one connection ends, with
// its own reason, and no other notices, whatever the memory lasts for.
func TestB10NoMemoryForInterest(t *testing.T) {
	for _, errno := range []unix.Errno{unix.ENOMEM, unix.ENOSPC, unix.ENOBUFS} {
		t.Run(errno.Error(), func(t *testing.T) {
			var j journal
			k := newFake(t)
			l := newTestLoop(t, k, j.hook)
			slots := adopted(t, l, k.socket(), k.socket(answer{text: "b"}), k.socket())
			for _, s := range []Slot{slots[0], slots[2]} {
				k.modifyErrno = errno
				l.WantWrite(s, true)
				k.modifyErrno = 0
				l.WantWrite(s, false) // too late: what the kernel has is not known
			}
			l.turn()
			j.expect(t, "data1:b closed0:poll_error closed2:poll_error")
			if got := l.Stats(); got.PollErrors != 2 || got.Connections != 1 {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestAdoptedTwice(t *testing.T) {
	var j journal
	k := newFake(t)
	l := newTestLoop(t, k, j.hook)
	fd := k.socket(answer{text: "a"})
	adopted(t, l, fd)
	l.Adopt(fd)
	l.walkInbox()
	l.turn()
	j.expect(t, "data0:a")
	if k.sockets[fd] == nil {
		t.Error("the second adoption closed the first one's fd")
	}
}

func TestInterestFollowsFlags(t *testing.T) {
	k := newFake(t)
	l := newTestLoop(t, k, func(h *hooks) { h.halfClosed = func(Slot) {} })
	fd := k.socket(answer{})
	s := adopted(t, l, fd)[0]
	for i, step := range []struct {
		do   func()
		want interest
	}{
		{func() { l.WantWrite(s, true) }, wantRead | wantWrite},
		{func() { l.WantWrite(s, true) }, wantRead | wantWrite},
		{func() { l.PauseRead(s, true) }, wantWrite},
		{func() { l.WantWrite(s, false) }, 0},
		{func() { l.PauseRead(s, false) }, wantRead},
		{func() { l.turn() }, 0}, // end of file
		{func() { l.PauseRead(s, true); l.PauseRead(s, false) }, 0},
		{func() { l.WantWrite(s, true) }, wantWrite},
		{func() { l.CloseWrite(s) }, 0},
	} {
		if step.do(); k.sockets[fd].want != step.want {
			t.Errorf("step %d: interest %d, want %d", i, k.sockets[fd].want, step.want)
		}
	}
	if !k.sockets[fd].shut {
		t.Error("CloseWrite did not shut down")
	}
}

// Reading paused within the batch of which a read event is already there.
func TestPauseHoldsWithinBatch(t *testing.T) {
	var j journal
	var slots []Slot
	k := newFake(t)
	l := newTestLoop(t, k, func(h *hooks) {
		j.hook(h)
		h.data = func(s Slot, p []byte) {
			j.note("data%d:%s", s, p)
			h.l.PauseRead(slots[1], s == slots[0])
		}
	})
	slots = adopted(t, l, k.socket(answer{text: "a"}), k.socket(answer{text: "b"}))
	l.turn()
	l.turn()
	j.expect(t, "data0:a")
	l.PauseRead(slots[1], false)
	l.turn()
	j.expect(t, "data1:b")
}

// A hang-up is taken only when there is nothing left to read.
func TestB4HangUps(t *testing.T) {
	for _, c := range []struct {
		name  string
		setUp func(l *Loop, s Slot)
		reads []answer
		want  string
	}{
		{"bytes first", nil, []answer{{text: "a"}, {text: "b"}, {}}, "data0:a data0:b ended0 closed0:peer_closed"},
		{"error to read", nil, []answer{{errno: unix.ECONNRESET}}, "closed0:peer_reset"},
		{"error taken by a write", nil, nil, "closed0:peer_reset"},
		{"paused", func(l *Loop, s Slot) { l.PauseRead(s, true) }, []answer{{text: "a"}}, "ended0 closed0:peer_closed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var j journal
			k := newFake(t)
			l := newTestLoop(t, k, j.hook)
			s := adopted(t, l, k.socket(c.reads...))[0]
			if c.setUp != nil {
				c.setUp(l, s)
			}
			for range 5 { // level-triggered: it comes again until the fd is closed
				k.batches = append(k.batches, []event{{tokenOf(l, s), hungUp}})
			}
			turns := 0
			for ; l.Open(s); turns++ {
				l.turn()
			}
			if turns > len(c.reads)+1 {
				t.Errorf("took %d turns", turns)
			}
			k.batches = nil
			j.expect(t, c.want)
		})
	}
}

// One read for one event, whatever there is.
func TestB9OneReadPerEvent(t *testing.T) {
	const others = 100
	var j journal
	k := newFake(t)
	l := newTestLoop(t, k, j.hook)
	flood := strings.Repeat("x", 1<<20) // a thousand receive buffers
	fds := []int{k.socket(answer{text: flood})}
	for range others {
		fds = append(fds, k.socket(answer{text: "ping"}))
	}
	adopted(t, l, fds...)
	l.turn()
	if got := l.Stats(); got.Reads != others+1 || got.BytesRead != others*4+1<<10 {
		t.Errorf("first turn: %d reads, %d bytes", got.Reads, got.BytesRead)
	}
	if len(j.words) != others+1 {
		t.Errorf("%d of %d served in the first turn", len(j.words)-1, others)
	}
}

func TestTurnOrder(t *testing.T) {
	var j journal
	k := newFake(t)
	var l *Loop
	l = newTestLoop(t, k, func(h *hooks) {
		j.hook(h)
		h.turn = func() bool { j.note("turn"); return false }
		h.sweep = func() { j.note("sweep") }
		h.opened = func(s Slot) { j.note("opened%d", s) }
		h.data = func(s Slot, p []byte) { j.note("data%d", s); h.l.Close(s, ReasonApplication) }
		h.stopping = func() { j.note("stopping") }
	})
	fd := k.socket(answer{text: "a"})
	adopted(t, l, fd)
	l.Adopt(k.socket())
	l.Post(func() { j.note("posted") })
	l.sweepAt = l.now // due
	l.turn()
	j.expect(t, "data0 closed0:reason_32 opened1 posted turn sweep")
	if k.sockets[fd] != nil {
		t.Error("not reaped")
	}
	l.turn()
	j.expect(t, "turn")
	l.Post(func() { j.note("posted") })
	l.shut()
	j.expect(t, "stopping posted closed1:shutdown")
}

// LastTurn stands still while a turn lasts, and no turn is without one.
func TestLastTurn(t *testing.T) {
	k := newFake(t)
	var during int64
	l := newTestLoop(t, k, func(h *hooks) {
		h.turn = func() bool { during = h.l.LastTurn(); return false }
	})
	born := l.LastTurn()
	if born == 0 || born > Now() {
		t.Errorf("a loop that never turned says %d, now is %d", born, Now())
	}
	l.turn()
	if during != l.Now() || l.LastTurn() != l.Now() || l.LastTurn() < born {
		t.Errorf("turn at %d, last turn %d within and %d after it, %d before", l.Now(), during, l.LastTurn(), born)
	}
	first := l.LastTurn()
	for Now() == first { // the clock goes on
	}
	k.errnos = []unix.Errno{unix.EINTR}
	if l.turn(); l.LastTurn() <= first {
		t.Errorf("a turn that a signal began left %d", l.LastTurn())
	}
}

// A loop lags by its turn and by what had waited for that; asleep it does not lag.
func TestLag(t *testing.T) {
	k := newFake(t)
	var during, asleep int64
	l := newTestLoop(t, k, func(h *hooks) {
		h.turn = func() bool { during = h.l.Lag(h.l.Now() + 100); return false }
	})
	l.turn()
	if during != 100 {
		t.Errorf("100 ns into a turn the lag is %d", during)
	}
	posted := Now()
	l.Post(func() {})
	for Now() == posted { // the clock goes on
	}
	l.turn()
	if waited := l.Now() - posted; during <= 100 || during > waited+100 {
		t.Errorf("the lag is %d with a call that had waited for %d at most", during, waited)
	}
	if l.turn(); during != 100 {
		t.Errorf("the lag is %d when the call is done", during)
	}
	l.asleep.Store(true)
	asleep = l.Lag(l.Now() + 1e12)
	l.asleep.Store(false)
	if asleep != 0 {
		t.Errorf("a loop that sleeps lags by %d", asleep)
	}
	// One that is woken, and has not turned yet, lags from that on.
	l.asleep.Store(true)
	for Now() == l.Now() {
	}
	woken := Now()
	if l.rouse(); l.Lag(woken) != 0 || l.Lag(Now()+100) < 100 {
		t.Errorf("a loop just woken lags by %d then, by %d now", l.Lag(woken), l.Lag(Now()))
	}
}

func TestWaitTimeout(t *testing.T) {
	more := false
	k := newFake(t)
	l := newTestLoop(t, k, func(h *hooks) { h.turn = func() bool { return more } })
	last := func() time.Duration { l.turn(); return k.waited[len(k.waited)-1] }
	if d := last(); d <= 0 || d > sweepEvery {
		t.Errorf("idle: %v", d)
	}
	l.Post(func() { l.Post(func() {}) })
	if d := last(); d != 0 {
		t.Errorf("call posted: %v", d)
	}
	if d := last(); d != 0 {
		t.Errorf("call posted by a call: %v", d)
	}
	more = true
	if d := last(); d <= 0 {
		t.Errorf("inbox empty: %v", d)
	}
	more = false
	if d := last(); d != 0 {
		t.Errorf("Turn said more: %v", d)
	}
	if d := last(); d <= 0 {
		t.Errorf("Turn said no more: %v", d)
	}
	k.errnos = []unix.Errno{unix.EINTR}
	last()
	if l.asleep.Load() || k.wakes.Load() != 0 {
		t.Error("woken without need")
	}
}

func TestWaitFailureEndsProcess(t *testing.T) {
	k := newFake(t)
	l := newTestLoop(t, k, nil)
	k.errnos = []unix.Errno{unix.EBADF}
	defer func() {
		if v, _ := recover().(string); !strings.Contains(v, "bad file descriptor") {
			t.Errorf("recovered %q", v)
		}
	}()
	l.turn()
	t.Error("went on")
}

func TestInboxBound(t *testing.T) {
	k := newFake(t)
	l := newTestLoop(t, k, nil)
	ran := 0
	for range l.inbox.limit {
		if !l.Post(func() { ran++ }) {
			t.Fatal("refused below the limit")
		}
	}
	if l.Post(func() { t.Error("ran although refused") }) {
		t.Error("accepted above the limit")
	}
	if !l.Adopt(k.socket()) {
		t.Error("posted calls kept a socket out")
	}
	l.turn()
	if got := l.Stats().InboxFull; got != 1 || ran != l.inbox.limit {
		t.Errorf("counted %d, ran %d", got, ran)
	}
	if !l.Post(func() {}) {
		t.Error("refused after the inbox was emptied")
	}
}

func TestPanicClosesOne(t *testing.T) {
	var j journal
	k := newFake(t)
	l := newTestLoop(t, k, func(h *hooks) {
		j.hook(h)
		h.data = func(s Slot, p []byte) {
			if string(p) == "boom" {
				panic(errors.New("boom"))
			}
			j.note("data%d:%s", s, p)
		}
		h.closed = func(s Slot, r Reason) {
			j.note("closed%d:%v", s, r)
			if s == 3 {
				panic("again")
			}
		}
		h.turn = func() bool { panic("turn") }
		h.opened = func(s Slot) { panic("opened") }
	})
	slots := adopted(t, l, k.socket(answer{text: "a"}), k.socket(answer{text: "boom"}), k.socket(answer{text: "c"}), k.socket(answer{text: "boom"}))
	l.Post(func() { panic("posted") })
	l.Post(func() { j.note("posted") })
	l.Adopt(k.socket())
	l.turn()
	j.expect(t, "data0:a closed1:panic data2:c closed3:panic posted closed4:panic")
	if got := l.Stats(); got.Panics != 6 || got.Connections != 2 {
		t.Errorf("%+v", got)
	}
	if l.Open(slots[1]) || !l.Open(slots[2]) {
		t.Error("the wrong one was closed")
	}
}

// Whatever is done to connections, in any order and from within any callback,
// each is opened once and closed once, and slots, fds and counts agree with a
// model that only knows a set. hooks and the fake kernel check the rest.
func TestB14RandomScripts(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 14))
		var model []Handle
		k := newFake(t)
		forget := func(l *Loop, s Slot) {
			n := len(model)
			model = slices.DeleteFunc(model, func(h Handle) bool { return h.Slot() == s })
			if len(model) != n-1 {
				t.Fatalf("seed %d: slot %d closed, model had %d of it", seed, s, n-len(model))
			}
		}
		l := newTestLoop(t, k, func(h *hooks) {
			anyone := func() {
				if len(model) > 0 && rng.IntN(3) == 0 {
					h.l.Close(model[rng.IntN(len(model))].Slot(), ReasonApplication)
				}
			}
			h.opened = func(s Slot) { model = append(model, h.l.Handle(s)); anyone() }
			h.data = func(s Slot, p []byte) { h.l.Write(s, p); anyone() }
			h.writable = func(s Slot) { h.l.WantWrite(s, false); anyone() }
			h.closed = func(s Slot, r Reason) { forget(h.l, s); anyone() }
			h.turn = func() bool { anyone(); return false }
			h.halfClosed = func(s Slot) {
				if rng.IntN(2) == 0 {
					h.l.Close(s, ReasonPeerClosed)
				}
			}
		})
		answers := []answer{{text: "x"}, {text: "yy"}, {}, {errno: unix.ECONNRESET}, {errno: unix.EAGAIN}, {errno: unix.EINTR}}
		var stale []Handle
		for range 60 {
			switch rng.IntN(6) {
			case 0, 1:
				fd := k.socket(answers[rng.IntN(len(answers))], answers[rng.IntN(len(answers))])
				l.Adopt(fd)
			case 2:
				stale = append(stale, model...)
			case 3:
				if len(stale) > 0 {
					h := stale[rng.IntN(len(stale))]
					l.Post(func() {
						s, ok := l.Resolve(h)
						if ok != slices.Contains(model, h) {
							t.Fatalf("seed %d: handle %x resolves: %v", seed, h, ok)
						}
						if ok {
							l.WantWrite(s, true)
						}
					})
				}
			case 4:
				if len(model) > 0 {
					h := model[rng.IntN(len(model))]
					k.batches = append(k.batches, []event{{token{h.Slot(), h.Generation()}, readiness(1 + rng.IntN(7))}})
				}
			case 5:
				l.turn()
			}
			if l.columns.opened < len(model) {
				t.Fatalf("seed %d: %d slots for %d connections", seed, l.columns.opened, len(model))
			}
		}
		l.turn()
		if len(model) != l.columns.opened || len(model) > len(k.sockets) || l.Slots() < len(model) {
			t.Fatalf("seed %d: model %d, slots %d, sockets %d", seed, len(model), l.columns.opened, len(k.sockets))
		}
	}
}

// B11: reading and writing change no interest, however often; only a full socket
// does, once to arm and once to disarm.
func TestB11NoInterestChangePerEvent(t *testing.T) {
	k := newFake(t)
	l := newTestLoop(t, k, func(h *hooks) {
		h.data = func(s Slot, p []byte) {
			if n, err := h.l.Write(s, p); err != nil || n < len(p) {
				h.l.WantWrite(s, true)
			}
		}
		h.writable = func(s Slot) { h.l.WantWrite(s, false) }
	})
	var reads []answer
	for range 100 {
		reads = append(reads, answer{text: "frame"})
	}
	fd := k.socket(reads...)
	l.Adopt(fd)
	for range 50 {
		l.turn()
	}
	if k.changes != 0 {
		t.Fatalf("%d changes of interest for 50 reads and writes", k.changes)
	}
	k.sockets[fd].writes = []answer{{n: 2}}
	for range 40 {
		l.turn()
	}
	if k.changes != 2 {
		t.Errorf("%d changes of interest around one full socket, want 2", k.changes)
	}
}

// TestMoveCountsOnce: a connection that moves is one connection all the way, so
// that nobody is turned away at the limit for one that is on its way.
func TestMoveCountsOnce(t *testing.T) {
	k := newFake(t)
	to, from := newTestLoop(t, k, nil), newTestLoop(t, k, nil)
	to.census = from.census
	count := func(when string, all, here, there int64) {
		t.Helper()
		if a, h, o := from.census.count.Load(), from.load.Load(), to.load.Load(); a != all || h != here || o != there {
			t.Errorf("%s: %d connections, %d here, %d there; want %d, %d, %d", when, a, h, o, all, here, there)
		}
	}
	slots := adopted(t, from, k.socket(), k.socket())
	if !from.Move(slots[0], to, nil, nil) {
		t.Fatal("not moved")
	}
	count("under way", 2, 2, 1)
	from.reap()
	count("given away", 2, 1, 1)
	to.walkInbox()
	count("arrived", 2, 1, 1)
	to.shut()
	count("closed there", 1, 1, 0)
	if from.Move(slots[1], to, nil, nil) {
		t.Error("moved to a loop that has stopped")
	}
	count("refused", 1, 1, 0)
}
