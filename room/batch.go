package room

import (
	"math/bits"
	"strconv"
	"sync/atomic"

	"github.com/danmakud/danmakud/wsproto"
)

// Encoding is one way to put a batch on the wire. Each is made once per tick and
// shared by all members that asked for it.
type Encoding uint8

// Encodings.
const (
	EncodingJSON        Encoding = iota // subprotocol danmaku.v1.json, plain text frame
	EncodingJSONDeflate                 // the same text, by permessage-deflate
	EncodingForeign                     // the first of those that Config.Encoders makes
	Encodings           = EncodingForeign + encodersMax
)

// Foreign reports whether e is one of Config.Encoders: its members understand what
// the encoder makes, and nothing else.
func (e Encoding) Foreign() bool { return e >= EncodingForeign }

// Batch is everything said in one room in one tick: sealed, framed, immutable
// and shared read-only by all loops. The garbage collector frees it.
type Batch struct {
	Room     *Room
	Seq      uint64    // one more than the room's batch before
	Wall     int64     // when it was sealed, Unix milliseconds
	Comments int       // comments in it
	Total    uint64    // comments of the room up to and including this batch
	Merged   int       // comments that went into the counts of those in it
	Sampled  int       // comments left out of it, those refused because the tick was full included
	Likes    uint64    // of the room, up to and including this batch
	Settings *Settings // of the room, where they are others than before; nil = they are not
	Lag      int64     // nanoseconds between due and sealed

	frames  [Encodings][]byte // nil: not made, the plain one serves
	spooled *spooled          // large frames in the hub's spool; nil = none
	header  int               // bytes of the plain frame's header
	head    int               // bytes of the plain frame before the comments
	wanted  [Encodings]uint32 // members by encoding when it was sealed
	bytes   int               // memory it holds
	shards  shardSet          // loops that had members when it was sealed

	// late is the batch for who resumes with an encoding that nobody wanted when it was
	// sealed, see Room.late. Atomic; any goroutine.
	late atomic.Pointer[Batch]
}

// Frame returns the whole WebSocket frame in encoding e, or the plain one where
// that was not made: a message may always go uncompressed, RFC 7692 section 6.
// A foreign encoding has a stand-in only where it compresses another one, and its frame
// is empty where it has nothing to say. Read only; after Encode.
func (b *Batch) Frame(e Encoding) []byte { return b.frames[b.made(e)] }

// Payload returns the batch as the JSON message that it is. Any goroutine; read
// only, it lives as long as it is referenced.
func (b *Batch) Payload() []byte { return b.frames[EncodingJSON][b.header:] }

// CommentsJSON returns the batch's comments as JSON objects separated by commas,
// nil if there are none. Any goroutine; read only, it lives as long as it is referenced.
func (b *Batch) CommentsJSON() []byte {
	if b.Comments == 0 {
		return nil
	}
	plain := b.frames[EncodingJSON]
	end := len(plain) - suffixRoom
	return plain[b.head:end:end]
}

// made is e, or the plain encoding where e was not made.
func (b *Batch) made(e Encoding) Encoding {
	if b.frames[e] == nil {
		return b.Room.hub.plain(e)
	}
	return e
}

// Encode makes the encodings besides the plain one that members want, each once,
// and puts large frames where they are sent from. Whoever sealed the batch calls
// it, with no lock held and before anybody else has the batch: compressing takes
// longer than all the rest.
func (b *Batch) Encode() {
	if b.wanted[EncodingJSONDeflate] > 0 {
		b.Room.hub.deflate(b, EncodingJSONDeflate, EncodingJSON)
	}
	for i := range b.Room.hub.cfg().Encoders {
		if e := EncodingForeign + Encoding(i); b.wanted[e] > 0 {
			b.Room.hub.encode(b, e)
		}
	}
	b.spool()
}

// Wanted reports whether loop shard had members of the room at the seal.
func (b *Batch) Wanted(shard int) bool { return b.shards.has(shard) }

// write sends the frame from byte off on to slot, in one system call, and
// returns how many bytes of it are then sent. held says that the caller's loop has
// not let go of the batch yet. It is the only place that knows how a batch's bytes
// reach a socket.
func (b *Batch) write(w Writer, slot uint32, e Encoding, off int, held bool) (int, error) {
	e = b.made(e)
	rest := b.frames[e][off:]
	if held && b.spooled != nil {
		if r := b.spooled.regions[e]; r != nil {
			n, err := w.WriteRegion(slot, r, rest)
			return off + n, err
		}
	}
	n, err := w.Write(slot, rest)
	return off + n, err
}

// size is the length of the frame in encoding e.
func (b *Batch) size(e Encoding) int { return len(b.Frame(e)) }

// sealHead is what a batch says besides its comments.
type sealHead struct {
	room           string
	seq            uint64
	wall           int64
	online         int // -1 = unchanged, left out
	likes, sampled uint64
	settings       *Settings // nil = unchanged, left out
}

// appendPrefix appends what a batch begins with.
func appendPrefix(p []byte, h *sealHead) []byte {
	p = append(p, `{"type":"batch","room":"`...)
	p = append(p, h.room...) // a room name needs no escaping
	p = append(p, `","seq":`...)
	p = strconv.AppendUint(p, h.seq, 10)
	p = append(p, `,"ts":`...)
	p = strconv.AppendInt(p, h.wall, 10)
	if h.online >= 0 {
		p = append(p, `,"online":`...)
		p = strconv.AppendInt(p, int64(h.online), 10)
	}
	if h.likes > 0 {
		p = append(p, `,"likes":`...)
		p = strconv.AppendUint(p, h.likes, 10)
	}
	if h.sampled > 0 {
		p = append(p, `,"sampled":`...)
		p = strconv.AppendUint(p, h.sampled, 10)
	}
	if h.settings != nil {
		p = appendSettings(append(p, ','), h.settings)
	}
	return append(p, `,"comments":[`...)
}

// frame turns pending (comments from prefixRoom on, separated by commas) into the
// plain frame inside the same memory: the JSON prefix is written right before the
// comments and the frame header right before that.
func (b *Batch) frame(pending []byte, h *sealHead) {
	var scratch [prefixRoom]byte
	p := appendPrefix(scratch[:0], h)
	start := prefixRoom - len(p)
	copy(pending[start:], p)
	pending = append(pending, ']', '}')
	frame := wsproto.FrameInPlace(pending, start, wsproto.OpText)
	b.frames[EncodingJSON] = frame
	b.header = len(frame) - (len(pending) - start)
	b.head = b.header + len(p)
	b.bytes = cap(pending)
}

// shardSet is a set of loop indexes.
type shardSet [MaxShards / 64]uint64

func (s *shardSet) add(i int)    { s[i>>6] |= 1 << (i & 63) }
func (s *shardSet) remove(i int) { s[i>>6] &^= 1 << (i & 63) }
func (s *shardSet) count() (n int) {
	for _, word := range s {
		n += bits.OnesCount64(word)
	}
	return n
}
func (s *shardSet) has(i int) bool { return s[i>>6]&(1<<(i&63)) != 0 }
