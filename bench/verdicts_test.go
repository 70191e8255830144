//go:build linux

package main

import (
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// missed lists the bars of a card that were not met.
func missed(c *RunCard) (names []string) {
	for _, b := range c.Bars {
		if !b.Pass {
			names = append(names, b.Name)
		}
	}
	return names
}

// wantMissed fails unless exactly one bar was missed for each of these parts of
// names, and none else.
func wantMissed(t *testing.T, c *RunCard, parts ...string) {
	t.Helper()
	got := missed(c)
	if len(c.Bars) == 0 {
		t.Error("no bars at all")
	}
	if len(got) != len(parts) {
		t.Errorf("missed %q, want those with %q", got, parts)
		return
	}
	for _, part := range parts {
		if !slices.ContainsFunc(got, func(name string) bool { return strings.Contains(name, part) }) {
			t.Errorf("missed %q, want one with %q", got, part)
		}
	}
}

// selfSession measures this very process in place of a server's.
func selfSession(t *testing.T, f *fakeServer) *session {
	t.Helper()
	s := testSession(t, 1)
	s.target.info = ServerInfo{Addr: f.listener.Addr().String(), Pid: os.Getpid()}
	return s
}

func TestCompressVerdicts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		mistakes mistakes
		minRatio float64
		missed   []string
	}{
		{"right", mistakes{noHistory: true}, 1.1, nil},
		{"too little saved", mistakes{noHistory: true}, 50, []string{"times fewer bytes"}},
		{"never compressed", mistakes{noHistory: true, plainOnly: true}, 0, []string{"share of batches"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := startFake(t, c.mistakes)
			s := selfSession(t, f)
			o := &compressOptions{options: defaultOptions(), rounds: 2, maxRuns: 1, maxIdleBytes: -1}
			o.viewers, o.senders, o.duration, o.warmup, o.inFlight = testViewers, 2, 400*time.Millisecond, 50*time.Millisecond, 1
			s.options = o.options
			s.options.quietLine = true
			if err := s.compress(o, []compressBars{{rate: 400, minRatio: c.minRatio}}); err != nil {
				t.Fatal(err)
			}
			wantMissed(t, s.card, c.missed...)
			if n := s.card.Faults(); n != 0 {
				t.Errorf("%d faults", n)
			}
			if len(s.card.Comparisons) != 3 || s.card.Comparisons[0].Rounds != 2 || s.card.Comparisons[0].Ratio <= 0 {
				t.Errorf("comparisons: %+v", s.card.Comparisons)
			}
			if len(s.card.Tables) != 2 || len(s.card.Tables[1].Rows) != 1 || len(s.card.Tables[1].Rows[0]) != len(s.card.Tables[1].Columns) {
				t.Errorf("tables: %+v", s.card.Tables)
			}
		})
	}
}

