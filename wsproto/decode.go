package wsproto

import (
	"encoding/binary"
	"math"

	"github.com/gobwas/ws"
)

// header is what the first bytes of a frame say.
type header struct {
	op         Op
	fin        bool
	compressed bool   // RSV1 where it may be
	length     uint64 // of the payload; below 2^63
	size       int    // bytes of the header itself, with its mask
}

// Decode takes the first frame off p. It returns the frame and how many bytes
// it took. With n = 0 and no error the frame is not complete: call again with
// the same bytes and more behind them.
//
// The payload is unmasked in place, so bytes once taken must not be decoded
// again; bytes not yet taken are never changed. f.Payload is a view into p.
//
// The header is judged as soon as the bytes that condemn it are there, without
// waiting for a payload, and nothing is allocated. limit is the largest payload
// of a data frame in bytes, as it is on the wire when it is compressed; control
// frames have their own of 125. deflate says that permessage-deflate was
// negotiated: without it, and on any frame that does not begin a message, RSV1
// is a violation like the other reserved bits. An error is always a *Violation,
// n is then 0 and the connection is to be failed. RFC 6455 section 5.2, RFC 7692
// section 6.
func Decode(p []byte, limit int, deflate bool) (f Frame, n int, err error) {
	h, ok, v := parseHeader(p, deflate)
	if v != nil {
		return Frame{}, 0, v
	}
	if !ok {
		return Frame{}, 0, nil
	}
	// Compared before any arithmetic: length may be anything below 2^63.
	if !h.op.Control() && h.length > uint64(max(limit, 0)) {
		return Frame{}, 0, ErrFrameBig
	}
	if len(p) < h.size || uint64(len(p)-h.size) < h.length {
		return Frame{}, 0, nil
	}
	end := h.size + int(h.length)
	payload := p[h.size:end:end]
	ws.Cipher(payload, [4]byte(p[h.size-maskSize:h.size]), 0)
	return Frame{Op: h.op, Fin: h.fin, Compressed: h.compressed, Payload: payload}, end, nil
}

// parseHeader judges what is there of a header; the mask itself may be missing
// still. ok is false while the length is not complete.
func parseHeader(p []byte, deflate bool) (h header, ok bool, v *Violation) {
	if len(p) < headerMinSize {
		return h, false, nil
	}
	h.op = Op(p[0] & 0x0F)
	h.fin = p[0]&finBit != 0
	short := uint64(p[1] &^ maskBit)
	reserved := p[0] & rsvBits
	if deflate && (h.op == OpText || h.op == OpBinary) {
		h.compressed = reserved&rsv1Bit != 0
		reserved &^= rsv1Bit
	}
	switch {
	case reserved != 0:
		return h, false, ErrReservedBits
	case !h.op.known():
		return h, false, ErrOpcode
	case h.op.Control() && !h.fin:
		return h, false, ErrControlFragmented
	case h.op.Control() && short > ControlMax:
		return h, false, ErrControlLong
	case p[1]&maskBit == 0:
		return h, false, ErrUnmasked
	}
	h.size = headerSize(p[1])
	if len(p) < h.size-maskSize {
		return h, false, nil
	}
	switch short {
	case length16:
		h.length = uint64(binary.BigEndian.Uint16(p[2:]))
		if h.length < length16 {
			return h, false, ErrLengthNotMinimal
		}
	case length64:
		h.length = binary.BigEndian.Uint64(p[2:])
		if h.length > math.MaxInt64 {
			return h, false, ErrLengthTopBit
		}
		if h.length <= math.MaxUint16 {
			return h, false, ErrLengthNotMinimal
		}
	default:
		h.length = short
	}
	return h, true, nil
}

// headerSize is the size of a masked header whose second byte is b.
func headerSize(b byte) int {
	switch b &^ maskBit {
	case length16:
		return headerMinSize + 2 + maskSize
	case length64:
		return headerMinSize + 8 + maskSize
	}
	return headerMinSize + maskSize
}

// Need returns how many bytes, from the start of p, must be there before
// Decode can say more: the whole frame when p holds its length, else the bytes
// that end with the length, since those alone may condemn the frame. It is meant
// for not decoding again until there is something new, and for sizing the buffer
// that carries a frame cut short. After Decode returned n = 0 and no error, and
// only then, the result is bounded by Decode's limit plus the header.
func Need(p []byte) int {
	if len(p) < headerMinSize {
		return headerMinSize
	}
	h, ok, _ := parseHeader(p, true) // Decode has judged what it needs judging
	if !ok {
		return headerSize(p[1]) - maskSize
	}
	if h.length > uint64(math.MaxInt-h.size) {
		return math.MaxInt
	}
	return h.size + int(h.length)
}
