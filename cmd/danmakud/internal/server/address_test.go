package server

import (
	"bufio"
	"fmt"
	"hash/maphash"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/danmakud/danmakud/poller"
)

func TestForwardedFor(t *testing.T) {
	trusted, err := config.Networks([]string{"10.0.0.0/8", "fd00::/8"})
	if err != nil {
		t.Fatal(err)
	}
	for list, want := range map[string]string{
		"192.0.2.1":                           "192.0.2.1",
		" 192.0.2.1\t":                        "192.0.2.1",
		"192.0.2.1:4711":                      "192.0.2.1",
		"2001:db8::1":                         "2001:db8::1",
		"[2001:db8::1]":                       "2001:db8::1",
		"[2001:db8::1]:4711":                  "2001:db8::1",
		"::ffff:192.0.2.1":                    "192.0.2.1",
		"198.51.100.1, 192.0.2.1":             "192.0.2.1",
		"garbage, 192.0.2.1, 10.1.2.3":        "192.0.2.1",
		"192.0.2.1, 10.1.2.3, fd00::5":        "192.0.2.1",
		"192.0.2.1,10.1.2.3:80,[fd00::5]:443": "192.0.2.1",
		"::ffff:10.1.2.3, 10.0.0.1":           "10.1.2.3", // all trusted: the leftmost
		"":                                    "",
		",":                                   "",
		"192.0.2.1,":                          "",
		"192.0.2.1, garbage":                  "",
		"192.0.2.1, garbage, 10.0.0.1":        "",
		"192.0.2.1, unknown":                  "",
		"fe80::1%eth0":                        "",
		"[fe80::1%eth0]:80":                   "",
		"10.0.0.300":                          "",
		"[192.0.2.1":                          "192.0.2.1",
	} {
		a, ok := forwardedFor(list, trusted)
		if ok != (want != "") || ok && a.String() != want {
			t.Errorf("%q: %v, %v; want %q", list, a, ok, want)
		}
	}
}

// FuzzForwardedFor: nothing a client writes changes what a proxy adds behind it.
func FuzzForwardedFor(f *testing.F) {
	f.Add("10.0.0.1, x")
	f.Add("[::1]:80,")
	trusted, err := config.Networks([]string{"10.0.0.0/8"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, list string) {
		if a, ok := forwardedFor(list, trusted); ok && (!a.IsValid() || a.Zone() != "" || a.Is4In6()) {
			t.Errorf("%q: %v", list, a)
		}
		if a, ok := forwardedFor(list+", 192.0.2.1, 10.0.0.1", trusted); !ok || a.String() != "192.0.2.1" {
			t.Errorf("%q: %v, %v", list, a, ok)
		}
	})
}

func TestAddressTable(t *testing.T) {
	key := func(s string) addressKey { return addressKey(netip.MustParseAddr(s).As16()).counted() }
	if key("192.0.2.1") == key("192.0.2.2") || key("2001:db8::1") != key("2001:db8:0:0:ffff::2") || key("2001:db8::") == key("2001:db8:0:1::") {
		t.Error("IPv4 counts by address, IPv6 by /64")
	}
	if key("::ffff:192.0.2.1") != key("192.0.2.1") {
		t.Error("IPv4 in IPv6 is IPv4")
	}
	table := addressTable{seed: maphash.MakeSeed()}
	a, b := key("192.0.2.1"), key("192.0.2.2")
	if !table.take(a, 2) || !table.take(a, 2) || table.take(a, 2) || !table.take(b, 2) {
		t.Error("want two places for each")
	}
	table.release(a)
	if !table.take(a, 2) || table.take(a, 2) {
		t.Error("what is given back can be had once")
	}
	for range 2 {
		table.release(a)
	}
	table.release(b)
	if n := table.counted(); n != 0 {
		t.Errorf("%d counted", n)
	}
	defer func() {
		if recover() == nil {
			t.Error("given back twice, and nobody says so")
		}
	}()
	table.release(a)
}

// counted returns how many connections the table has, and checks its books.
func (t *addressTable) counted() (n int) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for _, count := range s.counts {
			n += int(count)
		}
		s.mu.Unlock()
	}
	return n
}

func TestAddressTableShrinks(t *testing.T) {
	table := addressTable{seed: maphash.MakeSeed()}
	var keys []addressKey
	for range 4 * placeShards * shrinkFrom / 2 {
		k := addressKey{0: byte(rand.Int()), 1: byte(rand.Int()), 2: byte(rand.Int()), 3: byte(rand.Int())}
		if table.take(k, 1) {
			keys = append(keys, k)
		}
	}
	for _, k := range keys {
		table.release(k)
	}
	for i := range table.shards {
		if table.shards[i].counts != nil {
			t.Fatal("an empty map of many is kept")
		}
	}
}

