//go:build linux

package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// linkFakes runs two nodes that tell each other what is said.
func linkFakes(t *testing.T, m mistakes) [2]*fakeServer {
	t.Helper()
	a, b := startFake(t, m), startFake(t, m)
	a.peers, b.peers = []*fakeServer{b}, []*fakeServer{a}
	b.epoch = "e9"
	return [2]*fakeServer{a, b}
}

// judgeLinked runs a load on two fakes, of which the first may crash, and returns what
// was found wrong in all.
func judgeLinked(t *testing.T, m mistakes, crash bool, workers int) (*clusterJudgement, faults) {
	t.Helper()
	fakes := linkFakes(t, m)
	s := testSession(t, workers)
	var parties []*party
	addrs := []string{fakes[0].listener.Addr().String(), fakes[1].listener.Addr().String()}
	for i := range fakes {
		p := testPlan(addrs[i], counted)
		p.Nodes, p.Node, p.FirstSender = addrs, i, i*p.Senders
		p.Resumes, p.Returns = crash && i == 0, crash && i == 0
		party, err := s.invite(p, "")
		if err != nil {
			t.Fatal(err)
		}
		parties = append(parties, party)
	}
	for _, p := range parties {
		if err := p.open(testViewers); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range parties {
		if _, err := p.send(50*time.Millisecond, 600*time.Millisecond, 250, false, 0); err != nil {
			t.Fatal(err)
		}
	}
	if crash {
		time.Sleep(350 * time.Millisecond)
		fakes[0].crash()
		for end := time.Now().Add(60 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			st, err := parties[0].status()
			if err != nil {
				t.Fatal(err)
			}
			if st.Joined == testViewers && st.Joins == 2*testViewers {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("only %d came back: %+v", st.Joined, st)
			}
		}
	}
	var all faults
	var views []nodeView
	for _, p := range parties {
		if err := p.settle(); err != nil {
			t.Fatal(err)
		}
	}
	for i, p := range parties {
		results, _, err := p.closeAll()
		if err != nil {
			t.Fatal(err)
		}
		v := judge(&p.plan, results)
		all.merge(v.Faults)
		views = append(views, nodeView{plan: &p.plan, results: results, gone: crash && i == 0})
	}
	j := judgeCluster(views, span{})
	all.merge(j.Faults)
	if j.Comments < 80 || j.Batches < 10 {
		t.Fatalf("only %d comments in %d batches: the load does not work", j.Comments, j.Batches)
	}
	return j, all
}

func TestClusterJudgedRight(t *testing.T) {
	t.Parallel()
	for _, workers := range []int{1, 2} {
		j, all := judgeLinked(t, mistakes{}, false, workers)
		if all.total() != 0 || j.Moved != 0 || j.WithNode != 0 || j.Unheard != 0 {
			t.Errorf("%d workers: %+v, %q", workers, j, all.Examples)
		}
		j, all = judgeLinked(t, mistakes{}, true, workers)
		if all.total() != 0 || j.Moved != testViewers || j.SeenTwice == 0 {
			t.Errorf("%d workers, one node crashed: %+v, %q", workers, j, all.Examples)
		}
	}
}

// TestClusterMistakes: each thing that can go wrong between nodes is found, and named.
func TestClusterMistakes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		m     mistakes
		crash bool
		want  string
		words string
	}{
		{"the bus loses a comment", mistakes{bus: func(nth int, c fakeComment) []fakeComment {
			if nth == 20 {
				return nil
			}
			return []fakeComment{c}
		}}, false, faultLost, "is not in node"},
		{"the bus brings one twice", mistakes{bus: func(nth int, c fakeComment) []fakeComment {
			if nth == 20 {
				return []fakeComment{c, c}
			}
			return []fakeComment{c}
		}}, false, faultRepeated, "again"},
		{"one has another id elsewhere", mistakes{bus: func(nth int, c fakeComment) []fakeComment {
			if nth == 20 {
				c.ID += "x"
			}
			return []fakeComment{c}
		}}, false, faultRepeated, "one id on a node"},
		{"who comes from another node cannot resume", mistakes{resume: func() uint64 { return 0 }}, true, faultLost, "does not let it resume"},
		{"who resumes misses something", mistakes{resume: func() uint64 { return 1 << 40 }}, true, faultLost, "none of the batches"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, all := judgeLinked(t, tc.m, tc.crash, 1)
			if all.Counts[tc.want] == 0 || !slices.ContainsFunc(all.Examples, func(e string) bool { return strings.Contains(e, tc.words) }) {
				t.Errorf("faults %v, %q; want %s with %q", all.Counts, all.Examples, tc.want, tc.words)
			}
		})
	}
}

