package server

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	danmakuv1 "github.com/danmakud/danmakud/clients/proto/danmaku/v1"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/moderation"
	"github.com/danmakud/danmakud/room"
	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/protobuf/proto"
)

// protoViewer speaks protobuf by another library and the generated types.
type protoViewer struct {
	t *testing.T
	*coder.Conn
}

func dialProto(t *testing.T, s *Server, target string, mode coder.CompressionMode) protoViewer {
	t.Helper()
	c, _, err := coder.Dial(t.Context(), "ws://"+s.addr()+target, &coder.DialOptions{Subprotocols: []string{"danmaku.v1.proto"}, CompressionMode: mode})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.CloseNow() })
	if c.Subprotocol() != "danmaku.v1.proto" {
		t.Fatalf("speaks %q", c.Subprotocol())
	}
	c.SetReadLimit(1 << 20)
	return protoViewer{t, c}
}

func (v protoViewer) next() *danmakuv1.ToViewer {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second) // a guard against hanging
	defer cancel()
	kind, p, err := v.Read(ctx)
	if err != nil || kind != coder.MessageBinary {
		v.t.Fatalf("%v message, %v", kind, err)
	}
	m := new(danmakuv1.ToViewer)
	if err := proto.Unmarshal(p, m); err != nil {
		v.t.Fatal(err)
	}
	if len(m.ProtoReflect().GetUnknown()) > 0 || m.Event == nil {
		v.t.Fatalf("got %v", m)
	}
	return m
}

// until reads up to a message that good takes.
func (v protoViewer) until(what string, good func(m *danmakuv1.ToViewer) bool) *danmakuv1.ToViewer {
	v.t.Helper()
	for range 1000 {
		if m := v.next(); good(m) {
			return m
		}
	}
	v.t.Fatalf("no %s among 1000 messages", what)
	return nil
}

func (v protoViewer) welcome() *danmakuv1.Welcome {
	v.t.Helper()
	m := v.next()
	if m.GetWelcome() == nil {
		v.t.Fatalf("got %v, want a welcome", m)
	}
	return m.GetWelcome()
}

// raw sends a message as it is.
func (v protoViewer) raw(kind coder.MessageType, p []byte) {
	v.t.Helper()
	if err := v.Write(v.t.Context(), kind, p); err != nil {
		v.t.Fatal(err)
	}
}

func (v protoViewer) send(m *danmakuv1.FromViewer) {
	v.t.Helper()
	p, err := proto.Marshal(m)
	if err != nil {
		v.t.Fatal(err)
	}
	v.raw(coder.MessageBinary, p)
}

// asks sends a command and returns its answer, ack or error.
func (v protoViewer) asks(m *danmakuv1.FromViewer) (ack *danmakuv1.Ack, refused *danmakuv1.Error) {
	v.t.Helper()
	v.send(m)
	answer := v.until("answer", func(m *danmakuv1.ToViewer) bool { return m.GetAck() != nil || m.GetError() != nil })
	return answer.GetAck(), answer.GetError()
}

// closed reads until the server closes, and returns the code.
func (v protoViewer) closed() coder.StatusCode {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for {
		if _, _, err := v.Read(ctx); err != nil {
			return coder.CloseStatus(err)
		}
	}
}

func saying(text, ref string) *danmakuv1.FromViewer {
	return &danmakuv1.FromViewer{Ref: ref, Command: &danmakuv1.FromViewer_Comment{Comment: &danmakuv1.Say{Text: text}}}
}

func switchTo(name string) *danmakuv1.FromViewer {
	return &danmakuv1.FromViewer{Ref: "s", Command: &danmakuv1.FromViewer_Switch{Switch: &danmakuv1.Switch{Room: name}}}
}

// texts of all comments in a batch.
func protoTexts(b *danmakuv1.Batch) (texts []string) {
	for _, c := range b.GetComments() {
		texts = append(texts, c.Text)
	}
	return texts
}

