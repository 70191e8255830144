package poller

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The classes of bugs that hand-made event loops have had before, on real
// sockets. What needs a forced order of events is in turn_test.go.

// B1: a write reaches another client because an fd was reused. 8 goroutines post
// to handles of connections that come and go on few fds, mostly gone already;
// every byte a client gets must be its own tag.
func TestB1NoByteStrays(t *testing.T) {
	const posters, clients, lives, messages = 8, 16, 40, 5
	var (
		mu     sync.Mutex
		recent []posting // the last ones, dead or alive
		ended  = make(chan struct{})
		posts  sync.WaitGroup
		dials  sync.WaitGroup
	)
	r := startReactor(t, loopback(2), func(h *hooks) {
		h.data = func(s Slot, p []byte) {
			if len(p) < 4 {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			recent = append(recent, posting{h.l.Handle(s), [4]byte(p)})
			recent = recent[max(0, len(recent)-2*clients):]
		}
	})
	for range posters {
		posts.Go(func() {
			for {
				select {
				case <-ended:
					return
				default:
				}
				mu.Lock()
				batch := append([]posting(nil), recent...)
				mu.Unlock()
				var ran sync.WaitGroup // a poster has one batch under way
				for _, p := range batch {
					l := r.Loops()[p.to.Loop()]
					ran.Add(1)
					if !l.Post(func() {
						defer ran.Done()
						if s, ok := l.Resolve(p.to); ok {
							l.Write(s, p.tag[:])
						}
					}) {
						ran.Done()
					}
				}
				ran.Wait()
				time.Sleep(100 * time.Microsecond)
			}
		})
	}
	var received atomic.Int64
	for i := range clients {
		dials.Go(func() {
			for life := range lives {
				n, err := liveTagged(r.Addrs()[0].String(), uint32(i*lives+life+1), messages)
				received.Add(int64(n))
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	dials.Wait()
	close(ended)
	posts.Wait()
	if received.Load() != clients*lives*messages*4 {
		t.Errorf("%d bytes received", received.Load())
	}
}

type posting struct {
	to  Handle
	tag [4]byte
}

// liveTagged is one life of a client: say the tag, hear nothing but it, vanish.
func liveTagged(addr string, id uint32, messages int) (n int, err error) {
	var tag [4]byte
	binary.BigEndian.PutUint32(tag[:], id)
	c, err := net.DialTimeout("tcp", addr, hangGuard)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	c.(*net.TCPConn).SetLinger(0)
	c.SetDeadline(time.Now().Add(hangGuard))
	if _, err := c.Write(tag[:]); err != nil {
		return 0, err
	}
	for range messages {
		var got [4]byte
		k, err := io.ReadFull(c, got[:])
		n += k
		if err != nil {
			return n, err
		}
		if got != tag {
			return n, fmt.Errorf("connection %x got bytes %x of another", tag, got)
		}
	}
	return n, nil
}

// B3: the peer writes and ends at once. All bytes come before the end.
func TestB3DataBeforeEnd(t *testing.T) {
	for _, full := range []bool{false, true} {
		t.Run(fmt.Sprintf("close=%v", full), func(t *testing.T) {
			const size = 300 << 10
			sums := make(chan [32]byte, 1)
			var got bytes.Buffer
			c := loopback(1)
			c.ReceiveBuffer = 1 << 10
			r := startReactor(t, c, func(h *hooks) {
				h.data = func(s Slot, p []byte) { got.Write(p) }
				h.halfClosed = func(s Slot) {
					sums <- sha256.Sum256(got.Bytes())
					h.l.Close(s, ReasonPeerClosed)
				}
			})
			conn := dial(t, r)
			sent := pattern(size)
			if _, err := conn.Write(sent); err != nil {
				t.Fatal(err)
			}
			if full {
				conn.Close()
			} else {
				conn.CloseWrite()
			}
			select {
			case sum := <-sums:
				if sum != sha256.Sum256(sent) {
					t.Errorf("%d of %d bytes came before the end", got.Len(), size)
				}
			case <-time.After(hangGuard):
				t.Fatal("no end")
			}
		})
	}
}

// B4: a half-closed or reset peer must not make the loop spin. After what
// happened has been dealt with, the loop only wakes for what the test posts.
func TestB4NoSpin(t *testing.T) {
	for _, c := range []struct {
		name  string
		pause bool // reading is paused when it happens
		end   func(c *net.TCPConn)
		then  func(l *Loop, s Slot) // after it was seen
		seen  string
	}{
		{"half close kept", false, func(c *net.TCPConn) { c.CloseWrite() }, nil, "ended"},
		{"half close answered", false, func(c *net.TCPConn) { c.CloseWrite() }, func(l *Loop, s Slot) { l.CloseWrite(s) }, "ended"},
		{"reset", false, func(c *net.TCPConn) { c.SetLinger(0); c.Close() }, nil, "closed"},
		{"reset while paused", true, func(c *net.TCPConn) { c.SetLinger(0); c.Close() }, nil, "closed"},
		{"half close while paused", true, func(c *net.TCPConn) { c.CloseWrite() }, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var slot atomic.Uint32
			var ended, closed, sweeps atomic.Int64
			r := startReactor(t, loopback(1), func(h *hooks) {
				h.data = func(s Slot, p []byte) {
					slot.Store(uint32(s))
					h.l.PauseRead(s, c.pause)
					h.l.Write(s, p)
				}
				h.halfClosed = func(Slot) { ended.Add(1) }
				h.closed = func(Slot, Reason) { closed.Add(1) }
				h.sweep = func() { sweeps.Add(1) }
			})
			l := r.Loops()[0]
			conn := dial(t, r)
			ping(t, conn, "x")
			call(t, l, func() {})
			c.end(conn)
			switch c.seen {
			case "ended":
				eventually(t, "end seen", func() bool { return ended.Load() == 1 })
			case "closed":
				eventually(t, "closed", func() bool { return closed.Load() == 1 })
			}
			if c.then != nil {
				call(t, l, func() { c.then(l, Slot(slot.Load())) })
				eventually(t, "closed by the hang-up", func() bool { return closed.Load() == 1 })
			}
			const calls = 20
			swept := sweeps.Load() // first: a sweep that comes between the two is a wait more that is allowed
			before := l.Stats().Waits
			for range calls {
				call(t, l, func() {})
				time.Sleep(time.Millisecond) // what spins, spins now
			}
			// One wait a call, one for it to sleep again, and the sweeps.
			if waits := l.Stats().Waits - before; waits > 2*calls+2*uint64(sweeps.Load()-swept)+2 {
				t.Errorf("%d waits for %d calls", waits, calls)
			}
			if ended.Load() > 1 || closed.Load() > 1 {
				t.Errorf("ended %d times, closed %d times", ended.Load(), closed.Load())
			}
		})
	}
}

// B5: a tiny send buffer and a reader that stalls at random. Every byte arrives,
// once and in order; writability is asked for while blocked and not after.
func TestB5ShortWrites(t *testing.T) {
	const size = 1 << 20
	payload := make([]byte, size)
	rng := rand.New(rand.NewPCG(5, 5))
	for i := range payload {
		payload[i] = byte(rng.Uint32())
	}
	var armed, done atomic.Int64
	c := loopback(1)
	c.Socket.SendBuffer = 4 << 10
	r := startReactor(t, c, func(h *hooks) {
		rest := payload
		flush := func(s Slot) {
			n, err := h.l.Write(s, rest)
			if err != nil {
				h.l.Close(s, ReasonOf(err))
				return
			}
			rest = rest[n:]
			h.l.WantWrite(s, len(rest) > 0)
			if len(rest) == 0 {
				done.Add(1)
			}
		}
		h.opened = flush
		h.writable = func(s Slot) { armed.Add(1); flush(s) }
	})
	conn := dial(t, r)
	hash, got := sha256.New(), 0
	for buf := make([]byte, 16<<10); got < size; {
		n, err := conn.Read(buf[:1+rng.IntN(len(buf))])
		if err != nil {
			t.Fatalf("after %d bytes: %v", got, err)
		}
		hash.Write(buf[:n])
		got += n
		if rng.IntN(16) == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	if [32]byte(hash.Sum(nil)) != sha256.Sum256(payload) {
		t.Error("not the bytes that were sent")
	}
	l := r.Loops()[0]
	eventually(t, "all written", func() bool { return done.Load() == 1 })
	call(t, l, func() {
		if c := l.columns.at(0); c.armed != wantRead {
			t.Errorf("interest %d after all was written", c.armed)
		}
	})
	s := l.Stats()
	if armed.Load() == 0 || s.ShortWrites == 0 || s.BytesWritten != size {
		t.Errorf("writable %d times, %+v", armed.Load(), s)
	}
	if after := armed.Load(); done.Load() != 1 || after != armed.Load() {
		t.Error("writable called with nothing to write")
	}
}

// B9: one connection that never stops sending does not keep others waiting. Per
// turn it gets one read; so between a ping and its answer it gets few.
func TestB9FlooderDoesNotStarve(t *testing.T) {
	const pingers, rounds = 50, 5
	type perTurn struct{ reads map[Slot]int }
	turn := perTurn{map[Slot]int{}}
	var flood Slot = noSlot
	var flooded, worst, turns atomic.Int64
	r := startReactor(t, loopback(1), func(h *hooks) {
		h.data = func(s Slot, p []byte) {
			turn.reads[s]++
			worst.Store(max(worst.Load(), int64(turn.reads[s])))
			switch {
			case flood == s || len(p) > 16:
				flood = s
				flooded.Add(1)
			default:
				h.l.Write(s, p)
			}
		}
		h.turn = func() bool { clear(turn.reads); turns.Add(1); return false }
	})
	stop := make(chan struct{})
	var flooder sync.WaitGroup
	conn := dial(t, r)
	flooder.Go(func() {
		for block := pattern(64 << 10); ; {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := conn.Write(block); err != nil {
				t.Error(err)
				return
			}
		}
	})
	eventually(t, "flood", func() bool { return flooded.Load() > 10 })
	var conns []net.Conn
	for range pingers {
		conns = append(conns, dial(t, r))
	}
	for i := range rounds {
		for _, c := range conns {
			ping(t, c, fmt.Sprint("ping", i))
		}
	}
	close(stop)
	flooder.Wait()
	if worst.Load() != 1 {
		t.Errorf("%d reads of one connection in one turn", worst.Load())
	}
	if flooded.Load() > turns.Load()+1 {
		t.Errorf("%d reads of the flooder in %d turns", flooded.Load(), turns.Load())
	}
}

const childEnv = "DANMAKUD_POLLER_TEST_CHILD"

// runChild is the server of TestB12OutOfFiles, in a process of its own with few
// fds. It answers each line on its input with its counts.
func runChild() {
	const spare = 24
	var limit unix.Rlimit
	setTo(&limit.Cur, countFDs()+spare)
	setTo(&limit.Max, countFDs()+spare)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		panic(err)
	}
	c := loopback(1)
	c.RefuseReply = []byte("full")
	c.NewHandler = func(l *Loop) Handler {
		h := &hooks{l: l, live: map[Slot]bool{}}
		echo(h)
		return h
	}
	r, err := New(c)
	if err != nil {
		panic(err)
	}
	r.Start()
	fmt.Println(r.Addrs()[0])
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		s := r.Stats()
		fmt.Println(s.Accepted, s.RefusedFiles, s.AcceptPaused, s.AcceptWaits)
	}
	r.Stop()
}

// setTo is for the fields of a limit, which FreeBSD has signed.
func setTo[T int64 | uint64](field *T, n int) { *field = T(n) }

// B12: no fd is left. Accepting pauses instead of spinning, those that wait get
// an answer from the reserve, and all is well when fds are free again.
func TestB12OutOfFiles(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"=1")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stdout)
	defer func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("child: %v", err)
		}
	}()
	addr, err := lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	addr = strings.TrimSpace(addr)
	var accepted, refused, paused, waits int
	ask := func() {
		fmt.Fprintln(stdin, "?")
		if _, err := fmt.Fscanln(lines, &accepted, &refused, &paused, &waits); err != nil {
			t.Fatal(err)
		}
	}

	const n = 60
	var served, answered []net.Conn
	for range n {
		c, err := net.DialTimeout("tcp", addr, hangGuard)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(hangGuard))
		io.WriteString(c, "ping")
		var got [4]byte
		if _, err := io.ReadFull(c, got[:]); err != nil {
			t.Fatalf("neither served nor refused: %v", err)
		}
		if string(got[:]) == "full" {
			answered = append(answered, c)
		} else {
			served = append(served, c)
		}
		if len(answered) == 3 {
			break // each batch waits for a pause to end
		}
	}
	ask()
	t.Logf("served %d; accepted %d, refused %d, paused %d, waits %d", len(served), accepted, refused, paused, waits)
	if len(served) == 0 || len(answered) != 3 || refused != 3 || paused == 0 {
		t.Errorf("served %d, answered %d, refused %d, paused %d", len(served), len(answered), refused, paused)
	}
	// One wait a connection, and two a pause: its end, and the next attempt.
	if bound := accepted + 3*paused + 3*refused + 3; waits > bound {
		t.Errorf("%d waits, want at most %d: accepting spins", waits, bound)
	}
	for _, c := range served {
		c.Close()
	}
	eventually(t, "recovered", func() bool {
		c, err := net.DialTimeout("tcp", addr, hangGuard)
		if err != nil {
			return false
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(hangGuard))
		io.WriteString(c, "ping")
		var got [4]byte
		_, err = io.ReadFull(c, got[:])
		return err == nil && string(got[:]) == "ping"
	})
}

