package wsproto

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// sampleKey and sampleAccept are the worked example of RFC 6455 section 1.3.
const (
	sampleKey    = "dGhlIHNhbXBsZSBub25jZQ=="
	sampleAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// sampleFields are those every upgrade has.
var sampleFields = []string{
	"Host: live.example",
	"Upgrade: websocket",
	"Connection: Upgrade",
	"Sec-WebSocket-Key: " + sampleKey,
	"Sec-WebSocket-Version: 13",
}

// request writes a head of lines.
func request(line string, fields ...string) string {
	return line + "\r\n" + strings.Join(append(fields, "", ""), "\r\n")
}

// with is sampleFields with changes: a field replaces the one of its name, "-"
// and a name drops one, "+" adds one at the end.
func with(changes ...string) []string {
	fields := slices.Clone(sampleFields)
	for _, c := range changes {
		add := strings.HasPrefix(c, "+")
		drop := strings.HasPrefix(c, "-")
		c = strings.TrimLeft(c, "+-")
		name, _, _ := strings.Cut(c, ":")
		at := slices.IndexFunc(fields, func(f string) bool { return strings.HasPrefix(f, name+":") })
		switch {
		case drop:
			fields = slices.Delete(fields, at, at+1)
		case add || at < 0:
			fields = append(fields, c)
		default:
			fields[at] = c
		}
	}
	return fields
}

const sampleLine = "GET /ws/r1 HTTP/1.1"

// upgradeCase is shared by the tests, the fuzz seeds and the benchmarks.
type upgradeCase struct {
	name     string
	head     string
	err      error  // nil: upgraded
	protocol int    // index in sampleUpgrader
	answer   string // Sec-WebSocket-Protocol of the reply
}

var sampleUpgrader = Upgrader{
	Protocols: []string{"danmaku.v1.json", "danmaku.v1.proto"},
	Server:    "danmakud",
}

var upgradeCases = []upgradeCase{
	{
		name: "smallest",
		head: request(sampleLine, sampleFields...),
	},
	{
		name: "a browser's",
		head: request("GET /ws/r1?history=20 HTTP/1.1",
			"Host: live.example",
			"Connection: keep-alive, Upgrade",
			"Pragma: no-cache",
			"Cache-Control: no-cache",
			"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
			"Upgrade: websocket",
			"Origin: https://live.example",
			"Sec-WebSocket-Version: 13",
			"Accept-Encoding: gzip, deflate, br, zstd",
			"Accept-Language: zh-CN,zh;q=0.9,en;q=0.8",
			"Cookie: session=0123456789abcdef0123456789abcdef; theme=dark",
			"Sec-WebSocket-Key: "+sampleKey,
			"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
			"Sec-WebSocket-Protocol: danmaku.v1.proto"),
		protocol: 1,
		answer:   "danmaku.v1.proto",
	},
	{
		name: "any case of letters",
		head: request(sampleLine, "hOST: live.example", "UPGRADE: WebSocket", "connection: UPGRADE", "sec-websocket-KEY: "+sampleKey, "sec-websocket-version: 13"),
	},
	{
		name: "blanks around values",
		head: request(sampleLine, with("Upgrade: \t websocket \t", "Connection:Upgrade")...),
	},
	{
		name: "http/1.2 is spoken as 1.1",
		head: request("GET / HTTP/1.2", sampleFields...),
	},
	{
		name: "absolute target",
		head: request("GET http://live.example/ws/r1 HTTP/1.1", sampleFields...),
	},
	{
		name: "line longer than the library's buffer",
		head: request("GET /ws/r1?"+strings.Repeat("x", 5000)+" HTTP/1.1", with("+Cookie: "+strings.Repeat("c", 6000))...),
	},
	{
		name: "bytes above ascii in a value",
		head: request(sampleLine, with("+X-Name: \u5f39\u5e55")...),
	},
	{
		name: "content length zero",
		head: request(sampleLine, with("+Content-Length: 0")...),
	},
	{
		name:     "offers the second",
		head:     request(sampleLine, with("+Sec-WebSocket-Protocol: x, danmaku.v1.proto")...),
		protocol: 1,
		answer:   "danmaku.v1.proto",
	},
	{
		name:   "offers both, the server's order counts",
		head:   request(sampleLine, with("+Sec-WebSocket-Protocol: danmaku.v1.proto,danmaku.v1.json")...),
		answer: "danmaku.v1.json",
	},
	{
		name:     "offers in two fields",
		head:     request(sampleLine, with("+Sec-WebSocket-Protocol: x", "+Sec-WebSocket-Protocol: danmaku.v1.proto")...),
		protocol: 1,
		answer:   "danmaku.v1.proto",
	},
	{
		name: "offers only unknown",
		head: request(sampleLine, with("+Sec-WebSocket-Protocol: chat, Danmaku.v1.json")...),
		err:  ErrProtocol,
	},
	{
		name: "offers nothing in an offer",
		head: request(sampleLine, with("+Sec-WebSocket-Protocol:")...),
		err:  ErrProtocol,
	},

	{
		name: "plain request",
		head: request("GET / HTTP/1.1", "Host: live.example"),
		err:  ErrNoUpgrade,
	},
	{
		name: "plain post with a body",
		head: request("POST /v1 HTTP/1.1", "Host: live.example", "Content-Length: 10"),
		err:  ErrNoUpgrade,
	},
	{
		name: "plain http/1.0",
		head: request("GET / HTTP/1.0"),
		err:  ErrNoUpgrade,
	},
	{
		name: "upgrade to something else",
		head: request("GET / HTTP/1.1", "Host: live.example", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"),
		err:  ErrNoUpgrade,
	},
	{
		name: "options *",
		head: request("OPTIONS * HTTP/1.1", "Host: live.example"),
		err:  ErrNoUpgrade,
	},

	{
		name: "http/1.0",
		head: request("GET / HTTP/1.0", sampleFields...),
		err:  ErrHTTPVersion,
	},
	{
		name: "http/2 preface",
		head: "PRI * HTTP/2.0\r\n\r\n",
		err:  ErrHTTPVersion,
	},
	{
		name: "http/0.9 by number",
		head: request("GET / HTTP/0.9", sampleFields...),
		err:  ErrHTTPVersion,
	},
	{
		name: "http/0.9 by form",
		head: request("GET /"),
		err:  ErrRequestLine,
	},
	{
		name: "http/11",
		head: request("GET / HTTP/11", sampleFields...),
		err:  ErrRequestLine,
	},
	{
		name: "http/1.10",
		head: request("GET / HTTP/1.10", sampleFields...),
		err:  ErrRequestLine,
	},
	{
		name: "http/1,1",
		head: request("GET / HTTP/1,1", sampleFields...),
		err:  ErrRequestLine,
	},
	{
		name: "http/1.x",
		head: request("GET / HTTP/1.x", sampleFields...),
		err:  ErrRequestLine,
	},
	{
		name: "lower case http",
		head: request("GET / http/1.1", sampleFields...),
		err:  ErrRequestLine,
	},
	{
		name: "two blanks in the request line",
		head: request("GET  / HTTP/1.1", sampleFields...),
		err:  ErrRequestLine,
	},
	{
		name: "blank in the target",
		head: request("GET /a b HTTP/1.1", sampleFields...),
		err:  ErrRequestLine,
	},
	{
		name: "tab in the request line",
		head: request("GET\t/ HTTP/1.1", sampleFields...),
		err:  ErrRequestLine,
	},
	{
		name: "non-ascii target",
		head: request("GET /\u5f39 HTTP/1.1", sampleFields...),
		err:  ErrRequestLine,
	},
	{
		name: "fragment in the target",
		head: request("GET /#top HTTP/1.1", sampleFields...),
		err:  ErrRequestLine,
	},
	{
		name: "nul in the target",
		head: request("GET /\x00 HTTP/1.1", sampleFields...),
		err:  ErrRequestLine,
	},
	{
		name: "no method",
		head: request(" / HTTP/1.1", sampleFields...),
		err:  ErrRequestLine,
	},
	{
		name: "tls hello",
		head: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n",
		err:  ErrLineEnd,
	},
	{
		name: "target with a bad host",
		head: request("GET http://a@b/ HTTP/1.1", sampleFields...),
		err:  ErrRequestLine,
	},
	{
		name: "target is no path",
		head: request("GET * HTTP/1.1", sampleFields...),
		err:  ErrRequestTarget,
	},
	{
		name: "target without a slash",
		head: request("GET ws/r1 HTTP/1.1", sampleFields...),
		err:  ErrRequestTarget,
	},
	{
		name: "empty line first",
		head: "\r\n" + request(sampleLine, sampleFields...),
		err:  ErrRequestLine,
	},
	{
		name: "only an empty line",
		head: "\r\n\r\n",
		err:  ErrRequestLine,
	},

	{
		name: "bare lf",
		head: strings.ReplaceAll(request(sampleLine, sampleFields...), "\r\n", "\n"),
		err:  ErrLineEnd,
	},
	{
		name: "one bare lf",
		head: strings.Replace(request(sampleLine, sampleFields...), "\r\nUp", "\nUp", 1),
		err:  ErrLineEnd,
	},
	{
		name: "bare lf before the blank line",
		head: sampleLine + "\r\n" + strings.Join(sampleFields, "\r\n") + "\n\r\n",
		err:  ErrLineEnd,
	},
	{
		name: "bare cr in a value",
		head: request(sampleLine, with("+X: a\rb")...),
		err:  ErrLineEnd,
	},
	{
		name: "cr cr lf",
		head: request(sampleLine, with("+X: a\r")...),
		err:  ErrLineEnd,
	},
	{
		name: "folded",
		head: request(sampleLine, with("+X: a", "+ b")...),
		err:  ErrHeaderFolded,
	},
	{
		name: "folded with a colon",
		head: request(sampleLine, with("+X: a", "+\tHost: evil.example")...),
		err:  ErrHeaderFolded,
	},
	{
		name: "no colon",
		head: request(sampleLine, with("+Host")...),
		err:  ErrHeaderLine,
	},
	{
		name: "no name",
		head: request(sampleLine, with("+: x")...),
		err:  ErrHeaderLine,
	},
	{
		name: "blank before the colon",
		head: request(sampleLine, with("+Content-Length : 5")...),
		err:  ErrHeaderLine,
	},
	{
		name: "blank in a name",
		head: request(sampleLine, with("+X Y: 5")...),
		err:  ErrHeaderLine,
	},
	{
		name: "non-ascii name",
		head: request(sampleLine, with("+X-\u5f39: 5")...),
		err:  ErrHeaderLine,
	},
	{
		name: "nul in a value",
		head: request(sampleLine, with("+X: a\x00b")...),
		err:  ErrHeaderLine,
	},
	{
		name: "del in a value",
		head: request(sampleLine, with("+X: a\x7fb")...),
		err:  ErrHeaderLine,
	},
	{
		name: "malformed line in a plain request",
		head: request("GET / HTTP/1.1", "Host: live.example", "X : y"),
		err:  ErrHeaderLine,
	},

	{
		name: "post",
		head: request("POST /ws/r1 HTTP/1.1", sampleFields...),
		err:  ErrMethod,
	},
	{
		name: "lower case get",
		head: request("get /ws/r1 HTTP/1.1", sampleFields...),
		err:  ErrMethod,
	},
	{
		name: "connect",
		head: request("CONNECT live.example:80 HTTP/1.1", sampleFields...),
		err:  ErrMethod,
	},
	{
		name: "no host",
		head: request(sampleLine, with("-Host")...),
		err:  ErrHost,
	},
	{
		name: "no host, absolute target",
		head: request("GET http://live.example/ HTTP/1.1", with("-Host")...),
		err:  ErrHost,
	},
	{
		name: "empty host",
		head: request(sampleLine, with("Host:")...),
		err:  ErrHost,
	},
	{
		name: "host with a path",
		head: request(sampleLine, with("Host: live.example/x")...),
		err:  ErrHost,
	},
	{
		name: "hosts merged",
		head: request(sampleLine, with("Host: a.example, b.example")...),
		err:  ErrHost,
	},
	{
		name: "non-ascii host",
		head: request(sampleLine, with("Host: \u5f39.example")...),
		err:  ErrHost,
	},
	{
		name: "host twice",
		head: request(sampleLine, with("+Host: live.example")...),
		err:  ErrHeaderTwice,
	},
	{
		name: "empty host, then a host",
		head: request(sampleLine, append([]string{"Host:"}, sampleFields...)...),
		err:  ErrHeaderTwice,
	},
	{
		name: "host twice, absolute target",
		head: request("GET http://live.example/ HTTP/1.1", with("+Host: live.example")...),
		err:  ErrHeaderTwice,
	},
	{
		name: "key twice",
		head: request(sampleLine, with("+Sec-WebSocket-Key: "+sampleKey)...),
		err:  ErrHeaderTwice,
	},
	{
		name: "version twice",
		head: request(sampleLine, with("+Sec-WebSocket-Version: 13")...),
		err:  ErrHeaderTwice,
	},
	{
		name: "origin twice",
		head: request(sampleLine, with("+Origin: http://live.example", "+Origin: http://live.example")...),
		err:  ErrHeaderTwice,
	},
	{
		name: "authorization twice",
		head: request(sampleLine, with("+Authorization: Bearer a", "+Authorization: Bearer b")...),
		err:  ErrHeaderTwice,
	},
	{
		name: "body by length",
		head: request(sampleLine, with("+Content-Length: 5")...),
		err:  ErrBody,
	},
	{
		name: "body by one of two lengths",
		head: request(sampleLine, with("+Content-Length: 5", "+Content-Length: 0")...),
		err:  ErrBody,
	},
	{
		name: "length that is not a plain zero",
		head: request(sampleLine, with("+Content-Length: +0")...),
		err:  ErrBody,
	},
	{
		name: "chunked body",
		head: request(sampleLine, with("+Transfer-Encoding: chunked")...),
		err:  ErrBody,
	},
	{
		name: "transfer encoding identity",
		head: request(sampleLine, with("+transfer-encoding: identity")...),
		err:  ErrBody,
	},

	{
		name: "upgrade lists more",
		head: request(sampleLine, with("Upgrade: websocket, h2c")...),
	},
	{
		name: "upgrade twice",
		head: request(sampleLine, with("+Upgrade: h2c")...),
	},
	{
		name: "no connection",
		head: request(sampleLine, with("-Connection")...),
		err:  ErrConnection,
	},
	{
		name: "connection close",
		head: request(sampleLine, with("Connection: close")...),
		err:  ErrConnection,
	},
	{
		name: "connection in two fields",
		head: request(sampleLine, with("Connection: keep-alive", "+Connection: Upgrade")...),
	},
	{
		name: "connection with upgrade inside a word",
		head: request(sampleLine, with("Connection: keep-alive, upgraded")...),
		err:  ErrConnection,
	},
	{
		name: "no key",
		head: request(sampleLine, with("-Sec-WebSocket-Key")...),
		err:  ErrKey,
	},
	{
		name: "empty key",
		head: request(sampleLine, with("Sec-WebSocket-Key:")...),
		err:  ErrKey,
	},
	{
		name: "15 bytes of key",
		head: request(sampleLine, with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j")...),
		err:  ErrKey,
	},
	{
		name: "18 bytes of key in 24 characters",
		head: request(sampleLine, with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQAA")...),
		err:  ErrKey,
	},
	{
		name: "17 bytes of key in 24 characters",
		head: request(sampleLine, with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQA=")...),
		err:  ErrKey,
	},
	{
		name: "24 characters that are no base64",
		head: request(sampleLine, with("Sec-WebSocket-Key: ????????????????????????")...),
		err:  ErrKey,
	},
	{
		name: "key in the alphabet for addresses",
		head: request(sampleLine, with("Sec-WebSocket-Key: __________________-_-w==")...),
		err:  ErrKey,
	},
	{
		name: "no version",
		head: request(sampleLine, with("-Sec-WebSocket-Version")...),
		err:  ErrNoVersion,
	},
	{
		name: "version 8",
		head: request(sampleLine, with("Sec-WebSocket-Version: 8")...),
		err:  ErrVersion,
	},
	{
		name: "version 8 with a key of its own",
		head: request(sampleLine, with("Sec-WebSocket-Version: 8", "Sec-WebSocket-Key: other")...),
		err:  ErrVersion,
	},
	{
		name: "versions 8 and 13",
		head: request(sampleLine, with("Sec-WebSocket-Version: 8, 13")...),
		err:  ErrVersion,
	},
	{
		name: "version 013",
		head: request(sampleLine, with("Sec-WebSocket-Version: 013")...),
		err:  ErrVersion,
	},
	{
		name: "foreign origin",
		head: request(sampleLine, with("+Origin: https://evil.example")...),
		err:  ErrOrigin,
	},
	{
		name: "origin null",
		head: request(sampleLine, with("+Origin: null")...),
		err:  ErrOrigin,
	},
}

func TestUpgrade(t *testing.T) {
	for _, c := range upgradeCases {
		t.Run(c.name, func(t *testing.T) {
			if end := HeadEnd([]byte(c.head)); end != len(c.head) {
				t.Fatalf("head ends at %d of %d", end, len(c.head))
			}
			decided := 0
			head := []byte(c.head)
			reply, a, err := sampleUpgrader.Upgrade([]byte("kept"), head, func(*Request) error { decided++; return nil })
			if string(head) != c.head {
				t.Error("the head was changed")
			}
			if err != c.err {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			if err != nil {
				if string(reply) != "kept" || decided != 0 {
					t.Fatalf("refused with reply %q, decided %d times", reply, decided)
				}
				return
			}
			if decided != 1 || a != (Accepted{Protocol: c.protocol, WindowBits: 15}) {
				t.Fatalf("decided %d times, accepted %+v", decided, a)
			}
			rest, found := bytes.CutPrefix(reply, []byte("kept"))
			if !found {
				t.Fatalf("reply %q", reply)
			}
			checkSwitch(t, rest, c.answer)
		})
	}
}

// checkSwitch reads a 101 response with net/http.
func checkSwitch(t *testing.T, reply []byte, protocol string) {
	t.Helper()
	br := bufio.NewReader(bytes.NewReader(reply))
	resp, err := http.ReadResponse(br, nil)
	if err != nil || resp.StatusCode != 101 {
		t.Fatalf("reply %q: %v", reply, err)
	}
	want := http.Header{
		"Upgrade":              {"websocket"},
		"Connection":           {"Upgrade"},
		"Sec-Websocket-Accept": {sampleAccept},
		"Server":               {"danmakud"},
	}
	if protocol != "" {
		want["Sec-Websocket-Protocol"] = []string{protocol}
	}
	for name := range want {
		if !slices.Equal(resp.Header[name], want[name]) {
			t.Errorf("%s: %q, want %q", name, resp.Header[name], want[name])
		}
	}
	if len(resp.Header) != len(want) || br.Buffered() != 0 {
		t.Errorf("reply holds more: %q", reply)
	}
}

func TestUpgradeWithoutPolicies(t *testing.T) {
	var u Upgrader
	head := request(sampleLine, with("+Sec-WebSocket-Protocol: whatever")...)
	reply, a, err := u.Upgrade(nil, []byte(head), nil)
	if err != nil || a.Protocol != 0 || bytes.Contains(reply, []byte("Sec-WebSocket-Protocol")) || bytes.Contains(reply, []byte("Server:")) {
		t.Fatalf("%q %+v %v", reply, a, err)
	}
}

func TestUpgradeDecide(t *testing.T) {
	full := &Refusal{Status: 503, Name: "rooms", Message: "No room left.", Header: []string{"Retry-After: 5"}}
	other := errors.New("other")
	for _, want := range []error{full, other} {
		var seen Request
		reply, _, err := sampleUpgrader.Upgrade(nil, []byte(upgradeCases[1].head), func(r *Request) error {
			seen = *r
			return want
		})
		if err != want || reply != nil {
			t.Fatalf("%q %v", reply, err)
		}
		if seen.Path != "/ws/r1" || seen.Query != "history=20" || seen.Host != "live.example" || !seen.Upgrade {
			t.Fatalf("decided about %+v", seen)
		}
	}
}

func TestUpgradeOriginHook(t *testing.T) {
	u := Upgrader{Origin: func(origin, host string) bool { return origin == "https://a.example" && host == "live.example" }}
	for origin, want := range map[string]error{"https://a.example": nil, "https://b.example": ErrOrigin} {
		head := request(sampleLine, with("+Origin: "+origin)...)
		if _, _, err := u.Upgrade(nil, []byte(head), nil); err != want {
			t.Errorf("%s: %v", origin, err)
		}
	}
}

// TestUpgradeWrongCut: more or less than one head is refused, never guessed at.
func TestUpgradeWrongCut(t *testing.T) {
	head := request(sampleLine, sampleFields...)
	for _, extra := range []string{"\r\n", "x", "GET / HTTP/1.1\r\n\r\n"} {
		if _, _, err := sampleUpgrader.Upgrade(nil, []byte(head+extra), nil); err != error(ErrHeaderLine) {
			t.Errorf("head and %q: %v", extra, err)
		}
	}
	for cut := range len(head) {
		if _, _, err := sampleUpgrader.Upgrade(nil, []byte(head[:cut]), nil); err == nil {
			t.Errorf("upgraded by %d of %d bytes", cut, len(head))
		}
	}
}

func TestHeadEnd(t *testing.T) {
	cases := []struct {
		p    string
		want int
	}{
		{"", 0},
		{"\r\n", 0},
		{"GET / HTTP/1.1\r\n\r", 0},
		{"a\r\nb\r\n\r\nc", 8},
		{"a\r\n\r\n\r\n", 5},
		{"a\n\n", 3},
		{"a\n\r\nb", 4},
		{"a\r\n\nb", 4},
		{"a\r\r\n\r\r\n", 0},
		{"a\n b\n", 0},
	}
	for _, c := range cases {
		if got := HeadEnd([]byte(c.p)); got != c.want {
			t.Errorf("%q: %d, want %d", c.p, got, c.want)
		}
		for cut := range c.want { // not one byte sooner
			if got := HeadEnd([]byte(c.p[:cut])); got != 0 {
				t.Errorf("%q: %d", c.p[:cut], got)
			}
		}
	}
}

// TestB7BytesAfterTheHandshake: frames may come in the segment that ends the
// head. Whatever the cut between two reads, none of their bytes is lost.
func TestB7BytesAfterTheHandshake(t *testing.T) {
	for _, c := range upgradeCases {
		if c.err != nil || len(c.head) > 1000 {
			continue
		}
		sent := append([]byte(c.head), viewerBytes(text("first"), ping("p"), text("second"))...)
		for cut := range len(sent) + 1 {
			var head []byte
			e := echo{limit: 4096}
			upgraded := false
			for _, read := range [][]byte{sent[:cut], sent[cut:]} {
				read = bytes.Clone(read)
				if upgraded {
					e.feed(read)
					continue
				}
				head = append(head, read...)
				end := HeadEnd(head)
				if end == 0 {
					continue
				}
				reply, _, err := sampleUpgrader.Upgrade(nil, head[:end], nil)
				if err != nil {
					t.Fatalf("%s cut at %d: %v", c.name, cut, err)
				}
				checkSwitch(t, reply, c.answer)
				upgraded = true
				e.feed(head[end:])
			}
			if got := written(t, e.out); !slices.Equal(got, []string{"text first", "pong p", "text second"}) {
				t.Fatalf("%s cut at %d of %d, head of %d: %q", c.name, cut, len(sent), len(c.head), got)
			}
		}
	}
}

// TestRefusals reads each answer with net/http.
func TestRefusals(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Refusals() {
		if seen[r.Name] || !metricName(r.Name) {
			t.Errorf("name %q", r.Name)
		}
		seen[r.Name] = true
		br := bufio.NewReader(bytes.NewReader(r.AppendTo(nil)))
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatalf("%s: %v", r.Name, err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || string(body) != r.Message+"\n" || br.Buffered() != 0 {
			t.Errorf("%s: body %q, %v", r.Name, body, err)
		}
		if resp.StatusCode != r.Status || !resp.Close || resp.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%s: %d %v", r.Name, resp.StatusCode, resp.Header)
		}
		if !strings.Contains(r.Error(), strconv.Itoa(r.Status)) || !strings.Contains(r.Error(), r.Message) {
			t.Errorf("%s: %q", r.Name, r.Error())
		}
	}
	for r, want := range map[*Refusal][2]string{
		ErrVersion: {"Sec-Websocket-Version", "13"},
		ErrMethod:  {"Allow", "GET"},
	} {
		resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(r.AppendTo(nil))), nil)
		if err != nil || resp.Header.Get(want[0]) != want[1] {
			t.Errorf("%s: %v %v", r.Name, resp.Header, err)
		}
	}
	Refusals()[0] = nil
	if Refusals()[0] == nil {
		t.Error("the caller can change the list")
	}
}

func TestAppendResponse(t *testing.T) {
	got := string(AppendResponse([]byte("x"), 503, []string{"Retry-After: 5"}, "busy"))
	want := "xHTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 4\r\nRetry-After: 5\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nbusy"
	if got != want {
		t.Errorf("%q, want %q", got, want)
	}
	got = string(AppendResponse(nil, 426, []string{"upgrade: websocket"}, ""))
	want = "HTTP/1.1 426 Upgrade Required\r\nConnection: close, Upgrade\r\nContent-Length: 0\r\nupgrade: websocket\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
	if got != want {
		t.Errorf("%q, want %q", got, want)
	}
	got = string(AppendResponse(nil, 400, []string{"content-type: application/json", "X: a\r\nEvil: b\x7f"}, ""))
	want = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\ncontent-type: application/json\r\nX: a  Evil: b \r\n\r\n"
	if got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
