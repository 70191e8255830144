package main

import (
	"encoding/json"
)

// What the parent and its workers say to each other: one JSON object a line,
// a request and then its answer.

// request is one order to a worker.
type request struct {
	Op       string    `json:"op"`
	Fleet    int       `json:"fleet"`
	Plan     *plan     `json:"plan,omitempty"`
	Until    int       `json:"until,omitempty"` // open: viewers below this number
	Schedule *schedule `json:"schedule,omitempty"`
	Window   *window   `json:"window,omitempty"`
	On       bool      `json:"on,omitempty"`
	NapUS    int64     `json:"nap_us,omitempty"`

	Attack *attackSpec `json:"attack,omitempty"`
}

// Orders.
const (
	orderPlan   = "plan"   // prepare a fleet
	orderOpen   = "open"   // connect viewers up to a number; goes on behind the answer
	orderSend   = "send"   // start the senders; goes on behind the answer
	orderWindow = "window" // begin to collect latencies of comments intended within
	orderStall  = "stall"  // the stalling viewers stop (on) or resume (off) reading
	orderChurn  = "churn"  // start (on) or stop (off) joining; those in leave in their time
	orderStatus = "status" // how all fleets are, and (on) what a measurement wants
	orderNap    = "nap"    // let arrivals gather for a while between two looks
	orderHush   = "hush"   // the senders stop before their schedule ends
	orderKill   = "kill"   // all connections are reset at once, without a word
	orderAttack = "attack" // begin (with a spec) or end (without) a hostile load
	orderClose  = "close"  // end a fleet and hand over everything it saw
)

// answer is the reply to a request. Error is set instead of the rest.
type answer struct {
	Error  string        `json:"error,omitempty"`
	Status *workerStatus `json:"status,omitempty"`
	Result *fleetResult  `json:"result,omitempty"`

	Attack *attackResult `json:"attack,omitempty"`
}

// window is a span of intended send times whose latencies are kept apart.
type window struct {
	Name string `json:"name"`
	From int64  `json:"from"`
	To   int64  `json:"to"`
}

// workerStatus is a worker at one moment.
type workerStatus struct {
	CPU    int64                `json:"cpu_ns"` // used by the worker since it began
	RSS    int64                `json:"rss"`    // if asked for
	Fleets map[int]*fleetStatus `json:"fleets"`
}

// fleetStatus is one worker's share of a fleet at one moment. All numbers
// count from the start of the fleet.
type fleetStatus struct {
	Wanted     int   `json:"wanted"` // viewers to be opened so far
	Connecting int   `json:"connecting"`
	Joined     int   `json:"joined"`
	Gone       int   `json:"gone"` // joined once, closed by the server
	Failed     int   `json:"failed"`
	Joins      int64 `json:"joins"`
	Leaves     int64 `json:"leaves"`

	Sending bool  `json:"sending"`
	Sent    int64 `json:"sent"`
	Errors  int64 `json:"errors"` // answers of type error

	Bytes            int64 `json:"bytes"`       // everything, handshakes included, all viewers
	Frames           int64 `json:"frames"`      // batches at viewers that see frames
	FrameBytes       int64 `json:"frame_bytes"` // of batches, all viewers
	VerifiedFrames   int64 `json:"verified_frames"`
	VerifiedComments int64 `json:"verified_comments"`
	VerifiedBytes    int64 `json:"verified_bytes"`
	VerifiedPlain    int64 `json:"verified_plain"` // the same frames uncompressed, bytes
	Inflated         int64 `json:"inflated"`       // frames that were inflated; all others were compared
	Distinct         int64 `json:"distinct"`       // comments in distinct batches
	SkippedBatches   int64 `json:"skipped_batches"`
	Notices          int64 `json:"notices"`
	Faults           int64 `json:"faults"`

	Recent []byte `json:"recent,omitempty"` // latencies since they were asked for last, encoded

	recents [][]byte // parent only: Recent of all workers
}