// All loops take and give back at once; never more than the limit have a place.
func TestAddressTableConcurrently(t *testing.T) {
	table := addressTable{seed: maphash.MakeSeed()}
	const limit = 3
	var holders [4]chan struct{}
	for i := range holders {
		holders[i] = make(chan struct{}, limit)
	}
	var done sync.WaitGroup
	for range 4 {
		done.Go(func() {
			for i := range 20_000 {
				k := addressKey{15: byte(i % len(holders))}
				if !table.take(k, limit) {
					continue
				}
				select {
				case holders[k[15]] <- struct{}{}:
				default:
					t.Error("more than the limit")
				}
				<-holders[k[15]]
				table.release(k)
			}
		})
	}
	done.Wait()
	if n := table.counted(); n != 0 {
		t.Errorf("%d counted in the end", n)
	}
}

// client is a connection whose bytes the test writes itself.
type client struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

func connect(t *testing.T, s *Server, p ...string) *client {
	t.Helper()
	c, err := net.Dial("tcp", s.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(60 * time.Second))
	io.WriteString(c, strings.Join(p, "")) // who is refused may have been closed by now
	return &client{c, t, bufio.NewReader(c)}
}

// status reads an answer's head and returns its status, 0 if there is none.
func (c *client) status() int {
	c.t.Helper()
	r, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return 0
	}
	if r.StatusCode == http.StatusServiceUnavailable && r.Header.Get("Retry-After") == "" {
		c.t.Error("503 without Retry-After")
	}
	return r.StatusCode
}

func (c *client) mustBe(status int) {
	c.t.Helper()
	if got := c.status(); got != status {
		c.t.Errorf("answered with %d, want %d", got, status)
	}
}

// upgradeRequest is a whole head; fields end with CR LF.
func upgradeRequest(room string, fields ...string) string {
	return "GET /ws/" + room + " HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" + strings.Join(fields, "") + "\r\n"
}

// settle waits until the table counts n connections.
func (s *Server) settle(t *testing.T, n int) {
	t.Helper()
	for range 6000 {
		if s.places.counted() == n {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%d connections counted, want %d", s.places.counted(), n)
}

// Every way a connection can end gives its place back, once: a second time panics,
// which closes_total would show.
func TestPlacesAreGivenBack(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *config.Config) { c.MaxConnectionsPerAddress, c.Loops = 3, 4 })
	for round := range 6 {
		a := connect(t, s, upgradeRequest(fmt.Sprint("a", round))) // may move to another loop
		b := connect(t, s, "GET /healthz HTTP/1.1\r\nHost: a\r\n") // not whole: not handed over yet
		c := connect(t, s)
		a.mustBe(101)
		s.settle(t, 3)
		connect(t, s, upgradeRequest("r")).mustBe(503)
		// Refused whatever it wants, before it says a word.
		connect(t, s).mustBe(503)
		io.WriteString(b, "\r\n") // net/http has it from here on
		b.mustBe(200)
		c.Close()
		switch round % 3 {
		case 0:
			a.Close()
		case 1:
			a.Conn.(*net.TCPConn).SetLinger(0)
			a.Close()
		case 2:
			a.Write([]byte{0, 0, 0, 0}) // the server closes
		}
		a.Close()
		b.Close()
		s.settle(t, 0)
	}
	eventually(t, s, `danmakud_rejected_total{reason="address"} 12`)
	eventually(t, s, `danmakud_closes_total{reason="address_full"} 12`)
	eventually(t, s, "danmakud_panics_total 0")
}

// While net/http serves a connection it keeps its place.
func TestPlainHTTPKeepsItsPlace(t *testing.T) {
	s := start(t, func(c *config.Config) { c.MaxConnectionsPerAddress = 1 })
	// The head is whole, its body is not.
	c := connect(t, s, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
	eventually(t, s, "danmakud_http_connections 1")
	if n := s.places.counted(); n != 1 {
		t.Errorf("%d connections counted", n)
	}
	connect(t, s).mustBe(503)
	c.Close()
	s.settle(t, 0)
	connect(t, s, upgradeRequest("r")).mustBe(101)
}

// Viewers who move to the loop of their room are neither counted twice nor refused
// for the place that they have themselves.
func TestMovedKeepTheirPlace(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *config.Config) { c.MaxConnectionsPerAddress, c.Loops = 1, 4 })
	for i := range 40 {
		c := connect(t, s, upgradeRequest(fmt.Sprint("room", i)))
		c.mustBe(101)
		s.settle(t, 1)
		c.Close()
		s.settle(t, 0)
	}
	await(t, "somebody was moved: else the test shows nothing", func() bool { return !strings.Contains(scrape(t, s), "\ndanmakud_moved_total 0\n") })
}

