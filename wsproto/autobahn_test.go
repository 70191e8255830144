package wsproto

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// The cases of the Autobahn test suite for servers, sections 1 to 7 and 9, as
// our own table: what a viewer sends and what the server writes. Every case is
// sent in one read, byte by byte, and in reads of 7 bytes.

type autobahnCase struct {
	name string
	send []byte
	want []string
	fail error
	size int // bytes of a read that the long cases are also sent in
}

func autobahnCases() []autobahnCase {
	return slices.Concat(
		autobahnFraming(),
		autobahnFragments(),
		autobahnText(),
		autobahnClose(),
		autobahnLimits(),
	)
}

const autobahnLimit = 5 << 20

func TestAutobahn(t *testing.T) {
	for _, c := range autobahnCases() {
		t.Run(c.name, func(t *testing.T) {
			reads := []int{len(c.send), 7, 1}
			if c.size > 0 {
				reads = []int{len(c.send), c.size}
			}
			for _, size := range reads {
				for _, peek := range []bool{false, true} {
					e := echo{limit: autobahnLimit, peek: peek}
					for p := range slices.Chunk(bytes.Clone(c.send), max(size, 1)) {
						e.feed(p)
					}
					if got := written(t, e.out); !slices.Equal(got, c.want) {
						t.Fatalf("reads of %d bytes: wrote %.200q, want %.200q", size, got, c.want)
					}
					if e.failure != c.fail {
						t.Fatalf("reads of %d bytes: failed with %v, want %v", size, e.failure, c.fail)
					}
				}
			}
		})
	}
}

// Sections 1 to 4: framing, pings and pongs, reserved bits, opcodes.
func autobahnFraming() []autobahnCase {
	var cases []autobahnCase
	for i, n := range []int{0, 125, 126, 127, 128, 65535, 65536} {
		for section, op := range []Op{OpText, OpBinary} {
			payload := bytes.Repeat([]byte{'*'}, n)
			cases = append(cases, autobahnCase{
				name: fmt.Sprintf("1.%d.%d", section+1, i+1),
				send: viewerBytes(frameSpec{op: op, payload: payload}),
				want: []string{fmt.Sprintf("%v %s", op, payload)},
				size: 997 * (n / 65535),
			})
		}
	}
	long := string(bytes.Repeat([]byte{0xFE}, 125))
	var pings []frameSpec
	var pongs []string
	for i := range 10 {
		pings = append(pings, ping(fmt.Sprintf("payload-%d", i)))
		pongs = append(pongs, fmt.Sprintf("pong payload-%d", i))
	}
	pong := frameSpec{op: OpPong, payload: []byte("unsolicited")}
	cases = append(cases,
		autobahnCase{name: "2.1", send: viewerBytes(ping("")), want: []string{"pong "}},
		autobahnCase{name: "2.2", send: viewerBytes(ping("Hello")), want: []string{"pong Hello"}},
		autobahnCase{name: "2.3", send: viewerBytes(ping("\x00\xff\xfe\xfd")), want: []string{"pong \x00\xff\xfe\xfd"}},
		autobahnCase{name: "2.4", send: viewerBytes(ping(long)), want: []string{"pong " + long}},
		autobahnCase{name: "2.5", send: viewerBytes(ping(long + "x")), want: []string{"close 1002"}, fail: ErrControlLong},
		autobahnCase{name: "2.7", send: viewerBytes(pong), want: nil},
		autobahnCase{name: "2.9", send: viewerBytes(pong, ping("p")), want: []string{"pong p"}},
		autobahnCase{name: "2.10", send: viewerBytes(pings...), want: pongs},
	)
	for i, rsv := range []byte{0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70} {
		for _, op := range []Op{OpText, OpBinary, OpPing, OpClose} {
			cases = append(cases, autobahnCase{
				name: fmt.Sprintf("3.%d %v", i+1, op),
				send: viewerBytes(text("before"), frameSpec{op: op, rsv: rsv, payload: []byte("xx")}, ping("never seen")),
				want: []string{"text before", "close 1002"},
				fail: ErrReservedBits,
			})
		}
	}
	for _, op := range []Op{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		for _, payload := range []string{"", "reserved opcode"} {
			cases = append(cases, autobahnCase{
				name: fmt.Sprintf("4 opcode %d with %d bytes", op, len(payload)),
				send: viewerBytes(text("before"), frameSpec{op: op, payload: []byte(payload)}, ping("never seen")),
				want: []string{"text before", "close 1002"},
				fail: ErrOpcode,
			})
		}
	}
	return cases
}

