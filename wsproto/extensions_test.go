package wsproto

import (
	"fmt"
	"strings"
	"testing"
)

const noTakeover = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

// offerCase is shared by the tests and the fuzz seeds.
type offerCase struct {
	offer  string // of the field's value
	min    int    // MinWindowBits; 0 = 8
	answer string // "" = declined
	bits   int    // 0 = 15
	err    error
}

var offerCases = []offerCase{
	{offer: "permessage-deflate", answer: noTakeover},
	{offer: " \tpermessage-deflate\t ", answer: noTakeover},
	{offer: "permessage-deflate; client_max_window_bits", answer: noTakeover}, // what browsers send
	{offer: "permessage-deflate; server_no_context_takeover; client_no_context_takeover", answer: noTakeover},
	{offer: "permessage-deflate;server_no_context_takeover;client_no_context_takeover", answer: noTakeover},
	{offer: "permessage-deflate ; client_max_window_bits = 10", answer: noTakeover},
	{offer: `permessage-deflate; client_max_window_bits="8"`, answer: noTakeover},
	{offer: `permessage-deflate; client_max_window_bits="\1\5"`, answer: noTakeover},

	// server_max_window_bits
	{offer: "permessage-deflate; server_max_window_bits=15", answer: noTakeover + "; server_max_window_bits=15"},
	{offer: "permessage-deflate; server_max_window_bits=8", answer: noTakeover + "; server_max_window_bits=8", bits: 8},
	{offer: `permessage-deflate; server_max_window_bits="12"`, answer: noTakeover + "; server_max_window_bits=12", bits: 12},
	{offer: "permessage-deflate; server_max_window_bits=9; client_max_window_bits=9; client_no_context_takeover", answer: noTakeover + "; server_max_window_bits=9", bits: 9},
	{offer: "permessage-deflate; server_max_window_bits=14", min: 15},
	{offer: "permessage-deflate; server_max_window_bits=15", min: 15, answer: noTakeover + "; server_max_window_bits=15"},
	{offer: "permessage-deflate; server_max_window_bits=9", min: 10},
	{offer: "permessage-deflate; server_max_window_bits=10", min: 10, answer: noTakeover + "; server_max_window_bits=10", bits: 10},

	// The first good offer counts, whatever stands before it.
	{offer: "permessage-deflate; server_max_window_bits=10, permessage-deflate", min: 15, answer: noTakeover},
	{offer: "permessage-deflate; server_max_window_bits=10, permessage-deflate", answer: noTakeover + "; server_max_window_bits=10", bits: 10},
	{offer: "permessage-deflate; unknown, permessage-deflate; client_max_window_bits", answer: noTakeover},
	{offer: "permessage-deflate, permessage-deflate; server_max_window_bits=10", answer: noTakeover},
	{offer: "x-webkit-deflate-frame, permessage-bzip2; level=\"9\", permessage-deflate", answer: noTakeover},
	{offer: ",, ,permessage-deflate,\t,", answer: noTakeover},

	// Declined: other extensions, and every way to get a parameter wrong.
	{offer: "x-webkit-deflate-frame"},
	{offer: "permessage-deflate2"},
	{offer: "Permessage-Deflate"},
	{offer: "mux; max-channels=4; flow-control"},
	{offer: "permessage-deflate; unknown"},
	{offer: "permessage-deflate; unknown=1"},
	{offer: "permessage-deflate; Server_No_Context_Takeover"},
	{offer: "permessage-deflate; server_no_context_takeover=1"},
	{offer: "permessage-deflate; client_no_context_takeover=true"},
	{offer: `permessage-deflate; client_no_context_takeover="8"`},
	{offer: "permessage-deflate; server_max_window_bits"},
	{offer: "permessage-deflate; server_max_window_bits=7"},
	{offer: "permessage-deflate; server_max_window_bits=16"},
	{offer: "permessage-deflate; server_max_window_bits=08"},
	{offer: "permessage-deflate; server_max_window_bits=+8"},
	{offer: "permessage-deflate; server_max_window_bits=8x"},
	{offer: "permessage-deflate; server_max_window_bits=4294967304"},
	{offer: "permessage-deflate; client_max_window_bits=7"},
	{offer: "permessage-deflate; client_max_window_bits=16"},
	{offer: "permessage-deflate; client_max_window_bits=0"},
	{offer: "permessage-deflate; client_max_window_bits=015"},
	{offer: "permessage-deflate; server_no_context_takeover; server_no_context_takeover"},
	{offer: "permessage-deflate; client_no_context_takeover; client_no_context_takeover"},
	{offer: "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10"},
	{offer: "permessage-deflate; client_max_window_bits; client_max_window_bits=10"},

	// No list of extensions at all, even where the good offer comes first.
	{offer: ""},
	{offer: " , ,"},
	{offer: ";", err: ErrExtensions},
	{offer: "permessage-deflate;", err: ErrExtensions},
	{offer: "permessage-deflate; ;", err: ErrExtensions},
	{offer: "permessage-deflate; =8", err: ErrExtensions},
	{offer: "permessage-deflate; server_max_window_bits=", err: ErrExtensions},
	{offer: "permessage-deflate; server_max_window_bits=\"\"", err: ErrExtensions},
	{offer: "permessage-deflate; server_max_window_bits=\"8", err: ErrExtensions},
	{offer: "permessage-deflate; server_max_window_bits=\"8\\", err: ErrExtensions},
	{offer: "permessage-deflate; server_max_window_bits=\"8 9\"", err: ErrExtensions},
	{offer: "permessage-deflate; server_max_window_bits=8 9", err: ErrExtensions},
	{offer: "permessage-deflate; server_max_window_bits==8", err: ErrExtensions},
	{offer: "permessage-deflate client_max_window_bits", err: ErrExtensions},
	{offer: "permessage-deflate=1", err: ErrExtensions},
	{offer: "permessage-deflate, (x)", err: ErrExtensions},
	{offer: "permessage-deflate, \"x\"", err: ErrExtensions},
	{offer: "permessage-deflate, foo bar", err: ErrExtensions},
	{offer: "permessage-deflate, \u5f39", err: ErrExtensions},
}

