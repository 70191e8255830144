package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// sampleCard is a full card of a run that never was; its numbers come from a seed.
func sampleCard(pass bool) *RunCard {
	r := rand.New(rand.NewPCG(1, 2))
	c := NewRunCard("fanout")
	c.Title = "Fan-out: 5,000 viewers, 1,000 comments a second"
	c.StartedAt = time.Date(2026, 11, 22, 15, 0, 0, 0, time.UTC)
	c.FinishedAt = c.StartedAt.Add(75 * time.Second)
	c.Command = []string{"bench", "fanout", "--viewers", "5000", "--note", "it's a run"}
	c.Server = &ServerInfo{Version: "0.1.0", Command: []string{"danmakud", "--tick", "100ms"}, Addr: "127.0.0.1:8080", Pid: 4711, Spawned: true}
	c.Parameters = map[string]any{"viewers": 5000, "rate": 1000.0, "duration": "60s"}
	c.Notes = []string{"Two CPUs were shared with the load tool."}
	h := hdrhistogram.New(1, 60_000_000, 3)
	for range 200_000 {
		h.RecordValue(int64(20_000 + 90_000*r.Float64() + 4_000*r.ExpFloat64()))
	}
	p := Phase{
		Name: "Measurement", Measured: true, StartS: 10, DurationS: 60,
		Viewers: 5000, Verified: 100, Rooms: 1, Senders: 50,
		Expected: Counts{Frames: 3_000_000, Deliveries: 300_000_000, Comments: 60_000, Bytes: 33_000_000_000},
		Received: Counts{Frames: 3_000_000, Deliveries: 300_000_000, Comments: 60_000, Bytes: 33_000_000_000},
		Latency:  LatencyOf(h),
		Others:   []NamedDelay{{Name: "Connect", Latency: *LatencyOf(h)}},
		Server: &ProcUse{CPUNS: 25e9, CPUPercent: 41.6, RSSStart: 22 << 20, RSSEnd: 23 << 20, RSSPeak: 24 << 20, ThreadsStart: 7, ThreadsEnd: 7,
			Goroutines: 9, FDsStart: 5012, FDsEnd: 5012, KsoftirqdNS: 12e6, StealPercent: 0.4, MachineBusy: 81},
		Cost: &Cost{CPUNSPerFrame: 8333, CPUNSPerDelivery: 83.3, WriteCalls: 3_000_000, WriteCallsPerDelivery: 0.01,
			WriteCallsPerFrame: 1, BytesPerDelivery: 110, DeliveriesPerFrame: 100},
		Faults: map[string]int64{"corrupted": 0, "duplicate": 0, "lost": 0},
		Skips:  map[string]int64{"slow viewer": 0},
	}
	for i := range 60 {
		cpu, rss, p50, p99 := 38+8*r.Float64(), int64(22<<20+i<<13), int64(60_000+9000*r.Float64()), int64(120_000+30_000*r.Float64())
		s := Second{AtS: float64(i + 1), DeliveriesPerS: 4.9e6 + 2e5*r.Float64(), FramesPerS: 49_000 + 2000*r.Float64(),
			ServerCPUPercent: &cpu, LoadCPUPercent: &p.Server.CPUPercent, ServerRSSBytes: &rss, LatencyP50US: &p50, LatencyP99US: &p99}
		if i == 30 || i == 31 {
			s.LatencyP50US, s.LatencyP99US = nil, nil
		}
		p.Series = append(p.Series, s)
	}
	c.Tables = []Table{{Title: "Hostile connections", Columns: []string{"Kind", "Closed"}, Rows: [][]string{{"half-frame", "1 000"}}}}
	p.Received.PlainBytes, p.Expected.PlainBytes = 99_000_000_000, 99_000_000_000
	p.Cost.BytesPerFrame, p.Cost.PlainBytesPerFrame, p.Cost.Compression = 11_000, 33_000, 3
	limit := 1.10
	c.Comparisons = []Comparison{
		{Name: "Push", FrameBytes: 256, Viewers: 5000, Unit: "ns/frame", Label: "danmakud", BaseLabel: "C send loop", Value: 7300, Base: 7050, Ratio: 1.03, RatioMin: 0.97, RatioMax: 1.09, Rounds: 10, Limit: &limit},
		{Name: "Push", FrameBytes: 4096, Viewers: 5000, Unit: "ns/frame", Label: "danmakud", BaseLabel: "C send loop", Value: 8900, Base: 7800, Ratio: 1.14, RatioMin: 1.05, RatioMax: 1.2, Rounds: 10, Limit: &limit},
	}
	c.Phases = []Phase{{Name: "Set-up", DurationS: 2.4, Viewers: 5000, Rooms: 1}, p}
	c.Bar("p99 end to end", float64(p.Latency.P99US), "<=", 160_000, "us")
	c.Bar("p50 end to end", float64(p.Latency.P50US), "<=", 80_000, "us")
	c.Bar("Deliveries", 5e6, ">=", 4.8e6, "/s")
	if !pass {
		m := &c.Phases[1]
		m.Faults["lost"] = 12
		m.Received.Deliveries -= 12
		m.Examples = []string{"viewer 17: comment 99 of sender 3 never came"}
		c.Bar("CPU a frame against the C loop", 1.14, "<=", 1.10, "×")
	}
	c.Judge()
	return c
}