// TestProtoConversation: a viewer of this protocol gets and may do all that a JSON
// viewer does.
func TestProtoConversation(t *testing.T) {
	t.Parallel()
	keys := withKeys(t)
	s := start(t, func(c *config.Config) { keys(c); c.CommentRate, c.CompressionMin = 0, 1 })
	say := func(c room.Comment) {
		t.Helper()
		c.User = "system"
		if _, err := s.publish("r", &c); err != nil {
			t.Fatal(err)
		}
	}
	say(room.Comment{Text: "before", Color: 0, Mode: room.ModeTop})
	say(room.Comment{Text: "SC", Color: room.ColorDefault, Kind: room.KindSuperchat, Price: 3000, Duration: time.Minute})
	await(t, "history", func() bool { return strings.Contains(string(s.hub.Find("r").HistoryJSON(9)), "SC") })
	for i, mode := range []coder.CompressionMode{coder.CompressionDisabled, coder.CompressionNoContextTakeover} {
		token := ticket(t, jwt.MapClaims{"sub": "mod", "name": "Mo", "role": "moderator"})
		v := dialProto(t, s, "/ws/r?token="+token, mode)
		w := v.welcome()
		if w.Room != "r" || w.Epoch == "" || w.TickMs != 100 || w.Online == 0 || w.Uid != "mod" || w.Name != "Mo" || w.Role != danmakuv1.Role_ROLE_MODERATOR || w.Resumed != nil {
			t.Fatalf("welcome %v", w)
		}
		if len(w.History) < 2 || w.History[0].Text != "before" || w.History[0].Color == nil || w.History[0].Mode != danmakuv1.Mode_MODE_TOP {
			t.Errorf("history %v", w.History)
		}
		if len(w.Superchats) != 1 || w.Superchats[0].LeftS == 0 || w.Superchats[0].Price != 3000 || w.Superchats[0].Kind != danmakuv1.Kind_KIND_SUPERCHAT {
			t.Errorf("superchats %v", w.Superchats)
		}
		talkProto(t, s, v, i)
		v.CloseNow()
	}
	eventually(t, s, `danmakud_refused_messages_total{code="bad_field"} 2`)
}