// upgradeWith sends an offer through a whole handshake and returns the answer.
func upgradeWith(t testing.TB, u *Upgrader, fields ...string) (string, Accepted, error) {
	t.Helper()
	reply, a, err := u.Upgrade(nil, []byte(request(sampleLine, with(fields...)...)), nil)
	if err != nil {
		return "", a, err
	}
	_, after, found := strings.Cut(string(reply), "Sec-WebSocket-Extensions: ")
	answer, rest, _ := strings.Cut(after, "\r\n")
	if found != a.Deflate || strings.Contains(rest, "Sec-WebSocket-Extensions") {
		t.Fatalf("%+v, but the reply is %q", a, reply)
	}
	return answer, a, nil
}

func TestNegotiate(t *testing.T) {
	for _, c := range offerCases {
		u := Upgrader{Deflate: &DeflateConfig{MinWindowBits: max(c.min, 8)}}
		answer, a, err := upgradeWith(t, &u, "+Sec-WebSocket-Extensions: "+c.offer)
		if err != c.err || answer != c.answer {
			t.Errorf("%q: %q %v, want %q %v", c.offer, answer, err, c.answer, c.err)
			continue
		}
		want := c.bits
		if want == 0 {
			want = 15
		}
		if err == nil && a.WindowBits != want {
			t.Errorf("%q: window bits %d, want %d", c.offer, a.WindowBits, want)
		}
		// Without the extension the grammar counts all the same.
		answer, a, err = upgradeWith(t, &Upgrader{}, "+Sec-WebSocket-Extensions: "+c.offer)
		if err != c.err || answer != "" || a.Deflate {
			t.Errorf("%q without deflate: %q %+v %v", c.offer, answer, a, err)
		}
	}
}

