//go:build linux

package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// The fleet of these tests: 40 viewers in one room. Number 0 is verified as
// the first of its room, 9, 19, 29 and 39 by the sample; 0 and 1 send.
const (
	testViewers  = 40
	viewerSample = 19 // verified
	viewerPlain  = 15 // by --drain
)

func testPlan(addr string, drain level) plan {
	return plan{
		Addr: addr, Speaks: speaksDanmaku, Rooms: 1, Viewers: testViewers, Senders: 2, Verified: 4,
		Drain: drain, History: -1, Sources: 1, InFlight: 1, Seed: 7,
	}
}

// testSession has its workers in this process.
func testSession(t *testing.T, workers int) *session {
	t.Helper()
	s := &session{options: defaultOptions(), card: NewRunCard("test"), target: &target{}, crew: startCrewHere(workers), nonce: "t"}
	s.options.quietLine = true
	t.Cleanup(func() {
		if err := s.crew.end(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// judgeFake runs a load against a fake and returns the judgement.
func judgeFake(t *testing.T, m mistakes, workers int, change func(*plan)) *judgement {
	t.Helper()
	f := startFake(t, m)
	s := testSession(t, workers)
	p := testPlan(f.listener.Addr().String(), counted)
	if change != nil {
		change(&p)
	}
	_, v, err := s.steady(p, "", load{name: "test", rate: 500, warmup: 50 * time.Millisecond, duration: 350 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if v.Sent < 150 || v.Batches < 15 {
		t.Fatalf("only %d comments in %d batches: the load does not work", v.Sent, v.Batches)
	}
	return v
}

// wantFaults fails unless exactly these kinds of fault were found.
func wantFaults(t *testing.T, v *judgement, kinds ...string) {
	t.Helper()
	for _, k := range kinds {
		if v.Faults.Counts[k] == 0 {
			t.Errorf("no fault of kind %q was found", k)
		}
	}
	for k, n := range v.Faults.Counts {
		if !slices.Contains(kinds, k) {
			t.Errorf("%d unexpected faults of kind %q", n, k)
		}
	}
	if t.Failed() {
		t.Logf("examples:\n%s", strings.Join(v.Faults.Examples, "\n"))
	}
}

func TestARightServerPasses(t *testing.T) {
	t.Parallel()
	for _, drain := range []level{counted, framed, verified} {
		for _, workers := range []int{1, 2} {
			t.Run(fmt.Sprintf("drain%d workers%d", drain, workers), func(t *testing.T) {
				t.Parallel()
				v := judgeFake(t, mistakes{}, workers, func(p *plan) { p.Drain = drain })
				wantFaults(t, v)
				if v.Viewers != testViewers {
					t.Errorf("%d viewers judged, want %d", v.Viewers, testViewers)
				}
				if v.Received != v.Expected {
					t.Errorf("received %+v, expected %+v", v.Received, v.Expected)
				}
				if want := v.Sent * testViewers; v.Received.Deliveries != want {
					t.Errorf("%d deliveries, want %d", v.Received.Deliveries, want)
				}
			})
		}
	}
}

// to applies a mistake to one connection only.
func to(number int, f func(c *fakeConn, seq uint64, frame []byte) [][]byte) mistakes {
	return mistakes{frames: func(c *fakeConn, seq uint64, frame []byte) [][]byte {
		if c.number != number {
			return [][]byte{frame}
		}
		return f(c, seq, frame)
	}}
}

// at applies it to one batch only.
func at(number int, which uint64, f func(frame []byte) [][]byte) mistakes {
	return to(number, func(_ *fakeConn, seq uint64, frame []byte) [][]byte {
		if seq != which {
			return [][]byte{frame}
		}
		return f(frame)
	})
}

func lose([]byte) [][]byte         { return nil }
func repeat(frame []byte) [][]byte { return [][]byte{frame, frame} }
func mask(frame []byte) [][]byte   { return [][]byte{{frame[0], frame[1] | 0x80}} }
func tear(frame []byte) [][]byte   { return [][]byte{frame[:len(frame)-3]} }

// flip changes one byte within the last comment's text.
func flip(frame []byte) [][]byte {
	bad := bytes.Clone(frame)
	bad[bytes.LastIndex(bad, []byte(`"text":"`))+12] ^= 1
	return [][]byte{bad}
}

// flipID changes one byte that no stamp covers.
func flipID(frame []byte) [][]byte {
	bad := bytes.Clone(frame)
	bad[bytes.Index(bad, []byte(`"id":"`))+6] ^= 1
	return [][]byte{bad}
}

// swap sends two batches the wrong way round.
func swap(c *fakeConn, seq uint64, frame []byte) [][]byte {
	switch seq {
	case 10:
		c.held = frame
		return nil
	case 11:
		return [][]byte{frame, c.held}
	}
	return [][]byte{frame}
}

func TestFaultsOnOneConnection(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		mistakes mistakes
		drain    level
		kinds    []string
	}{
		{"lost, verified", at(viewerSample, 10, lose), counted, []string{faultLost, faultAccount, faultBytes}},
		{"lost, framed", at(viewerPlain, 10, lose), framed, []string{faultLost, faultAccount, faultBytes}},
		{"lost, counted", at(viewerPlain, 10, lose), counted, []string{faultBytes}},
		{"repeated, verified", at(viewerSample, 10, repeat), counted, []string{faultRepeated}},
		{"repeated, framed", at(viewerPlain, 10, repeat), framed, []string{faultRepeated}},
		{"repeated, counted", at(viewerPlain, 10, repeat), counted, []string{faultBytes}},
		{"swapped, verified", to(viewerSample, swap), counted, []string{faultReordered}},
		{"swapped, framed", to(viewerPlain, swap), framed, []string{faultReordered}},
		{"text changed, verified", at(viewerSample, 10, flip), counted, []string{faultCorrupt, faultLost}},
		{"id changed, verified", at(viewerSample, 10, flipID), counted, []string{faultCorrupt, faultLost}},
		{"masked, verified", at(viewerSample, 10, mask), counted, []string{faultFraming}},
		{"torn, verified", at(viewerSample, 10, tear), counted, []string{faultCorrupt, faultFraming, faultLost}},
		{"torn, counted", at(viewerPlain, 10, tear), counted, []string{faultBytes}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := judgeFake(t, c.mistakes, 1, func(p *plan) { p.Drain = c.drain })
			if strings.HasPrefix(c.name, "torn, verified") {
				// What follows a torn frame depends on where the next one begins.
				if v.Faults.total() == 0 {
					t.Error("a torn frame went unnoticed")
				}
				return
			}
			wantFaults(t, v, c.kinds...)
		})
	}
}

// spoil changes the first batch from the tenth on that has so many comments. On a busy
// machine some have but one; of those from ten on there are always more than ten.
func spoil(least int, f func(l []fakeComment) []fakeComment) func(uint64, []fakeComment) []fakeComment {
	done := false // under the fake's lock
	return func(seq uint64, l []fakeComment) []fakeComment {
		if done || seq < 10 || len(l) < least {
			return l
		}
		done = true
		return f(l)
	}
}

func TestOnePercentLoss(t *testing.T) {
	t.Parallel()
	for _, drain := range []level{counted, framed} {
		lost := 0 // written under the fake's lock, read after the run
		v := judgeFake(t, mistakes{frames: func(c *fakeConn, seq uint64, frame []byte) [][]byte {
			if (uint64(c.number)*31+seq*7)%100 == 0 && seq > 1 {
				lost++
				return nil
			}
			return [][]byte{frame}
		}}, 1, func(p *plan) { p.Drain = drain })
		if lost == 0 {
			t.Fatal("nothing was lost")
		}
		if drain == framed && v.Faults.Counts[faultLost] < int64(lost) {
			t.Errorf("%d frames lost, %d found", lost, v.Faults.Counts[faultLost])
		}
		if v.Faults.Counts[faultBytes] == 0 {
			t.Error("no viewer was found short of bytes")
		}
		if v.Received.Deliveries >= v.Expected.Deliveries {
			t.Errorf("%d deliveries of %d", v.Received.Deliveries, v.Expected.Deliveries)
		}
	}
}

// TestFaultsForEverybody are mistakes that all viewers share, so that only the
// stamps can tell.
func TestFaultsForEverybody(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		seal  func(seq uint64, comments []fakeComment) []fakeComment
		kinds []string
	}{
		{"a comment lost", spoil(2, func(l []fakeComment) []fakeComment { return l[1:] }), []string{faultLost}},
		{"a comment twice", spoil(1, func(l []fakeComment) []fakeComment { return append(l, l[0]) }), []string{faultRepeated}},
		// Two of the comments are of the same sender.
		{"comments swapped", spoil(3, func(l []fakeComment) []fakeComment { slices.Reverse(l); return l }), []string{faultReordered}},
		{"a text changed", spoil(1, func(l []fakeComment) []fakeComment { l[0].Text += "!"; return l }), []string{faultCorrupt, faultLost}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := judgeFake(t, mistakes{seal: c.seal}, 1, nil)
			wantFaults(t, v, c.kinds...)
		})
	}
}

// TestMergedCommentsAreAccounted: those that a count stands for are not lost, and
// not one more.
func TestMergedCommentsAreAccounted(t *testing.T) {
	t.Parallel()
	for more, kinds := range map[int][]string{0: nil, -1: {faultLost}} {
		v := judgeFake(t, mistakes{seal: spoil(3, func(l []fakeComment) []fakeComment {
			l[0].Count = len(l) + more // two at least, as with one it would be a comment like others
			return l[:1]
		})}, 1, nil)
		wantFaults(t, v, kinds...)
		if v.Sampled == 0 {
			t.Error("no batch with three comments")
		}
	}
}

// skipping leaves batches 10 to 12 out for one connection and says so, with a
// number of comments that may be wrong.
func skipping(number, wrongBy int) mistakes {
	return to(number, func(c *fakeConn, seq uint64, frame []byte) [][]byte {
		switch {
		case seq < 10 || seq > 13:
			return [][]byte{frame}
		case seq < 13:
			text := frame
			if frame[0]&0x40 != 0 {
				var i inflater
				text, _ = i.plain(payloadOf(frame)) // the count would be wrong, and noticed
			}
			c.skipComments += bytes.Count(text, []byte(`"text":`))
			return nil
		}
		notice := fmt.Sprintf(`{"type":"skipped","from":10,"to":12,"batches":3,"comments":%d}`, c.skipComments+wrongBy)
		return [][]byte{serverFrame(opText, []byte(notice)), frame}
	})
}

func TestSkippedNoticesAreAccounted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		number int
		drain  level
	}{
		{"verified", viewerSample, counted},
		{"framed", viewerPlain, framed},
	} {
		t.Run(c.name+", compressed", func(t *testing.T) {
			t.Parallel()
			v := judgeFake(t, skipping(c.number, 0), 1, compressed(c.drain))
			wantFaults(t, v)
			if v.Skips["batches"] != 3 || v.Received != v.Expected {
				t.Errorf("skips: %v, received %+v of %+v", v.Skips, v.Received, v.Expected)
			}
		})
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := judgeFake(t, skipping(c.number, 0), 1, func(p *plan) { p.Drain = c.drain })
			wantFaults(t, v)
			if v.Skips["batches"] != 3 || v.Skips["viewers"] != 1 {
				t.Errorf("skips: %v", v.Skips)
			}
		})
	}
	t.Run("wrong number", func(t *testing.T) {
		t.Parallel()
		v := judgeFake(t, skipping(viewerSample, 1), 1, nil)
		wantFaults(t, v, faultSkip, faultRepeated)
	})
}