// talkProto is what a moderator may say.
func talkProto(t *testing.T, s *Server, v protoViewer, i int) {
	long := strings.Repeat("前方高能", 20) + fmt.Sprint(i)
	m := saying(long, "c1")
	m.GetComment().Color, m.GetComment().Mode, m.GetComment().Size = proto.Uint32(255), danmakuv1.Mode_MODE_BOTTOM, danmakuv1.Size_SIZE_LARGE
	v.send(m)
	var id string
	var said *danmakuv1.Comment
	v.until("ack and comment", func(m *danmakuv1.ToViewer) bool {
		if m.GetAck() != nil && m.GetAck().Ref == "c1" {
			id = m.GetAck().Id
		}
		for _, c := range m.GetBatch().GetComments() {
			if c.Text == long {
				said = c
			}
		}
		return id != "" && said != nil
	})
	if said.Id != id || said.Uid != "mod" || said.Name != "Mo" || said.GetColor() != 255 || said.Mode != danmakuv1.Mode_MODE_BOTTOM || said.Size != danmakuv1.Size_SIZE_LARGE || said.Ts == 0 {
		t.Errorf("comment %v, acknowledged as %s", said, id)
	}
	v.send(&danmakuv1.FromViewer{Command: &danmakuv1.FromViewer_Like{Like: &danmakuv1.Like{Count: proto.Uint32(7)}}})
	v.until("likes", func(m *danmakuv1.ToViewer) bool { return m.GetBatch().GetLikes() == 7 })
	v.send(&danmakuv1.FromViewer{Ref: "p", Command: &danmakuv1.FromViewer_Ping{Ping: &danmakuv1.Ping{}}})
	v.until("pong", func(m *danmakuv1.ToViewer) bool { return m.GetPong().GetRef() == "p" })
	if _, refused := v.asks(saying("", "e")); refused.GetCode() != "empty" || refused.Ref != "e" || refused.Message == "" {
		t.Errorf("nothing said: %v", refused)
	}
	bad := saying("x", "b")
	bad.GetComment().Color = proto.Uint32(1 << 24)
	if _, refused := v.asks(bad); refused.GetCode() != "bad_field" {
		t.Errorf("no such colour: %v", refused)
	}
	renewal := &danmakuv1.FromViewer{Ref: "t", Command: &danmakuv1.FromViewer_Token{Token: &danmakuv1.Token{Token: ticket(t, jwt.MapClaims{"sub": "mod", "name": "Mo", "role": "moderator"})}}}
	if ack, refused := v.asks(renewal); ack.GetRef() != "t" || ack.Id != "" {
		t.Errorf("renewal: %v %v", ack, refused)
	}
	for _, m := range []*danmakuv1.FromViewer{
		{Ref: "1", Command: &danmakuv1.FromViewer_Mute{Mute: &danmakuv1.Sanction{User: "bob", Seconds: 60, Reason: "loud"}}},
		{Ref: "2", Command: &danmakuv1.FromViewer_Lift{Lift: &danmakuv1.Lift{User: "bob"}}},
		{Ref: "3", Command: &danmakuv1.FromViewer_Settings{Settings: &danmakuv1.ChangeSettings{SlowModeMs: proto.Int64(5000), MinRole: danmakuv1.Role_ROLE_VIP.Enum(), Closed: proto.Bool(true)}}},
		{Ref: "4", Command: &danmakuv1.FromViewer_Retract{Retract: &danmakuv1.Retract{Id: id}}},
	} {
		if ack, refused := v.asks(m); ack.GetRef() != m.Ref {
			t.Errorf("%v: %v %v", m, ack, refused)
		}
	}
	if got := s.hub.Find("r").Settings(); got.SlowMode != 5000 || !got.Closed || got.MinRole != room.RoleVIP {
		t.Errorf("settings %+v", got)
	}
	v.send(switchTo("other"))
	w := v.until("welcome", func(m *danmakuv1.ToViewer) bool { return m.GetWelcome() != nil }).GetWelcome()
	if w.Room != "other" || w.Settings != nil {
		t.Errorf("welcome %v", w)
	}
	v.send(switchTo("r"))
	w = v.until("welcome", func(m *danmakuv1.ToViewer) bool { return m.GetWelcome() != nil }).GetWelcome()
	if w.Settings == nil || !w.Settings.Closed || w.Settings.SlowModeMs != 5000 || w.Settings.MinRole != danmakuv1.Role_ROLE_VIP || len(w.History) == 0 {
		t.Errorf("welcome %v", w)
	}
	v.send(saying(long+"!", ""))
	v.until("comment after a switch", func(m *danmakuv1.ToViewer) bool { return slices.Contains(protoTexts(m.GetBatch()), long+"!") })
	again := &danmakuv1.FromViewer{Ref: "5", Command: &danmakuv1.FromViewer_Settings{Settings: &danmakuv1.ChangeSettings{
		SlowModeMs: proto.Int64(0), MinRole: danmakuv1.Role_ROLE_GUEST.Enum(), Closed: proto.Bool(false)}}}
	if ack, refused := v.asks(again); ack.GetRef() != "5" {
		t.Errorf("settings: %v %v", ack, refused)
	}
	if got := s.hub.Find("r").Settings(); *got != (room.Settings{}) {
		t.Errorf("settings %+v", got)
	}
	v.send(switchTo("r")) // so that no batch from before is taken for one of those below
	v.until("welcome without settings", func(m *danmakuv1.ToViewer) bool { return m.GetWelcome() != nil && m.GetWelcome().Settings == nil })
	lively := &danmakuv1.FromViewer{Ref: "6", Command: &danmakuv1.FromViewer_Settings{Settings: &danmakuv1.ChangeSettings{SlowModeMs: proto.Int64(1)}}}
	for _, ms := range []int64{1, 0} {
		lively.GetSettings().SlowModeMs = &ms
		v.send(lively)
		v.until("batch with settings", func(m *danmakuv1.ToViewer) bool {
			told := m.GetBatch().GetSettings()
			return told != nil && told.SlowModeMs == ms && !told.Closed
		})
	}
}

