package conformance

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// reader takes apart what a server wrote. It judges as strictly as it can: what
// RFC 6455 forbids a server is an error whatever the case is about.
type reader struct {
	p        []byte
	deflate  bool
	bits     int // window of the server's compression
	pastText bool
}

// response takes an HTTP head off, and the body if it has a length. ok is false
// while it is not complete.
func (r *reader) response() (status int, fields http.Header, ok bool, err error) {
	end := bytes.Index(r.p, []byte("\r\n\r\n"))
	if end < 0 {
		return 0, nil, false, nil
	}
	lines := strings.Split(string(r.p[:end]), "\r\n")
	proto, rest, _ := strings.Cut(lines[0], " ")
	code, _, _ := strings.Cut(rest, " ")
	status, err = strconv.Atoi(code)
	if proto != "HTTP/1.1" || err != nil || len(code) != 3 {
		return 0, nil, false, fmt.Errorf("status line %q", lines[0])
	}
	fields = make(http.Header)
	for _, l := range lines[1:] {
		name, value, found := strings.Cut(l, ": ")
		if !found || strings.ContainsAny(l, "\r\n") {
			return 0, nil, false, fmt.Errorf("header line %q", l)
		}
		fields.Add(name, value)
	}
	size := 0
	if length := fields.Get("Content-Length"); length != "" {
		if size, err = strconv.Atoi(length); err != nil {
			return 0, nil, false, err
		}
	}
	if len(r.p) < end+4+size {
		return 0, nil, false, nil
	}
	r.p = r.p[end+4+size:]
	return status, fields, true, nil
}

// frame takes a frame off. ok is false while it is not complete.
func (r *reader) frame() (f Frame, ok bool, err error) {
	p := r.p
	if len(p) < 2 {
		return f, false, nil
	}
	f.Op, f.Compressed = p[0]&0x0F, p[0]&rsv1 != 0
	switch {
	case p[0]&fin == 0:
		return f, false, errors.New("the server fragmented a message that came whole")
	case p[0]&(rsv2|rsv3) != 0:
		return f, false, fmt.Errorf("reserved bits in %x", p[0])
	case f.Compressed && (!r.deflate || f.Op != opText && f.Op != opBinary):
		return f, false, fmt.Errorf("RSV1 in %x", p[0])
	case p[1]&0x80 != 0:
		return f, false, errors.New("the server masked a frame")
	}
	size, n := 2, uint64(p[1])
	switch n {
	case 126:
		size = 4
		if len(p) < size {
			return f, false, nil
		}
		if n = uint64(binary.BigEndian.Uint16(p[2:])); n < 126 {
			return f, false, errors.New("length not minimal")
		}
	case 127:
		size = 10
		if len(p) < size {
			return f, false, nil
		}
		if n = binary.BigEndian.Uint64(p[2:]); n < 1<<16 {
			return f, false, errors.New("length not minimal")
		}
	}
	if f.Op >= opClose && n > 125 {
		return f, false, errors.New("control frame of more than 125 bytes")
	}
	if uint64(len(p)-size) < n {
		return f, false, nil
	}
	f.Payload = slices.Clone(p[size : size+int(n)])
	r.p = p[size+int(n):]
	if f.Compressed {
		f.Payload, err = inflate(append(f.Payload, 0, 0, 0xFF, 0xFF), 1<<r.bits)
	}
	return f, true, err
}

// check compares a frame with the one that is wanted.
func check(got, want Frame) error {
	if got.Op == opClose {
		if err := checkClose(got.Payload); err != nil {
			return err
		}
		got.Payload = got.Payload[:min(2, len(got.Payload))]
	}
	if got.Op != want.Op || got.Compressed != want.Compressed || !bytes.Equal(got.Payload, want.Payload) {
		return fmt.Errorf("got %v, want %v", got, want)
	}
	return nil
}

// checkClose judges the body of the server's close frame, section 5.5.1.
func checkClose(p []byte) error {
	switch {
	case len(p) == 1:
		return errors.New("close frame with a body of one byte")
	case len(p) > 2 && !utf8.Valid(p[2:]):
		return fmt.Errorf("close reason %q", p[2:])
	}
	return nil
}

