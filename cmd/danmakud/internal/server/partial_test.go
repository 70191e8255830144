package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/danmakud/danmakud/poller"
	"github.com/gorilla/websocket"
)

// on runs f on the loop of h and waits for it.
func on(t *testing.T, h *handler, f func()) {
	t.Helper()
	done := make(chan struct{})
	if !h.loop.Post(func() { defer close(done); f() }) {
		t.Fatal("post refused")
	}
	<-done
}

// feed hands bytes to the session of a slot as if they had been read at once.
func (h *handler) feed(t *testing.T, s poller.Slot, parts ...[]byte) {
	t.Helper()
	on(t, h, func() { h.Data(s, bytes.Join(parts, nil)) })
}

// held returns the bytes counted for unfinished heads and messages, and checks
// them against what is there.
func (h *handler) held(t *testing.T) (n int64) {
	t.Helper()
	on(t, h, func() {
		for s, k := range h.partials {
			if !h.loop.Open(s) {
				t.Errorf("slot %d is closed and has %d bytes", s, len(k.bytes))
			}
			n += k.charged
		}
	})
	if counted := h.server.partialBytes.Load(); counted != n {
		t.Errorf("%d bytes counted, the parts have %d", counted, n)
	}
	return n
}

// frame is a client's frame with fewer than 126 bytes of payload.
func frame(first byte, s string) []byte {
	p := maskedText(s)
	p[0] = first
	return p
}

// First bytes of frames.
const (
	textBegin    = 0x01
	continuation = 0x00
	lastPart     = 0x80
	pingFirst    = 0x89
	pongFirst    = 0x8A
)

