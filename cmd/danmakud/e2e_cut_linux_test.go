package main

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestCutLink: peers that vanish without a word. Whichever way the link is cut,
// the online counts are right again when the clocks have run out, for viewers
// that are written to (TCP_USER_TIMEOUT) and for silent ones (ping and pong).
// The clocks are short here; TestSoakCutLink has the default ones.
func TestCutLink(t *testing.T) {
	t.Parallel()
	written := []string{"--user-timeout=8s", "--idle-timeout=0"}                     // in which this process, which carries the link, goes on after a halt
	silent := []string{"--user-timeout=0", "--idle-timeout=1s", "--pong-timeout=4s"} // in which a busy machine answers
	hole := conditions{cut: true}
	blackHole := func(t *testing.T, c *cable) { c.set(hole) }
	for _, tc := range []struct {
		name  string
		flags []string
		talks bool // somebody talks in the room all the time
		cut   func(t *testing.T, c *cable)
		why   string // reason of the closes
	}{
		{"written to, nothing passes", written, true, blackHole, "timeout"},
		{"written to, nothing comes back", written, true, func(_ *testing.T, c *cable) { c.setFrom(viewerEnd, hole) }, "timeout"},
		{"written to, nothing arrives", written, true, func(_ *testing.T, c *cable) { c.setFrom(serverEnd, hole) }, "timeout"},
		{"written to, our own link is down", written, true, func(t *testing.T, c *cable) { c.ip(t, serverEnd, "link", "set", "dev", "link", "down") }, "timeout"},
		{"written to, our own link is down while bytes are under way", written, true, func(t *testing.T, c *cable) {
			c.setFrom(viewerEnd, hole)
			time.Sleep(500 * time.Millisecond)
			c.ip(t, serverEnd, "link", "set", "dev", "link", "down")
		}, "timeout"},
		{"written to, their link is down", written, true, func(t *testing.T, c *cable) { c.ip(t, viewerEnd, "link", "set", "dev", "link", "down") }, "timeout"},
		{"silent, nothing passes", silent, false, blackHole, "pong_timeout"},
		{"silent, nothing comes back", silent, false, func(_ *testing.T, c *cable) { c.setFrom(viewerEnd, hole) }, "pong_timeout"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			const viewers = 5
			c := newCable(t)
			far, near := c.startServer(t, tc.flags...)
			go near.join("cut").stay()
			present := 1
			if tc.talks {
				near.chatter("cut")
				present++
			}
			for range viewers {
				go far.join("cut").stay()
			}
			if !tc.talks {
				time.Sleep(5500 * time.Millisecond) // longer than the clocks: whoever answers stays
			}
			if n := near.online("cut"); n != present+viewers {
				t.Fatalf("%d are online before the cut, want %d", n, present+viewers)
			}
			tc.cut(t, c)
			near.awaitOnline("cut", present)
			// Who is told goodbye has left the room, and is closed a moment later.
			near.awaitMetric(`danmakud_closes_total{reason="`+tc.why+`"}`, viewers)
			if n := total(near.metrics(), "danmakud_closes_total"); n != viewers {
				t.Errorf("%v connections were closed, want %d", n, viewers)
			}
		})
	}
}