// roomOfNode is a result in which a node has sealed these comments of senders, each
// batch a row: sender, sequence, moment.
func roomOfNode(sent int64, batches ...[][3]int64) []*fleetResult {
	r := roomResult{Sent: sent}
	for i, batch := range batches {
		var list []said
		for _, s := range batch {
			list = append(list, said{stampKey: stampKey{uint32(s[0]), uint32(s[1])}, intended: s[2], id: uint64(1000*s[0] + s[1])})
		}
		r.Batches = append(r.Batches, batchResult{Seq: uint64(i + 1), Size: 10, Comments: len(list), Said: encodeSaid(list)})
	}
	return []*fleetResult{{Rooms: []roomResult{r}, Viewers: []viewerResult{{Level: verified, Next: uint64(len(batches) + 1)}}}}
}

// TestClusterOutage: without a bus nodes miss each other's comments, and nothing else.
func TestClusterOutage(t *testing.T) {
	t.Parallel()
	plans := []*plan{{Rooms: 1, Viewers: 1, Senders: 1, Nodes: []string{"a", "b"}}, {Rooms: 1, Viewers: 1, Senders: 1, FirstSender: 1, Node: 1, Nodes: []string{"a", "b"}}}
	own := func(sender int64) [][3]int64 { return [][3]int64{{sender, 1, 100}, {sender, 2, 200}, {sender, 3, 300}} }
	without := func(sender int64) [][3]int64 { return [][3]int64{{sender, 1, 100}, {sender, 3, 300}} }
	judged := func(a, b []*fleetResult, outage span) *clusterJudgement {
		return judgeCluster([]nodeView{{plan: plans[0], results: a}, {plan: plans[1], results: b}}, outage)
	}
	a, b := roomOfNode(3, own(0), without(1)), roomOfNode(3, own(1), without(0))
	if j := judged(a, b, span{150, 250}); j.Faults.total() != 0 || j.Unheard != 2 || j.Comments != 6 {
		t.Errorf("%+v", j)
	}
	if j := judged(a, b, span{}); j.Faults.Counts[faultLost] != 2 {
		t.Errorf("without an outage: %+v", j)
	}
	if j := judged(roomOfNode(3, without(0), own(1)), roomOfNode(3, own(1), own(0)), span{150, 250}); j.Faults.Counts[faultLost] != 1 {
		t.Errorf("a node's own comment is missing: %+v", j)
	}
	if j := judged(roomOfNode(4, own(0), own(1)), roomOfNode(3, own(1), own(0)), span{150, 250}); j.Faults.Counts[faultLost] != 1 {
		t.Errorf("one was taken and is nowhere: %+v", j)
	}
	late := judgeCluster([]nodeView{{plan: plans[0], results: roomOfNode(3, own(0), own(1))}, {plan: plans[1], results: roomOfNode(3, own(1)[1:], own(0)[2:]), late: true}}, span{})
	if late.Faults.total() != 0 {
		t.Errorf("who came late need not have all: %+v", late)
	}
	gap := judgeCluster([]nodeView{{plan: plans[0], results: roomOfNode(3, own(0), own(1))}, {plan: plans[1], results: roomOfNode(3, own(1), without(0)), late: true}}, span{})
	if gap.Faults.Counts[faultLost] != 1 {
		t.Errorf("who came late has a gap: %+v", gap)
	}
	behind := roomOfNode(3, own(1), without(0), own(0)[1:2])
	behind[0].Rooms[0].Batches[2].Seq = 4
	behind[0].Rooms[0].Batches[2].Said = nil
	if j := judged(roomOfNode(3, own(0), own(1)), behind, span{}); j.Faults.Counts[faultLost] != 0 || j.Faults.Counts[faultUnverifiable] != 1 {
		t.Errorf("a node whose batch nobody was quick enough for: %+v", j)
	}
}

// TestCover: what a viewer who moved was told it missed is not lost, and is counted.
func TestCover(t *testing.T) {
	t.Parallel()
	c := [][3]int64{{0, 1, 100}, {0, 2, 200}, {0, 3, 300}}
	nodes := []nodeView{
		{plan: &plan{Rooms: 1, Viewers: 1}, results: roomOfNode(3, c[:1], c[1:2], c[2:])},
		{plan: &plan{Rooms: 1, Viewers: 1}, results: roomOfNode(3, c[:2], c[2:])},
	}
	logs := [][]*heard{gather(&nodes[0]), gather(&nodes[1])}
	second := []skipRange{{From: 2, To: 2, Comments: 1}}
	for _, tc := range []struct {
		name  string
		stays []stay
		want  covered
	}{
		{"all on one node", []stay{{Node: 0, Next: 4}}, covered{}},
		{"the last is missing", []stay{{Node: 0, Next: 3}}, covered{missing: 1}},
		{"told", []stay{{Node: 0, Next: 4, Skips: second}}, covered{told: 1}},
		{"told, and got on the next node", []stay{{Node: 0, Next: 3, Skips: second}, {Node: 1, Next: 3}}, covered{twice: 1}},
		{"told on the next node", []stay{{Node: 0, Next: 3}, {Node: 1, Next: 3, Skips: second}}, covered{twice: 2, told: 1}},
	} {
		if got := cover(nodes, logs, 0, tc.stays, span{}); got != tc.want {
			t.Errorf("%s: %+v, want %+v", tc.name, got, tc.want)
		}
	}
	if got := cover(nodes, logs, 0, []stay{{Node: 0, Next: 3}}, span{250, 350}); got != (covered{}) {
		t.Errorf("said without a bus: %+v", got)
	}
}

