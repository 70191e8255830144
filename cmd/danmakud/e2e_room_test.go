package main

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestQuietRoomIsImmediate: the first comment of a quiet room is sealed at once
// and alone; what follows within the tick comes in one batch. The tick is so
// long that order alone shows it: after the second ping's answer the batch must
// have come, and the tick cannot have passed.
func TestQuietRoomIsImmediate(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--tick=5s", "--max-tick=5s", "--loops=1")
	sender, watcher := s.join("quiet"), s.join("quiet")
	sender.send(say("first", "r1"))
	before := append(sender.ping("p1"), sender.ping("p2")...)
	if len(before) != 2 || before[0].Type != "ack" || before[0].Ref != "r1" || before[1].Type != "batch" {
		t.Fatalf("before the second pong came %+v, want ack and batch", before)
	}
	first := before[1]
	if first.Seq != 1 || len(first.comments) != 1 || first.comments[0].Text != "first" || first.comments[0].ID != before[0].ID {
		t.Errorf("first batch %+v", first)
	}
	if got := watcher.ping("p"); len(got) != 1 || got[0].Seq != 1 {
		t.Errorf("the other viewer got %+v", got)
	}

	sender.send(say("a", ""), say("b", ""), say("c", ""))
	second, others := sender.until("batch") // not early: see its ts below
	if len(others) != 0 {
		t.Errorf("before the second batch came %+v", others)
	}
	if second.Seq != 2 || !slices.Equal(second.texts(), []string{"a", "b", "c"}) {
		t.Errorf("second batch is %d with %q, want 2 with a, b, c", second.Seq, second.texts())
	}
	if again := watcher.next(); again.Seq != 2 || !slices.Equal(again.texts(), second.texts()) {
		t.Errorf("the other viewer got %+v", again)
	}
	// ts is when a batch was sealed, by the server's own clock.
	if gap := second.TS - first.TS; gap < 4900 {
		t.Errorf("the second batch was sealed %d ms after the first, want a tick of 5000", gap)
	}
}

func TestMessagesOfAViewer(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--comment-rate=0", "--tick=10ms")
	v := s.join("m")
	if w := v.welcome; w.Room != "m" || w.Epoch == "" || w.Seq != 0 || w.TickMs != 10 || w.Online == nil || *w.Online != 1 ||
		!strings.HasPrefix(w.UID, "~") || w.History == nil || len(w.History) != 0 || w.Resumed != nil {
		t.Errorf("welcome %+v", w)
	}
	v.send(`{"type":"comment","text":"  前方高能 \u4e2d😀\"\\<b> ","color":255,"mode":"top","size":"large","ref":"r","extra":[1]}`)
	ack, _ := v.until("ack")
	b, _ := v.until("batch")
	if len(b.comments) != 1 {
		t.Fatalf("batch %+v", b)
	}
	c := b.comments[0]
	if c.Text != "前方高能 中😀\"\\<b>" || c.Color == nil || *c.Color != 255 || c.Mode != "top" || c.Size != "large" ||
		c.UID != v.welcome.UID || c.ID != ack.ID || c.Kind != "" || ack.Ref != "r" || c.TS == 0 || b.TS < c.TS {
		t.Errorf("comment %+v, ack %+v", c, ack)
	}
	if b.Room != "m" || b.Seq != 1 || b.Sampled != 0 || b.Likes != 0 {
		t.Errorf("batch %+v", b)
	}
	v.send(`{"type":"comment","text":"plain","color":16777215,"mode":"scroll","size":"medium"}`)
	b, _ = v.until("batch")
	if c := b.comments[0]; c.Color != nil || c.Mode != "" || c.Size != "" || c.Kind != "" {
		t.Errorf("fields at their default are sent: %+v", c)
	}
	v.send(`{"type":"like","count":3}`)
	likes := 0
	for likes < 3 {
		b, _ := v.until("batch")
		likes += b.Likes
	}
	if likes != 3 {
		t.Errorf("%d likes, want 3", likes)
	}
}

