package packet

import (
	"bytes"
	"fmt"

	"github.com/klauspost/compress/zlib"
	"github.com/valyala/fastjson"
)

// An Encoder makes the packets of batches. It keeps its memory for the next one. One
// goroutine at a time.
type Encoder struct {
	parser fastjson.Parser // of the batch's message
	each   fastjson.Parser // of one comment
	extra  []byte          // JSON that goes into a string
	plain  []byte
	zipped bytes.Buffer
	zlib   *zlib.Writer
	level  int
}

// AppendBilibili appends a batch as events of the Bilibili dialect, each a packet of
// its own. Nothing is appended for a batch that has nothing such clients know.
func (e *Encoder) AppendBilibili(dst []byte, b *Batch) []byte {
	v := e.parse(b)
	h := readHead(v)
	for _, c := range v.GetArray("comments") {
		c := readComment(c)
		dst = e.appendEvents(dst, &c)
	}
	return appendCounts(dst, &h, b)
}

// AppendBilibiliZlib appends plain, which is what AppendBilibili makes, as one packet
// that has the others compressed. level is 1 to 9.
func (e *Encoder) AppendBilibiliZlib(dst, plain []byte, level int) []byte {
	if len(plain) == 0 {
		return dst
	}
	if e.zlib == nil || e.level != level {
		w, err := zlib.NewWriterLevel(&e.zipped, level)
		if err != nil {
			panic("packet: " + err.Error()) // for levels out of range alone
		}
		e.zlib, e.level = w, level
	}
	e.zipped.Reset()
	e.zlib.Reset(&e.zipped)
	_, err := e.zlib.Write(plain)
	if err == nil {
		err = e.zlib.Close()
	}
	if err != nil {
		panic("packet: " + err.Error()) // a buffer has none
	}
	return Append(dst, Packet{Version: VersionZlib, Op: OpMessage, Body: e.zipped.Bytes()})
}

// Plain returns what AppendBilibili makes, in memory that is good until the next call.
func (e *Encoder) Plain(b *Batch) []byte {
	e.plain = e.AppendBilibili(e.plain[:0], b)
	return e.plain
}

// GoimOuter is how many bytes at the start of what AppendGoim appends are for clients
// on a WebSocket alone: the header of the packet around the others.
const GoimOuter = HeaderSize

// AppendGoim appends a batch in the goim dialect: one packet around one for each
// comment. Nothing is appended for a batch that says nothing.
func (e *Encoder) AppendGoim(dst []byte, b *Batch) []byte {
	start := len(dst)
	dst, _ = open(dst, VersionControl, OpRaw)
	inside := len(dst)
	eachObject(b.Comments, func(object []byte) { dst = e.appendGoimComment(dst, object) })
	h := readHead(e.parse(b))
	dst = appendGoimCounts(dst, &h)
	if len(dst) == inside {
		return dst[:start]
	}
	return closePacket(dst, start)
}

// parse reads the message, which the server has written itself.
func (e *Encoder) parse(b *Batch) *fastjson.Value {
	v, err := e.parser.ParseBytes(b.Message)
	if err != nil {
		panic(fmt.Sprintf("packet: a batch that is no JSON: %v", err))
	}
	return v
}
