package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// The ways in which event-loop servers have broken before, each a test that
// bears its number. Those of the reactor alone (B2, B5, B10 to B13, B15, B17)
// are tested in package poller or are a property of the whole test run.

// TestB01_StrayBytesUnderChurn: connections come and go on few descriptors
// while a room is broadcast to; nobody gets what belongs to another.
func TestB01_StrayBytesUnderChurn(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--tick=10ms", "--comment-rate=0", "--loops=2")
	talker := s.join("loud")
	stop, silent := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(silent)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if talker.writeAll(masked(opText, say("loud", fmt.Sprint(n)))) != nil {
				return
			}
			for { // its own ack: one comment at a time
				if m, err := talker.read(); err != nil || m.Type == "ack" {
					break
				}
			}
		}
	}()
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 40 {
				room := []string{"loud", fmt.Sprintf("own%d", g)}[i%2]
				if err := s.visit(room, fmt.Sprintf("g%d-%d", g, i), i%3 == 0); err != nil {
					t.Errorf("%s, visit %d: %v", room, i, err)
					return
				}
			}
		})
	}
	all.Wait()
	close(stop)
	<-silent
	s.awaitMetric("danmakud_connections", 1)
}

// visit joins a room, makes one round trip with a tag of its own, and leaves.
func (s *instance) visit(room, tag string, rude bool) error {
	v := s.dial()
	defer v.conn.Close()
	p := append([]byte(requestHead("/ws/"+room+"?history=0")), masked(opText, `{"type":"ping","ref":"`+tag+`"}`)...)
	if err := v.writeAll(p); err != nil {
		return err
	}
	if err := v.readAccepted(); err != nil {
		return err
	}
	if v.welcome.Room != room {
		return fmt.Errorf("welcome to %s", v.welcome.Room)
	}
	for at := v.welcome.Seq; ; {
		m, err := v.read()
		switch {
		case err != nil:
			return err
		case m.Type == "pong" && m.Ref == tag:
			if rude {
				v.reset()
			}
			return nil
		case m.Type == "batch" && m.Room == room && m.Seq == at+1:
			at = m.Seq
		default:
			return fmt.Errorf("got %+v after batch %d", m, at)
		}
	}
}

// TestB03_DataBeforeFIN: what a peer wrote before it closed its direction is
// handled to the last byte.
func TestB03_DataBeforeFIN(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--comment-rate=0", "--tick=10ms", "--budget-bytes=1MiB") // all of them may be in one tick
	const comments = 600
	watcher := s.join("b3")
	v := s.dial()
	p := []byte(requestHead("/ws/b3"))
	for i := range comments {
		p = append(p, masked(opText, say(fmt.Sprintf("%d %s", i, strings.Repeat("弹", 150)), ""))...)
	}
	go io.Copy(io.Discard, v.conn) // else its batches would stop it
	v.write(p)
	v.closeWrite()
	for next := 0; next < comments; {
		b, _ := watcher.until("batch")
		for _, c := range b.comments {
			if !strings.HasPrefix(c.Text, fmt.Sprintf("%d ", next)) {
				t.Fatalf("comment %.10q, want number %d", c.Text, next)
			}
			next++
		}
	}
	s.awaitMetric("danmakud_connections", 1)
}

// TestB04_NoSpinAfterHangUp: connections reset or closed in one direction are
// gone, and the loops sleep: the number of wake-ups stands still but for the
// sweeps, each second one, and our own questions, each of which a loop follows
// with 300 ms of naps of 8 ms. A spin would be a hundred thousand.
func TestB04_NoSpinAfterHangUp(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--loops=2")
	for i := range 30 {
		v := s.join("b4")
		switch i % 3 {
		case 0:
			v.reset()
		case 1:
			v.closeWrite() // and keeps its own end open
		case 2:
			v.write([]byte{0x81, 0xfe})
			v.closeWrite()
		}
	}
	s.awaitMetric("danmakud_connections", 0)
	before := s.metrics()["danmakud_wakeups_total"]
	time.Sleep(2 * time.Second)
	if woken := s.metrics()["danmakud_wakeups_total"] - before; woken > 300 {
		t.Errorf("the loops woke %v times in some seconds in which nothing happened", woken)
	}
}

