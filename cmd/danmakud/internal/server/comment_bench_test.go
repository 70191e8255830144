//go:build !verify

package server

import (
	"testing"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/danmakud/danmakud/poller"
)

// BenchmarkComment is what a comment costs its loop from the frame to the room's
// pending bytes.
func BenchmarkComment(b *testing.B) {
	b.Run("nothing set", func(b *testing.B) { benchmarkComment(b, func(*config.Config) {}) })
}

func benchmarkComment(b *testing.B, change func(*config.Config)) {
	t := new(testing.T)
	s := start(t, func(c *config.Config) {
		c.Loops, c.CommentRate, c.PendingComments, c.PendingBytes = 1, 0, 1<<20, 256<<20
		change(c)
	})
	defer s.Close()
	v := join(t, s, "r")
	go func() {
		for {
			if _, _, err := v.ReadMessage(); err != nil {
				return
			}
		}
	}()
	h := s.handlers[0]
	frame := clientFrame(0x81, `{"type":"comment","text":"前方高能 here we go","color":255}`)
	done := make(chan time.Duration)
	var took time.Duration
	for n := b.N; n > 0; n -= 1000 {
		h.loop.Post(func() {
			slot := poller.Slot(0)
			for h.session(slot).state != stateOpen {
				slot++
			}
			p := make([]byte, len(frame))
			begun := time.Now()
			for range min(n, 1000) {
				h.Data(slot, p[:copy(p, frame)])
			}
			done <- time.Since(begun)
		})
		took += <-done
	}
	b.ReportMetric(float64(took.Nanoseconds())/float64(b.N), "ns/comment")
	b.ReportMetric(0, "ns/op") // which has the waiting for batches in it
}
