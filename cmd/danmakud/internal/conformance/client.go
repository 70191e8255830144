package conformance

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// Operation codes and bits, RFC 6455 section 5.2.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA

	fin  = 0x80
	rsv1 = 0x40
	rsv2 = 0x20
	rsv3 = 0x10
)

// mask is asymmetric, so that one applied at a wrong offset shows.
var mask = [4]byte{0x37, 0xFA, 0x21, 0x3D}

// sent is a frame as a client sends it.
type sent struct {
	first   byte // FIN, RSV and opcode
	payload []byte
	bare    bool    // not masked
	key     [4]byte // zero: the usual mask
	zeroKey bool    // mask of zeros
	extra   int     // bytes of extended length, 0 = as few as possible; -1 = none
}

// appendTo writes the frame with what its fields say, legal or not.
func (s sent) appendTo(p []byte) []byte {
	n, masked := len(s.payload), byte(0x80)
	if s.bare {
		masked = 0
	}
	extra := s.extra
	if extra == 0 && n > 125 {
		extra = 2
		if n > 0xFFFF {
			extra = 8
		}
	}
	switch extra {
	case 2:
		p = append(p, s.first, masked|126, byte(n>>8), byte(n))
	case 8:
		p = binary.BigEndian.AppendUint64(append(p, s.first, masked|127), uint64(n))
	default:
		p = append(p, s.first, masked|byte(n))
	}
	if s.bare {
		return append(p, s.payload...)
	}
	key := s.key
	if key == [4]byte{} && !s.zeroKey {
		key = mask
	}
	p = append(p, key[:]...)
	at := len(p)
	p = append(p, s.payload...)
	for i := range p[at:] {
		p[at+i] ^= key[i%4]
	}
	return p
}

// bytesOf joins frames.
func bytesOf(frames ...sent) (p []byte) {
	for _, f := range frames {
		p = f.appendTo(p)
	}
	return p
}

// Frames that are sent often.

func textFrame(s string) sent   { return sent{first: fin | opText, payload: []byte(s)} }
func binaryFrame(p []byte) sent { return sent{first: fin | opBinary, payload: p} }
func textStart(s string) sent   { return sent{first: opText, payload: []byte(s)} }
func next(s string) sent        { return sent{first: opContinuation, payload: []byte(s)} }
func last(s string) sent        { return sent{first: fin | opContinuation, payload: []byte(s)} }
func ping(s string) sent        { return sent{first: fin | opPing, payload: []byte(s)} }
func pong(s string) sent        { return sent{first: fin | opPong, payload: []byte(s)} }
func closeFrame(code int, reason string) sent {
	return sent{first: fin | opClose, payload: append(codeBytes(code), reason...)}
}
func closeBody(s string) sent { return sent{first: fin | opClose, payload: []byte(s)} }

func codeBytes(code int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(code)) }

// Frames that are wanted often.

func gotText(s string) Frame   { return Frame{Op: opText, Payload: []byte(s)} }
func gotBinary(p []byte) Frame { return Frame{Op: opBinary, Payload: p} }
func gotPong(s string) Frame   { return Frame{Op: opPong, Payload: []byte(s)} }
func gotClose(code int) Frame  { return Frame{Op: opClose, Payload: codeBytes(code)} }

var gotEmptyClose = Frame{Op: opClose}

// once is a conversation of one step.
func once(frames []sent, want ...Frame) []Step {
	return []Step{{Send: bytesOf(frames...), Want: want}}
}

// does is a case of one step.
func does(name string, frames []sent, want ...Frame) Case {
	return Case{Name: name, Steps: once(frames, want...)}
}

// filled is n bytes of readable text that is not periodic in 2^k.
func filled(n int) []byte {
	return bytes.Repeat([]byte("0123456789abcdefghijklmnopqrstuvwxyz+"), n/37+1)[:n]
}

const sampleKey = "dGhlIHNhbXBsZSBub25jZQ==" // RFC 6455 section 1.3

// usual has the fields of the smallest legal handshake.
var usual = []string{
	"Host: conformance.example",
	"Upgrade: websocket",
	"Connection: Upgrade",
	"Sec-WebSocket-Key: " + sampleKey,
	"Sec-WebSocket-Version: 13",
}

// head writes a request of a line and fields.
func head(line string, fields ...string) string {
	return line + "\r\n" + strings.Join(fields, "\r\n") + "\r\n\r\n"
}

// with is usual with changes: a field replaces the one of its name, "-Name" drops
// one, "+Name: value" adds one at the end.
func with(changes ...string) []string {
	fields := append([]string(nil), usual...)
	for _, change := range changes {
		name, _, _ := strings.Cut(strings.TrimLeft(change, "+-"), ":")
		kept := fields[:0:0]
		replaced := false
		for _, f := range fields {
			if change[0] != '+' && strings.HasPrefix(f, name+":") {
				if change[0] != '-' {
					kept = append(kept, change)
				}
				replaced = true
				continue
			}
			kept = append(kept, f)
		}
		if !replaced && change[0] != '-' {
			kept = append(kept, strings.TrimPrefix(change, "+"))
		}
		fields = kept
	}
	return fields
}

const line = "GET {path} HTTP/1.1"

// request returns the bytes of the opening handshake, and of what follows in the
// same write.
func (c *Case) request(path string) []byte {
	h := c.Head
	if h == "" {
		var offers []string
		if c.Offer != "" {
			for _, o := range strings.Split(c.Offer, "\n") {
				offers = append(offers, "+Sec-WebSocket-Extensions: "+o)
			}
		}
		h = head(line, with(offers...)...)
	}
	return []byte(strings.ReplaceAll(h, "{path}", path))
}
