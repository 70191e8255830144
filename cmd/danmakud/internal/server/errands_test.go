package server

import (
	"log/slog"
	"sync/atomic"
	"testing"
)

func TestErrandsAreBoundedAndDone(t *testing.T) {
	e := newErrands("test", 2, slog.New(slog.DiscardHandler))
	e.start(1)
	gate, begun := make(chan struct{}), make(chan struct{})
	var did atomic.Int64
	if !e.do(func() { close(begun); <-gate; did.Add(1) }) {
		t.Fatal("no place in an empty queue")
	}
	<-begun
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
	e := newErrands("test", 2, slog.New(slog.DiscardHandler))
	e.start(1)
	did := false
	e.do(func() { panic("as it should") })
	e.do(func() { did = true })
	if e.close(); !did {
		t.Error("the next one was not done")
	}
}
