package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// startFloor runs a floor for the length of a test, or skips it with the reason.
func startFloor(t *testing.T, o FloorOptions) *Floor {
	t.Helper()
	f, err := StartFloor(context.Background(), o) // the test's own context ends before its clean-up
	if errors.Is(err, ErrNoCompiler) || errors.Is(err, ErrFloorSystem) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// floorViewer is a viewer of the floor: a plain reader of frames.
type floorViewer struct {
	*net.TCPConn
	in *bufio.Reader
}

const hang = 30 * time.Second // only a guard against hanging

func dialFloor(t *testing.T, f *Floor) *floorViewer {
	t.Helper()
	c, err := net.Dial("tcp", f.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(hang))
	return &floorViewer{TCPConn: c.(*net.TCPConn), in: bufio.NewReader(c)}
}

func floorHead(path string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: floor\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: " + FloorKey + "\r\nSec-WebSocket-Version: 13\r\n\r\n"
}

func (v *floorViewer) send(t *testing.T, s string) {
	t.Helper()
	if _, err := io.WriteString(v, s); err != nil {
		t.Fatal(err)
	}
}

// welcomed reads the answer to the head and the welcome, and returns the room it names.
func (v *floorViewer) welcomed(t *testing.T) string {
	t.Helper()
	for i := 0; ; i++ {
		line, err := v.in.ReadString('\n')
		if err != nil {
			t.Fatalf("reading the 101: %v", err)
		}
		if i == 0 && line != "HTTP/1.1 101 Switching Protocols\r\n" {
			t.Fatalf("status line %q", line)
		}
		if line == "\r\n" {
			break
		}
	}
	var m struct{ Type, Room, Epoch string }
	payload, _ := v.frame(t)
	if err := json.Unmarshal(payload, &m); err != nil || m.Type != "welcome" || m.Epoch != "floor" {
		t.Fatalf("welcome %q: %v", payload, err)
	}
	return m.Room
}

func joinFloor(t *testing.T, f *Floor, room string) *floorViewer {
	t.Helper()
	v := dialFloor(t, f)
	v.send(t, floorHead("/ws/"+room))
	if got := v.welcomed(t); got != room {
		t.Fatalf("welcome to %q, want %q", got, room)
	}
	return v
}

// frame reads one frame, insists on a final unmasked text frame of minimal
// length, and returns its payload and its whole size.
func (v *floorViewer) frame(t *testing.T) ([]byte, int) {
	t.Helper()
	var h [10]byte
	read := func(p []byte) {
		if _, err := io.ReadFull(v.in, p); err != nil {
			t.Fatalf("reading a frame: %v", err)
		}
	}
	read(h[:2])
	if h[0] != 0x81 || h[1] > 127 {
		t.Fatalf("frame begins % x", h[:2])
	}
	head, n := 2, uint64(h[1])
	switch n {
	case 126:
		read(h[2:4])
		head, n = 4, uint64(binary.BigEndian.Uint16(h[2:]))
		if n < 126 {
			t.Fatalf("length %d in two bytes", n)
		}
	case 127:
		read(h[2:10])
		head, n = 10, binary.BigEndian.Uint64(h[2:])
		if n < 65536 || n > 1<<30 {
			t.Fatalf("length %d in eight bytes", n)
		}
	}
	payload := make([]byte, n)
	read(payload)
	return payload, head + int(n)
}

// floorBatch reads a pushed frame and returns its number and whole size.
func (v *floorViewer) floorBatch(t *testing.T) (seq uint64, size int) {
	t.Helper()
	payload, size := v.frame(t)
	var m struct {
		Type string
		Seq  uint64
	}
	if err := json.Unmarshal(payload, &m); err != nil || m.Type != "batch" {
		t.Fatalf("pushed %.200q: %v", payload, err)
	}
	return m.Seq, size
}

// maskedFrame is what a viewer sends.
func maskedFrame(op byte, payload string) string {
	key := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	b := []byte{0x80 | op}
	switch n := len(payload); {
	case n <= 125:
		b = append(b, 0x80|byte(n))
	case n <= 65535:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	b = append(b, key[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^key[i%4])
	}
	return string(b)
}

// eventually polls the floor's counters until they satisfy ok.
func eventually(t *testing.T, f *Floor, what string, ok func(FloorCounts) bool) FloorCounts {
	t.Helper()
	deadline := time.Now().Add(hang)
	for {
		s, err := f.Stats()
		if err != nil {
			t.Fatal(err)
		}
		if ok(s) {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: still %+v", what, s)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestFloorPushSizes(t *testing.T) {
	f := startFloor(t, FloorOptions{Mode: FloorPush})
	viewers := []*floorViewer{joinFloor(t, f, "a"), joinFloor(t, f, "b"), joinFloor(t, f, "a")}
	var last uint64
	for _, size := range []int{64, 127, 130, 191, 192, 256, 4096, 16384, 65539, 65546, 1 << 20} {
		for range 3 { // one at a time, each read before the next: a full socket would skip
			got, err := f.Push(size, 0, 1)
			if err != nil {
				t.Fatal(err)
			}
			last++
			if got.Frames != int64(len(viewers)) || got.Rounds != 1 || got.Skipped+got.Failed != 0 {
				t.Fatalf("size %d: %+v", size, got)
			}
			if got.Short == 0 && got.Bytes != got.Frames*int64(size) || got.Bytes > got.Frames*int64(size) {
				t.Errorf("size %d: %+v", size, got)
			}
			for _, v := range viewers {
				if seq, n := v.floorBatch(t); seq != last || n != size {
					t.Fatalf("frame %d of %d bytes, want %d of %d", seq, n, last, size)
				}
			}
		}
	}
}

func TestFloorPushKeepsTime(t *testing.T) {
	f := startFloor(t, FloorOptions{Mode: FloorPush})
	v := joinFloor(t, f, "r")
	p, err := f.Push(64, 10*time.Millisecond, 3)
	if err != nil {
		t.Fatal(err)
	}
	// The last round begins at 20 ms; later is the machine's fault, earlier would be ours.
	if p.Frames != 3 || p.Rounds != 3 || p.Elapsed < 20*time.Millisecond || p.CPU <= 0 || p.CPUPerFrame() <= 0 {
		t.Errorf("%+v", p)
	}
	for i := range uint64(3) {
		if seq, _ := v.floorBatch(t); seq != i+1 {
			t.Errorf("frame %d, want %d", seq, i+1)
		}
	}
	if n := (FloorPushed{CPU: time.Second}).CPUPerFrame(); n != 0 {
		t.Errorf("%v a frame where there was none", n)
	}
}

func TestFloorPushRefuses(t *testing.T) {
	f := startFloor(t, FloorOptions{Mode: FloorPush})
	for _, size := range []int{-1, 0, 63, 128, 129, 65540, 65545, 1<<24 + 1} {
		if p, err := f.Push(size, 0, 1); err == nil {
			t.Errorf("%d bytes: %+v", size, p)
		}
	}
	if _, err := f.Push(256, 0, 0); err == nil {
		t.Error("a push of no rounds was taken")
	}
	if p, err := f.Push(256, 0, 2); err != nil || p.Frames != 0 {
		t.Errorf("push to nobody: %+v, %v", p, err)
	}
	r := startFloor(t, FloorOptions{Mode: FloorRelay})
	if _, err := r.Push(256, 0, 1); err == nil {
		t.Error("a relay pushed")
	}
	if _, err := StartFloor(t.Context(), FloorOptions{Mode: FloorRelay, Threads: 2}); err == nil {
		t.Error("a relay of two threads started")
	}
	if _, err := StartFloor(t.Context(), FloorOptions{Mode: "both"}); err == nil {
		t.Error("an unknown mode started")
	}
}

// The head may be cut anywhere, and frames may follow it at once.
func TestFloorHeadCutAnywhere(t *testing.T) {
	for _, mode := range []string{FloorPush, FloorRelay} {
		t.Run(mode, func(t *testing.T) {
			f := startFloor(t, FloorOptions{Mode: mode})
			all := floorHead("/ws/r?history=0") + maskedFrame(1, "hello") // frame behind the head
			viewers := make([]*floorViewer, len(all)-1)
			for i := range viewers {
				viewers[i] = dialFloor(t, f)
				viewers[i].send(t, all[:i+1])
			}
			eventually(t, f, "accepting", func(s FloorCounts) bool { return s.Connections == int64(len(viewers)) })
			for i, v := range viewers {
				v.send(t, all[i+1:])
				if room := v.welcomed(t); room != "r" {
					t.Fatalf("cut at %d: room %q", i+1, room)
				}
				if mode == FloorRelay { // its own hello comes back
					if p, _ := v.frame(t); string(p) != "hello" {
						t.Fatalf("cut at %d: relayed %q", i+1, p)
					}
				}
			}
			if mode == FloorPush {
				if _, err := f.Push(64, 0, 1); err != nil {
					t.Fatal(err)
				}
				for i, v := range viewers {
					if seq, n := v.floorBatch(t); seq != 1 || n != 64 {
						t.Fatalf("cut at %d: frame %d of %d bytes", i+1, seq, n)
					}
				}
			}
		})
	}
}

func TestFloorRefusesHeads(t *testing.T) {
	f := startFloor(t, FloorOptions{Mode: FloorPush})
	cases := []struct {
		name   string
		head   string
		answer string // how it begins
	}{
		{
			name:   "other path",
			head:   floorHead("/metrics"),
			answer: "HTTP/1.1 404 ",
		},
		{
			name:   "no room",
			head:   floorHead("/ws/"),
			answer: "HTTP/1.1 404 ",
		},
		{
			name:   "room of 65 bytes",
			head:   floorHead("/ws/" + strings.Repeat("r", 65)),
			answer: "HTTP/1.1 404 ",
		},
		{
			name: "head without end",
			head: "GET /ws/a HTTP/1.1\r\nCookie: " + strings.Repeat("c", 9000),
		},
		{
			name: "head too long",
			head: "GET /ws/a HTTP/1.1\r\nCookie: " + strings.Repeat("c", 9000) + "\r\n\r\n",
		},
	}
	for _, c := range cases {
		v := dialFloor(t, f)
		v.send(t, c.head)
		got, err := io.ReadAll(v.in)
		if err != nil && len(got) == 0 && c.answer != "" || !strings.HasPrefix(string(got), c.answer) ||
			c.answer == "" && len(got) > 0 {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
	joinFloor(t, f, strings.Repeat("r", 64))
	eventually(t, f, "refused ones gone", func(s FloorCounts) bool { return s.Connections == 1 && s.Joined == 1 })
}

func TestFloorPushDiscardsInbound(t *testing.T) {
	f := startFloor(t, FloorOptions{Mode: FloorPush})
	v := joinFloor(t, f, "r")
	v.send(t, strings.Repeat(maskedFrame(1, "never read")+maskedFrame(9, "ping"), 20_000))
	if _, err := f.Push(256, 0, 1); err != nil {
		t.Fatal(err)
	}
	if seq, _ := v.floorBatch(t); seq != 1 {
		t.Errorf("frame %d", seq)
	}
	s, err := f.Stats()
	if err != nil || s.Received != 0 || s.Joined != 1 {
		t.Errorf("%+v, %v", s, err)
	}
}

// drain reads pushed frames up to the first short one, which marks the end,
// insists on rising numbers, and returns how many were of the given size.
func (v *floorViewer) drain(t *testing.T, size int) (whole int64) {
	var last uint64
	for {
		seq, n := v.floorBatch(t)
		if seq <= last {
			t.Errorf("frame %d after %d", seq, last)
		}
		if n != size {
			return whole
		}
		last = seq
		whole++
	}
}

// A viewer that does not read misses whole frames; none is ever torn, and what
// all got plus what was skipped is what was pushed.
func TestFloorNeverTearsFrames(t *testing.T) {
	f := startFloor(t, FloorOptions{Mode: FloorPush})
	slow, quick := joinFloor(t, f, "r"), joinFloor(t, f, "r")
	const size, rounds = 300_000, 60
	got := make(chan int64, 2)
	drain := func(v *floorViewer) {
		n := int64(-1)
		defer func() { got <- n }() // also when a check in drain ends this goroutine
		n = v.drain(t, size)
	}
	go drain(quick)
	p, err := f.Push(size, 3*time.Millisecond, rounds)
	if err != nil {
		t.Fatal(err)
	}
	if p.Skipped == 0 || p.Short == 0 {
		t.Fatalf("the slow viewer was never full: %+v", p)
	}
	if p.Frames+p.Skipped != 2*rounds {
		t.Errorf("begun %d + skipped %d of %d", p.Frames, p.Skipped, 2*rounds)
	}
	go drain(slow)
	eventually(t, f, "the rest written", func(s FloorCounts) bool { return s.Pending == 0 })
	for deadline := time.Now().Add(hang); ; { // a socket may be full to the brim without being in a frame
		q, err := f.Push(64, 0, 1)
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("%+v, %v", q, err)
		}
		if q.Frames == 2 {
			break
		}
	}
	if n := <-got + <-got; n != p.Frames {
		t.Errorf("%d whole frames arrived, %d were begun", n, p.Frames)
	}
}

func TestFloorThreads(t *testing.T) {
	f := startFloor(t, FloorOptions{Mode: FloorPush, Threads: 3, Cores: []int{0}})
	var viewers []*floorViewer
	for i := range 7 {
		viewers = append(viewers, joinFloor(t, f, fmt.Sprint("r", i)))
	}
	for i := range uint64(3) {
		p, err := f.Push(130, time.Microsecond, 2)
		if err != nil || p.Frames != 14 || p.Connections != 7 || p.Joined != 7 {
			t.Fatalf("%+v, %v", p, err)
		}
		for _, v := range viewers {
			for k := range uint64(2) {
				if seq, n := v.floorBatch(t); seq != 1+2*i+k || n != 130 {
					t.Fatalf("frame %d of %d bytes", seq, n)
				}
			}
		}
	}
	for _, v := range viewers[:4] {
		v.Close()
	}
	eventually(t, f, "leaving", func(s FloorCounts) bool { return s.Joined == 3 && s.Connections == 3 })
}

func TestFloorRelay(t *testing.T) {
	f := startFloor(t, FloorOptions{Mode: FloorRelay})
	a := []*floorViewer{joinFloor(t, f, "a"), joinFloor(t, f, "a"), joinFloor(t, f, "a")}
	b := joinFloor(t, f, "b")
	want := []string{"", "x", "你好", strings.Repeat("1", 125), strings.Repeat("2", 126), strings.Repeat("3", 60000)}
	var stream string
	for _, s := range want {
		stream += maskedFrame(9, "ping") + maskedFrame(1, s) + maskedFrame(2, "binary")
	}
	cut := 0
	for _, size := range []int{1, 1, 3, 7, 20, 100, 500, 9000} { // then the rest
		a[1].send(t, stream[cut:cut+size])
		cut += size
		eventually(t, f, "a turn of the loop", func(FloorCounts) bool { return true })
	}
	a[1].send(t, stream[cut:])
	for i, v := range a {
		for k, s := range want {
			if p, _ := v.frame(t); string(p) != s {
				t.Fatalf("viewer %d, frame %d: %.40q of %d bytes", i, k, p, len(p))
			}
		}
	}
	b.send(t, maskedFrame(1, "only b"))
	if p, _ := b.frame(t); string(p) != "only b" {
		t.Errorf("room b got %.40q", p)
	}
	// The loop counts a frame just after it was sent.
	eventually(t, f, "the counts", func(s FloorCounts) bool {
		return s.Received == int64(len(want))+1 && s.Frames == 3*int64(len(want))+1
	})
}

func TestFloorRelayDropsBadFrames(t *testing.T) {
	cases := []struct {
		name string
		sent string
	}{
		{
			name: "not masked",
			sent: "\x81\x02hi",
		},
		{
			name: "eight byte length",
			sent: maskedFrame(1, strings.Repeat("x", 70_000)),
		},
		{
			name: "longer than the limit",
			sent: maskedFrame(1, strings.Repeat("x", 65_535)),
		},
	}
	f := startFloor(t, FloorOptions{Mode: FloorRelay})
	other := joinFloor(t, f, "r")
	for _, c := range cases {
		v := joinFloor(t, f, "r")
		v.send(t, c.sent[:2])
		io.WriteString(v, c.sent[2:]) // may find the connection closed already
		if n, err := v.in.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("%s: answered", c.name)
		}
	}
	eventually(t, f, "dropping", func(s FloorCounts) bool { return s.Connections == 1 && s.Received == 0 })
	other.send(t, maskedFrame(1, "still here"))
	if p, _ := other.frame(t); string(p) != "still here" {
		t.Errorf("got %q", p)
	}
}

func TestFloorRelayFullMember(t *testing.T) {
	f := startFloor(t, FloorOptions{Mode: FloorRelay})
	full, sender := joinFloor(t, f, "r"), joinFloor(t, f, "r")
	text := strings.Repeat("y", 60_000)
	for i := 0; ; i++ {
		sender.send(t, maskedFrame(1, text))
		if p, _ := sender.frame(t); string(p) != text {
			t.Fatal("the sender's own frame is not what it sent")
		}
		s, err := f.Stats()
		if err != nil || i > 5000 {
			t.Fatalf("%+v, %v", s, err)
		}
		if s.Skipped > 0 {
			break
		}
	}
	// A frame is on its way before it is counted.
	s := eventually(t, f, "counting each member of each round", func(s FloorCounts) bool {
		return s.Frames+s.Skipped == 2*s.Received
	})
	for range s.Frames - s.Received { // all of the sender's were delivered to itself
		if p, _ := full.frame(t); string(p) != text {
			t.Fatal("torn frame")
		}
	}
	eventually(t, f, "the rest written", func(s FloorCounts) bool { return s.Pending == 0 })
	sender.send(t, maskedFrame(1, "again"))
	if p, _ := full.frame(t); string(p) != "again" {
		t.Errorf("after the jam: %.40q", p)
	}
}

// Rooms come, members leave in any order, and fd numbers are used again.
func TestFloorMembersChange(t *testing.T) {
	f := startFloor(t, FloorOptions{Mode: FloorRelay})
	for round := range 20 {
		room := fmt.Sprint("room-", round%7)
		var viewers []*floorViewer
		for range 9 {
			viewers = append(viewers, joinFloor(t, f, room))
		}
		for _, i := range []int{4, 0, 8} {
			viewers[i].SetLinger(0) // reset, not end
			viewers[i].Close()
		}
		eventually(t, f, "leaving", func(s FloorCounts) bool { return s.Joined == 6 })
		text := fmt.Sprint("round ", round)
		viewers[1].send(t, maskedFrame(1, text))
		for _, i := range []int{1, 2, 3, 5, 6, 7} {
			if p, _ := viewers[i].frame(t); string(p) != text {
				t.Fatalf("%q, want %q", p, text)
			}
			viewers[i].Close()
		}
		eventually(t, f, "all gone", func(s FloorCounts) bool { return s.Connections == 0 && s.Joined == 0 })
	}
}

func TestFloorEnds(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f, err := StartFloor(ctx, FloorOptions{Mode: FloorPush})
	if errors.Is(err, ErrNoCompiler) || errors.Is(err, ErrFloorSystem) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind in the temporary folder: %v, %v", left, err)
	}
	joinFloor(t, f, "r")
	pushed := make(chan error)
	go func() {
		_, err := f.Push(64, time.Hour, 2)
		pushed <- err
	}()
	cancel()
	if err := <-pushed; err == nil {
		t.Error("a push of an hour ended without error")
	}
	if err := f.Close(); err == nil {
		t.Error("a killed floor closed without error")
	}
	if _, err := f.Stats(); err == nil {
		t.Error("a closed floor answered")
	}
}

func TestFloorWithoutCompiler(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip(ErrFloorSystem)
	}
	t.Setenv("PATH", t.TempDir())
	t.Setenv("CC", "")
	if _, err := StartFloor(t.Context(), FloorOptions{Mode: FloorPush}); !errors.Is(err, ErrNoCompiler) {
		t.Errorf("error %v", err)
	}
}

func TestTailBuffer(t *testing.T) {
	b := &tailBuffer{limit: 4}
	for _, s := range []string{"ab", "cde", "f"} {
		if n, err := b.Write([]byte(s)); n != len(s) || err != nil {
			t.Fatal(n, err)
		}
	}
	if got := b.String(); got != "cdef" || !bytes.Equal(b.bytes, []byte("cdef")) {
		t.Errorf("%q", got)
	}
}
