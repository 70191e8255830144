package conformance

import (
	"bytes"
	"fmt"
	"slices"
)

// framing is group 1: sizes, forms of the length, masks.
func framing() []Case {
	sizes := []int{0, 1, 2, 124, 125, 126, 127, 128, 65534, 65535, 65536, 65537}
	var texts, binaries []Case
	for _, n := range sizes {
		name, p := fmt.Sprintf("%d bytes", n), filled(n)
		texts = append(texts, does("text of "+name, []sent{textFrame(string(p))}, gotText(string(p))))
		b := bytes.Repeat([]byte{0xFE}, n)
		binaries = append(binaries, does("binary of "+name, []sent{binaryFrame(b)}, gotBinary(b)))
	}
	chopped := does("text of 65536 bytes in writes of 997", []sent{textFrame(string(filled(65536)))}, gotText(string(filled(65536))))
	chopped.Chop = 997
	texts = append(texts, chopped)
	return slices.Concat(
		group("1.1", "6455 5.6", Echo, texts...),
		group("1.2", "6455 5.6", Echo, binaries...),
		group("1.3", "6455 5.2", Both, lengthForms()...),
		group("1.4", "6455 5.1", Both, masks()...),
	)
}

// lengthForms are lengths that are not in their shortest form, or none at all.
func lengthForms() (cases []Case) {
	for _, extra := range []int{2, 8} {
		for _, n := range []int{0, 1, 125, 126, 65535} {
			if extra == 2 && n > 125 {
				continue
			}
			f := textFrame(string(filled(n)))
			f.extra = extra
			cases = append(cases, does(fmt.Sprintf("length %d in %d more bytes", n, extra), []sent{f}, gotClose(1002)))
		}
	}
	for _, top := range []byte{0x80, 0xFF} {
		p := []byte{fin | opText, 0xFF, top, 0, 0, 0, 0, 0, 0, 1}
		cases = append(cases, Case{
			Name:  fmt.Sprintf("length with its top bit set, %x", top),
			Steps: []Step{{Send: p, Want: []Frame{gotClose(1002)}}},
		})
	}
	return cases
}

func masks() []Case {
	zero, ones, other := ping("zero mask"), ping("mask of ones"), ping("another mask")
	zero.zeroKey = true
	ones.key = [4]byte{0xFF, 0xFF, 0xFF, 0xFF}
	other.key = [4]byte{0, 1, 2, 3}
	cases := []Case{
		does("masks of zeros, of ones, and different ones", []sent{zero, ones, other, ping("p")},
			gotPong("zero mask"), gotPong("mask of ones"), gotPong("another mask"), gotPong("p")),
	}
	for name, f := range inOrder(map[string]sent{
		"text": textFrame("x"), "empty text": textFrame(""), "binary": binaryFrame([]byte("x")), "ping": ping("x"), "empty ping": ping(""),
		"pong": pong(""), "close": closeFrame(1000, ""), "empty close": closeBody(""), "fragment": textStart("x"),
	}) {
		f.bare = true
		cases = append(cases, does("not masked: "+name, []sent{ping("before"), f}, gotPong("before"), gotClose(1002)))
	}
	// Two bytes condemn it; a server that waits for a mask waits for ever.
	bare := ping("")
	bare.bare = true
	cases = append(cases, Case{
		Name: "not masked, byte by byte",
		Chop: 1, Steps: once([]sent{bare}, gotClose(1002)),
	})
	fragment := next("y")
	fragment.bare = true
	return append(cases, does("not masked: continuation", []sent{textStart("x"), fragment}, gotClose(1002)))
}

// inOrder walks a small map by its keys, so that cases keep their numbers.
func inOrder[V any](m map[string]V) func(yield func(string, V) bool) {
	return func(yield func(string, V) bool) {
		var names []string
		for name := range m {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			if !yield(name, m[name]) {
				return
			}
		}
	}
}