func TestRefusedMessagesKeepTheConnection(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--comment-rate=0", "--max-text=5")
	v := s.join("m")
	for _, tc := range []struct{ message, ref, code string }{
		{`{"type":`, "", "bad_json"},
		{`[1,2]`, "", "bad_json"},
		{``, "", "bad_json"},
		{`"comment"`, "", "bad_json"},
		{`null`, "", "bad_json"},
		{`{"type":"ping"} {"type":"ping"}`, "", "bad_json"},
		{`{"type":"ping",}`, "", "bad_json"},
		{`{'type':'ping'}`, "", "bad_json"},
		{`{"type":"ping"`, "", "bad_json"},
		{`{"type":"ping","x":tru}`, "", "bad_json"},
		{`{"type":"ping","x":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + `}`, "", "bad_json"},
		{`{"type":"dance","ref":"a"}`, "a", "bad_type"},
		{`{"ref":"b"}`, "b", "bad_type"},
		{`{"type":"comment","text":"   ","ref":"c"}`, "c", "empty"},
		{`{"type":"comment","ref":"d"}`, "d", "empty"},
		{`{"type":"comment","text":"123456","ref":"e"}`, "e", "too_long"},
		{`{"type":"comment","text":"一二三四五六","ref":"f"}`, "f", "too_long"},
		{`{"type":"comment","text":"a\u0007","ref":"g"}`, "g", "bad_field"},
		{`{"type":"comment","text":"a","color":16777216,"ref":"h"}`, "h", "bad_field"},
		{`{"type":"comment","text":"a","color":-1,"ref":"i"}`, "i", "bad_field"},
		{`{"type":"comment","text":"a","mode":"sideways","ref":"j"}`, "j", "bad_field"},
		{`{"type":"comment","text":"a","size":"huge","ref":"k"}`, "k", "bad_field"},
		{`{"type":"comment","text":7,"ref":"l"}`, "l", "bad_field"},
		{`{"type":"comment","text":"a","color":"red","ref":"m"}`, "m", "bad_field"},
		{`{"type":"like","count":0,"ref":"n"}`, "n", "bad_field"},
		{`{"type":"switch","room":"no room","ref":"o"}`, "o", "bad_field"},
		{`{"type":"switch","ref":"p"}`, "p", "bad_field"},
	} {
		v.send(tc.message)
		m := v.next()
		if m.Type != "error" || m.Code != tc.code || m.Ref != tc.ref || m.Message == "" {
			t.Errorf("%s is answered with %+v, want error %s", tc.message, m, tc.code)
		}
	}
	v.send(say("一二三四五", ""))
	if b := v.next(); b.Type != "batch" || b.Seq != 1 || len(b.comments) != 1 {
		t.Errorf("the comment after them gives %+v; refused ones must leave no trace", b)
	}
}

// TestTextComesBackAsItWasSaid: whatever the text has, the batch is JSON and
// gives it back. An escape of half a surrogate pair means no character: it may
// be refused, become the replacement character, or stay as it was written.
func TestTextComesBackAsItWasSaid(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--comment-rate=0", "--tick=10ms")
	v := s.join("j")
	for _, tc := range []struct{ written, want string }{
		{`a\"b\\c\/d`, `a"b\c/d`},
		{`<script>alert(1)</script>&amp;`, `<script>alert(1)</script>&amp;`},
		{"\u2028\u2029 \ufeff\u200d", "\u2028\u2029 \ufeff\u200d"},
		{`\u2028x\u4e2d\ud83d\ude00`, "\u2028x中😀"},
		{`}],\"comments\":[{`, `}],"comments":[{`},
		{`\u0022,\u0022seq\u0022:7`, `","seq":7`},
		{"é\u0301👨‍👩‍👧", "é\u0301👨‍👩‍👧"},
	} {
		v.send(`{"type":"comment","text":"x` + tc.written + `x"}`)
		b, before := v.until("batch")
		if len(before) != 0 || len(b.comments) != 1 || b.comments[0].Text != "x"+tc.want+"x" {
			t.Errorf("%s gives %+v after %+v, want %q", tc.written, b.comments, before, tc.want)
		}
	}
	v.send(`{"type":"comment","text":"x\ud800x"}`)
	switch m := v.next(); {
	case m.Type == "error" && (m.Code == "bad_json" || m.Code == "bad_field"):
	case m.Type == "batch" && len(m.comments) == 1 && (m.comments[0].Text == "x\ufffdx" || m.comments[0].Text == `x\ud800x`):
	default:
		t.Errorf("half a surrogate pair gives %+v", m)
	}
}