// Who is turned away is not kept for long beyond a few, whatever he does.
func TestTurnedAwayDoNotPileUp(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *config.Config) { c.MaxConnectionsPerAddress, c.Loops = 1, 1 })
	h := s.handlers[0]
	connect(t, s, upgradeRequest("r")).mustBe(101)
	for i := range 3 * lingerMax {
		c := connect(t, s) // and never closed by us
		if got := c.status(); got != 503 {
			t.Fatalf("connection %d answered with %d", i, got)
		}
		on(t, h, func() {
			lingering := 0
			for slot := range h.loop.Slots() {
				if h.session(poller.Slot(slot)).state == stateClosing {
					lingering++
				}
			}
			if lingering != h.lingering || lingering > lingerMax {
				t.Errorf("%d linger, %d are counted", lingering, h.lingering)
			}
		})
	}
	eventually(t, s, fmt.Sprintf(`danmakud_closes_total{reason="address_full"} %d`, 3*lingerMax))
	eventually(t, s, "danmakud_connections 1")
}

// addresses returns where the server believes its viewers to be.
func (s *Server) viewerAddresses(t *testing.T) (all []string) {
	t.Helper()
	for _, h := range s.handlers {
		on(t, h, func() {
			for i := range h.loop.Slots() {
				if slot := poller.Slot(i); h.session(slot).state == stateOpen {
					all = append(all, h.address(slot).String())
				}
			}
		})
	}
	return all
}

func TestProxyHeader(t *testing.T) {
	s := start(t, func(c *config.Config) {
		c.Loops, c.MaxConnectionsPerAddress = 4, 2
		c.ProxyProtocol = []string{"127.0.0.0/8"}
		c.TrustedProxies = []string{"198.51.100.0/24", "127.0.0.0/8"}
	})
	v1 := "PROXY TCP4 192.0.2.1 192.0.2.2 40000 80\r\n"
	v2Signature := "\r\n\r\n\x00\r\nQUIT\n"
	from := netip.MustParseAddr("2001:db8::1:7").As16()
	v2 := v2Signature + "\x21\x21\x00\x24" + string(from[:]) + strings.Repeat("\x00", 20)
	local := v2Signature + "\x20\x00\x00\x00"
	trusted := "PROXY TCP4 198.51.100.1 192.0.2.2 40000 80\r\n"
	for i, c := range []struct{ header, fields, address string }{
		{v1, "", "192.0.2.1"},
		{v2, "", "2001:db8::1:7"},
		{"PROXY UNKNOWN\r\n", "", "127.0.0.1"},
		{local, "", "127.0.0.1"},
		{v1, "X-Forwarded-For: 203.0.113.9\r\n", "192.0.2.1"}, // not from a trusted one
		{"PROXY UNKNOWN\r\n", "X-Forwarded-For: 203.0.113.9\r\n", "127.0.0.1"},
		{trusted, "X-Forwarded-For: 203.0.113.9\r\n", "203.0.113.9"},
		{trusted, "X-Forwarded-For: 198.51.100.7\r\n", "198.51.100.7"},
		{trusted, "X-Forwarded-For: who knows\r\n", "198.51.100.1"},
		{trusted, "", "198.51.100.1"},
	} {
		whole := c.header + upgradeRequest(fmt.Sprint("room", i), c.fields) + string(maskedText(`{"type":"ping","ref":"behind"}`))
		for _, cut := range []int{len(whole), 1, len(c.header) - 1, len(c.header), len(c.header) + 1} {
			conn := connect(t, s, whole[:cut])
			if cut%2 == 0 { // else both may come in one read
				time.Sleep(2 * time.Millisecond)
			}
			io.WriteString(conn, whole[cut:])
			conn.mustBe(101)
			for line := ""; !strings.Contains(line, `"ref":"behind"}`); {
				b, err := conn.r.ReadByte()
				if err != nil {
					t.Fatalf("%q, cut at %d: %v after %q", c.header, cut, err, line)
				}
				line += string(b)
			}
			if got := s.viewerAddresses(t); len(got) != 1 || got[0] != c.address {
				t.Errorf("%q %q: viewers at %q, want %s", c.header, c.fields, got, c.address)
			}
			conn.Close()
			for s.reactor.Connections() > 0 {
				time.Sleep(time.Millisecond)
			}
		}
	}
	s.settle(t, 0)
	eventually(t, s, "danmakud_forwarded_for_ignored_total 5")
}