// pings is group 2.
func pings() []Case {
	var many []sent
	var pongs []Frame
	for i := range 10 {
		many = append(many, ping(fmt.Sprintf("payload-%d", i)))
		pongs = append(pongs, gotPong(fmt.Sprintf("payload-%d", i)))
	}
	long := string(bytes.Repeat([]byte{0xFE}, 125))
	chopped := func(name string, chop int) Case {
		c := does(name, many, pongs...)
		c.Chop = chop
		return c
	}
	return slices.Concat(
		group("2.1", "6455 5.5.2", Both,
			does("empty", []sent{ping("")}, gotPong("")),
			does("text", []sent{ping("Hello")}, gotPong("Hello")),
			does("one byte", []sent{ping("\x00")}, gotPong("\x00")),
			does("no text", []sent{ping("\x00\xff\xfe\xfd\xfc")}, gotPong("\x00\xff\xfe\xfd\xfc")),
			does("124 bytes", []sent{ping(long[1:])}, gotPong(long[1:])),
			does("125 bytes", []sent{ping(long)}, gotPong(long)),
			does("126 bytes", []sent{ping(long + "x")}, gotClose(1002)),
			does("65536 bytes", []sent{ping(string(filled(65536)))}, gotClose(1002)),
			does("ten in one write", many, pongs...),
			chopped("ten in writes of one byte", 1),
			chopped("ten in writes of 7 bytes", 7),
			does("twice the same", []sent{ping("a"), ping("a")}, gotPong("a"), gotPong("a")),
			does("then a close", []sent{ping("a"), closeFrame(1000, "")}, gotPong("a"), gotClose(1000)),
		),
		group("2.2", "6455 5.5.3", Both,
			does("unasked", []sent{pong("")}),
			does("unasked, with a payload", []sent{pong("unasked")}),
			does("unasked, then a ping", []sent{pong("unasked"), ping("p")}, gotPong("p")),
			does("125 bytes", []sent{pong(long), ping("p")}, gotPong("p")),
			does("126 bytes", []sent{pong(long + "x"), ping("p")}, gotClose(1002)),
			does("no text", []sent{pong("\xff"), ping("p")}, gotPong("p")),
			does("a hundred", append(slices.Repeat([]sent{pong("x")}, 100), ping("p")), gotPong("p")),
		),
	)
}

// reservedBits is group 3: no extension was negotiated.
func reservedBits() []Case {
	var cases []Case
	for bits := byte(rsv3); bits <= rsv1|rsv2|rsv3; bits += rsv3 {
		for name, f := range inOrder(map[string]sent{
			"text": textFrame("x"), "binary": binaryFrame([]byte("x")), "fragment": textStart("x"),
			"ping": ping("x"), "pong": pong("x"), "close": closeFrame(1000, ""),
		}) {
			f.first |= bits
			cases = append(cases, does(fmt.Sprintf("RSV %03b in a %s", bits>>4, name),
				[]sent{ping("before"), f, ping("never seen")}, gotPong("before"), gotClose(1002)))
		}
		f := last("x")
		f.first |= bits
		cases = append(cases, does(fmt.Sprintf("RSV %03b in a continuation", bits>>4),
			[]sent{textStart("x"), ping("before"), f, ping("never seen")}, gotPong("before"), gotClose(1002)))
	}
	return group("3.1", "6455 5.2", Both, cases...)
}

// opcodes is group 4.
func opcodes() []Case {
	var alone, inside []Case
	for _, op := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		for _, payload := range []string{"", "reserved opcode"} {
			f := sent{first: fin | op, payload: []byte(payload)}
			alone = append(alone, does(fmt.Sprintf("opcode %d with %d bytes", op, len(payload)),
				[]sent{ping("before"), f, ping("never seen")}, gotPong("before"), gotClose(1002)))
		}
		f := sent{first: op, payload: []byte("x")}
		inside = append(inside, does(fmt.Sprintf("opcode %d inside a message", op),
			[]sent{textStart("x"), f, last("y")}, gotClose(1002)))
	}
	return slices.Concat(group("4.1", "6455 5.2", Both, alone...), group("4.2", "6455 5.2", Both, inside...))
}

