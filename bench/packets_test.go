//go:build linux

package main

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// servePackets is a connection to /sub.
func (s *fakeServer) servePackets(conn net.Conn, in *bufio.Reader) {
	var c *fakeConn
	for {
		op, p, err := readMasked(in)
		if err != nil {
			return
		}
		if op != opBinary {
			continue
		}
		switch binary.BigEndian.Uint32(p[8:]) {
		case packetAuth:
			var m struct{ RoomID, Protover int }
			if json.Unmarshal(p[packetHead:], &m) != nil {
				return
			}
			c = s.admit(conn, strconv.Itoa(m.RoomID), m.Protover)
		case packetBeat:
			if c != nil && !s.mistakes.deaf {
				s.mu.Lock()
				_, _ = conn.Write(serverFrame(opBinary, appendPacket(nil, packetControl, packetBeatAnswer, []byte{0, 0, 0, 1})))
				s.mu.Unlock()
			}
		}
	}
}

// admit is join for those.
func (s *fakeServer) admit(conn net.Conn, room string, protover int) *fakeConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rooms[room]
	if r == nil {
		r = &fakeRoom{name: room}
		s.rooms[room] = r
	}
	s.seal(r)
	c := &fakeConn{number: len(s.conns), conn: conn, room: r, packets: true, protover: protover}
	s.conns = append(s.conns, c)
	answer := s.mistakes.admission
	if answer == "" {
		answer = `{"code":0}`
	}
	_, _ = conn.Write(serverFrame(opBinary, appendPacket(nil, packetControl, packetAuthAnswer, []byte(answer))))
	return c
}

// fakeEvents are comments as packets, and a count of the room behind them.
func fakeEvents(comments []fakeComment) (p []byte) {
	for _, c := range comments {
		text, _ := json.Marshal(c.Text)
		p = appendPacket(p, packetPlain, packetEvent, fmt.Appendf(nil,
			`{"cmd":"DANMU_MSG","info":[[0,1,25,255,%d,0,0,"",0,0,0,"",0,"{}","{}",{"extra":"{}"}],%s,[%d,"n",0,0,0,10000,1,""],[],[0],["",""],0,0,null,{},0,0,null,null,0,0,[0]]}`,
			c.TS, text, 1+crc32.ChecksumIEEE([]byte(c.UID))))
	}
	return appendPacket(p, packetPlain, packetEvent, fmt.Appendf(nil, `{"cmd":"ONLINE_RANK_COUNT","data":{"count":%d}}`, len(comments)))
}

var zippers = sync.Pool{New: func() any { w, _ := zlib.NewWriterLevel(nil, zlib.BestSpeed); return w }}

func zipped(events []byte) []byte {
	var b bytes.Buffer
	w := zippers.Get().(*zlib.Writer)
	w.Reset(&b)
	_, _ = w.Write(events)
	_ = w.Close()
	zippers.Put(w)
	return appendPacket(nil, packetZlib, packetEvent, b.Bytes())
}