// Memory grows with what has come, not with what was declared, and is given back.
func TestPartialBytesAreCounted(t *testing.T) {
	s := start(t, func(c *config.Config) { c.Loops = 1; c.MaxMessage = 1 << 20; c.PendingBytes = 4 << 20 })
	h := s.handlers[0]
	v := join(t, s, "r")
	h.feed(t, 0, []byte{0x81, 0xFF, 0, 0, 0, 0, 0, 0x0F, 0xFF, 0xFF}) // a megabyte is declared
	if n := h.held(t); n < partialOverhead || n > partialOverhead+64 {
		t.Errorf("%d bytes held for the 10 that came", n)
	}
	for range 100 {
		h.feed(t, 0, make([]byte, 100))
	}
	if n := h.held(t); n < 10_000 || n > 25_000 {
		t.Errorf("%d bytes held for the 10,010 that came", n)
	}
	w := join(t, s, "r")
	h.feed(t, 1, frame(textBegin, "a fragment"), frame(continuation, "and another")[:8])
	h.feed(t, 1, frame(continuation, "and another")[8:])
	h.feed(t, 1, frame(lastPart, ""))
	w.expect("error") // which is no JSON
	before := h.held(t)
	c, err := net.Dial("tcp", s.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for h.loop.Stats().Connections < 3 {
		time.Sleep(time.Millisecond)
	}
	h.feed(t, 2, []byte("GET /ws/r HT"))
	if n := h.held(t); n <= before || n > before+partialOverhead+16 {
		t.Errorf("%d bytes held, %d before 12 of a head", n, before)
	}
	c.Close()
	v.Close()
	eventually(t, s, "danmakud_connections 1")
	if n := h.held(t); n != 0 {
		t.Errorf("%d bytes held when nothing is unfinished", n)
	}
}

// Over the bound the one that asks for more goes, and others stay.
func TestPartialBytesAreBounded(t *testing.T) {
	s := start(t, func(c *config.Config) { c.PartialBytes, c.Loops = 1500, 1 })
	h := s.handlers[0]
	calm, greedy := join(t, s, "r"), join(t, s, "r")
	h.feed(t, 0, frame(textBegin, strings.Repeat(" ", 100)))
	h.feed(t, 1, frame(textBegin, ""))
	for range 20 {
		h.feed(t, 1, frame(continuation, strings.Repeat("y", 100)))
	}
	if code := greedy.expectClose(); code != websocket.CloseTryAgainLater {
		t.Errorf("closed with %d", code)
	}
	greedy.Close()
	eventually(t, s, `danmakud_closes_total{reason="partial_full"} 1`)
	if n := h.held(t); n == 0 || n > 400 {
		t.Errorf("%d bytes held for 100 of the calm one", n)
	}
	c, err := net.Dial("tcp", s.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Write([]byte("GET /ws/r HTTP/1.1\r\nX: " + strings.Repeat("x", 2000)))
	answer := make([]byte, 1024)
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	n, _ := c.Read(answer)
	if !bytes.Contains(answer[:n], []byte(" 503 ")) || !bytes.Contains(answer[:n], []byte("Retry-After")) {
		t.Errorf("half a head answered with %q", answer[:n])
	}
	h.feed(t, 0, frame(lastPart, `{"type":"ping"}`)) // what it had begun can be finished
	calm.expect("pong")
}

// The clock of a message runs from its first byte to its last, whatever comes
// between, and only while one is under way.
func TestMessageClock(t *testing.T) {
	s := start(t, func(c *config.Config) { c.Loops = 1; c.MessageTimeout = time.Hour })
	h := s.handlers[0]
	join(t, s, "r")
	const mark = 1 << 30 // a clock set earlier
	for _, c := range []struct {
		name    string
		running bool // before
		bytes   []byte
		want    string // "none", "new" or "same"
	}{
		{"a ping", false, frame(pingFirst, "p"), "none"},
		{"a header in part", false, frame(pingFirst, "p")[:1], "new"},
		{"and the rest of it", true, frame(pingFirst, "p")[1:], "none"},
		{"half a fragment", false, frame(textBegin, `{"type":`)[:8], "new"},
		{"its other half", true, frame(textBegin, `{"type":`)[8:], "same"},
		{"a ping between", true, frame(pingFirst, "p"), "same"},
		{"half a fragment more", true, frame(continuation, `"pi`)[:4], "same"},
		{"its other half", true, frame(continuation, `"pi`)[4:], "same"},
		{"half a ping between", true, frame(pingFirst, "p")[:3], "same"},
		{"and the rest of it", true, frame(pingFirst, "p")[3:], "same"},
		{"the end", true, frame(lastPart, `ng"}`), "none"},
		{"half a frame", false, frame(0x81, `{"type":"ping"}`)[:9], "new"},
		{"its end, and half another", true, append(frame(0x81, `{"type":"ping"}`)[9:], frame(0x81, `{"type":"ping"}`)[:9]...), "new"},
		{"its end", true, frame(0x81, `{"type":"ping"}`)[9:], "none"},
		{"half a ping", false, frame(pingFirst, "p")[:3], "new"},
		{"its end, and half another", true, append(frame(pingFirst, "p")[3:], frame(pingFirst, "p")[:3]...), "new"},
		{"its end", true, frame(pingFirst, "p")[3:], "none"},
	} {
		var got uint32
		on(t, h, func() {
			if c.running {
				h.session(0).deadline = mark
			}
			h.Data(0, c.bytes)
			got = h.session(0).deadline
		})
		if is := map[bool]string{got == 0: "none", got == mark: "same"}[true]; is != c.want && !(is == "" && c.want == "new") {
			t.Errorf("%s: deadline %d (%q), want %s", c.name, got, is, c.want)
		}
	}
	on(t, h, func() {
		if h.session(0).state != stateOpen {
			t.Error("closed meanwhile")
		}
	})
}

func TestMessageTimeout(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *config.Config) { c.Loops = 1 })
	h := s.handlers[0]
	v, stays := join(t, s, "r"), join(t, s, "r")
	h.feed(t, 0, frame(textBegin, `{`))
	h.feed(t, 1, frame(textBegin, `{`))
	on(t, h, func() { h.session(0).deadline = 1 }) // time is up at the next sweep
	if code := v.expectClose(); code != websocket.ClosePolicyViolation {
		t.Errorf("closed with %d", code)
	}
	v.Close()
	eventually(t, s, `danmakud_closes_total{reason="message_timeout"} 1`)
	h.feed(t, 1, frame(lastPart, `"type":"ping"}`))
	stays.expect("pong")
}

// A connection with more frames than a turn has time for goes on in the next
// ones, is not read from until it is done, and comes to the same answers.
func TestBacklog(t *testing.T) {
	s := start(t, func(c *config.Config) { c.Loops, c.CommentRate = 1, 0 })
	h := s.handlers[0]
	v := join(t, s, "r")
	const frames = 5*framesPerTurn + 7
	var flood []byte
	for range frames {
		flood = append(flood, frame(pongFirst, "")...)
	}
	flood = append(flood, frame(0x81, `{"type":"ping","ref":"last"}`)...)
	turns := 0
	on(t, h, func() {
		h.Data(0, flood)
		h.Turn() // that of the event
		for len(h.backlog) > 0 {
			if turns++; turns > 100 {
				t.Error("it never ends")
				break
			}
			if k := h.partials[0]; !k.waiting || len(k.bytes) != len(flood)-turns*framesPerTurn*6 {
				t.Errorf("after %d turns %+v", turns, k)
			}
			if !h.Turn() && len(h.backlog) > 0 {
				t.Error("no other turn is asked for")
			}
		}
	})
	if turns != 5 {
		t.Errorf("%d frames took %d further turns, want 5", frames, turns)
	}
	if m := v.expect("pong"); m.Ref != "last" {
		t.Errorf("got %+v", m)
	}
	v.say(`{"type":"ping","ref":"read again"}`) // the socket is read again
	v.expect("pong")
	if n := h.held(t); n != 0 {
		t.Errorf("%d bytes held", n)
	}
}

