package conformance

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

const offerPlain = "permessage-deflate"

// deflated compresses one message, RFC 7692 section 7.2.1.
func deflated(p []byte, level int) []byte {
	var b bytes.Buffer
	w := writers[level]
	if w == nil {
		var err error
		if w, err = flate.NewWriter(&b, level); err != nil {
			panic(err) // for a level out of range alone
		}
		writers[level] = w
	}
	w.Reset(&b)
	w.Write(p) // into memory: neither this nor Flush can fail
	w.Flush()
	return b.Bytes()[:b.Len()-4]
}

// writers of the levels that were needed; used while the table is made.
var writers = make(map[int]*flate.Writer)

// packed is a compressed message in one frame.
func packed(op byte, p []byte) sent {
	return sent{first: fin | rsv1 | op, payload: deflated(p, flate.DefaultCompression)}
}

// raw is a compressed text of bytes that are deflated already.
func raw(p string) sent { return sent{first: fin | rsv1 | opText, payload: []byte(p)} }

func gotPacked(op byte, p []byte) Frame { return Frame{Op: op, Payload: p, Compressed: true} }

// offering puts the plainest offer, and its acceptance, into cases.
func offering(cases ...Case) []Case {
	for i := range cases {
		cases[i].Offer, cases[i].Deflate = offerPlain, true
	}
	return cases
}

// helloDeflated are the examples of RFC 7692 section 7.2.3: all mean "Hello".
var helloDeflated = []struct{ name, payload string }{
	{"one block", "\xf2\x48\xcd\xc9\xc9\x07\x00"},
	{"no compression", "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"},
	{"a final block", "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"},
	{"two blocks", "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"},
}

// compressed is group 12.
func compressed() []Case {
	return slices.Concat(
		group("12.1", "7692 7.2", Echo, offering(sizesAndKinds()...)...),
		group("12.2", "7692 7.2.3", Echo, offering(forms()...)...),
		group("12.3", "7692 6.1", Echo, offering(fragmented()...)...),
		group("12.4", "7692 6", Echo, offering(mixed()...)...),
		group("12.5", "7692 6", Both, offering(badBits()...)...),
		group("12.6", "7692 7.2.2", Both, offering(badData()...)...),
		group("12.7", "6455 10.4", Both, offering(bombs()...)...),
	)
}

// kinds make messages of n bytes.
var kinds = []struct {
	name string
	op   byte
	make func(n int) []byte
}{
	{"one letter", opText, func(n int) []byte { return bytes.Repeat([]byte("a"), n) }},
	{"comments", opText, comments},
	{"random text", opText, randomText},
	{"zeros", opBinary, func(n int) []byte { return make([]byte, n) }},
	{"random bytes", opBinary, randomBytes},
}

// comments is JSON like a batch's, cut to n bytes between characters.
func comments(n int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, `{"id":"0fJu%04x","uid":"u%d","text":"前方高能 %d 😀","color":%d},`, i*7919%65536, i%97, i*i%1000, i*31337%16777216)
	}
	p := b.Bytes()
	for n > 0 && n < len(p) && p[n]&0xC0 == 0x80 {
		n--
	}
	return p[:n]
}

func randomBytes(n int) []byte {
	source := rand.New(rand.NewPCG(1, uint64(n)))
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(source.Uint32())
	}
	return p
}

func randomText(n int) []byte {
	p := randomBytes(n)
	for i := range p {
		p[i] = ' ' + p[i]%95
	}
	return p
}

func sizesAndKinds() (cases []Case) {
	for _, k := range kinds {
		for _, n := range []int{0, 1, 2, 16, 64, 125, 126, 127, 128, 256, 1024, 4096, 16384, 32768, 65536, 131072} {
			p := k.make(n)
			cases = append(cases, does(fmt.Sprintf("%s, %d bytes", k.name, n), []sent{packed(k.op, p)}, gotPacked(k.op, p)))
		}
	}
	large := comments(MessageLimit)
	for _, chop := range []int{0, 1021, 16384} {
		c := does(fmt.Sprintf("comments up to the limit, writes of %d", chop), []sent{packed(opText, large)}, gotPacked(opText, large))
		c.Chop = chop
		cases = append(cases, c)
	}
	var many []sent
	var echoes []Frame
	for i := range 200 {
		p := comments(1 + 37*i)
		many, echoes = append(many, packed(opText, p)), append(echoes, gotPacked(opText, p))
	}
	return append(cases, does("two hundred in one write", many, echoes...))
}

