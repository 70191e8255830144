package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// compressOptions are what only compress knows.
type compressOptions struct {
	options
	rates        string
	rounds       int
	maxCPURatio  string
	minRatio     string
	maxRuns      float64
	maxIdleBytes float64
	settle       time.Duration
}

func compressCommand() *cobra.Command {
	o := compressOptions{options: defaultOptions()}
	o.viewers, o.duration, o.nap, o.rate = 5000, 5*time.Second, time.Millisecond, 0
	c := loadCommand("compress", "What permessage-deflate saves and costs: the same load plain and compressed, in turns",
		"bench compress --server bin/danmakud --rates 1000,10000 --min-ratio 3,3.7 --max-cpu-ratio 1.1,0.6", &o.options, nil)
	f := c.Flags()
	f.StringVar(&o.rates, "rates", "1000,10000", "comments a second to compare at; texts as people write them, without stamps")
	f.IntVar(&o.rounds, "rounds", 3, "pairs of runs at each rate, in alternating order")
	f.StringVar(&o.maxCPURatio, "max-cpu-ratio", "", "fail if the server needs more times the CPU for a delivery: one number, or one for each rate")
	f.StringVar(&o.minRatio, "min-ratio", "", "fail if fewer times less bytes come: one number, or one for each rate")
	f.Float64Var(&o.maxRuns, "max-runs", 1, "fail if a batch is compressed more often; 0 = no bar")
	f.Float64Var(&o.maxIdleBytes, "max-idle-bytes", -1, "fail if an idle viewer with compression costs the server more bytes of RSS than one without; -1 = no bar")
	f.DurationVar(&o.settle, "settle", 2*time.Second, "rest before the memory of idle viewers is looked at")
	c.RunE = func(*cobra.Command, []string) error { return runCompress(o) }
	return c
}

// compressBars are the demands at one rate; 0 is none.
type compressBars struct {
	rate               int
	cpuRatio, minRatio float64
}

// bars reads the rates and the demands that go with them.
func (o *compressOptions) bars() ([]compressBars, error) {
	rates, err := parseNumbers(o.rates)
	if err != nil {
		return nil, fmt.Errorf("--rates: %w", err)
	}
	cpu, err := parseRatios(o.maxCPURatio, len(rates))
	if err != nil {
		return nil, fmt.Errorf("--max-cpu-ratio: %w", err)
	}
	bytes, err := parseRatios(o.minRatio, len(rates))
	if err != nil {
		return nil, fmt.Errorf("--min-ratio: %w", err)
	}
	list := make([]compressBars, len(rates))
	for i := range list {
		list[i] = compressBars{rates[i], cpu[i], bytes[i]}
	}
	return list, nil
}

// parseRatios reads "3,3.7": none, one for all, or one for each.
func parseRatios(text string, n int) ([]float64, error) {
	list := make([]float64, n)
	if text == "" {
		return list, nil
	}
	words := strings.Split(text, ",")
	if len(words) != 1 && len(words) != n {
		return nil, fmt.Errorf("%q: one number, or %d", text, n)
	}
	for i := range list {
		v, err := strconv.ParseFloat(strings.TrimSpace(words[min(i, len(words)-1)]), 64)
		if err != nil || v < 0 {
			return nil, fmt.Errorf("%q is no list of numbers", text)
		}
		list[i] = v
	}
	return list, nil
}

func runCompress(o compressOptions) error {
	bars, err := o.bars()
	if err != nil {
		return err
	}
	s, err := newSession("compress", o.options, o.viewers)
	if err != nil {
		return err
	}
	s.card.Parameters["rates"], s.card.Parameters["rounds"] = o.rates, o.rounds
	if err := s.compress(&o, bars); err != nil {
		return errors.Join(err, s.abandon())
	}
	return s.finish()
}

// compress compares memory of idle viewers first, then each rate.
func (s *session) compress(o *compressOptions, bars []compressBars) error {
	if s.target.info.Pid == 0 {
		return fmt.Errorf("compress measures the server's process: --pid is needed with --addr")
	}
	if err := s.compressIdle(o); err != nil {
		return err
	}
	for _, b := range bars {
		if err := s.compressRate(o, b); err != nil {
			return err
		}
	}
	return nil
}

// compressIdle sets the memory of idle viewers with compression beside that of
// as many without. The first fleet only grows what the server keeps for the
// others.
func (s *session) compressIdle(o *compressOptions) error {
	var rss [3]float64
	for i, share := range []float64{1, 0, 1} {
		p := o.plan(s.target.info.Addr)
		p.Senders, p.Compress = 0, share
		party, err := s.invite(p, fmt.Sprint("idle", i))
		if err != nil {
			return err
		}
		if err := party.open(o.viewers); err != nil {
			return err
		}
		time.Sleep(o.settle)
		look, err := s.look(o.viewers)
		if err != nil {
			return err
		}
		rss[i] = float64(look.rss)
		v, delays, err := party.close()
		if err != nil {
			return err
		}
		s.addAccount(fmt.Sprintf("%d idle viewers, compression %t", o.viewers, share > 0), &party.plan, v, delays)
		time.Sleep(500 * time.Millisecond) // the server notices that all have left
	}
	each := (rss[2] - rss[1]) / float64(o.viewers)
	s.note("server RSS with %d idle viewers: %s without compression, %s with it: %+.1f bytes a viewer",
		o.viewers, byteSize(rss[1]), byteSize(rss[2]), each)
	s.card.Tables = append(s.card.Tables, Table{
		Title: "Server memory with idle viewers", Columns: []string{"Viewers", "Compression", "RSS"},
		Rows: [][]string{{grouped(int64(o.viewers)), "no", byteSize(rss[1])}, {grouped(int64(o.viewers)), "taken", byteSize(rss[2])}},
	})
	if o.maxIdleBytes >= 0 {
		s.card.Bar("RSS of an idle viewer with compression more than without", each, "<=", o.maxIdleBytes, "bytes")
	}
	return nil
}