// fragmentation is group 5.
func fragmentation() []Case {
	binaryStart := sent{first: opBinary, payload: []byte{0, 1}}
	fragmentedPing, fragmentedPong, fragmentedClose := ping("a"), pong("a"), closeFrame(1000, "")
	for _, f := range []*sent{&fragmentedPing, &fragmentedPong, &fragmentedClose} {
		f.first &^= fin
	}
	var bytewise []sent
	for _, b := range filled(100) {
		bytewise = append(bytewise, next(string(b)))
	}
	bytewise[0].first = opText
	bytewise[99].first = fin | opContinuation
	chopped := does("two, byte by byte", []sent{textStart("fragment1"), last("fragment2")}, gotText("fragment1fragment2"))
	chopped.Chop = 1
	pinged := []sent{textStart("fragment1"), ping("p1"), next("fragment2"), ping("p2"), pong("x"), last("fragment3")}
	pingedByte := does("pings between, byte by byte", pinged, gotPong("p1"), gotPong("p2"), gotText("fragment1fragment2fragment3"))
	pingedByte.Chop = 1
	good := group("5.1", "6455 5.4", Echo,
		does("two", []sent{textStart("fragment1"), last("fragment2")}, gotText("fragment1fragment2")),
		chopped,
		does("two of binary", []sent{binaryStart, last("\x02")}, gotBinary([]byte{0, 1, 2})),
		does("empty first", []sent{textStart(""), last("x")}, gotText("x")),
		does("empty last", []sent{textStart("x"), last("")}, gotText("x")),
		does("empty middle", []sent{textStart("x"), next(""), last("y")}, gotText("xy")),
		does("all empty", []sent{textStart(""), next(""), next(""), last("")}, gotText("")),
		does("a hundred of one byte", bytewise, gotText(string(filled(100)))),
		does("pings between", pinged, gotPong("p1"), gotPong("p2"), gotText("fragment1fragment2fragment3")),
		pingedByte,
		does("two messages one after the other", []sent{textStart("a"), last("b"), binaryStart, last("\x02"), textFrame("c")},
			gotText("ab"), gotBinary([]byte{0, 1, 2}), gotText("c")),
		Case{Name: "a ping is answered before the message goes on", Steps: []Step{
			{Send: bytesOf(textStart("a"), ping("p")), Want: []Frame{gotPong("p")}},
			{Send: bytesOf(last("b")), Want: []Frame{gotText("ab")}},
		}},
		does("continuation after a whole message", []sent{textStart("a"), last("b"), last("c")}, gotText("ab"), gotClose(1002)),
		does("binary that is no text, cut in a character", []sent{{first: opBinary, payload: []byte("\xed")}, last("\xa0\x80")}, gotBinary([]byte("\xed\xa0\x80"))),
	)
	bad := group("5.2", "6455 5.4", Both,
		does("ping in fragments", []sent{fragmentedPing, last("b")}, gotClose(1002)),
		does("pong in fragments", []sent{fragmentedPong, last("b")}, gotClose(1002)),
		does("close in fragments", []sent{fragmentedClose, last("")}, gotClose(1002)),
		does("ping in fragments inside a message", []sent{textStart("x"), fragmentedPing, last("b")}, gotClose(1002)),
		does("last continuation of nothing", []sent{last("x"), textFrame("y")}, gotClose(1002)),
		does("continuation of nothing", []sent{next("x"), last("y")}, gotClose(1002)),
		does("empty continuation of nothing", []sent{last("")}, gotClose(1002)),
		does("text inside text", []sent{textStart("a"), textFrame("b")}, gotClose(1002)),
		does("text begun inside text", []sent{textStart("a"), textStart("b")}, gotClose(1002)),
		does("binary inside text", []sent{textStart("a"), binaryFrame([]byte("b"))}, gotClose(1002)),
		does("text inside binary", []sent{binaryStart, textFrame("b")}, gotClose(1002)),
		does("binary begun inside binary", []sent{binaryStart, binaryStart}, gotClose(1002)),
		does("text inside text after a ping", []sent{textStart("a"), ping("p"), textFrame("b")}, gotPong("p"), gotClose(1002)),
		does("a message left open", []sent{textStart("a"), ping("p")}, gotPong("p")),
	)
	return slices.Concat(good, bad)
}
