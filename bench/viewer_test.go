//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"
)

// heldViewer is a joined viewer whose loop is not running: the test calls
// readable itself. server is the other end.
func heldViewer(t *testing.T, how level) (v *viewer, server net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	l, err := newLoop()
	if err != nil {
		t.Fatal(err)
	}
	p := plan{Addr: listener.Addr().String(), Speaks: speaksDanmaku, RoomName: "r", Rooms: 1, Viewers: 2, Drain: how, Sources: 1, Workers: 1, InFlight: 1}
	f, err := newFleet(l, p)
	if err != nil {
		t.Fatal(err)
	}
	f.next = 1 // number 0 would be verified as the first of its room
	if how == verified {
		f.next = 0
	}
	f.open(nowMicros())
	if server, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	v = f.members[0]
	if v.state == connecting {
		v.connected(connectError(v.fd), nowMicros())
	}
	_ = server.SetDeadline(time.Now().Add(20 * time.Second)) // a guard against hanging
	v.state = joined
	v.seq.next = 1
	t.Cleanup(func() {
		server.Close()
		l.fleets[0] = f // so that the loop closes it
		l.ended = true
		go l.run()
		<-l.done
	})
	return v, server
}

// deliver writes whole frames and has the viewer read until it has them all.
func deliver(t *testing.T, v *viewer, server net.Conn, p []byte) {
	t.Helper()
	if _, err := server.Write(p); err != nil {
		t.Fatal(err)
	}
	guard := time.Now().Add(20 * time.Second)
	for want := v.fleet.status.Bytes + int64(len(p)); v.fleet.status.Bytes < want && v.state != over; {
		if v.readable(); time.Now().After(guard) {
			t.Fatal("not all bytes arrived")
		}
	}
}

func batchFrame(seq, size int) []byte {
	text := fmt.Sprintf(`{"type":"batch","room":"r-0","seq":%d,"ts":1,"comments":[],"x":"`, seq)
	return serverFrame(opText, []byte(text+strings.Repeat("x", max(0, size-len(text)-2))+`"}`))
}

func TestNoAllocationForAFrame(t *testing.T) {
	for _, how := range []level{counted, framed} {
		for _, size := range []int{100, 3000, 20000, 100000} {
			t.Run(fmt.Sprintf("level %d, %d bytes", how, size), func(t *testing.T) {
				v, server := heldViewer(t, how)
				seq := 0
				frames := make([][]byte, 0, 22)
				for range cap(frames) {
					frames = append(frames, batchFrame(len(frames)+1, size))
				}
				next := func() { deliver(t, v, server, frames[seq]); seq++ }
				next() // the first may size a buffer
				if a := testing.AllocsPerRun(20, next); a > 0 {
					t.Errorf("%v allocations a frame", a)
				}
				if n := v.fleet.faults.total(); n != 0 {
					t.Errorf("faults: %v", v.fleet.faults.Examples)
				}
				if how == framed && v.batches != int64(seq) {
					t.Errorf("%d batches of %d", v.batches, seq)
				}
				if want := int64(seq * len(frames[0])); v.bytes < want-int64(seq) || v.bytes > want+int64(seq) {
					t.Errorf("%d bytes, want about %d", v.bytes, want)
				}
			})
		}
	}
}