// compressTurn is one run of one side.
type compressTurn struct {
	cost        *Cost
	perDelivery float64 // CPU with that of ksoftirqd, ns
	compression float64 // over everything that came
	runs        float64 // compressions a batch, by the server's counters
	deflated    float64 // share of batches that came compressed
}

// compressRate alternates the two kinds of viewer at one rate.
func (s *session) compressRate(o *compressOptions, b compressBars) error {
	var cpu, soft, size [2][]float64 // plain, compressed
	var last [2]compressTurn
	var ratios, runs []float64
	for round := range o.rounds {
		order := []int{0, 1}
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, side := range order {
			t, err := s.compressTurn(o, b.rate, round, side)
			if err != nil {
				return err
			}
			cpu[side], soft[side] = append(cpu[side], t.cost.CPUNSPerDelivery), append(soft[side], t.perDelivery)
			size[side] = append(size[side], t.cost.BytesPerFrame)
			if last[side] = t; side == 1 {
				ratios, runs = append(ratios, t.compression), append(runs, t.runs)
			}
		}
	}
	s.judgeCompress(o, b, cpu, soft, size, ratios, runs, last)
	return nil
}

// compressTurn runs one fleet at one rate. The counters of the server are read
// while nothing is sent, so that they belong to the same batches.
func (s *session) compressTurn(o *compressOptions, rate, round, side int) (t compressTurn, err error) {
	p := o.plan(s.target.info.Addr)
	p.Compress, p.Bare, p.History = float64(side), true, 0
	kind := []string{"plain", "compressed"}[side]
	before, err := scrape(s.target.info.Control)
	if err != nil {
		return t, err
	}
	ph, v, err := s.steady(p, fmt.Sprintf("c%d-%d-%d", rate, round, side), load{
		name: fmt.Sprintf("%d comments/s, round %d, %s", rate, round+1, kind), rate: float64(rate),
		warmup: o.warmup, duration: o.duration,
	})
	if err != nil {
		return t, err
	}
	after, err := scrape(s.target.info.Control)
	switch {
	case err != nil:
		return t, err
	case ph.Cost == nil:
		return t, fmt.Errorf("nothing arrived at %d comments/s", rate)
	}
	const runs = `danmakud_encodings_total{encoding="json_deflate"}`
	t.cost = ph.Cost
	t.perDelivery = float64(ph.Server.CPUNS+ph.Server.KsoftirqdNS) / float64(ph.Received.Deliveries)
	t.compression = v.Received.Compression()
	t.runs = (after[runs] - before[runs]) / max(1, after.sum("danmakud_batches_sealed_total")-before.sum("danmakud_batches_sealed_total"))
	t.deflated = float64(v.Deflated) / float64(max(1, v.Batches))
	return t, nil
}

// judgeCompress puts one rate's comparison on the card.
func (s *session) judgeCompress(o *compressOptions, b compressBars, cpu, soft, size [2][]float64, ratios, runs []float64, last [2]compressTurn) {
	at := fmt.Sprintf("at %d comments/s, %d viewers", b.rate, o.viewers)
	k := Comparison{Name: "CPU a delivery " + at, Viewers: int64(o.viewers), Unit: "ns/delivery", Label: "compressed", BaseLabel: "plain"}
	withSoft, bytes := k, k
	k.fill(cpu[1], cpu[0])
	s.compare(k, b.cpuRatio)
	withSoft.Name = "CPU a delivery with ksoftirqd " + at
	withSoft.fill(soft[1], soft[0])
	s.compare(withSoft, 0)
	bytes.Name, bytes.Unit = "bytes a frame "+at, "bytes/frame"
	bytes.fill(size[1], size[0])
	s.compare(bytes, 0)
	ratio, most := median(ratios), slices.Max(runs)
	if b.minRatio > 0 {
		s.card.Bar("times fewer bytes "+at, ratio, ">=", b.minRatio, "x")
	}
	if o.maxRuns > 0 {
		s.card.Bar("compressions a batch "+at, most, "<=", o.maxRuns, "")
		s.card.Bar("share of batches that came compressed "+at, last[1].deflated, ">=", 0.5, "")
	}
	s.card.addRow("Compression", []string{"Comments/s", "Comments a batch", "Plain frame", "Compressed frame", "Times fewer bytes", "CPU a delivery to plain",
		"Compressions a batch", "Batches that came compressed", "Compressions a batch without a taker"},
		[]string{
			grouped(int64(b.rate)), digits(last[1].cost.DeliveriesPerFrame), byteSize(last[1].cost.PlainBytesPerFrame), byteSize(last[1].cost.BytesPerFrame),
			digits(ratio), digits(k.Ratio), digits(most), digits(last[1].deflated), digits(last[0].runs),
		})
}
