package wsproto

import (
	"net/url"
	"strings"
)

// Request is the head of an HTTP request. Its strings are parts of one copy of
// the head, so they stay good when the bytes are gone; for the same reason
// whoever keeps one for the life of a connection should strings.Clone it.
// A field that was not sent is empty.
type Request struct {
	Method        string
	Path          string // raw, not percent-decoded; begins with a slash, or is empty for "*" and CONNECT
	Query         string // raw, without the question mark
	Host          string
	Origin        string
	Authorization string
	UserAgent     string
	ForwardedFor  string // X-Forwarded-For; several fields joined by ", " in their order
	Upgrade       bool   // asks for websocket

	// Only what judging an upgrade needs.
	minor      byte // of HTTP/1.x
	absolute   bool // the target named the host
	hasBody    bool
	seen       field // which of the fields that may occur once did, and of the lists
	repeated   bool  // and one of those that may occur once did so again
	key        string
	version    string
	protocols  string // all offers, joined
	extensions string // likewise

	connectionUpgrade bool // Connection lists upgrade
}

// field is a set of header fields.
type field uint8

const (
	fieldHost field = 1 << iota
	fieldOrigin
	fieldAuthorization
	fieldKey
	fieldVersion
	fieldProtocols
	fieldExtensions
)

// ParseRequest reads a head that ends with its blank line (exactly HeadEnd
// bytes). It is stricter than HTTP asks for, so that nothing in front of us or
// behind us can read the same bytes in another way: no bare LF, no folded
// lines, no blank before a colon, no control characters. Any request may be
// read, not only an upgrade. The error is a *Refusal. RFC 9112 sections 2 to 5.
func ParseRequest(head []byte) (*Request, error) {
	r := new(Request)
	rest := string(head)
	line, rest, err := cutLine(rest)
	if err != nil {
		return nil, err
	}
	if err := r.requestLine(line); err != nil {
		return nil, err
	}
	for {
		if line, rest, err = cutLine(rest); err != nil {
			return nil, err
		}
		if line == "" {
			break
		}
		if err := r.headerLine(line); err != nil {
			return nil, err
		}
	}
	if rest != "" { // more than a head: the caller's cut is wrong
		return nil, ErrHeaderLine
	}
	return r, nil
}

// cutLine takes one line off s. A CR is good only before an LF, and an LF only
// after a CR.
func cutLine(s string) (line, rest string, err error) {
	lf := strings.IndexByte(s, '\n')
	if lf < 1 || s[lf-1] != '\r' || strings.IndexByte(s[:lf-1], '\r') >= 0 {
		return "", "", ErrLineEnd
	}
	return s[:lf-1], s[lf+1:], nil
}

// requestLine reads "METHOD SP request-target SP HTTP/1.1".
func (r *Request) requestLine(line string) error {
	method, rest, ok1 := strings.Cut(line, " ")
	target, proto, ok2 := strings.Cut(rest, " ")
	if !ok1 || !ok2 || !isToken(method) || target == "" {
		return ErrRequestLine
	}
	if len(proto) != len("HTTP/1.1") || proto[:5] != "HTTP/" || !isDigit(proto[5]) || proto[6] != '.' || !isDigit(proto[7]) {
		return ErrRequestLine
	}
	if proto[5] != '1' { // HTTP/2 with its preface in clear, too
		return ErrHTTPVersion
	}
	for i := range len(target) {
		if target[i] <= ' ' || target[i] >= 0x7F || target[i] == '#' {
			return ErrRequestLine
		}
	}
	r.Method, r.minor = method, proto[7]-'0'
	return r.requestTarget(target)
}