// TestNegotiateEveryCombination goes over all sets of parameters with every
// value of both window sizes, and what each least window makes of them.
func TestNegotiateEveryCombination(t *testing.T) {
	bits := []string{"-"} // no parameter
	for n := 7; n <= 16; n++ {
		bits = append(bits, fmt.Sprintf("=%d", n))
	}
	for takeover := range 4 {
		for _, server := range bits {
			for _, client := range append(bits, "") {
				offer, good := "permessage-deflate", true
				if takeover&1 != 0 {
					offer += "; server_no_context_takeover"
				}
				if takeover&2 != 0 {
					offer += "; client_no_context_takeover"
				}
				if client != "-" {
					offer += "; client_max_window_bits" + client
				}
				want, serverBits := noTakeover, 15
				if server != "-" {
					offer += "; server_max_window_bits" + server
					want += "; server_max_window_bits" + server
					fmt.Sscanf(server, "=%d", &serverBits)
				}
				for _, value := range []string{server, client} {
					good = good && value != "=7" && value != "=16"
				}
				for least := 8; least <= 15; least++ {
					u := Upgrader{Deflate: &DeflateConfig{MinWindowBits: least}}
					answer, a, err := upgradeWith(t, &u, "+Sec-WebSocket-Extensions: "+offer)
					if accepted := good && serverBits >= least; err != nil || a.Deflate != accepted || accepted && (answer != want || a.WindowBits != serverBits) {
						t.Fatalf("%q, least %d: %q %+v %v", offer, least, answer, a, err)
					}
				}
			}
		}
	}
}

// TestNegotiateFields: several fields are one list, RFC 6455 section 9.1.
func TestNegotiateFields(t *testing.T) {
	u := Upgrader{Deflate: &DeflateConfig{MinWindowBits: 15}, Protocols: []string{"p"}, Server: "s"}
	answer, _, err := upgradeWith(t, &u, "+sec-websocket-EXTENSIONS: permessage-deflate; server_max_window_bits=8",
		"+Sec-WebSocket-Extensions:", "+Sec-WebSocket-Extensions: permessage-deflate", "+Sec-WebSocket-Protocol: p")
	if err != nil || answer != noTakeover {
		t.Errorf("%q %v", answer, err)
	}
	_, _, err = upgradeWith(t, &u, "+Sec-WebSocket-Extensions: permessage-deflate", "+Sec-WebSocket-Extensions: ;")
	if err != error(ErrExtensions) {
		t.Errorf("a broken second field: %v", err)
	}
	if answer, a, err := upgradeWith(t, &u); err != nil || answer != "" || a != (Accepted{WindowBits: 15}) {
		t.Errorf("no offer: %q %+v %v", answer, a, err)
	}
}

// FuzzExtensions: no input panics, and what is accepted was offered.
func FuzzExtensions(f *testing.F) {
	for _, c := range offerCases {
		f.Add(c.offer, byte(c.min))
	}
	f.Fuzz(func(t *testing.T, offer string, least byte) {
		u := Upgrader{Deflate: &DeflateConfig{MinWindowBits: 8 + int(least)%8}}
		o, err := u.negotiate(offer)
		if err != nil && (err != error(ErrExtensions) || o != deflateOffer{}) {
			t.Fatalf("%q: %+v %v", offer, o, err)
		}
		if !o.good {
			return
		}
		if n := o.windowBits(); n < u.Deflate.MinWindowBits || n > 15 || !strings.Contains(offer, deflateName) {
			t.Fatalf("%q: accepted with %d window bits", offer, n)
		}
		// The answer is itself an offer that would be accepted with the same result.
		o2, err := u.negotiate(o.answer())
		if err != nil || !o2.good || o2.windowBits() != o.windowBits() {
			t.Fatalf("%q: answer %q reads as %+v %v", offer, o.answer(), o2, err)
		}
	})
}
