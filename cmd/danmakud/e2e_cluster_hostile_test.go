package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/natstest"
	"google.golang.org/protobuf/encoding/protowire"
)

// Fields of a tick on the bus, as internal/cluster has them.
const (
	tickVersion = 1
	tickShards  = 2
	tickNode    = 3
	tickPlain   = 6
	tickSmall   = 7
)

// retold is a tick with one field replaced; nil leaves it out.
func retold(t *testing.T, tick []byte, field protowire.Number, value any) (p []byte) {
	t.Helper()
	for rest := tick; len(rest) > 0; {
		number, kind, n := protowire.ConsumeTag(rest)
		size := protowire.ConsumeFieldValue(number, kind, rest[max(0, n):])
		if n < 0 || size < 0 {
			t.Fatalf("no tick: %x", tick)
		}
		whole := rest[:n+size]
		rest = rest[n+size:]
		if number != field {
			p = append(p, whole...)
			continue
		}
		switch v := value.(type) {
		case int:
			p = protowire.AppendVarint(protowire.AppendTag(p, field, protowire.VarintType), uint64(v))
		case string:
			p = protowire.AppendString(protowire.AppendTag(p, field, protowire.BytesType), v)
		}
	}
	return p
}

// tickOf waits until a node's tick is overheard.
func tickOf(t *testing.T, ticks *natstest.Overheard, node string) (subject string, p []byte) {
	t.Helper()
	for {
		subject, p = ticks.Next()
		if bytes.Contains(p, []byte(node)) {
			return subject, p
		}
	}
}

// busMessage is what nodes tell each other besides ticks.
type busMessage map[string]any

// with is the message with other values, body with other values in its body.
func (m busMessage) with(key string, value any) busMessage {
	changed := maps.Clone(m)
	changed[key] = value
	return changed
}

func (m busMessage) body(key string, value any) busMessage {
	return m.with("body", map[string]any(busMessage(m["body"].(map[string]any)).with(key, value)))
}

func (m busMessage) bytes() []byte {
	p, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return p
}

// busReports waits until that many nodes have reported, and returns what they said, by
// name.
func busReports(t *testing.T, reports *natstest.Overheard, nodes int) map[string]busMessage {
	t.Helper()
	all := map[string]busMessage{}
	for len(all) < nodes {
		_, p := reports.Next()
		var m busMessage
		if err := json.Unmarshal(p, &m); err != nil {
			t.Fatalf("%v: %s", err, p)
		}
		if body, ok := m["body"].(map[string]any); ok && m["kind"] == "report" {
			all[body["name"].(string)] = m
		}
	}
	return all
}

// hostility is messages that must be dropped for one reason.
type hostility struct {
	what, subject, reason string
	messages              [][]byte
}

// strangerID is the id of a node that there is not.
const strangerID = "AAAAAAAAAAAAAAAA"

// hostileTicks are made from a tick of each of two nodes.
func hostileTicks(t *testing.T, subject string, tick, other []byte) []hostility {
	var cut [][]byte
	for i := range len(tick) {
		cut = append(cut, tick[:i])
	}
	from := func(field protowire.Number, value any) []byte {
		return retold(t, retold(t, tick, tickNode, strangerID), field, value)
	}
	bomb := protowire.AppendBytes(protowire.AppendTag(from(tickPlain, nil), tickSmall, protowire.BytesType), []byte("\xff\xff\xff\xff\x0f bomb"))
	noRoom := string(protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "no room!"))
	return []hostility{
		{"noise", subject, "foreign", [][]byte{nil, []byte("hello"), noise(10), noise(1000), noise(900 << 10)}},
		{"ticks that are cut off", subject, "foreign", cut},
		{"a bomb", subject, "foreign", [][]byte{bomb}},
		{"no id of a node", subject, "foreign", [][]byte{from(tickNode, "joe"), from(tickNode, "AAAAAAAAAAAAAAA*"), from(tickNode, nil)}},
		{"a room that cannot be", subject, "foreign", [][]byte{from(tickPlain, noRoom), from(tickPlain, "")}},
		{"a huge tick", subject, "large", [][]byte{noise(9 << 20)}},
		{"ticks of other shards", subject, "shards", [][]byte{from(tickShards, 128)}},
		{"ticks of another version", subject, "version", [][]byte{from(tickVersion, 2)}},
		{"both nodes' own ticks again", subject, "old", [][]byte{tick, other, tick}},
	}
}

