package conformance

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/danmakud/danmakud/wsproto"
)

// limits is group 9: long messages, short fragments, our own bounds, and writes
// that end anywhere.
func limits() []Case {
	var long []Case
	for _, n := range []int{64 << 10, 256 << 10, MessageLimit} {
		p := filled(n)
		long = append(long,
			does(fmt.Sprintf("text of %d bytes", n), []sent{textFrame(string(p))}, gotText(string(p))),
			does(fmt.Sprintf("binary of %d bytes", n), []sent{binaryFrame(p)}, gotBinary(p)))
	}
	var split, chopped []Case
	p := filled(256 << 10)
	for _, size := range []int{64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10} {
		for _, op := range []byte{opText, opBinary} {
			frames := []sent{{first: op}}
			for piece := range slices.Chunk(p, size) {
				frames = append(frames, sent{first: opContinuation, payload: piece})
			}
			split = append(split, does(fmt.Sprintf("opcode %d, fragments of %d", op, size), append(frames, last("")), Frame{Op: op, Payload: p}))
		}
	}
	for _, size := range []int{64, 128, 256, 512, 1024, 2048, 4096} {
		q := p[:size*64]
		for _, op := range []byte{opText, opBinary} {
			c := does(fmt.Sprintf("opcode %d, writes of %d", op, size), []sent{{first: fin | op, payload: q}}, Frame{Op: op, Payload: q})
			c.Chop = size
			chopped = append(chopped, c)
		}
	}
	return slices.Concat(
		group("9.1", "6455 5.2", Echo, long...),
		group("9.3", "6455 5.4", Echo, append(split, manyEmpty())...),
		group("9.5", "6455 5.2", Echo, chopped...),
		group("9.7", "6455 10.4", Both, tooLong()...),
		group("9.9", "6455 5.2", Echo, everyCut()...),
	)
}

// manyEmpty has as many fragments as a message may, all of them empty.
func manyEmpty() Case {
	frames := slices.Repeat([]sent{next("")}, wsproto.FragmentsMax(MessageLimit))
	frames[0], frames[len(frames)-1] = textStart(""), last("")
	return does("as many empty fragments as may be", frames, gotText(""))
}

// tooLong are messages above the limit, found at the header where that can be.
func tooLong() (cases []Case) {
	for _, n := range []uint64{MessageLimit + 1, 1 << 31, 1 << 32, 1 << 62, 1<<63 - 1} {
		header := binary.BigEndian.AppendUint64([]byte{fin | opText, 0xFF}, n)
		cases = append(cases, Case{
			Name:  fmt.Sprintf("header of a frame of %d bytes", n),
			Steps: []Step{{Send: append(header, mask[:]...), Want: []Frame{gotClose(1009)}}},
		}, Case{
			Name: fmt.Sprintf("header of a frame of %d bytes, byte by byte", n), Chop: 1,
			Steps: []Step{{Send: append(header, mask[:]...), Want: []Frame{gotClose(1009)}}},
		})
	}
	half := filled(MessageLimit / 2)
	empty := slices.Repeat([]sent{next("")}, wsproto.FragmentsMax(MessageLimit))
	empty[0] = textStart("")
	return append(cases,
		does("one empty fragment too many", append(empty, next("")), gotClose(1008)),
		does("fragments above the limit in sum", []sent{textStart(string(half)), next(string(half)), ping("p"), last("x")}, gotPong("p"), gotClose(1009)),
		does("fragment above the limit at once", []sent{textStart("x"), next(string(half)), ping("p"), last(string(half))}, gotPong("p"), gotClose(1009)),
	)
}

// everyCut sends one conversation in two writes, cut at each byte. What is
// complete by then must come before the second.
func everyCut() (cases []Case) {
	frames := []sent{textStart("弹"), ping("p"), last("幕"), binaryFrame(filled(126)), closeFrame(1000, "bye")}
	answers := []Frame{{}, gotPong("p"), gotText("弹幕"), gotBinary(filled(126)), gotClose(1000)}
	p := bytesOf(frames...)
	for cut := 1; cut < len(p); cut++ {
		// Within a long payload one place is like the other.
		if cut > 40 && cut < len(p)-20 {
			continue
		}
		steps := []Step{{Send: p[:cut]}, {Send: p[cut:]}}
		end := 0
		for i, f := range frames {
			end += len(f.appendTo(nil))
			if answers[i].Op == 0 {
				continue
			}
			at := &steps[0]
			if end > cut {
				at = &steps[1]
			}
			at.Want = append(at.Want, answers[i])
		}
		cases = append(cases, Case{Name: fmt.Sprintf("cut after %d bytes", cut), Steps: steps})
	}
	return cases
}

// miscellaneous is group 10.
func miscellaneous() []Case {
	var many []sent
	var echoes []Frame
	for i := range 1000 {
		s := fmt.Sprintf("message %d", i)
		many, echoes = append(many, textFrame(s)), append(echoes, gotText(s))
		if i%100 == 0 {
			many, echoes = append(many, ping(s)), append(echoes, gotPong(s))
		}
	}
	chopped := does("a thousand messages in writes of 1009 bytes", many, echoes...)
	chopped.Chop = 1009
	behind := head(line, usual...) + string(bytesOf(textFrame("right behind"), ping("p")))
	half := head(line, usual...) + string(bytesOf(textFrame("half a frame"))[:9])
	broken := head(line, usual...) + "\xFF\xFF"
	return slices.Concat(
		group("10.1", "6455 5.4", Echo,
			does("a thousand messages and ten pings in one write", many, echoes...),
			chopped,
			does("kinds of messages in turn", []sent{textFrame("a"), binaryFrame([]byte("b")), textFrame(""), binaryFrame(nil), textStart("c"), last("d")},
				gotText("a"), gotBinary([]byte("b")), gotText(""), gotBinary(nil), gotText("cd")),
			Case{Name: "frames right behind the head", Head: behind, Steps: []Step{{Want: []Frame{gotText("right behind"), gotPong("p")}}}},
			Case{Name: "frames right behind the head, byte by byte", Head: behind, Chop: 1, Steps: []Step{{Want: []Frame{gotText("right behind"), gotPong("p")}}}},
			Case{Name: "half a frame right behind the head", Head: half, Steps: []Step{{Send: bytesOf(textFrame("half a frame"))[9:], Want: []Frame{gotText("half a frame")}}}},
		),
		group("10.2", "6455 7.1.7", Both,
			Case{Name: "a broken frame right behind the head", Head: broken, Steps: []Step{{Want: []Frame{gotClose(1002)}}}},
			Case{Name: "a close right behind the head", Head: head(line, usual...) + string(bytesOf(closeFrame(1000, ""))), Steps: []Step{{Want: []Frame{gotClose(1000)}}}},
			Case{Name: "much behind a broken frame", Steps: []Step{{
				Send: append([]byte{0xFF, 0xFF}, filled(500_000)...), Want: []Frame{gotClose(1002)},
			}}},
		),
		group("10.3", "9293 3.6", Echo,
			Case{Name: "hanging up without a close frame", Hangup: true, Steps: once([]sent{textFrame("last words")}, gotText("last words"))},
			Case{Name: "hanging up inside a frame", Hangup: true, Steps: []Step{{Send: bytesOf(textFrame("x"), ping("p"))[:9], Want: []Frame{gotText("x")}}}},
			Case{Name: "hanging up at once", Hangup: true},
			Case{Name: "hanging up behind a large message", Hangup: true, Steps: once([]sent{binaryFrame(filled(MessageLimit))}, gotBinary(filled(MessageLimit)))},
		),
	)
}
