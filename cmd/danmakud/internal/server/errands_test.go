package server

import (
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
)

func TestErrandsAreBoundedAndDone(t *testing.T) {
	e := newErrands("test", 1, 2, slog.New(slog.DiscardHandler))
	gate := make(chan struct{})
	var did atomic.Int64
	if !e.do(func() { <-gate; did.Add(1) }) {
		t.Fatal("no place in an empty queue")
	}
	for range 2 {
		if !e.do(func() { did.Add(1) }) {
			t.Fatal("no place while the queue has some")
		}
	}
	if e.do(func() { did.Add(100) }) || e.refused.Load() != 1 || e.waiting() != 2 {
		t.Errorf("refused %d, %d wait, after one too many", e.refused.Load(), e.waiting())
	}
	close(gate)
	e.close()
	e.close()
	if n := did.Load(); n != 3 {
		t.Errorf("did %d of 3", n)
	}
	if e.do(func() {}) {
		t.Error("taken after the end")
	}
}

func TestErrandThatPanicsIsTheOnlyOneLost(t *testing.T) {
	e := newErrands("test", 1, 2, slog.New(slog.DiscardHandler))
	did := false
	e.do(func() { panic("as it should") })
	e.do(func() { did = true })
	if e.close(); !did {
		t.Error("the next one was not done")
	}
}

// Workers begin as they are needed, never more than allowed, and end when there is
// nothing left to do.
func TestErrandsWorkOnDemand(t *testing.T) {
	const atOnce, places = 8, 100
	e := newErrands("test", atOnce, places, slog.New(slog.DiscardHandler))
	atWork := func() int {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.atWork
	}
	for round := range 3 {
		gate := make(chan struct{})
		var did, now, most atomic.Int64
		for i := range atOnce + places {
			if !e.do(func() {
				n := now.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				<-gate
				now.Add(-1)
				did.Add(1)
			}) {
				t.Fatalf("round %d: no place for errand %d", round, i)
			}
			if got, want := atWork(), min(i+1, atOnce); got != want {
				t.Fatalf("round %d: %d at work with %d errands, want %d", round, got, i+1, want)
			}
		}
		if e.do(func() {}) {
			t.Fatalf("round %d: more than there are places for", round)
		}
		close(gate)
		await(t, "all have ended", func() bool { return atWork() == 0 })
		if did.Load() != atOnce+places || most.Load() > atOnce || e.waiting() != 0 {
			t.Errorf("round %d: did %d, %d at a time, %d wait", round, did.Load(), most.Load(), e.waiting())
		}
	}
	e.close()
}

// A server in which nothing happens has few goroutines, whatever is switched on,
// and after work beside the loops no more than before.
func TestIdleServerHasFewGoroutines(t *testing.T) {
	const most = 14
	before := runtime.NumGoroutine()
	s := start(t, func(c *config.Config) {
		c.ReviewURL, c.ConnectURL = "http://127.0.0.1:1/", "http://127.0.0.1:1/"
		c.Data, c.Archive = t.TempDir(), t.TempDir()
	})
	idle := func() bool { return runtime.NumGoroutine()-before <= most }
	await(t, fmt.Sprintf("it has at most %d goroutines", most), idle)
	gate := make(chan struct{})
	pools := []*errands{s.chores, s.reviews, s.callback.pool}
	want := 0
	for _, e := range pools {
		want += e.atOnce
		for range e.atOnce {
			if !e.do(func() { <-gate }) {
				t.Fatalf("no place in the pool %s", e.name)
			}
		}
	}
	if n := runtime.NumGoroutine() - before; n < want {
		t.Errorf("%d goroutines while %d errands are under way", n, want)
	}
	close(gate)
	await(t, "the workers have ended", idle)
}