// TestNoAllocationForAKnownCompressedFrame: what a worker has inflated once
// costs a comparison at every further viewer, whatever its level and size.
func TestNoAllocationForAKnownCompressedFrame(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, how := range []level{framed, verified} {
		for _, size := range []int{300, 3000, 40000, 200000} {
			t.Run(fmt.Sprintf("level %d, %d bytes", how, size), func(t *testing.T) {
				v, server := heldViewer(t, how)
				v.deflate = true
				var frames [][]byte
				for seq := 1; seq <= 22; seq++ {
					text := fmt.Appendf(nil, `{"type":"batch","room":"r-0","seq":%d,"ts":1,"comments":[],"x":"`, seq)
					for len(text) < size {
						text = append(text, "0123456789abcdef"[r.IntN(16)])
					}
					frames = append(frames, deflatedFrame(append(text, `"}`...)))
				}
				for _, f := range frames { // the first viewer inflates
					deliver(t, v, server, f)
				}
				v.seq.next, v.batches = 1, 0
				at := 0
				next := func() { deliver(t, v, server, frames[at]); at++ }
				next()
				if a := testing.AllocsPerRun(20, next); a > 0 {
					t.Errorf("%v allocations a frame", a)
				}
				if n := v.fleet.faults.total(); n != 0 || v.fleet.status.Inflated != 22 || v.batches != int64(at) {
					t.Errorf("%d batches of %d, %d inflated, faults: %v", v.batches, at, v.fleet.status.Inflated, v.fleet.faults.Examples)
				}
			})
		}
	}
}

// TestFramesCutAnywhere delivers a stream byte by byte and in odd pieces; what
// a viewer makes of it must not depend on the pieces.
func TestFramesCutAnywhere(t *testing.T) {
	t.Parallel()
	var stream, packed []byte
	frames := 0
	for _, size := range []int{100, 130, 5000, 100, 70000, 200} {
		frames++
		stream = append(stream, batchFrame(frames, size)...)
		packed = append(packed, deflatedFrame(payloadOf(batchFrame(frames, size)))...)
	}
	for _, how := range []level{framed, verified} {
		for _, piece := range []int{7, 61, 1000, 4096, len(stream)} {
			v, server := heldViewer(t, how)
			for rest := stream; len(rest) > 0; rest = rest[min(piece, len(rest)):] {
				deliver(t, v, server, rest[:min(piece, len(rest))])
			}
			v2, server2 := heldViewer(t, how)
			v2.deflate = true
			for rest := packed; len(rest) > 0; rest = rest[min(piece, len(rest)):] {
				deliver(t, v2, server2, rest[:min(piece, len(rest))])
			}
			if v2.batches != int64(frames) || v2.bytes != int64(len(packed)) || v2.seq.lost() != 0 || v2.fleet.faults.total() != 0 {
				t.Errorf("compressed, level %d, pieces of %d: %d batches, %d of %d bytes, faults %v", how, piece, v2.batches, v2.bytes, len(packed), v2.fleet.faults.Examples)
			}
			if v.batches != int64(frames) || v.bytes != int64(len(stream)) || v.seq.lost() != 0 || v.fleet.faults.total() != 0 {
				t.Errorf("level %d, pieces of %d: %d batches, %d of %d bytes, faults %v", how, piece, v.batches, v.bytes, len(stream), v.fleet.faults.Examples)
			}
		}
	}
}

func TestCountedViewerAnswersPingAfterSilence(t *testing.T) {
	t.Parallel()
	v, server := heldViewer(t, counted)
	v.fleet.now = nowMicros()
	v.heard = v.fleet.now - 2*quietMicros
	if _, err := server.Write(serverFrame(opPing, []byte("there?"))); err != nil {
		t.Fatal(err)
	}
	answered := make(chan []byte)
	go func() {
		_, head, err := readMasked(afterHead(server))
		if err != nil {
			head = []byte(err.Error())
		}
		answered <- head
	}()
	for {
		v.readable()
		select {
		case got := <-answered:
			if !bytes.Equal(got, []byte("there?")) {
				t.Errorf("pong with %q", got)
			}
			if v.bytes != 0 {
				t.Errorf("the ping counted as %d bytes of batches", v.bytes)
			}
			return
		default:
		}
	}
}

// afterHead skips the upgrade request that the viewer has sent.
func afterHead(server net.Conn) *bufio.Reader {
	in := bufio.NewReader(server)
	for line := ""; line != "\r\n"; {
		var err error
		if line, err = in.ReadString('\n'); err != nil {
			break
		}
	}
	return in
}
