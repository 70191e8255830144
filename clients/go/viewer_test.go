package danmaku

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// quick is for the way that is cut: the waits of the back-off are short, those for
// an answer only where the test waits for their end.
var quick = Options{
	History: 50,
	Backoff: Backoff{Base: 5 * time.Millisecond, Cap: 50 * time.Millisecond, Stable: time.Hour},
	pace:    pace{welcome: 2 * time.Second, ping: 100 * time.Millisecond, pong: 2 * time.Second, write: patience, leave: 100 * time.Millisecond},
}

// calm is quick without ends of patience: it takes a server on a busy machine for lost
// only when the way is cut.
var calm = func() Options {
	o := quick
	o.pace.welcome, o.pace.pong = patience, patience
	return o
}()

func join(t *testing.T, address, room string, options Options) *Viewer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	v, err := Join(ctx, "ws://"+address, room, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		v.Close()
		cancel()
	})
	return v
}

// await takes events until f has what it wants.
func await(t *testing.T, v *Viewer, what string, f func(Event) bool) {
	t.Helper()
	guard := time.After(patience)
	for {
		select {
		case e, ok := <-v.Events():
			if !ok {
				t.Fatalf("no %s: the viewer has ended: %v", what, v.Err())
			}
			if f(e) {
				return
			}
		case <-guard:
			t.Fatalf("no %s", what)
		}
	}
}

func send(t *testing.T, v *Viewer, text string) string {
	t.Helper()
	id, err := v.Send(t.Context(), text, Look{})
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return id
}

func TestSpeakAndListen(t *testing.T) {
	s := run(t, "127.0.0.1:0")
	a, b := join(t, s.public, "r1", Options{}), join(t, s.public, "r1", Options{})
	id, err := a.Send(t.Context(), "前方高能", Look{Color: 0xff9d5c, Mode: "top", Size: "large"})
	if err != nil || id == "" {
		t.Fatalf("id %q, %v", id, err)
	}
	await(t, b, "comment", func(e Event) bool {
		batch, ok := e.(*Batch)
		if !ok || len(batch.Comments) == 0 {
			return false
		}
		c := batch.Comments[0]
		if c.ID != id || c.Text != "前方高能" || c.Color == nil || *c.Color != 0xff9d5c || c.Mode != "top" || c.Size != "large" || !strings.HasPrefix(c.UID, "~") {
			t.Errorf("%+v", c)
		}
		return true
	})
	if err := a.Like(7); err != nil {
		t.Fatal(err)
	}
	await(t, b, "likes", func(e Event) bool { batch, ok := e.(*Batch); return ok && batch.Likes == 7 })
	post(t, s, "/v1/rooms/r1/gift", `{"user":"u7","name":"小明","gift":"rocket","num":2,"price":1000}`)
	await(t, b, "gift", func(e Event) bool {
		batch, ok := e.(*Batch)
		return ok && slices.ContainsFunc(batch.Comments, func(c Comment) bool {
			return c.Kind == Gift && c.Gift == "rocket" && c.Num == 2 && c.Price == 1000 && c.Name == "小明"
		})
	})
	var refused *Error
	if _, err := a.Send(t.Context(), strings.Repeat("x", 201), Look{}); !errors.As(err, &refused) || refused.Code != "too_long" || refused.Sent {
		t.Errorf("too long: %v", err)
	}
}

func post(t *testing.T, s *server, path, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.control+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Close = true
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", path, answer.Status)
	}
}

func TestRefusedWithTheWait(t *testing.T) {
	s := run(t, "127.0.0.1:0", "--comment-rate=0.01", "--comment-burst=1")
	v := join(t, s.public, "r1", Options{})
	send(t, v, "first")
	var refused *Error
	if _, err := v.Send(t.Context(), "second", Look{}); !errors.As(err, &refused) || refused.Code != "rate_limited" || refused.RetryAfter <= 0 {
		t.Errorf("%v", err)
	}
}

