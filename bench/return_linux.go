package main

import (
	"errors"
	"io"
	"slices"
	"strings"
	"syscall"
)

// Viewers that come back: after a refusal, a reset, or because the server asked
// them to. Owned by the loop goroutine.

// comeback is a connection to be made again.
type comeback struct {
	number int
	due    int64 // microseconds
}

const (
	// retryMicros is how long a viewer waits that could not connect: always the
	// same, so that it is no back-off, and long enough not to spin.
	retryMicros = 100_000
	// patienceMicros is how long a connection may take to be joined.
	patienceMicros = 20e6
)

var errNoAnswer = errors.New("timed out")

// comeBack has a viewer connect again at a moment. Guests do not come back.
func (f *fleet) comeBack(number int, due int64) {
	if f.plan.ChurnRate == 0 {
		f.again = append(f.again, comeback{number, due})
	}
}

// missed counts a connection that could not be made and has it tried again.
func (f *fleet) missed(number int, err error, now int64) {
	f.outcomes[outcomeOf(err)]++
	f.goElsewhere(number)
	f.comeBack(number, now+retryMicros)
}

// outcomeOf names how a connection failed, without the particulars.
func outcomeOf(err error) string {
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		return "answered " + strings.TrimSpace(refused.status)
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	case errors.Is(err, syscall.ETIMEDOUT), errors.Is(err, errNoAnswer):
		return "timed out"
	case errors.Is(err, io.EOF):
		return "closed without an answer"
	case err == nil:
		return "ended"
	}
	return err.Error()
}

// bringBack connects those that are due, and gives up connections that take
// too long. Once a turn.
func (f *fleet) bringBack(now int64) {
	if now-f.lookedBack < 2000 {
		return
	}
	f.lookedBack = now
	due := f.again
	f.again = nil
	for _, c := range due {
		if c.due > now || f.status.Connecting >= f.plan.InFlight {
			f.again = append(f.again, c)
			continue
		}
		f.connect(c.number, now)
	}
	if now-f.lookedLate < 500_000 {
		return
	}
	f.lookedLate = now
	for _, v := range slices.Clone(f.members) {
		if v.state < joined && now-v.began > patienceMicros {
			v.end(errNoAnswer)
		}
	}
	f.members = slices.DeleteFunc(f.members, func(v *viewer) bool {
		return v.state == over && v.heard == 0 && v.out == nil // it never joined
	})
}

// dismissed takes a close with 1012, restart: the viewer answers and waits for
// the end of the connection.
func (v *viewer) dismissed(payload []byte) {
	f := v.fleet
	f.outcomes["closed with 1012"]++
	if !v.told {
		f.outcomes["not told goodbye"]++
	}
	f.closings[nowMicros()/closingMicros]++
	v.write(opClose, payload[:2])
}

const closingMicros = 100_000 // resolution of closings

// kill resets all connections at once, as when a network goes away.
func (f *fleet) kill() {
	for _, v := range f.members {
		if v.state == over {
			continue
		}
		if v.state == joined {
			f.status.Joined--
			f.status.Leaves++
		} else {
			f.status.Connecting--
		}
		v.state = over
		f.loop.release(v)
		abort(v.fd)
	}
}
