package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// CardFormat names the layout of a run card. A reader refuses any other.
const CardFormat = "danmakud-bench/1"

// RunCard is everything one run of bench has to say: enough to judge the run
// without having seen it, and to repeat it. It is written as one JSON object.
// Field names are stable and end in their unit (_us microseconds, _ns
// nanoseconds, _s seconds, _bytes, _percent); a name without a unit is a count
// or a text. The card is filled by one goroutine.
type RunCard struct {
	Format     string         `json:"format"`
	Subcommand string         `json:"subcommand"`
	Title      string         `json:"title,omitempty"` // one line for people; the subcommand if empty
	StartedAt  time.Time      `json:"started_at"`
	FinishedAt time.Time      `json:"finished_at"`
	Command    []string       `json:"command"` // argv of this run, so that it can be repeated
	Bench      Build          `json:"bench"`
	Server     *ServerInfo    `json:"server,omitempty"`
	Machine    Machine        `json:"machine"`
	Parameters map[string]any `json:"parameters,omitempty"` // by flag name, defaults included
	Phases     []Phase        `json:"phases"`

	Comparisons []Comparison `json:"comparisons,omitempty"`
	Tables      []Table      `json:"tables,omitempty"`
	Bars        []Bar        `json:"bars,omitempty"`
	Notes       []string     `json:"notes,omitempty"` // what a reader must know to trust the numbers
	Pass        bool         `json:"pass"`            // set by Judge
}

// Build says which program ran.
type Build struct {
	Version   string `json:"version"`
	Revision  string `json:"revision,omitempty"`
	Modified  bool   `json:"modified,omitempty"`
	GoVersion string `json:"go_version"`
}

// ServerInfo says what was measured.
type ServerInfo struct {
	Version string   `json:"version,omitempty"`
	Command []string `json:"command,omitempty"`
	Addr    string   `json:"addr"`
	Control string   `json:"control,omitempty"`
	Pid     int      `json:"pid,omitempty"`
	Spawned bool     `json:"spawned"` // bench started it
}

// Phase is one part of a run with its own results: set-up, warm-up, the
// measurement, the time after it.
type Phase struct {
	Name      string  `json:"name"`
	Measured  bool    `json:"measured"` // false: shown, but not judged (set-up, warm-up)
	StartS    float64 `json:"start_s"`  // since RunCard.StartedAt
	DurationS float64 `json:"duration_s"`

	Viewers  int64 `json:"viewers"`
	Verified int64 `json:"verified_viewers"` // of those, how many parsed every frame
	Rooms    int64 `json:"rooms"`
	Senders  int64 `json:"senders"`

	Expected Counts `json:"expected"`
	Received Counts `json:"received"`

	Latency *Latency     `json:"latency,omitempty"` // from intended send time to receipt
	Others  []NamedDelay `json:"other_latencies,omitempty"`
	Series  []Second     `json:"series,omitempty"`
	Server  *ProcUse     `json:"server,omitempty"`
	Load    *ProcUse     `json:"load,omitempty"` // bench itself, all its workers
	Cost    *Cost        `json:"cost,omitempty"`

	Skips    map[string]int64 `json:"skips,omitempty"`    // announced by the server, by cause
	Drops    map[string]int64 `json:"drops,omitempty"`    // refused or lost, by cause
	Faults   map[string]int64 `json:"faults,omitempty"`   // found by verification, by kind; all must be 0
	Examples []string         `json:"examples,omitempty"` // the first few faults in words
	Counters map[string]int64 `json:"counters,omitempty"` // anything else worth keeping (metrics deltas)
}

// Counts is what came, or should have come, over all viewers of a phase.
type Counts struct {
	Frames     int64 `json:"frames"`                // WebSocket frames at viewers
	Deliveries int64 `json:"deliveries"`            // comments at viewers: one comment to 5,000 viewers counts 5,000
	Comments   int64 `json:"comments"`              // comments sent (expected) and seen by anybody (received)
	Bytes      int64 `json:"bytes"`                 // of frames as they came, headers included
	PlainBytes int64 `json:"plain_bytes,omitempty"` // what the same frames are uncompressed
}