// TestEveryCut: whatever happens to the connection, what was said meanwhile is told
// once, in order, and no gap.
func TestEveryCut(t *testing.T) {
	s := run(t, "127.0.0.1:0", "--history=50")
	p := newProxy(t, s.public)
	speaker, watcher := join(t, s.public, "storm", calm), join(t, p.address, "storm", quick)
	unavailable := plan{answer: "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"}
	reset := func(plans ...plan) func() {
		return func() {
			p.next(plans...)
			p.each(func(l *link) { l.reset() })
		}
	}
	cuts := []struct {
		name string
		cut  func()
	}{
		{"reset", reset()},
		{"end of stream", func() { p.each(func(l *link) { l.viewer.(*net.TCPConn).CloseWrite() }) }},
		{"half-open: nobody says so", func() { p.each(func(l *link) { l.vanish() }) }},
		{"503, three times", reset(unavailable, unavailable, unavailable)},
		{"reset instead of an answer, and within it", reset(plan{inHead: true, resetAt: 1}, plan{inHead: true, resetAt: 60})},
		{"accepted, and not a word", reset(plan{silent: true})},
		{"no answer of WebSocket", reset(plan{answer: "what?\r\n\r\n"}, plan{answer: "HTTP/1.1 101 Switching Protocols\r\n\r\n"})},
		{"within the header of the welcome", reset(plan{finishAt: 1}, plan{resetAt: 3})},
		{"within the welcome", reset(plan{finishAt: 50}, plan{resetAt: 90})},
		{"within what comes behind it", reset(plan{resetAt: 250}, plan{finishAt: 400}, plan{finishAt: 700})},
	}
	var said, heard []string
	say := func(n int) {
		for range n {
			text := fmt.Sprint("number ", len(said))
			send(t, speaker, text)
			said = append(said, text)
		}
	}
	waits := 0
	hear := func() {
		await(t, watcher, "last word", func(e Event) bool {
			switch e := e.(type) {
			case *Batch:
				for _, c := range e.Comments {
					heard = append(heard, c.Text)
				}
			case *Welcome:
				for _, c := range e.History {
					heard = append(heard, c.Text)
				}
			case *Gap:
				t.Errorf("gap %+v", e)
			case *Lost:
				waits++
				if e.Wait > quick.Backoff.Cap {
					t.Errorf("waits for %v", e.Wait)
				}
			}
			return len(heard) > 0 && heard[len(heard)-1] == said[len(said)-1]
		})
	}
	for _, c := range cuts {
		say(2)
		hear()
		before, made := waits, p.connections()
		c.cut()
		say(30)
		hear()
		if waits == before && p.connections() == made {
			// The way was cut behind what was asked: the loss is told now.
			await(t, watcher, "loss", func(e Event) bool { _, lost := e.(*Lost); return lost })
			waits++
			say(1)
			hear()
		}
		if left := p.forget(); left > 0 {
			t.Errorf("%s: %d of its cuts were never made", c.name, left)
		}
		if !slices.Equal(heard, said) {
			t.Fatalf("%s: heard %d of %d said, %q", c.name, len(heard), len(said), heard[max(0, len(heard)-40):])
		}
	}
	t.Logf("%d kinds of cuts, %d losses, %d connections, %d comments, each heard once", len(cuts), waits, p.connections(), len(said))
}

// TestStable: only a connection that lasted forgets the failures before it.
func TestStable(t *testing.T) {
	s := run(t, "127.0.0.1:0")
	p := newProxy(t, s.public)
	for _, c := range []struct {
		stable  time.Duration
		forgets bool
	}{{time.Nanosecond, true}, {time.Hour, false}} {
		options := calm
		options.Backoff.Stable = c.stable
		v := join(t, p.address, "r1", options)
		var longest time.Duration
		for range 15 {
			await(t, v, "welcome", func(e Event) bool { _, ok := e.(*Welcome); return ok })
			p.each(func(l *link) { l.reset() })
			await(t, v, "loss", func(e Event) bool {
				lost, ok := e.(*Lost)
				if ok {
					longest = max(longest, lost.Wait)
				}
				return ok
			})
		}
		if (longest <= options.Backoff.Base) != c.forgets {
			t.Errorf("stable after %v: the longest of 15 waits is %v", c.stable, longest)
		}
		v.Close()
	}
}

