package server

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/moderation"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/packet"
	"github.com/danmakud/danmakud/room"
	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"
)

// packetClient speaks packets, over a WebSocket or bare.
type packetClient struct {
	t     *testing.T
	ws    *websocket.Conn // nil = bare
	conn  net.Conn
	ready []packet.Packet // read and not looked at
	raw   [][]byte        // messages as they came
}

// withPackets opens a listener for bare packets.
func withPackets(c *config.Config) { c.PacketListen = []string{"127.0.0.1:0"} }

func (s *Server) packetAddr() string {
	all := s.reactor.Addrs()
	return all[len(all)-1].String()
}

func dialSub(t *testing.T, s *Server) *packetClient {
	t.Helper()
	ws, _, err := websocket.DefaultDialer.Dial("ws://"+s.addr()+"/sub", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.Close() })
	return &packetClient{t: t, ws: ws}
}

func dialBare(t *testing.T, s *Server) *packetClient {
	t.Helper()
	conn, err := net.Dial("tcp", s.packetAddr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &packetClient{t: t, conn: conn}
}

// dialPackets is one or the other.
func dialPackets(t *testing.T, s *Server, bare bool) *packetClient {
	t.Helper()
	if bare {
		return dialBare(t, s)
	}
	return dialSub(t, s)
}

func (c *packetClient) write(p []byte) {
	c.t.Helper()
	var err error
	if c.ws != nil {
		err = c.ws.WriteMessage(websocket.BinaryMessage, p)
	} else {
		_, err = c.conn.Write(p)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *packetClient) send(op uint32, body string) {
	c.t.Helper()
	c.write(packet.Append(nil, packet.Packet{Version: 1, Op: op, Sequence: 7, Body: []byte(body)}))
}

// fill reads a message, or the rest of a packet, with patience.
func (c *packetClient) fill() error {
	deadline := time.Now().Add(20 * time.Second)
	if c.ws != nil {
		c.ws.SetReadDeadline(deadline)
		kind, p, err := c.ws.ReadMessage()
		if err != nil {
			return err
		}
		if kind != websocket.BinaryMessage {
			return fmt.Errorf("message of type %d: %s", kind, p)
		}
		c.raw = append(c.raw, p)
		return c.unpack(p)
	}
	c.conn.SetReadDeadline(deadline)
	head := make([]byte, packet.HeaderSize)
	if _, err := io.ReadFull(c.conn, head); err != nil {
		return err
	}
	p := append(head, make([]byte, int(binary.BigEndian.Uint32(head))-len(head))...)
	if _, err := io.ReadFull(c.conn, p[len(head):]); err != nil {
		return err
	}
	c.raw = append(c.raw, p)
	return c.unpack(p)
}

// unpack opens what is around other packets.
func (c *packetClient) unpack(p []byte) error {
	for len(p) > 0 {
		if len(p) < packet.HeaderSize {
			return fmt.Errorf("%x is no packet", p)
		}
		length := int(binary.BigEndian.Uint32(p))
		k := packet.Packet{Version: binary.BigEndian.Uint16(p[6:]), Op: binary.BigEndian.Uint32(p[8:]), Sequence: binary.BigEndian.Uint32(p[12:]), Body: p[packet.HeaderSize:length]}
		p = p[length:]
		switch {
		case k.Version == packet.VersionZlib:
			r, err := zlib.NewReader(bytes.NewReader(k.Body))
			if err != nil {
				return err
			}
			inside, err := io.ReadAll(r)
			if err != nil {
				return err
			}
			if err := c.unpack(inside); err != nil {
				return err
			}
		case k.Op == packet.OpRaw:
			if err := c.unpack(k.Body); err != nil {
				return err
			}
		default:
			c.ready = append(c.ready, k)
		}
	}
	return nil
}

func (c *packetClient) next() packet.Packet {
	c.t.Helper()
	for len(c.ready) == 0 {
		if err := c.fill(); err != nil {
			c.t.Fatal(err)
		}
	}
	k := c.ready[0]
	c.ready = c.ready[1:]
	return k
}

// expect reads the next packet, which must be of that operation.
func (c *packetClient) expect(op uint32) packet.Packet {
	c.t.Helper()
	k := c.next()
	if k.Op != op {
		c.t.Fatalf("got operation %d %q, want %d", k.Op, k.Body, op)
	}
	return k
}

// event reads up to the event with that cmd.
func (c *packetClient) event(cmd string) map[string]any {
	c.t.Helper()
	for {
		k := c.next()
		var v map[string]any
		if k.Op != packet.OpMessage || k.Version != packet.VersionJSON || json.Unmarshal(k.Body, &v) != nil {
			c.t.Fatalf("got operation %d version %d %q, want the event %s", k.Op, k.Version, k.Body, cmd)
		}
		if v["cmd"] == cmd {
			return v
		}
	}
}

// ended reads until the server closes; the code is 0 where there is none.
func (c *packetClient) ended() (code int) {
	c.t.Helper()
	for {
		err := c.fill()
		var closed *websocket.CloseError
		switch {
		case errors.As(err, &closed):
			return closed.Code
		case c.ws == nil && (errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || err != nil && strings.Contains(err.Error(), "reset")):
			return 0
		case err != nil:
			c.t.Fatalf("ended without a close: %v", err)
		}
	}
}

func kinds(t *testing.T, f func(t *testing.T, bare bool)) {
	for _, bare := range []bool{false, true} {
		t.Run(map[bool]string{false: "websocket", true: "bare"}[bare], func(t *testing.T) { f(t, bare) })
	}
}

// TestPacketViewers: native viewers and both dialects, on WebSockets and bare, share
// a room; each gets every comment once, in its own words.
func TestPacketViewers(t *testing.T) {
	s := start(t, func(c *config.Config) { withPackets(c); c.CommentRate, c.Tick = 0, 10*time.Millisecond })
	native := join(t, s, "1000")
	var clients []*packetClient
	for _, bare := range []bool{false, true} {
		for _, auth := range []string{`{"uid":0,"roomid":1000}`, `{"roomid":1000,"protover":3,"platform":"web"}`, `{"mid":1,"key":"","room_id":"live://1000","accepts":[1000]}`} {
			c := dialPackets(t, s, bare)
			c.send(packet.OpAuth, auth)
			if k := c.expect(packet.OpAuthReply); string(k.Body) != `{"code":0}` || k.Version != 1 {
				t.Fatalf("%s is answered with %+v", auth, k)
			}
			c.send(packet.OpHeartbeat, "[object Object]")
			k := c.expect(packet.OpHeartbeatReply)
			if n := binary.BigEndian.Uint32(k.Body); len(k.Body) != 4 || int(n) != len(clients)+2 || k.Version != 1 {
				t.Fatalf("heartbeat reply %+v, want %d online", k, len(clients)+2)
			}
			if goim := strings.Contains(auth, "room_id"); goim != (k.Sequence == 7) {
				t.Errorf("%s: sequence %d", auth, k.Sequence)
			}
			clients = append(clients, c)
		}
	}
	const comments = 30
	for i := range comments {
		native.say(`{"type":"comment","text":"%d 弹幕"}`, i)
	}
	native.say(`{"type":"like","count":5}`)
	for n, c := range clients {
		for i := range comments {
			want := fmt.Sprint(i, " 弹幕")
			if n%3 == 2 {
				k := c.next()
				for k.Op == packet.OpCounts {
					k = c.next()
				}
				var said struct{ Text string }
				if err := json.Unmarshal(k.Body, &said); k.Op != packet.OpComment || err != nil || said.Text != want {
					t.Fatalf("client %d: %+v, want %s", n, k, want)
				}
				continue
			}
			if got := c.event("DANMU_MSG")["info"].([]any)[1]; got != want {
				t.Fatalf("client %d: %v, want %s", n, got, want)
			}
		}
		if n%3 < 2 {
			if data := c.event("LIKE_INFO_V3_UPDATE")["data"].(map[string]any); data["click_count"] != 5.0 {
				t.Errorf("client %d: %v", n, data)
			}
		}
	}
	for _, encoding := range []string{"json", "bilibili", "bilibili_zlib", "goim"} {
		eventually(t, s, fmt.Sprintf("danmakud_encodings_total{encoding=%q} %d", encoding, s.hub.Sealed()))
	}
}

// TestPacketsInPieces: packets may come in any pieces over plain TCP.
func TestPacketsInPieces(t *testing.T) {
	s := start(t, withPackets)
	auth := packet.Append(nil, packet.Packet{Version: 1, Op: packet.OpAuth, Sequence: 1, Body: []byte(`{"roomid":1000}`)})
	beat := packet.Append(nil, packet.Packet{Version: 1, Op: packet.OpHeartbeat, Sequence: 1})
	all := append(append(append([]byte(nil), auth...), beat...), beat...)
	for cut := 1; cut < len(all); cut++ {
		c := dialBare(t, s)
		c.write(all[:cut])
		if cut%8 == 0 { // the pieces may also be seen as one
			time.Sleep(time.Millisecond)
		}
		c.write(all[cut:])
		c.expect(packet.OpAuthReply)
		c.expect(packet.OpHeartbeatReply)
		c.expect(packet.OpHeartbeatReply)
		c.conn.Close()
	}
	eventually(t, s, "danmakud_partial_bytes 0")
}

// TestBadPackets: each is refused and counted, before and behind auth.
func TestBadPackets(t *testing.T) {
	t.Parallel()
	bomb := packet.Append(nil, packet.Packet{Version: packet.VersionZlib, Op: packet.OpMessage, Body: bytes.Repeat([]byte{0}, 100)})
	big := binary.BigEndian.AppendUint32(nil, 1<<31)
	cases := []struct {
		reason string
		bytes  []byte
	}{
		{"packet_length", make([]byte, 16)},
		{"packet_length", []byte{0, 0, 0, 15, 0, 16, 0, 1}},
		{"packet_big", append(big, 0, 16, 0, 1)},
		{"packet_header", []byte{0, 0, 0, 16, 0, 15, 0, 1}},
		{"packet_compressed", bomb},
		{"packet_version", []byte{0, 0, 0, 16, 0, 16, 0, 9}},
	}
	kinds(t, func(t *testing.T, bare bool) {
		t.Parallel()
		s := start(t, withPackets)
		count := map[string]int{}
		for _, tc := range cases {
			for _, greeted := range []bool{false, true} {
				c := dialPackets(t, s, bare)
				if greeted {
					c.send(packet.OpAuth, `{"roomid":1}`)
					c.expect(packet.OpAuthReply)
				}
				c.write(tc.bytes)
				if code := c.ended(); !bare && code != websocket.CloseProtocolError {
					t.Errorf("%s: close code %d", tc.reason, code)
				}
				count[tc.reason]++
			}
		}
		for reason, n := range count {
			eventually(t, s, fmt.Sprintf("danmakud_closes_total{reason=%q} %d", reason, n))
		}
		eventually(t, s, "danmakud_connections 0")
	})
}

func TestBadMessagesOnSub(t *testing.T) {
	t.Parallel()
	s := start(t, withPackets)
	for _, greeted := range []bool{false, true} {
		c := dialSub(t, s)
		if greeted {
			c.send(packet.OpAuth, `{"roomid":1}`)
			c.expect(packet.OpAuthReply)
		}
		if err := c.ws.WriteMessage(websocket.TextMessage, []byte(`{"type":"ping"}`)); err != nil {
			t.Fatal(err)
		}
		if code := c.ended(); code != websocket.CloseUnsupportedData {
			t.Errorf("a text message: close code %d", code)
		}
		c = dialSub(t, s)
		c.write([]byte{0, 0, 0, 17, 0, 16, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1})
		if code := c.ended(); code != websocket.CloseProtocolError {
			t.Errorf("a cut packet: close code %d", code)
		}
	}
	for i, body := range []string{``, `{}`, `{"roomid":"1"}`, `{"room_id":"no room"}`, `{"room_id":"live://"}`, strings.Repeat("[", 1000)} {
		c := dialSub(t, s)
		c.send(packet.OpAuth, body)
		if code := c.ended(); code != websocket.CloseProtocolError {
			t.Errorf("auth %d: close code %d", i, code)
		}
	}
	eventually(t, s, `danmakud_closes_total{reason="packet_text"} 2`)
	eventually(t, s, `danmakud_closes_total{reason="packet_cut"} 2`)
	eventually(t, s, `danmakud_closes_total{reason="packet_auth"} 6`)
}

// TestNestedMessagesCostNothing: a message of brackets alone, of a viewer or as auth, is
// refused without an error for every one of them: that took seconds of the loop.
func TestNestedMessagesCostNothing(t *testing.T) {
	s := start(t, withPackets)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, open := range []string{"[", `{"type":[`} {
		text := strings.Repeat(open, 4000/len(open))
		v := join(t, s, "1")
		if err := v.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if m := v.expect("error"); m.Code != "bad_json" {
			t.Errorf("%s…: %+v", open, m)
		}
		c := dialSub(t, s)
		c.send(packet.OpAuth, text)
		if code := c.ended(); code != websocket.CloseProtocolError {
			t.Errorf("auth %s…: close code %d", open, code)
		}
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 32<<20 { // it was 370 MB for each
		t.Errorf("%d bytes of memory went by", n)
	}
}

// TestPacketClocks: who says nothing is closed, and not before its time.
func TestPacketClocks(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *config.Config) { withPackets(c); c.PacketHeartbeat, c.GoimHeartbeat = 2*time.Second, time.Hour })
	began := time.Now()
	silent, bare, quiet, goim := dialSub(t, s), dialBare(t, s), dialSub(t, s), dialSub(t, s)
	quiet.send(packet.OpAuth, `{"roomid":1}`)
	quiet.expect(packet.OpAuthReply)
	goim.send(packet.OpAuth, `{"room_id":"1"}`)
	goim.expect(packet.OpAuthReply)
	if code := quiet.ended(); code != websocket.CloseGoingAway || time.Since(began) < 2*time.Second {
		t.Errorf("no heartbeat: close code %d after %v", code, time.Since(began))
	}
	if code := silent.ended(); code != websocket.ClosePolicyViolation || time.Since(began) < authTime {
		t.Errorf("no auth: close code %d after %v", code, time.Since(began))
	}
	bare.ended()
	goim.send(packet.OpHeartbeat, "")
	goim.expect(packet.OpHeartbeatReply)
	eventually(t, s, `danmakud_closes_total{reason="packet_auth_timeout"} 2`)
	eventually(t, s, `danmakud_closes_total{reason="heartbeat_timeout"} 1`)
}

func TestPacketTokens(t *testing.T) {
	keys := withKeys(t)
	s := start(t, func(c *config.Config) { keys(c); withPackets(c); c.Guests = config.GuestsNone })
	good := ticket(t, jwt.MapClaims{"sub": "42", "rooms": []string{"1000"}})
	expired := ticket(t, jwt.MapClaims{"sub": "42", "exp": time.Now().Unix() - 600})
	kinds(t, func(t *testing.T, bare bool) {
		for _, tc := range []struct {
			auth   string
			answer string // "" = closed without one
			code   int    // 0 = stays
		}{
			{`{"roomid":1000,"key":"` + good + `"}`, `{"code":0}`, 0},
			{`{"room_id":"live://1000","key":"` + good + `"}`, `{"code":0}`, 0},
			{`{"room_id":"live://1000","key":"k","token":"` + good + `"}`, `{"code":0}`, 0},
			{`{"roomid":1000}`, `{"code":-101}`, websocket.ClosePolicyViolation},
			{`{"roomid":1000,"key":"nonsense"}`, `{"code":-101}`, 4001},
			{`{"roomid":1000,"key":"` + expired + `"}`, `{"code":-101}`, 4001},
			{`{"roomid":1001,"key":"` + good + `"}`, `{"code":-101}`, websocket.ClosePolicyViolation},
			{`{"room_id":"live://1000"}`, "", websocket.ClosePolicyViolation},
			{`{"room_id":"live://1000","key":"a.b.c"}`, "", 4001},
		} {
			c := dialPackets(t, s, bare)
			c.send(packet.OpAuth, tc.auth)
			if tc.answer != "" {
				if k := c.expect(packet.OpAuthReply); string(k.Body) != tc.answer {
					t.Errorf("%s is answered with %s, want %s", tc.auth, k.Body, tc.answer)
				}
			}
			if tc.code == 0 {
				c.send(packet.OpHeartbeat, "")
				c.expect(packet.OpHeartbeatReply)
				continue
			}
			if code := c.ended(); !bare && code != tc.code {
				t.Errorf("%s: close code %d, want %d", tc.auth, code, tc.code)
			}
		}
	})
	// Who is in and loses its token is closed, and gets no JSON of ours.
	c := dialSub(t, s)
	c.send(packet.OpAuth, `{"roomid":1000,"key":"`+good+`"}`)
	c.expect(packet.OpAuthReply)
	if n, err := s.revoke(t.Context(), "", "42"); err != nil || n < 1 { // those above may be on their way out
		t.Errorf("revoked %d, %v", n, err)
	}
	if code := c.ended(); code != 4001 || len(c.ready) != 0 {
		t.Errorf("revoked: close code %d after %v", code, c.ready)
	}
}

// TestPacketViewersKeptOut: bans and full rooms are as for native viewers.
func TestPacketViewersKeptOut(t *testing.T) {
	t.Parallel()
	keys := withKeys(t)
	s := start(t, func(c *config.Config) { keys(c); withPackets(c) })
	key := ticket(t, jwt.MapClaims{"sub": "42"})
	if _, err := s.Sanction(t.Context(), moderation.Sanction{Kind: moderation.Ban, Room: "1000", User: "42", By: "test", ByRole: room.RoleAdmin}); err != nil {
		t.Fatal(err)
	}
	c := dialSub(t, s)
	c.send(packet.OpAuth, `{"roomid":1000,"key":"`+key+`"}`)
	if k := c.expect(packet.OpAuthReply); string(k.Body) != `{"code":-101}` || c.ended() != 4003 {
		t.Errorf("banned: %s", k.Body)
	}
	if err := s.SetSettings("full", room.Settings{MaxViewers: 1}, "test"); err != nil {
		t.Fatal(err)
	}
	join(t, s, "full")
	c = dialSub(t, s)
	c.send(packet.OpAuth, `{"room_id":"full"}`)
	if code := c.ended(); code != websocket.CloseTryAgainLater {
		t.Errorf("full: close code %d", code)
	}
	// Kicks reach them, and say nothing but the close.
	c = dialSub(t, s)
	c.send(packet.OpAuth, `{"roomid":7,"key":"`+key+`"}`)
	c.expect(packet.OpAuthReply)
	if n, err := s.Kick(t.Context(), "7", "42", "enough", "test"); err != nil || n != 1 {
		t.Errorf("kicked %d, %v", n, err)
	}
	if code := c.ended(); code != websocket.ClosePolicyViolation || len(c.ready) != 0 {
		t.Errorf("kicked: close code %d after %v", code, c.ready)
	}
	eventually(t, s, `danmakud_closes_total{reason="banned"} 1`)
	eventually(t, s, `danmakud_closes_total{reason="room_full"} 1`)
	eventually(t, s, `danmakud_closes_total{reason="kicked"} 1`)
}

// TestProtovers: what is asked for decides how batches come, and what comes is what the
// header says.
func TestProtovers(t *testing.T) {
	s := start(t, func(c *config.Config) { withPackets(c); c.CommentRate = 0 })
	kinds(t, func(t *testing.T, bare bool) {
		clients := map[string]*packetClient{}
		for said, zipped := range map[string]bool{``: false, `,"protover":0`: false, `,"protover":1`: false, `,"protover":2`: true, `,"protover":3`: true, `,"protover":"2"`: false} {
			c := dialPackets(t, s, bare)
			c.send(packet.OpAuth, `{"roomid":5`+said+`}`)
			c.expect(packet.OpAuthReply)
			clients[fmt.Sprint(zipped, said)] = c
		}
		if _, err := s.publish("5", &room.Comment{User: "1", Text: "弹幕", Color: room.ColorDefault}); err != nil {
			t.Fatal(err)
		}
		for name, c := range clients {
			if got := c.event("DANMU_MSG")["info"].([]any)[1]; got != "弹幕" {
				t.Errorf("%s: %v", name, got)
			}
			outer := c.raw[len(c.raw)-1]
			want := uint16(packet.VersionJSON)
			if strings.HasPrefix(name, "true") {
				want = packet.VersionZlib
			}
			if v := binary.BigEndian.Uint16(outer[6:]); v != want || binary.BigEndian.Uint32(outer[8:]) != packet.OpMessage {
				t.Errorf("%s: header %x", name, outer[:packet.HeaderSize])
			}
			if c.ws != nil {
				c.ws.Close()
			} else {
				c.conn.Close()
			}
		}
		eventually(t, s, "danmakud_members 0")
	})
}

// TestBlockedAndSilenced: Bilibili clients of the room are told whom a moderator keeps
// from speaking, and who may speak; of shadow bans, addresses and other rooms they are not.
func TestBlockedAndSilenced(t *testing.T) {
	keys := withKeys(t)
	s := start(t, func(c *config.Config) { keys(c); withPackets(c) })
	in, bare, zlib, elsewhere := dialSub(t, s), dialBare(t, s), dialSub(t, s), dialSub(t, s)
	goim := dialSub(t, s)
	for c, auth := range map[*packetClient]string{in: `{"roomid":1}`, bare: `{"roomid":1}`, zlib: `{"roomid":1,"protover":2}`, elsewhere: `{"roomid":2}`, goim: `{"room_id":"1"}`} {
		c.send(packet.OpAuth, auth)
		c.expect(packet.OpAuthReply)
	}
	target, _, _ := dial(t, s, "/ws/1?token="+ticket(t, jwt.MapClaims{"sub": "42", "name": "小明"}), nil)
	target.expect("welcome")
	for _, sanction := range []moderation.Sanction{
		{Kind: moderation.ShadowBan, Room: "1", User: "41"},
		{Kind: moderation.Mute, Room: "1", Address: "192.0.2.1"},
		{Kind: moderation.Mute, User: "40"},
		{Kind: moderation.Mute, Room: "1", User: "42", ByRole: room.RoleAnchor},
		{Kind: moderation.Ban, Room: "1", User: "43"},
	} {
		sanction.By = "test"
		if sanction.ByRole == 0 {
			sanction.ByRole = room.RoleAdmin
		}
		if _, err := s.Sanction(t.Context(), sanction); err != nil {
			t.Fatalf("%+v: %v", sanction, err)
		}
	}
	for _, c := range []*packetClient{in, bare, zlib} {
		first, second := c.event("ROOM_BLOCK_MSG")["data"].(map[string]any), c.event("ROOM_BLOCK_MSG")["data"].(map[string]any)
		if first["uid"] != 42.0 || first["uname"] != "小明" || first["operator"] != 2.0 || second["uid"] != 43.0 || second["operator"] != 1.0 {
			t.Errorf("told %v and %v", first, second)
		}
	}
	if err := s.SetSettings("1", room.Settings{Closed: true}, "test"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*packetClient{in, bare, zlib} {
		c.event("ROOM_SILENT_ON")
	}
	for _, c := range []*packetClient{elsewhere, goim} {
		c.send(packet.OpHeartbeat, "")
		k := c.next()
		for k.Op == packet.OpCounts { // in goim's words, of the same batches
			k = c.next()
		}
		if k.Op != packet.OpHeartbeatReply {
			t.Errorf("got operation %d %s", k.Op, k.Body)
		}
	}
}

// TestSiteIsAskedAboutPackets: what comes before the answer is ignored.
func TestSiteIsAskedAboutPackets(t *testing.T) {
	answer := make(chan string)
	url := site(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		select {
		case text := <-answer:
			io.WriteString(w, text)
		case <-r.Context().Done():
		}
	})
	s := start(t, func(c *config.Config) { withPackets(c); c.ConnectURL, c.ConnectTimeout = url, patient })
	kinds(t, func(t *testing.T, bare bool) {
		c := dialPackets(t, s, bare)
		c.send(packet.OpAuth, `{"roomid":1000}`)
		c.send(packet.OpHeartbeat, "")
		answer <- `{"allow":true,"user":"77"}`
		c.expect(packet.OpAuthReply)
		c.send(packet.OpHeartbeat, "")
		c.expect(packet.OpHeartbeatReply)
		if n, err := s.Kick(t.Context(), "1000", "77", "", "test"); err != nil || n != 1 {
			t.Errorf("kicked %d, %v", n, err)
		}
		c.ended()
		c = dialPackets(t, s, bare)
		c.send(packet.OpAuth, `{"roomid":1000}`)
		answer <- `{"allow":false}`
		if k := c.expect(packet.OpAuthReply); string(k.Body) != `{"code":-101}` {
			t.Errorf("denied: %s", k.Body)
		}
		c.ended()
	})
	eventually(t, s, `danmakud_closes_total{reason="connect_denied"} 2`)
}

// TestGoimConversation: what only goim's clients say.
func TestGoimConversation(t *testing.T) {
	s := start(t, func(c *config.Config) { withPackets(c); c.CommentRate, c.Tick = 0, 10*time.Millisecond })
	native := join(t, s, "video:7")
	kinds(t, func(t *testing.T, bare bool) {
		c := dialPackets(t, s, bare)
		c.send(1000, "before auth")
		c.send(packet.OpAuth, `{"mid":1,"room_id":"live://1000"}`)
		c.expect(packet.OpAuthReply)
		for _, tc := range []struct {
			op, answer uint32
			body, want string
		}{
			{packet.OpChangeRoom, packet.OpChangeRoomReply, "video://7", "video://7"},
			{packet.OpSubscribe, packet.OpSubscribeReply, "1000,1001", "1000,1001"},
			{packet.OpUnsubscribe, packet.OpUnsubscribeReply, "1001", "1001"},
			{4, 4, "a message", ""},
			{1234, 1234, "business", ""},
		} {
			c.send(tc.op, tc.body)
			if k := c.expect(tc.answer); string(k.Body) != tc.want || k.Sequence != 7 || k.Version != 1 {
				t.Errorf("%d %s is answered with %+v", tc.op, tc.body, k)
			}
		}
		native.say(`{"type":"comment","text":"to seven"}`)
		if k := c.expect(packet.OpComment); !bytes.Contains(k.Body, []byte("to seven")) {
			t.Errorf("got %s", k.Body)
		}
		c.expect(packet.OpCounts)
		if outer := c.raw[len(c.raw)-1]; bare == (binary.BigEndian.Uint32(outer[8:]) == packet.OpRaw) {
			t.Errorf("outer packet %x", outer[:packet.HeaderSize])
		}
		c.send(packet.OpChangeRoom, "no room")
		c.send(packet.OpHeartbeat, "")
		c.expect(packet.OpHeartbeatReply)
		c.send(packet.OpChangeRoom, "live://1000") // leaves quietly, so that the next one sees its own change
		c.expect(packet.OpChangeRoomReply)
	})
	eventually(t, s, "danmakud_packets_ignored_total 4")
}

// TestNonsenseEnds: packets without a meaning are borne with, but not for ever.
func TestNonsenseEnds(t *testing.T) {
	t.Parallel()
	s := start(t, withPackets)
	c := dialBare(t, s)
	c.send(packet.OpAuth, `{"roomid":1}`)
	c.expect(packet.OpAuthReply)
	junk, err := hex.DecodeString("0000001000100001" + "000003e7" + "00000001")
	if err != nil {
		t.Fatal(err)
	}
	c.write(bytes.Repeat(junk, 3*strikesMax))
	c.ended()
	eventually(t, s, `danmakud_closes_total{reason="abuse"} 1`)
}

// TestSubIsNothingElse: what is not an upgrade is HTTP, and /ws stays as it was.
func TestSubIsNothingElse(t *testing.T) {
	s := start(t, withPackets)
	get(t, "http://"+s.addr()+"/sub", 404)
	if _, status, _ := dial(t, s, "/subway", nil); status != 404 {
		t.Errorf("/subway is answered with %d", status)
	}
	if _, status, _ := dial(t, s, "/sub", http.Header{"Origin": {"https://elsewhere.example"}}); status != 403 {
		t.Errorf("a foreign origin is answered with %d", status)
	}
	v, status, _ := dial(t, s, "/sub?x=1", http.Header{"Sec-WebSocket-Protocol": {"whatever"}})
	if status != 101 {
		t.Errorf("answered with %d", status)
	}
	compressing := websocket.Dialer{EnableCompression: true}
	ws, answer, err := compressing.Dial("ws://"+s.addr()+"/sub", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	if got := answer.Header.Get("Sec-WebSocket-Extensions"); got != "" {
		t.Errorf("packets may be compressed again: %s", got)
	}
	c := &packetClient{t: t, ws: v.Conn}
	c.send(packet.OpAuth, `{"roomid":1}`)
	c.expect(packet.OpAuthReply)
}

// TestGoimPushes: a back end of goim reaches its clients by key, user, room and all;
// by all but room only those that want the operation.
func TestGoimPushes(t *testing.T) {
	keys := withKeys(t)
	s := start(t, func(c *config.Config) { keys(c); withPackets(c); c.Tick = 10 * time.Millisecond })
	control := "http://" + s.controlListener.Addr().String()
	post := func(path, body string) {
		t.Helper()
		c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		r, err := c.Post(control+path, "application/octet-stream", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		if answer, err := io.ReadAll(r.Body); err != nil || r.StatusCode != 200 || !bytes.Contains(answer, []byte(`"code":0`)) {
			t.Fatalf("%s: %s %s %v", path, r.Status, answer, err)
		}
	}
	// pushed is the next packet that is no count.
	pushed := func(c *packetClient) string {
		t.Helper()
		k := c.next()
		for k.Op == packet.OpCounts {
			k = c.next()
		}
		return fmt.Sprint(k.Op, " ", string(k.Body))
	}
	kinds(t, func(t *testing.T, bare bool) {
		one, two, deaf := dialPackets(t, s, bare), dialPackets(t, s, bare), dialPackets(t, s, bare)
		one.send(packet.OpAuth, `{"mid":42,"key":"k1","token":"`+ticket(t, jwt.MapClaims{"sub": "42"})+`","room_id":"live://1","accepts":[1000]}`)
		two.send(packet.OpAuth, `{"mid":43,"key":"k2","room_id":"live://1","accepts":[1000,1001]}`)
		deaf.send(packet.OpAuth, `{"mid":44,"key":"k3","room_id":"live://1"}`)
		for _, c := range []*packetClient{one, two, deaf} {
			c.t = t
			c.expect(packet.OpAuthReply)
		}
		post("/goim/push/keys?operation=1000&keys=k1,k3", "by key \xff")
		post("/goim/push/mids?operation=1000&mids=42,43", "by user")
		post("/goim/push/all?operation=1001", "all")
		post("/goim/push/all?operation=1000", "all again")
		for c, want := range map[*packetClient][]string{
			one: {"1000 by key \xff", "1000 by user", "1000 all again"}, two: {"1001 all", "1000 all again"},
		} {
			for _, w := range want {
				if got := pushed(c); got != w {
					t.Fatalf("got %q, want %q", got, w)
				}
			}
		}
		post("/goim/push/room?operation=1002&type=live&room=1", `{"cmd":"LIVE"}`)
		post("/goim/push/room?operation=1003&type=live&room=1", "\x00\xff")
		for _, c := range []*packetClient{one, two, deaf} {
			if a, b := pushed(c), pushed(c); a != `1002 {"cmd":"LIVE"}` || b != "1003 \x00\xff" {
				t.Errorf("got %q and %q", a, b)
			}
			if c.ws != nil {
				c.ws.Close()
			} else {
				c.conn.Close()
			}
		}
		eventually(t, s, "danmakud_members 0")
	})
	if text := get(t, control+"/goim/online/total", 200); !strings.Contains(text, `"conn_count":`) {
		t.Errorf("total: %s", text)
	}
}

// TestHeartbeatBeforeBacklog: a viewer that does not read has batches waiting; the
// answer to its heartbeat follows the frame that was torn, before all others, and
// nothing of ours is in between.
func TestHeartbeatBeforeBacklog(t *testing.T) {
	t.Parallel()
	kinds(t, func(t *testing.T, bare bool) {
		t.Parallel()
		s := start(t, func(c *config.Config) {
			withPackets(c)
			c.Tick, c.MaxTick, c.SendBuffer, c.Ring, c.Loops = 10*time.Millisecond, 10*time.Millisecond, 4<<10, 4, 1
		})
		c := dialPackets(t, s, bare)
		conn := c.conn
		if c.ws != nil {
			conn = c.ws.NetConn()
		}
		if err := conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
			t.Fatal(err)
		}
		c.send(packet.OpAuth, `{"roomid":9}`)
		c.expect(packet.OpAuthReply)
		long := strings.Repeat("x", 1000)
		for more := 10; more > 0; { // batches behind the one that is torn
			for range 30 {
				if _, err := s.publish("9", &room.Comment{User: "1", Text: long, Color: room.ColorDefault, Kind: room.KindSystem}); err != nil && !errors.Is(err, room.ErrFull) {
					t.Fatal(err)
				}
			}
			time.Sleep(15 * time.Millisecond) // a tick: another batch
			if s.metrics.collect().Blocked > 0 {
				more--
			}
		}
		read := s.reactor.Stats().Reads
		c.send(packet.OpHeartbeat, "")
		await(t, "the heartbeat to be read", func() bool { return s.metrics.collect().Blocked == 1 && s.reactor.Stats().Reads > read })
		on(t, s.handlers[0], func() {}) // behind the turn that has read it: the answer is in the queue
		// Through a window of 4 KiB what waits would take as long as the kernel's timers.
		if err := conn.(*net.TCPConn).SetReadBuffer(1 << 20); err != nil {
			t.Fatal(err)
		}
		messages := 0
		for {
			if len(c.ready) == 0 {
				messages++
			}
			k := c.next()
			if k.Op == packet.OpHeartbeatReply {
				break
			}
			if k.Op != packet.OpMessage {
				t.Fatalf("got operation %d %.100q", k.Op, k.Body)
			}
		}
		c.send(packet.OpHeartbeat, "")
		after := 0
		for k := c.next(); k.Op != packet.OpHeartbeatReply; k = c.next() {
			after++
		}
		if after == 0 {
			t.Errorf("nothing was waiting behind the answer, which came after %d messages", messages)
		}
	})
}

// TestDrainOfPackets: who speaks them is closed, without words of ours.
func TestDrainOfPackets(t *testing.T) {
	t.Parallel()
	s := start(t, withPackets)
	open, greeting, bare := dialSub(t, s), dialSub(t, s), dialBare(t, s)
	for _, c := range []*packetClient{open, bare} {
		c.send(packet.OpAuth, `{"roomid":9}`)
		c.expect(packet.OpAuthReply)
	}
	greeting.send(packet.OpHeartbeat, "") // it is there before the drain begins
	eventually(t, s, "danmakud_packets_ignored_total 1")
	done := make(chan error)
	go func() { done <- s.drain() }()
	if code := open.ended(); code != websocket.CloseServiceRestart || len(open.ready) != 0 {
		t.Errorf("close code %d after %v", code, open.ready)
	}
	bare.ended()
	if code := greeting.ended(); code != websocket.CloseServiceRestart && code != websocket.ClosePolicyViolation {
		t.Errorf("greeting: close code %d", code)
	}
	for _, c := range []*packetClient{open, greeting} {
		c.ws.Close()
	}
	bare.conn.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
