package main

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// handshake holds what is the same for all viewers of a fleet: one key serves
// them all, so that the load does not hash for every connection.
type handshake struct {
	key, accept string
	host        string
	history     int
	strict      bool // the floor answers with a canned accept value
	packets     bool // asks for /sub
}

func newHandshake(p *plan) *handshake {
	var raw [16]byte
	put48(raw[:], p.Seed)
	raw[15] = byte(p.Fleet)
	h := &handshake{host: p.Addr, history: p.History, strict: p.Speaks == speaksDanmaku || p.Speaks == speaksPackets, packets: p.Speaks == speaksPackets}
	h.key = base64.StdEncoding.EncodeToString(raw[:])
	sum := sha1.Sum([]byte(h.key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	h.accept = base64.StdEncoding.EncodeToString(sum[:])
	return h
}

// request is the upgrade request for a room, with compression offered or not, and more
// of a query, which begins with "&".
func (h *handshake) request(room string, deflate bool, query string) []byte {
	target := "/ws/" + room
	switch {
	case h.packets: // the room is said in the first packet
		target = "/sub"
	case h.history >= 0:
		target += fmt.Sprintf("?history=%d", h.history) + query
	case query != "":
		target += "?" + query[1:]
	}
	extensions := ""
	if deflate {
		extensions = "Sec-WebSocket-Extensions: " + deflateOffer + "\r\n"
	}
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: danmakud-bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n%s\r\n", target, h.host, h.key, extensions)
}

const headLimit = 8 << 10

var (
	blankLine    = []byte("\r\n\r\n")
	errLongHead  = errors.New("response head longer than 8 KiB")
	errNoUpgrade = errors.New("the response is no upgrade to websocket")

	errCloseTimeout = errors.New("no answer to the close frame in time")
)

// refusal is an answer to the handshake that is no 101.
type refusal struct{ status string } // such as "503 Service Unavailable"

func (r *refusal) Error() string { return "refused: " + r.status }

// response checks the head of the server's answer to a request with deflate. n
// is its length; 0 means that bytes are missing.
func (h *handshake) response(p []byte, deflate bool) (n int, err error) {
	at := bytes.Index(p[:min(len(p), headLimit)], blankLine)
	if at < 0 {
		if len(p) >= headLimit {
			return 0, errLongHead
		}
		return 0, nil
	}
	status, rest, _ := strings.Cut(string(p[:at]), "\r\n")
	if !strings.HasPrefix(status, "HTTP/1.1 101") {
		return 0, &refusal{status: strings.TrimPrefix(status, "HTTP/1.1 ")}
	}
	var upgrade, connection bool
	accept, extensions := "", ""
	for line := range strings.SplitSeq(rest, "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch strings.ToLower(name) {
		case "upgrade":
			upgrade = strings.EqualFold(value, "websocket")
		case "connection":
			connection = strings.Contains(strings.ToLower(value), "upgrade")
		case "sec-websocket-accept":
			accept = value
		case "sec-websocket-extensions":
			if extensions != "" {
				value = extensions + ", " + value
			}
			extensions = value
		}
	}
	if !upgrade || !connection {
		return 0, errNoUpgrade
	}
	if h.strict && accept != h.accept {
		return 0, fmt.Errorf("Sec-WebSocket-Accept is %q instead of %q", accept, h.accept)
	}
	if err := checkExtensions(extensions, deflate); err != nil && h.strict {
		return 0, err
	}
	return at + len(blankLine), nil
}