func TestCompressBarsAreRead(t *testing.T) {
	t.Parallel()
	o := compressOptions{rates: "1000,10000", maxCPURatio: "1.1,0.6", minRatio: "3"}
	got, err := o.bars()
	if want := []compressBars{{1000, 1.1, 3}, {10000, 0.6, 3}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []compressOptions{
		{rates: "x"}, {rates: "1000", minRatio: "3,4"}, {rates: "1000", minRatio: "-3"}, {rates: "1000", maxCPURatio: "fast"},
	} {
		if got, err := bad.bars(); err == nil {
			t.Errorf("%+v gave %v", bad, got)
		}
	}
	k := judgedCompress(2.9, 1.2, 1.5, 0.3)
	wantMissed(t, k, "CPU a delivery", "times fewer bytes", "compressions a batch", "share of batches")
	wantMissed(t, judgedCompress(3.1, 1, 1, 1))
}

// judgedCompress is the card of a comparison with these outcomes.
func judgedCompress(ratio, cpu, runs, share float64) *RunCard {
	s := &session{card: NewRunCard("test")}
	o := &compressOptions{maxRuns: 1}
	turn := compressTurn{cost: &Cost{}, deflated: share}
	pair := [2][]float64{{100}, {100 * cpu}}
	s.judgeCompress(o, compressBars{1000, 1.1, 3}, pair, pair, pair, []float64{ratio}, []float64{runs}, [2]compressTurn{turn, turn})
	return s.card
}

// raidOf is a raid whose good viewers had that p99, in microseconds.
func raidOf(kind string, p99 int64, rss int64, ends, closes map[string]int64) *raid {
	h := hdrhistogram.New(1, 60_000_000, 3)
	_ = h.RecordValue(p99)
	quiet := hdrhistogram.New(1, 60_000_000, 3)
	_ = quiet.RecordValue(100_000)
	return &raid{
		kind: kind, name: kind, quiet: &Phase{Name: "quiet", Latency: LatencyOf(quiet), Server: &ProcUse{RSSEnd: 10 << 20}}, phase: &Phase{Name: kind, Latency: LatencyOf(h), Server: &ProcUse{RSSEnd: rss}},
		attack: &attackResult{Opened: 20, MostOpen: 10, Ends: ends, Elapsed: 1e9, CPU: 1e8}, closes: closes,
	}
}

func TestHostileVerdicts(t *testing.T) {
	t.Parallel()
	ended := map[string]int64{"close 1002": 20}
	counted := map[string]int64{"protocol_unmasked": 20, "peer_reset": 3}
	for _, c := range []struct {
		name   string
		change func(r *raid)
		missed []string
	}{
		{"right", func(*raid) {}, nil},
		{"slower", func(r *raid) { *r = *raidOf("x", 200_000, 10<<20, ended, counted) }, []string{"p99 to quiet"}},
		{"bigger", func(r *raid) { r.phase.Server.RSSEnd = 90 << 20 }, []string{"RSS more"}},
		{"bigger in between", func(r *raid) {
			top := int64(90 << 20)
			r.phase.Series = []Second{{ServerRSSBytes: &top}}
		}, []string{"RSS more"}},
		{"not counted", func(r *raid) { r.closes = map[string]int64{"protocol_unmasked": 19, "peer_reset": 3} }, []string{"did not count"}},
		{"not ended", func(r *raid) { r.attack.Ends, r.closes = nil, nil }, []string{"ended by the server"}},
		{"no attack at all", func(r *raid) { r.attack.MostOpen = 0 }, []string{"at one time"}},
		{"nothing measured", func(r *raid) { r.phase.Latency, r.phase.Server = nil, nil }, []string{"p99 to quiet", "RSS more"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &session{card: NewRunCard("test"), options: options{maxLost: 0}}
			r := raidOf("x", 100_000, 12<<20, ended, counted)
			c.change(r)
			raids := []*raid{r, raidOf("y", 149_000, 10<<20, ended, counted)}
			for _, r := range raids {
				r.addCounters()
				s.card.Phases = append(s.card.Phases, *r.quiet, *r.phase)
			}
			o := &hostileOptions{options: s.options, hostile: 10, maxRatio: 1.5, maxGrowth: 50 << 20, minEnded: 1}
			s.judgeRaids(o, raids, &judgement{})
			wantMissed(t, s.card, c.missed...)
			if rows := s.card.Tables[0].Rows; len(rows) != 2 || len(rows[0]) != len(s.card.Tables[0].Columns) {
				t.Errorf("table: %q", rows)
			}
			if s.card.Phases[1].Counters["hostile_opened"] != 20 {
				t.Errorf("counters: %v", s.card.Phases[1].Counters)
			}
			checkPage(t, page(t, s.card))
		})
	}
}

// TestHostileRounds: one round that was disturbed does not decide.
func TestHostileRounds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		p99s   []int64
		missed []string
	}{
		{[]int64{100_000, 900_000, 140_000}, nil},
		{[]int64{100_000, 900_000, 160_000}, []string{"p99 to quiet"}},
	} {
		s := &session{card: NewRunCard("test"), options: options{maxLost: 0}}
		var raids []*raid
		for _, p99 := range c.p99s {
			raids = append(raids, raidOf("x", p99, 12<<20, nil, nil))
		}
		s.judgeRaids(&hostileOptions{options: s.options, maxRatio: 1.5, maxGrowth: -1}, raids, &judgement{})
		wantMissed(t, s.card, c.missed...)
	}
}