func TestSendThroughACut(t *testing.T) {
	s := run(t, "127.0.0.1:0")
	p := newProxy(t, s.public)
	options := calm
	options.pace.ping = time.Hour // the first thing sent is the comment
	p.next(plan{swallowUp: true})
	v := join(t, p.address, "r1", options)
	var lost *Error
	if _, err := v.Send(t.Context(), "never", Look{}); !errors.As(err, &lost) || lost.Code != "disconnected" || !lost.Sent {
		t.Errorf("cut while it goes out: %v", err)
	}
	await(t, v, "welcome", func(e Event) bool { _, ok := e.(*Lost); return ok })
	await(t, v, "welcome", func(e Event) bool { _, ok := e.(*Welcome); return ok })
	send(t, v, "back")
	// An answer that does not come: the caller's patience is the caller's.
	p.each(func(l *link) { l.vanish() })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := v.Send(ctx, "nobody hears", Look{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without an answer: %v", err)
	}
}

// keptAddress is one for a server that is away for a moment: unlike one that the system
// chose, connections are not given its port meanwhile.
func keptAddress(t *testing.T) string {
	t.Helper()
	for range 1000 {
		listener, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", 10_000+rand.IntN(10_000)))
		if err == nil {
			listener.Close()
			return listener.Addr().String()
		}
	}
	t.Fatal("no port is free")
	return ""
}

// TestDrainAndRestart: goodbye is told, its wait honoured, and the new run of the
// server is a gap, over which the history helps.
func TestDrainAndRestart(t *testing.T) {
	s := run(t, keptAddress(t), "--history=50")
	v := join(t, s.public, "r1", calm)
	send(t, v, "before")
	s.stop(syscall.SIGTERM)
	var goodbye *Goodbye
	await(t, v, "goodbye", func(e Event) bool { goodbye, _ = e.(*Goodbye); return goodbye != nil })
	if goodbye.Reason != "draining" || goodbye.RetryAfterMS <= 0 {
		t.Errorf("%+v", goodbye)
	}
	await(t, v, "loss", func(e Event) bool {
		lost, ok := e.(*Lost)
		if asked := min(time.Duration(goodbye.RetryAfterMS)*time.Millisecond, 10*quick.Backoff.Cap); ok && lost.Wait < asked {
			t.Errorf("waits %v, %v was asked for", lost.Wait, asked)
		}
		return ok
	})
	s = run(t, s.public, "--history=50")
	speaker := join(t, s.public, "r1", calm)
	send(t, speaker, "after")
	gap, heard := false, false
	await(t, v, "gap, and what was said", func(e Event) bool {
		switch e := e.(type) {
		case *Gap:
			gap = e.NewEpoch
		case *Welcome:
			heard = heard || slices.ContainsFunc(e.History, func(c Comment) bool { return c.Text == "after" })
		case *Batch:
			heard = heard || slices.ContainsFunc(e.Comments, func(c Comment) bool { return c.Text == "after" })
		}
		return gap && heard
	})
}

// TestGoneTooLong: what the server does not have any more is a gap.
func TestGoneTooLong(t *testing.T) {
	s := run(t, "127.0.0.1:0", "--resume-age=0s", "--history=5")
	p := newProxy(t, s.public)
	speaker, watcher := join(t, s.public, "r1", calm), join(t, p.address, "r1", calm)
	send(t, speaker, "one")
	await(t, watcher, "one", func(e Event) bool { b, ok := e.(*Batch); return ok && len(b.Comments) == 1 })
	var wait time.Duration
	tries := 0
	busy := plan{answer: "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\nRetry-After: 1\r\n\r\n"}
	p.next(slices.Repeat([]plan{busy}, 1000)...) // as long as others speak
	p.each(func(l *link) { l.reset() })
	for i := range 20 {
		send(t, speaker, fmt.Sprint("two ", i))
	}
	await(t, watcher, "second try", func(e Event) bool {
		lost, ok := e.(*Lost)
		if ok {
			tries, wait = tries+1, max(wait, lost.Wait)
		}
		return tries == 2 // the loss, and who was refused once
	})
	p.forget()
	var history []Comment
	await(t, watcher, "gap", func(e Event) bool {
		switch e := e.(type) {
		case *Lost:
			wait = max(wait, e.Wait)
		case *Welcome:
			history = e.History
		}
		gap, ok := e.(*Gap)
		if ok && (gap.NewEpoch || gap.From == 0 || gap.To < gap.From) {
			t.Errorf("%+v", gap)
		}
		return ok
	})
	if asked := min(time.Second, 10*quick.Backoff.Cap); wait < asked {
		t.Errorf("waited %v, %v was asked for", wait, asked)
	}
	if len(history) == 0 || slices.ContainsFunc(history, func(c Comment) bool { return c.Text == "one" }) {
		t.Errorf("history %+v", history)
	}
}

func TestWhatEndsIt(t *testing.T) {
	key := bytes.Repeat([]byte("k"), 32)
	file := t.TempDir() + "/key"
	if err := os.WriteFile(file, key, 0o600); err != nil {
		t.Fatal(err)
	}
	s := run(t, "127.0.0.1:0", "--token-key="+file)
	var stopped *Error
	for name, options := range map[string]Options{"token": {Token: "no.token.atall"}} {
		if _, err := Join(t.Context(), "ws://"+s.public, "r1", options); !errors.As(err, &stopped) || stopped.Code != "stopped" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Join(t.Context(), "ws://"+s.public, "no/room here", Options{}); err == nil {
		t.Error("a name that is no room is taken")
	}
	if _, err := Join(t.Context(), "ws://%zz", "r1", Options{}); err == nil {
		t.Error("an address that is none is taken")
	}
	// A token that can be had anew is asked for each time.
	asked := make(chan struct{}, 100)
	options := calm
	options.Tokens = func(ctx context.Context) (string, error) {
		asked <- struct{}{}
		if len(asked) < 3 {
			return "no.token.atall", nil
		}
		return "", nil
	}
	join(t, s.public, "r1", options)
	if len(asked) != 3 {
		t.Errorf("asked %d times", len(asked))
	}
	// The end of the context while nobody answers.
	p := newProxy(t, s.public)
	p.next(slices.Repeat([]plan{{silent: true}}, 100)...)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := Join(ctx, "ws://"+p.address, "r1", quick); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestNothingIsLeft: after the context's end and after Close, whatever the viewer
// was about, its events end and its goroutines are gone.
func TestNothingIsLeft(t *testing.T) {
	s := run(t, "127.0.0.1:0")
	p := newProxy(t, s.public)
	before := runtime.NumGoroutine()
	for i := range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		v, err := Join(ctx, "ws://"+p.address, "r1", quick)
		if err != nil {
			t.Fatal(err)
		}
		switch i % 4 {
		case 0:
			cancel()
		case 1:
			v.Close()
		case 2: // while it waits for the next try
			p.next(plan{silent: true})
			p.each(func(l *link) { l.reset() })
			cancel()
		case 3: // while somebody waits for an answer
			p.each(func(l *link) { l.vanish() })
			answered := make(chan error)
			go func() {
				_, err := v.Send(context.Background(), "x", Look{})
				answered <- err
			}()
			v.end()
			p.each(func(l *link) { l.reset() })
			if <-answered == nil {
				t.Error("an answer came through a hole")
			}
		}
		for range v.Events() {
		}
		p.forget()
		v.Close()
		if !errors.Is(v.Err(), context.Canceled) {
			t.Errorf("ended with %v", v.Err())
		}
		if _, err := v.Send(t.Context(), "x", Look{}); err == nil || v.Like(1) == nil {
			t.Error("it still speaks")
		}
		cancel()
	}
	deadline := time.Now().Add(patience)
	for runtime.NumGoroutine() > before {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestNobodyTakesEvents: what waits is bounded, answers come all the same, and what
// gave way is counted.
func TestNobodyTakesEvents(t *testing.T) {
	v := &Viewer{events: make(chan Event, eventsMax)}
	for i := range eventsMax + 100 {
		v.tell(&Batch{Seq: uint64(i)})
	}
	if v.Dropped() != 100 || len(v.events) != eventsMax {
		t.Errorf("%d dropped, %d wait", v.Dropped(), len(v.events))
	}
	if first := (<-v.events).(*Batch); first.Seq != 100 {
		t.Errorf("the oldest is %d", first.Seq)
	}
}

func TestFresh(t *testing.T) {
	v := &Viewer{seen: map[string]bool{}}
	for i := range 3 * idsKept {
		if list := v.fresh([]Comment{{ID: fmt.Sprint(i)}, {ID: fmt.Sprint(i)}, {ID: fmt.Sprint(i), Kind: Retract}}); len(list) != 2 {
			t.Fatalf("%d: %+v", i, list)
		}
	}
	if n := len(v.seen) + len(v.old); n > 2*idsKept {
		t.Errorf("%d ids kept", n)
	}
	if len(v.fresh([]Comment{{ID: fmt.Sprint(3*idsKept - idsKept)}})) != 0 {
		t.Error("a comment of just before is new")
	}
}

func TestBackoff(t *testing.T) {
	b := Backoff{}.withDefaults()
	var ceilings []time.Duration
	for failures := range 9 {
		ceilings = append(ceilings, b.ceiling(failures))
	}
	if want := []time.Duration{600, 1200, 2400, 4800, 9600, 19200, 38400, 60000, 60000}; !slices.EqualFunc(ceilings, want, func(a, b time.Duration) bool { return a == b*time.Millisecond }) {
		t.Errorf("ceilings %v", ceilings)
	}
	if b.ceiling(1<<30) != time.Minute {
		t.Error("no cap")
	}
	random := rand.New(rand.NewPCG(1, 2))
	quarters := [4]int{}
	for range 4_000 {
		wait := b.wait(3, 0, 0, random.Float64())
		quarters[wait*4/b.ceiling(3)]++
	}
	for _, n := range quarters {
		if n < 900 || n > 1_100 {
			t.Errorf("not spread: %v", quarters)
		}
	}
	if wait := b.wait(9, 1730*time.Millisecond, 0, 0.5); wait != 2030*time.Millisecond {
		t.Errorf("asked for 1.73 s, waits %v", wait)
	}
	if wait := b.wait(0, 0, 2*time.Second, 0); wait != 2*time.Second {
		t.Errorf("least 2 s, waits %v", wait)
	}
	if wait := b.wait(0, 1<<60, 0, 0); wait != 10*time.Minute {
		t.Errorf("asked for ever, waits %v", wait)
	}
}

func TestJudge(t *testing.T) {
	response := func(status int, after string) *http.Response {
		return &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {after}}}
	}
	for _, c := range []struct {
		name      string
		err       error
		response  *http.Response
		renewable bool
		want      verdict
	}{
		{"reset", errors.New("reset"), nil, false, verdict{}},
		{"token", websocket.CloseError{Code: 4001}, nil, false, verdict{final: true}},
		{"token, renewable", websocket.CloseError{Code: 4001}, nil, true, verdict{}},
		{"ban", websocket.CloseError{Code: 4003}, nil, true, verdict{final: true}},
		{"restart", websocket.CloseError{Code: 1012, Reason: `{"retry_after_ms":1730}`}, nil, false, verdict{asked: 1730 * time.Millisecond}},
		{"restart in words", websocket.CloseError{Code: 1012, Reason: "restart"}, nil, false, verdict{}},
		{"too busy", websocket.CloseError{Code: 1013}, nil, false, verdict{floor: 2 * time.Second}},
		{"misbehaved", websocket.CloseError{Code: 1008}, nil, false, verdict{floor: 10 * time.Second}},
		{"full", errors.New("x"), response(503, "3"), false, verdict{asked: 3 * time.Second}},
		{"full, in words", errors.New("x"), response(503, "soon"), false, verdict{}},
		{"proxy", errors.New("x"), response(502, ""), false, verdict{}},
		{"unauthorized", errors.New("x"), response(401, ""), false, verdict{final: true}},
		{"unauthorized, renewable", errors.New("x"), response(401, ""), true, verdict{}},
		{"forbidden", errors.New("x"), response(403, ""), true, verdict{final: true}},
		{"no room", errors.New("x"), response(400, ""), false, verdict{final: true}},
	} {
		if got := judge(c.err, c.response, c.renewable); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}
