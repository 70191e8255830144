package conformance

import (
	"slices"
	"strings"
)

// asks is a case of a head that is upgraded.
func asks(name, head string) Case { return Case{Name: name, Head: head} }

// isRefused is a case of a head that is answered with a status.
func isRefused(name string, status int, head string, fields ...string) Case {
	return Case{Name: name, Head: head, Status: status, Fields: fields}
}

// handshake is group 11.
func handshake() []Case {
	return slices.Concat(
		group("11.1", "6455 4.2.1", Both, goodHeads()...),
		group("11.2", "6455 4.2.1", Both, badFields()...),
		group("11.3", "9112 3", Both, badLines()...),
		group("11.4", "9112 5", Both, badHeaders()...),
		group("11.5", "6455 4.2.2", Echo, echoOnly()...),
		group("11.6", "6455 10.2", Serve, origins()...),
	)
}

func goodHeads() []Case {
	chopped := asks("byte by byte", head(line, usual...))
	chopped.Chop = 1
	backwards := slices.Clone(usual)
	slices.Reverse(backwards)
	cases := []Case{
		asks("smallest", head(line, usual...)),
		chopped,
		asks("fields in another order", head(line, backwards...)),
		asks("names in capitals", head(line, "HOST: a", "UPGRADE: websocket", "CONNECTION: Upgrade", "SEC-WEBSOCKET-KEY: "+sampleKey, "SEC-WEBSOCKET-VERSION: 13")),
		asks("names in small letters", head(line, "host: a", "upgrade: websocket", "connection: upgrade", "sec-websocket-key: "+sampleKey, "sec-websocket-version: 13")),
		asks("Upgrade in mixed case", head(line, with("Upgrade: WebSocket")...)),
		asks("Upgrade in capitals", head(line, with("Upgrade: WEBSOCKET")...)),
		asks("Connection in capitals", head(line, with("Connection: UPGRADE")...)),
		asks("Connection lists keep-alive first", head(line, with("Connection: keep-alive, Upgrade")...)),
		asks("Connection lists keep-alive last", head(line, with("Connection: Upgrade, keep-alive")...)),
		asks("Connection without blanks", head(line, with("Connection: keep-alive,Upgrade,x")...)),
		asks("Connection with empty elements", head(line, with("Connection: , Upgrade ,,")...)),
		asks("Connection in two fields, Upgrade last", head(line, with("Connection: keep-alive", "+Connection: Upgrade")...)),
		asks("Connection in two fields, Upgrade first", head(line, with("+Connection: keep-alive")...)),
		asks("Connection in two fields, listed in both", head(line, with("Connection: keep-alive, Upgrade", "+Connection: Upgrade")...)),
		asks("Upgrade lists another protocol last", head(line, with("Upgrade: websocket, h2c")...)),
		asks("Upgrade lists another protocol first", head(line, with("Upgrade: h2c, websocket")...)),
		asks("Upgrade in two fields", head(line, with("Upgrade: h2c", "+Upgrade: websocket")...)),
		asks("Upgrade lists a protocol with its version", head(line, with("Upgrade: TLS/1.0,websocket")...)),
		asks("no blanks behind the colons", head(line, "Host:a", "Upgrade:websocket", "Connection:Upgrade", "Sec-WebSocket-Key:"+sampleKey, "Sec-WebSocket-Version:13")),
		asks("blanks around values", head(line, with("Upgrade: \t websocket \t ", "Connection:  Upgrade  ", "Sec-WebSocket-Key:   "+sampleKey+" ", "Sec-WebSocket-Version: 13 ")...)),
		asks("another key", head(line, with("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")...)),
		asks("a key with plus and slash", head(line, with("Sec-WebSocket-Key: +/+/+/+/+/+/+/+/+/+/+w==")...)),
		asks("unknown fields", head(line, with("+X-Name: value", "+Cookie: a=b; c=d", "+Pragma: no-cache")...)),
		asks("an unknown Sec-WebSocket field", head(line, with("+Sec-WebSocket-Future: x")...)),
		asks("a field without a value", head(line, with("+X-Name:")...)),
		asks("bytes above ascii in a value", head(line, with("+X-Name: 弹幕")...)),
		asks("Host with a port", head(line, with("Host: conformance.example:8080")...)),
		asks("Host is an IPv6 address", head(line, with("Host: [::1]:8080")...)),
		asks("a long field", head(line, with("+Cookie: "+strings.Repeat("c", 6000))...)),
		asks("a hundred fields", head(line, with(slices.Repeat([]string{"+X-Name: value"}, 100)...)...)),
		asks("a query", head("GET {path}?a=b&c=%20 HTTP/1.1", usual...)),
		asks("absolute target", head("GET http://conformance.example{path} HTTP/1.1", usual...)),
		asks("HTTP/1.2", head("GET {path} HTTP/1.2", usual...)),
		asks("Content-Length of zero", head(line, with("+Content-Length: 0")...)),
		asks("extensions nobody knows", head(line, with("+Sec-WebSocket-Extensions: x-unknown; a=b, x-other")...)),
		asks("a browser's", head(line,
			"Host: conformance.example", "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Accept: */*",
			"Accept-Language: zh-CN,zh;q=0.9", "Accept-Encoding: gzip, deflate, br, zstd", "Sec-WebSocket-Version: 13", "Origin: http://conformance.example",
			"Sec-WebSocket-Key: "+sampleKey, "Connection: keep-alive, Upgrade", "Pragma: no-cache", "Cache-Control: no-cache", "Upgrade: websocket")),
	}
	for i := range cases {
		cases[i].Fields = []string{"-Sec-WebSocket-Extensions", "-Sec-WebSocket-Protocol"}
	}
	return cases
}