// TestB06_HalfFramesStopNobody: more half frames and half heads than there are
// loops; the rest stays served.
func TestB06_HalfFramesStopNobody(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--loops=2", "--comment-rate=0")
	var halves []*viewer
	whole := masked(opText, say("late", ""))
	for i := range 64 {
		v := s.dial()
		halves = append(halves, v)
		if i%2 == 0 {
			v.write([]byte(requestHead("/ws/b6"))[:40+i])
			continue
		}
		v.write([]byte(requestHead("/ws/b6")))
		v.accepted()
		v.write(whole[:1+i%(len(whole)-1)])
	}
	for range 8 {
		v := s.join("b6")
		v.ping("p")
		v.conn.Close()
	}
	// And what was begun can be finished.
	v := halves[1]
	v.write(whole[2:])
	if b, _ := v.until("batch"); b.comments[0].Text != "late" {
		t.Errorf("got %+v", b)
	}
}

// TestB07_BytesBehindTheHandshake: frames that come with the request head, in
// one segment or cut at any byte, reach the decoder. The round trip of another
// connection on the one loop makes sure that the first part is read alone.
func TestB07_BytesBehindTheHandshake(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--loops=1", "--comment-rate=0")
	other := s.join("other")
	head := requestHead("/ws/b7")
	p := append([]byte(head), masked(opText, `{"type":"ping","ref":"behind"}`)...)
	p = append(p, masked(opPing, "x")...)
	p = append(p, masked(opText, `{"type":"ping","ref":"last"}`)...)
	for cut := range p {
		v := s.dial()
		if cut > 0 {
			v.write(p[:cut])
			other.ping("p")
		}
		v.write(p[cut:])
		if err := v.readAccepted(); err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		for _, ref := range []string{"behind", "last"} {
			if m, err := v.read(); err != nil || m.Type != "pong" || m.Ref != ref {
				t.Fatalf("cut at %d: got %+v, %v; want pong %s", cut, m, err, ref)
			}
		}
		v.conn.Close()
	}
}

// TestB08_DeclaredLengthIsNotAllocated: frames that declare up to 2^63-1 bytes
// are refused by their header, and the server's memory does not follow them.
func TestB08_DeclaredLengthIsNotAllocated(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	before := s.metrics()["go_memstats_sys_bytes"]
	for i, n := range []uint64{4097, 1 << 16, 1 << 30, 1<<31 - 1, 1 << 32, 1 << 40, 1<<63 - 1} {
		for _, op := range []byte{opText, opBinary} {
			for range 5 {
				v := s.join("b8")
				v.write(append(frameHeader(op, i%2 == 0, true, n), 1, 2, 3, 4, 5))
				v.closedWith(1009)
			}
		}
	}
	v := s.join("b8")
	v.write(frameHeader(opText, true, true, 1<<63)) // the top bit must be 0
	v.closedWith(1002)
	if grown := s.metrics()["go_memstats_sys_bytes"] - before; grown > 64<<20 {
		t.Errorf("memory grew by %v bytes", grown)
	}
}

// TestB09_FloodStarvesNobody: connections that send without a pause share the
// one loop with others, which all finish their round trips while the flood goes on.
func TestB09_FloodStarvesNobody(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--loops=1", "--comment-rate=0")
	stop := make(chan struct{})
	var floods sync.WaitGroup
	block := []byte(strings.Repeat(string(masked(opPong, "")), 8<<10))
	for range 2 {
		v := s.join("flood")
		floods.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := v.writeAll(block); err != nil {
					t.Errorf("flood: %v", err)
					return
				}
			}
		})
	}
	reads := s.metrics()["danmakud_bytes_read_total"]
	var pingers []*viewer
	for range 50 {
		pingers = append(pingers, s.join("calm"))
	}
	for round := range 10 {
		for _, v := range pingers {
			v.ping(fmt.Sprint(round))
		}
	}
	flooded := s.metrics()["danmakud_bytes_read_total"] - reads
	close(stop)
	floods.Wait()
	if flooded < float64(len(block)) {
		t.Errorf("only %v bytes of flood were read meanwhile: the test shows nothing", flooded)
	}
}

