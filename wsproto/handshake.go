package wsproto

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
)

// HeadMax is the longest head of a request that a server should wait for, in
// bytes. This package does not enforce it: whoever collects the bytes does.
const HeadMax = 8 << 10

// ErrNoUpgrade says that a request is well-formed HTTP but does not ask for
// WebSocket: it is for an ordinary HTTP server.
var ErrNoUpgrade = errors.New("no WebSocket upgrade asked for")

// HeadEnd returns the index just after the blank line that ends a head, or 0
// when it is not there yet. What follows are frames already and must go to the
// decoder. Lines that end with a bare LF count too, so that such a request can
// be answered (ParseRequest refuses it) instead of being waited for.
func HeadEnd(p []byte) int {
	for i := 0; ; {
		lf := bytes.IndexByte(p[i:], '\n')
		if lf < 0 {
			return 0
		}
		i += lf + 1
		switch {
		case i < len(p) && p[i] == '\n':
			return i + 1
		case i+1 < len(p) && p[i] == '\r' && p[i+1] == '\n':
			return i + 2
		}
	}
}

// Upgrader answers opening handshakes, RFC 6455 section 4.2. Fixed after
// construction; then safe for all goroutines at once.
type Upgrader struct {
	// Origin reports whether a page of that origin may connect to that host.
	// nil is SameHost; OriginPolicy makes others.
	Origin func(origin, host string) bool

	// Protocols are the known subprotocols, the most preferred first. When a
	// request offers several of them the first here is chosen, when it offers
	// none the first is spoken but not answered, when it offers only unknown
	// ones it is refused. Empty: offers are ignored.
	Protocols []string

	// Deflate says how offers of permessage-deflate are answered. nil: they are
	// declined.
	Deflate *DeflateConfig

	// Server is the value of the Server field of a 101 response; empty: none.
	Server string
}

// Accepted is what an upgrade agreed on.
type Accepted struct {
	Protocol   int  // index in Upgrader.Protocols of the subprotocol now spoken
	Deflate    bool // permessage-deflate, without context takeover on either side
	WindowBits int  // what the server's deflater may use: 15 unless the client asked for less
}

// Upgrade judges a head that ends with its blank line (exactly HeadEnd bytes)
// and appends the 101 response to dst.
//
// decide is called last, with a well-formed request of an allowed origin; its
// error refuses the upgrade and is returned as it is. It may be nil.
//
// The error is ErrNoUpgrade, a *Refusal to be answered with AppendTo, or what
// decide returned; reply is then dst as it was.
func (u *Upgrader) Upgrade(dst, head []byte, decide func(*Request) error) (reply []byte, a Accepted, err error) {
	r, err := ParseRequest(head)
	if err != nil {
		return dst, a, err
	}
	if !r.Upgrade {
		return dst, a, ErrNoUpgrade
	}
	if err := r.checkUpgrade(); err != nil {
		return dst, a, err
	}
	terms, err := u.agree(r)
	if err != nil {
		return dst, a, err
	}
	if decide != nil {
		if err := decide(r); err != nil {
			return dst, a, err
		}
	}
	return u.appendSwitch(dst, r.key, &terms), terms.Accepted, nil
}

// checkUpgrade judges the HTTP around an upgrade, which must be unambiguous, and
// the fields of WebSocket, section 4.2.1.
func (r *Request) checkUpgrade() error {
	switch {
	case r.minor < 1:
		return ErrHTTPVersion
	case r.Method != "GET":
		return ErrMethod
	case r.Path == "":
		return ErrRequestTarget
	case r.repeated:
		return ErrHeaderTwice
	case r.seen&fieldHost == 0 || !validHost(r.Host):
		return ErrHost
	// Bytes after the blank line are frames to us. Something in front of us
	// that believes in a body would see other frames than we do.
	case r.hasBody:
		return ErrBody
	case !r.connectionUpgrade:
		return ErrConnection
	case r.seen&fieldVersion == 0:
		return ErrNoVersion
	// Before the key, which another version may make in another way.
	case r.version != "13":
		return ErrVersion
	case !validKey(r.key):
		return ErrKey
	}
	return nil
}

// validKey reports whether a key is "a base64-encoded (see Section 4 of
// [RFC4648]) value that, when decoded, is 16 bytes in length".
func validKey(key string) bool {
	var decoded [18]byte // what 24 characters can decode to at most
	if len(key) != base64.StdEncoding.EncodedLen(16) {
		return false
	}
	n, err := base64.StdEncoding.Decode(decoded[:], []byte(key))
	return err == nil && n == 16
}

// terms are what an upgrade agreed on, and how it is said.
type terms struct {
	Accepted
	protocol   string // the chosen subprotocol, if one was offered
	extensions string // the accepted extension, with its parameters
}

// agree judges the origin and chooses among what the client offers.
func (u *Upgrader) agree(r *Request) (t terms, err error) {
	allowed := u.Origin
	if allowed == nil {
		allowed = SameHost
	}
	if !allowed(r.Origin, r.Host) {
		return t, ErrOrigin
	}
	if err := u.chooseProtocol(r, &t); err != nil {
		return t, err
	}
	var offer deflateOffer
	if r.seen&fieldExtensions != 0 {
		if offer, err = u.negotiate(r.extensions); err != nil {
			return t, err
		}
	}
	if t.Deflate = offer.good; t.Deflate {
		t.extensions = offer.answer()
	}
	t.WindowBits = offer.windowBits()
	return t, nil
}

func (u *Upgrader) chooseProtocol(r *Request, t *terms) error {
	if len(u.Protocols) == 0 || r.seen&fieldProtocols == 0 {
		return nil
	}
	same := func(a, b string) bool { return a == b } // case counts
	for i, name := range u.Protocols {
		if listHas(r.protocols, name, same) {
			t.Protocol, t.protocol = i, name
			return nil
		}
	}
	return ErrProtocol
}

// keyGUID is joined to the key that is to be accepted, section 1.3.
const keyGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// appendSwitch appends the 101 response, section 4.2.2. The library would judge
// the head once more, and each of its fields by itself: a list that goes over
// two fields, as HTTP allows (RFC 9110 section 5.3), it refuses.
func (u *Upgrader) appendSwitch(dst []byte, key string, t *terms) []byte {
	sum := sha1.Sum([]byte(key + keyGUID))
	dst = append(dst, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	dst = base64.StdEncoding.AppendEncode(dst, sum[:])
	field := func(name, value string) {
		if value != "" {
			dst = append(append(append(append(dst, "\r\n"...), name...), ": "...), value...)
		}
	}
	field("Sec-WebSocket-Protocol", t.protocol)
	field("Sec-WebSocket-Extensions", t.extensions)
	field("Server", u.Server)
	return append(dst, "\r\n\r\n"...)
}
