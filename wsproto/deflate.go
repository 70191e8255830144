package wsproto

import (
	"fmt"
	"slices"

	"github.com/klauspost/compress/flate"
)

// rsv1Bit marks a compressed message, RFC 7692 section 6.
const rsv1Bit = 0x40

// flushTail is how many bytes a flush ends with that the peer adds itself:
// 00 00 ff ff, RFC 7692 section 7.2.1.
const flushTail = 4

// A Deflater compresses single messages: none refers to an earlier one, so the
// same bytes are good for every peer with a window of its size. It holds up to
// a megabyte, so there should be few. One goroutine at a time.
type Deflater struct {
	flate *flate.Writer
	out   frameBuffer
}

// frameBuffer is what the library writes to; it can not fail.
type frameBuffer struct{ p []byte }

func (b *frameBuffer) Write(p []byte) (int, error) {
	b.p = append(b.p, p...)
	return len(p), nil
}

// NewDeflater makes a Deflater of a level from 1, the fastest, to 9. windowBits
// is what the peer's inflater holds, 8 to 15 as negotiated; the level counts
// only with the full window of 15. Other values panic.
func NewDeflater(level, windowBits int) *Deflater {
	if level < 1 || level > 9 || windowBits < windowBitsMin || windowBits > windowBitsMax {
		panic(fmt.Sprintf("wsproto: deflater of level %d with %d window bits", level, windowBits))
	}
	d := new(Deflater)
	var err error
	if windowBits == windowBitsMax {
		d.flate, err = flate.NewWriter(&d.out, level)
	} else {
		d.flate, err = flate.NewWriterWindow(&d.out, 1<<windowBits)
	}
	if err != nil {
		panic("wsproto: " + err.Error()) // for values out of range alone
	}
	return d
}

// AppendFrame appends one whole frame of op with its payload deflated and RSV1
// set, RFC 7692 sections 6 and 7.2.1. The frame may be longer than the plain one
// would be. payload is not changed. It panics on a control frame: "control
// frames [...] MUST NOT" be compressed, section 6.1.
func (d *Deflater) AppendFrame(dst []byte, op Op, payload []byte) []byte {
	if op.Control() {
		panic(fmt.Sprintf("wsproto: %v frame compressed", op))
	}
	// The header goes in front, and its size is known afterwards: space is left
	// for that of the plain frame, which is nearly always the right one.
	begin := len(dst)
	var space [HeaderMax]byte
	d.out.p = append(dst, space[:HeaderSize(len(payload))]...)
	start := len(d.out.p)
	d.flate.Reset(&d.out)
	_, err := d.flate.Write(payload)
	if err == nil {
		err = d.flate.Flush()
	}
	if err != nil {
		panic("wsproto: " + err.Error()) // frameBuffer has none
	}
	dst, d.out.p = d.out.p[:len(d.out.p)-flushTail], nil
	n := len(dst) - start
	if payloadAt := begin + HeaderSize(n); payloadAt != start {
		dst = slices.Grow(dst, HeaderMax)
		copy(dst[payloadAt:payloadAt+n], dst[start:start+n])
		dst = dst[:payloadAt+n]
	}
	AppendHeader(dst[:begin], op, n)
	dst[begin] |= rsv1Bit
	return dst
}