// TestProtoResumes: who was alone with this protocol in its room misses nothing while it
// is gone.
func TestProtoResumes(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *config.Config) { c.CommentRate, c.Tick, c.CompressionMin = 0, time.Millisecond, 1 })
	join(t, s, "r") // somebody else is there all the time
	for _, mode := range []coder.CompressionMode{coder.CompressionDisabled, coder.CompressionNoContextTakeover} {
		v := dialProto(t, s, "/ws/r", mode)
		w := v.welcome()
		v.CloseNow()
		eventually(t, s, "danmakud_connections 1")
		for i := range 40 { // more than the ring has
			if _, err := s.publish("r", &room.Comment{User: "system", Text: fmt.Sprint(i), Color: room.ColorDefault}); err != nil {
				t.Fatal(err)
			}
			await(t, "its batch", func() bool {
				return strings.Contains(string(s.hub.Find("r").HistoryJSON(1)), fmt.Sprintf(`"text":"%d"`, i))
			})
		}
		back := dialProto(t, s, fmt.Sprintf("/ws/r?since=%d&epoch=%s", w.Seq, w.Epoch), mode)
		again := back.welcome()
		if again.Resumed == nil || !*again.Resumed || again.Seq != w.Seq || len(again.History) != 0 {
			t.Fatalf("welcome %v", again)
		}
		var got []string
		seq := w.Seq
		back.until("the last", func(m *danmakuv1.ToViewer) bool {
			if seq++; m.GetBatch().GetSeq() != seq {
				t.Fatalf("batch %d, got %v", seq, m)
			}
			got = append(got, protoTexts(m.GetBatch())...)
			return slices.Contains(got, "39")
		})
		if len(got) != 40 || got[0] != "0" {
			t.Errorf("got %q", got)
		}
		lost := dialProto(t, s, "/ws/r?since=1&epoch=another", mode)
		if w := lost.welcome(); w.Resumed == nil || *w.Resumed || len(w.History) == 0 {
			t.Errorf("welcome %v", w)
		}
		back.CloseNow()
		lost.CloseNow()
		eventually(t, s, "danmakud_connections 1")
	}
}

// TestProtoMixedRoom: whoever is in a room, all hear the same, and each encoding is made
// once a batch.
func TestProtoMixedRoom(t *testing.T) {
	s := start(t, func(c *config.Config) { c.CommentRate, c.CompressionMin, c.History = 0, 1, 0 })
	plain, squeezed := join(t, s, "r"), joinCompressed(t, s, "r")
	var all []protoViewer
	for i := range 6 {
		v := dialProto(t, s, "/ws/r", []coder.CompressionMode{coder.CompressionDisabled, coder.CompressionNoContextTakeover}[i%2])
		v.welcome()
		all = append(all, v)
	}
	before := s.hub.Sealed()
	const comments = 50
	for i := range comments {
		plain.say(`{"type":"comment","text":"%s %d"}`, strings.Repeat("好", i), i)
	}
	last := fmt.Sprint(" ", comments-1)
	hear := func(next func() (texts []string)) (heard []string) {
		t.Helper()
		for len(heard) == 0 || !strings.HasSuffix(heard[len(heard)-1], last) {
			heard = append(heard, next()...)
		}
		return heard
	}
	want := hear(func() []string { return plain.until("batch").texts(t) })
	if len(want) != comments {
		t.Fatalf("%d comments were heard", len(want))
	}
	if got := hear(func() []string { return squeezed.until("batch").texts(t) }); !slices.Equal(got, want) {
		t.Errorf("compressed JSON: %q", got)
	}
	for i, v := range all {
		got := hear(func() []string {
			return protoTexts(v.until("batch", func(m *danmakuv1.ToViewer) bool { return m.GetBatch() != nil }).GetBatch())
		})
		if !slices.Equal(got, want) {
			t.Errorf("viewer %d: %q", i, got)
		}
	}
	sealed := s.hub.Sealed() - before
	for _, e := range []room.Encoding{room.EncodingJSONDeflate, encodingProto, encodingProtoDeflate} {
		if n := s.hub.Encoded(e); n != sealed || sealed == 0 {
			t.Errorf("%s made %d times of %d batches", s.hub.EncodingName(e), n, sealed)
		}
	}
}

