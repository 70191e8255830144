package plan

import (
	"fmt"
	"math"
	"time"
)

// Load is what is to be served.
type Load struct {
	Viewers int           `json:"viewers"`
	Rate    float64       `json:"rate"` // comments a second, over all rooms
	Rooms   int           `json:"rooms"`
	Nodes   int           `json:"nodes"` // 0 = as many as it takes
	Tick    time.Duration `json:"tick_ns"`
	Shards  int           `json:"bus_shards"`
}

// Plan is what a load takes.
type Plan struct {
	Load        Load         `json:"load"`
	Assumptions []Assumption `json:"assumptions"`

	Nodes  int     `json:"nodes"` // given, or as many as it takes
	Binds  string  `json:"binds"` // cpu, nic or memory: what demands most hosts
	Fits   bool    `json:"fits"`  // on that many nodes
	Batch  Batch   `json:"batch"`
	Total  Volume  `json:"total"`
	Host   Volume  `json:"host"` // one of the nodes
	Hosts  Hosts   `json:"hosts"`
	Use    Use     `json:"use"` // of a node, as shares of the whole machine
	Bus    Bus     `json:"bus"`
	Viewer Viewing `json:"viewer"`

	Advice []string  `json:"advice"`
	Ticks  []Variant `json:"ticks"`   // the same with other ticks
	Cuts   []Variant `json:"budgets"` // the same with other budgets
}

// Batch is what goes to each viewer of a room at once.
type Batch struct {
	PerSecond  float64 `json:"per_second"` // of one room on one node
	Comments   float64 `json:"comments"`   // in it
	LeftOut    float64 `json:"left_out"`   // share of the comments that are over the budget
	PlainBytes float64 `json:"plain_bytes"`
	WireBytes  float64 `json:"wire_bytes"` // mean over viewers, as WebSocket payload
	NICBytes   float64 `json:"nic_bytes"`  // with all headers below
	CPUMicros  float64 `json:"cpu_us"`     // to one viewer
}

// Volume is what leaves in a second, and what it takes.
type Volume struct {
	Viewers     float64 `json:"viewers"`
	Frames      float64 `json:"frames_per_s"`
	Bytes       float64 `json:"bytes_per_s"` // on the wire
	Deliveries  float64 `json:"deliveries_per_s"`
	Cores       float64 `json:"cores"` // CPU seconds a second
	MemoryBytes float64 `json:"memory_bytes"`
}

// Hosts is how many are needed for one thing alone.
type Hosts struct {
	CPU    int `json:"cpu"`
	NIC    int `json:"nic"`
	Memory int `json:"memory"`
}

// Use is how much of a machine is used.
type Use struct {
	CPU    float64 `json:"cpu"`
	NIC    float64 `json:"nic"`
	Memory float64 `json:"memory"`
}

// Bus is what goes between nodes.
type Bus struct {
	Messages  float64 `json:"messages_per_s"`  // nodes give to NATS
	Bound     float64 `json:"bound_per_s"`     // nodes x rooms x ticks: never more
	Delivered float64 `json:"delivered_per_s"` // NATS gives to nodes
	Bytes     float64 `json:"bytes_per_s"`
	BytesOut  float64 `json:"bytes_out_per_s"`
	Reports   float64 `json:"reports_per_s"`
}

// Viewing is what one viewer gets.
type Viewing struct {
	KbitPerS float64 `json:"kbit_per_s"`
	Delay    float64 `json:"delay_ms"` // mean wait for the end of a tick
}

// Variant is a plan with one thing changed.
type Variant struct {
	Tick     time.Duration `json:"tick_ns"`
	Budget   float64       `json:"budget_bytes"`
	Frames   float64       `json:"frames_per_s"`
	Wire     float64       `json:"wire_bytes"`
	Kbit     float64       `json:"viewer_kbit_per_s"`
	Shown    float64       `json:"comments_shown_per_s"` // in each room
	Hosts    Hosts         `json:"hosts"`
	Messages float64       `json:"bus_messages_per_s"`
}