// TestB14_CloseOnceAndInOrder: many connections end at one moment, each in
// another way. Who sends a close frame gets exactly one back and then the end;
// each connection is counted once.
func TestB14_CloseOnceAndInOrder(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--loops=2", "--comment-rate=0", "--tick=10ms")
	const each = 25
	ways := []func(v *viewer) error{
		func(v *viewer) error { // close frame behind a message: first the answer, then the close
			p := append(masked(opText, `{"type":"ping","ref":"z"}`), masked(opClose, "\x03\xe8bye")...)
			if err := v.writeAll(append(p, masked(opText, say("after close", ""))...)); err != nil {
				return err
			}
			return v.expectClose("z", 1000)
		},
		func(v *viewer) error { // close without a code
			if err := v.writeAll(masked(opClose, "")); err != nil {
				return err
			}
			return v.expectClose("", 0)
		},
		func(v *viewer) error { // two close frames
			if err := v.writeAll(append(masked(opClose, "\x03\xe9"), masked(opClose, "\x03\xe9")...)); err != nil {
				return err
			}
			return v.expectClose("", 1001)
		},
		func(v *viewer) error { // violation, then more of them
			if err := v.writeAll(append(masked(0x3, ""), masked(0x4, "")...)); err != nil {
				return err
			}
			return v.expectClose("", 1002)
		},
		func(v *viewer) error { return v.conn.Close() },
		func(v *viewer) error { v.reset(); return nil },
	}
	var all sync.WaitGroup
	start := make(chan struct{})
	for w, way := range ways {
		for range each {
			v := s.join("b14")
			all.Go(func() {
				<-start
				if err := way(v); err != nil {
					t.Errorf("way %d: %v", w, err)
				}
				v.conn.Close()
			})
		}
	}
	close(start)
	all.Wait()
	s.awaitMetric("danmakud_connections", 0)
	samples := s.metrics()
	if n := total(samples, "danmakud_closes_total"); n != float64(each*len(ways)) {
		t.Errorf("%v closes are counted, want %d", n, each*len(ways))
	}
	if n := samples[`danmakud_closes_total{reason="client_close"}`]; n != 3*each {
		t.Errorf("%v closes by a close frame are counted, want %d", n, 3*each)
	}
	if n := s.online("b14"); n != 0 {
		t.Errorf("%d are online", n)
	}
	if v := s.join("b14"); len(v.welcome.History) != 0 {
		t.Errorf("what came behind a close frame was said: %+v", v.welcome.History)
	}
}

// expectClose reads an optional pong, batches, one close frame with the code,
// and the end.
func (v *viewer) expectClose(pong string, code int) error {
	for {
		m, err := v.read()
		switch {
		case err != nil:
			return err
		case m.Type == "pong" && m.Ref == pong && pong != "":
			pong = ""
		case m.Type == "batch":
		case m.Type == "close":
			if m.closeCode != code || pong != "" {
				return fmt.Errorf("close %d %q, pong %q still owed; want %d", m.closeCode, m.Reason, pong, code)
			}
			if _, err := v.r.ReadByte(); !errors.Is(err, io.EOF) {
				return fmt.Errorf("after the close frame: %w, want EOF", err)
			}
			return nil
		default:
			return fmt.Errorf("unexpected %+v", m)
		}
	}
}