func TestProtoBadInput(t *testing.T) {
	s := start(t, func(c *config.Config) { c.Loops, c.CommentRate = 1, 0 })
	v := dialProto(t, s, "/ws/r", coder.CompressionDisabled)
	v.welcome()
	for _, tc := range []struct {
		what, message, code string
	}{
		{"no protobuf", "\x0a\xff", "bad_proto"},
		{"JSON", `{"type":"ping"}`, "bad_proto"},
		{"nothing", "", "bad_type"},
		{"two commands", "\x2a\x00\x12\x00", "bad_type"},
		{"a command of the future", "\x3a\x00", "bad_type"},
		{"a number for a command", "\x08\x01", "bad_field"},
		{"a number for the text", "\x0a\x02\x08\x01", "bad_field"},
		{"a text that is no UTF-8", "\x0a\x03\x0a\x01\xff", "bad_field"},
		{"a ref that is no UTF-8", "\x2a\x00\x7a\x01\xff", "bad_field"},
		{"a long ref", "\x2a\x00\x7a\x41" + strings.Repeat("r", 65), "bad_field"},
		{"no such mode", "\x0a\x05\x0a\x01x\x18\x09", "bad_field"},
		{"a text too long", "\x0a\xcc\x01\x0a\xc9\x01" + strings.Repeat("x", 201), "too_long"},
		{"a control character", "\x0a\x03\x0a\x01\x07", "bad_field"},
		{"no likes", "\x12\x02\x08\x00", "bad_field"},
		{"a moderator's command", "\xb2\x01\x00", "forbidden"},
	} {
		v.raw(coder.MessageBinary, []byte(tc.message))
		answer := v.until("error", func(m *danmakuv1.ToViewer) bool { return m.GetError() != nil })
		if got := answer.GetError().Code; got != tc.code {
			t.Errorf("%s: %s, want %s", tc.what, got, tc.code)
		}
	}
	v.raw(coder.MessageBinary, []byte("\x2a\x00\x7a\x01r\xfa\x3e\x01x")) // a ping with a field that a site has added
	v.until("pong", func(m *danmakuv1.ToViewer) bool { return m.GetPong().GetRef() == "r" })
	v.raw(coder.MessageText, []byte(`{"type":"ping"}`))
	if code := v.closed(); code != coder.StatusUnsupportedData {
		t.Errorf("a text message: closed with %d", code)
	}
	eventually(t, s, `danmakud_closes_total{reason="text"} 1`)
	long := dialProto(t, s, "/ws/r", coder.CompressionNoContextTakeover)
	long.welcome()
	long.raw(coder.MessageBinary, []byte(strings.Repeat("\x2a\x00", 3000))) // 6 KB, compressed to nothing
	if code := long.closed(); code != coder.StatusMessageTooBig {
		t.Errorf("a long message: closed with %d", code)
	}
}