func TestClosesBetween(t *testing.T) {
	t.Parallel()
	before := metrics{`danmakud_closes_total{reason="abuse"}`: 3, `danmakud_closes_total{reason="drain"}`: 1}
	after := metrics{
		`danmakud_closes_total{reason="abuse"}`: 8, `danmakud_closes_total{reason="drain"}`: 1,
		`danmakud_closes_total{reason="new"}`: 2, `danmakud_rejected_total{reason="open_files"}`: 4, `danmakud_other_total`: 7,
	}
	if got := countsText(closesBetween(before, after)); got != "abuse: 5, rejected: open_files: 4, new: 2" {
		t.Error(got)
	}
}

// stormFake runs a storm of 30 beside 10 stayers against a fake.
func stormFake(t *testing.T, m mistakes) *session {
	t.Helper()
	f := startFake(t, m)
	s := selfSession(t, f)
	o := &stormOptions{options: defaultOptions(), stayers: 10, after: 300 * time.Millisecond, patience: 10 * time.Second, maxRSSRatio: 20}
	o.viewers, o.senders, o.rate, o.warmup, o.drain, o.inFlight = testViewers, 2, 200, 100*time.Millisecond, "framed", 8
	s.options = o.options
	s.options.quietLine = true
	if err := s.stormBack(o); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStormWithStayers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		mistakes mistakes
		missed   []string
		fault    string
		refused  int64
	}{
		{name: "right"},
		{name: "some turned away at first", refused: 10, mistakes: mistakes{turnAway: func(nth int) string {
			if nth > testViewers && nth <= testViewers+10 {
				return "503 Service Unavailable"
			}
			return ""
		}}},
		{name: "a stayer misses a batch", fault: faultLost, missed: []string{"lost"}, mistakes: at(3, 5, lose)},
		{
			name: "a stayer is closed", fault: faultClosed, missed: []string{"stayers that were closed"},
			mistakes: to(3, func(c *fakeConn, seq uint64, frame []byte) [][]byte {
				if seq != 5 {
					return [][]byte{frame}
				}
				_, _ = c.conn.Write(serverFrame(opClose, []byte{1011 >> 8, 1011 & 0xff}))
				_ = c.conn.(*net.TCPConn).CloseWrite()
				return nil
			}),
		},
		{name: "one who came back misses a batch", fault: faultLost, mistakes: to(testViewers+5, func(c *fakeConn, _ uint64, frame []byte) [][]byte {
			n, _ := c.state.(int)
			c.state = n + 1
			if n == 2 { // the third batch of this connection
				return nil
			}
			return [][]byte{frame}
		})},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := stormFake(t, c.mistakes)
			wantMissed(t, s.card, c.missed...)
			if n := s.card.Faults(); (n > 0) != (c.fault != "") {
				t.Errorf("%d faults, want %q", n, c.fault)
			}
			var found int64
			for _, p := range s.card.Phases {
				found += p.Faults[c.fault]
			}
			if c.fault != "" && found == 0 {
				t.Errorf("no fault of kind %q", c.fault)
			}
			if got := s.card.Phases[0].Drops["answered 503 Service Unavailable"]; got != c.refused {
				t.Errorf("%d were turned away, %d counted: %v", c.refused, got, s.card.Phases[0].Drops)
			}
		})
	}
}