func (f Frame) String() string {
	what := map[byte]string{opText: "text", opBinary: "binary", opClose: "close", opPing: "ping", opPong: "pong"}[f.Op]
	if f.Compressed {
		what = "compressed " + what
	}
	if f.Op == opClose && len(f.Payload) >= 2 {
		return fmt.Sprintf("%s %d %q", what, binary.BigEndian.Uint16(f.Payload), f.Payload[2:])
	}
	if len(f.Payload) > 64 {
		return fmt.Sprintf("%s of %d bytes %q…", what, len(f.Payload), f.Payload[:64])
	}
	return fmt.Sprintf("%s %q", what, f.Payload)
}

// checkResponse judges the answer to the opening handshake.
func (c *Case) checkResponse(status int, fields http.Header) error {
	want := c.Status
	if want == 0 {
		want = http.StatusSwitchingProtocols
	}
	if status != want {
		return fmt.Errorf("status %d, want %d", status, want)
	}
	for _, f := range c.Fields {
		if name, absent := strings.CutPrefix(f, "-"); absent {
			if fields.Get(name) != "" {
				return fmt.Errorf("%s: %s", name, fields.Get(name))
			}
			continue
		}
		name, value, _ := strings.Cut(f, ": ")
		if got := fields.Values(name); len(got) != 1 || got[0] != value {
			return fmt.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	if status != http.StatusSwitchingProtocols {
		if fields.Get("Sec-WebSocket-Accept") != "" || !hasToken(fields.Get("Connection"), "close") {
			return fmt.Errorf("refused with %v", fields)
		}
		if fields.Get("Upgrade") != "" && !hasToken(fields.Get("Connection"), "upgrade") { // RFC 9110 section 7.8
			return fmt.Errorf("Upgrade without its option in Connection: %v", fields)
		}
		return nil
	}
	return c.checkSwitch(fields)
}

// checkSwitch judges a 101, RFC 6455 section 4.2.2 and RFC 7692 section 7.1.
func (c *Case) checkSwitch(fields http.Header) error {
	for _, name := range []string{"Upgrade", "Connection", "Sec-Websocket-Accept"} {
		if len(fields[name]) != 1 {
			return fmt.Errorf("%s: %q", name, fields[name])
		}
	}
	if !strings.EqualFold(fields.Get("Upgrade"), "websocket") || !hasToken(fields.Get("Connection"), "upgrade") {
		return fmt.Errorf("101 with %v", fields)
	}
	if got := fields.Get("Sec-Websocket-Accept"); got != c.accept() {
		return fmt.Errorf("Sec-WebSocket-Accept: %s, want %s", got, c.accept())
	}
	if fields.Get("Content-Length") != "" || fields.Get("Transfer-Encoding") != "" {
		return fmt.Errorf("101 with a body: %v", fields)
	}
	extensions := fields.Values("Sec-WebSocket-Extensions")
	if !c.Deflate {
		if len(extensions) > 0 {
			return fmt.Errorf("extensions %q, want none", extensions)
		}
		return nil
	}
	if len(extensions) != 1 {
		return fmt.Errorf("extensions %q, want permessage-deflate", extensions)
	}
	params := strings.Split(extensions[0], ";")
	for i := range params {
		params[i] = strings.TrimSpace(params[i])
	}
	slices.Sort(params)
	want := []string{"client_no_context_takeover", "permessage-deflate", "server_no_context_takeover"}
	if c.Bits != 0 {
		want = append(want, "server_max_window_bits="+strconv.Itoa(c.Bits))
	}
	slices.Sort(want)
	if !slices.Equal(params, want) {
		return fmt.Errorf("extensions %q, want %q", params, want)
	}
	return nil
}

// accept is what answers the request's key, RFC 6455 section 4.2.2.
func (c *Case) accept() string {
	request := string(c.request("/"))
	at := strings.Index(strings.ToLower(request), "sec-websocket-key:")
	value, _, _ := strings.Cut(request[at+len("sec-websocket-key:"):], "\r\n")
	sum := sha1.Sum([]byte(strings.Trim(value, " \t") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

func hasToken(list, token string) bool {
	for element := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(strings.TrimSpace(element), token) {
			return true
		}
	}
	return false
}