// TestSaidCoding: what a worker says of its batches comes back.
func TestSaidCoding(t *testing.T) {
	t.Parallel()
	list := []said{{stampKey{1, 2}, 3, 4}, {stampKey{1<<24 - 1, 1<<32 - 1}, 1<<48 - 1, 1<<64 - 1}}
	if got := decodeSaid(encodeSaid(list)); !slices.Equal(got, list) {
		t.Errorf("%+v", got)
	}
	if got := decodeSaid(nil); got != nil {
		t.Errorf("%+v", got)
	}
}

// clusterOf is a run of three nodes with numbers that meet all bars, changed.
func clusterOf(change func(c *cluster, j *clusterJudgement)) *RunCard {
	o := &clusterOptions{
		options: options{rooms: 1, rate: 300, viewers: 10}, nodes: 3, killNode: true, stopNATS: 20 * time.Second,
		maxBusRatio: 1.1, maxAdded: 20 * time.Millisecond, maxBatches: 1.1, maxCounts: 5 * time.Second, maxHeard: 256, maxGoroutine: 16, maxSilence: 2 * time.Second,
	}
	c := &cluster{session: &session{card: NewRunCard("test")}, options: o, tick: 100 * time.Millisecond, slowest: 4 * time.Second}
	c.measure = clusterMeasure{after: varz{InMsgs: 320}, lasting: 10 * time.Second, sending: 60 * time.Second, silence: time.Second}
	for range 3 {
		c.nodes = append(c.nodes, &clusterNode{
			calm: metrics{"go_goroutines": 20}, after: metrics{"go_goroutines": 25, "danmakud_bus_shards_heard": 256},
			judged: &judgement{Batches: 610}, near: &Latency{P50US: 50_000}, far: &Latency{P50US: 65_000},
		})
	}
	j := &clusterJudgement{Moved: 10, WithNode: 5, Unheard: 100}
	change(c, j)
	c.judge(j)
	return c.session.card
}

func TestClusterVerdicts(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		missed string
		change func(c *cluster, j *clusterJudgement)
	}{
		{"", func(*cluster, *clusterJudgement) {}},
		{"messages to NATS", func(c *cluster, _ *clusterJudgement) { c.measure.after.InMsgs = 340 }},
		{"median latency", func(c *cluster, _ *clusterJudgement) { c.nodes[1].far.P50US = 71_000 }},
		{"median latency", func(c *cluster, _ *clusterJudgement) {
			for _, n := range c.nodes {
				n.far = nil // nothing came: nothing is known
			}
		}},
		{"batches of a node", func(c *cluster, _ *clusterJudgement) { c.nodes[2].judged.Batches = 700 }},
		{"all nodes counted", func(c *cluster, _ *clusterJudgement) { c.slowest = 6 * time.Second }},
		{"subjects", func(c *cluster, _ *clusterJudgement) { c.nodes[0].after["danmakud_bus_shards_heard"] = 257 }},
		{"goroutines", func(c *cluster, _ *clusterJudgement) { c.nodes[0].after["go_goroutines"] = 40 }},
		{"silence", func(c *cluster, _ *clusterJudgement) { c.measure.silence = 3 * time.Second }},
		{"ready without NATS", func(c *cluster, _ *clusterJudgement) { c.measure.ready = 1 }},
		{"did not reach other nodes", func(_ *cluster, j *clusterJudgement) { j.Unheard = 0 }},
		{"who moved", func(_ *cluster, j *clusterJudgement) { j.Moved = 9 }},
		{"ended with the killed", func(_ *cluster, j *clusterJudgement) { j.WithNode = 51 }},
	} {
		card := clusterOf(tc.change)
		if tc.missed == "" {
			wantMissed(t, card)
			continue
		}
		wantMissed(t, card, tc.missed)
	}
	drained := clusterOf(func(c *cluster, j *clusterJudgement) { c.options.killNode, c.options.drainNode = false, true })
	wantMissed(t, drained, "ended with the drained")
}

func TestClusterOptionsAreRead(t *testing.T) {
	t.Parallel()
	for _, bad := range []clusterOptions{
		{nodes: 3}, {options: options{server: "x"}, nodes: 1}, {options: options{server: "x"}, nodes: 2, killNode: true, drainNode: true},
		{options: options{server: "x"}, nodes: 3, natsURL: "nats://x"}, {options: options{server: "x"}, nodes: 3, stopNATS: time.Second},
		{options: options{server: "x"}, nodes: 3, natsURL: "nats://x", natsMonitor: "x", stopNATS: 20 * time.Second},
	} {
		if err := bad.validate(); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}
