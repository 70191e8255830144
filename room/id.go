package room

import (
	"strings"
	"time"
)

// A comment's id sorts by age. On a node by itself it is a number of 48 bits: 2^8
// for every millisecond since 2026, counted on from where the process began. Where
// nodes share rooms the clock has its say at each comment, so that ids sort by age
// over all of them, and 16 more bits name the node:
//
//	63            24       16              0
//	│ milliseconds │ number │ node's number │
//
// On the wire the one has 8 characters, the other 11.

// idEpoch is when ids begin, in Unix milliseconds.
var idEpoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()

const (
	idNumberBits = 8  // comments of one millisecond; more than that borrow from the next
	idNodeBits   = 16 // of an id that names its node
	idShortMax   = 1<<48 - 1
	idFirstMs    = 1 << 24 // with less an id that names its node could be taken for one that does not
	idShort      = 8
	idLong       = 11
)

// FirstID is where ids begin on a node that starts at t, so that they rise over
// restarts, however soon one follows, until the year 2060.
func FirstID(t time.Time) uint64 { return uint64(max(0, t.UnixMilli()-idEpoch)) << idNumberBits }

// IDNode returns the number of the node that made an id; 0 = a node by itself.
func IDNode(id uint64) uint16 {
	if id <= idShortMax {
		return 0
	}
	return uint16(id)
}

// IDTime returns when an id was made, in Unix milliseconds.
func IDTime(id uint64) int64 {
	if id > idShortMax {
		id >>= idNodeBits
	}
	return int64(id>>idNumberBits) + idEpoch
}

// SetNode gives the node a number, by which its ids differ from those of others that
// share its rooms; 0 = it is by itself. Any goroutine.
func (h *Hub) SetNode(number uint16) { h.node.Store(uint32(number)) }

// newID returns the next id.
func (h *Hub) newID(wall int64) uint64 {
	node := uint64(h.node.Load())
	if node == 0 {
		return h.nextID.Add(1)
	}
	clock := uint64(max(idFirstMs, wall-idEpoch)) << idNumberBits
	for {
		last := h.nextID.Load()
		if id := max(last+1, clock); h.nextID.CompareAndSwap(last, id) {
			return id<<idNodeBits | node
		}
	}
}

// idAlphabet is in ASCII order, so ids of equal length sort as the numbers do.
const idAlphabet = "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"

// AppendID appends a comment id as characters that sort by age.
func AppendID(dst []byte, id uint64) []byte {
	digits := idShort
	if id > idShortMax {
		digits = idLong
	}
	for shift := 6 * (digits - 1); shift >= 0; shift -= 6 {
		dst = append(dst, idAlphabet[id>>shift&63])
	}
	return dst
}

// ParseID is the number of an id as AppendID writes it.
func ParseID(s string) (id uint64, ok bool) {
	if len(s) != idShort && len(s) != idLong {
		return 0, false
	}
	for i := 0; i < len(s); i++ {
		digit := strings.IndexByte(idAlphabet, s[i])
		if digit < 0 || id>>58 != 0 {
			return 0, false
		}
		id = id<<6 | uint64(digit)
	}
	return id, (len(s) == idLong) == (id > idShortMax)
}
