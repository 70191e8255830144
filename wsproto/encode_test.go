package wsproto

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// payloadSizes lie on both sides of every change of the header; shared with
// the benchmarks.
var payloadSizes = []int{0, 1, 125, 126, 256, 4096, 65535, 65536, 100_000}

// TestEncode compares each way to make a frame with the library's writer.
func TestEncode(t *testing.T) {
	for _, n := range payloadSizes {
		for _, op := range []Op{OpText, OpBinary, OpPing} {
			if op.Control() && n > ControlMax {
				continue
			}
			payload := filled(n)
			want := ws.MustCompileFrame(ws.NewFrame(ws.OpCode(op), true, payload))
			prefix := []byte("before")
			got := AppendFrame(bytes.Clone(prefix), op, payload)
			if !bytes.Equal(got, append(prefix, want...)) {
				t.Errorf("AppendFrame %v of %d bytes: %.20x, want %.20x", op, n, got, want)
			}
			if HeaderSize(n) != len(want)-n {
				t.Errorf("HeaderSize(%d) = %d, want %d", n, HeaderSize(n), len(want)-n)
			}
			for _, room := range []int{HeaderSize(n), HeaderMax, HeaderMax + 3} {
				buf := append(bytes.Repeat([]byte{0xEE}, room), payload...)
				got := FrameInPlace(buf, room, op)
				if !bytes.Equal(got, want) {
					t.Errorf("FrameInPlace %v of %d bytes, %d before: %.20x, want %.20x", op, n, room, got, want)
				}
				if &got[len(got)-1] != &buf[len(buf)-1] {
					t.Errorf("FrameInPlace copied %d bytes", n)
				}
				for _, b := range buf[:room-HeaderSize(n)] {
					if b != 0xEE {
						t.Errorf("FrameInPlace wrote before the header of %d bytes", n)
					}
				}
			}
		}
	}
}

