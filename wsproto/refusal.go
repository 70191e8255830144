package wsproto

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Refusal is why an HTTP request is not upgraded, and the answer to it. The
// predeclared ones are read-only and may be compared with ==.
type Refusal struct {
	Status  int      // HTTP status, 4xx or 5xx
	Name    string   // label for metrics: lower case, digits and underscore
	Message string   // for the person behind the request; the body of the answer
	Header  []string // further fields, each "Name: value"
}

func (r *Refusal) Error() string {
	return "handshake refused: " + strconv.Itoa(r.Status) + " " + r.Message
}

// AppendTo appends the whole HTTP response. The connection is to be closed
// after it: what follows the head of a refused request is not looked at.
func (r *Refusal) AppendTo(dst []byte) []byte {
	return AppendResponse(dst, r.Status, r.Header, r.Message+"\n")
}

// Refusals made by Upgrade and ParseRequest.
var (
	// HTTP itself, RFC 9112.
	ErrRequestLine   = &Refusal{Status: 400, Name: "request_line", Message: "The request line is malformed."}
	ErrLineEnd       = &Refusal{Status: 400, Name: "line_end", Message: "Lines of an HTTP head must end with CR LF."}
	ErrHeaderLine    = &Refusal{Status: 400, Name: "header_line", Message: "A header line is malformed."}
	ErrHeaderFolded  = &Refusal{Status: 400, Name: "header_folded", Message: "Header lines must not be folded."}
	ErrHeaderTwice   = &Refusal{Status: 400, Name: "header_twice", Message: "A header that may occur once occurs twice."}
	ErrHTTPVersion   = &Refusal{Status: 505, Name: "http_version", Message: "WebSocket upgrades are spoken over HTTP/1.1."}
	ErrHost          = &Refusal{Status: 400, Name: "host", Message: "The Host header is missing or malformed."}
	ErrBody          = &Refusal{Status: 400, Name: "body", Message: "A WebSocket upgrade has no body."}
	ErrMethod        = &Refusal{Status: 405, Name: "method", Message: "A WebSocket upgrade is a GET.", Header: []string{"Allow: GET"}}
	ErrRequestTarget = &Refusal{Status: 400, Name: "request_target", Message: "The request target must be a path."}

	// The WebSocket fields, RFC 6455 section 4.2.1. Upgrade and Connection are
	// lists and may be several fields; without websocket in the first there is no
	// upgrade to refuse (ErrNoUpgrade).
	ErrConnection = &Refusal{Status: 400, Name: "connection", Message: "The Connection header must list \"Upgrade\"."}
	ErrKey        = &Refusal{Status: 400, Name: "key", Message: "Sec-WebSocket-Key must be 16 bytes in base64."}
	ErrNoVersion  = &Refusal{Status: 400, Name: "no_version", Message: "Sec-WebSocket-Version is missing."}
	// Section 4.2.2: "an appropriate HTTP error code (such as 426 Upgrade
	// Required) and a |Sec-WebSocket-Version| header field indicating the
	// version(s) the server is capable of understanding". RFC 9110 section
	// 15.5.22 wants Upgrade with every 426.
	ErrVersion = &Refusal{Status: 426, Name: "version", Message: "The WebSocket version spoken here is 13.",
		Header: []string{"Sec-WebSocket-Version: 13", "Upgrade: websocket"}}
	// RFC 6455 section 9.1: a list of extensions that is none.
	ErrExtensions = &Refusal{Status: 400, Name: "extensions", Message: "The Sec-WebSocket-Extensions header is malformed."}
	ErrProtocol   = &Refusal{Status: 400, Name: "subprotocol", Message: "None of the offered subprotocols is spoken here."}

	// Section 10.2.
	ErrOrigin = &Refusal{Status: 403, Name: "origin", Message: "Pages of this origin may not connect."}
)

var refusals = []*Refusal{
	ErrRequestLine,
	ErrLineEnd,
	ErrHeaderLine,
	ErrHeaderFolded,
	ErrHeaderTwice,
	ErrHTTPVersion,
	ErrHost,
	ErrBody,
	ErrMethod,
	ErrRequestTarget,
	ErrConnection,
	ErrKey,
	ErrNoVersion,
	ErrVersion,
	ErrExtensions,
	ErrProtocol,
	ErrOrigin,
}

// Refusals returns every refusal this package can make, so that each can be
// given its counter at start. The slice is the caller's.
func Refusals() []*Refusal { return slices.Clone(refusals) }

// AppendResponse appends a whole HTTP/1.1 response that ends its connection.
// headers are further fields, each "Name: value"; control characters in them
// become spaces, so that no value can begin a field of its own. body is plain
// text unless headers hold a Content-Type.
func AppendResponse(dst []byte, status int, headers []string, body string) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, ' ')
	dst = append(dst, http.StatusText(status)...)
	dst = append(dst, "\r\nConnection: close"...)
	for _, h := range headers {
		// "A sender of Upgrade MUST also send an "Upgrade" connection option",
		// RFC 9110 section 7.8.
		if name, _, _ := strings.Cut(h, ":"); strings.EqualFold(name, "Upgrade") {
			dst = append(dst, ", Upgrade"...)
		}
	}
	dst = append(dst, "\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(body)), 10)
	typed := false
	for _, h := range headers {
		dst = append(dst, "\r\n"...)
		start := len(dst)
		dst = append(dst, h...)
		for i := start; i < len(dst); i++ {
			if dst[i] < ' ' || dst[i] == 0x7F {
				dst[i] = ' '
			}
		}
		name, _, _ := strings.Cut(h, ":")
		typed = typed || strings.EqualFold(name, "Content-Type")
	}
	if !typed {
		dst = append(dst, "\r\nContent-Type: text/plain; charset=utf-8"...)
	}
	dst = append(dst, "\r\n\r\n"...)
	return append(dst, body...)
}