// fleetResult is everything one worker saw of a fleet.
type fleetResult struct {
	Rooms   []roomResult      `json:"rooms,omitempty"`
	Viewers []viewerResult    `json:"viewers,omitempty"`
	Status  fleetStatus       `json:"status"`
	Faults  faults            `json:"faults"`
	Codes   map[string]int64  `json:"codes,omitempty"` // error answers by code
	Delays  map[string][]byte `json:"delays"`          // encoded histograms by name

	// Of fleets whose viewers return.
	Outcomes map[string]int64 `json:"outcomes,omitempty"` // how connections failed or were ended, by kind
	Epochs   map[string]int64 `json:"epochs,omitempty"`   // joins by the server's epoch
	Closings map[int64]int64  `json:"closings,omitempty"` // close frames with 1012 by tenth of a second of nowMicros
}

// roomResult is one room as one worker saw it.
type roomResult struct {
	Room    int           `json:"r"`
	Sent    int64         `json:"s"`
	Errors  int64         `json:"e"`
	Batches []batchResult `json:"b,omitempty"`
}

// batchResult is one distinct batch.
type batchResult struct {
	Seq      uint64 `json:"q"`
	Size     int    `json:"n"`
	Sum      uint64 `json:"h"`
	Wire     int    `json:"w,omitempty"`  // bytes to viewers with compression; 0 = not seen at any
	WireSum  uint64 `json:"wh,omitempty"` // of the compressed frame; 0 = there was none
	Comments int    `json:"c"`
	Sampled  int64  `json:"s,omitempty"`
	Said     []byte `json:"t,omitempty"` // encodeSaid; of several nodes only
}

// viewerResult is one viewer of a steady fleet at the end.
type viewerResult struct {
	Viewer   int         `json:"v"`
	Level    level       `json:"l"`
	Welcome  uint64      `json:"w"`
	Next     uint64      `json:"x"` // the batch it expects next; counted viewers do not know
	Bytes    int64       `json:"b"` // of batches
	Batches  int64       `json:"f"`
	Comments int64       `json:"c"` // verified viewers only
	Early    bool        `json:"e"` // joined before anything was sent
	Gone     bool        `json:"g,omitempty"`
	Deflate  bool        `json:"d,omitempty"` // took permessage-deflate
	Skips    []skipRange `json:"k,omitempty"`
	Stays    []stay      `json:"st,omitempty"` // one after the other, the last included; nil = it was on one node
}

// skipRange is one notice of batches left out.
type skipRange struct {
	From     uint64 `json:"f"`
	To       uint64 `json:"t"`
	Comments int64  `json:"c"`
}

// attackSpec says what to do.
type attackSpec struct {
	Kind        string  `json:"kind"`
	Addr        string  `json:"addr"`
	Room        string  `json:"room"`
	Connections int     `json:"connections"` // kept at this number
	OpenRate    float64 `json:"open_rate"`   // connects a second in all
	SendRate    float64 `json:"send_rate"`   // writes a second in all
	CPUShare    float64 `json:"cpu_share"`   // of one core
	Sources     int     `json:"sources"`     // addresses from 127.0.0.200 on, at most 50
}

// attackResult is what a hostile load came to.
type attackResult struct {
	Opened   int64            `json:"opened"`
	Failed   int64            `json:"failed"`    // connects that did not come about
	Writes   int64            `json:"writes"`    // sends, of up to 64 frames each
	Bytes    int64            `json:"bytes"`     // sent
	Open     int64            `json:"open"`      // that the server had not closed at the end
	MostOpen int64            `json:"most_open"` // at one time
	Ends     map[string]int64 `json:"ends"`      // how the server ended the others: "close 1002", "408 Request Timeout", "reset"…
	CPU      int64            `json:"cpu_ns"`
	Elapsed  int64            `json:"elapsed_ns"`
}

// ended is how many connections the server closed.
func (r *attackResult) ended() (n int64) {
	for _, k := range r.Ends {
		n += k
	}
	return n
}

func encodeLine(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	return append(b, '\n'), err
}
