package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/natstest"
)

// bus is a real NATS server, or several that are routed to each other, and how nodes
// reach it.
type bus struct {
	*natstest.Server
	t    *testing.T
	urls string
}

// startBus runs the newest nats-server that is on this machine, or skips the test.
func startBus(t *testing.T, o natstest.Options) *bus {
	t.Helper()
	return busOf(t, natstest.Newest(t), o)
}

// busOf runs that nats-server.
func busOf(t *testing.T, b natstest.Binary, o natstest.Options) *bus {
	t.Helper()
	s := b.Start(t, o)
	return &bus{s, t, s.URL()}
}

// node runs a danmakud that joins.
func (b *bus) node(name string, flags ...string) *instance {
	b.t.Helper()
	s := b.launch(here, name, flags...)
	s.awaitReady()
	return s
}

// launch is node without waiting until it is ready.
func (b *bus) launch(where place, name string, flags ...string) *instance {
	b.t.Helper()
	common := []string{"--listen=127.0.0.1:0", "--control=127.0.0.1:0", "--drain-time=1s", "--nats-url=" + b.urls, "--node=" + name}
	return launchIn(b.t, where, nil, append(common, flags...)...)
}

// nodes runs so many, which know each other. They end together.
func (b *bus) nodes(n int, flags ...string) (all []*instance) {
	b.t.Helper()
	for i := range n {
		all = append(all, b.launch(here, string(rune('a'+i)), flags...))
	}
	b.t.Cleanup(func() { endTogether(all) })
	for _, s := range all {
		s.awaitReady()
	}
	for _, s := range all {
		s.awaitMetric("danmakud_cluster_nodes", float64(n-1))
	}
	return all
}

// endTogether ends nodes as their own stop does one after the other.
func endTogether(all []*instance) {
	var ends sync.WaitGroup
	for _, s := range all {
		ends.Go(s.stop)
	}
	ends.Wait()
}

// hears reads batches until one has a comment with that text, which it returns, and
// fails if one comes twice.
func (v *viewer) hears(text string) comment {
	v.t.Helper()
	for {
		m := v.next()
		if m.Type != "batch" {
			v.t.Fatalf("%+v while waiting for %q", m, text)
		}
		for _, c := range m.comments {
			if c.Text == text {
				return c
			}
		}
	}
}

func TestClusterSharesRooms(t *testing.T) {
	t.Parallel()
	natstest.Each(t, func(t *testing.T, b natstest.Binary) { testSharesRooms(t, busOf(t, b, natstest.Options{}).nodes(3)) })
}

func testSharesRooms(t *testing.T, all []*instance) {
	var viewers []*viewer
	for _, s := range all {
		viewers = append(viewers, s.join("r"))
	}
	viewers[0].send(say("hello", ""))
	var ids []string
	for _, v := range viewers {
		c := v.hears("hello")
		if len(c.ID) != 11 || c.UID != viewers[0].welcome.UID {
			t.Errorf("%+v, said by %s", c, viewers[0].welcome.UID)
		}
		ids = append(ids, c.ID)
	}
	if ids[0] != ids[1] || ids[1] != ids[2] {
		t.Errorf("ids differ: %v", ids)
	}
	uids := []string{viewers[0].welcome.UID, viewers[1].welcome.UID, viewers[2].welcome.UID}
	slices.Sort(uids)
	if len(slices.Compact(uids)) != 3 {
		t.Errorf("two guests have one name: %v", uids)
	}
	// Nothing comes twice, and nothing comes back.
	for i, v := range viewers {
		v.send(say(fmt.Sprint("after ", i), ""))
	}
	for _, v := range viewers {
		got := map[string]int{}
		for len(got) < 3 {
			for _, text := range v.next().texts() {
				got[text]++
			}
		}
		for text, n := range got {
			if n != 1 || !strings.HasPrefix(text, "after") {
				t.Errorf("%q came %d times", text, n)
			}
		}
	}
}

