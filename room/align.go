package room

import "math"

// Where nodes share rooms, a room's ticks end at the same moments on all of them, and
// what was said on one goes to the others a little before: so it is in the batch that
// they are about to seal, and waits for no tick of theirs. The rooms' ticks are spread
// evenly over time by their names. A node by itself has no such moments: its rooms go
// by when they were sealed last.

// phaseOff is the phase of a node by itself.
const phaseOff = math.MinInt64

// SetPhase tells what the clock that all nodes have in common is ahead of now, in
// nanoseconds. Any goroutine; call it again as the clocks drift.
func (h *Hub) SetPhase(ns int64) { h.phase.Store(ns) }

// Hash spreads rooms by their names, in the same way on every node (FNV-1a). Any
// goroutine.
func Hash(name string) uint32 {
	hash := uint32(2166136261)
	for i := range len(name) {
		hash = (hash ^ uint32(name[i])) * 16777619
	}
	return hash
}

// placeOf is where a room's ticks are among those of all others, as a part of a tick
// in 1<<16.
func placeOf(name string) int64 {
	hash := Hash(name)
	return int64(hash>>16 ^ hash&0xFFFF)
}

// boundary returns the first moment from at on that is lead before an end of a tick.
func (r *Room) boundary(at, lead int64) int64 {
	tick := int64(r.hub.cfg().Tick)
	into := (at + r.hub.phase.Load() + lead - tick*r.place>>16) % tick
	if into < 0 {
		into += tick
	}
	if into == 0 {
		return at
	}
	return at + tick - into
}

// nextSealLocked is when what comes now is to be sealed, if the room is busy. Ticks
// that end together may be half a tick shorter or longer than one, until they do.
func (r *Room) nextSealLocked() int64 {
	if r.hub.phase.Load() == phaseOff {
		return r.sealed + r.tick.Load()
	}
	return r.boundary(r.sealed+r.tick.Load()-int64(r.hub.cfg().Tick)/2, 0)
}
