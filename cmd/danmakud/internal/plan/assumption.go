// Package plan computes what a number of viewers and comments takes: frames, bytes,
// hosts, messages between nodes. It is arithmetic on unit costs, each of which has a
// source and can be given; docs/scale.md says what was measured and what is not.
//
// Start reading in plan.go.
package plan

import "fmt"

// Assumption is a number the plan rests on.
type Assumption struct {
	Name    string  `json:"name"` // of its flag
	Value   float64 `json:"value"`
	Unit    string  `json:"unit"`
	Meaning string  `json:"meaning"`
	Source  string  `json:"source"`
}

// Names of the assumptions, which are those of the flags.
const (
	CommentBytes     = "message-bytes"
	BatchBytes       = "batch-bytes"
	CompressionRatio = "compression-ratio"
	CompressedShare  = "compressed-share"
	CompressionMin   = "compression-min"
	BudgetBytes      = "budget-bytes"
	CPUFactor        = "cpu-factor"
	CPUPerFrame      = "cpu-per-frame"
	CPUPerComment    = "cpu-per-comment"
	CPUPerMerged     = "cpu-per-merged"
	CPUPerKiB        = "cpu-per-kib-compressed"
	CPUPerBusMessage = "cpu-per-bus-message"
	KernelBytes      = "kernel-bytes"
	UserBytes        = "user-bytes"
	RoundTrip        = "round-trip"
	PacketBytes      = "packet-bytes"
	PacketOverhead   = "packet-overhead"
	BusMessageBytes  = "bus-message-bytes"
	BusCommentBytes  = "bus-comment-bytes"
	ReportBytes      = "report-bytes"
	HostCores        = "host-cores"
	HostNIC          = "host-gbit"
	HostMemory       = "host-gib"
	CPUShare         = "cpu-share"
	NICShare         = "nic-share"
	MemoryShare      = "memory-share"
)

const (
	here     = "this project"
	byChoice = "chosen"
)

// Assumptions are the defaults, in the order in which they are printed.
func Assumptions() []Assumption {
	return []Assumption{
		{CommentBytes, 106, "B", "a comment in a batch, as JSON, uncompressed", here + ": bench fanout --rate 1000, texts as people write"},
		{BatchBytes, 90, "B", "what a batch has besides its comments", "docs/protocol.md, its fields"},
		{CompressionRatio, 3.05, "x", "plain to compressed bytes of a large batch", here + ": bench fanout --rate 1000 --compress; texts without the tool's stamps reach 3.5"},
		{CompressedShare, 1, "", "viewers that take permessage-deflate", "browsers do"},
		{CompressionMin, 1024, "B", "smaller batches go plain", "--compression-min of serve"},
		{BudgetBytes, 262144, "B", "a batch has at most this, uncompressed; more is sampled", "--budget-bytes of serve"},
		{CPUPerFrame, 0, "us", "CPU for a frame to one viewer; 0 = by its size, see the table", "0, or what bench fanout printed on your host"},
		{CPUFactor, 1.14, "x", "the server's CPU to that of the table", here + ": bench floor, x1.10 to x1.14 (README, Measured)"},
		{CPUPerComment, 15, "us", "CPU to read, check and publish a comment of a viewer", "reading 4.2 us (measured); the rest is estimated"},
		{CPUPerMerged, 2, "us", "CPU to merge a comment of another node", "estimated"},
		{CPUPerKiB, 10, "us", "CPU to compress 1 KiB, once a batch and node", here + ": 91 us for 9.1 KiB, klauspost flate, level 1"},
		{CPUPerBusMessage, 30, "us", "CPU to send or take a bus message, wake-ups included", "estimated"},
		{KernelBytes, 3800, "B", "kernel memory of a connection, server's end, in epoll", here + ": slab counts, Linux 6.18"},
		{UserBytes, 177, "B", "the server's own of a viewer", here + ": bench idle, RSS (README, Measured)"},
		{RoundTrip, 50, "ms", "to a viewer; so long a frame stays in kernel memory", byChoice},
		{PacketBytes, 1448, "B", "TCP payload of a packet", "Ethernet MTU 1500, IPv4, timestamps"},
		{PacketOverhead, 90, "B", "TCP, IP, Ethernet, preamble and gap of a packet", "32 + 20 + 18 + 20"},
		{BusMessageBytes, 75, "B", "of a bus message besides its comments, NATS' line included", here + ": bench cluster, 43 B and the line"},
		{BusCommentBytes, 48, "B", "of a comment on the bus, compressed", here + ": bench cluster --rate 1000"},
		{ReportBytes, 300, "B", "of a node's report, one every 1.25 s", "estimated"},
		{HostCores, 16, "", "cores of a host", byChoice},
		{HostNIC, 25, "Gbit/s", "of its network interface", byChoice},
		{HostMemory, 64, "GiB", "of its memory", byChoice},
		{CPUShare, 0.6, "", "of its CPU that may be used: the rest is for the network's interrupts, peaks, a node that is lost", byChoice},
		{NICShare, 0.7, "", "of the interface that may be used", byChoice},
		{MemoryShare, 0.7, "", "of the memory that may be used", byChoice},
	}
}

// framePoint is what a frame of that size costs a bare loop.
type framePoint struct {
	Bytes float64 `json:"bytes"`
	US    float64 `json:"us"`
}

// frameTable is CPU of a bare C loop of send(2) for a frame to one viewer: median over 3
// runs, 2,000 sockets written every 100 ms, so that they are cold, over loopback, on a
// Xeon at 2.5 GHz. From 64 KiB on it grows by the byte.
var frameTable = []framePoint{{64, 7.9}, {4096, 9.9}, {65536, 20.3}}

const frameTableSource = here + ": bare C loop of send(2), 2,000 cold sockets, loopback, Xeon 2.5 GHz, median"

// loopCost is the table's microseconds for a frame, by straight lines.
func loopCost(bytes float64) float64 {
	a, b := frameTable[0], frameTable[1]
	if bytes > b.Bytes {
		a, b = frameTable[1], frameTable[2]
	}
	return a.US + (max(bytes, frameTable[0].Bytes)-a.Bytes)*(b.US-a.US)/(b.Bytes-a.Bytes)
}

// values are assumptions by name.
type values map[string]float64

func newValues(list []Assumption) (values, error) {
	v := values{}
	for _, a := range list {
		v[a.Name] = a.Value
	}
	for _, a := range Assumptions() {
		value, ok := v[a.Name]
		switch {
		case !ok:
			return nil, fmt.Errorf("--%s is not given", a.Name)
		case value < 0 || value != value:
			return nil, fmt.Errorf("--%s %v: must not be negative", a.Name, value)
		}
	}
	for _, name := range []string{CommentBytes, CompressionRatio, BudgetBytes, CPUFactor, PacketBytes, HostCores, HostNIC, HostMemory, CPUShare, NICShare, MemoryShare} {
		if v[name] == 0 {
			return nil, fmt.Errorf("--%s must be above 0", name)
		}
	}
	for _, name := range []string{CompressedShare, CPUShare, NICShare, MemoryShare} {
		if v[name] > 1 {
			return nil, fmt.Errorf("--%s %v: a share is at most 1", name, v[name])
		}
	}
	if v[CompressionRatio] < 1 {
		return nil, fmt.Errorf("--%s %v: at least 1", CompressionRatio, v[CompressionRatio])
	}
	return v, nil
}