// badFields have something wrong in the fields of WebSocket.
func badFields() []Case {
	wrong := func(name string, changes ...string) Case {
		return isRefused(name, 400, head(line, with(changes...)...))
	}
	version := func(name, value string) Case {
		return isRefused(name, 426, head(line, with("Sec-WebSocket-Version: "+value)...), "Sec-WebSocket-Version: 13", "Upgrade: websocket")
	}
	return []Case{
		wrong("no Connection", "-Connection"),
		wrong("Connection: close", "Connection: close"),
		wrong("Connection: keep-alive", "Connection: keep-alive"),
		wrong("empty Connection", "Connection:"),
		wrong("Upgrade inside a longer token of Connection", "Connection: keep-alive, upgraded"),
		wrong("Upgrade inside a hyphenated token of Connection", "Connection: no-upgrade"),
		wrong("Connection lists Upgrade after a semicolon", "Connection: keep-alive; Upgrade"),
		wrong("no key", "-Sec-WebSocket-Key"),
		wrong("empty key", "Sec-WebSocket-Key:"),
		wrong("key of 15 bytes", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j"),
		wrong("key of 17 bytes", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQA="),
		wrong("key of 18 bytes", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQAA"),
		wrong("key of 32 bytes", "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="),
		wrong("key that is no base64", "Sec-WebSocket-Key: ????????????????????????"),
		wrong("key without padding", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ"),
		wrong("key in the alphabet of addresses", "Sec-WebSocket-Key: __________________-_-w=="),
		wrong("key with a blank inside", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25 ZQ=="),
		wrong("key twice", "+Sec-WebSocket-Key: "+sampleKey),
		wrong("version twice", "+Sec-WebSocket-Version: 13"),
		wrong("no version", "-Sec-WebSocket-Version"),
		version("version 0", "0"),
		version("version 7", "7"),
		version("version 8", "8"),
		version("version 12", "12"),
		version("version 14", "14"),
		version("version 255", "255"),
		version("version 013", "013"),
		version("version 13.0", "13.0"),
		version("no number", "thirteen"),
		version("empty version", ""),
		version("several versions", "8, 13"),
		version("negative", "-13"),
		wrong("no Host", "-Host"),
		wrong("empty Host", "Host:"),
		wrong("Host twice", "+Host: conformance.example"),
		wrong("two different Hosts", "+Host: other.example"),
		wrong("Host with a path", "Host: conformance.example/x"),
		wrong("Host with user info", "Host: user@conformance.example"),
		wrong("a body by its length", "+Content-Length: 5"),
		wrong("two lengths", "+Content-Length: 5", "+Content-Length: 0"),
		wrong("a chunked body", "+Transfer-Encoding: chunked"),
	}
}

// badLines have something wrong in the request line.
func badLines() []Case {
	return []Case{
		isRefused("HTTP/1.0", 505, head("GET {path} HTTP/1.0", usual...)),
		isRefused("HTTP/0.9 by number", 505, head("GET {path} HTTP/0.9", usual...)),
		isRefused("HTTP/2.0", 505, head("GET {path} HTTP/2.0", usual...)),
		isRefused("HTTP/2 preface", 505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
		isRefused("HTTP/0.9 by form", 400, head("GET {path}", usual...)),
		isRefused("HTTP/1.10", 400, head("GET {path} HTTP/1.10", usual...)),
		isRefused("HTTP/11", 400, head("GET {path} HTTP/11", usual...)),
		isRefused("small http", 400, head("GET {path} http/1.1", usual...)),
		isRefused("another protocol", 400, head("GET {path} ICAP/1.1", usual...)),
		isRefused("POST", 405, head("POST {path} HTTP/1.1", usual...), "Allow: GET"),
		isRefused("HEAD", 405, head("HEAD {path} HTTP/1.1", usual...), "Allow: GET"),
		isRefused("PUT", 405, head("PUT {path} HTTP/1.1", usual...), "Allow: GET"),
		isRefused("small get", 405, head("get {path} HTTP/1.1", usual...), "Allow: GET"),
		isRefused("OPTIONS", 405, head("OPTIONS {path} HTTP/1.1", usual...), "Allow: GET"),
		isRefused("no method", 400, head(" {path} HTTP/1.1", usual...)),
		isRefused("no target", 400, head("GET HTTP/1.1", usual...)),
		isRefused("two blanks before the target", 400, head("GET  {path} HTTP/1.1", usual...)),
		isRefused("two blanks behind the target", 400, head("GET {path}  HTTP/1.1", usual...)),
		isRefused("a blank at the end", 400, head("GET {path} HTTP/1.1 ", usual...)),
		isRefused("tabs for blanks", 400, head("GET\t{path}\tHTTP/1.1", usual...)),
		isRefused("a blank in the target", 400, head("GET {path}a b HTTP/1.1", usual...)),
		isRefused("a fragment in the target", 400, head("GET {path}#top HTTP/1.1", usual...)),
		isRefused("a nul in the target", 400, head("GET {path}\x00 HTTP/1.1", usual...)),
		isRefused("bytes above ascii in the target", 400, head("GET {path}弹 HTTP/1.1", usual...)),
		isRefused("a target without a slash", 400, head("GET ws HTTP/1.1", usual...)),
		isRefused("a target of *", 400, head("GET * HTTP/1.1", usual...)),
		isRefused("an empty line first", 400, "\r\n"+head(line, usual...)),
		isRefused("a TLS hello", 400, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n"),
	}
}

// badHeaders have something wrong in the lines of the head.
func badHeaders() []Case {
	whole := head(line, usual...)
	wrong := func(name string, changes ...string) Case {
		return isRefused(name, 400, head(line, with(changes...)...))
	}
	large := isRefused("a head of more than 8 KiB", 431, head(line, with("+Cookie: "+strings.Repeat("c", 9000))...))
	chopped := large
	chopped.Name, chopped.Chop = "a head of more than 8 KiB in writes of 100", 100
	return []Case{
		isRefused("line feeds alone", 400, strings.ReplaceAll(whole, "\r\n", "\n")),
		isRefused("one line feed alone", 400, strings.Replace(whole, "\r\nUp", "\nUp", 1)),
		isRefused("line feed alone before the empty line", 400, strings.TrimSuffix(whole, "\r\n\r\n")+"\n\r\n"),
		wrong("carriage return alone", "+X-Name: a\rb"),
		wrong("two carriage returns", "+X-Name: a\r"),
		wrong("folded", "+X-Name: a", "+ b"),
		wrong("folded with a colon", "+X-Name: a", "+\tHost: other.example"),
		wrong("no colon", "+X-Name"),
		wrong("no name", "+: x"),
		wrong("a blank before the colon", "+X-Name : x"),
		wrong("a blank in a name", "+X Name: x"),
		wrong("bytes above ascii in a name", "+X-弹: x"),
		wrong("a nul in a value", "+X-Name: a\x00b"),
		wrong("a control character in a value", "+X-Name: a\x01b"),
		wrong("a delete in a value", "+X-Name: a\x7fb"),
		large, chopped,
		isRefused("garbage of more than 8 KiB", 431, strings.Repeat("x", 10_000)),
	}
}

// echoOnly: the echo has no plain HTTP, and every path is its own.
func echoOnly() []Case {
	plain := func(name, request string) Case {
		return isRefused(name, 426, request, "Upgrade: websocket", "-Sec-WebSocket-Accept")
	}
	cases := []Case{
		plain("plain GET", head("GET / HTTP/1.1", "Host: a")),
		plain("plain POST", head("POST / HTTP/1.1", "Host: a", "Content-Length: 0")),
		plain("plain HTTP/1.0", head("GET / HTTP/1.0")),
		plain("no Upgrade", head(line, with("-Upgrade")...)),
		plain("empty Upgrade", head(line, with("Upgrade:")...)),
		plain("another Upgrade", head(line, with("Upgrade: h2c")...)),
		plain("websocket inside a longer token", head(line, with("Upgrade: websockets")...)),
		plain("websocket with a version", head(line, with("Upgrade: websocket/13")...)),
		asks("no page's origin is refused", head(line, with("+Origin: https://other.example")...)),
		asks("subprotocols are passed over", head(line, with("+Sec-WebSocket-Protocol: chat, superchat")...)),
	}
	for _, path := range []string{"/", "/ws/room", "/a/b/c?d=e", "/%E5%BC%B9", "//", "/?", "/getCaseCount", "/*"} {
		cases = append(cases, asks("path "+path, head("GET "+path+" HTTP/1.1", usual...)))
	}
	for i := range cases {
		if cases[i].Status == 0 {
			cases[i].Fields = []string{"-Sec-WebSocket-Protocol"}
		}
	}
	return cases
}

// origins and subprotocols, which only the server judges.
func origins() []Case {
	return []Case{
		asks("the same host", head(line, with("+Origin: http://conformance.example")...)),
		asks("the same host over TLS", head(line, with("+Origin: https://conformance.example")...)),
		isRefused("another host", 403, head(line, with("+Origin: https://other.example")...)),
		isRefused("a host that begins in the same way", 403, head(line, with("+Origin: https://conformance.example.other")...)),
		isRefused("null", 403, head(line, with("+Origin: null")...)),
		isRefused("twice", 400, head(line, with("+Origin: http://conformance.example", "+Origin: http://conformance.example")...)),
		{Name: "the server's subprotocol", Head: head(line, with("+Sec-WebSocket-Protocol: danmaku.v1.json")...), Fields: []string{"Sec-WebSocket-Protocol: danmaku.v1.json"}},
		{Name: "among others", Head: head(line, with("+Sec-WebSocket-Protocol: a, danmaku.v1.json")...), Fields: []string{"Sec-WebSocket-Protocol: danmaku.v1.json"}},
		{Name: "in the second field", Head: head(line, with("+Sec-WebSocket-Protocol: a", "+Sec-WebSocket-Protocol: danmaku.v1.json")...), Fields: []string{"Sec-WebSocket-Protocol: danmaku.v1.json"}},
		isRefused("none of the server's", 400, head(line, with("+Sec-WebSocket-Protocol: a, b")...)),
		isRefused("in another case", 400, head(line, with("+Sec-WebSocket-Protocol: DANMAKU.v1.json")...)),
		isRefused("another path", 404, head("GET /elsewhere HTTP/1.1", usual...)),
	}
}
