package main

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Packets as a Bilibili client sees them. Like the frames around them they are read
// by code that is not the server's.

const (
	packetHead = 16 // bytes of a header

	packetPlain   = 0 // versions: how the body is written
	packetControl = 1
	packetZlib    = 2

	packetBeat       = 2 // operations
	packetBeatAnswer = 3
	packetEvent      = 5
	packetAuth       = 7
	packetAuthAnswer = 8
)

// packetSeen is one packet; body is a view.
type packetSeen struct {
	version uint16
	op      uint32
	body    []byte
}

func appendPacket(dst []byte, version uint16, op uint32, body []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(packetHead+len(body)))
	dst = binary.BigEndian.AppendUint16(dst, packetHead)
	dst = binary.BigEndian.AppendUint16(dst, version)
	dst = binary.BigEndian.AppendUint32(dst, op)
	dst = binary.BigEndian.AppendUint32(dst, 1)
	return append(dst, body...)
}

// beatPacket is a heartbeat as bilibili-live-ws sends it.
var beatPacket = appendPacket(nil, packetControl, packetBeat, []byte("[object Object]"))

// authPacket is what a guest says first.
func authPacket(room string, protover int) []byte {
	body := fmt.Appendf(nil, `{"uid":0,"roomid":%s,"protover":%d,"platform":"web","type":2}`, room, protover)
	return appendPacket(nil, packetControl, packetAuth, body)
}

// eachPacket takes packets apart, which must fill p.
func eachPacket(p []byte, f func(k packetSeen) error) error {
	for len(p) > 0 {
		if len(p) < packetHead {
			return fmt.Errorf("%d bytes are no packet", len(p))
		}
		n := binary.BigEndian.Uint32(p)
		if n < packetHead || uint64(n) > uint64(len(p)) || binary.BigEndian.Uint16(p[4:]) != packetHead {
			return fmt.Errorf("header % x with %d bytes", p[:packetHead], len(p))
		}
		if err := f(packetSeen{binary.BigEndian.Uint16(p[6:]), binary.BigEndian.Uint32(p[8:]), p[packetHead:n]}); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// onePacket reads a message that is a single packet of that operation.
func onePacket(p []byte, op uint32) (body []byte, ok bool) {
	if len(p) < packetHead || binary.BigEndian.Uint32(p[8:]) != op || int(binary.BigEndian.Uint32(p)) != len(p) {
		return nil, false
	}
	return p[packetHead:], true
}

// unzipper inflates the body of one packet after the other. The zero value is ready.
type unzipper struct {
	in    bytes.Reader
	out   bytes.Buffer
	codec io.ReadCloser
}

var errUnzipTail = errors.New("bytes behind the end of the zlib data")

// plain inflates one body; the checksum is looked at, too. The slice is valid until
// the next call.
func (u *unzipper) plain(body []byte) ([]byte, error) {
	u.in.Reset(body)
	u.out.Reset()
	var err error
	if u.codec == nil {
		u.codec, err = zlib.NewReader(&u.in)
	} else {
		err = u.codec.(zlib.Resetter).Reset(&u.in, nil)
	}
	if err != nil {
		return nil, err
	}
	return readWhole(&u.out, u.codec, &u.in, errUnzipTail)
}

// eventSeen is one event, as far as the judge looks into it.
type eventSeen struct {
	Cmd  string            `json:"cmd"`
	Info []json.RawMessage `json:"info"`
}

// danmu is a comment as such clients read it out of its lists.
type danmu struct {
	text, name string
	uid, ts    int64
}

func (e *eventSeen) danmu() (d danmu, err error) {
	if len(e.Info) < 17 {
		return d, fmt.Errorf("a comment with %d places", len(e.Info))
	}
	var meta, user []json.RawMessage
	if err = errors.Join(json.Unmarshal(e.Info[0], &meta), json.Unmarshal(e.Info[1], &d.text), json.Unmarshal(e.Info[2], &user)); err != nil {
		return d, err
	}
	if len(meta) < 16 || len(user) < 8 {
		return d, fmt.Errorf("a comment with %d and %d places", len(meta), len(user))
	}
	err = errors.Join(json.Unmarshal(meta[4], &d.ts), json.Unmarshal(user[0], &d.uid), json.Unmarshal(user[1], &d.name))
	return d, err
}