// Make computes a plan.
func Make(l Load, list []Assumption) (*Plan, error) {
	v, err := newValues(list)
	if err == nil {
		err = l.check()
	}
	if err != nil {
		return nil, err
	}
	p := compute(l, v)
	p.Assumptions = list
	for _, tick := range []time.Duration{50, 100, 200, 250, 500, 1000} {
		other := l
		other.Tick = tick * time.Millisecond
		p.Ticks = append(p.Ticks, variant(other, v))
	}
	for _, kib := range []float64{256, 32, 16, 8, 4, 2} {
		w := values{}
		for name, value := range v {
			w[name] = value
		}
		w[BudgetBytes] = kib * 1024
		p.Cuts = append(p.Cuts, variant(l, w))
	}
	p.advise(v)
	return p, nil
}

func (l *Load) check() error {
	switch {
	case l.Viewers < 1 || l.Rooms < 1 || l.Nodes < 0 || l.Shards < 1:
		return fmt.Errorf("--viewers, --rooms and --bus-shards must be at least 1, --nodes not negative")
	case l.Rate < 0 || l.Rate != l.Rate:
		return fmt.Errorf("--rate must not be negative")
	case l.Tick < time.Millisecond || l.Tick > time.Minute:
		return fmt.Errorf("--tick %v: 1ms to 1m", l.Tick)
	}
	return nil
}

func variant(l Load, v values) Variant {
	p := compute(l, v)
	return Variant{
		Tick: l.Tick, Budget: v[BudgetBytes], Frames: p.Total.Frames, Wire: p.Batch.WireBytes, Kbit: p.Viewer.KbitPerS,
		Shown: p.Batch.Comments * p.Batch.PerSecond, Hosts: p.Hosts, Messages: p.Bus.Messages,
	}
}

// compute finds the number of nodes, which the load of a node depends on a little: what
// it says to others.
func compute(l Load, v values) *Plan {
	nodes := max(1, l.Nodes)
	p := computeFor(l, v, nodes)
	for range 100 {
		need := max(p.Hosts.CPU, p.Hosts.NIC, p.Hosts.Memory)
		if l.Nodes > 0 || need <= nodes {
			break
		}
		nodes = need
		p = computeFor(l, v, nodes)
	}
	return p
}

// events is how often a second something happens for which comments that come by
// chance, rate a second, are reason enough, and which then rests for a tick: a batch of
// a room, or a message of it to other nodes. In a busy room that is once a tick, in a
// quiet one once a comment.
func events(rate float64, tick time.Duration) float64 {
	if rate <= 0 {
		return 0
	}
	d := tick.Seconds()
	return 1 / (d + math.Exp(-rate*d)/rate)
}

func computeFor(l Load, v values, nodes int) *Plan {
	p := &Plan{Load: l, Nodes: nodes}
	viewers, rooms, k := float64(l.Viewers), float64(l.Rooms), float64(nodes)
	rate := l.Rate / rooms
	p.Batch = batch(rate, l.Tick, v)
	b := &p.Batch
	p.Viewer = Viewing{KbitPerS: 8 * b.NICBytes * b.PerSecond / 1000, Delay: float64(l.Tick.Milliseconds()) / 2}

	// Pairs of a room and a node that has viewers of it.
	share := 1 - math.Pow(1-1/k, viewers/rooms)
	pairs := rooms * k * share
	p.Bus = bus(&l, v, k, pairs, share)

	t := &p.Total
	t.Viewers, t.Frames = viewers, viewers*b.PerSecond
	t.Deliveries = t.Frames * b.Comments
	t.Bytes = t.Frames*b.NICBytes + p.Bus.Bytes
	t.Cores = t.Frames*b.CPUMicros + l.Rate*v[CPUPerComment]
	t.Cores += pairs*b.PerSecond*b.PlainBytes/1024*v[CPUPerKiB]*sign(v[CompressedShare]) + max(0, pairs/rooms-1)*l.Rate*v[CPUPerMerged]
	t.Cores += (p.Bus.Messages + p.Bus.Delivered) * v[CPUPerBusMessage]
	t.Cores /= 1e6
	held := b.WireBytes * min(1, v[RoundTrip]/1000*b.PerSecond)
	t.MemoryBytes = viewers * (v[KernelBytes] + v[UserBytes] + held)

	perHost := Use{CPU: v[HostCores], NIC: v[HostNIC] * 1e9 / 8, Memory: v[HostMemory] * (1 << 30)}
	need := func(total, host, part float64) int { return max(1, int(math.Ceil(total/(host*part)-1e-9))) }
	p.Hosts = Hosts{need(t.Cores, perHost.CPU, v[CPUShare]), need(t.Bytes, perHost.NIC, v[NICShare]), need(t.MemoryBytes, perHost.Memory, v[MemoryShare])}
	p.Host = Volume{viewers / k, t.Frames / k, t.Bytes / k, t.Deliveries / k, t.Cores / k, t.MemoryBytes / k}
	p.Use = Use{p.Host.Cores / perHost.CPU, p.Host.Bytes / perHost.NIC, p.Host.MemoryBytes / perHost.Memory}
	p.Fits = max(p.Hosts.CPU, p.Hosts.NIC, p.Hosts.Memory) <= nodes
	cpu, nic, memory := p.Use.CPU/v[CPUShare], p.Use.NIC/v[NICShare], p.Use.Memory/v[MemoryShare]
	switch {
	case cpu >= nic && cpu >= memory:
		p.Binds = "cpu"
	case nic >= memory:
		p.Binds = "nic"
	default:
		p.Binds = "memory"
	}
	return p
}

