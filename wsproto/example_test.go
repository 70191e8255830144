package wsproto_test

import (
	"fmt"

	"github.com/danmakud/danmakud/wsproto"
)

// A connection from its first byte to its first message: head and first frame
// arrived in one read.
func Example() {
	read := append([]byte("GET /ws/r1?history=5 HTTP/1.1\r\n"+
		"Host: live.example\r\n"+
		"Upgrade: websocket\r\n"+
		"Connection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"+
		"Sec-WebSocket-Version: 13\r\n\r\n"),
		0x81, 0x83, 1, 2, 3, 4, '6'^1, '6'^2, '6'^3) // masked text "666"

	var upgrader wsproto.Upgrader
	end := wsproto.HeadEnd(read)
	reply, _, err := upgrader.Upgrade(nil, read[:end], func(r *wsproto.Request) error {
		history, _ := r.QueryValue("history")
		fmt.Println(r.Path, "history", history)
		return nil
	})
	fmt.Println(string(reply[:12]), err)

	var message wsproto.Assembler
	for rest := read[end:]; ; {
		frame, n, err := wsproto.Decode(rest, 4096, false)
		if n == 0 {
			fmt.Println("left", len(rest), err)
			return
		}
		rest = rest[n:]
		if m, done, err := message.Push(frame, 4096); done {
			fmt.Printf("%v %s %v\n", m.Op, m.Data, err)
			fmt.Printf("%q\n", wsproto.AppendFrame(nil, m.Op, m.Data))
		}
	}
	// Output:
	// /ws/r1 history 5
	// HTTP/1.1 101 <nil>
	// text 666 <nil>
	// "\x81\x03666"
	// left 0 <nil>
}