func TestStormVerdicts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(r *stormRun, v, bv *judgement)
		missed []string
	}{
		{"right", func(*stormRun, *judgement, *judgement) {}, nil},
		{"not all back", func(_ *stormRun, _, bv *judgement) { bv.Joined = 999 }, []string{"not back"}},
		{"stayer closed", func(_ *stormRun, v, _ *judgement) { v.Stayed = 99 }, []string{"stayers"}},
		{"a second too full", func(r *stormRun, _, _ *judgement) { r.joins = []float64{10, 800} }, []string{"fullest"}},
		{"faster than allowed", func(r *stormRun, _, _ *judgement) { r.backIn = 500 * time.Millisecond }, []string{"more than the accept rate"}},
		{"too slow", func(r *stormRun, _, _ *judgement) { r.backIn = 5 * time.Second }, []string{"time until"}},
		{"memory kept", func(r *stormRun, _, _ *judgement) { r.afterRSS = 13 << 20 }, []string{"RSS"}},
		{"memory unknown", func(r *stormRun, _, _ *judgement) { r.before = 0 }, []string{"RSS"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &session{card: NewRunCard("test"), options: options{maxLost: -1}}
			r := &stormRun{
				stayers: &party{plan: plan{Viewers: 100}}, back: &party{plan: plan{Viewers: 1000}},
				before: 10 << 20, peak: 12 << 20, afterRSS: 11 << 20, backIn: 2 * time.Second, joins: []float64{500, 500},
			}
			v, bv := &judgement{Stayed: 100}, &judgement{Joined: 1000}
			c.change(r, v, bv)
			s.judgeStorm(&stormOptions{acceptRate: 500, maxRSSRatio: 1.2, maxBack: 3 * time.Second}, r, new(Phase), v, bv)
			wantMissed(t, s.card, c.missed...)
			if row := s.card.Tables[0].Rows[0]; len(row) != len(s.card.Tables[0].Columns) {
				t.Errorf("table: %q", row)
			}
		})
	}
}

// TestViewersReturn: those who are told to come back do so, and how it went is
// counted.
func TestViewersReturn(t *testing.T) {
	t.Parallel()
	turned := 0
	f := startFake(t, mistakes{turnAway: func(nth int) string {
		if nth > testViewers && nth <= testViewers+3 {
			turned++
			return "503 Service Unavailable"
		}
		return ""
	}})
	s := testSession(t, 1)
	p := testPlan(f.listener.Addr().String(), framed)
	p.Senders, p.Returns = 0, true
	all, err := s.invite(p, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := all.open(testViewers); err != nil {
		t.Fatal(err)
	}
	f.dismiss(func(number int) bool { return number != 7 })
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		st, err := all.status()
		if err != nil {
			t.Fatal(err)
		}
		if st.Joins == 2*testViewers {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("not all came back: %+v", st)
		}
	}
	v, _, err := all.close()
	if err != nil {
		t.Fatal(err)
	}
	wantFaults(t, v)
	if v.Outcomes["closed with 1012"] != testViewers || v.Outcomes["not told goodbye"] != 1 || v.Outcomes["answered 503 Service Unavailable"] != 3 || failedConnects(v.Outcomes) != 3 {
		t.Errorf("outcomes: %v", v.Outcomes)
	}
	if v.Epochs["e1"] != testViewers || v.Epochs["e2"] != testViewers {
		t.Errorf("epochs: %v", v.Epochs)
	}
	var closings int64
	for _, n := range v.Closings {
		closings += n
	}
	if closings != testViewers {
		t.Errorf("%d closes by time", closings)
	}
}

// TestCutOffIsAFault: a viewer of a deploy that is dropped without a word.
func TestCutOffIsAFault(t *testing.T) {
	t.Parallel()
	f := startFake(t, mistakes{})
	s := testSession(t, 1)
	p := testPlan(f.listener.Addr().String(), framed)
	p.Senders, p.Returns = 0, true
	all, err := s.invite(p, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := all.open(testViewers); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	f.conns[5].conn.Close()
	f.mu.Unlock()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if st, err := all.status(); err != nil || st.Gone > 0 {
			break
		}
	}
	v, _, err := all.close()
	if err != nil {
		t.Fatal(err)
	}
	wantFaults(t, v, faultClosed)
}