func TestErrorsExcuseComments(t *testing.T) {
	t.Parallel()
	v := judgeFake(t, mistakes{refuse: func(nth int) bool { return nth%20 == 0 }}, 1, nil)
	if v.Errors["rate_limited"] == 0 {
		t.Fatal("no error answer was seen")
	}
	wantFaults(t, v)
}

func TestStraysAreFound(t *testing.T) {
	t.Parallel()
	var other []fakeComment // written and read under the fake's lock
	// A room has 100 comments, which may be no more than a dozen batches.
	v := judgeFake(t, mistakes{seal: func(seq uint64, l []fakeComment) []fakeComment {
		if seq == 3 && other == nil {
			other = slices.Clone(l)
		} else if seq == 5 && len(other) > 0 {
			l, other = append(l, other[0]), []fakeComment{}
		}
		return l
	}}, 1, func(p *plan) { p.Rooms = 2 })
	if v.Faults.Counts[faultStray]+v.Faults.Counts[faultRepeated] == 0 {
		t.Errorf("a comment of another room went unnoticed: %v", v.Faults.Counts)
	}
}

func TestWelcomeIsChecked(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, from, to string }{
		{"room", `"room":"`, `"room":"x`},
		{"epoch", `"epoch":"e1"`, `"epoch":"e2"`},
		{"type", `"type":"welcome"`, `"type":"hello"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := judgeFake(t, mistakes{welcome: func(number int, text string) string {
				if number == viewerPlain {
					return strings.Replace(text, c.from, c.to, 1)
				}
				return text
			}}, 1, nil)
			if v.Faults.Counts[faultWelcome] != 1 {
				t.Errorf("faults: %v", v.Faults.Counts)
			}
		})
	}
}

func TestPingsAreAnswered(t *testing.T) {
	t.Parallel()
	// A ping between two batches must not count as bytes of a batch.
	ping := func(frame []byte) [][]byte { return [][]byte{serverFrame(opPing, []byte("are you there")), frame} }
	v := judgeFake(t, at(viewerPlain, 10, ping), 1, func(p *plan) { p.Drain = framed })
	wantFaults(t, v)
}

func TestClosedConnectionsAreFaults(t *testing.T) {
	t.Parallel()
	closing := func(frame []byte) [][]byte { return [][]byte{serverFrame(opClose, []byte{1013 >> 8, 1013 & 0xff})} }
	v := judgeFake(t, at(viewerSample, 10, closing), 1, nil)
	if v.Faults.Counts[faultClosed] == 0 {
		t.Errorf("faults: %v", v.Faults.Counts)
	}
}