// Viewers behind one proxy are counted each for himself, and those whose address
// nobody knows are not counted.
func TestPlacesBehindAProxy(t *testing.T) {
	s := start(t, func(c *config.Config) {
		c.MaxConnectionsPerAddress = 2
		c.ProxyProtocol, c.TrustedProxies = []string{"127.0.0.1"}, []string{"10.0.0.0/8"}
	})
	header := func(a string) string { return "PROXY TCP4 " + a + " 10.0.0.9 40000 80\r\n" }
	for range 2 {
		connect(t, s, header("192.0.2.1"), upgradeRequest("r")).mustBe(101)
		connect(t, s, header("192.0.2.2"), upgradeRequest("r")).mustBe(101)
		connect(t, s, header("10.0.0.1"), upgradeRequest("r", "X-Forwarded-For: 192.0.2.3, 10.0.0.2\r\n")).mustBe(101)
	}
	s.settle(t, 6)
	connect(t, s, header("192.0.2.1")).mustBe(503) // before it says what it wants
	connect(t, s, header("192.0.2.1"), upgradeRequest("r")).mustBe(503)
	connect(t, s, header("10.0.0.1"), upgradeRequest("r", "X-Forwarded-For: 192.0.2.3\r\n")).mustBe(503)
	connect(t, s, header("10.0.0.1"), "GET /healthz HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.3\r\n\r\n").mustBe(503)
	for range 4 {
		connect(t, s, "PROXY UNKNOWN\r\n", upgradeRequest("r")).mustBe(101)
		connect(t, s, header("10.0.0.1"), upgradeRequest("r")).mustBe(101)
		connect(t, s, header("10.0.0.1"), upgradeRequest("r", "X-Forwarded-For: ?\r\n")).mustBe(101)
	}
	s.settle(t, 6)
	eventually(t, s, `danmakud_rejected_total{reason="address"} 4`)
}

func TestProxyHeaderRefused(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *config.Config) {
		c.ProxyProtocol, c.HandshakeTimeout = []string{"127.0.0.0/8"}, time.Second
	})
	broken := []string{
		upgradeRequest("r"),
		"PROXY TCP4 1.2.3.4\r\n" + upgradeRequest("r"),
		"PROXY UNKNOWN " + strings.Repeat("x", 200),
		"\r\n\r\n\x00\r\nQUIT\n\x21\x11\xFF\xFF",
		"", // nothing in time
		"PROXY TCP4 192.0.2.1 ",
	}
	var all sync.WaitGroup
	for _, p := range broken {
		c := connect(t, s, p)
		all.Go(func() {
			if b, err := c.r.ReadByte(); err == nil {
				t.Errorf("%q is answered with %q", p, b)
			}
		})
	}
	all.Wait()
	eventually(t, s, fmt.Sprintf(`danmakud_closes_total{reason="proxy_header"} %d`, len(broken)))
	eventually(t, s, "danmakud_partial_bytes 0")
}

// Without a limit and without proxies nothing is kept of addresses, and a header
// that nobody asked for is no request.
func TestAddressesCostNothing(t *testing.T) {
	s := start(t, nil)
	c := connect(t, s, upgradeRequest("r", "X-Forwarded-For: 192.0.2.1\r\n"))
	c.mustBe(101)
	if got := s.viewerAddresses(t); len(got) != 1 || got[0] != "127.0.0.1" {
		t.Errorf("viewers at %q", got)
	}
	for _, h := range s.handlers {
		on(t, h, func() {
			if h.addresses != nil {
				t.Error("there is a column of addresses")
			}
		})
	}
	connect(t, s, "PROXY UNKNOWN\r\n", upgradeRequest("r")).mustBe(400)
}

