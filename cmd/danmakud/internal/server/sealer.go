package server

import (
	"slices"
	"time"

	"github.com/danmakud/danmakud/room"
)

// postMost is how many batches are encoded before the loops get them: with many
// rooms due at once the first shall not wait until the last is compressed.
const postMost = 64

// sealLast is how long rooms may take to come due when the server ends: the longest
// tick there is.
const sealLast = 5 * time.Second

// hubSweepEvery is how often empty rooms are looked for.
const hubSweepEvery = 10 * time.Second

// sealer is the goroutine that seals rooms whose tick has passed. Rooms that may
// be sealed at once never come here, see handler.sealRooms.
type sealer struct {
	server *Server
	kick   chan struct{} // a room became due before all others
	stop   chan struct{}
	done   chan struct{}

	batches []*room.Batch // owned by run; kept for its memory
}

func newSealer(s *Server) *sealer {
	return &sealer{server: s, kick: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
}

// wake makes the sealer look at the due times again. It never blocks.
func (l *sealer) wake() {
	select {
	case l.kick <- struct{}{}:
	default: // it has been told and has not looked yet
	}
}

func (l *sealer) run() {
	defer close(l.done)
	timer := time.NewTimer(hubSweepEvery)
	defer timer.Stop()
	var swept int64
	for !l.stopped() {
		now := l.server.now()
		if now-swept >= int64(hubSweepEvery) {
			swept = now
			l.server.hub.Sweep(now)
		}
		wait := hubSweepEvery
		if due, ok := l.server.hub.NextDue(); ok {
			wait = time.Duration(due - now)
		}
		if wait <= 0 {
			l.sealDue(now)
			continue
		}
		timer.Reset(min(wait, hubSweepEvery))
		select {
		case <-timer.C:
		case <-l.kick:
		case <-l.stop:
			return
		}
	}
}

// sealDue seals what is due at now and posts it.
func (l *sealer) sealDue(now int64) {
	s := l.server
	l.batches = s.hub.SealDue(l.batches[:0], now, time.Now().UnixMilli())
	for some := range slices.Chunk(l.batches, postMost) {
		s.post(some, nil, now)
	}
	clear(l.batches)
}

func (l *sealer) stopped() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

// close ends the goroutine, and seals in its place what is not sealed yet: there may
// be nobody to see it, but it was accepted, and the archive wants it.
func (l *sealer) close() {
	close(l.stop)
	<-l.done
	for end := l.server.now() + int64(sealLast); ; {
		due, ok := l.server.hub.NextDue()
		now := l.server.now()
		if !ok || now >= end {
			return
		}
		time.Sleep(time.Duration(min(due, end) - now))
		l.sealDue(l.server.now())
	}
}
