package poller

// A column holds what a loop knows of one connection: 24 bytes without a
// pointer, so that the garbage collector never looks at a million of them.
type column struct {
	fd         int32
	generation uint32 // raised by reap; a token or handle with another one is stale
	lastRead   uint32 // seconds of the loop's clock
	lastWrite  uint32
	next       Slot // next slot of the list this one is in: free or dead
	state      state
	flags      flags
	armed      interest // what the kernel was last told
}

// What stands in fd when reap has nothing to close.
const (
	noFD    = -1 // given away, or never this slot's
	movedFD = -2 // given to another loop, and with it the place in the census
)

// A slot goes round:
//
//	free ──adopt──► open ──Close──► dead ──reap──► free, next generation
type state uint8

const (
	free state = iota
	open
	dead
)

type flags uint8

const (
	flagPaused    flags = 1 << iota // PauseRead is on
	flagWantWrite                   // WantWrite is on
	flagEnded                       // end of file was read, or will never be: nothing more is
)

// wanted returns the interest the kernel should have.
func (c *column) wanted() (i interest) {
	if c.flags&(flagPaused|flagEnded) == 0 {
		i |= wantRead
	}
	if c.flags&flagWantWrite != 0 {
		i |= wantWrite
	}
	return i
}

// columns are all slots of a loop, in chunks that never move: a *column stays
// good whatever is adopted meanwhile. Owned by the loop goroutine.
type columns struct {
	chunks []*[chunkSlots]column
	made   Slot // slots that have ever been open
	high   Slot // no slot from here on is open; lowered by trim
	free   Slot // list of free slots, last freed first, so hot ones stay hot
	dead   Slot // list of slots that wait for reap
	opened int  // slots now open or dead, each holding an fd (unless detached)
}

func newColumns() columns { return columns{free: noSlot, dead: noSlot} }

func (cs *columns) at(s Slot) *column {
	return &cs.chunks[s/chunkSlots][s%chunkSlots]
}

// find returns the open column t is about, nil if t is stale.
func (cs *columns) find(t token) *column {
	if t.slot >= cs.made {
		return nil
	}
	c := cs.at(t.slot)
	if c.state != open || c.generation != t.generation {
		return nil
	}
	return c
}

// take makes a slot open. It reports false when all slots a Handle can name
// are in use.
func (cs *columns) take(fd int) (Slot, *column, bool) {
	s := cs.free
	switch {
	case s != noSlot:
		cs.free = cs.at(s).next
	case cs.made < maxSlots:
		if cs.made%chunkSlots == 0 {
			cs.chunks = append(cs.chunks, new([chunkSlots]column))
		}
		s = cs.made
		cs.made++
		cs.at(s).generation = 1
	default:
		return noSlot, nil, false
	}
	c := cs.at(s)
	*c = column{fd: int32(fd), generation: c.generation, next: noSlot, state: open}
	cs.high = max(cs.high, s+1)
	cs.opened++
	return s, c, true
}

// kill moves an open slot to the dead list.
func (cs *columns) kill(s Slot) {
	c := cs.at(s)
	c.state, c.next, cs.dead = dead, cs.dead, s
}

// release takes a slot from the dead list, frees it under the next generation
// and returns the fd it held, noFD or movedFD. It reports false when no slot is dead.
func (cs *columns) release() (fd int, ok bool) {
	s := cs.dead
	if s == noSlot {
		return noFD, false
	}
	c := cs.at(s)
	cs.dead = c.next
	c.generation++
	if c.generation == 0 { // zero is no generation
		c.generation = 1
	}
	c.state, c.next, cs.free = free, cs.free, s
	cs.opened--
	return int(c.fd), true
}

// trim lowers high to just above the highest open slot.
func (cs *columns) trim() {
	for cs.high > 0 && cs.at(cs.high-1).state == free {
		cs.high--
	}
}
