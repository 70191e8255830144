package main

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// How a viewer reads what it gets. Each level sees more than the one before.
type level uint8

const (
	counted  level = iota // bytes only: one recv with MSG_TRUNC, nothing copied
	framed                // frame headers and batch sequences; payloads dropped in the kernel
	verified              // every byte
)

// What the other side speaks.
const (
	speaksDanmaku = "danmaku" // the native protocol
	speaksRelay   = "relay"   // the floor's relay: comments come back as they were sent
	speaksPush    = "push"    // the floor's push: frames without meaning
	speaksPackets = "packets" // what Bilibili's clients speak, see packets.go
)

// plan describes a fleet: a set of viewers made alike. Every worker gets the
// same plan and takes its share of the viewers by their numbers, so that who
// is where, who sends and who verifies follows from the plan alone.
type plan struct {
	Fleet    int    `json:"fleet"` // number of the fleet in this run
	Addr     string `json:"addr"`
	Speaks   string `json:"speaks"`
	RoomName string `json:"room_name"` // the rooms are RoomName-0, RoomName-1, ...
	Number   int64  `json:"number"`    // or, if not 0, Number, Number+1, ...: packets know numbers alone
	Protover int    `json:"protover"`  // of packets: 0 plain, 2 zlib
	Rooms    int    `json:"rooms"`
	Viewers  int    `json:"viewers"`
	Senders  int    `json:"senders"`  // the first of the viewers
	Verified int    `json:"verified"` // spread evenly over the order of joining
	Stallers int    `json:"stallers"` // the last of the viewers; all verified
	Drain    level  `json:"drain"`    // level of all others
	History  int    `json:"history"`  // comments asked for on joining; -1: as the server likes
	Sources  int    `json:"sources"`  // addresses to connect from: 127.0.0.1 and up

	InFlight    int     `json:"in_flight"`    // handshakes under way at once, per worker
	ConnectRate float64 `json:"connect_rate"` // over all workers; 0 = as fast as it goes

	Compress float64 `json:"compress"` // share of the viewers that take permessage-deflate, spread evenly
	Bare     bool    `json:"bare"`     // comments without stamps, as people write them: see scriptLine

	ChurnRate float64       `json:"churn_rate"` // joins a second over all workers; 0 = a steady fleet
	Stay      time.Duration `json:"stay"`       // mean time a churning viewer stays

	// Returns: a viewer whose connection could not be made comes back at once,
	// and one that is told to come back (goodbye, 1012) does so in its time.
	// Neither is a fault; both are counted in the outcomes.
	Returns bool `json:"returns"`

	// Of several nodes that share their rooms, see cluster.go.
	Nodes       []string `json:"nodes,omitempty"` // addresses of all; nil = a server by itself
	Node        int      `json:"node"`            // of this fleet
	FirstSender int      `json:"first_sender"`    // in stamps, so that those of all fleets differ
	FirstRoom   int      `json:"first_room"`      // of viewer 0
	Resumes     bool     `json:"resumes"`         // who loses a node comes back to another; needs Returns

	Seed    uint64 `json:"seed"`
	Worker  int    `json:"worker"` // of this worker, filled in when sent to it
	Workers int    `json:"workers"`
}

// roomOf is the room of a viewer.
func (p *plan) roomOf(viewer int) int { return (viewer + p.FirstRoom) % p.Rooms }

// logName is the key of a room's log on a node: each node has batches of its own.
func (p *plan) logName(room, node int) string {
	if p.Nodes == nil {
		return p.room(room)
	}
	return p.room(room) + "@" + strconv.Itoa(node)
}

// local says whether a sender, by its stamp, is on this fleet's node.
func (p *plan) local(sender uint32) bool {
	return int(sender) >= p.FirstSender && int(sender) < p.FirstSender+max(p.Senders, 1)
}

func (p *plan) room(i int) string {
	if p.Number > 0 {
		return strconv.FormatInt(p.Number+int64(i), 10)
	}
	return p.RoomName + "-" + strconv.Itoa(i)
}

// data is the opcode of the server's data frames.
func (p *plan) data() byte {
	if p.Speaks == speaksPackets {
		return opBinary
	}
	return opText
}

