package wsproto

import (
	"encoding/binary"
	"fmt"
	"math"
)

// HeaderSize returns the size in bytes of the header of a frame we send with a
// payload of n bytes: 2, 4 or 10.
func HeaderSize(n int) int {
	switch {
	case n < length16:
		return 2
	case n <= math.MaxUint16:
		return 4
	}
	return 10
}

// HeaderSizeOf returns the size in bytes of the header that a whole frame of ours
// begins with.
func HeaderSizeOf(frame []byte) int {
	switch frame[1] {
	case length16:
		return 4
	case length64:
		return 10
	}
	return 2
}

// AppendHeader appends the header of a final, unmasked frame with a payload of
// n bytes: "A server MUST NOT mask any frames that it sends to the client",
// RFC 6455 section 5.1. It panics on a control frame of more than 125 bytes.
func AppendHeader(dst []byte, op Op, n int) []byte {
	if n < 0 || n > ControlMax && op.Control() {
		panic(fmt.Sprintf("wsproto: %v frame of %d bytes", op, n))
	}
	switch HeaderSize(n) {
	case 2:
		return append(dst, finBit|byte(op), byte(n))
	case 4:
		return binary.BigEndian.AppendUint16(append(dst, finBit|byte(op), length16), uint16(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, finBit|byte(op), length64), uint64(n))
}

// AppendFrame appends a whole unmasked frame. payload is copied.
func AppendFrame(dst []byte, op Op, payload []byte) []byte {
	return append(AppendHeader(dst, op, len(payload)), payload...)
}

// FrameInPlace makes a frame of a payload without copying it. The payload is
// buf[start:]; the header is written into the bytes just before it, of which
// there must be HeaderSize of its length (HeaderMax is always enough), or it
// panics. The returned frame is a view into buf and ends where buf does.
func FrameInPlace(buf []byte, start int, op Op) []byte {
	n := len(buf) - start
	at := start - HeaderSize(n)
	if at < 0 {
		panic(fmt.Sprintf("wsproto: %d bytes before a payload of %d", start, n))
	}
	AppendHeader(buf[at:at:start], op, n)
	return buf[at:]
}
