package room

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"sync"

	"github.com/axiomhq/hyperloglog"
)

// How many different viewers a room has had: exactly while they are few, and beyond
// that by a HyperLogLog sketch, whose memory has a bound whatever the number. A viewer
// is a hash, which whoever joins brings with it. Nodes that share a room tell each other
// what is new, now and then all they have, and unite it: who was on two of them counts
// once.

const (
	// fewMax is how many viewers are kept one by one: 1 KiB.
	fewMax = 128
	// untoldMax bounds the viewers that other nodes have not been told of. Beyond that
	// they are told all.
	untoldMax = 256
	// roughly is the part of the count by which it may be off for want of a new estimate,
	// which walks over 16,384 registers: about the error that the estimate has anyhow.
	roughly = 128
	// AudienceMax bounds what Room.Audience returns: registers of 16 KiB, or as much of
	// a sketch that has none yet, and what comes beside it.
	AudienceMax = 20 << 10
)

// Forms of an audience in bytes.
const (
	formFew    = 1 // hashes of 8 bytes, little endian
	formSketch = 2 // as the library writes it
)

// ErrAudience: it is none, or of another kind of sketch.
var ErrAudience = errors.New("room: no audience")

// audience is the different viewers of one room. Any goroutine.
type audience struct {
	mu sync.Mutex
	// Guarded by mu.
	few    []uint64            // all of them, while there is no sketch
	sketch *hyperloglog.Sketch // nil while few is enough
	last   uint64              // what the sketch was estimated at
	since  uint32              // viewers taken in since
	untold []uint64            // for other nodes
	beyond bool                // untold has not all of them
	repeat bool                // other nodes may lack some, see TakeAudience
}

// add takes a viewer in and reports whether it may be a new one.
func (a *audience) add(who uint64) bool {
	if a.sketch == nil {
		if slices.Contains(a.few, who) {
			return false
		}
		if len(a.few) < fewMax {
			a.few = append(a.few, who)
			return true
		}
		a.grow()
	}
	a.sketch.InsertHash(who)
	if a.since < math.MaxUint32 {
		a.since++
	}
	return true
}

// grow makes the sketch.
func (a *audience) grow() {
	a.sketch, a.last = hyperloglog.New14(), uint64(len(a.few))
	for _, who := range a.few {
		a.sketch.InsertHash(who)
	}
	a.few = nil
}

// see takes in who has joined; told says that there are other nodes to be told of it.
func (a *audience) see(who uint64, told bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.add(who) || !told {
		return
	}
	a.repeat = true
	if len(a.untold) >= untoldMax {
		a.untold, a.beyond = nil, true
	}
	if !a.beyond {
		a.untold = append(a.untold, who)
	}
}

// count is how many there were.
func (a *audience) count() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.sketch == nil {
		return uint64(len(a.few))
	}
	if a.since > 0 && uint64(a.since)*roughly >= a.last {
		a.last, a.since = max(a.last, a.sketch.Estimate()), 0 // it never falls
	}
	return a.last
}

// Watched returns how many different viewers the room has had since it was made, those
// on other nodes included: exact up to 128, beyond that an estimate with a standard error
// of 0.8 %, and up to as much older than that.
func (r *Room) Watched() uint64 { return r.audience.count() }

// TakeAudience returns what other nodes are to be told of the room's viewers: the hashes
// of new ones, in dst's memory, or, as all, everybody it knows in the form that
// MergeAudience takes. Both are empty where there is nothing to tell. With again a room
// that has had new viewers since all were told tells all, so that what was lost on the
// way comes after all.
func (r *Room) TakeAudience(dst []uint64, again bool) (fresh []uint64, all []byte) {
	a := &r.audience
	a.mu.Lock()
	defer a.mu.Unlock()
	fresh = append(dst[:0], a.untold...)
	if a.beyond || again && a.repeat {
		fresh, all = fresh[:0], a.appendTo(nil)
		a.repeat = false
	}
	a.untold, a.beyond = nil, false
	return fresh, all
}

// RepeatAudience has the room's next TakeAudience with again tell all.
func (r *Room) RepeatAudience() {
	r.audience.mu.Lock()
	defer r.audience.mu.Unlock()
	r.audience.repeat = len(r.audience.few) > 0 || r.audience.sketch != nil
}

// Audience returns everybody the room knows, as TakeAudience does; nil = nobody.
func (r *Room) Audience() []byte {
	r.audience.mu.Lock()
	defer r.audience.mu.Unlock()
	return r.audience.appendTo(nil)
}

func (a *audience) appendTo(p []byte) []byte {
	if a.sketch != nil {
		p, _ = a.sketch.AppendBinary(append(p, formSketch)) // the error is of sketches never used
		return p
	}
	if len(a.few) == 0 {
		return p
	}
	p = append(p, formFew)
	for _, who := range a.few {
		p = binary.LittleEndian.AppendUint64(p, who)
	}
	return p
}

// SeenElsewhere takes in viewers that other nodes have had, by their hashes. They are
// told to nobody.
func (r *Room) SeenElsewhere(viewers []uint64) {
	r.audience.mu.Lock()
	defer r.audience.mu.Unlock()
	for _, who := range viewers {
		r.audience.add(who)
	}
}

// MergeAudience takes in what Audience or TakeAudience of another node returned, which
// may be anything. Error: ErrAudience, and then nothing has changed.
func (r *Room) MergeAudience(p []byte) error {
	if len(p) == 0 || len(p) > AudienceMax {
		return ErrAudience
	}
	a := &r.audience
	if p[0] == formFew && len(p)%8 == 1 && len(p) <= 1+8*fewMax {
		a.mu.Lock()
		defer a.mu.Unlock()
		for p = p[1:]; len(p) > 0; p = p[8:] {
			a.add(binary.LittleEndian.Uint64(p))
		}
		return nil
	}
	var other hyperloglog.Sketch
	if p[0] != formSketch || other.UnmarshalBinary(p[1:]) != nil {
		return ErrAudience
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.sketch == nil {
		if hyperloglog.New14().Merge(&other) != nil { // of another precision
			return ErrAudience
		}
		a.grow()
	}
	if a.sketch.Merge(&other) != nil {
		return ErrAudience
	}
	a.since = math.MaxUint32 // whatever it was before
	return nil
}