// chatter talks in the room until the end of the test.
func (s *instance) chatter(room string) {
	v := s.join(room)
	stop := make(chan struct{})
	s.t.Cleanup(func() { close(stop) })
	go v.stay()
	go func() {
		for v.writeAll(masked(opText, say("talk", ""))) == nil {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
}

// TestCutLinkRestored: a link that comes back in time has cost nobody the
// connection, nor a batch without notice.
func TestCutLinkRestored(t *testing.T) {
	t.Parallel()
	c := newCable(t)
	far, near := c.startServer(t, "--ring=4")
	const viewers = 6
	results := make(chan seen, viewers)
	for range viewers {
		v := far.join("back")
		go func() { results <- v.watchToTheEnd() }()
	}
	c.ip(t, serverEnd, "link", "set", "dev", "link", "down")
	restored := time.AfterFunc(1500*time.Millisecond, func() { c.ip(t, serverEnd, "link", "set", "dev", "link", "up") })
	defer restored.Stop()
	sealed := near.talk(t, "back", 200, true)
	for range viewers {
		got := <-results
		got.expect(t, sealed)
	}
	if n := total(near.metrics(), "danmakud_closes_total"); n != 0 {
		t.Errorf("%v connections were closed", n)
	}
}

// TestPeersThatForgot: viewers go while the link is cut, so that neither FIN nor
// RST arrives. When it is back, the first thing they are sent is answered by a
// reset, long before any clock has run out.
func TestPeersThatForgot(t *testing.T) {
	t.Parallel()
	c := newCable(t)
	far, near := c.startServer(t)
	const viewers = 5
	var gone []*viewer
	for range viewers {
		gone = append(gone, far.join("forgot"))
	}
	c.set(conditions{cut: true})
	for _, v := range gone {
		v.reset()
	}
	for deadline := time.Now().Add(patience); c.directions[viewerEnd].lost.Load() < viewers; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the resets are not on their way: %v", c.link)
		}
	}
	c.set(conditions{})
	if n := near.online("forgot"); n != viewers {
		t.Fatalf("%d are online, want %d who are not known to have gone", n, viewers)
	}
	near.chatter("forgot")
	near.awaitMetric(`danmakud_closes_total{reason="peer_reset"}`, viewers)
	near.awaitOnline("forgot", 1)
}

// TestDrainOfVanishedPeers: the server is stopped while some of its viewers are
// behind a cut link. Those that can hear it are told; the others do not keep it
// from ending.
func TestDrainOfVanishedPeers(t *testing.T) {
	t.Parallel()
	c := newCable(t)
	far, near := c.startServer(t)
	const viewers = 5
	results := make(chan error, viewers)
	for range viewers {
		go far.join("drain").stay()
		v := near.join("drain")
		go func() { results <- v.watchDrain() }()
	}
	near.join("drain").send(say("so that there is a batch", ""))
	near.awaitMetric("danmakud_frames_written_total", 2*viewers+1)
	c.set(conditions{cut: true})
	near.signal(syscall.SIGTERM)
	for range viewers {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	// 1 on a machine so busy that time was up before the last was closed.
	if status := near.wait(); status != exitOK && status != exitFailed {
		t.Errorf("exit status %d:\n%s", status, near.stderr)
	}
}

// TestSoakCutLink: with the settings that nobody changed, the online counts are
// right 75 seconds after the link was cut.
func TestSoakCutLink(t *testing.T) {
	if os.Getenv("SOAK") == "" {
		t.Skip("takes more than a minute: make soak")
	}
	t.Parallel()
	const bound = 75 * time.Second
	c := newCable(t)
	far, near := c.startServer(t)
	near.chatter("loud")
	go near.join("quiet").stay()
	const viewers = 20
	for i := range 2 * viewers {
		go far.join([]string{"loud", "quiet"}[i%2]).stay()
	}
	blocked := far.joinWithSmallBuffer("loud") // reads nothing: its frames are torn when the link goes
	defer blocked.conn.Close()
	near.awaitOnline("loud", viewers+2)
	near.awaitOnline("quiet", viewers+1)
	c.set(conditions{cut: true})
	cut := time.Now()
	left := map[string]int{"loud": 1, "quiet": 1}
	for len(left) > 0 {
		for room, want := range left {
			if got := near.online(room); got == want {
				t.Logf("%s: %d online again after %v", room, want, time.Since(cut).Round(100*time.Millisecond))
				delete(left, room)
			} else if time.Since(cut) > bound {
				t.Fatalf("%s: %d online %v after the cut, want %d", room, got, bound, want)
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	for name, v := range near.metrics() {
		if strings.HasPrefix(name, "danmakud_closes_total") && v > 0 {
			t.Logf("%s %v", name, v)
		}
	}
}