func sign(x float64) float64 {
	if x > 0 {
		return 1
	}
	return 0
}

// batch is what a room of that many comments a second sends to each viewer: the mean
// over batches, which differ. Whether one is compressed depends on its own size.
func batch(rate float64, tick time.Duration, v values) Batch {
	b := Batch{PerSecond: events(rate, tick)}
	if b.PerSecond == 0 {
		return b
	}
	mean := rate / b.PerSecond
	eachCount(mean-1, func(others int, chance float64) {
		one := batchOf(1+float64(others), v)
		b.Comments += chance * one.Comments
		b.PlainBytes += chance * one.PlainBytes
		b.WireBytes += chance * one.WireBytes
		b.NICBytes += chance * one.NICBytes
		b.CPUMicros += chance * one.CPUMicros
	})
	b.LeftOut = max(0, 1-b.Comments/mean)
	if b.LeftOut < 1e-9 {
		b.LeftOut = 0
	}
	return b
}

// eachCount calls f with the numbers that come by chance where mean are expected
// (Poisson), but for such as never come, and how likely each is.
func eachCount(mean float64, f func(n int, chance float64)) {
	if mean <= 0 || mean > 2000 { // none for certain, or they hardly differ
		f(int(max(0, mean)), 1)
		return
	}
	from, to := int(max(0, mean-8*math.Sqrt(mean))), int(mean+8*math.Sqrt(mean)+20)
	log := func(n int) float64 {
		gamma, _ := math.Lgamma(float64(n) + 1)
		return float64(n)*math.Log(mean) - mean - gamma
	}
	sum := 0.0
	for n := from; n <= to; n++ {
		sum += math.Exp(log(n))
	}
	for n := from; n <= to; n++ {
		f(n, math.Exp(log(n))/sum)
	}
}

// batchOf is a batch of so many comments.
func batchOf(comments float64, v values) Batch {
	b := Batch{Comments: min(comments, budget(v))}
	b.PlainBytes = v[BatchBytes] + b.Comments*v[CommentBytes]
	small := b.PlainBytes
	if b.PlainBytes >= v[CompressionMin] {
		small /= v[CompressionRatio]
	}
	b.WireBytes = v[CompressedShare]*small + (1-v[CompressedShare])*b.PlainBytes
	header := 4.0 // of the WebSocket frame
	switch {
	case b.WireBytes < 126:
		header = 2
	case b.WireBytes > 65535:
		header = 10
	}
	b.NICBytes = b.WireBytes + header
	b.NICBytes += math.Ceil(b.NICBytes/v[PacketBytes]) * v[PacketOverhead]
	b.CPUMicros = v[CPUPerFrame]
	if b.CPUMicros == 0 {
		b.CPUMicros = v[CPUFactor] * loopCost(b.WireBytes)
	}
	return b
}

// budget is how many comments a batch may have.
func budget(v values) float64 { return max(1, (v[BudgetBytes]-v[BatchBytes])/v[CommentBytes]) }

