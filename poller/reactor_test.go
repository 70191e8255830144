package poller

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// echo writes back what it reads; tests send less than a socket buffer.
func echo(h *hooks) { h.data = func(s Slot, p []byte) { h.l.Write(s, p) } }

func loopback(loops int) Config {
	return Config{Listen: []string{"127.0.0.1:0"}, Loops: loops, MaxConnections: 10_000}
}

// ping sends text and expects it back.
func ping(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
		t.Fatalf("sent %q, got %q, %v", text, got, err)
	}
}

func TestEcho(t *testing.T) {
	for _, loops := range []int{1, 2, 5} {
		t.Run(fmt.Sprint(loops), func(t *testing.T) {
			r := startReactor(t, loopback(loops), echo)
			for i := range 20 {
				c := dial(t, r)
				for range 3 {
					ping(t, c, fmt.Sprintf("connection %d", i))
				}
			}
			var s Stats
			eventually(t, "all counted", func() bool { s = r.Stats(); return s.WriteCalls == s.Reads && s.Accepted == 20 })
			if s.Connections != 20 || r.Connections() != 20 || s.Accepted != 20 || s.Adopted != 20 || s.BytesRead != s.BytesWritten || s.Reads == 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestListenAddresses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	for _, c := range []struct{ listen, dial, remote string }{
		{"127.0.0.1:0", "tcp4 127.0.0.1", "127.0.0.1"},
		{"localhost:0", "tcp localhost", ""},
		{":0", "tcp4 127.0.0.1", "127.0.0.1"},
		{":0", "tcp6 [::1]", "::1"},
		{"[::1]:0", "tcp6 [::1]", "::1"},
		{"unix:" + path, "unix " + path, ""},
	} {
		t.Run(c.listen, func(t *testing.T) {
			network, host, _ := strings.Cut(c.dial, " ")
			if network == "tcp6" && !haveIPv6() {
				t.Skip("no IPv6 here")
			}
			remote := make(chan netip.AddrPort, 1)
			r := startReactor(t, Config{Listen: []string{c.listen}, Loops: 1, Socket: SocketOptions{
				NoDelay: true, NotSentLowat: 1 << 14, SendBuffer: 1 << 15, ReceiveBuffer: 1 << 15, UserTimeout: time.Minute,
			}}, func(h *hooks) {
				echo(h)
				h.opened = func(s Slot) { remote <- h.l.RemoteAddr(s) }
			})
			if tcp, ok := r.Addrs()[0].(*net.TCPAddr); ok {
				host = fmt.Sprintf("%s:%d", host, tcp.Port)
			}
			conn, err := net.DialTimeout(network, host, hangGuard)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(hangGuard))
			ping(t, conn, "hello")
			got := <-remote
			if network == "unix" && got.IsValid() || c.remote != "" && got.String() != conn.LocalAddr().String() {
				t.Errorf("remote %v, is %v", got, conn.LocalAddr())
			}
		})
	}
}

func haveIPv6() bool {
	ln, err := net.Listen("tcp6", "[::1]:0")
	if err == nil {
		ln.Close()
	}
	return err == nil
}

func TestListenErrors(t *testing.T) {
	taken := newReactor(t, loopback(1), nil).Addrs()[0].String()
	for _, listen := range []string{taken, "nonsense", "127.0.0.1:99999", "unix:/no/such/folder/s"} {
		r, err := New(Config{Listen: []string{"127.0.0.1:0", listen}, NewHandler: func(*Loop) Handler { return &hooks{} }})
		if err == nil {
			r.Stop()
			t.Errorf("%q: no error", listen)
		} else if !strings.Contains(err.Error(), listen) {
			t.Errorf("error does not name %q: %v", listen, err)
		}
	}
	for _, c := range []Config{{}, {NewHandler: func(*Loop) Handler { return nil }, Loops: 257}, {NewHandler: func(*Loop) Handler { return nil }, MaxConnections: -1}} {
		if r, err := New(c); err == nil {
			r.Stop()
			t.Errorf("%+v: no error", c)
		}
	}
}

func TestUnixSocketFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	config := Config{Listen: []string{"unix:" + path}, Loops: 1, NewHandler: func(*Loop) Handler { return &hooks{} }}

	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := New(config); err == nil {
		r.Stop()
		t.Error("took the place of an ordinary file")
	}
	os.Remove(path)

	stale, err := listenSocket(unix.AF_UNIX, &unix.SockaddrUnix{Name: path}, 1, false)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := New(config); !errors.Is(err, unix.EADDRINUSE) {
		r.Stop()
		t.Errorf("took the place of a live socket: %v", err)
	}
	unix.Close(stale)
	first, err := New(config)
	if err != nil {
		t.Fatalf("a stale socket was in the way: %v", err)
	}
	first.Stop()
	if _, err := os.Lstat(path); err == nil {
		t.Error("socket file left")
	}

	second, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	os.Remove(path)
	os.WriteFile(path, nil, 0o600)
	second.Stop()
	if _, err := os.Lstat(path); err != nil {
		t.Error("removed a file that was not its own")
	}
}

// A refused connection gets its answer even though it speaks first and late.
func TestRefuseReply(t *testing.T) {
	c := loopback(2)
	c.MaxConnections, c.RefuseReply = 2, []byte("HTTP/1.1 503 Service Unavailable\r\n\r\n")
	r := startReactor(t, c, echo)
	one, two := dial(t, r), dial(t, r)
	ping(t, one, "a")
	ping(t, two, "b")
	for range 3 {
		refused := dial(t, r)
		eventually(t, "refused", func() bool { return r.Stats().RefusedLimit > 0 })
		io.WriteString(refused, "GET / HTTP/1.1\r\n\r\n")
		if got, err := io.ReadAll(refused); err != nil || !bytes.Equal(got, c.RefuseReply) {
			t.Errorf("%q, %v", got, err)
		}
		refused.Close()
	}
	one.Close()
	eventually(t, "room again", func() bool { return r.Connections() == 1 })
	ping(t, dial(t, r), "c")
}

// Who is in the backlog when the listeners close is served.
func TestCloseListenersDrainsBacklog(t *testing.T) {
	const n = 100
	c := loopback(2)
	c.AcceptRate = 1
	r := newReactor(t, c, echo)
	var conns []net.Conn
	for range n {
		conns = append(conns, dial(t, r))
	}
	addr := r.Addrs()[0].String()
	r.Start()
	r.CloseListeners()
	r.CloseListeners()
	for i, conn := range conns {
		ping(t, conn, fmt.Sprint(i))
	}
	if got := r.Stats().Accepted; got != n {
		t.Errorf("accepted %d of %d", got, n)
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("still listening")
	}
}

func TestStop(t *testing.T) {
	var shut, stopping, ran atomic.Int32
	r := startReactor(t, loopback(2), func(h *hooks) {
		echo(h)
		h.closed = func(_ Slot, reason Reason) {
			if reason == ReasonShutdown {
				shut.Add(1)
			}
		}
		h.stopping = func() { stopping.Add(1) }
	})
	for range 10 {
		ping(t, dial(t, r), "x")
	}
	for _, l := range r.Loops() {
		for range 100 {
			l.Post(func() { ran.Add(1) })
		}
	}
	r.Stop()
	r.Stop()
	if shut.Load() != 10 || stopping.Load() != 2 || ran.Load() != 200 {
		t.Errorf("closed %d, stopping %d, ran %d", shut.Load(), stopping.Load(), ran.Load())
	}
	ours, _ := pair(t)
	defer unix.Close(ours)
	if l := r.Loops()[0]; l.Post(func() {}) || l.Adopt(ours) {
		t.Error("a stopped loop takes more")
	}
	r.Start()
}

func TestStopNeverStarted(t *testing.T) {
	r := newReactor(t, loopback(2), nil)
	ours, _ := pair(t)
	if !r.Loops()[0].Adopt(ours) {
		t.Fatal("Adopt refused")
	}
	r.Stop()
	if _, err := unix.FcntlInt(uintptr(ours), unix.F_GETFD, 0); err == nil {
		t.Error("adopted fd left open")
	}
}

func TestStartStopHammer(t *testing.T) {
	for range 50 {
		r := startReactor(t, loopback(3), echo)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := 0; r.Loops()[i%3].Post(func() {}); i++ {
				runtime.Gosched()
			}
		}()
		c := dial(t, r)
		ping(t, c, "x")
		r.Stop()
		<-done
	}
}