// Who comes to a node that has nobody in the room yet is shown what was said, and who
// comes from another node goes on where it was.
func TestClusterHistoryAndResume(t *testing.T) {
	t.Parallel()
	all := startBus(t, natstest.Options{}).nodes(2, "--history=50")
	v := all[0].join("r")
	last := ""
	for i := range 5 {
		text := fmt.Sprint("early ", i)
		v.send(say(text, ""))
		last = v.hears(text).ID
	}
	late := all[1].join("r?history=3")
	if got := late.welcome.History; len(got) != 3 || got[2].Text != "early 4" || got[2].ID != last {
		t.Fatalf("history %+v", got)
	}
	v.send(say("both", ""))
	v.hears("both")
	late.hears("both")

	// The first viewer of another room is there, gone, and comes to the other node. It
	// must be long enough there that what comes before is known to be there.
	time.Sleep(2500 * time.Millisecond)
	v.send(say("seen", ""))
	seen := v.hears("seen")
	late.hears("seen")
	epoch, seq := v.welcome.Epoch, v.welcome.Seq
	v.conn.Close()
	late.send(say("missed", ""))
	late.hears("missed")
	back := all[1].join(fmt.Sprintf("r?since=%d&epoch=%s&after=%s", seq, epoch, seen.ID))
	if r := back.welcome.Resumed; r == nil || !*r {
		t.Fatalf("not resumed: %+v", back.welcome)
	}
	back.hears("missed")
	gone := all[1].join("r?since=1&epoch=another&after=0fJu7--0")
	if r := gone.welcome.Resumed; r == nil || *r || len(gone.welcome.History) == 0 {
		t.Fatalf("resumed from long ago: %+v", gone.welcome)
	}
}

// A room's viewers are the sum over all nodes, also when one of them is killed.
func TestClusterCountsViewers(t *testing.T) {
	t.Parallel()
	b := startBus(t, natstest.Options{})
	all := b.nodes(2)
	killed := launch(t, nil, "--listen=127.0.0.1:0", "--control=127.0.0.1:0", "--nats-url="+b.urls, "--node=c")
	killed.awaitReady()
	all = append(all, killed)
	for i, s := range all {
		for range i + 1 {
			s.join("r")
		}
	}
	for _, s := range all {
		s.awaitOnline("r", 6)
	}
	killed.signal(syscall.SIGKILL)
	killed.wait()
	for _, s := range all[:2] {
		s.awaitOnline("r", 3)
		s.awaitMetric("danmakud_cluster_nodes", 1)
	}
	if v := all[0].join("r"); v.welcome.Online == nil || *v.welcome.Online != 4 {
		t.Errorf("welcome %+v", v.welcome)
	}
}

// A node that drains sends its viewers to another, which has what they miss.
func TestClusterDrain(t *testing.T) {
	t.Parallel()
	b := startBus(t, natstest.Options{})
	other := b.node("b", "--advertise=b.example:443")
	leaving := b.node("a", "--advertise=a.example:443")
	leaving.awaitMetric("danmakud_cluster_nodes", 1)
	v := leaving.join("r")
	leaving.signal(syscall.SIGTERM)
	m, _ := v.until("goodbye")
	if m.Host != "b.example:443" || m.RetryMs == 0 {
		t.Errorf("%+v", m)
	}
	leaving.wait()
	other.awaitMetric("danmakud_cluster_nodes", 0)
}