// Compression is how many times fewer bytes came than there were to say; 1
// without compression, 0 if nothing came.
func (c Counts) Compression() float64 {
	if c.Bytes == 0 {
		return 0
	}
	return float64(c.PlainBytes) / float64(c.Bytes)
}

// Latency is a distribution of delays in microseconds.
type Latency struct {
	Count   int64           `json:"count"`
	MinUS   int64           `json:"latency_min_us"`
	MeanUS  float64         `json:"latency_mean_us"`
	P50US   int64           `json:"latency_p50_us"`
	P90US   int64           `json:"latency_p90_us"`
	P99US   int64           `json:"latency_p99_us"`
	P999US  int64           `json:"latency_p999_us"`
	P9999US int64           `json:"latency_p9999_us"`
	MaxUS   int64           `json:"latency_max_us"`
	Buckets []LatencyBucket `json:"buckets,omitempty"` // ascending, only those with a count
}

// LatencyBucket counts delays d with from <= d < to.
type LatencyBucket struct {
	FromUS float64 `json:"from_us"`
	ToUS   float64 `json:"to_us"`
	Count  int64   `json:"count"`
}

// NamedDelay is a further distribution of a phase, such as connect times.
type NamedDelay struct {
	Name string `json:"name"`
	Latency
}

// Second is one point of a time series. A pointer that is nil was not known in that second.
type Second struct {
	AtS              float64  `json:"at_s"` // end of the second, since the phase began
	DeliveriesPerS   float64  `json:"deliveries_per_s"`
	FramesPerS       float64  `json:"frames_per_s"`
	BytesPerS        float64  `json:"bytes_per_s,omitempty"`
	Connections      int64    `json:"connections,omitempty"`
	ServerCPUPercent *float64 `json:"server_cpu_percent,omitempty"` // 100 = one core
	LoadCPUPercent   *float64 `json:"load_cpu_percent,omitempty"`
	ServerRSSBytes   *int64   `json:"server_rss_bytes,omitempty"`
	LatencyP50US     *int64   `json:"latency_p50_us,omitempty"` // of this second alone
	LatencyP99US     *int64   `json:"latency_p99_us,omitempty"`
}

// ProcUse is what a process used during a phase.
type ProcUse struct {
	CPUNS        int64   `json:"cpu_ns"`
	CPUPercent   float64 `json:"cpu_percent"` // 100 = one core
	CPUSource    string  `json:"cpu_source,omitempty"`
	RSSStart     int64   `json:"rss_start_bytes"`
	RSSEnd       int64   `json:"rss_end_bytes"`
	RSSPeak      int64   `json:"rss_peak_bytes"`
	RSSAnonStart int64   `json:"rss_anon_start_bytes"`
	RSSAnonEnd   int64   `json:"rss_anon_end_bytes"`
	ThreadsStart int     `json:"threads_start"`
	ThreadsEnd   int     `json:"threads_end"`
	Goroutines   int     `json:"goroutines_end,omitempty"`
	FDsStart     int     `json:"fds_start"`
	FDsEnd       int     `json:"fds_end"`
	Voluntary    int64   `json:"voluntary_switches"`
	Involuntary  int64   `json:"involuntary_switches"`
	KsoftirqdNS  int64   `json:"ksoftirqd_cpu_ns"`     // of the whole machine, meanwhile
	StealPercent float64 `json:"steal_percent"`        // of the whole machine, meanwhile
	MachineBusy  float64 `json:"machine_busy_percent"` // 100 = all cores
}