// forms are what a deflater may make of a message.
func forms() (cases []Case) {
	hello := gotPacked(opText, []byte("Hello"))
	for _, h := range helloDeflated {
		cases = append(cases, does("Hello as "+h.name, []sent{raw(h.payload)}, hello))
	}
	cases = append(cases,
		does("empty as one byte", []sent{raw("\x00")}, gotPacked(opText, nil)),
		does("empty, then Hello", []sent{raw("\x00"), raw(helloDeflated[0].payload)}, gotPacked(opText, nil), hello),
		does("Hello after a final block", []sent{raw(helloDeflated[2].payload), raw(helloDeflated[2].payload)}, hello, hello),
		does("blocks behind a final one", []sent{raw("\xf3\x48\xcd\xc9\xc9\x07\x00" + helloDeflated[0].payload)}, gotPacked(opText, []byte("HelloHello"))),
		does("64 final blocks", []sent{raw(strings.Repeat("\x03\x00", 64) + "\x00")}, gotPacked(opText, nil)),
		does("empty blocks in front", []sent{raw("\x00\x00\x00\xff\xff\x00\x00\x00\xff\xff" + helloDeflated[0].payload)}, hello),
	)
	p := comments(40_000)
	for _, level := range []int{flate.NoCompression, flate.HuffmanOnly, 1, 2, 3, 4, 5, 6, 7, 8, 9} {
		f := packed(opText, p)
		f.payload = deflated(p, level)
		cases = append(cases, does(fmt.Sprintf("level %d", level), []sent{f}, gotPacked(opText, p)))
	}
	var flushes bytes.Buffer
	w, _ := flate.NewWriter(&flushes, flate.BestCompression)
	for piece := range slices.Chunk(p, 1000) {
		w.Write(piece)
		w.Flush()
	}
	return append(cases, does("flushed after each thousand bytes", []sent{raw(string(flushes.Bytes()[:flushes.Len()-4]))}, gotPacked(opText, p)))
}

// pieces is a compressed message in fragments; RSV1 is on the first alone.
func pieces(op byte, payload []byte, size int) (frames []sent) {
	for piece := range slices.Chunk(payload, size) {
		frames = append(frames, sent{first: opContinuation, payload: piece})
	}
	frames[0].first = rsv1 | op
	frames[len(frames)-1].first |= fin
	return frames
}

func fragmented() (cases []Case) {
	hello, echoed := helloDeflated[0].payload, gotPacked(opText, []byte("Hello"))
	for cut := range len(hello) + 1 {
		first := sent{first: rsv1 | opText, payload: []byte(hello[:cut])}
		cases = append(cases, does(fmt.Sprintf("Hello in two, cut after %d bytes", cut), []sent{first, ping("p"), last(hello[cut:])}, gotPong("p"), echoed))
	}
	chopped := does("a fragment a byte, byte by byte", pieces(opText, []byte(hello), 1), echoed)
	chopped.Chop = 1
	cases = append(cases,
		does("a fragment a byte", pieces(opText, []byte(hello), 1), echoed), chopped,
		does("empty fragments", []sent{{first: rsv1 | opText}, next(""), next(hello), next(""), last("")}, echoed),
		// A plain text of these bytes would fail at once.
		does("compressed bytes are not text yet", []sent{{first: rsv1 | opText, payload: []byte(hello[:3])}, ping("p"), last(hello[3:])}, gotPong("p"), echoed),
	)
	p := randomText(100_000)
	q := deflated(p, flate.BestSpeed)
	for _, size := range []int{64, 256, 1024, 4096, 16384} {
		cases = append(cases, does(fmt.Sprintf("fragments of %d", size), pieces(opText, q, size), gotPacked(opText, p)))
	}
	return cases
}