// api sends a request to the control API of a node, and returns the status and the body.
func (s *instance) api(method, path, body string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequest(method, "http://"+s.control+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	r, err := s.http.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Body.Close()
	p, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return r.StatusCode, string(p)
}

// await waits until what it is given says so.
func await(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// What is decided on one node holds on all, on those that come later, too.
func TestClusterSharesDecisions(t *testing.T) {
	t.Parallel()
	for _, kept := range []bool{false, true} {
		t.Run(map[bool]string{false: "told", true: "JetStream"}[kept], func(t *testing.T) {
			b := startBus(t, natstest.Options{JetStream: kept})
			all := b.nodes(2)
			v := all[1].join("r")
			if status, body := all[0].api("PUT", "/v1/words/w", `{"action":"reject","words":["blocked"]}`); status >= 300 {
				t.Fatalf("%d %s", status, body)
			}
			if status, body := all[0].api("PATCH", "/v1/rooms/quiet/settings", `{"closed":true}`); status >= 300 {
				t.Fatalf("%d %s", status, body)
			}
			if status, body := all[0].api("POST", "/v1/sanctions", `{"kind":"mute","user":"`+v.welcome.UID+`"}`); status >= 300 {
				t.Fatalf("%d %s", status, body)
			}
			await(t, "the mute on the other node", func() bool {
				_, body := all[1].api("GET", "/v1/sanctions", "")
				return strings.Contains(body, v.welcome.UID)
			})
			v.send(say("may I", "m"))
			if m, _ := v.until("error"); m.Code != "muted" {
				t.Errorf("%+v", m)
			}
			late := b.node("late")
			for _, s := range []*instance{all[1], late} {
				await(t, "the words on "+s.control, func() bool {
					_, body := s.api("GET", "/v1/words", "")
					return strings.Contains(body, `"w"`)
				})
				if w := s.join("quiet").welcome; !w.Settings.Closed {
					t.Errorf("the room is open on another node: %+v", w)
				}
				_, body := s.api("GET", "/v1/sanctions", "")
				var list struct{ Sanctions []struct{ ID, User string } }
				if err := json.Unmarshal([]byte(body), &list); err != nil || len(list.Sanctions) != 1 || list.Sanctions[0].User != v.welcome.UID {
					t.Fatalf("%s %v", body, err)
				}
				if s != late {
					continue
				}
				if status, body := late.api("DELETE", "/v1/sanctions/"+list.Sanctions[0].ID, ""); status >= 300 {
					t.Fatalf("%d %s", status, body)
				}
			}
			await(t, "the end of the mute", func() bool {
				_, body := all[1].api("GET", "/v1/sanctions", "")
				return !strings.Contains(body, v.welcome.UID)
			})
			if !kept {
				return
			}
			// Nodes that begin anew, with no disk and nobody there, know it from JetStream.
			for _, s := range append(all, late) {
				s.signal(syscall.SIGTERM)
			}
			for _, s := range append(all, late) {
				s.wait()
			}
			again := b.node("again")
			await(t, "the words after a restart of all", func() bool {
				_, body := again.api("GET", "/v1/words", "")
				return strings.Contains(body, `"w"`)
			})
		})
	}
}

// The control API of one node serves rooms and people of the others.
func TestClusterAPI(t *testing.T) {
	t.Parallel()
	all := startBus(t, natstest.Options{}).nodes(2)
	v := all[0].join("r")
	v.send(say("hello", ""))
	id := v.hears("hello").ID
	other := all[1]
	other.awaitOnline("r", 1)
	for _, c := range []struct{ method, path, body, want string }{
		{"GET", "/v1/rooms", "", `"room":"r"`},
		{"GET", "/v1/rooms/r", "", `"online":1`},
		{"GET", "/v1/rooms/r/history", "", id},
		{"GET", "/v1/viewers?user=" + v.welcome.UID, "", `"room":"r"`},
		{"POST", "/v1/rooms/r/comments", `{"text":"from afar"}`, `"id"`},
		{"POST", "/v1/comments", `{"all":true,"comments":[{"text":"to all"}]}`, `"r"`},
		{"DELETE", "/v1/rooms/r/comments/" + id, "", ""},
	} {
		if status, body := other.api(c.method, c.path, c.body); status >= 300 && status != 404 || !strings.Contains(body, c.want) {
			t.Errorf("%s %s: %d %s", c.method, c.path, status, body)
		}
	}
	var got []string
	for len(got) < 3 {
		for _, c := range v.next().comments {
			got = append(got, c.Text+c.Kind)
			if c.Kind == "retract" && c.ID != id {
				t.Errorf("takes back %s, not %s", c.ID, id)
			}
		}
	}
	if !slices.Equal(got, []string{"from afar", "to all", "retract"}) {
		t.Errorf("got %q", got)
	}
	if status, body := other.api("POST", "/v1/kick", `{"user":"`+v.welcome.UID+`"}`); status != 200 || !strings.Contains(body, "1") {
		t.Errorf("kick: %d %s", status, body)
	}
	v.closedWith(1008)
}

// Whoever is on whichever node gets each comment of all nodes once, and the bus carries
// one message a node and tick, not one a comment.
func TestClusterExactlyOnce(t *testing.T) {
	const perNode, each = 6, 300
	all := startBus(t, natstest.Options{}).nodes(3, "--comment-rate=0")
	var viewers []*viewer
	for _, s := range all {
		for range perNode {
			viewers = append(viewers, s.join("busy"))
		}
	}
	sent := func(s *instance) float64 { return s.metrics()[`danmakud_bus_ticks_total{direction="out"}`] }
	var before [3]float64
	for node, s := range all {
		before[node] = sent(s)
	}
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for i := range each {
		<-ticker.C
		for node := range all {
			viewers[node*perNode].send(say(fmt.Sprintf("%d of %d", i, node), ""))
		}
	}
	var batches [3]int
	for k, v := range viewers {
		got := map[string]int{}
		newest := map[string]int{} // of each node, in order
		for len(got) < 3*each {
			m := v.next()
			if m.Type != "batch" || m.Sampled != 0 {
				t.Fatalf("viewer %d: %+v", k, m)
			}
			if k%perNode == 0 {
				batches[k/perNode]++
			}
			for _, text := range m.texts() {
				var i, node int
				if _, err := fmt.Sscanf(text, "%d of %d", &i, &node); err != nil {
					t.Fatal(text)
				}
				if got[text]++; got[text] > 1 {
					t.Fatalf("viewer %d: %q comes again", k, text)
				}
				if from := fmt.Sprint(node); i < newest[from] {
					t.Fatalf("viewer %d: %q behind %d", k, text, newest[from])
				} else {
					newest[from] = i
				}
			}
		}
	}
	for node, s := range all {
		if n := sent(s) - before[node]; n > float64(batches[node]+2) || n < 1 {
			t.Errorf("node %d: %v messages on the bus for %d batches", node, n, batches[node])
		}
	}
}
