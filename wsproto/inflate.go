package wsproto

import (
	"bytes"
	"errors"
	"io"
	"unicode/utf8"

	"github.com/klauspost/compress/flate"
)

// inflateKeep is how much memory an Inflater keeps from one message to the next,
// in bytes, for what came in and for what went out: a large message does not
// leave its size behind.
const inflateKeep = 64 << 10

// inflateTail stands behind every compressed message: the four bytes that its
// sender cut off, RFC 7692 section 7.2.2, and an empty final block, which tells
// the end of a message from a message that was cut.
var inflateTail = []byte{0x00, 0x00, 0xFF, 0xFF, 0x01, 0x00, 0x00, 0xFF, 0xFF}

// finalBlocksMax is how many final blocks a message may have. Each makes the
// library begin anew, which costs as much as a whole message of two bytes; senders
// have one at most, or one for each piece that they flush in that way.
const finalBlocksMax = 64

// An Inflater makes plain messages of compressed ones. Each message stands
// alone: the answer to the offer said client_no_context_takeover. One goroutine
// at a time; one serves any number of connections, so idle ones hold nothing.
type Inflater struct {
	flate io.ReadCloser // nil until the first compressed message; about 40 KiB
	in    []byte        // the payload with its tail
	src   bytes.Reader  // over in
	out   []byte        // the message inflated last
	one   [1]byte       // what would be beyond the limit
}

// NewInflater makes an Inflater. It holds no memory before its first message.
func NewInflater() *Inflater { return &Inflater{} }

// Message returns the bytes of a message. A plain one is returned as it is. A
// compressed one is inflated to at most limit bytes, and nothing larger than
// limit is ever allocated for it; text is checked. The result then belongs to i
// and is good until the next call.
//
// The error is ErrMessageBig, ErrText or ErrDeflate.
func (i *Inflater) Message(m Message, limit int) ([]byte, error) {
	if !m.Compressed {
		return m.Data, nil
	}
	limit = max(limit, 0)
	if cap(i.in) > inflateKeep {
		i.in = nil
	}
	if cap(i.out) > inflateKeep {
		i.out = nil
	}
	i.in = append(append(i.in[:0], m.Data...), inflateTail...)
	i.src.Reset(i.in)
	i.out = i.out[:0]
	if err := i.inflate(limit); err != nil {
		return nil, err
	}
	if m.Op == OpText && !utf8.Valid(i.out) {
		return nil, ErrText
	}
	return i.out, nil
}

// inflate reads i.src to its end. "An endpoint MAY use both DEFLATE blocks with
// the BFINAL bit set to 0 and DEFLATE blocks with the BFINAL bit set to 1", RFC
// 7692 section 7.2.1: a final block ends what later blocks may refer to, but not
// the message. So whatever follows one must again be blocks; other bytes behind
// it are an error, and so are more than finalBlocksMax.
//
// Two things that senders do are taken as they are meant, though section 7.2.3
// has a zero byte in both: a message that ends right behind a final block, and
// an empty payload for an empty message. Nothing can be misread in them.
func (i *Inflater) inflate(limit int) error {
	finals := 0
	for i.src.Len() > 0 && i.src.Len() != len(inflateTail) {
		i.reset()
		if err := i.blocks(limit); err != nil {
			return err
		}
		if i.src.Len() == 0 {
			break // that was the tail's
		}
		if finals++; finals > finalBlocksMax {
			return ErrDeflate
		}
	}
	return nil
}

// reset lets the library begin a stream where i.src stands.
func (i *Inflater) reset() {
	if i.flate == nil {
		i.flate = flate.NewReader(&i.src)
		return
	}
	// The error is that of a preset dictionary; there is none.
	_ = i.flate.(flate.Resetter).Reset(&i.src, nil)
}

// blocks inflates up to and including the next final block. The library takes
// no byte behind it, since i.src gives it single bytes.
func (i *Inflater) blocks(limit int) error {
	for {
		if len(i.out) == limit {
			return i.endsHere()
		}
		if len(i.out) == cap(i.out) {
			i.grow(limit)
		}
		room := i.out[len(i.out):min(cap(i.out), limit)]
		n, err := i.flate.Read(room)
		i.out = i.out[:len(i.out)+n]
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return ErrDeflate
		}
	}
}

// endsHere looks for the end of a stream that has reached the limit exactly.
func (i *Inflater) endsHere() error {
	for {
		n, err := i.flate.Read(i.one[:])
		switch {
		case n > 0:
			return ErrMessageBig
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return ErrDeflate
		}
	}
}

// grow makes room for more, at most limit bytes in all. It begins with what
// most messages need and goes on by doubling.
func (i *Inflater) grow(limit int) {
	size := min(max(2*cap(i.out), 4*len(i.in), 512), limit)
	out := make([]byte, len(i.out), size)
	copy(out, i.out)
	i.out = out
}