// bus is what k nodes say to each other. pairs counts rooms on nodes, share is the part
// of the nodes that a room is on.
func bus(l *Load, v values, k, pairs, share float64) Bus {
	if k < 2 {
		return Bus{}
	}
	rooms := float64(l.Rooms)
	on := pairs / rooms // nodes that a room is on
	said := events(l.Rate/rooms/on, l.Tick)
	b := Bus{Messages: pairs * said, Bound: pairs / l.Tick.Seconds(), Reports: k / 1.25}
	// A node hears all rooms of a shard if it has viewers in one of them.
	hears := 1 - math.Pow(1-share, math.Max(1, rooms/float64(l.Shards)))
	others := max(on-1, k*hears-1)
	// What is over the budget of a batch is cut off before it is said.
	comments := min(l.Rate, budget(v)*b.Messages)
	b.Bytes = b.Messages*v[BusMessageBytes] + comments*v[BusCommentBytes]
	b.BytesOut = b.Bytes*others + b.Reports*(k-1)*v[ReportBytes]
	b.Bytes += b.Reports * v[ReportBytes]
	b.Delivered = b.Messages*others + b.Reports*(k-1)
	b.Messages += b.Reports
	return b
}

// advise says what the numbers suggest.
func (p *Plan) advise(v values) {
	say := func(format string, a ...any) { p.Advice = append(p.Advice, fmt.Sprintf(format, a...)) }
	need := max(p.Hosts.CPU, p.Hosts.NIC, p.Hosts.Memory)
	switch {
	case p.Load.Nodes > 0 && !p.Fits:
		say("%d nodes do not do: %d are needed (%s)", p.Nodes, need, p.Binds)
	case p.Load.Nodes > 0:
		say("%d nodes do; %d would (%s binds)", p.Nodes, need, p.Binds)
	default:
		say("%d nodes, and one more for each that may be lost or drained at a time; %s binds", need, p.Binds)
	}
	p.adviseTick(say)
	p.adviseBudget(v, say)
	if p.Batch.LeftOut > 0 {
		say("%.0f %% of the comments are over the budget and are sampled", 100*p.Batch.LeftOut)
	}
	if p.Nodes > 1 {
		say("NATS: %s messages/s in, %s out, %s/s out; of the bound nodes x rooms x ticks that is %.0f %%; 3 servers, so that one may be lost",
			count(p.Bus.Messages), count(p.Bus.Delivered), size(p.Bus.BytesOut), 100*(p.Bus.Messages-p.Bus.Reports)/p.Bus.Bound)
	}
}

// adviseTick finds the shortest tick that needs no more hosts than the longest but for a
// tenth: beyond it waiting longer saves little.
func (p *Plan) adviseTick(say func(string, ...any)) {
	hosts := func(t *Variant) int { return max(t.Hosts.CPU, t.Hosts.NIC, t.Hosts.Memory) }
	longest := hosts(&p.Ticks[len(p.Ticks)-1])
	for i := range p.Ticks {
		t := &p.Ticks[i]
		if float64(hosts(t)) <= 1.1*float64(longest)+0.5 {
			say("tick: %v needs %d hosts; a second would need %d", t.Tick, hosts(t), longest)
			return
		}
	}
}

// adviseBudget says what budget the nodes have room for: what their interfaces can carry
// to each viewer in a tick.
func (p *Plan) adviseBudget(v values, say func(string, ...any)) {
	if p.Total.Frames == 0 {
		return
	}
	bytes := float64(p.Nodes) * v[HostNIC] * 1e9 / 8 * v[NICShare] / p.Total.Frames
	payload := bytes / (1 + v[PacketOverhead]/v[PacketBytes])
	plain := payload * (1 - v[CompressedShare] + v[CompressedShare]*v[CompressionRatio])
	if v[CompressedShare] > 0 && v[CompressedShare] < 1 {
		plain = payload / (1 - v[CompressedShare] + v[CompressedShare]/v[CompressionRatio])
	}
	say("budget: the interfaces of %d nodes carry batches of %s, uncompressed, so --budget-bytes %.0f is what peaks may take", p.Nodes, size(plain), min(v[BudgetBytes], math.Floor(plain/1024)*1024))
}
