package packet

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/valyala/fastjson"
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	p, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// vectors are packets as the clients and servers of both dialects write them.
var vectors = []struct {
	name, hex string
	want      Packet
}{
	{"auth ok", "0000001a0010000100000008000000017b22636f6465223a307d", Packet{1, 8, 1, []byte(`{"code":0}`)}},
	{"auth bad", "0000001d0010000100000008000000017b22636f6465223a2d3130317d", Packet{1, 8, 1, []byte(`{"code":-101}`)}},
	{"heartbeat", "00000010001000010000000200000001", Packet{1, 2, 1, nil}},
	{"heartbeat reply", "000000140010000100000003000000010001e240", Packet{1, 3, 1, []byte{0, 1, 0xe2, 0x40}}},
	{"message", "0000001e0010000000000005000000007b22636d64223a224c495645227d", Packet{0, 5, 0, []byte(`{"cmd":"LIVE"}`)}},
	{"goim auth reply", "00000010001000010000000800000001", Packet{1, 8, 1, nil}},
	{"goim push", "0000003e0010000100000009000000000000001700100001000003e8000000007b2261223a317d0000001700100001000003e8000000007b2261223a327d",
		Packet{1, 9, 0, []byte("\x00\x00\x00\x17\x00\x10\x00\x01\x00\x00\x03\xe8\x00\x00\x00\x00{\"a\":1}\x00\x00\x00\x17\x00\x10\x00\x01\x00\x00\x03\xe8\x00\x00\x00\x00{\"a\":2}")}},
}

func equal(a, b Packet) bool {
	return a.Version == b.Version && a.Op == b.Op && a.Sequence == b.Sequence && bytes.Equal(a.Body, b.Body)
}

// TestVectors: each is what Append makes, and what Decode gives back however it is cut.
func TestVectors(t *testing.T) {
	for _, v := range vectors {
		p := unhex(t, v.hex)
		if got := Append(nil, v.want); !bytes.Equal(got, p) {
			t.Errorf("%s: encoded %x, want %x", v.name, got, p)
		}
		for cut := range p {
			if k, n, err := Decode(p[:cut], 4096); n != 0 || err != nil {
				t.Errorf("%s, %d bytes of it: %+v, %d, %v", v.name, cut, k, n, err)
			}
			if need := Need(p[:cut]); need <= cut || need > len(p) {
				t.Errorf("%s, %d bytes of it: needs %d of %d", v.name, cut, need, len(p))
			}
		}
		if k, n, err := Decode(append(p, p...), 4096); err != nil || n != len(p) || !equal(k, v.want) {
			t.Errorf("%s: decoded %+v, %d, %v", v.name, k, n, err)
		}
	}
}

func TestRepliesAreTheVectors(t *testing.T) {
	beat := Packet{Version: 1, Op: OpHeartbeat, Sequence: 7}
	for _, tc := range []struct {
		name string
		got  []byte
		want string
	}{
		{"auth ok", AppendAuthReply(nil, Packet{}, Bilibili, AuthGood), vectors[0].hex},
		{"auth bad", AppendAuthReply(nil, Packet{}, Bilibili, AuthBad), vectors[1].hex},
		{"heartbeat", AppendHeartbeatReply(nil, beat, Bilibili, 123456), vectors[3].hex},
		{"goim heartbeat", AppendHeartbeatReply(nil, beat, Goim, 123456), "000000140010000100000003000000070001e240"},
		{"too many online", AppendHeartbeatReply(nil, beat, Bilibili, 1<<40), "000000140010000100000003000000017fffffff"},
		{"goim echo", AppendEcho(nil, Packet{1, OpSubscribe, 9, []byte("1000")}, OpSubscribeReply, true), "0000001400100001" + "0000000f" + "00000009" + "31303030"},
		{"goim push", AppendPush(AppendPush(nil, 1000, []byte("a"), true), 1000, []byte("a"), false),
			"00000021001000010000000900000000" + "0000001100100001000003e80000000061" + "0000001100100001000003e80000000061"},
	} {
		if want := unhex(t, tc.want); !bytes.Equal(tc.got, want) {
			t.Errorf("%s: %x, want %x", tc.name, tc.got, want)
		}
	}
}

func TestRefusedPackets(t *testing.T) {
	for _, tc := range []struct {
		name, hex string
		want      error
	}{
		{"length 0", "00000000", ErrLength},
		{"length 15", "0000000f", ErrLength},
		{"length 2^31", "80000000", ErrBig},
		{"length 2^32-1", "ffffffff", ErrBig},
		{"one byte too long", "00001011", ErrBig},
		{"header of 15", "00000010000f", ErrHeader},
		{"header of 0", "000000100000", ErrHeader},
		{"zlib", "0000001000100002", ErrCompressed},
		{"brotli", "0000001000100003", ErrCompressed},
		{"version 4", "0000001000100004", ErrVersion},
		{"version 65535", "000000100010ffff", ErrVersion},
	} {
		p := unhex(t, tc.hex)
		if _, n, err := Decode(p, 4096); !errors.Is(err, tc.want) || n != 0 {
			t.Errorf("%s: %d, %v, want %v", tc.name, n, err, tc.want)
		}
		if _, n, err := Decode(p[:len(p)-1], 4096); err != nil || n != 0 {
			t.Errorf("%s, the last byte missing: %d, %v", tc.name, n, err)
		}
	}
}

