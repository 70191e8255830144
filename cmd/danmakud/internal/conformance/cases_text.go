package conformance

import (
	"fmt"
	"slices"
)

// goodTexts must come back.
var goodTexts = []struct{ name, text string }{
	{"ascii", "Hello-World"},
	{"nul", "\x00"},
	{"delete", "\x7f"},
	{"Greek", "κόσμε"},
	{"comments", "前方高能 弹幕 😀"},
	{"first of two bytes", "\u0080"},
	{"last of two bytes", "\u07ff"},
	{"first of three bytes", "\u0800"},
	{"last before the surrogates", "\ud7ff"},
	{"first behind the surrogates", "\ue000"},
	{"replacement character", "\ufffd"},
	{"last of three bytes", "\uffff"},
	{"noncharacter U+FFFE", "\ufffe"},
	{"noncharacter U+FDD0", "\ufdd0"},
	{"byte order mark", "\ufeffx"},
	{"first of four bytes", "\U00010000"},
	{"noncharacter U+1FFFE", "\U0001fffe"},
	{"noncharacter U+8FFFF", "\U0008ffff"},
	{"last of all", "\U0010ffff"},
	{"combining marks", "e\u0301\u0323"},
	{"joined emoji", "👩\u200d👩\u200d👧"},
}

// badTexts are wrong from byte bad on, whatever follows. bad = length: the text
// is wrong only because it ends there.
var badTexts = []struct {
	name, text string
	bad        int
}{
	{"lone continuation 80", "\x80", 0},
	{"lone continuation bf", "\xbf", 0},
	{"lone continuation after good", "κόσμε\xbf", 10},
	{"two lone continuations", "\x80\xbf", 0},
	{"c0, overlong slash", "\xc0\xaf", 0},
	{"c1, overlong", "\xc1\xbf", 0},
	{"e0, overlong slash", "\xe0\x80\xaf", 1},
	{"e0, longest overlong", "\xe0\x9f\xbf", 1},
	{"f0, overlong slash", "\xf0\x80\x80\xaf", 1},
	{"f0, longest overlong", "\xf0\x8f\xbf\xbf", 1},
	{"f8, five bytes", "\xf8\x88\x80\x80\x80", 0},
	{"fc, six bytes", "\xfc\x84\x80\x80\x80\x80", 0},
	{"c0 80, overlong nul", "\xc0\x80", 0},
	{"e0 80 80, overlong nul", "\xe0\x80\x80", 1},
	{"f0 80 80 80, overlong nul", "\xf0\x80\x80\x80", 1},
	{"first high surrogate", "\xed\xa0\x80", 1},
	{"last high surrogate", "\xed\xaf\xbf", 1},
	{"first low surrogate", "\xed\xb0\x80", 1},
	{"last low surrogate", "\xed\xbf\xbf", 1},
	{"pair of surrogates", "\xed\xa0\xbd\xed\xb8\x80", 1},
	{"U+110000", "\xf4\x90\x80\x80", 1},
	{"f4 bf", "\xf4\xbf\xbf\xbf", 1},
	{"f5", "\xf5\x80\x80\x80", 0},
	{"f7", "\xf7\xbf\xbf\xbf", 0},
	{"fe", "\xfe", 0},
	{"ff", "\xff", 0},
	{"fe fe ff ff", "\xfe\xfe\xff\xff", 0},
	{"two bytes, second is a space", "\xc3 ", 1},
	{"two bytes, second is a lead", "\xc3\xc3\xa9", 1},
	{"three bytes, second is ascii", "\xe5x\xb9", 1},
	{"three bytes, third is ascii", "\xe5\xbcx", 2},
	{"three bytes, third is a lead", "\xe5\xbc\xe5\xbc\xb9", 2},
	{"four bytes, second is a lead", "\xf0\xf0\x9f\x98\x80", 1},
	{"four bytes, third is ascii", "\xf0\x9fx\x80", 2},
	{"four bytes, fourth is ascii", "\xf0\x9f\x98x", 3},
	{"bad in the middle of good", "κόσμε\xed\xa0\x80edited", 11},
	{"Latin-1", "caf\xe9!", 4},
	{"UTF-16", "\xff\xfea\x00", 0},
	{"two bytes cut", "a\xc3", 2},
	{"three bytes cut after one", "a\xe5", 2},
	{"three bytes cut after two", "a\xe5\xbc", 3},
	{"four bytes cut after one", "a\xf0", 2},
	{"four bytes cut after two", "a\xf0\x9f", 3},
	{"four bytes cut after three", "a\xf0\x9f\x98", 4},
}

