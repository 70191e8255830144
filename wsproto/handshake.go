package wsproto

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"errors"
	"io"

	"github.com/gobwas/ws"
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
	x := exchange{upgrader: u, request: r, decide: decide, in: head, out: dst}
	// The library has no limit on a head, takes everything a reader gives and
	// accepts heads that HTTP does not (folded or doubled fields, bare LF, any
	// 24 characters as key). So it is given exactly one head that was checked
	// before; it judges the WebSocket fields and writes the reply.
	hs := ws.Upgrader{OnBeforeUpgrade: x.beforeUpgrade}
	if _, err := hs.Upgrade(&x); err != nil {
		return dst, a, cmp.Or(x.refused, refusalOf(err))
	}
	a = Accepted{Protocol: x.protocol, Deflate: x.deflate.good, WindowBits: x.deflate.windowBits()}
	return x.out, a, nil
}

// checkUpgrade judges the HTTP around an upgrade, which must be unambiguous, and
// of the WebSocket fields those that the library looks at less closely.
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
	// Before the key, which another version may make in another way.
	case r.seen&fieldVersion != 0 && r.version != "13":
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

// exchange is the connection that ws.Upgrader sees: one head to read, and the
// reply appended to the caller's bytes.
type exchange struct {
	upgrader *Upgrader
	request  *Request
	decide   func(*Request) error
	in       []byte
	out      []byte
	refused  error  // what a hook of ours returned
	answer   string // the chosen subprotocol, if one was offered
	protocol int
	deflate  deflateOffer // the accepted one; not good: none
}

func (x *exchange) Read(p []byte) (int, error) {
	if len(x.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p, x.in)
	x.in = x.in[n:]
	return n, nil
}

func (x *exchange) Write(p []byte) (int, error) {
	x.out = append(x.out, p...)
	return len(p), nil
}

// beforeUpgrade runs when all fields were found good.
func (x *exchange) beforeUpgrade() (ws.HandshakeHeader, error) {
	if x.refused = x.judge(); x.refused != nil {
		return nil, x.refused
	}
	return ws.HandshakeHeaderFunc(x.writeFields), nil
}

// judge asks those that decide about a well-formed request.
func (x *exchange) judge() error {
	allowed := x.upgrader.Origin
	if allowed == nil {
		allowed = SameHost
	}
	if !allowed(x.request.Origin, x.request.Host) {
		return ErrOrigin
	}
	if err := x.chooseProtocol(); err != nil {
		return err
	}
	if x.request.seen&fieldExtensions != 0 {
		var err error
		if x.deflate, err = x.upgrader.negotiate(x.request.extensions); err != nil {
			return err
		}
	}
	if x.decide == nil {
		return nil
	}
	return x.decide(x.request)
}

func (x *exchange) chooseProtocol() error {
	known := x.upgrader.Protocols
	if len(known) == 0 || x.request.seen&fieldProtocols == 0 {
		return nil
	}
	same := func(a, b string) bool { return a == b } // case counts
	for i, name := range known {
		if listHas(x.request.protocols, name, same) {
			x.protocol, x.answer = i, name
			return nil
		}
	}
	return ErrProtocol
}

// writeFields writes our own fields of the 101 response.
func (x *exchange) writeFields(w io.Writer) (n int64, err error) {
	write := func(name, value string) {
		if value == "" || err != nil {
			return
		}
		var k int
		k, err = io.WriteString(w, name+": "+value+"\r\n")
		n += int64(k)
	}
	write("Sec-WebSocket-Protocol", x.answer)
	if x.deflate.good {
		write("Sec-WebSocket-Extensions", x.deflate.answer())
	}
	write("Server", x.upgrader.Server)
	return n, err
}

// refusalOf translates those of the library's verdicts that checkUpgrade leaves
// to it.
func refusalOf(err error) error {
	switch err {
	case ws.ErrHandshakeBadUpgrade:
		return ErrUpgrade
	case ws.ErrHandshakeBadConnection:
		return ErrConnection
	case ws.ErrHandshakeBadSecVersion:
		return ErrNoVersion
	}
	return ErrHandshake
}