func TestSwitchRoom(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--tick=10ms", "--loops=2")
	v, a, b := s.join("a"), s.join("a"), s.join("b")
	v.send(`{"type":"switch","room":"b"}`, say("to b", ""))
	w, _ := v.until("welcome")
	if w.Room != "b" || *w.Online != 2 || w.UID != v.welcome.UID {
		t.Errorf("welcome %+v", w)
	}
	for _, in := range []*viewer{v, b} {
		if m, _ := in.until("batch"); m.Room != "b" || !slices.Equal(m.texts(), []string{"to b"}) {
			t.Errorf("got %+v", m)
		}
	}
	a.send(say("to a", ""))
	if m, _ := a.until("batch"); m.Room != "a" || m.Seq != 1 || !slices.Equal(m.texts(), []string{"to a"}) {
		t.Errorf("room a got %+v", m)
	}
	if got := v.ping("p"); len(got) != 0 {
		t.Errorf("who left room a still gets %+v", got)
	}
	if a, b := s.online("a"), s.online("b"); a != 1 || b != 2 {
		t.Errorf("online %d and %d, want 1 and 2", a, b)
	}
}

func TestHistoryOnJoin(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--tick=10ms", "--comment-rate=0", "--history=3")
	v := s.join("h")
	for i := range 5 {
		v.send(say(fmt.Sprint(i), ""))
		v.until("batch")
	}
	texts := func(v *viewer) (list []string) {
		for _, c := range v.welcome.History {
			list = append(list, c.Text)
		}
		return list
	}
	if late := s.join("h"); !slices.Equal(texts(late), []string{"2", "3", "4"}) || late.welcome.Seq != 5 {
		t.Errorf("history %q at %d, want the newest three at 5", texts(late), late.welcome.Seq)
	}
	for _, tc := range []struct {
		ask  string
		want []string
	}{
		{"0", nil}, {"2", []string{"3", "4"}}, {"100", []string{"2", "3", "4"}},
	} {
		if late := s.join("h?history=" + tc.ask); !slices.Equal(texts(late), tc.want) {
			t.Errorf("history=%s gives %q, want %q", tc.ask, texts(late), tc.want)
		}
	}
}

// TestOnlineCount: batches tell the number of viewers when it changed.
func TestOnlineCount(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--tick=10ms")
	v := s.join("o")
	for want := 2; want <= 4; want++ {
		if w := s.join("o").welcome; w.Online == nil || *w.Online != want {
			t.Errorf("welcome tells %v online, want %d", w.Online, want)
		}
	}
	v.send(say("a", ""))
	if b, _ := v.until("batch"); b.Online == nil || *b.Online != 4 {
		t.Errorf("batch tells %v online, want 4", b.Online)
	}
	v.send(say("b", ""))
	if b, _ := v.until("batch"); b.Online != nil {
		t.Errorf("an unchanged number is told: %d", *b.Online)
	}
}

// TestSlowViewerIsToldWhatItMissed: one viewer stops reading while a hundred
// large batches are sealed. When it returns, what it gets and what it is told
// it missed add up to what was sealed, batch by batch and comment by comment.
func TestSlowViewerIsToldWhatItMissed(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--tick=10ms", "--comment-rate=0", "--ring=4", "--loops=2",
		"--tcp-send-buffer=8KiB", "--tcp-notsent-lowat=4096")
	slow := s.joinWithSmallBuffer("s")
	fast := s.join("s")
	if slow.welcome.Seq != fast.welcome.Seq {
		t.Fatal("a batch was sealed between the joins")
	}
	sealed := map[uint64]int{} // comments by batch
	var last uint64
	text := strings.Repeat("弹", 200)
	for range 100 {
		var burst []string
		for range 40 {
			burst = append(burst, say(text, ""))
		}
		fast.send(burst...)
		for got := 0; got < 40; {
			b, _ := fast.until("batch")
			if b.Seq != last+1 {
				t.Fatalf("the fast viewer got batch %d after %d", b.Seq, last)
			}
			last = b.Seq
			sealed[last] = len(b.comments)
			got += len(b.comments)
		}
	}
	at, skips := uint64(0), 0
	for at < last {
		m := slow.next()
		switch m.Type {
		case "batch":
			if m.Seq != at+1 || len(m.comments) != sealed[m.Seq] {
				t.Fatalf("batch %d with %d comments after %d, want %d comments", m.Seq, len(m.comments), at, sealed[m.Seq])
			}
			at = m.Seq
		case "skipped":
			skips++
			missed := 0
			for seq := m.From; seq <= m.To; seq++ {
				missed += sealed[seq]
			}
			if m.From != at+1 || m.To < m.From || m.Batches != m.To-m.From+1 || m.missed != missed {
				t.Fatalf("skipped %+v after batch %d, want from %d and %d comments", m, at, at+1, missed)
			}
			at = m.To
		default:
			t.Fatalf("unexpected %+v", m)
		}
	}
	if skips == 0 {
		t.Error("nothing was skipped: the test shows nothing")
	}
	if got := slow.ping("p"); len(got) != 0 {
		t.Errorf("more came: %+v", got)
	}
	samples := s.metrics()
	if n := samples["danmakud_batches_skipped_total"] + samples["danmakud_frames_written_total"]; n != float64(2*last) {
		t.Errorf("delivered and skipped are %v, want %d batches for 2 viewers", n, last)
	}
}