func TestEncodePanics(t *testing.T) {
	cases := map[string]func(){
		"long ping":        func() { AppendFrame(nil, OpPing, filled(126)) },
		"negative size":    func() { AppendHeader(nil, OpText, -1) },
		"no space":         func() { FrameInPlace(filled(127), 1, OpText) },
		"no space for 126": func() { FrameInPlace(filled(126+3), 3, OpText) },
		"start behind end": func() { FrameInPlace(filled(10), 11, OpText) },
	}
	for name, f := range cases {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

func TestEncodeAllocatesNothing(t *testing.T) {
	for _, n := range payloadSizes {
		payload := filled(n)
		dst := make([]byte, 0, n+HeaderMax)
		buf := make([]byte, n+HeaderMax)
		allocs := testing.AllocsPerRun(20, func() {
			AppendFrame(dst, OpText, payload)
			FrameInPlace(buf, HeaderMax, OpText)
			AppendClose(dst[:0:cap(dst)], CodeTryLater, "")
		})
		if allocs != 0 && n >= 4 {
			t.Errorf("%d bytes: %v allocations", n, allocs)
		}
	}
}

func TestParseClose(t *testing.T) {
	cases := []struct {
		name    string
		payload string
		code    Code
		reason  string
		err     error
	}{
		{name: "empty", payload: "", code: CodeNoStatus},
		{name: "one byte", payload: "\x03", err: ErrCloseShort},
		{name: "1000", payload: "\x03\xe8", code: CodeNormal},
		{name: "1000 reason", payload: "\x03\xe8bye", code: CodeNormal, reason: "bye"},
		{name: "reason in Chinese", payload: "\x03\xe9再见", code: CodeGoingAway, reason: "再见"},
		{name: "reason not UTF-8", payload: "\x03\xe8\xce\xba\xed\xa0\x80", err: ErrCloseText},
		{name: "reason cut", payload: "\x03\xe8\xe5\x86", err: ErrCloseText},
		{name: "bad code and reason", payload: "\x00\x00\xff", err: ErrCloseCode},
		{name: "longest", payload: "\x03\xe8" + strings.Repeat("r", ReasonMax), code: CodeNormal, reason: strings.Repeat("r", ReasonMax)},
	}
	for _, c := range cases {
		code, reason, err := ParseClose([]byte(c.payload))
		if code != c.code || string(reason) != c.reason || err != c.err {
			t.Errorf("%s: %d %q %v", c.name, code, reason, err)
		}
	}
}

// TestCloseCodes walks all codes there are. The good ones are those of the IANA
// registry that are not reserved, and the two free ranges.
func TestCloseCodes(t *testing.T) {
	good := map[int]bool{}
	for _, c := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014} {
		good[c] = true
	}
	for c := 3000; c < 5000; c++ {
		good[c] = true
	}
	for c := range 1 << 16 {
		_, _, err := ParseClose([]byte{byte(c >> 8), byte(c)})
		if good[c] != (err == nil) {
			t.Errorf("code %d: %v", c, err)
		}
		if frame := AppendClose(nil, Code(c), ""); good[c] != (len(frame) == 4) {
			t.Errorf("code %d is sent as %x", c, frame)
		}
	}
}

func TestAppendClose(t *testing.T) {
	cases := []struct {
		name   string
		code   Code
		reason string
		want   string // payload
	}{
		{name: "none", code: 0, want: ""},
		{name: "no status", code: CodeNoStatus, reason: "never sent", want: ""},
		{name: "abnormal", code: CodeAbnormal, want: ""},
		{name: "plain", code: CodeTryLater, want: "\x03\xf5"},
		{name: "reason", code: 4003, reason: "banned", want: "\x0f\xa3banned"},
		{name: "123 bytes", code: CodeNormal, reason: strings.Repeat("r", 123), want: "\x03\xe8" + strings.Repeat("r", 123)},
		{name: "124 bytes", code: CodeNormal, reason: strings.Repeat("r", 124), want: "\x03\xe8" + strings.Repeat("r", 123)},
		{name: "cut before a character", code: CodeNormal, reason: strings.Repeat("r", 121) + "再见", want: "\x03\xe8" + strings.Repeat("r", 121)},
		{name: "cut after a character", code: CodeNormal, reason: strings.Repeat("再", 42), want: "\x03\xe8" + strings.Repeat("再", 41)},
		{name: "cut before four bytes", code: CodeNormal, reason: strings.Repeat("r", 120) + "😀", want: "\x03\xe8" + strings.Repeat("r", 120)},
	}
	for _, c := range cases {
		got := AppendClose([]byte("x"), c.code, c.reason)
		want := append([]byte{'x', 0x88, byte(len(c.want))}, c.want...)
		if !bytes.Equal(got, want) {
			t.Errorf("%s: %q, want %q", c.name, got, want)
		}
		if !utf8.Valid(got[min(5, len(got)):]) {
			t.Errorf("%s: reason is not UTF-8: %q", c.name, got)
		}
	}
	// Bytes that are no text still give a frame of the allowed size.
	if got := AppendClose(nil, CodeNormal, strings.Repeat("\x80", 300)); len(got) > 2+ControlMax {
		t.Errorf("%d bytes", len(got))
	}
}

// TestViolations: a name that is not unique or not fit for a metric would show
// only on a dashboard; a close frame must carry each as it is.
func TestViolations(t *testing.T) {
	seen := map[string]bool{}
	for _, v := range Violations() {
		if seen[v.Name] || !metricName(v.Name) {
			t.Errorf("name %q", v.Name)
		}
		seen[v.Name] = true
		if !v.Code.Sendable() || v.Text == "" || len(v.Text) > ReasonMax || !strings.Contains(v.Error(), v.Text) {
			t.Errorf("%s: code %d, text %q", v.Name, v.Code, v.Text)
		}
	}
	Violations()[0] = nil
	if Violations()[0] == nil {
		t.Error("the caller can change the list")
	}
}

func metricName(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}
