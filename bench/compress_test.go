//go:build linux

package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func compressed(drain level) func(*plan) {
	return func(p *plan) { p.Compress, p.Drain = 1, drain }
}

func TestARightServerPassesCompressed(t *testing.T) {
	t.Parallel()
	for _, share := range []float64{1, 0.5} {
		for _, drain := range []level{counted, framed, verified} {
			for _, workers := range []int{1, 2} {
				t.Run(fmt.Sprintf("share %v drain%d workers%d", share, drain, workers), func(t *testing.T) {
					t.Parallel()
					v := judgeFake(t, mistakes{}, workers, func(p *plan) { p.Drain, p.Compress = drain, share })
					wantFaults(t, v)
					if v.Received != v.Expected {
						t.Errorf("received %+v, expected %+v", v.Received, v.Expected)
					}
					if want := v.Sent * testViewers; v.Received.Deliveries != want {
						t.Errorf("%d deliveries, want %d", v.Received.Deliveries, want)
					}
					if c := v.Received.Compression(); share == 1 && c < 1.3 || c < 1.1 {
						t.Errorf("compression %.2f: %+v", c, v.Received)
					}
					// Every seventh batch goes plain, and each worker looks for itself.
					if want := v.Batches - v.Batches/7; v.Deflated != want || v.Inflated != want*int64(workers) {
						t.Errorf("%d batches, %d came compressed, %d frames inflated by %d workers", v.Batches, v.Deflated, v.Inflated, workers)
					}
				})
			}
		}
	}
}

func payloadOf(frame []byte) []byte {
	h, _, _ := readHeader(frame, true)
	return frame[h.size:]
}

// flipAt changes one byte of a frame, counted from its end.
func flipAt(fromEnd int) func(frame []byte) [][]byte {
	return func(frame []byte) [][]byte {
		bad := bytes.Clone(frame)
		bad[len(bad)-fromEnd] ^= 0x10
		return [][]byte{bad}
	}
}

func TestFaultsInCompressedFrames(t *testing.T) {
	t.Parallel()
	plainInstead := func(frame []byte) [][]byte {
		var i inflater
		plain, err := i.plain(payloadOf(frame))
		if err != nil {
			panic(err)
		}
		return [][]byte{serverFrame(opText, plain)}
	}
	otherBytes := func(frame []byte) [][]byte { // the same text, compressed in another way
		var i inflater
		plain, err := i.plain(payloadOf(frame))
		if err != nil {
			panic(err)
		}
		stored := []byte{0, byte(len(plain)), byte(len(plain) >> 8), ^byte(len(plain)), ^byte(len(plain) >> 8)}
		f := serverFrame(opText, append(append(stored, plain...), 0))
		f[0] |= 0x40
		return [][]byte{f}
	}
	for _, c := range []struct {
		name     string
		mistakes mistakes
		drain    level
		kinds    []string // each of them must be found
	}{
		{"lost, verified", at(viewerSample, 10, lose), counted, []string{faultLost, faultAccount, faultBytes}},
		{"lost, framed", at(viewerPlain, 10, lose), framed, []string{faultLost, faultAccount, faultBytes}},
		{"lost, counted", at(viewerPlain, 10, lose), counted, []string{faultBytes}},
		{"repeated, verified", at(viewerSample, 10, repeat), counted, []string{faultRepeated}},
		{"repeated, framed", at(viewerPlain, 10, repeat), framed, []string{faultRepeated}},
		{"repeated, counted", at(viewerPlain, 10, repeat), counted, []string{faultBytes}},
		{"swapped, verified", to(viewerSample, swap), counted, []string{faultReordered}},
		{"swapped, framed", to(viewerPlain, swap), framed, []string{faultReordered}},
		{"text changed, verified", at(viewerSample, 10, flipAt(60)), counted, []string{faultCorrupt}},
		{"text changed, framed", at(viewerPlain, 10, flipAt(60)), framed, []string{faultCorrupt}},
		{"end changed, verified", at(viewerSample, 10, flipAt(3)), counted, []string{faultCorrupt}},
		{"plain instead, verified", at(viewerSample, 10, plainInstead), counted, []string{faultCorrupt, faultLost, faultBytes}},
		{"plain instead, counted", at(viewerPlain, 10, plainInstead), counted, []string{faultBytes}},
		{"other bytes, verified", at(viewerSample, 10, otherBytes), counted, []string{faultCorrupt, faultLost, faultBytes}},
		{"another reserved bit", at(viewerSample, 10, func(f []byte) [][]byte { return [][]byte{append([]byte{f[0] | 0x20}, f[1:]...)} }), counted, []string{faultFraming}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := judgeFake(t, c.mistakes, 1, compressed(c.drain))
			if strings.Contains(c.name, "changed") {
				for _, k := range c.kinds {
					if v.Faults.Counts[k] == 0 {
						t.Errorf("no fault of kind %q: %v", k, v.Faults.Counts)
					}
				}
				return // what else is found depends on what the damaged bytes happen to say
			}
			wantFaults(t, v, c.kinds...)
		})
	}
}