// Cost is what one delivery costs the server. Zero where it could not be known.
type Cost struct {
	CPUNSPerFrame         float64 `json:"cpu_per_frame_ns"`
	CPUNSPerDelivery      float64 `json:"cpu_per_delivery_ns"`
	WriteCalls            int64   `json:"write_calls"`
	WriteCallsPerDelivery float64 `json:"write_calls_per_delivery"`
	WriteCallsPerFrame    float64 `json:"write_calls_per_frame"`
	BytesPerDelivery      float64 `json:"per_delivery_bytes"`
	DeliveriesPerFrame    float64 `json:"deliveries_per_frame"`
	BytesPerFrame         float64 `json:"per_frame_bytes,omitempty"`
	PlainBytesPerFrame    float64 `json:"per_frame_plain_bytes,omitempty"` // what they are uncompressed
	Compression           float64 `json:"compression_ratio,omitempty"`     // plain over wire
}

// Comparison sets the server beside something else measured in the same
// minutes. Ratio is the median of the ratios of the single rounds, which is
// what to trust on a machine whose speed drifts.
type Comparison struct {
	Name       string   `json:"name"`
	FrameBytes int64    `json:"frame_bytes,omitempty"`
	Viewers    int64    `json:"viewers,omitempty"`
	Unit       string   `json:"unit"`       // of the two values, such as "ns/frame"
	Label      string   `json:"label"`      // of Value, such as "danmakud"
	BaseLabel  string   `json:"base_label"` // of Base, such as "C send loop"
	Value      float64  `json:"value"`
	Base       float64  `json:"base"`
	Ratio      float64  `json:"ratio"`
	RatioMin   float64  `json:"ratio_min,omitempty"`
	RatioMax   float64  `json:"ratio_max,omitempty"`
	Rounds     int      `json:"rounds,omitempty"`
	Discarded  int      `json:"rounds_discarded,omitempty"`
	Limit      *float64 `json:"ratio_limit,omitempty"`
}

// Table is findings that fit no other part of the card, as they are shown. What
// a program may want to read stands in counters and bars too.
type Table struct {
	Title   string     `json:"title"`
	Columns []string   `json:"columns"`
	Rows    [][]string `json:"rows"`
}

// Bar is one demand and whether it was met.
type Bar struct {
	Name     string  `json:"name"`
	Measured float64 `json:"measured"`
	Relation string  `json:"relation"` // "<=", ">=", "=="
	Limit    float64 `json:"limit"`
	Unit     string  `json:"unit,omitempty"`
	Pass     bool    `json:"pass"`
	Note     string  `json:"note,omitempty"`
}

// NewRunCard starts a card for a subcommand: format, time, command line, build
// and machine are filled in. It reads files of /proc and /sys where they exist.
func NewRunCard(subcommand string) *RunCard {
	return &RunCard{
		Format:     CardFormat,
		Subcommand: subcommand,
		StartedAt:  time.Now(),
		Command:    append([]string(nil), os.Args...),
		Bench:      ReadBuild(),
		Machine:    ReadMachine(),
		Parameters: map[string]any{},
	}
}

// NewBar judges a measured value. A value that is not a number never passes;
// neither does an unknown relation.
func NewBar(name string, measured float64, relation string, limit float64, unit string) Bar {
	b := Bar{Name: name, Measured: measured, Relation: relation, Limit: limit, Unit: unit}
	switch relation {
	case "<=":
		b.Pass = measured <= limit
	case ">=":
		b.Pass = measured >= limit
	case "==":
		b.Pass = measured == limit
	}
	if math.IsNaN(measured) || math.IsInf(measured, 0) {
		b.Measured = -1 // JSON has no NaN; the note says what -1 stands for
		b.Note = "not measured"
		b.Pass = false
	}
	return b
}

// Bar judges a value and keeps the verdict on the card.
func (c *RunCard) Bar(name string, measured float64, relation string, limit float64, unit string) {
	c.Bars = append(c.Bars, NewBar(name, measured, relation, limit, unit))
}

// addRow adds a row to the table of that title, which begins with the first.
func (c *RunCard) addRow(title string, columns, row []string) {
	for i := range c.Tables {
		if c.Tables[i].Title == title {
			c.Tables[i].Rows = append(c.Tables[i].Rows, row)
			return
		}
	}
	c.Tables = append(c.Tables, Table{Title: title, Columns: columns, Rows: [][]string{row}})
}

