package wsproto

import (
	"strconv"
	"strings"
)

// deflateName is the registered name of the extension, RFC 7692 section 7.
const deflateName = "permessage-deflate"

// Window sizes as RFC 7692 section 7.1.2 counts them: base-2 logarithms.
const (
	windowBitsMin = 8
	windowBitsMax = 15
)

// DeflateConfig says which offers of permessage-deflate are accepted.
type DeflateConfig struct {
	// MinWindowBits is the smallest server_max_window_bits that is honoured, 8
	// to 15. An offer that asks for less is declined and the next one is looked
	// at: a server that compresses once for everybody has one window.
	MinWindowBits int
}

// negotiate reads the extensions that a client offers, RFC 6455 section 9.1, and
// accepts the first offer of permessage-deflate that is well-formed and within
// what u.Deflate allows. Every other offer is declined by not being answered,
// RFC 7692 section 5.1. A field without any element offers nothing: some clients
// send it. The error is ErrExtensions: no such list at all.
func (u *Upgrader) negotiate(list string) (o deflateOffer, err error) {
	l := listReader{rest: list}
	accepted := false
	for l.more() {
		if l.take(',') {
			continue // "a recipient MUST parse and ignore a reasonable number of empty list elements"
		}
		offer, ok := l.extension()
		if !ok {
			return deflateOffer{}, ErrExtensions
		}
		if !accepted && u.Deflate != nil && offer.good && offer.windowBits() >= u.Deflate.MinWindowBits {
			o, accepted = offer, true
		}
	}
	return o, nil
}

// deflateOffer is one offer of permessage-deflate, RFC 7692 section 7.1.
type deflateOffer struct {
	good       bool // the right name, and no parameter that makes us decline
	seen       deflateParam
	serverBits int // value of server_max_window_bits, if it was seen
}

// deflateParam is a set of parameters of permessage-deflate.
type deflateParam uint8

const (
	paramServerNoTakeover deflateParam = 1 << iota
	paramClientNoTakeover
	paramServerBits
	paramClientBits
)

// windowBits is how large a window the client will have for what we send.
func (o *deflateOffer) windowBits() int {
	if o.seen&paramServerBits != 0 {
		return o.serverBits
	}
	return windowBitsMax
}

// param takes in one parameter. "A server MUST decline an extension negotiation
// offer for this extension if [...] the negotiation offer contains an extension
// parameter not defined for use in an offer, [...] with an invalid value, [or]
// multiple extension parameters with the same name", RFC 7692 section 7.1.
func (o *deflateOffer) param(name, value string, hasValue bool) {
	var p deflateParam
	ok := false
	switch name {
	case "server_no_context_takeover":
		p, ok = paramServerNoTakeover, !hasValue
	case "client_no_context_takeover":
		p, ok = paramClientNoTakeover, !hasValue
	case "server_max_window_bits":
		p = paramServerBits
		o.serverBits, ok = windowBits(value)
	case "client_max_window_bits":
		p = paramClientBits
		_, ok = windowBits(value)
		ok = ok || !hasValue
	}
	o.good = o.good && ok && o.seen&p == 0
	o.seen |= p
}

// windowBits reads "a decimal integer value without leading zeroes between 8 to
// 15, inclusive".
func windowBits(s string) (n int, ok bool) {
	for n := windowBitsMin; n <= windowBitsMax; n++ {
		if s == strconv.Itoa(n) {
			return n, true
		}
	}
	return 0, false
}

// answer is the value of the field that accepts o. The client needs no answer to
// client_max_window_bits: what it may use, we can inflate.
func (o *deflateOffer) answer() string {
	const plain = deflateName + "; server_no_context_takeover; client_no_context_takeover"
	if o.seen&paramServerBits == 0 {
		return plain
	}
	return plain + "; server_max_window_bits=" + strconv.Itoa(o.serverBits)
}

// listReader reads the grammar of RFC 6455 section 9.1:
//
//	extension-list  = 1#extension
//	extension       = token *( ";" extension-param )
//	extension-param = token [ "=" (token | quoted-string) ]
type listReader struct{ rest string }

// more passes over blanks and reports whether anything follows.
func (l *listReader) more() bool {
	l.rest = strings.TrimLeft(l.rest, " \t")
	return l.rest != ""
}

// take takes the separator c if it comes next.
func (l *listReader) take(c byte) bool {
	if !l.more() || l.rest[0] != c {
		return false
	}
	l.rest = l.rest[1:]
	return true
}

// extension takes one element of the list. Extensions of other names are read
// for their grammar alone: good is then false.
func (l *listReader) extension() (o deflateOffer, ok bool) {
	name, ok := l.token()
	if !ok {
		return o, false
	}
	o.good = name == deflateName
	for l.take(';') {
		name, ok := l.token()
		if !ok {
			return o, false
		}
		value, hasValue := "", l.take('=')
		if hasValue {
			if value, ok = l.value(); !ok {
				return o, false
			}
		}
		o.param(name, value, hasValue)
	}
	return o, !l.more() || l.rest[0] == ','
}

func (l *listReader) token() (string, bool) {
	l.more()
	n := 0
	for n < len(l.rest) && isToken(l.rest[n:n+1]) {
		n++
	}
	token := l.rest[:n]
	l.rest = l.rest[n:]
	return token, n > 0
}

// value takes a token, or a quoted string: "the value after quoted-string
// unescaping MUST conform to the 'token' ABNF".
func (l *listReader) value() (string, bool) {
	if !l.take('"') {
		return l.token()
	}
	var value []byte
	for i := 0; i < len(l.rest); i++ {
		switch c := l.rest[i]; {
		case c == '"':
			l.rest = l.rest[i+1:]
			return string(value), isToken(string(value))
		case c == '\\' && i+1 < len(l.rest):
			i++
			value = append(value, l.rest[i])
		default:
			value = append(value, c)
		}
	}
	return "", false
}