// mixed are compressed and plain messages on one connection. What comes plain
// goes back plain.
func mixed() []Case {
	p := comments(5000)
	hello := []byte("Hello")
	return []Case{
		does("a plain message", []sent{textFrame("Hello")}, gotText("Hello")),
		does("plain and compressed in turn", []sent{textFrame("a"), packed(opText, p), textFrame("b"), packed(opText, p)},
			gotText("a"), gotPacked(opText, p), gotText("b"), gotPacked(opText, p)),
		does("plain fragments behind a compressed message", []sent{packed(opText, hello), textStart("a"), last("b")}, gotPacked(opText, hello), gotText("ab")),
		does("compressed behind plain fragments", []sent{textStart("a"), last("b"), packed(opText, hello)}, gotText("ab"), gotPacked(opText, hello)),
		does("text and binary", []sent{packed(opBinary, p), packed(opText, p)}, gotPacked(opBinary, p), gotPacked(opText, p)),
		does("ten times the same, each alone", slices.Repeat([]sent{packed(opText, p)}, 10), slices.Repeat([]Frame{gotPacked(opText, p)}, 10)...),
		does("pings are never compressed", []sent{packed(opText, hello), ping("Hello")}, gotPacked(opText, hello), gotPong("Hello")),
		does("binary that is no text", []sent{packed(opBinary, []byte("\xff\xfe\xed\xa0"))}, gotPacked(opBinary, []byte("\xff\xfe\xed\xa0"))),
		does("a close behind", []sent{packed(opText, hello), closeFrame(1001, "bye")}, gotPacked(opText, hello), gotClose(1001)),
		does("a close inside", []sent{pieces(opText, deflated(hello, 1), 2)[0], closeFrame(1000, "")}, gotClose(1000)),
		does("bad plain text", []sent{textFrame("\xff")}, gotClose(1007)),
	}
}

// badBits are reserved bits where the extension gives them no meaning.
func badBits() (cases []Case) {
	hello := deflated([]byte("Hello"), 1)
	begun := pieces(opText, hello, 3)
	bitten := func(f sent, bits byte) sent {
		f.first |= bits
		return f
	}
	for name, f := range inOrder(map[string]sent{"ping": ping("x"), "pong": pong("x"), "close": closeFrame(1000, "")}) {
		cases = append(cases, does("RSV1 in a "+name, []sent{bitten(f, rsv1), ping("never seen")}, gotClose(1002)))
	}
	cases = append(cases,
		does("RSV1 in the last fragment", []sent{begun[0], bitten(last("x"), rsv1)}, gotClose(1002)),
		does("RSV1 in a fragment", []sent{begun[0], bitten(next("x"), rsv1)}, gotClose(1002)),
		does("RSV1 in a fragment of a plain message", []sent{textStart("x"), bitten(last("x"), rsv1)}, gotClose(1002)),
		does("RSV1 in a continuation of nothing", []sent{bitten(last("x"), rsv1)}, gotClose(1002)),
		does("RSV1 in a reserved opcode", []sent{{first: fin | rsv1 | 3}}, gotClose(1002)),
		does("a compressed message inside another", []sent{begun[0], raw(string(hello))}, gotClose(1002)),
	)
	for _, bits := range []byte{rsv2, rsv3, rsv2 | rsv3} {
		cases = append(cases,
			does(fmt.Sprintf("RSV %03b in a text", bits>>4), []sent{bitten(textFrame("x"), bits)}, gotClose(1002)),
			does(fmt.Sprintf("RSV %03b in a compressed text", (bits|rsv1)>>4), []sent{bitten(raw(string(hello)), bits)}, gotClose(1002)),
			does(fmt.Sprintf("RSV %03b in a compressed fragment", (bits|rsv1)>>4), []sent{bitten(begun[0], bits)}, gotClose(1002)))
	}
	return cases
}