// TestCompressedTextsOfAllAreChecked: the same wrong text to everybody, which
// only the stamps can tell.
func TestCompressedTextsOfAllAreChecked(t *testing.T) {
	t.Parallel()
	v := judgeFake(t, mistakes{seal: spoil(1, func(l []fakeComment) []fakeComment { l[0].Text += "!"; return l })}, 1, compressed(framed))
	wantFaults(t, v, faultCorrupt, faultLost)
}

func TestExtensionsAnswerIsChecked(t *testing.T) {
	t.Parallel()
	const right = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	for _, c := range []struct {
		answer  string
		offered bool
		ok      bool
	}{
		{right, true, true},
		{right + "; server_max_window_bits=15; client_max_window_bits=8", true, true},
		{right, false, false},
		{"", false, true},
		{"", true, false},
		{"permessage-deflate; server_no_context_takeover", true, false},
		{"permessage-deflate; client_no_context_takeover", true, false},
		{right + "; server_no_context_takeover", true, false},
		{right + "; server_max_window_bits=16", true, false},
		{right + "; server_max_window_bits", true, false},
		{right + "; x", true, false},
		{strings.ReplaceAll(right, "takeover;", "takeover=1;"), true, false},
		{right + ", " + right, true, false},
		{"x-webkit-deflate-frame", true, false},
	} {
		if err := checkExtensions(c.answer, c.offered); (err == nil) != c.ok {
			t.Errorf("%q, offered %t: %v", c.answer, c.offered, err)
		}
	}
	f := startFake(t, mistakes{extensions: func(string) string { return "permessage-deflate" }})
	s := testSession(t, 1)
	p := testPlan(f.listener.Addr().String(), counted)
	p.Compress = 1
	all, err := s.invite(p, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := all.open(testViewers); err == nil || !strings.Contains(err.Error(), "no_context_takeover") {
		t.Errorf("a server that may keep its context: %v", err)
	}
}

func TestInflaterIsStrict(t *testing.T) {
	t.Parallel()
	var i inflater
	want := []byte(strings.Repeat("弹幕", 300))
	good := payloadOf(deflatedFrame(want))
	for range 2 {
		if got, err := i.plain(good); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		for name, bad := range map[string][]byte{
			"cut":      good[:len(good)-2],
			"trailing": append(slices.Clone(good), good...)[:len(good)+9],
			"ended":    {3, 0, 1, 2, 3}, // a last block, then more
			"nonsense": []byte("not compressed at all"),
		} {
			if got, err := i.plain(bad); err == nil && bytes.Equal(got, want) {
				t.Errorf("%s: taken for right", name)
			}
		}
	}
	if _, err := i.plain([]byte{3, 0, 1, 2, 3}); err == nil {
		t.Error("bytes behind the last block were taken")
	}
}

// bare has comments without stamps, told apart by who said them and when.
func bare(drain level) func(*plan) {
	return func(p *plan) { p.Compress, p.Drain, p.Bare, p.History = 1, drain, true, 0 }
}

// TestBareComments: the judge is as strict without stamps.
func TestBareComments(t *testing.T) {
	t.Parallel()
	change := func(f func(l []fakeComment) []fakeComment) mistakes {
		return mistakes{noHistory: true, seal: spoil(2, f)}
	}
	for _, c := range []struct {
		name  string
		seal  func(l []fakeComment) []fakeComment
		kinds []string
	}{
		{"right", func(l []fakeComment) []fakeComment { return l }, nil},
		{"a comment lost", func(l []fakeComment) []fakeComment { return l[1:] }, []string{faultLost}},
		{"a comment twice", func(l []fakeComment) []fakeComment { return append(l, l[len(l)-1]) }, []string{faultRepeated}},
		{"a text changed", func(l []fakeComment) []fakeComment { l[0].Text += "\u3000x"; return l }, []string{faultCorrupt, faultLost}},
		{"another speaker", func(l []fakeComment) []fakeComment { l[0].UID = "u39"; return l }, []string{faultCorrupt, faultLost}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := judgeFake(t, change(c.seal), 1, bare(counted))
			if c.name == "a comment twice" { // the text may be due again, so the kind is not certain
				if v.Faults.total() == 0 {
					t.Error("a comment that came twice went unnoticed")
				}
				return
			}
			wantFaults(t, v, c.kinds...)
			if v.Sent*testViewers != v.Received.Deliveries && c.kinds == nil {
				t.Errorf("%d deliveries of %d comments", v.Received.Deliveries, v.Sent)
			}
		})
	}
}
