package poller

// A Slot is the index of a connection in its loop's columns, 24 bits. It means
// something only on that loop's goroutine and only from Opened to Closed.
type Slot uint32

// noSlot is no slot: the end of a list, or no connection.
const noSlot = ^Slot(0)

// A Handle names a connection outside its loop. It is safe to keep: when the
// connection is gone, Resolve says so, even if the slot has a new owner.
//
//	63      56 55                    32 31                           0
//	┌─────────┬────────────────────────┬─────────────────────────────┐
//	│ loop  8 │ slot                24 │ generation               32 │
//	└─────────┴────────────────────────┴─────────────────────────────┘
//
// Generations start at 1, so the zero Handle names nothing.
type Handle uint64

func makeHandle(loop int, s Slot, generation uint32) Handle {
	return Handle(loop)<<56 | Handle(s)<<32 | Handle(generation)
}

// Loop returns the index of the loop that owns the connection.
func (h Handle) Loop() int { return int(h >> 56) }

// Slot returns the slot. Use [Loop.Resolve] to learn whether it is still meant.
func (h Handle) Slot() Slot { return Slot(h>>32) & (maxSlots - 1) }

// Generation returns the generation of the slot that the handle is about.
func (h Handle) Generation() uint32 { return uint32(h) }