func TestRefusedConnectsAreOutcomes(t *testing.T) {
	t.Parallel()
	addr, err := freePort() // nobody listens there
	if err != nil {
		t.Fatal(err)
	}
	s := testSession(t, 1)
	p := testPlan(addr, framed)
	p.Senders, p.Returns = 0, true
	var outcomes map[string]int64
	for wait := 50 * time.Millisecond; outcomes["refused"] < 1 && wait < time.Minute; wait *= 2 { // a busy machine may not have tried in so short a time
		all, err := s.invite(p, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := all.order(request{Op: orderOpen, Until: 3}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(wait)
		v, _, err := all.close()
		if err != nil {
			t.Fatal(err)
		}
		outcomes = v.Outcomes
	}
	if outcomes["refused"] < 1 || failedConnects(outcomes) != outcomes["refused"] {
		t.Errorf("outcomes: %v", outcomes)
	}
}

func TestDeployVerdicts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(h *handOver)
		guests int64
		missed []string
	}{
		{"right", func(*handOver) {}, 1200, nil},
		{"refused", func(h *handOver) { h.guestV.Outcomes["refused"] = 1 }, 1200, []string{"connects that failed"}},
		{"reset", func(h *handOver) { h.guestV.Outcomes["reset"] = 1 }, 1200, []string{"connects that failed"}},
		{"answered 503", func(h *handOver) { h.viewersV.Outcomes["answered 503 x"] = 1 }, 1200, []string{"connects that failed"}},
		{"too few connects", func(*handOver) {}, 300, []string{"new connections"}},
		{"not told", func(h *handOver) { h.viewersV.Outcomes["not told goodbye"] = 1 }, 1200, []string{"not told"}},
		{"cut off", func(h *handOver) { h.viewersV.Outcomes["closed with 1012"] = 99 }, 1200, []string{"not told"}},
		{"not back", func(h *handOver) { h.notBack = 1 }, 1200, []string{"not back"}},
		{"status 1", func(h *handOver) { h.exit = 1 }, 1200, []string{"exit status"}},
		{"never ended", func(h *handOver) { h.exit = -1 }, 1200, []string{"exit status"}},
		{"all at once", func(h *handOver) { h.viewersV.Closings[1005] = 60 }, 1200, []string{"fullest second"}},
		{"too short to tell", func(h *handOver) { h.viewersV.Closings = map[int64]int64{1000: 100} }, 1200, []string{"fullest second"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &handOver{
				joined: 100, backAfter: 6 * time.Second,
				viewersV: &judgement{Outcomes: map[string]int64{"closed with 1012": 100}, Closings: map[int64]int64{}, Epochs: map[string]int64{"a": 100, "b": 100}},
				guestV:   &judgement{Outcomes: map[string]int64{"closed with 1012": 5}},
			}
			for i := range int64(50) {
				h.viewersV.Closings[1000+i] = 2
			}
			c.change(h)
			s := &session{card: NewRunCard("test")}
			s.judgeDeploy(&deployOptions{connects: 200, maxUneven: 1.5}, h, c.guests)
			wantMissed(t, s.card, c.missed...)
			if row := s.card.Tables[0].Rows[0]; len(row) != len(s.card.Tables[0].Columns) {
				t.Errorf("table: %q", row)
			}
		})
	}
	if e := evenness(map[int64]int64{100: 10, 109: 10, 110: 40, 139: 20}); e.most != 40 || e.seconds != 4 || e.mean != 20 || e.ratio != 2 {
		t.Errorf("%+v", e)
	}
}