// Section 5: fragmentation.
func autobahnFragments() []autobahnCase {
	return []autobahnCase{
		{
			name: "5.1",
			send: viewerBytes(frameSpec{op: OpPing, more: true, payload: []byte("a")}, last("b")),
			want: []string{"close 1002"},
			fail: ErrControlFragmented,
		},
		{
			name: "5.2",
			send: viewerBytes(frameSpec{op: OpPong, more: true, payload: []byte("a")}, last("b")),
			want: []string{"close 1002"},
			fail: ErrControlFragmented,
		},
		{
			name: "5.3",
			send: viewerBytes(textStart("fragment1"), last("fragment2")),
			want: []string{"text fragment1fragment2"},
		},
		{
			name: "5.6",
			send: viewerBytes(textStart("fragment1"), ping("ping payload"), last("fragment2")),
			want: []string{"pong ping payload", "text fragment1fragment2"},
		},
		{
			name: "5.9",
			send: viewerBytes(last("non-continuation"), text("Hello")),
			want: []string{"close 1002"},
			fail: ErrContinuation,
		},
		{
			name: "5.12",
			send: viewerBytes(next("non-continuation"), text("Hello")),
			want: []string{"close 1002"},
			fail: ErrContinuation,
		},
		{
			name: "5.15",
			send: viewerBytes(textStart("fragment1"), last("fragment2"), next("fragment3"), text("fragment4")),
			want: []string{"text fragment1fragment2", "close 1002"},
			fail: ErrContinuation,
		},
		{
			name: "5.18",
			send: viewerBytes(textStart("fragment1"), text("fragment2")),
			want: []string{"close 1002"},
			fail: ErrInterleaved,
		},
		{
			name: "5.19",
			send: viewerBytes(textStart("fragment1"), next("fragment2"), ping("1"), next("fragment3"), ping("2"), next("fragment4"), last("fragment5")),
			want: []string{"pong 1", "pong 2", "text fragment1fragment2fragment3fragment4fragment5"},
		},
	}
}

// Section 6: UTF-8, each text whole, in two fragments cut everywhere, and in
// fragments of one byte.
func autobahnText() []autobahnCase {
	var cases []autobahnCase
	for _, c := range textCases {
		want, fail := []string{"text " + c.text}, error(nil)
		if c.bad >= 0 || c.cut {
			want, fail = []string{"close 1007"}, ErrText
		}
		add := func(name string, frames ...frameSpec) {
			cases = append(cases, autobahnCase{name: "6 " + c.name + name, send: viewerBytes(frames...), want: want, fail: fail})
		}
		add(" whole", text(c.text))
		for cut := range len(c.text) {
			add(fmt.Sprintf(" cut at %d", cut), textStart(c.text[:cut]), last(c.text[cut:]))
		}
		bytewise := []frameSpec{textStart("")}
		for i := range len(c.text) {
			bytewise = append(bytewise, next(c.text[i:i+1]))
		}
		add(" byte by byte", append(bytewise, last(""))...)
	}
	return cases
}

// TestAutobahnFailFast is 6.4: the failure comes with the bad byte, not with
// the end of the message; in fragments (6.4.1, 6.4.2) and, with Peek, in the
// middle of a frame (6.4.3, 6.4.4).
func TestAutobahnFailFast(t *testing.T) {
	good := "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"
	for _, bad := range []string{"\xf4\x90\x80\x80", "\xf4\x90"} {
		e := echo{limit: autobahnLimit}
		e.feed(viewerBytes(textStart(good)))
		if e.closed {
			t.Fatal("failed on a good fragment")
		}
		e.feed(viewerBytes(next(bad)))
		if e.failure != error(ErrText) {
			t.Fatalf("bad fragment %x: %v", bad, e.failure)
		}

		frame := viewerBytes(text(good + bad + "edited"))
		e = echo{limit: autobahnLimit, peek: true}
		e.feed(frame[:6+len(good)])
		e.feed(frame[6+len(good) : 6+len(good)+1]) // f4 alone may become good
		if e.closed {
			t.Fatal("failed on good bytes")
		}
		e.feed(frame[6+len(good)+1 : 6+len(good)+2])
		if e.failure != error(ErrText) {
			t.Fatalf("bad bytes %x inside a frame: %v", bad, e.failure)
		}
	}
}

