package conformance

import (
	"fmt"
	"slices"
	"strings"
)

var legalCodes = []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3001, 3999, 4000, 4500, 4999}

var illegalCodes = []int{0, 1, 125, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 5001, 32768, 65535}

// closing is group 7.
func closing() []Case {
	reason := strings.Repeat("*", 123)
	var after []Case
	for name, f := range inOrder(map[string]sent{
		"text": textFrame("after"), "binary": binaryFrame([]byte("after")), "ping": ping("after"), "pong": pong("after"),
		"a second close": closeFrame(1001, "again"), "a frame that breaks a rule": {first: 0xFF, payload: []byte("x")},
		"a large message": textFrame(string(filled(200_000))), "continuation": last("x"), "half a header": {first: fin | opText},
	}) {
		after = append(after, does("then "+name, []sent{closeFrame(1000, ""), f}, gotClose(1000)))
	}
	orderly := group("7.1", "6455 7.1.2", Both,
		does("after a ping", []sent{ping("p"), closeFrame(1000, "bye")}, gotPong("p"), gotClose(1000)),
		does("at once", []sent{closeFrame(1000, "")}, gotClose(1000)),
		does("inside a fragmented message", []sent{textStart("a"), closeFrame(1000, "")}, gotClose(1000)),
		does("inside a fragmented message, which goes on", []sent{textStart("a"), closeFrame(1000, ""), last("b")}, gotClose(1000)),
		Case{Name: "byte by byte", Chop: 1, Steps: once([]sent{closeFrame(4000, "bye")}, gotClose(4000))},
		Case{Name: "empty, byte by byte", Chop: 1, Steps: once([]sent{closeBody("")}, gotEmptyClose)},
		Case{Name: "with a mask of zeros", Steps: once([]sent{{first: fin | opClose, payload: codeBytes(1000), zeroKey: true}}, gotClose(1000))},
	)
	echoed := group("7.2", "6455 7.1.2", Echo,
		does("what came before is answered", []sent{textFrame("a"), textFrame("b"), closeFrame(1000, "")}, gotText("a"), gotText("b"), gotClose(1000)),
		does("a large message before", []sent{textFrame(string(filled(200_000))), closeFrame(1000, "")}, gotText(string(filled(200_000))), gotClose(1000)),
	)
	bodies := group("7.3", "6455 5.5.1", Both,
		does("no body", []sent{closeBody("")}, gotEmptyClose),
		does("one byte", []sent{closeBody("\x03")}, gotClose(1002)),
		does("a code", []sent{closeFrame(1000, "")}, gotClose(1000)),
		does("a code and a byte", []sent{closeFrame(1000, "x")}, gotClose(1000)),
		does("a reason", []sent{closeFrame(1000, "going home")}, gotClose(1000)),
		does("a reason that is no ascii", []sent{closeFrame(1000, "再见 😀")}, gotClose(1000)),
		does("124 bytes", []sent{closeFrame(1000, reason[1:])}, gotClose(1000)),
		does("125 bytes", []sent{closeFrame(1000, reason)}, gotClose(1000)),
		does("126 bytes", []sent{closeFrame(1000, reason+"*")}, gotClose(1002)),
		does("65536 bytes", []sent{closeFrame(1000, string(filled(65534)))}, gotClose(1002)),
	)
	var reasons, legal, illegal []Case
	for _, b := range badTexts {
		reasons = append(reasons, does("reason: "+b.name, []sent{closeFrame(1000, b.text)}, gotClose(1007)))
	}
	for _, code := range legalCodes {
		legal = append(legal,
			does(fmt.Sprintf("code %d", code), []sent{closeFrame(code, "")}, gotClose(code)),
			does(fmt.Sprintf("code %d with a reason", code), []sent{closeFrame(code, "reason")}, gotClose(code)))
	}
	for _, code := range illegalCodes {
		illegal = append(illegal,
			does(fmt.Sprintf("code %d", code), []sent{closeFrame(code, "")}, gotClose(1002)),
			does(fmt.Sprintf("code %d with a reason", code), []sent{closeFrame(code, "reason")}, gotClose(1002)))
	}
	return slices.Concat(
		orderly, echoed, bodies,
		group("7.4", "6455 5.5.1", Both, after...),
		group("7.5", "6455 5.5.1", Both, reasons...),
		group("7.7", "6455 7.4", Both, legal...),
		group("7.9", "6455 7.4", Both, illegal...),
	)
}
