//go:build verify

package poller

import (
	"strings"
	"testing"
)

// must runs f and expects a panic that says what.
func mustPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if v, _ := recover().(string); !strings.Contains(v, what) {
			t.Errorf("panic %q, want %q", v, what)
		}
	}()
	f()
}

func TestVerifyOwner(t *testing.T) {
	r := startReactor(t, loopback(1), echo)
	l := r.Loops()[0]
	ping(t, dial(t, r), "x")
	call(t, l, func() { l.Handle(0) })
	h := makeHandle(0, 0, 1)
	for name, f := range map[string]func(){
		"Write":     func() { l.Write(0, nil) },
		"WantWrite": func() { l.WantWrite(0, true) },
		"PauseRead": func() { l.PauseRead(0, true) },
		"Close":     func() { l.Close(0, ReasonApplication) },
		"Detach":    func() { l.Detach(0) },
		"Resolve":   func() { l.Resolve(h) },
		"Handle":    func() { l.Handle(0) },
		"Open":      func() { l.Open(0) },
	} {
		t.Run(name, func(t *testing.T) { mustPanic(t, "only the loop's goroutine", f) })
	}
}

func TestVerifyInvariants(t *testing.T) {
	for _, c := range []struct {
		what  string
		spoil func(l *Loop, s Slot)
	}{
		{"share fd", func(l *Loop, s Slot) { l.columns.at(s + 1).fd = l.columns.at(s).fd }},
		{"slots open", func(l *Loop, s Slot) { l.columns.opened++ }},
		{"slots open", func(l *Loop, s Slot) { l.columns.free = s }},
		{"outlived reap", func(l *Loop, s Slot) { l.columns.at(s).state = dead }},
		{"generation 0", func(l *Loop, s Slot) { l.columns.at(s).generation = 0 }},
		{"kernel has", func(l *Loop, s Slot) { l.columns.at(s).flags |= flagPaused }},
		{"is not below", func(l *Loop, s Slot) { l.columns.high = s }},
		{"counted", func(l *Loop, s Slot) { l.load.Add(-1) }},
	} {
		t.Run(c.what, func(t *testing.T) {
			k := newFake(t)
			l := newTestLoop(t, k, nil)
			s := adopted(t, l, k.socket(), k.socket())[0]
			l.turn()
			columns, column, next := l.columns, *l.columns.at(s), *l.columns.at(s + 1)
			load := l.load.Load()
			c.spoil(l, s)
			mustPanic(t, c.what, func() { l.verify.turn(l) })
			l.columns, *l.columns.at(s), *l.columns.at(s + 1) = columns, column, next
			l.load.Store(load)
		})
	}
}