// badData is what no deflater makes, and what a message is not to refer to.
func badData() (cases []Case) {
	for name, p := range inOrder(map[string]string{
		"a block of kind 3":            "\x06\x00",
		"ones":                         "\xff\xff\xff\xff",
		"stored, lengths disagree":     "\x00\x05\x00\x00\x00Hello\x00",
		"stored, cut":                  "\x00\x05\x00\xfa\xffHel",
		"cut in a block":               string(deflated(comments(500), 9)[:60]),
		"a distance to before it all":  "\xf2\x00\x11\x00\x00",
		"plain text":                   "Hello",
		"a zlib header in front":       "\x78\x9c" + helloDeflated[0].payload,
		"bytes behind a final block":   "\xf3\x48\xcd\xc9\xc9\x07\x00\xff\xff",
		"a dynamic block of no codes":  "\x04\x00\x00\x00",
		"a dynamic block, over-filled": "\xed\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
		"more final blocks than 64":    strings.Repeat("\x03\x00", 65),
	}) {
		cases = append(cases, does(name, []sent{raw(p), ping("never seen")}, gotClose(1007)))
	}
	// Both sides promised that each message stands alone, RFC 7692 section 7.1.1.
	hello := raw(helloDeflated[0].payload)
	referring := does("the message before is referred to", []sent{hello, raw("\xf2\x00\x11\x00\x00")}, gotPacked(opText, []byte("Hello")), gotClose(1007))
	referring.On = Echo
	cases = append(cases, referring)
	broken := pieces(opText, []byte("\xff\xff\xff\xff"), 2)
	cases = append(cases, does("broken data in fragments", []sent{broken[0], ping("p"), broken[1]}, gotPong("p"), gotClose(1007)))
	for i, b := range badTexts {
		if i%3 == 0 || b.bad == len(b.text) {
			cases = append(cases, does("text: "+b.name, []sent{packed(opText, []byte(b.text))}, gotClose(1007)))
		}
	}
	return cases
}

// bombs are small on the wire.
func bombs() (cases []Case) {
	for _, n := range []int{MessageLimit + 1, 2 * MessageLimit, 20 * MessageLimit} {
		bomb := deflated(make([]byte, n), flate.BestCompression)
		cases = append(cases,
			does(fmt.Sprintf("%d zeros in one frame", n), []sent{{first: fin | rsv1 | opText, payload: bomb}, ping("never seen")}, gotClose(1009)),
			does(fmt.Sprintf("%d zeros in fragments", n), append(pieces(opText, bomb, 500), ping("never seen")), gotClose(1009)))
	}
	just := make([]byte, MessageLimit)
	header := binary.BigEndian.AppendUint64([]byte{fin | rsv1 | opText, 0xFF}, MessageLimit+1)
	limit := does("as many zeros as the limit", []sent{packed(opBinary, just)}, gotPacked(opBinary, just))
	limit.On = Echo
	return append(cases, limit,
		Case{Name: "compressed bytes beyond the limit", Steps: []Step{{Send: append(header, mask[:]...), Want: []Frame{gotClose(1009)}}}})
}

// negotiation is group 13.
func negotiation() []Case {
	return slices.Concat(
		group("13.1", "7692 7.1", Echo, goodOffers()...),
		group("13.2", "7692 5.1", Echo, writtenOtherwise()...),
		group("13.3", "7692 7.1", Echo, badOffers()...),
		group("13.4", "7692 5.1", Echo, severalOffers()...),
		group("13.5", "6455 9.1", Both, noLists()...),
		group("13.6", "7692 7.1.2.1", Serve, serverOffers()...),
	)
}

// far is text in which strings that are found nowhere else come again at every
// distance, so that a deflater with a window larger than agreed on gives itself
// away.
var far = func() (p []byte) {
	for i, distance := range []int{100, 200, 300, 600, 1200, 2500, 5000, 10_000, 20_000, 30_000} {
		once := randomText(64 + i)
		p = append(append(p, once...), bytes.Repeat([]byte("."), distance-len(once))...)
		p = append(p, once...)
	}
	return p
}()