// However the bytes of a viewer are cut, and wherever a turn ends, each frame is
// handled once and in its place.
func TestFramesCutAnywhere(t *testing.T) {
	s := start(t, func(c *config.Config) { c.Loops, c.CommentRate = 1, 0 })
	h := s.handlers[0]
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	v := join(t, s, "r")
	var got []string
	v.SetPongHandler(func(p string) error { got = append(got, p); return nil })
	for round := range 40 {
		var stream []byte
		var want []string
		for i := range random.IntN(3 * framesPerTurn) {
			tag := fmt.Sprintf("%d.%d", round, i)
			message := fmt.Sprintf(`{"type":"ping","ref":%q}`, tag)
			switch random.IntN(8) {
			case 0:
				stream = append(stream, frame(0x81, message)...)
			case 1: // in fragments, with a ping between
				cut := random.IntN(len(message))
				stream = append(stream, frame(textBegin, message[:cut])...)
				stream = append(stream, frame(pingFirst, "between")...)
				stream = append(stream, frame(lastPart, message[cut:])...)
				want = append(want, "between")
			case 2:
				stream = append(stream, frame(pingFirst, tag)...)
			default:
				stream = append(stream, frame(pongFirst, "")...)
				continue
			}
			want = append(want, tag)
		}
		stream = append(stream, frame(0x81, `{"type":"ping","ref":"end"}`)...)
		want = append(want, "end")
		on(t, h, func() {
			for len(stream) > 0 {
				if k := h.partials[0]; k != nil && k.waiting {
					h.Turn() // nothing is read meanwhile
					continue
				}
				n := min(1+random.IntN(1+random.IntN(4000)), len(stream))
				h.Data(0, bytes.Clone(stream[:n]))
				stream = stream[n:]
				h.Turn()
			}
			for h.Turn() {
			}
		})
		got = nil
		for len(got) == 0 || got[len(got)-1] != "end" {
			v.SetReadDeadline(time.Now().Add(20 * time.Second))
			_, r, err := v.NextReader() // also handles the pongs before
			if err != nil {
				t.Fatalf("%v after %d of %d answers", err, len(got), len(want))
			}
			var m message
			if err := json.NewDecoder(r).Decode(&m); err != nil || m.Type != "pong" {
				t.Fatalf("got %+v, %v", m, err)
			}
			got = append(got, m.Ref)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("round %d: answers %q, want %q", round, got, want)
		}
	}
	if n := h.held(t); n != 0 {
		t.Errorf("%d bytes held in the end", n)
	}
}

// A flooder without any limit on its rate gets no more than its share of a turn,
// and others are answered meanwhile.
func TestFlooderGetsItsShareOfTurns(t *testing.T) {
	const many = 1 << 24
	s := start(t, func(c *config.Config) { c.Loops, c.CommentRate, c.FrameRate, c.FrameBurst = 1, 0, 1e-6, many })
	h := s.handlers[0]
	flooder, calm := join(t, s, "r"), join(t, s, "r")
	turns, frames := h.loop.Stats().Waits, 0
	stop := make(chan struct{})
	var flood sync.WaitGroup
	flood.Go(func() {
		block := bytes.Repeat(frame(pongFirst, ""), 10_000)
		for {
			select {
			case <-stop:
				return
			default:
				flooder.NetConn().Write(block)
			}
		}
	})
	for i := 0; frames < 100*framesPerTurn; i++ { // as long as it takes to show something
		calm.say(`{"type":"ping","ref":"%d"}`, i)
		calm.expect("pong")
		on(t, h, func() { frames = many - int(h.session(0).tokens.frames) })
	}
	turns = h.loop.Stats().Waits - turns
	close(stop)
	flooder.Close()
	flood.Wait()
	if most := framesPerTurn * int(turns); frames > most {
		t.Errorf("%d frames of the flooder in %d turns, want %d at most", frames, turns, most)
	}
}