// text is group 6.
func text() []Case {
	var whole, split, wrong, wrongSplit, fast, fastSplit []Case
	for _, g := range goodTexts {
		whole = append(whole, does(g.name, []sent{textFrame(g.text)}, gotText(g.text)))
		if len(g.text) > 1 {
			split = append(split, does(g.name+", a fragment a byte", fragments(g.text), gotText(g.text)))
		}
	}
	for _, b := range badTexts {
		wrong = append(wrong, does(b.name, []sent{textFrame(b.text)}, gotClose(1007)))
		if b.bad == len(b.text) {
			wrongSplit = append(wrongSplit, does(b.name+", a fragment a byte", fragments(b.text), gotClose(1007)))
			continue
		}
		// Up to the bad byte and nothing more: who waits for the rest waits for ever.
		pieces := fragments(b.text + "rest")[:b.bad+1]
		wrongSplit = append(wrongSplit, does(b.name+", a fragment a byte", pieces, gotClose(1007)))
		whole := textFrame(b.text + "the rest of the frame").appendTo(nil)
		fast = append(fast, Case{Name: b.name + ", in half a frame", Steps: []Step{
			{Send: whole[:6+b.bad]},
			{Send: whole[6+b.bad : 7+b.bad], Want: []Frame{gotClose(1007)}},
		}})
		second := last(b.text + "the rest of the frame").appendTo(nil)
		fastSplit = append(fastSplit, Case{Name: b.name + ", in half a continuation", Steps: []Step{
			{Send: bytesOf(textStart("good "), ping("p")), Want: []Frame{gotPong("p")}},
			{Send: second[:6+b.bad]},
			{Send: second[6+b.bad : 7+b.bad], Want: []Frame{gotClose(1007)}},
		}})
	}
	return slices.Concat(
		group("6.1", "6455 8.1", Echo, whole...),
		group("6.2", "6455 5.4", Echo, split...),
		group("6.3", "6455 8.1", Both, wrong...),
		group("6.4", "6455 8.1", Both, wrongSplit...),
		group("6.5", "6455 8.1", Both, fast...),
		group("6.6", "6455 8.1", Both, fastSplit...),
		group("6.7", "6455 5.6", Echo, cutCharacters()...),
		group("6.8", "6455 8.1", Both, longTexts()...),
	)
}

// fragments is a message of which each byte is a frame.
func fragments(s string) (frames []sent) {
	for i := range len(s) {
		frames = append(frames, next(s[i:i+1]))
	}
	frames[0].first = opText
	frames[len(frames)-1].first |= fin
	return frames
}

// cutCharacters are good texts in two fragments, cut at every byte, with a ping in
// between; and binary messages, in which anything goes.
func cutCharacters() (cases []Case) {
	const s = "é弹😀"
	for cut := range len(s) + 1 {
		cases = append(cases, does(fmt.Sprintf("cut after %d bytes", cut),
			[]sent{textStart(s[:cut]), ping("p"), last(s[cut:])}, gotPong("p"), gotText(s)))
	}
	for _, b := range badTexts[:4] {
		cases = append(cases, does("binary: "+b.name, []sent{binaryFrame([]byte(b.text))}, gotBinary([]byte(b.text))))
	}
	return cases
}

// longTexts have their bad byte far behind, in a frame that goes on. The checks
// of a piece that was seen before must not be lost or done with a wrong mask.
func longTexts() (cases []Case) {
	for _, n := range []int{255, 256, 257, 4095, 65535, 100_000} {
		f := textFrame(string(filled(n)) + "\xed\xa0\x80" + "more of it").appendTo(nil)
		header := len(f) - n - 3 - 10
		cases = append(cases,
			Case{Name: fmt.Sprintf("bad after %d bytes, in half a frame", n), Steps: []Step{
				{Send: f[:header+n+1]},
				{Send: f[header+n+1 : header+n+2], Want: []Frame{gotClose(1007)}},
			}},
			Case{Name: fmt.Sprintf("bad after %d bytes, in writes of 1021", n), Chop: 1021, Steps: []Step{
				{Send: f[:header+n+2], Want: []Frame{gotClose(1007)}},
			}})
	}
	return cases
}