// TestProtoIsTold: what is said to one viewer comes in its protocol, too.
func TestProtoIsTold(t *testing.T) {
	t.Parallel()
	keys := withKeys(t)
	s, cancel, wait := run(t, func(c *config.Config) { keys(c); c.CommentRate = 0 })
	sanction(t, s, moderation.Sanction{Kind: moderation.ShadowBan, User: "alice"})
	v := dialProto(t, s, "/ws/r?token="+ticket(t, jwt.MapClaims{"sub": "alice"}), coder.CompressionDisabled)
	v.welcome()
	v.send(saying("alone", ""))
	v.until("own comment", func(m *danmakuv1.ToViewer) bool { return slices.Contains(protoTexts(m.GetBatch()), "alone") })
	short := dialProto(t, s, "/ws/r?token="+ticket(t, jwt.MapClaims{"sub": "bob", "exp": time.Now().Unix() + 6}), coder.CompressionDisabled)
	short.until("end of the token", func(m *danmakuv1.ToViewer) bool { return m.GetError().GetCode() == "unauthorized" })
	if code := short.closed(); code != coder.StatusCode(codeToken) {
		t.Errorf("closed with %d", code)
	}
	cancel()
	bye := v.until("goodbye", func(m *danmakuv1.ToViewer) bool { return m.GetGoodbye() != nil }).GetGoodbye()
	if bye.Reason != "draining" || bye.RetryAfterMs == 0 {
		t.Errorf("goodbye %v", bye)
	}
	if code := v.closed(); code != coder.StatusServiceRestart {
		t.Errorf("closed with %d", code)
	}
	if err := wait(); err != nil {
		t.Error(err)
	}
}

// TestSubprotocols: the first that both know, in our order; none is JSON, and only
// unknown ones are refused.
func TestSubprotocols(t *testing.T) {
	s := start(t, nil)
	for _, tc := range []struct {
		offer []string
		want  string
		fails bool
	}{
		{nil, "", false}, {[]string{"danmaku.v1.json"}, "danmaku.v1.json", false}, {[]string{"danmaku.v2.proto", "danmaku.v1.proto"}, "danmaku.v1.proto", false},
		{[]string{"danmaku.v1.proto", "danmaku.v1.json"}, "danmaku.v1.json", false}, {[]string{"danmaku.v2.proto"}, "", true},
	} {
		c, r, err := coder.Dial(t.Context(), "ws://"+s.addr()+"/ws/r", &coder.DialOptions{Subprotocols: tc.offer})
		if (err != nil) != tc.fails || err != nil && r.StatusCode != 400 || err == nil && c.Subprotocol() != tc.want {
			t.Errorf("%q: %v", tc.offer, err)
		}
		if err == nil {
			c.CloseNow()
		}
	}
}

// FuzzProtoCommand: whatever a moderator sends, nothing breaks, and every answer is one
// ToViewer.
func FuzzProtoCommand(f *testing.F) {
	for _, m := range []*danmakuv1.FromViewer{
		saying("hi", "r"), switchTo("other"),
		{Command: &danmakuv1.FromViewer_Ban{Ban: &danmakuv1.Sanction{User: "~7f", Seconds: 1, Reason: "x"}}},
		{Ref: "r", Command: &danmakuv1.FromViewer_Settings{Settings: &danmakuv1.ChangeSettings{SlowModeMs: proto.Int64(5), Closed: proto.Bool(true), MinRole: danmakuv1.Role_ROLE_VIP.Enum()}}},
		{Command: &danmakuv1.FromViewer_Token{Token: &danmakuv1.Token{Token: "x"}}},
		{Command: &danmakuv1.FromViewer_Kick{Kick: &danmakuv1.Kick{User: "~0"}}},
		{Command: &danmakuv1.FromViewer_Retract{Retract: &danmakuv1.Retract{Id: "0fJu7--0"}}},
	} {
		p, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p)
	}
	f.Add([]byte(`{"type":"ping"}`))
	f.Add([]byte("\x08\x01\x7a\x01\xff"))
	s := start(new(testing.T), func(c *config.Config) { c.Loops, c.CommentRate = 1, 0 })
	f.Cleanup(func() { s.Close() })
	h := s.handlers[0]
	f.Fuzz(func(t *testing.T, message []byte) {
		v := dialProto(t, s, "/ws/fuzzed", coder.CompressionDisabled)
		v.welcome()
		answersToModerator(t, h, message, h.protoCommand, func(head byte, payload []byte) {
			var m danmakuv1.ToViewer
			if err := proto.Unmarshal(payload, &m); head == 0x82 && (err != nil || m.Event == nil) || head == 0x81 {
				t.Errorf("%q answered with %q, %v", message, payload, err)
			}
		})
	})
}