// A socket moves from one loop to another, with nothing lost.
func TestDetachAndAdopt(t *testing.T) {
	var r *Reactor
	r = newReactor(t, loopback(2), func(h *hooks) {
		h.data = func(s Slot, p []byte) {
			h.l.Write(s, p)
			fd, err := h.l.Detach(s)
			if err != nil || !r.Loops()[1-h.l.Index()].Adopt(fd) {
				t.Errorf("detach: %v", err)
			}
		}
		h.closed = func(s Slot, reason Reason) {
			if reason != ReasonDetached && reason != ReasonPeerClosed && reason != ReasonShutdown {
				t.Errorf("closed: %v", reason)
			}
		}
	})
	r.Start()
	c := dial(t, r)
	for i := range 20 {
		ping(t, c, fmt.Sprint("move ", i))
	}
	// The last answer comes before the last move, which must not meet Stop.
	eventually(t, "the last move", func() bool { return r.Stats().Adopted == 21 })
	for i, l := range r.Loops() {
		if got := l.Stats().Adopted; got < 10 {
			t.Errorf("loop %d had it %d times", i, got)
		}
	}
}

// A connection that moves keeps its bytes: what was read before goes along, what
// is still in the socket is read by the other loop.
func TestMoveToAnotherLoop(t *testing.T) {
	var r *Reactor
	var moved atomic.Int64
	known := [3]map[Slot]bool{{}, {}, {}} // by loop, connections that came with what the loop before knew
	r = newReactor(t, loopback(3), func(h *hooks) {
		h.opened = func(s Slot) { delete(known[h.l.Index()], s) }
		h.data = func(s Slot, p []byte) {
			if hop := p[0] - '0'; (hop > 0) != known[h.l.Index()][s] {
				t.Errorf("hop %d: known to this loop %v", hop, hop == 0)
			} else if hop < 9 {
				to := r.Loops()[(h.l.Index()+1)%3]
				there := to.handler.(*hooks)
				opened := func(arrived Slot) { // in place of Opened, on the other loop
					there.Opened(arrived)
					known[to.Index()][arrived] = true
				}
				if h.l.Move(s, to, append([]byte{p[0] + 1}, p[1:]...), opened) {
					moved.Add(1)
					if h.l.Open(s) || h.l.Move(s, to, nil, nil) {
						t.Error("a connection that has moved is still open here")
					}
					return
				}
			}
			h.l.Write(s, p)
		}
	})
	r.Start()
	for range 20 {
		c := dial(t, r)
		c.Write([]byte("0 first"))
		got := make([]byte, 7)
		if _, err := io.ReadFull(c, got); err != nil || string(got) != "9 first" {
			t.Fatalf("%q came back: %v", got, err)
		}
		ping(t, c, "9 and then more")
		c.Close()
	}
	// The answer may come back before the loop has counted the move that led to it.
	eventually(t, "all moves are counted", func() bool { return moved.Load() == 20*9 })
	eventually(t, "all are closed", func() bool { return r.Connections() == 0 })
	for _, l := range r.Loops() {
		if n := l.Stats().Connections; n != 0 {
			t.Errorf("loop %d counts %d connections", l.Index(), n)
		}
	}
}

