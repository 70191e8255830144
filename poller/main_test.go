package poller

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// hangGuard ends a test that would never end. It is no measure of anything.
const hangGuard = 30 * time.Second

// TestMain fails the run if goroutines or fds are left when all tests are done.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		runChild()
		return
	}
	// The runtime opens its own poller with the first socket.
	if ln, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		ln.Close()
	}
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), 10)) // more than any test has loops
	goroutines, fds := runtime.NumGoroutine(), countFDs()
	code := m.Run()
	if code == 0 && !settled(goroutines, fds) {
		code = 1
	}
	os.Exit(code)
}

func settled(goroutines, fds int) bool {
	for deadline := time.Now().Add(hangGuard / 3); ; time.Sleep(time.Millisecond) {
		g, f := runtime.NumGoroutine(), countFDs()
		if g <= goroutines && f <= fds {
			return true
		}
		if time.Now().After(deadline) {
			stack := make([]byte, 1<<20)
			fmt.Fprintf(os.Stderr, "leak: goroutines %d, were %d; fds %d, were %d\n%s\n", g, goroutines, f, fds, stack[:runtime.Stack(stack, true)])
			return false
		}
	}
}

// countFDs asks for every number, which needs neither /proc nor an fd.
func countFDs() (n int) {
	for fd := range 20_000 {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
			n++
		}
	}
	return n
}

// eventually waits until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(hangGuard); !cond(); time.Sleep(200 * time.Microsecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never came true: %s", what)
		}
	}
}

// hooks is a Handler made of functions; those that are nil do the least.
type hooks struct {
	l          *Loop
	opened     func(s Slot)
	data       func(s Slot, p []byte)
	halfClosed func(s Slot)
	writable   func(s Slot)
	closed     func(s Slot, r Reason)
	turn       func() bool
	sweep      func()
	stopping   func()

	// Checked after each test.
	live map[Slot]bool // opened and not closed
	bad  []string      // broken promises of the loop
}

func (h *hooks) Opened(s Slot) {
	if h.live[s] {
		h.bad = append(h.bad, fmt.Sprintf("slot %d opened twice", s))
	}
	h.live[s] = true
	if h.opened != nil {
		h.opened(s)
	}
}

func (h *hooks) Data(s Slot, p []byte) {
	h.mustLive("Data", s)
	if h.data != nil {
		h.data(s, p)
	}
}

func (h *hooks) HalfClosed(s Slot) {
	h.mustLive("HalfClosed", s)
	if h.halfClosed != nil {
		h.halfClosed(s)
	} else {
		h.l.Close(s, ReasonPeerClosed)
	}
}

func (h *hooks) Writable(s Slot) {
	h.mustLive("Writable", s)
	if h.writable != nil {
		h.writable(s)
	}
}

func (h *hooks) Closed(s Slot, r Reason) {
	h.mustLive("Closed", s)
	delete(h.live, s)
	if h.closed != nil {
		h.closed(s, r)
	}
}

func (h *hooks) Turn() bool { return h.turn != nil && h.turn() }

func (h *hooks) Sweep() {
	if h.sweep != nil {
		h.sweep()
	}
}

func (h *hooks) Stopping() {
	if h.stopping != nil {
		h.stopping()
	}
}

func (h *hooks) mustLive(call string, s Slot) {
	if !h.live[s] {
		h.bad = append(h.bad, fmt.Sprintf("%s of slot %d, which is not open", call, s))
	}
}

func (h *hooks) check(t *testing.T) {
	t.Helper()
	for _, s := range h.bad {
		t.Error(s)
	}
	for s := range h.live {
		t.Errorf("loop %d: slot %d never closed", h.l.index, s)
	}
}

// startReactor runs a reactor until the end of the test, and checks then that
// every connection was closed once and nothing is counted any more.
func startReactor(t *testing.T, c Config, setUp func(h *hooks)) *Reactor {
	t.Helper()
	r := newReactor(t, c, setUp)
	r.Start()
	return r
}

func newReactor(t *testing.T, c Config, setUp func(h *hooks)) *Reactor {
	t.Helper()
	var all []*hooks
	c.NewHandler = func(l *Loop) Handler {
		h := &hooks{l: l, live: map[Slot]bool{}}
		if setUp != nil {
			setUp(h)
		}
		all = append(all, h)
		return h
	}
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Stop()
		for _, h := range all {
			h.check(t)
		}
		if s := r.Stats(); s.Connections != 0 || r.Connections() != 0 {
			t.Errorf("%d connections counted after Stop, %d by loops", r.Connections(), s.Connections)
		}
	})
	return r
}

// newTestLoop makes a loop whose turns the test makes by hand, on its own
// goroutine.
func newTestLoop(t *testing.T, k kernel, setUp func(h *hooks)) *Loop {
	t.Helper()
	h := &hooks{live: map[Slot]bool{}}
	c := Config{Loops: 1, MaxConnections: 1 << 20, ReceiveBuffer: 1 << 10, InboxLimit: 8}
	c.NewHandler = func(l *Loop) Handler {
		h.l = l
		if setUp != nil {
			setUp(h)
		}
		return h
	}
	if err := c.complete(); err != nil {
		t.Fatal(err)
	}
	shared := new(census)
	shared.limit.Store(int64(c.MaxConnections))
	l := newLoop(0, k, &c, shared)
	t.Cleanup(func() {
		l.shut()
		l.free()
		h.check(t)
	})
	return l
}

func dial(t *testing.T, r *Reactor) *net.TCPConn {
	t.Helper()
	c, err := net.DialTimeout("tcp", r.Addrs()[0].String(), hangGuard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(hangGuard))
	return c.(*net.TCPConn)
}

// pair returns two connected non-blocking sockets. The second is closed with the
// test, the first is to be adopted.
func pair(t *testing.T) (ours, theirs int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		unix.CloseOnExec(fd)
		if err := unix.SetNonblock(fd, true); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { unix.Close(fds[1]) })
	return fds[0], fds[1]
}

// call runs f on the loop and waits for it.
func call(t *testing.T, l *Loop, f func()) {
	t.Helper()
	done := make(chan struct{})
	if !l.Post(func() { defer close(done); f() }) {
		t.Fatal("Post refused")
	}
	select {
	case <-done:
	case <-time.After(hangGuard):
		t.Fatal("posted call was not run")
	}
}

func mustKernel(t *testing.T) kernel {
	t.Helper()
	k, err := newKernel()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func pattern(n int) []byte { return bytes.Repeat([]byte("0123456789abcdef"), n/16+1)[:n] }