// Faults is the number of verification faults over all phases, set-up and
// warm-up included: a wrong byte is wrong at any time.
func (c *RunCard) Faults() int64 {
	var n int64
	for i := range c.Phases {
		for _, k := range c.Phases[i].Faults {
			n += k
		}
	}
	return n
}

// Judge sets Pass: no verification fault and no missed bar. A card on which
// nothing was received where something was expected does not pass either.
func (c *RunCard) Judge() bool {
	c.Pass = c.Faults() == 0
	for _, b := range c.Bars {
		c.Pass = c.Pass && b.Pass
	}
	for i := range c.Phases {
		p := &c.Phases[i]
		if p.Measured && p.Expected.Frames > 0 && p.Received.Frames == 0 {
			c.Pass = false
		}
	}
	return c.Pass
}

// Write puts the card out as indented JSON.
func (c *RunCard) Write(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(c)
}

// Save writes the card to a file, by way of a temporary one beside it, so that
// a reader never sees half a card. "-" is standard output.
func (c *RunCard) Save(path string) error {
	if path == "-" {
		return c.Write(os.Stdout)
	}
	tmp := path + ".tmp"
	f, err := os.Create(tmp)
	if err != nil {
		return err
	}
	err = errors.Join(c.Write(f), f.Close())
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		os.Remove(tmp)
	}
	return err
}

// LoadCard reads a card and refuses one of another format.
func LoadCard(r io.Reader) (*RunCard, error) {
	c := new(RunCard)
	if err := json.NewDecoder(r).Decode(c); err != nil {
		return nil, fmt.Errorf("run card: %w", err)
	}
	if c.Format != CardFormat {
		return nil, fmt.Errorf("run card: format %q, this program reads %q", c.Format, CardFormat)
	}
	return c, nil
}

// CommandLine is the command as it can be pasted into a shell.
func CommandLine(argv []string) string {
	words := make([]string, len(argv))
	for i, w := range argv {
		words[i] = shellQuote(w)
	}
	return strings.Join(words, " ")
}

func shellQuote(w string) string {
	plain := w != ""
	for _, r := range w {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-", r) {
			plain = false
			break
		}
	}
	if plain {
		return w
	}
	return "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
}

// bucketsPerDecade is the resolution of the buckets in a card: 12 % wide each,
// enough for a plot and small enough to read as text.
const bucketsPerDecade = 20

// LatencyOf sums up a histogram whose values are microseconds. It returns nil
// for an empty one. The histogram is only read.
func LatencyOf(h *hdrhistogram.Histogram) *Latency {
	if h == nil || h.TotalCount() == 0 {
		return nil
	}
	l := &Latency{
		Count:   h.TotalCount(),
		MinUS:   h.Min(),
		MeanUS:  math.Round(h.Mean()*10) / 10,
		P50US:   h.ValueAtQuantile(50),
		P90US:   h.ValueAtQuantile(90),
		P99US:   h.ValueAtQuantile(99),
		P999US:  h.ValueAtQuantile(99.9),
		P9999US: h.ValueAtQuantile(99.99),
		MaxUS:   h.Max(),
	}
	last := math.MinInt
	for _, bar := range h.Distribution() {
		if bar.Count == 0 {
			continue
		}
		mid := math.Max(1, (float64(bar.From)+float64(bar.To))/2)
		i := int(math.Floor(math.Log10(mid)*bucketsPerDecade + 1e-9))
		if i != last {
			l.Buckets = append(l.Buckets, LatencyBucket{FromUS: bucketEdge(i), ToUS: bucketEdge(i + 1)})
			last = i
		}
		l.Buckets[len(l.Buckets)-1].Count += bar.Count
	}
	return l
}

// bucketEdge is the lower edge of bucket i, rounded to keep cards readable.
func bucketEdge(i int) float64 {
	v := math.Pow(10, float64(i)/bucketsPerDecade)
	return math.Round(v*1000) / 1000
}