// page renders a card.
func page(t *testing.T, c *RunCard) string {
	t.Helper()
	var b bytes.Buffer
	if err := WriteReport(&b, c); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// checkPage walks the page as a reader of tags would: balanced elements from a
// known set, no script, no address, no event attribute, no number that is none.
func checkPage(t *testing.T, html string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(html))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	elements := " html head meta title style body main header footer section h1 h2 h3 p b div span strong small table tr th td i u ul li pre code details summary figure figcaption svg g line text rect path "
	attributes := " lang charset name content http-equiv class style role aria-label viewBox x y x1 x2 y1 y2 dx dy rx d width height text-anchor "
	var open []string
	for {
		tok, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch e := tok.(type) {
		case xml.StartElement:
			if !strings.Contains(elements, " "+e.Name.Local+" ") {
				t.Fatalf("element <%s>", e.Name.Local)
			}
			for _, a := range e.Attr {
				if !strings.Contains(attributes, " "+a.Name.Local+" ") {
					t.Fatalf("attribute %s of <%s>", a.Name.Local, e.Name.Local)
				}
			}
			if e.Name.Local != "meta" {
				open = append(open, e.Name.Local)
			}
		case xml.EndElement:
			if len(open) == 0 || open[len(open)-1] != e.Name.Local {
				t.Fatalf("</%s> within %v", e.Name.Local, open)
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		t.Fatalf("left open: %v", open)
	}
	if m := regexp.MustCompile(`NaN|[+-]Inf|ZgotmplZ|%!|&lt;nil&gt;|e\+\d\d`).FindString(html); m != "" {
		i := strings.Index(html, m)
		t.Fatalf("the page holds %q: …%s…", m, html[max(0, i-80):min(len(html), i+40)])
	}
}

func TestReportSaysWhatTheCardSays(t *testing.T) {
	html := page(t, sampleCard(true))
	checkPage(t, html)
	for _, want := range []string{
		"✓ PASS", "All 3 bars met, verification found no fault.", "≤ 160 ms", "≥ 4.8 M/s",
		"bench fanout --viewers 5000 --note &#39;it&#39;\\&#39;&#39;s a run&#39;",
		"1.14 ×", "0.97 to 1.09 in 10 rounds", "7.3 µs / frame", "Set-up, 2.4 s", "Latency by percentile",
		"300\u202f000\u202f000", "Two CPUs were shared with the load tool.", "threads 7 → 7",
		"Hostile connections", "half-frame", "10.7 KiB a frame of 32.2 KiB plain: 3 times fewer bytes", "Bytes before compression",
	} {
		if !strings.Contains(html, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	html = page(t, sampleCard(false))
	checkPage(t, html)
	for _, want := range []string{
		"✗ FAIL", "1 of 4 bars missed, verification found 12 faults.", "3.64 % over",
		"viewer 17: comment 99 of sender 3 never came", `<span class="no">lost</span>`,
	} {
		if !strings.Contains(html, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

// A card may come from anywhere: whatever stands in its texts stays text.
func TestReportEscapesEverything(t *testing.T) {
	const hostile = `</title></style></pre><script>alert(1)</script><img src=x onerror=alert(2)>"'><svg onload=alert(3)>`
	c := sampleCard(false)
	c.Notes, c.Phases[1].Examples = []string{"x"}, []string{"x"}
	n := poison(reflect.ValueOf(c).Elem(), hostile)
	c.Format = CardFormat
	if n < 60 {
		t.Fatalf("only %d texts were replaced", n)
	}
	html := page(t, c)
	checkPage(t, html)
	if !strings.Contains(html, "&lt;script&gt;") {
		t.Error("the texts of the card are not on the page at all")
	}
	for _, bad := range []string{"<script", "<img", "<svg onload"} {
		if strings.Contains(html, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
}

// poison replaces every text in v, keys of maps included, and counts them.
func poison(v reflect.Value, text string) (n int) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
		return 1
	case reflect.Pointer, reflect.Interface:
		if v.Kind() == reflect.Pointer && !v.IsNil() {
			return poison(v.Elem(), text)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() && v.Type() != reflect.TypeFor[time.Time]() {
				n += poison(v.Field(i), text)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			n += poison(v.Index(i), text)
		}
	case reflect.Map:
		m := reflect.MakeMap(v.Type())
		for i, k := range v.MapKeys() {
			value := v.MapIndex(k)
			if v.Type().Elem().Kind() == reflect.String || v.Type().Elem().Kind() == reflect.Interface {
				value = reflect.ValueOf(text)
			}
			m.SetMapIndex(reflect.ValueOf(text+strings.Repeat("!", i)), value)
			n += 2
		}
		v.Set(m)
	}
	return n
}

// Cards of runs that were cut short, or measured nothing, still make a page.
func TestReportOfSparseCards(t *testing.T) {
	one := hdrhistogram.New(1, 60_000_000, 3)
	one.RecordValue(7)
	zero := hdrhistogram.New(1, 60_000_000, 3)
	zero.RecordValue(0)
	zero.RecordValue(60_000_000)
	cases := []struct {
		name string
		card RunCard
	}{
		{
			name: "nothing",
			card: RunCard{},
		},
		{
			name: "empty phase",
			card: RunCard{Phases: []Phase{{Measured: true}}},
		},
		{
			name: "one value",
			card: RunCard{Phases: []Phase{{Measured: true, Latency: LatencyOf(one), Series: []Second{{AtS: 1}}}}},
		},
		{
			name: "extreme values",
			card: RunCard{Phases: []Phase{{Measured: true, Latency: LatencyOf(zero), Series: []Second{{AtS: 1}, {AtS: 2, DeliveriesPerS: 1e15}}}}},
		},
		{
			name: "series without time",
			card: RunCard{Phases: []Phase{{Measured: true, Series: []Second{{}, {}}}}},
		},
		{
			name: "negative and zero limits",
			card: RunCard{Bars: []Bar{{Name: "a", Measured: -5, Relation: "<=", Limit: -1}, {Name: "b", Relation: "~"}}},
		},
		{
			name: "buckets that lie",
			card: RunCard{Phases: []Phase{{Measured: true, Latency: &Latency{Count: 1, Buckets: []LatencyBucket{{FromUS: -5, ToUS: 0, Count: 9}, {FromUS: 3, ToUS: 1, Count: -2}}}}}},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { checkPage(t, page(t, &c.card)) })
	}
}

// No part of a plot leaves its sheet.
func TestPlotsStayOnTheSheet(t *testing.T) {
	ph := newReportPhase(&sampleCard(true).Phases[1])
	if len(ph.Plots) != 7 {
		t.Errorf("%d plots", len(ph.Plots))
	}
	number := regexp.MustCompile(`-?[0-9.]+ -?[0-9.]+`)
	inside := func(p *plot, x, y float64) {
		if x < plotLeft || x > plotWidth-plotRight || y < plotTop || y > plotHeight-plotBottom {
			t.Errorf("%s: (%v, %v)", p.Title, x, y)
		}
	}
	for _, p := range ph.Plots {
		if len(p.XTicks) < 2 || len(p.XTicks) > 10 || len(p.YTicks) < 2 || len(p.YTicks) > 8 {
			t.Errorf("%s: %d and %d ticks", p.Title, len(p.XTicks), len(p.YTicks))
		}
		for _, b := range p.Bars {
			inside(p, b.X, b.Y)
			inside(p, b.X, b.Y+b.Height)
		}
		for _, l := range p.Lines {
			points := number.FindAllString(l.Path, -1)
			if len(points) < 10 {
				t.Errorf("%s: %d points", p.Title, len(points))
			}
			for _, s := range points {
				var x, y float64
				if _, err := fmt.Sscan(s, &x, &y); err != nil {
					t.Fatal(err)
				}
				inside(p, x, y)
			}
		}
	}
	if gaps := strings.Count(ph.Plots[3].Lines[0].Path, "M"); ph.Plots[3].Title != "Latency of each second" || gaps != 2 {
		t.Errorf("%s has %d stretches, want 2: two seconds are not known", ph.Plots[3].Title, gaps)
	}
}

func TestReportFromFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "card.json")
	if err := sampleCard(true).Save(path); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := Report(path, &b); err != nil {
		t.Fatal(err)
	}
	checkPage(t, b.String())
	if err := Report(path+".none", io.Discard); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	for _, bad := range []string{"", "{", `{"format":"other/9"}`, "[]"} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Report(path, io.Discard); err == nil {
			t.Errorf("%q was taken for a card", bad)
		}
	}
}