// sends says whether a viewer is a sender too.
func (p *plan) sends(viewer int) bool { return viewer < p.Senders }

// stalls says whether a viewer is one of those that can be told to stop reading.
func (p *plan) stalls(viewer int) bool { return viewer >= p.Viewers-p.Stallers }

// compresses says whether a viewer offers permessage-deflate. Steps of the
// golden ratio spread them evenly whatever else is spread over the same numbers.
func (p *plan) compresses(viewer int) bool {
	const golden = 0.6180339887498949
	_, at := math.Modf(float64(viewer) * golden)
	return p.Speaks == speaksDanmaku && at < p.Compress
}

// levelOf decides how a viewer reads. At least one viewer of every room is
// verified: without it nothing could be said about the others.
func (p *plan) levelOf(viewer int) level {
	switch {
	case p.Speaks == speaksPush:
		return p.Drain
	case p.ChurnRate > 0, p.Speaks == speaksRelay, p.Speaks == speaksPackets, p.stalls(viewer), viewer < p.Rooms:
		return verified
	case p.Resumes: // what the last of them get of a node that goes, no sample may have got
		return verified
	case p.sampled(viewer):
		return verified
	case p.sends(viewer):
		return max(p.Drain, framed) // it must see the server's errors
	case p.Compress < 1 && p.compresses(viewer):
		return max(p.Drain, framed) // what the others get does not tell what it should get
	}
	return p.Drain
}

// sampled says whether a viewer is one of those that are spread evenly to be verified.
func (p *plan) sampled(viewer int) bool {
	return (viewer+1)*p.Verified/p.Viewers > viewer*p.Verified/p.Viewers
}

// mutes says whether a viewer's latencies are left out: those of stallers are their own
// fault, and of packet viewers, who all look at every byte, a sample will do.
func (p *plan) mutes(viewer int) bool {
	return p.stalls(viewer) || p.Speaks == speaksPackets && viewer >= p.Rooms && !p.sampled(viewer)
}

// verifiedCount is how many viewers come out as verified.
func (p *plan) verifiedCount() int {
	n := 0
	for i := range p.Viewers {
		if p.levelOf(i) == verified {
			n++
		}
	}
	return n
}

// validate reports a plan that cannot be carried out.
func (p *plan) validate() error {
	switch {
	case p.Rooms < 1 || p.Rooms > p.Viewers*max(1, len(p.Nodes)) && p.ChurnRate == 0:
		return fmt.Errorf("%d rooms for %d viewers: each room needs a viewer", p.Rooms, p.Viewers)
	case p.Senders > p.Viewers-p.Stallers:
		return fmt.Errorf("%d senders and %d stalling viewers among %d viewers", p.Senders, p.Stallers, p.Viewers)
	case p.Senders >= 1<<24:
		return fmt.Errorf("%d senders: a stamp holds 24 bits", p.Senders)
	case p.Compress < 0 || p.Compress > 1:
		return fmt.Errorf("--compress %v: a share between 0 and 1", p.Compress)
	case p.Bare && (p.Workers != 1 || p.History != 0 || p.ChurnRate > 0):
		return fmt.Errorf("comments without stamps need one worker process, no history and viewers that stay")
	case p.Speaks == speaksPackets && (p.Number == 0 || p.Senders > 0 || p.ChurnRate > 0 || p.Returns || p.Stallers > 0):
		return fmt.Errorf("packet viewers watch a room with a number, and stay")
	case p.Sources < 1 || p.Sources > 250:
		return fmt.Errorf("%d sources: 1 to 250 addresses are possible", p.Sources)
	}
	return nil
}

// schedule says what a fleet's senders say, and when. Times are nowMicros.
type schedule struct {
	Start        int64   `json:"start"`
	Stop         int64   `json:"stop"`
	Rate         float64 `json:"rate"`          // comments a second over all senders of all workers
	Random       bool    `json:"random"`        // each sender at a random phase of its period, not evenly spread
	MessageBytes int     `json:"message_bytes"` // size of the JSON of each comment; 0 = lengths as people write
}

// period is the time between two comments of one sender, in microseconds.
func (s *schedule) period(senders int) float64 { return 1e6 * float64(senders) / s.Rate }