// A peer that hangs up while it is in the backlog gets one more share of a turn.
func TestBacklogOfHungUp(t *testing.T) {
	s := start(t, func(c *config.Config) { c.Loops, c.CommentRate = 1, 0 })
	h := s.handlers[0]
	for _, c := range []struct{ frames, handled int }{
		{framesPerTurn + 44, framesPerTurn + 44},
		{3 * framesPerTurn, 2 * framesPerTurn},
	} {
		join(t, s, "r")
		on(t, h, func() {
			before := h.likes
			h.Data(0, bytes.Repeat(frame(0x81, `{"type":"like"}`), c.frames))
			h.HalfClosed(0)
			if got := int(h.likes - before); got != c.handled || h.loop.Open(0) {
				t.Errorf("%d of %d frames handled, want %d; open %v", got, c.frames, c.handled, h.loop.Open(0))
			}
		})
		if n := h.held(t); n != 0 {
			t.Errorf("%d bytes held", n)
		}
		eventually(t, s, "danmakud_connections 0")
	}
}

// Connections that end while they are in the backlog leave it.
func TestBacklogOfClosed(t *testing.T) {
	s := start(t, func(c *config.Config) { c.Loops, c.CommentRate = 1, 0 })
	h := s.handlers[0]
	gone, closing, bad, good := join(t, s, "r"), join(t, s, "r"), join(t, s, "r"), join(t, s, "r")
	flood := bytes.Repeat(frame(pongFirst, ""), 2*framesPerTurn)
	on(t, h, func() {
		h.Data(0, bytes.Clone(flood))
		h.Data(1, bytes.Clone(flood))
		h.Data(2, append(bytes.Clone(flood), 0x83, 0x80, 0, 0)) // an opcode that is none
		h.Data(3, append(bytes.Clone(flood), frame(0x81, `{"type":"ping"}`)...))
		h.loop.Close(0, poller.ReasonPeerReset)
		h.sendAway(0, false, drainPlan{})
		h.finish(1, 1001, "", reasonDrain)
		if len(h.backlog) != 4 {
			t.Errorf("%d in the backlog", len(h.backlog))
		}
	})
	gone.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, _, err := gone.ReadMessage(); err == nil {
		t.Error("the closed one goes on")
	}
	if code := closing.expectClose(); code != 1001 {
		t.Errorf("closed with %d", code)
	}
	closing.Close() // noticed only if it is read from again
	if code := bad.expectClose(); code != 1002 {
		t.Errorf("closed with %d", code)
	}
	bad.Close()
	good.expect("pong")
	eventually(t, s, "danmakud_connections 1")
	on(t, h, func() {
		if len(h.backlog) != 0 || len(h.partials) != 0 {
			t.Errorf("left: %d in the backlog, %d partials", len(h.backlog), len(h.partials))
		}
	})
}

// A panic while a connection of the backlog goes on ends that one.
func TestBacklogPanic(t *testing.T) {
	s := start(t, func(c *config.Config) { c.Loops, c.CommentRate = 1, 0 })
	h := s.handlers[0]
	v, other := join(t, s, "r"), join(t, s, "r")
	on(t, h, func() {
		for s := range poller.Slot(2) {
			h.Data(s, append(bytes.Repeat(frame(pongFirst, ""), framesPerTurn), frame(0x81, `{"type":"ping"}`)...))
		}
		settings := h.config
		h.config = nil // which decode reads
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic does not reach the loop, which counts it")
				}
			}()
			h.Turn() // that of the events
			h.Turn()
		}()
		h.config = settings
		if h.loop.Open(0) || !h.loop.Open(1) || len(h.backlog) != 1 {
			t.Errorf("open %v and %v, %d in the backlog", h.loop.Open(0), h.loop.Open(1), len(h.backlog))
		}
	})
	v.Close()
	other.expect("pong")
	eventually(t, s, `danmakud_closes_total{reason="panic"} 1`)
}

// The backlog is served in rotation, a few connections a turn.
func TestBacklogRotates(t *testing.T) {
	s := start(t, func(c *config.Config) { c.Loops, c.CommentRate = 1, 0 })
	h := s.handlers[0]
	const viewers = backlogPerTurn + 5
	for range viewers {
		join(t, s, "r")
	}
	on(t, h, func() {
		for i := range viewers {
			h.Data(poller.Slot(i), bytes.Repeat(frame(pongFirst, ""), 3*framesPerTurn))
		}
		for range 3 { // the first is that of the events
			h.Turn()
		}
		again := 2*backlogPerTurn - viewers // so many had both turns
		for i := range viewers {
			left := 0
			if k := h.partials[poller.Slot(i)]; k != nil {
				left = len(k.bytes) / len(frame(pongFirst, "")) / framesPerTurn
			}
			if want := map[bool]int{true: 0, false: 1}[i < again]; left != want {
				t.Errorf("viewer %d has %d turns to go, want %d", i, left, want)
			}
		}
		for h.Turn() {
		}
		if len(h.partials) != 0 {
			t.Errorf("%d partials left", len(h.partials))
		}
	})
}