// TestIdleWakeups has a control listener that counts as it is told.
func TestIdleWakeups(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		counts []int64 // at each scrape
		missed []string
	}{
		{"asleep", []int64{0, 40, 80, 125, 165, 200, 240, 282}, nil}, // about 40 for each scrape, 2 of its own
		{"busy", []int64{0, 40, 80, 125, 165, 200, 240, 380}, []string{"wake-ups"}},
		{"unknown", nil, []string{"wake-ups"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			control := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if i := asked.Add(1) - 1; c.counts != nil {
					fmt.Fprintf(w, "danmakud_wakeups_total %d\n", c.counts[min(int(i), len(c.counts)-1)])
				}
			}))
			defer control.Close()
			f := startFake(t, mistakes{})
			s := selfSession(t, f)
			s.target.info.Control = strings.TrimPrefix(control.URL, "http://")
			p := testPlan(s.target.info.Addr, framed)
			p.Senders = 0
			all, err := s.invite(p, "")
			if err != nil {
				t.Fatal(err)
			}
			if err := all.open(testViewers); err != nil {
				t.Fatal(err)
			}
			o := &idleOptions{quiet: 2 * askedSpan, loops: 2, maxWakeups: 2, maxCPU: -1}
			if err := s.countWakeups(o, all); err != nil {
				t.Fatal(err)
			}
			wantMissed(t, s.card, c.missed...)
		})
	}
	at := func(second int, count float64) wakeupCount { return wakeupCount{time.Unix(int64(second), 0), count} }
	rate, either := wakeupRate([]wakeupCount{at(0, 0), at(1, 40), at(2, 84), at(3, 120), at(13, 180)})
	if want := 20.0 / 9; rate != want || either != 8.0/9 {
		t.Errorf("%v a second, give or take %v", rate, either)
	}
	s := &session{card: NewRunCard("test")}
	two := [2]*ProcSample{{At: time.Unix(0, 0)}, {At: time.Unix(10, 0), CPU: 200 * time.Millisecond}}
	s.idleCPU(&idleOptions{maxCPU: 1}, new(Phase), two)
	wantMissed(t, s.card, "server CPU")
	if n := (&idleOptions{options: options{serverFlags: []string{"--loops=3"}}}).loopCount(); n != 3 {
		t.Errorf("%d loops", n)
	}
}

// rude is a server that lets an attack happen: it answers handshakes, keeps
// what comes, and ends connections in one way.
type rude struct {
	listener net.Listener
	got      chan []byte // the first bytes behind the head of each connection
}

func startRude(t *testing.T, end func(conn net.Conn, upgraded bool)) *rude {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &rude{listener: l, got: make(chan []byte, 10000)}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go r.serve(conn, end)
		}
	}()
	return r
}

func (r *rude) serve(conn net.Conn, end func(conn net.Conn, upgraded bool)) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second)) // a guard against hanging
	p := make([]byte, 64<<10)
	n, err := conn.Read(p)
	if err != nil {
		return
	}
	upgraded := strings.Contains(string(p[:n]), "Upgrade: websocket") && !strings.HasPrefix(string(p[:n]), "GET /sub ") // to which it is full
	if upgraded {
		_, _ = conn.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"))
		if n, err = conn.Read(p); err != nil {
			return
		}
	}
	select {
	case r.got <- slices.Clone(p[:n]):
	default:
	}
	end(conn, upgraded)
}

// politely ends with a close frame or a 400.
func politely(conn net.Conn, upgraded bool) {
	if upgraded {
		_, _ = conn.Write(serverFrame(opClose, []byte{1002 >> 8, 1002 & 0xff}))
	} else {
		_, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
	}
	_ = conn.(*net.TCPConn).CloseWrite()
	p := make([]byte, 64<<10)
	for {
		if _, err := conn.Read(p); err != nil {
			return
		}
	}
}

