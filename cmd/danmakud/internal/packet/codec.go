// Package packet is the protocol with a 16-byte big-endian header that clients of
// Bilibili's live rooms and of goim speak, as functions on byte slices: no I/O,
// goroutine or clock. The two dialects differ in what the bodies say.
//
//	client ─ Decode ─► Packet ─► ReadAuth: which dialect, which room, who
//	room's batch ─► Encoder ─► packets of a whole tick, for all who speak the dialect
package packet

import "encoding/binary"

// HeaderSize is the bytes of a header: u32 length of the whole packet, u16 length of
// the header, u16 version, u32 operation, u32 sequence.
const HeaderSize = 16

// Versions: how a body is written.
const (
	VersionJSON    = 0 // plain
	VersionControl = 1 // likewise; auth, heartbeats and their answers, and all of goim
	VersionZlib    = 2 // RFC 1950, of packets one behind the other
	VersionBrotli  = 3 // asked for by clients, who are answered with zlib
)

// Operations, those of goim's table that mean something here.
const (
	OpHeartbeat        = 2
	OpHeartbeatReply   = 3
	OpMessage          = 5 // Bilibili: an event
	OpAuth             = 7
	OpAuthReply        = 8
	OpRaw              = 9 // goim: packets one behind the other
	OpChangeRoom       = 12
	OpChangeRoomReply  = 13
	OpSubscribe        = 14
	OpSubscribeReply   = 15
	OpUnsubscribe      = 16
	OpUnsubscribeReply = 17
	// OpBusiness is the first of those that sites give a meaning to.
	OpBusiness = 1000
)

// Packet is one packet. Body is a view into what was decoded.
type Packet struct {
	Version  uint16
	Op       uint32
	Sequence uint32
	Body     []byte
}

// A Problem is why bytes of a client are no packet: its connection is to be ended.
type Problem struct {
	Name string // for metrics
	Text string // for people
}

func (p *Problem) Error() string { return "packet: " + p.Text }

// Problems of Decode and ReadAuth.
var (
	ErrLength     = &Problem{"packet_length", "a packet is shorter than its header"}
	ErrBig        = &Problem{"packet_big", "a packet is too long"}
	ErrHeader     = &Problem{"packet_header", "a header has 16 bytes"}
	ErrCompressed = &Problem{"packet_compressed", "clients do not compress"}
	ErrVersion    = &Problem{"packet_version", "no such version of a body"}
	ErrCut        = &Problem{"packet_cut", "a message ends within a packet"}
	ErrAuth       = &Problem{"packet_auth", "auth names no room: roomid is a number, room_id a text"}
)

// Problems returns all there are, in the order of their counters.
func Problems() []*Problem {
	return []*Problem{ErrLength, ErrBig, ErrHeader, ErrCompressed, ErrVersion, ErrCut, ErrAuth}
}

// Decode takes the first packet off p, and returns it and how many bytes it took.
// With n = 0 and no error it is not complete: call again with the same bytes and
// more behind them. limit is the longest body. A header is judged as soon as the
// bytes that condemn it are there. Nothing is allocated; an error is a *Problem.
func Decode(p []byte, limit int) (k Packet, n int, err error) {
	if len(p) < 4 {
		return Packet{}, 0, nil
	}
	length := binary.BigEndian.Uint32(p)
	switch { // compared before any arithmetic: it may be anything
	case length < HeaderSize:
		return Packet{}, 0, ErrLength
	case length-HeaderSize > uint32(max(limit, 0)):
		return Packet{}, 0, ErrBig
	case len(p) < 6:
		return Packet{}, 0, nil
	case binary.BigEndian.Uint16(p[4:]) != HeaderSize:
		return Packet{}, 0, ErrHeader
	case len(p) < 8:
		return Packet{}, 0, nil
	}
	k.Version = binary.BigEndian.Uint16(p[6:])
	switch {
	case k.Version == VersionZlib, k.Version == VersionBrotli:
		return Packet{}, 0, ErrCompressed // which no bomb gets past
	case k.Version > VersionBrotli:
		return Packet{}, 0, ErrVersion
	case uint64(len(p)) < uint64(length):
		return Packet{}, 0, nil
	}
	k.Op, k.Sequence = binary.BigEndian.Uint32(p[8:]), binary.BigEndian.Uint32(p[12:])
	k.Body = p[HeaderSize:length:length]
	return k, int(length), nil
}

// Need returns how many bytes from the start of p must be there before Decode can
// say more, after it returned n = 0 and no error.
func Need(p []byte) int {
	switch {
	case len(p) < 4:
		return 4
	case len(p) < 8:
		return 8
	}
	return int(binary.BigEndian.Uint32(p))
}

// Append appends a packet.
func Append(dst []byte, k Packet) []byte {
	return append(appendHeader(dst, len(k.Body), k.Version, k.Op, k.Sequence), k.Body...)
}

func appendHeader(dst []byte, body int, version uint16, op, sequence uint32) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(HeaderSize+body))
	dst = binary.BigEndian.AppendUint16(dst, HeaderSize)
	dst = binary.BigEndian.AppendUint16(dst, version)
	dst = binary.BigEndian.AppendUint32(dst, op)
	return binary.BigEndian.AppendUint32(dst, sequence)
}

// open appends a header whose length close fills in when the body is behind it.
func open(dst []byte, version uint16, op uint32) (p []byte, start int) {
	return appendHeader(dst, 0, version, op, 0), len(dst)
}

func closePacket(p []byte, start int) []byte {
	binary.BigEndian.PutUint32(p[start:], uint32(len(p)-start))
	return p
}

// AppendHeartbeatReply appends the answer to heartbeat k: exactly 20 bytes, with how
// many are in the room.
func AppendHeartbeatReply(dst []byte, k Packet, d Dialect, online int) []byte {
	version, sequence := uint16(VersionControl), uint32(1)
	if d == Goim {
		version, sequence = k.Version, k.Sequence
	}
	dst = appendHeader(dst, 4, version, OpHeartbeatReply, sequence)
	return binary.BigEndian.AppendUint32(dst, uint32(min(max(online, 0), 1<<31-1)))
}

// Codes of an answer to auth in the Bilibili dialect.
const (
	AuthGood = 0
	AuthBad  = -101
)

// AppendAuthReply appends the answer to auth k. It has a body in both dialects: one
// client needs it, and goim's do not look.
func AppendAuthReply(dst []byte, k Packet, d Dialect, code int) []byte {
	reply := Packet{Version: VersionControl, Op: OpAuthReply, Sequence: 1, Body: []byte(`{"code":0}`)}
	if code != AuthGood {
		reply.Body = []byte(`{"code":-101}`)
	}
	if d == Goim {
		reply.Version, reply.Sequence = k.Version, k.Sequence
	}
	return Append(dst, reply)
}

// AppendEcho appends goim's answer to k: the operation given, its version, sequence
// and, if body is set, its body.
func AppendEcho(dst []byte, k Packet, op uint32, body bool) []byte {
	k.Op = op
	if !body {
		k.Body = nil
	}
	return Append(dst, k)
}