// B13: loops get the same number of connections, also after some of them lost
// theirs.
func TestB13Balance(t *testing.T) {
	const loops, n = 4, 200
	r := startReactor(t, loopback(loops), echo)
	check := func() {
		t.Helper()
		least, most := n, 0
		for _, l := range r.Loops() {
			c := l.Stats().Connections
			least, most = min(least, c), max(most, c)
		}
		if float64(most) > 1.2*float64(least) {
			t.Errorf("between %d and %d connections a loop", least, most)
		}
	}
	fill := func() {
		t.Helper()
		for r.Connections() < n {
			ping(t, dial(t, r), "x")
		}
	}
	fill()
	check()
	l := r.Loops()[0]
	call(t, l, func() {
		for s := range Slot(l.Slots()) {
			l.Close(s, ReasonApplication)
		}
	})
	eventually(t, "a loop emptied", func() bool { return l.Stats().Connections == 0 })
	fill()
	check()
}

// B14: peers and posted calls close the same connections at the same time, and
// the reactor stops in the middle of it. Each is closed once; hooks check.
func TestB14MassClose(t *testing.T) {
	const n = 400
	for range 3 {
		var mu sync.Mutex
		var handles []Handle
		var opened, closed atomic.Int64
		r := startReactor(t, loopback(2), func(h *hooks) {
			h.opened = func(s Slot) {
				mu.Lock()
				handles = append(handles, h.l.Handle(s))
				mu.Unlock()
				opened.Add(1)
			}
			h.closed = func(Slot, Reason) { closed.Add(1) }
		})
		var theirs []int
		for i := range n {
			ours, their := pairUnmanaged(t)
			theirs = append(theirs, their)
			if !r.Loops()[i%2].Adopt(ours) {
				t.Fatal("Adopt refused")
			}
		}
		eventually(t, "all open", func() bool { return opened.Load() == n })
		var all sync.WaitGroup
		all.Go(func() {
			for _, fd := range theirs {
				unix.Close(fd)
			}
		})
		for range 4 {
			all.Go(func() {
				for _, h := range handles {
					l := r.Loops()[h.Loop()]
					l.Post(func() {
						if s, ok := l.Resolve(h); ok {
							l.Close(s, ReasonApplication)
						}
					})
				}
			})
		}
		all.Go(func() {
			eventually(t, "half closed", func() bool { return closed.Load() >= n/2 })
			r.Stop()
		})
		all.Wait()
		if opened.Load() != n || closed.Load() != n {
			t.Errorf("opened %d, closed %d", opened.Load(), closed.Load())
		}
	}
}

func pairUnmanaged(t *testing.T) (ours, theirs int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	unix.SetNonblock(fds[0], true)
	return fds[0], fds[1]
}