// agreed is a case of an offer that is accepted, with a window of so many bits; 0
// = none was asked for.
func agreed(name, offer string, bits int) Case {
	return Case{
		Name: name, Offer: offer, Deflate: true, Bits: bits,
		Steps: once([]sent{packed(opText, far), textFrame("plain"), raw(helloDeflated[0].payload)},
			gotPacked(opText, far), gotText("plain"), gotPacked(opText, []byte("Hello"))),
	}
}

// declined is a case of an offer that is not accepted: the connection is good,
// and RSV1 means nothing in it.
func declined(offer string) Case {
	return Case{
		Name: offer, Offer: offer,
		Steps: once([]sent{textFrame("plain"), raw(helloDeflated[0].payload)}, gotText("plain"), gotClose(1002)),
	}
}

// goodOffers are the windows of both sides in every pairing, with the four
// wishes about context takeover in turn.
func goodOffers() (cases []Case) {
	takeover := []string{"", "; server_no_context_takeover", "; client_no_context_takeover", "; client_no_context_takeover; server_no_context_takeover"}
	add := func(offer string, bits int) { cases = append(cases, agreed(offer, offer, bits)) }
	for _, t := range takeover {
		add(offerPlain+t, 0)
	}
	n := 0
	for bits := 7; bits <= 15; bits++ { // 7: not asked for
		for client := 6; client <= 15; client++ { // 6: not offered, 7: without a value
			offer := offerPlain + takeover[n%4]
			n++
			switch client {
			case 6:
			case 7:
				offer += "; client_max_window_bits"
			default:
				offer += fmt.Sprintf("; client_max_window_bits=%d", client)
			}
			if bits == 7 {
				add(offer, 0)
				continue
			}
			add(fmt.Sprintf("%s; server_max_window_bits=%d", offer, bits), bits)
		}
	}
	return cases
}

// writtenOtherwise are offers in other forms of the same grammar.
func writtenOtherwise() (cases []Case) {
	for _, o := range []struct {
		offer string
		bits  int
	}{
		{"permessage-deflate;server_max_window_bits=10", 10},
		{"permessage-deflate ; server_max_window_bits=10", 10},
		{"permessage-deflate;\tserver_max_window_bits\t=\t10", 10},
		{"permessage-deflate; server_max_window_bits = 10", 10},
		{`permessage-deflate; server_max_window_bits="10"`, 10},
		{`permessage-deflate; server_max_window_bits="1\0"`, 10},
		{`permessage-deflate; client_max_window_bits="15"`, 0},
		{"server_max_window_bits, permessage-deflate", 0},
		{", permessage-deflate,,", 0},
	} {
		cases = append(cases, agreed(o.offer, o.offer, o.bits))
	}
	return cases
}

func badOffers() (cases []Case) {
	for _, params := range []string{
		"server_max_window_bits", "server_max_window_bits=7", "server_max_window_bits=16", "server_max_window_bits=0", "server_max_window_bits=08",
		"server_max_window_bits=010", "server_max_window_bits=1x", "server_max_window_bits=-9", "server_max_window_bits=+9", "server_max_window_bits=9.0",
		"server_max_window_bits=100", "server_max_window_bits=18446744073709551626", "server_max_window_bits=10; server_max_window_bits=10",
		"server_max_window_bits=10; server_max_window_bits=11",
		"client_max_window_bits=7", "client_max_window_bits=16", "client_max_window_bits=0", "client_max_window_bits=08", "client_max_window_bits=x",
		"client_max_window_bits; client_max_window_bits", "client_max_window_bits=10; client_max_window_bits",
		"server_no_context_takeover=1", "server_no_context_takeover=true", `server_no_context_takeover="x"`, "server_no_context_takeover; server_no_context_takeover",
		"client_no_context_takeover=1", "client_no_context_takeover=0", "client_no_context_takeover; client_no_context_takeover",
		"unknown", "unknown=1", "server_max_window_bits=10; unknown", "SERVER_MAX_WINDOW_BITS", "max_window_bits=10", "mode=fast",
		"client_no_context_takeover; server_no_context_takeover; client_max_window_bits; server_max_window_bits=99",
	} {
		cases = append(cases, declined(offerPlain+"; "+params))
	}
	for _, other := range []string{"x-webkit-deflate-frame", "permessage-bzip2", "permessage-deflate2", "deflate-stream", "foo; bar=baz, qux"} {
		cases = append(cases, declined(other))
	}
	return cases
}