func TestClocks(t *testing.T) {
	r := startReactor(t, loopback(1), nil)
	l := r.Loops()[0]
	var now, wall int64
	for range 10 {
		call(t, l, func() {
			if l.Now() <= now || l.Wall() < wall || l.Seconds() != uint32(l.Now()/1e9) {
				t.Errorf("now %d after %d, wall %d after %d, seconds %d", l.Now(), now, l.Wall(), wall, l.Seconds())
			}
			now, wall = l.Now(), l.Wall()
		})
	}
	if before := time.Now().UnixMilli(); wall > before {
		t.Errorf("wall %d is later than %d", wall, before)
	}
}

func TestLastReadAndWrite(t *testing.T) {
	k := newFake(t)
	l := newTestLoop(t, k, nil)
	fd := k.socket()
	s := adopted(t, l, fd)[0]
	if l.LastRead(s) != l.Seconds() || l.LastWrite(s) != l.Seconds() {
		t.Error("clocks do not start at adoption")
	}
	l.now += int64(5 * time.Second)
	l.Write(s, []byte("x"))
	l.read(s, l.columns.at(s), false) // EAGAIN: nothing read
	if l.LastWrite(s) != l.Seconds() || l.LastRead(s) != l.Seconds()-5 {
		t.Errorf("last write %d, read %d, now %d", l.LastWrite(s), l.LastRead(s), l.Seconds())
	}
	k.sockets[fd].reads = []answer{{text: "x"}}
	k.sockets[fd].writes = []answer{{errno: unix.EAGAIN}}
	l.now += int64(5 * time.Second)
	l.Write(s, []byte("x"))
	l.read(s, l.columns.at(s), false)
	if l.LastWrite(s) != l.Seconds()-5 || l.LastRead(s) != l.Seconds() {
		t.Errorf("last write %d, read %d, now %d", l.LastWrite(s), l.LastRead(s), l.Seconds())
	}
}