func TestDecodeAllocatesNothing(t *testing.T) {
	p := unhex(t, vectors[4].hex)
	if n := testing.AllocsPerRun(100, func() {
		if _, n, err := Decode(p, 4096); n == 0 || err != nil {
			t.Fatal(n, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestReadAuth(t *testing.T) {
	var parser fastjson.Parser
	for _, tc := range []struct {
		body string
		want Auth // Room "" = refused
	}{
		{`{"uid":0,"roomid":1000,"protover":3,"platform":"web","type":2,"key":"tok"}`, Auth{Room: "1000", Token: "tok", Zlib: true}},
		{`{"roomid":1000}`, Auth{Room: "1000"}},
		{`{"roomid":1,"protover":2}`, Auth{Room: "1", Zlib: true}},
		{`{"roomid":1,"protover":1}`, Auth{Room: "1"}},
		{`{"roomid":0}`, Auth{}},
		{`{"roomid":-1}`, Auth{}},
		{`{"roomid":1.5}`, Auth{}},
		{`{"roomid":9007199254740992}`, Auth{}},
		{`{"roomid":"1000"}`, Auth{}},
		{`{"uid":1}`, Auth{}},
		{`[1]`, Auth{}},
		{`{"roomid":1000`, Auth{}},
		{``, Auth{}},
		{`{"mid":123,"key":"","room_id":"live://1000","platform":"web","accepts":[1000,1001]}`, Auth{Dialect: Goim, Room: "1000", Accepts: []int32{1000, 1001}}},
		{`{"mid":123,"key":"k","room_id":"video://7"}`, Auth{Dialect: Goim, Room: "video:7", Key: "k"}},
		{`{"key":"a.b.c","room_id":"plain"}`, Auth{Dialect: Goim, Room: "plain", Token: "a.b.c"}},
		{`{"key":"k","token":"t","room_id":"r"}`, Auth{Dialect: Goim, Room: "r", Token: "t", Key: "k"}},
		{`{"room_id":"r","accepts":[2147483648]}`, Auth{}},
		{`{"room_id":"r","accepts":["x"]}`, Auth{}},
		{`{"room_id":7}`, Auth{}},
	} {
		a, err := ReadAuth(&parser, []byte(tc.body))
		if tc.want.Room == "" {
			if !errors.Is(err, ErrAuth) {
				t.Errorf("%s: %+v, %v, want ErrAuth", tc.body, a, err)
			}
			continue
		}
		if err != nil || a.Dialect != tc.want.Dialect || a.Room != tc.want.Room || a.Token != tc.want.Token || a.Key != tc.want.Key ||
			a.Zlib != tc.want.Zlib || len(a.Accepts) != len(tc.want.Accepts) {
			t.Errorf("%s: %+v, %v, want %+v", tc.body, a, err, tc.want)
		}
	}
}

func TestReadOps(t *testing.T) {
	if got := ReadOps([]byte("1000, 1001,x,1000,,99999999999")); len(got) != 2 || got[0] != 1000 || got[1] != 1001 {
		t.Errorf("got %v", got)
	}
	if got := ReadOps(bytes.Repeat([]byte("7,"), 5000)); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}

// FuzzDecode: whatever comes, a packet is a view into it within the limit, what is
// encoded again is what was decoded, and cutting changes no judgement.
func FuzzDecode(f *testing.F) {
	for _, v := range vectors {
		f.Add(unhex(f, v.hex), 4096)
	}
	for _, seed := range []string{"00000000", "0000000f", "80000000", "000000100000", "0000001000100002000000070000000178", "7fffffff00100001"} {
		f.Add(unhex(f, seed), 64)
	}
	f.Fuzz(func(t *testing.T, p []byte, limit int) {
		limit = min(max(limit, 0), 1<<20)
		k, n, err := Decode(p, limit)
		switch {
		case err != nil:
			var problem *Problem
			if !errors.As(err, &problem) || n != 0 {
				t.Fatalf("%d, %v", n, err)
			}
		case n == 0:
			if need := Need(p); need <= len(p) || need > limit+HeaderSize+8 {
				t.Fatalf("%d bytes, needs %d", len(p), need)
			}
		default:
			if len(k.Body) > limit || n > len(p) || !bytes.Equal(Append(nil, k), p[:n]) {
				t.Fatalf("%d bytes gave %+v", n, k)
			}
			for cut := range n {
				if _, n, err := Decode(p[:cut], limit); n != 0 || err != nil {
					t.Fatalf("cut at %d: %d, %v", cut, n, err)
				}
			}
		}
	})
}

// FuzzReadAuth: any body gives an auth that names a room, or the one error.
func FuzzReadAuth(f *testing.F) {
	f.Add([]byte(`{"uid":0,"roomid":1000,"protover":3,"key":"tok"}`))
	f.Add([]byte(`{"mid":123,"key":"","room_id":"live://1000","accepts":[1000]}`))
	f.Add([]byte(`{"roomid":1e400}`))
	var parser fastjson.Parser
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := ReadAuth(&parser, body)
		if err != nil && !errors.Is(err, ErrAuth) || len(a.Accepts) > AcceptsMax {
			t.Fatalf("%+v, %v", a, err)
		}
		ReadOps(body)
	})
}
