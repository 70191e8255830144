//go:build verify

package poller

import (
	"bytes"
	"fmt"
	"runtime"
	"strconv"
)

// A verifier checks what must hold, at a price only tests pay: that methods of a
// loop are called on its goroutine, and, at the end of each turn, that every
// slot and every fd is accounted for. What does not hold panics, with values.
type verifier struct {
	// Owned by the loop goroutine; read by whoever breaks the rule.
	goroutine int64
	fds       map[int32]Slot
}

// enter notes whose loop this is, at its first turn.
func (v *verifier) enter() {
	if v.goroutine == 0 {
		v.goroutine = goroutineID()
	}
	v.owner()
}

// owner panics on a foreign goroutine. Before the first turn any is right.
func (v *verifier) owner() {
	if id := goroutineID(); v.goroutine != 0 && v.goroutine != id {
		panic(fmt.Sprintf("poller: goroutine %d called a method that only the loop's goroutine %d may call", id, v.goroutine))
	}
}

// turn checks the columns after reap, when nothing is dead.
func (v *verifier) turn(l *Loop) {
	cs := &l.columns
	if v.fds == nil {
		v.fds = make(map[int32]Slot)
	}
	clear(v.fds)
	for s := Slot(0); s < cs.made; s++ {
		c := cs.at(s)
		switch {
		case c.generation == 0:
			panic(fmt.Sprintf("poller: slot %d has generation 0", s))
		case c.state == dead:
			panic(fmt.Sprintf("poller: slot %d outlived reap", s))
		case c.state == free:
			continue
		case s >= cs.high:
			panic(fmt.Sprintf("poller: open slot %d is not below %d", s, cs.high))
		case c.armed != c.wanted():
			panic(fmt.Sprintf("poller: slot %d wants %d, kernel has %d", s, c.wanted(), c.armed))
		}
		if other, taken := v.fds[c.fd]; taken {
			panic(fmt.Sprintf("poller: slots %d and %d share fd %d", other, s, c.fd))
		}
		v.fds[c.fd] = s
	}
	freed := 0
	for s := cs.free; s != noSlot; s = cs.at(s).next {
		freed++
	}
	if len(v.fds) != cs.opened || len(v.fds)+freed != int(cs.made) {
		panic(fmt.Sprintf("poller: %d fds, %d slots open, %d free, %d made", len(v.fds), cs.opened, freed, cs.made))
	}
	if load := int(l.load.Load()); load < cs.opened {
		panic(fmt.Sprintf("poller: %d slots open, %d counted", cs.opened, load))
	}
}

// WantsWrite reports whether the handler asked for Writable of s. Only builds
// with the tag verify have it. Loop goroutine only.
func (l *Loop) WantsWrite(s Slot) bool {
	l.verify.owner()
	c := l.columns.at(s)
	return c.state == open && c.flags&flagWantWrite != 0
}

// goroutineID reads the number from the first line of a stack: "goroutine 7 [".
func goroutineID() int64 {
	var stack [40]byte
	_, rest, _ := bytes.Cut(stack[:runtime.Stack(stack[:], false)], []byte("goroutine "))
	number, _, _ := bytes.Cut(rest, []byte(" "))
	id, err := strconv.ParseInt(string(number), 10, 64)
	if err != nil {
		panic(fmt.Sprintf("poller: no goroutine id in %q", stack))
	}
	return id
}