// Posting to a loop that is awake makes no system call.
func TestPostWakesOnlySleepers(t *testing.T) {
	var busy atomic.Bool
	r := startReactor(t, loopback(1), func(h *hooks) { h.turn = busy.Load })
	l := r.Loops()[0]
	busy.Store(true)
	call(t, l, func() {}) // from here on Turn says more
	call(t, l, func() {})
	before := l.Stats()
	for range 1000 {
		call(t, l, func() {})
	}
	after := l.Stats()
	if after.Wakes != before.Wakes {
		t.Errorf("%d wakes of a busy loop", after.Wakes-before.Wakes)
	}
	busy.Store(false)
	eventually(t, "one wake of a sleeping loop", func() bool { // it may have got up for its sweep just then
		eventually(t, "asleep", l.asleep.Load)
		before = l.Stats()
		call(t, l, func() {})
		got := l.Stats().Wakes - before.Wakes
		if got > 1 {
			t.Errorf("%d wakes of a sleeping loop", got)
		}
		return got == 1
	})
}

// An idle loop wakes for the sweep and nothing else.
func TestIdleLoopSweepsOnly(t *testing.T) {
	var sweeps atomic.Int64
	r := startReactor(t, loopback(1), func(h *hooks) { h.sweep = func() { sweeps.Add(1) } })
	dial(t, r)
	l := r.Loops()[0]
	eventually(t, "adopted", func() bool { return l.Stats().Adopted == 1 })
	// The naps that follow the adoption end before the next sweep but one.
	arrived := sweeps.Load()
	eventually(t, "rest", func() bool { return sweeps.Load() >= arrived+2 })
	swept := sweeps.Load() // first: a sweep that comes between the two is a wait more that is allowed
	before := l.Stats().Waits
	eventually(t, "two sweeps", func() bool { return sweeps.Load() >= swept+2 })
	// At most one turn may be between its wait and its sweep, or be the adoption's.
	if waits, swept := l.Stats().Waits-before, sweeps.Load()-swept; int64(waits) > swept+2 {
		t.Errorf("%d waits for %d sweeps", waits, swept)
	}
}

// Connections cost columns, and no goroutine and no heap object.
func TestConnectionsCostColumnsOnly(t *testing.T) {
	const n = 2000
	r := startReactor(t, loopback(2), nil)
	measure := func() (goroutines int, objects uint64) {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return runtime.NumGoroutine(), m.HeapObjects
	}
	adoptAll := func(fds []int) {
		for i, fd := range fds {
			if !r.Loops()[i%2].Adopt(fd) {
				t.Fatal("Adopt refused")
			}
		}
		eventually(t, "all adopted", func() bool { return r.Stats().Adopted >= uint64(len(fds)) })
	}
	fds := make([]int, n)
	for i := range fds {
		fds[i], _ = pair(t)
	}
	adoptAll(fds[:2])
	goroutines, objects := measure()
	adoptAll(fds[2:])
	eventually(t, "all there", func() bool { return r.Stats().Adopted == n })
	goroutines2, objects2 := measure()
	if goroutines2 > goroutines {
		t.Errorf("%d goroutines became %d", goroutines, goroutines2)
	}
	// The test's own hooks hold maps of few objects; one a connection would be n.
	if objects2 > objects+n/10 {
		t.Errorf("%d heap objects became %d with %d connections", objects, objects2, n)
	}
}

func TestRaiseNoFile(t *testing.T) {
	soft, hard, err := RaiseNoFile()
	if err != nil || soft != hard || soft == 0 {
		t.Errorf("soft %d, hard %d, %v", soft, hard, err)
	}
	c := Config{NewHandler: func(*Loop) Handler { return nil }}
	if err := c.complete(); err != nil || c.MaxConnections != int(min(soft-fileReserve, maxSlots)) {
		t.Errorf("MaxConnections %d of %d files, %v", c.MaxConnections, soft, err)
	}
}

func TestReasonNames(t *testing.T) {
	seen := map[string]bool{}
	for r := ReasonNone; r <= ReasonDetached; r++ {
		if name := r.String(); name == "" || seen[name] || strings.HasPrefix(name, "reason_") {
			t.Errorf("reason %d is called %q", r, name)
		}
		seen[r.String()] = true
	}
	if got := ReasonApplication.String(); got != "reason_32" {
		t.Error(got)
	}
	if ReasonOf(nil) != ReasonNone || ReasonOf(io.EOF) != ReasonWriteError || ReasonOf(os.NewSyscallError("write", unix.EPIPE)) != ReasonPeerReset {
		t.Error("ReasonOf")
	}
}
