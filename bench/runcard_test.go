package main

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"
)

func TestCardSurvivesJSON(t *testing.T) {
	c := sampleCard(false)
	var b bytes.Buffer
	if err := c.Write(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	back, err := LoadCard(&b)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := json.Marshal(back)
	first, _ := json.Marshal(c)
	if !bytes.Equal(first, again) {
		t.Errorf("the card changed on its way:\n%s\n%s", first, again)
	}
	for _, name := range []string{"latency_p99_us", "cpu_per_frame_ns", "rss_end_bytes", "write_calls_per_delivery", "deliveries_per_s", "steal_percent", "duration_s"} {
		if !strings.Contains(text, `"`+name+`"`) {
			t.Errorf("no field %q", name)
		}
	}
}

func TestJudge(t *testing.T) {
	if !sampleCard(true).Pass || sampleCard(false).Pass {
		t.Fatal("the sample cards are judged wrongly")
	}
	cases := []struct {
		name string
		card func(*RunCard)
		want bool
	}{
		{
			name: "empty",
			card: func(*RunCard) {},
			want: true,
		},
		{
			name: "fault in the warm-up",
			card: func(c *RunCard) { c.Phases = []Phase{{Faults: map[string]int64{"lost": 1}}} },
		},
		{
			name: "missed bar",
			card: func(c *RunCard) { c.Bar("x", 2, "<=", 1, "") },
		},
		{
			name: "not a number",
			card: func(c *RunCard) { c.Bar("x", math.NaN(), "<=", 1, "") },
		},
		{
			name: "nothing received",
			card: func(c *RunCard) { c.Phases = []Phase{{Measured: true, Expected: Counts{Frames: 5}}} },
		},
		{
			name: "met bars",
			card: func(c *RunCard) { c.Bar("x", 1, "<=", 1, ""); c.Bar("y", 1, ">=", 1, ""); c.Bar("z", 1, "==", 1, "") },
			want: true,
		},
		{
			name: "unknown relation",
			card: func(c *RunCard) { c.Bar("x", 1, "<", 2, "") },
		},
	}
	for _, k := range cases {
		c := new(RunCard)
		k.card(c)
		if got := c.Judge(); got != k.want || got != c.Pass {
			t.Errorf("%s: %v", k.name, got)
		}
	}
}

func TestLatencyOf(t *testing.T) {
	if l := LatencyOf(nil); l != nil {
		t.Error("a latency out of nothing")
	}
	h := hdrhistogram.New(1, 60_000_000, 3)
	if l := LatencyOf(h); l != nil {
		t.Error("a latency of an empty histogram")
	}
	r := rand.New(rand.NewPCG(5, 6))
	const n = 100_000
	for range n {
		h.RecordValue(int64(math.Exp(r.Float64() * 17)))
	}
	l := LatencyOf(h)
	var sum, below int64
	for i, b := range l.Buckets {
		if b.Count <= 0 || b.FromUS >= b.ToUS || i > 0 && b.FromUS < l.Buckets[i-1].ToUS {
			t.Fatalf("bucket %d: %+v", i, b)
		}
		if sum += b.Count; b.ToUS <= float64(l.P50US) {
			below += b.Count
		}
	}
	if sum != n || l.Count != n {
		t.Errorf("%d in buckets, %d counted", sum, l.Count)
	}
	if below < n*45/100 || below > n*50/100 {
		t.Errorf("%d of %d lie below the bucket of p50", below, n)
	}
	if !(l.MinUS <= l.P50US && l.P50US <= l.P90US && l.P90US <= l.P99US && l.P99US <= l.P999US && l.P999US <= l.P9999US && l.P9999US <= l.MaxUS) {
		t.Errorf("not in order: %+v", l)
	}
}

func TestCommandLine(t *testing.T) {
	got := CommandLine([]string{"bench", "a b", "", "it's", "$HOME", "--x=1,2:3"})
	if want := `bench 'a b' '' 'it'\''s' '$HOME' --x=1,2:3`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
