package wsproto

import "strconv"

// Op is the operation code of a frame, RFC 6455 section 5.2.
type Op byte

const (
	OpContinuation Op = 0x0
	OpText         Op = 0x1
	OpBinary       Op = 0x2
	OpClose        Op = 0x8
	OpPing         Op = 0x9
	OpPong         Op = 0xA
)

// Control reports whether op is a control operation: "Control frames are
// identified by opcodes where the most significant bit of the opcode is 1",
// RFC 6455 section 5.5.
func (op Op) Control() bool { return op&0x8 != 0 }

// known reports whether op has a meaning; 0x3-0x7 and 0xB-0xF are reserved.
func (op Op) known() bool { return op <= OpBinary || op >= OpClose && op <= OpPong }

func (op Op) String() string {
	switch op {
	case OpContinuation:
		return "continuation"
	case OpText:
		return "text"
	case OpBinary:
		return "binary"
	case OpClose:
		return "close"
	case OpPing:
		return "ping"
	case OpPong:
		return "pong"
	}
	return "op(" + strconv.Itoa(int(op)) + ")"
}

// Sizes fixed by RFC 6455, in bytes.
const (
	HeaderMax     = 10  // longest header of a frame we send (no mask), section 5.2
	ControlMax    = 125 // longest payload of a control frame, section 5.5
	maskBit       = 0x80
	finBit        = 0x80
	rsvBits       = 0x70
	length16      = 126 // in the 7-bit length: 2 bytes of length follow
	length64      = 127 // in the 7-bit length: 8 bytes of length follow
	maskSize      = 4
	headerMinSize = 2
)

// Frame is one decoded frame from a viewer.
type Frame struct {
	Op  Op
	Fin bool // last fragment of its message; always true for control frames

	// Compressed says that the message that begins with this frame is deflated:
	// RSV1 was set, RFC 7692 section 6. Only on the first frame of a message.
	Compressed bool

	// Payload is unmasked. It is a view into the bytes given to Decode and
	// lives exactly as long as they do; its capacity ends with it, so that an
	// append can not run into the next frame.
	Payload []byte
}