// hostileMessages are made from what a node has told.
func hostileMessages(told busMessage) []hostility {
	const all = "danmakud.all"
	m := told.with("node", strangerID)
	own := m.body("id", strangerID)
	script, long := own.body("advertise", `"><script>`), own.body("name", strings.Repeat("n", 300))
	return []hostility{
		{"noise to all", all, "foreign", [][]byte{nil, []byte("hello"), []byte(`{"v":1,"kind":"report"}`), noise(1000), m.bytes()[:100]}},
		{"a report of somebody else", all, "foreign", [][]byte{m.bytes()}},
		{"a report of what cannot be", all, "foreign", [][]byte{script.bytes(), long.bytes(), own.body("number", 0).bytes(), m.with("body", 7).bytes()}},
		{"no id of a node", all, "foreign", [][]byte{m.with("node", "joe").bytes(), m.with("node", strangerID+"X").bytes(), m.with("node", "AAAAAAAAAAAAAAA\n").bytes()}},
		{"decisions that are none", all, "foreign", [][]byte{m.with("kind", "state").bytes()}},
		{"huge", all, "large", [][]byte{noise(2 << 20)}},
		{"of another version", all, "version", [][]byte{m.with("v", 2).bytes(), []byte("{}")}},
		{"of other shards", all, "shards", [][]byte{m.with("shards", 128).bytes()}},
		{"of no kind that there is", all, "unknown", [][]byte{m.with("kind", "gossip").bytes(), m.with("kind", "history").bytes()}},
	}
}

func noise(n int) []byte {
	random := rand.New(rand.NewPCG(1, uint64(n)))
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(random.Uint32())
	}
	return p
}

// Whatever strangers put onto the subjects of running nodes is dropped by each of them
// and counted by its reason, and no viewer sees anything.
func TestClusterHostileBus(t *testing.T) {
	t.Parallel()
	b := startBus(t, natstest.Options{MaxPayload: 16 << 20})
	x := b.Stranger()
	reports, ticks := x.Overhear("danmakud.all"), x.Overhear("danmakud.b.*")
	all := b.nodes(2)
	viewers := []*viewer{all[0].join("r"), all[1].join("r")}
	for i, text := range []string{"first", "second"} {
		viewers[i].send(say(text, ""))
		for _, v := range viewers {
			v.hears(text)
		}
	}
	told := busReports(t, reports, 2)
	subject, tick := tickOf(t, ticks, told["a"]["node"].(string))
	_, other := tickOf(t, ticks, told["b"]["node"].(string))

	everything := append(hostileTicks(t, subject, tick, other), hostileMessages(told["a"])...)
	for _, h := range everything {
		x.Say(h.subject, h.messages...)
	}
	want := map[string]float64{}
	for _, h := range everything {
		want[h.reason] += float64(len(h.messages))
	}
	for i, s := range all {
		for reason, n := range want {
			s.awaitMetric(`danmakud_bus_dropped_total{reason="`+reason+`"}`, n)
		}
		m := s.metrics()
		if m["danmakud_cluster_nodes"] != 1 || m["danmakud_panics_total"] != 0 || m["danmakud_bus_ticks_missed_total"] != 0 {
			t.Errorf("node %d: %v others, %v panics, %v ticks missed", i, m["danmakud_cluster_nodes"], m["danmakud_panics_total"], m["danmakud_bus_ticks_missed_total"])
		}
		t.Logf("node %d dropped %v", i, want)
	}
	for i, v := range viewers {
		v.send(say(fmt.Sprint("after ", i), ""))
	}
	for i, v := range viewers {
		var got []string
		for len(got) < 2 {
			got = append(got, v.next().texts()...)
		}
		if slices.Sort(got); !slices.Equal(got, []string{"after 0", "after 1"}) {
			t.Errorf("viewer %d: %q", i, got)
		}
	}
}