// runMixedFake is one mixed run against a fake, with as many viewers of each kind.
func runMixedFake(t *testing.T, m mistakes, workers int, protover int) (*session, *mixedTurn) {
	t.Helper()
	f := startFake(t, m)
	s := selfSession(t, f)
	s.crew.end()
	s.crew = startCrewHere(workers)
	o := &mixedOptions{options: defaultOptions(), rounds: 1}
	o.viewers, o.senders, o.rate, o.inFlight, o.duration, o.warmup = 2*testViewers, 2, 500, 1, 350*time.Millisecond, 50*time.Millisecond
	if protover == packetZlib {
		o.zlib = testViewers
	} else {
		o.plain = testViewers
	}
	s.options = o.options
	s.options.quietLine = true
	turn, err := s.mixedTurn(o, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	s.judgeMixed(o, turn, true)
	if v := turn.native; v.Sent < 150 || v.Batches < 3 {
		t.Fatalf("only %d comments in %d batches: the load does not work", v.Sent, v.Batches)
	}
	return s, turn
}

func TestARightServerPassesPackets(t *testing.T) {
	t.Parallel()
	for _, protover := range []int{packetPlain, packetZlib} {
		for _, workers := range []int{1, 2} {
			t.Run(fmt.Sprintf("protover %d, %d workers", protover, workers), func(t *testing.T) {
				t.Parallel()
				s, turn := runMixedFake(t, mistakes{}, workers, protover)
				v := turn.packets[0]
				wantFaults(t, turn.native)
				wantFaults(t, v)
				wantMissed(t, s.card)
				if v.Received.Deliveries != v.Expected.Deliveries || v.Received.Deliveries != turn.native.Sent*testViewers || v.Viewers != testViewers {
					t.Errorf("%d viewers, received %+v, expected %+v", v.Viewers, v.Received, v.Expected)
				}
				if v.Inflated != v.Batches*int64(workers) {
					t.Errorf("%d messages, looked into %d by %d workers", v.Batches, v.Inflated, workers)
				}
				if l := turn.phase.Others; len(l) != 1 || l[0].Latency.Count == 0 {
					t.Errorf("phase: %+v", l)
				}
			})
		}
	}
}

// TestFaultsInPackets: each is found at whatever kind of packet viewer.
func TestFaultsInPackets(t *testing.T) {
	t.Parallel()
	const other = testViewers + testViewers/2 // a packet viewer, neither the first nor the last
	change := func(f func(c *fakeComment)) func([]fakeComment) []fakeComment {
		return func(l []fakeComment) []fakeComment {
			l = slices.Clone(l)
			for i := range l {
				if strings.HasSuffix(l[i].ID, "9") {
					f(&l[i])
				}
			}
			return l
		}
	}
	withoutOne := func(l []fakeComment) []fakeComment {
		if i := slices.IndexFunc(l, func(c fakeComment) bool { return strings.HasSuffix(c.ID, "0") }); i >= 0 && len(l) > 1 {
			return slices.Delete(slices.Clone(l), i, i+1)
		}
		return l
	}
	for _, c := range []struct {
		name     string
		mistakes mistakes
		faults   []string // each must be found, among others
		missed   string   // or that bar
	}{
		{"lost", at(other, 10, lose), []string{faultLost, faultAccount}, ""},
		{"the first lost", at(other, 1, lose), []string{faultLost, faultAccount}, ""},
		{"repeated", at(other, 10, repeat), []string{faultRepeated}, ""},
		{"swapped", to(other, swap), []string{faultReordered}, ""},
		{"a byte changed", at(other, 10, flipAt(30)), []string{faultLost}, ""},
		{"cut", at(other, 10, func(f []byte) [][]byte { return [][]byte{serverFrame(opBinary, messageOf(f)[:40])} }), []string{faultCorrupt, faultLost}, ""},
		{"text instead", at(other, 10, func(f []byte) [][]byte { return [][]byte{serverFrame(opText, []byte("{}"))} }), []string{faultFraming}, ""},
		{"another text for all", mistakes{packets: change(func(c *fakeComment) { c.Text += "!" })}, []string{faultCorrupt}, "not shown"},
		{"twice for all", mistakes{packets: func(l []fakeComment) []fakeComment { return append(l[:len(l):len(l)], l[0]) }}, []string{faultRepeated}, "not shown"},
		{"one left out for all", mistakes{packets: withoutOne}, nil, "not shown"},
		{"no time", mistakes{packets: change(func(c *fakeComment) { c.TS = 0 })}, []string{faultCorrupt}, ""},
		{"refused", mistakes{admission: `{"code":-101}`}, []string{faultWelcome}, ""},
		{"no answer to heartbeats", mistakes{deaf: true}, []string{faultLost}, ""},
	} {
		for _, protover := range []int{packetPlain, packetZlib} {
			t.Run(fmt.Sprintf("%s, protover %d", c.name, protover), func(t *testing.T) {
				t.Parallel()
				s, turn := runMixedFake(t, c.mistakes, 1, protover)
				wantFaults(t, turn.native)
				for _, kind := range c.faults {
					if turn.packets[0].Faults.Counts[kind] == 0 {
						t.Errorf("no fault of kind %q: %v", kind, turn.packets[0].Faults)
					}
				}
				if c.faults == nil {
					wantFaults(t, turn.packets[0])
				}
				if c.missed != "" {
					wantMissed(t, s.card, c.missed)
				}
			})
		}
	}
}

func messageOf(frame []byte) []byte {
	h, _, _ := readHeaderOf(frame, opBinary, false)
	return frame[h.size:]
}

// TestMixedVerdicts: what misses which bar.
func TestMixedVerdicts(t *testing.T) {
	t.Parallel()
	judged := func(zlib, skipped, p99 float64, shown int64) *RunCard {
		s := &session{card: NewRunCard("test"), target: &target{info: ServerInfo{Control: "x"}}}
		s.options = defaultOptions()
		o := &mixedOptions{options: s.options, zlib: 10}
		o.maxP99, s.options.maxP99 = 100*time.Millisecond, 100*time.Millisecond
		v := &judgement{Sent: 7}
		v.Received.Comments = 7
		packets := &judgement{}
		packets.Received.Comments = shown
		s.judgeMixed(o, &mixedTurn{
			phase:  &Phase{Name: "r", Cost: &Cost{}, Latency: &Latency{P99US: 90_000}, Others: []NamedDelay{{Name: "zlib", Latency: Latency{P99US: int64(p99)}}}},
			native: v, packets: []*judgement{packets},
			counts: metrics{"danmakud_batches_sealed_total": 10, `danmakud_encodings_total{encoding="bilibili_zlib"}`: zlib, "danmakud_batches_skipped_total": skipped},
		}, true)
		return s.card
	}
	wantMissed(t, judged(10, 0, 90_000, 7))
	wantMissed(t, judged(20, 0, 90_000, 7), "times a batch")
	wantMissed(t, judged(9, 0, 90_000, 7), "times a batch")
	wantMissed(t, judged(10, 1, 90_000, 7), "skipped")
	wantMissed(t, judged(10, 0, 110_000, 7), "p99, zlib")
	wantMissed(t, judged(10, 0, 90_000, 6), "not shown")
	for _, bad := range []mixedOptions{{zlib: 0}, {zlib: -1, plain: 2}, {zlib: 1000}, {zlib: 5, options: options{rooms: 2}}} {
		o := bad
		o.options.viewers = 1000
		if o.rooms == 0 {
			o.rooms = 1
		}
		if err := runMixed(o); err == nil {
			t.Errorf("%d zlib, %d plain, %d rooms: taken", o.zlib, o.plain, o.rooms)
		}
	}
}

// TestRetriesAreJudged: a server that lets some of them in was not full.
func TestRetriesAreJudged(t *testing.T) {
	t.Parallel()
	judged := func(ends map[string]int64, p99 int64) *RunCard {
		s := &session{card: NewRunCard("test")}
		s.options = defaultOptions()
		o := &hostileOptions{options: s.options, maxRatio: 1.2, maxGrowth: -1}
		r := raidOf(kindRetry, p99, 0, ends, map[string]int64{"rejected: connections": 1000})
		s.judgeRaids(o, []*raid{r}, &judgement{})
		return s.card
	}
	quiet := raidOf(kindRetry, 0, 0, nil, nil).quiet.Latency.P99US
	wantMissed(t, judged(map[string]int64{"answered 503 Service Unavailable": 900, "reset": 10}, quiet))
	wantMissed(t, judged(map[string]int64{"answered 503 Service Unavailable": 900, "closed without a word": 10}, quiet), "not refused")
	wantMissed(t, judged(map[string]int64{"answered 503 Service Unavailable": 900}, 2*quiet), "p99 to quiet")
}