// requestTarget reads origin-form and absolute-form, RFC 9112 section 3.2; the
// other two ask for no resource of ours and leave Path empty.
func (r *Request) requestTarget(target string) error {
	if target[0] != '/' {
		scheme, rest, found := strings.Cut(target, "://")
		if !found || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
			return nil
		}
		end := strings.IndexAny(rest, "/?")
		if end < 0 {
			end = len(rest)
		}
		if !validHost(rest[:end]) {
			return ErrRequestLine
		}
		// "MUST ignore the received Host header field (if any) and instead
		// replace it with the host information of the request-target".
		r.Host, r.absolute = rest[:end], true
		if target = rest[end:]; target == "" || target[0] == '?' {
			r.Path = "/"
		}
	}
	path, query, _ := strings.Cut(target, "?")
	r.Query = query
	if path != "" {
		r.Path = path
	}
	return nil
}

func (r *Request) headerLine(line string) error {
	if line[0] == ' ' || line[0] == '\t' {
		return ErrHeaderFolded
	}
	name, value, found := strings.Cut(line, ":")
	if !found || !isToken(name) {
		return ErrHeaderLine
	}
	value = strings.Trim(value, " \t")
	for i := range len(value) {
		if value[i] < ' ' && value[i] != '\t' || value[i] == 0x7F {
			return ErrHeaderLine
		}
	}
	r.header(name, value)
	return nil
}

// header keeps the fields that matter here.
func (r *Request) header(name, value string) {
	// The length first: it lets most of a browser's fields pass at once.
	is := func(s string) bool { return len(name) == len(s) && strings.EqualFold(name, s) }
	switch {
	case is("Host"):
		if r.absolute {
			value = r.Host
		}
		r.once(&r.Host, value, fieldHost)
	case is("Origin"):
		r.once(&r.Origin, value, fieldOrigin)
	case is("Authorization"):
		r.once(&r.Authorization, value, fieldAuthorization)
	case is("User-Agent"):
		r.UserAgent = value
	case is("X-Forwarded-For"):
		r.ForwardedFor = joinField(r.ForwardedFor, value)
	case is("Upgrade"):
		r.Upgrade = r.Upgrade || listHas(value, "websocket", strings.EqualFold)
	case is("Connection"):
		r.connectionUpgrade = r.connectionUpgrade || listHas(value, "upgrade", strings.EqualFold)
	case is("Sec-WebSocket-Key"):
		r.once(&r.key, value, fieldKey)
	case is("Sec-WebSocket-Version"):
		r.once(&r.version, value, fieldVersion)
	case is("Sec-WebSocket-Protocol"):
		r.protocols = joinField(r.protocols, value)
		r.seen |= fieldProtocols
	case is("Sec-WebSocket-Extensions"):
		r.extensions = joinField(r.extensions, value)
		r.seen |= fieldExtensions
	case is("Content-Length"):
		r.hasBody = r.hasBody || value != "0"
	case is("Transfer-Encoding"):
		r.hasBody = true
	}
}

// once keeps a field that may occur once.
func (r *Request) once(dst *string, value string, f field) {
	r.repeated = r.repeated || r.seen&f != 0
	r.seen |= f
	*dst = value
}

// joinField adds a further field to a list, RFC 9110 section 5.3.
func joinField(list, value string) string {
	if list == "" {
		return value
	}
	return list + ", " + value
}

// listHas reports whether a comma-separated list has an element that same says
// is the one wanted.
func listHas(list, want string, same func(a, b string) bool) bool {
	for element := range strings.SplitSeq(list, ",") {
		if same(strings.Trim(element, " \t"), want) {
			return true
		}
	}
	return false
}

// QueryValue returns the first value of a name in the query, percent-decoded.
// A pair that can not be decoded is passed over. Allocates only to decode.
func (r *Request) QueryValue(name string) (string, bool) {
	for pair := range strings.SplitSeq(r.Query, "&") {
		key, value, _ := strings.Cut(pair, "=")
		if key, err := url.QueryUnescape(key); err != nil || key != name || pair == "" {
			continue
		}
		if value, err := url.QueryUnescape(value); err == nil {
			return value, true
		}
	}
	return "", false
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// isToken reports whether s is a token of RFC 9110 section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'z') && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}