// severalOffers are lists: the first offer that is good is the one.
func severalOffers() []Case {
	list := func(bits int, offers ...string) Case {
		return agreed(strings.Join(offers, " | "), strings.Join(offers, ", "), bits)
	}
	fields := func(bits int, offers ...string) Case {
		c := agreed(strings.Join(offers, " | ")+", in fields of their own", strings.Join(offers, "\n"), bits)
		return c
	}
	return []Case{
		list(10, "permessage-deflate; server_max_window_bits=10", "permessage-deflate"),
		list(0, "permessage-deflate", "permessage-deflate; server_max_window_bits=10"),
		list(0, "permessage-deflate; server_max_window_bits=7", "permessage-deflate"),
		list(12, "permessage-deflate; unknown", "permessage-deflate; server_max_window_bits=12"),
		list(0, "permessage-deflate; server_max_window_bits", "permessage-deflate; client_max_window_bits"),
		list(0, "x-unknown", "permessage-deflate"),
		list(0, "permessage-deflate", "x-unknown; a=b"),
		list(9, `x-unknown; a="b\c"`, "permessage-deflate; server_max_window_bits=9"),
		fields(10, "permessage-deflate; server_max_window_bits=10", "permessage-deflate"),
		fields(0, "x-unknown", "permessage-deflate"),
		fields(0, "permessage-deflate; server_max_window_bits=16", "permessage-deflate; client_no_context_takeover"),
		declined("permessage-deflate; unknown, permessage-deflate; server_max_window_bits=16"),
	}
}

// noLists do not conform to the grammar: "the server MUST stop processing the
// client's handshake", section 4.2.1.
func noLists() (cases []Case) {
	for _, value := range []string{
		";", "permessage-deflate;", "permessage-deflate; ;", "permessage-deflate; =10", "permessage-deflate; server_max_window_bits=",
		"=10", "permessage deflate", "permessage-deflate server_max_window_bits", `permessage-deflate; server_max_window_bits="10`,
		`permessage-deflate; server_max_window_bits=""`, `permessage-deflate; a="b c"`, "permessage-deflate/1", "permessage-deflate; a=b=c",
		"@", "permessage-deflate, ;", `x-unknown; a="b,c;d"`, `"permessage-deflate"`,
	} {
		cases = append(cases, isRefused(value, 400, head(line, with("+Sec-WebSocket-Extensions: "+value)...)))
	}
	return cases
}

// serverOffers are answered otherwise by the server than by the echo: it compresses
// once for everybody, so that a smaller window is declined.
func serverOffers() (cases []Case) {
	talks := func(name, offer string, bits int) Case {
		return Case{Name: name, Offer: offer, Deflate: true, Bits: bits, Steps: once([]sent{packed(opText, []byte(`{"type":"ping"}`)), ping("p")}, gotPong("p"))}
	}
	cases = append(cases,
		talks("no parameters", offerPlain, 0),
		talks("a browser's", offerPlain+"; client_max_window_bits", 0),
		talks("the full window", offerPlain+"; server_max_window_bits=15", 15),
		talks("a small window of the client's", offerPlain+"; client_max_window_bits=8", 0),
		talks("no takeover", offerPlain+"; client_no_context_takeover; server_no_context_takeover", 0),
		talks("a small window, then none", offerPlain+"; server_max_window_bits=10, "+offerPlain, 0),
	)
	for bits := 8; bits < 15; bits++ {
		offer := fmt.Sprintf("%s; server_max_window_bits=%d", offerPlain, bits)
		cases = append(cases, Case{Name: offer, Offer: offer, Steps: once([]sent{ping("p"), raw(helloDeflated[0].payload)}, gotPong("p"), gotClose(1002))})
	}
	return cases
}