// joinWithSmallBuffer joins with the smallest receive buffer there is.
func (s *instance) joinWithSmallBuffer(room string) *viewer {
	s.t.Helper()
	var dialer net.Dialer
	dialer.Control = func(_, _ string, c syscall.RawConn) (err error) {
		c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
		return err
	}
	var conn net.Conn
	err := s.place(func() (err error) {
		conn, err = dialer.Dial("tcp", s.public[0])
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	v := s.viewerOn(conn)
	v.write([]byte(requestHead("/ws/" + room)))
	v.accepted()
	return v
}

// TestStalledViewerIsClosed: who takes nothing for the stall timeout goes, and
// is counted under that reason.
func TestStalledViewerIsClosed(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--tick=10ms", "--comment-rate=0", "--stall-timeout=1s",
		"--tcp-send-buffer=8KiB", "--tcp-notsent-lowat=4096")
	s.joinWithSmallBuffer("s")
	fast := s.join("s")
	text := strings.Repeat("弹", 200)
	for range 20 {
		var burst []string
		for range 40 {
			burst = append(burst, say(text, ""))
		}
		fast.send(burst...)
		for got := 0; got < 40; {
			b, _ := fast.until("batch")
			got += len(b.comments)
		}
	}
	s.awaitMetric(`danmakud_closes_total{reason="stalled"}`, 1)
	s.awaitMetric("danmakud_connections", 1)
	fast.ping("p")
}

// TestDrainUnderLoad: SIGTERM while comments fly. Every viewer gets its batches
// without a gap, then goodbye, then close 1012; the process ends with 0.
func TestDrainUnderLoad(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--tick=10ms", "--comment-rate=0", "--loops=2")
	const viewers, senders = 120, 4
	results := make(chan error, viewers)
	for i := range viewers {
		v := s.join(fmt.Sprintf("room%d", i%4))
		go func() { results <- v.watchDrain() }()
	}
	stop := make(chan struct{})
	sent := make(chan struct{}, senders)
	for i := range senders {
		v := s.join(fmt.Sprintf("room%d", i))
		go func() {
			defer func() { sent <- struct{}{} }()
			defer v.conn.Close() // or the drain waits for its answer to the close frame
			for n := 0; ; n++ {
				// An error is the drain's doing.
				if v.writeAll(masked(opText, say(fmt.Sprint(n), ""))) != nil {
					return
				}
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
				}
			}
		}()
	}
	for i := range senders { // one room may be far ahead of another
		v := s.join(fmt.Sprintf("room%d", i))
		v.until("batch")
		v.conn.Close()
	}
	for s.metrics()["danmakud_batches_sealed_total"] < 40 {
		time.Sleep(time.Millisecond)
	}
	s.signal(syscall.SIGTERM)
	for range viewers {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	close(stop)
	for range senders {
		<-sent
	}
	if conn, err := net.Dial("tcp", s.public[0]); err == nil {
		conn.Close()
		t.Error("the port still accepts while draining")
	}
	if status := s.wait(); status != exitOK {
		t.Errorf("exit status %d:\n%s", status, s.stderr)
	}
}

// watchDrain reads to the end of the connection, closes it as a browser would,
// and says what was wrong.
func (v *viewer) watchDrain() error {
	at, batches, goodbyes := v.welcome.Seq, 0, 0
	for {
		m, err := v.read()
		switch {
		case err != nil:
			return fmt.Errorf("after %d batches: %w", batches, err)
		case m.Type == "batch" && goodbyes == 0:
			if m.Seq != at+1 {
				return fmt.Errorf("batch %d after %d", m.Seq, at)
			}
			at = m.Seq
			batches++
		case m.Type == "skipped" && m.From == at+1 && goodbyes == 0:
			at = m.To
		case m.Type == "goodbye" && m.Reason == "draining" && m.RetryMs > 0:
			goodbyes++
		case m.Type == "close":
			if m.closeCode != 1012 || goodbyes != 1 || batches == 0 {
				return fmt.Errorf("closed with %d %q after %d goodbyes and %d batches", m.closeCode, m.Reason, goodbyes, batches)
			}
			v.writeAll(masked(opClose, "\x03\xf4"))
			return v.conn.Close()
		default:
			return fmt.Errorf("unexpected %+v", m)
		}
	}
}