// begun waits until one connection is in its handshake with these marks and
// without those, and returns the index of its loop.
func (s *Server) begun(t *testing.T, with, without marks) int {
	t.Helper()
	for range 2000 {
		for i, h := range s.handlers {
			found := false
			on(t, h, func() {
				for slot := range h.loop.Slots() {
					c := h.session(poller.Slot(slot))
					found = found || c.state == stateHandshaking && c.marks&with == with && !c.is(without)
				}
			})
			if found {
				return i
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("no such connection")
	return 0
}

// roomAwayFrom is the name of a room whose home is another loop.
func (s *Server) roomAwayFrom(loop int) string {
	for i := 0; ; i++ {
		if name := fmt.Sprint("away", i); s.hub.Home(name) != loop {
			return name
		}
	}
}

// What a loop has found out about a connection holds on the loop it moves to,
// though that goes by other settings.
func TestMoveAcrossAReload(t *testing.T) {
	for _, c := range []struct {
		name          string
		before, after []string // --proxy-protocol
		header        string
		with, without marks
		address       string
		counted       int
	}{
		{"PROXY no more", []string{"127.0.0.0/8"}, nil, "PROXY TCP4 192.0.2.1 192.0.2.2 40000 80\r\n", markProxied | markCounted, markHeader, "192.0.2.1", 1},
		{"PROXY without an address", []string{"127.0.0.0/8"}, nil, "PROXY UNKNOWN\r\n", markProxied, markHeader, "127.0.0.1", 0},
		{"PROXY from now on", nil, []string{"127.0.0.0/8"}, "", markCounted, markHeader, "127.0.0.1", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, func(d *config.Config) { d.Loops, d.MaxConnectionsPerAddress, d.ProxyProtocol = 4, 2, c.before })
			conn := connect(t, s, c.header)
			loop := s.begun(t, c.with, c.without)
			changed := *s.settings()
			changed.ProxyProtocol = c.after
			if err := s.apply(&changed); err != nil {
				t.Fatal(err)
			}
			for _, h := range s.handlers {
				on(t, h, func() {}) // has the new settings
			}
			io.WriteString(conn, upgradeRequest(s.roomAwayFrom(loop), "X-Forwarded-For: 203.0.113.9\r\n"))
			conn.mustBe(101)
			if got := s.viewerAddresses(t); len(got) != 1 || got[0] != c.address {
				t.Errorf("viewers at %q, want %s", got, c.address)
			}
			s.settle(t, c.counted)
			eventually(t, s, "danmakud_moved_total 1") // else the test shows nothing
			conn.Close()
			s.settle(t, 0)
		})
	}
}

// A peer that was a trusted proxy when it came, and is none when it says what it
// wants, is a viewer like others.
func TestProxyNoLongerTrusted(t *testing.T) {
	s := start(t, func(c *config.Config) {
		c.MaxConnectionsPerAddress, c.TrustedProxies = 1, []string{"127.0.0.0/8"}
	})
	head := upgradeRequest("r", "X-Forwarded-For: 192.0.2.1\r\n")
	c := connect(t, s, head[:20])
	s.begun(t, 0, markCounted)
	changed := *s.settings()
	changed.TrustedProxies = nil
	if err := s.apply(&changed); err != nil {
		t.Fatal(err)
	}
	for _, h := range s.handlers {
		on(t, h, func() {})
	}
	io.WriteString(c, head[20:])
	c.mustBe(101)
	s.settle(t, 1)
	if got := s.viewerAddresses(t); len(got) != 1 || got[0] != "127.0.0.1" {
		t.Errorf("viewers at %q", got)
	}
	connect(t, s, head).mustBe(503)
}

// Where a viewer is that speaks is remembered while it is connected, of a bounded number
// of them, and not for who has its slot next.
func TestSpeakersAddresses(t *testing.T) {
	s := start(t, func(c *config.Config) { c.Loops, c.CommentRate, c.AddressRate, c.AddressBurst = 1, 0, 1e6, 1e6 })
	h := s.handlers[0]
	v := join(t, s, "r")
	v.say(`{"type":"comment","text":"x"}`)
	v.expect("batch")
	on(t, h, func() {
		if got := h.spoke[0].address().String(); len(h.spoke) != 1 || got != "127.0.0.1" {
			t.Errorf("%d remembered, the speaker is at %s", len(h.spoke), got)
		}
	})
	v.Close()
	await(t, "it is forgotten", func() (none bool) {
		on(t, h, func() { none = len(h.spoke) == 0 })
		return none
	})
	v = join(t, s, "r")
	on(t, h, func() {
		for i := range spokeMost {
			h.spoke[poller.Slot(1000+i)] = addressKey{}
		}
	})
	v.say(`{"type":"comment","text":"y"}`)
	v.expect("batch")
	on(t, h, func() {
		if len(h.spoke) != 1 {
			t.Errorf("%d remembered, of %d places", len(h.spoke), spokeMost)
		}
	})
}
