package main

import (
	"fmt"
	"math"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// options are the flags that all loads have in common. A subcommand sets its
// own defaults before they are bound.
type options struct {
	// The server.
	addr        string
	control     string
	pid         int
	server      string
	serverFlags []string

	// The load.
	viewers      int
	rooms        int
	senders      int
	rate         float64
	messageBytes int
	duration     time.Duration
	warmup       time.Duration
	history      int
	seed         uint64

	// The tool.
	sample      float64
	drain       string
	processes   int
	sources     int
	inFlight    int
	connectRate float64
	nap         time.Duration
	compress    float64
	json        string
	quietLine   bool

	// The bars. Zero durations and negative numbers are not asked for.
	maxP50, maxP99, maxP999 time.Duration
	maxLost                 int64
	minDeliveries           float64
	maxCPUPerFrame          time.Duration
	maxCPUPerDelivery       time.Duration
}

// bind adds the flags; what o holds already are the defaults.
func (o *options) bind(fs *pflag.FlagSet) {
	fs.StringVar(&o.addr, "addr", o.addr, "HOST:PORT of a running server")
	fs.StringVar(&o.control, "control", o.control, "HOST:PORT of its control listener, for /metrics")
	fs.IntVar(&o.pid, "pid", o.pid, "its process, for CPU and memory")
	fs.StringVar(&o.server, "server", o.server, "path of a danmakud to start instead, on free ports, with --comment-rate 0")
	fs.StringArrayVar(&o.serverFlags, "server-flag", o.serverFlags, "one more argument for it, such as --tick=50ms (repeatable)")

	fs.IntVar(&o.viewers, "viewers", o.viewers, "connections in all")
	fs.IntVar(&o.rooms, "rooms", o.rooms, "rooms the viewers are spread over")
	fs.IntVar(&o.senders, "senders", o.senders, "viewers that send too; 0 = at least one for each room, about 100 in all")
	fs.Float64Var(&o.rate, "rate", o.rate, "comments a second over all rooms and senders")
	fs.IntVar(&o.messageBytes, "message-bytes", o.messageBytes, "size of the JSON of each comment; 0 = lengths as people write")
	fs.DurationVar(&o.duration, "duration", o.duration, "time measured")
	fs.DurationVar(&o.warmup, "warmup", o.warmup, "load before that, verified but not measured")
	fs.IntVar(&o.history, "history", o.history, "comments to ask for on joining; -1 = the server's default")
	fs.Uint64Var(&o.seed, "seed", o.seed, "of the texts and phases, so that a run can be repeated")

	fs.Float64Var(&o.sample, "sample", o.sample, "share of the viewers that verify every byte (at least 50, and one a room)")
	fs.StringVar(&o.drain, "drain", o.drain, "how the others read: counted (bytes only, cheapest), framed (every frame's sequence), verified")
	fs.IntVar(&o.processes, "processes", o.processes, "worker processes; 0 = as many as open files demand")
	fs.IntVar(&o.sources, "sources", o.sources, "addresses 127.0.0.1, .2, … to connect from; 0 = as many as ports demand")
	fs.IntVar(&o.inFlight, "in-flight", o.inFlight, "handshakes under way at once, per worker process")
	fs.Float64Var(&o.connectRate, "connect-rate", o.connectRate, "connections a second; 0 = as fast as it goes")
	fs.Float64Var(&o.compress, "compress", o.compress, "share of the viewers that take permessage-deflate; without a number all of them")
	fs.Lookup("compress").NoOptDefVal = "1"
	fs.DurationVar(&o.nap, "nap", o.nap, "let arrivals gather this long between two looks: less CPU, as much more latency")
	fs.StringVar(&o.json, "json", o.json, "write the run card to this file; - = standard output")
	fs.BoolVar(&o.quietLine, "no-progress", o.quietLine, "no live line")

	fs.DurationVar(&o.maxP50, "max-p50", o.maxP50, "fail if the median latency is above")
	fs.DurationVar(&o.maxP99, "max-p99", o.maxP99, "fail if the 99th percentile is above")
	fs.DurationVar(&o.maxP999, "max-p999", o.maxP999, "fail if the 99.9th percentile is above")
	fs.Int64Var(&o.maxLost, "max-lost", o.maxLost, "fail if more deliveries are lost (any fault fails anyway); -1 = no bar")
	fs.Float64Var(&o.minDeliveries, "min-deliveries", o.minDeliveries, "fail if fewer deliveries a second")
	fs.DurationVar(&o.maxCPUPerFrame, "max-cpu-per-frame", o.maxCPUPerFrame, "fail if the server used more for one frame to one viewer")
	fs.DurationVar(&o.maxCPUPerDelivery, "max-cpu-per-delivery", o.maxCPUPerDelivery, "fail if the server used more for one comment to one viewer")
}

// defaultOptions are sensible for most loads.
func defaultOptions() options {
	return options{
		viewers: 1000, rooms: 1, rate: 100,
		duration: 10 * time.Second, warmup: 2 * time.Second,
		history: -1, seed: 1, sample: 0.02, drain: "counted",
		inFlight: 256, maxLost: 0,
	}
}

// validate finds what cannot work and fills in what was left to the tool.
func (o *options) validate() error {
	switch {
	case o.server == "" && o.addr == "":
		return fmt.Errorf("which server? --server PATH to start one, or --addr HOST:PORT [--control HOST:PORT] [--pid PID]")
	case o.server != "" && o.addr != "":
		return fmt.Errorf("--server and --addr exclude each other")
	case o.viewers < 1 || o.rooms < 1:
		return fmt.Errorf("--viewers and --rooms must be at least 1")
	case o.rate < 0 || o.sample < 0 || o.sample > 1:
		return fmt.Errorf("--rate must not be negative, --sample lies between 0 and 1")
	case o.duration <= 0 || o.warmup < 0:
		return fmt.Errorf("--duration must be positive, --warmup not negative")
	case o.messageBytes > 0 && o.messageBytes < len(commentHead)+stampSize+len(commentTail):
		return fmt.Errorf("--message-bytes must be at least %d: the stamp has to fit", len(commentHead)+stampSize+len(commentTail))
	case o.compress < 0 || o.compress > 1:
		return fmt.Errorf("--compress lies between 0 and 1")
	case o.inFlight < 1:
		return fmt.Errorf("--in-flight must be at least 1")
	}
	if o.server != "" {
		if _, err := os.Stat(o.server); err != nil {
			return fmt.Errorf("--server: %w", err)
		}
	}
	_, err := levelNamed(o.drain)
	return err
}

func levelNamed(name string) (level, error) {
	switch strings.ToLower(name) {
	case "counted":
		return counted, nil
	case "framed":
		return framed, nil
	case "verified":
		return verified, nil
	}
	return 0, fmt.Errorf("--drain %q: counted, framed or verified", name)
}

// plan makes the plan of a steady fleet from the flags.
func (o *options) plan(addr string) plan {
	drain, _ := levelNamed(o.drain) // validated before
	return plan{
		Addr: addr, Speaks: speaksDanmaku, Rooms: o.rooms, Viewers: o.viewers,
		Senders: o.sendersFor(o.viewers, o.rooms), Verified: verifiedFor(o.viewers, o.sample),
		Drain: drain, History: o.history, InFlight: o.inFlight, ConnectRate: o.connectRate,
		Sources: o.sourcesFor(o.viewers), Seed: o.seed, Compress: o.compress,
	}
}

// sendersFor gives every room the same number of senders.
func (o *options) sendersFor(viewers, rooms int) int {
	if o.senders > 0 {
		return min(o.senders, viewers)
	}
	each := max(1, 100/rooms)
	return min(each*rooms, viewers)
}

func verifiedFor(viewers int, sample float64) int {
	return min(viewers, max(50, int(math.Ceil(sample*float64(viewers)))))
}

// portsPerSource is how many connections one address may have to one server;
// the usual range of local ports has 28,232, and some may still be in TIME_WAIT.
const portsPerSource = 10000

func (o *options) sourcesFor(viewers int) int {
	if o.sources > 0 {
		return o.sources
	}
	return viewers/portsPerSource + 1
}

// connectionsPerWorker keeps a worker within its open files.
const connectionsPerWorker = 15000

// processesFor is how many workers hold that many connections.
func (o *options) processesFor(connections int) int {
	if o.processes > 0 {
		return o.processes
	}
	return (connections + connectionsPerWorker - 1) / connectionsPerWorker
}