// TestB16_MemoryComesBack: storms of connections that each make the server
// hold something. After garbage collection the live heap is back where it was
// after the first storm, however many follow.
func TestB16_MemoryComesBack(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--comment-rate=0", "--loops=2",
		"--handshake-timeout=10m", "--message-timeout=10m", "--idle-timeout=0") // nobody is cut off while the machine is slow
	// live is the heap just behind a collection: the profile as text tells it
	// before the profile itself allocates.
	live := func() (bytes int) {
		s.awaitMetric("danmakud_connections", 0)
		for range 2 { // the second frees what the first one's finalizers let go
			_, profile := s.get("http://" + s.control + "/debug/pprof/heap?gc=1&debug=1")
			_, rest, _ := strings.Cut(profile, "# HeapAlloc = ")
			if _, err := fmt.Sscan(rest, &bytes); err != nil {
				t.Fatalf("no HeapAlloc in the heap profile: %v", err)
			}
		}
		return bytes
	}
	storm := func() {
		var viewers []*viewer
		for i := range 200 {
			v := s.dial()
			viewers = append(viewers, v)
			head := requestHead("/ws/b16?history=0", "X: "+strings.Repeat("x", 7000)+"\r\n")
			if i%4 == 0 {
				v.write([]byte(head[:7000]))
				continue
			}
			v.write([]byte(head))
			v.accepted()
			switch i % 4 {
			case 1:
				v.write(masked(opText, strings.Repeat(" ", 4096))[:4000])
			case 2:
				v.write(maskedFragment(opText, false, strings.Repeat(" ", 4000)))
			}
		}
		s.awaitMetric("danmakud_connections", 200)
		for _, v := range viewers {
			v.reset()
		}
	}
	storm()
	before := live()
	for range 3 {
		storm()
	}
	after := live()
	t.Logf("live heap after one storm %d bytes, after four %d", before, after)
	if after > before*6/5+256<<10 {
		t.Errorf("live heap is %d bytes after three more storms, was %d", after, before)
	}
}

// TestB18_GhostsAreNotCounted: a peer that answers nothing any more, not even a
// ping, leaves the counts; one that does nothing but answer pings stays.
func TestB18_GhostsAreNotCounted(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--idle-timeout=1s", "--pong-timeout=5s") // alive has the time that a busy machine needs
	alive := s.join("b18")
	done := make(chan error, 1)
	go func() { // answers pings until the comment comes
		for {
			m, err := alive.read()
			if err != nil || m.Type == "batch" {
				done <- err
				return
			}
		}
	}()
	for range 5 {
		s.join("b18") // its frames are never read nor answered
	}
	s.awaitMetric(`danmakud_closes_total{reason="pong_timeout"}`, 5)
	s.awaitMetric("danmakud_connections", 1)
	if n := s.online("b18"); n != 1 {
		t.Errorf("%d online, want 1", n)
	}
	s.join("b18").send(say("still there?", ""))
	if err := <-done; err != nil {
		t.Errorf("the viewer that answers pings was lost: %v", err)
	}
}

// TestB19_OrderIsKept: several senders number their comments and cut their
// bytes anywhere; every viewer on every loop sees each sender's numbers in
// order, each once.
func TestB19_OrderIsKept(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--loops=3", "--comment-rate=0", "--tick=10ms")
	const senders, comments, watchers = 4, 300, 9
	results := make(chan error, watchers)
	for range watchers {
		v := s.join("b19?history=0")
		go func() { results <- v.watchOrder(senders, comments) }()
	}
	var all sync.WaitGroup
	for k := range senders {
		v := s.join("b19?history=0")
		all.Go(func() {
			go io.Copy(io.Discard, v.conn)
			var p []byte
			for i := range comments {
				p = append(p, masked(opText, say(fmt.Sprintf("%d:%d", k, i), ""))...)
			}
			for size := 1; len(p) > 0; size = size*7%509 + 1 {
				n := min(size, len(p))
				if err := v.writeAll(p[:n]); err != nil {
					t.Error(err)
					return
				}
				p = p[n:]
			}
		})
	}
	all.Wait()
	for range watchers {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

func (v *viewer) watchOrder(senders, comments int) error {
	next := make([]int, senders)
	at := v.welcome.Seq
	for slices.Min(next) < comments {
		m, err := v.read()
		if err != nil {
			return err
		}
		if m.Type != "batch" || m.Seq != at+1 {
			return fmt.Errorf("got %+v after batch %d", m, at)
		}
		at = m.Seq
		for _, c := range m.comments {
			var k, i int
			if _, err := fmt.Sscanf(c.Text, "%d:%d", &k, &i); err != nil || i != next[k] {
				return fmt.Errorf("comment %q of sender %d, want number %d", c.Text, k, next[k])
			}
			next[k]++
		}
	}
	return nil
}