// Section 7: close handling. What comes after a close is not looked at.
func autobahnClose() []autobahnCase {
	code := func(c int) string { return string([]byte{byte(c >> 8), byte(c)}) }
	cases := []autobahnCase{
		{
			name: "7.1.1",
			send: viewerBytes(text("Hello World!"), closing(code(1000))),
			want: []string{"text Hello World!", "close 1000"},
		},
		{
			name: "7.1.2",
			send: viewerBytes(closing(code(1000)), closing(code(1000))),
			want: []string{"close 1000"},
		},
		{
			name: "7.1.3",
			send: viewerBytes(closing(code(1000)), ping("after")),
			want: []string{"close 1000"},
		},
		{
			name: "7.1.5",
			send: viewerBytes(textStart("fragment1"), closing(code(1000)), last("fragment2")),
			want: []string{"close 1000"},
		},
		{
			name: "7.3.1",
			send: viewerBytes(closing("")),
			want: []string{"close"},
		},
		{
			name: "7.3.2",
			send: viewerBytes(closing("a")),
			want: []string{"close 1002"},
			fail: ErrCloseShort,
		},
		{
			name: "7.3.4",
			send: viewerBytes(closing(code(1000) + "Hello World!")),
			want: []string{"close 1000"},
		},
		{
			name: "7.3.5",
			send: viewerBytes(closing(code(1000) + strings.Repeat("*", 123))),
			want: []string{"close 1000"},
		},
		{
			name: "7.3.6",
			send: viewerBytes(closing(code(1000) + strings.Repeat("*", 124))),
			want: []string{"close 1002"},
			fail: ErrControlLong,
		},
		{
			name: "7.5.1",
			send: viewerBytes(closing(code(1000) + "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited")),
			want: []string{"close 1007"},
			fail: ErrCloseText,
		},
	}
	for _, c := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999} {
		cases = append(cases, autobahnCase{
			name: fmt.Sprintf("7.7 code %d", c),
			send: viewerBytes(closing(code(c))),
			want: []string{fmt.Sprintf("close %d", c)},
		})
	}
	for _, c := range []int{0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		for _, reason := range []string{"", "reason"} {
			cases = append(cases, autobahnCase{
				name: fmt.Sprintf("7.9 code %d %s", c, reason),
				send: viewerBytes(closing(code(c) + reason)),
				want: []string{"close 1002"},
				fail: ErrCloseCode,
			})
		}
	}
	return cases
}

// Section 9: long messages, in one frame and in many.
func autobahnLimits() []autobahnCase {
	var cases []autobahnCase
	for _, op := range []Op{OpText, OpBinary} {
		payload := filled(1 << 20)
		want := []string{fmt.Sprintf("%v %s", op, payload)}
		cases = append(cases, autobahnCase{
			name: fmt.Sprintf("9 %v of 1 MiB", op),
			send: viewerBytes(frameSpec{op: op, payload: payload}),
			want: want,
			size: 64 << 10,
		})
		for _, size := range []int{64, 4096, 256 << 10} {
			frames := []frameSpec{{op: op, more: true}}
			for p := range slices.Chunk(payload, size) {
				frames = append(frames, frameSpec{op: OpContinuation, more: true, payload: p})
			}
			cases = append(cases, autobahnCase{
				name: fmt.Sprintf("9 %v of 1 MiB in fragments of %d", op, size),
				send: viewerBytes(append(frames, last(""))...),
				want: want,
				size: 64 << 10,
			})
		}
	}
	return append(cases,
		autobahnCase{
			name: "9 frame above the limit",
			send: viewerBytes(frameSpec{op: OpBinary, payload: filled(autobahnLimit + 1)})[:20],
			want: []string{"close 1009"},
			fail: ErrFrameBig,
		},
		autobahnCase{
			name: "9 message above the limit",
			send: viewerBytes(
				frameSpec{op: OpBinary, more: true, payload: filled(autobahnLimit)},
				last("x"),
			),
			want: []string{"close 1009"},
			fail: ErrMessageBig,
			size: 64 << 10,
		},
	)
}

// TestB6HalfFramesHoldNobody: the parser never waits. However many connections
// stop in the middle of a frame, one more is served in full.
func TestB6HalfFramesHoldNobody(t *testing.T) {
	whole := viewerBytes(textStart("\u5f39"), ping("p"), last("\u5e55"))
	var stuck []*echo
	for cut := range len(whole) {
		e := &echo{limit: 4096, peek: true}
		e.feed(bytes.Clone(whole[:cut]))
		stuck = append(stuck, e)
		one := &echo{limit: 4096}
		one.feed(bytes.Clone(whole))
		if got := written(t, one.out); !slices.Equal(got, []string{"pong p", "text \u5f39\u5e55"}) {
			t.Fatalf("with %d half frames open: %q", len(stuck), got)
		}
	}
	for cut, e := range stuck { // and each of them can go on
		e.feed(bytes.Clone(whole[cut:]))
		if got := written(t, e.out); !slices.Equal(got, []string{"pong p", "text \u5f39\u5e55"}) {
			t.Fatalf("stopped after %d bytes: %q", cut, got)
		}
	}
}