func TestAttacksAreWhatTheySay(t *testing.T) {
	t.Parallel()
	is := map[string]func(p []byte) bool{
		"slow-head": func(p []byte) bool {
			return strings.HasPrefix(string(p), "GET /ws/r ") && !strings.Contains(string(p), "\r\n\r\n")
		},
		"half-frame":  func(p []byte) bool { h, err := clientHeader(p); return err == nil && h > len(p) },
		"ping-flood":  func(p []byte) bool { return p[0] == 0x80|opPing && len(p) >= 131 },
		"bomb":        func(p []byte) bool { return p[0] == 0xc1 && len(p) < 4096 },
		"huge-length": func(p []byte) bool { return p[1] == 0xff && (p[2] == 0x80 || p[2] == 0x7f) },
		"bad-utf8":    func(p []byte) bool { return p[0] == 0x81 && p[1]&0x80 != 0 },
		"unmasked":    func(p []byte) bool { return p[0] == 0x81 && p[1]&0x80 == 0 },
		"garbage":     func(p []byte) bool { return !strings.HasPrefix(string(p), "GET ") && len(p) == 516 },
		"fragments":   func(p []byte) bool { return p[0] == opText },
		kindRetry: func(p []byte) bool {
			return strings.HasPrefix(string(p), "GET /sub HTTP/1.1\r\n") && strings.HasSuffix(string(p), "\r\n\r\n")
		},
	}
	for _, m := range manners {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			r := startRude(t, politely)
			began := time.Now()
			a := startAttack(attackSpec{Kind: m.name, Addr: r.listener.Addr().String(), Room: "r", Connections: 4, OpenRate: 100, SendRate: 500, CPUShare: 50, Sources: 2}, &m)
			for range 12 {
				select {
				case p := <-r.got:
					if !is[m.name](p) {
						t.Errorf("this is not %s: % x", m.name, p[:min(len(p), 40)])
					}
				case <-time.After(20 * time.Second):
					t.Fatal("no more connections come")
				}
			}
			result := a.stop()
			how := "close 1002"
			if !m.upgraded {
				how = "answered 400 Bad Request"
			}
			if result.MostOpen > 4 || result.MostOpen < 1 || result.Opened < 12 || result.Ends[how] < 8 || result.ended() > result.Opened {
				t.Errorf("%+v", result)
			}
			if most := 100*time.Since(began).Seconds() + 64; float64(result.Opened) > most {
				t.Errorf("%d connects where the rate allows %.0f", result.Opened, most)
			}
		})
	}
}

// clientHeader is how long the frame at the start of p says that it is.
func clientHeader(p []byte) (int, error) {
	if len(p) < 8 || p[1] != 0xfe {
		return 0, fmt.Errorf("no masked frame of medium length: % x", p[:min(len(p), 8)])
	}
	return 8 + int(p[2])<<8 + int(p[3]), nil
}

// TestAttackKeepsItsShare: with no CPU to spend an attack does nothing, and who
// is never ended is counted as open.
func TestAttackKeepsItsShare(t *testing.T) {
	t.Parallel()
	hold := func(conn net.Conn, _ bool) { _, _ = conn.Read(make([]byte, 1)) }
	r := startRude(t, hold)
	m, err := mannerNamed("unmasked")
	if err != nil {
		t.Fatal(err)
	}
	spec := attackSpec{Addr: r.listener.Addr().String(), Room: "r", Connections: 3, OpenRate: 1000, SendRate: 1000, CPUShare: 50}
	a := startAttack(spec, m)
	for range 3 {
		<-r.got
	}
	if result := a.stop(); result.Open != 3 || result.ended() != 0 || result.Failed != 0 {
		t.Errorf("%+v", result)
	}
	spec.CPUShare = -1e6
	a = startAttack(spec, m)
	time.Sleep(100 * time.Millisecond)
	if result := a.stop(); result.Opened != 0 {
		t.Errorf("%d connects without a share of CPU", result.Opened)
	}
	o := &hostileOptions{options: options{rate: 1000, viewers: 100, rooms: 1, serverFlags: []string{"--x"}}}
	if o.limitComments(); !slices.Equal(o.serverFlags, []string{"--comment-rate=20", "--x"}) {
		t.Errorf("flags %q", o.serverFlags)
	}
	if _, err := parseKinds("bomb, polite"); err == nil {
		t.Error("a kind that is none")
	}
	if kinds, err := parseKinds("bomb, garbage"); err != nil || len(kinds) != 2 {
		t.Errorf("%q, %v", kinds, err)
	}
	if !math.IsNaN(p99Ratio(&Phase{}, &Phase{})) || !math.IsNaN(rssGrowth(&Phase{}, &Phase{})) {
		t.Error("a ratio of nothing")
	}
}
