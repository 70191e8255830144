package server

import (
	"fmt"
	"testing"
	"time"

	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/room"
)

// TestFullInboxIsDisclosed: a loop that does not get on has its inbox filled to
// the bound. Batches sealed meanwhile are refused and counted; its viewers are
// told of exactly that gap by the next batch, and nothing else is lost.
func TestFullInboxIsDisclosed(t *testing.T) {
	s := start(t, nil)
	v := join(t, s, "inbox")
	h := s.handlers[s.hub.Home("inbox")]
	r := s.hub.Find("inbox")
	seal := func(text string) {
		t.Helper()
		if _, _, err := r.Publish(&room.Comment{Text: text, Color: room.ColorDefault}, poller.Now(), 1); err != nil {
			t.Fatal(err)
		}
		b := r.Seal(poller.Now(), 1)
		if b == nil {
			t.Fatal("nothing was sealed")
		}
		s.post([]*room.Batch{b}, nil, poller.Now())
	}
	seal("before")
	if m := v.expect("batch"); m.Seq != 1 {
		t.Fatalf("got %+v", m)
	}

	stuck, release := make(chan struct{}), make(chan struct{})
	h.loop.Post(func() { close(stuck); <-release })
	<-stuck
	posted := 0
	for h.loop.Post(func() {}) {
		posted++
	}
	const lost = 3
	for i := range lost {
		seal(fmt.Sprint("lost ", i))
	}
	close(release)
	for h.loop.Stats().InboxFull == 0 || !h.loop.Post(func() {}) {
		time.Sleep(time.Millisecond)
	}
	seal("after")
	if m := v.expect("skipped"); m.From != 2 || m.To != 1+lost || m.Batches != lost || string(m.Comments) != fmt.Sprint(lost) {
		t.Errorf("told of %+v, want %d batches from 2 on", m, lost)
	}
	if m := v.expect("batch"); m.Seq != 2+lost || m.texts(t)[0] != "after" {
		t.Errorf("got %+v", m)
	}
	if posted < 1<<15 {
		t.Errorf("the inbox took %d calls only", posted)
	}
	eventually(t, s, fmt.Sprintf("danmakud_batches_missed_total %d", lost))
	eventually(t, s, fmt.Sprintf("danmakud_batches_skipped_total %d", lost))
	if full := h.loop.Stats().InboxFull; full < 1+lost {
		t.Errorf("%d refused posts are counted, want at least %d", full, 1+lost)
	}
}
