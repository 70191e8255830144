package main

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// sender is the writing side of a viewer that sends. The pacer writes
// comments, the loop writes pongs; both take the lock.
type sender struct {
	// Fixed after construction.
	fd     int
	number int // in the fleet
	room   int
	salt   uint64
	first  int    // added to its number in stamps
	voice  *voice // nil: its comments bear stamps

	// Owned by the pacer.
	sequence uint32
	due      float64 // microseconds

	// Atomic; any goroutine.
	sent atomic.Int64

	mu      sync.Mutex
	backlog []byte // what the socket did not take
	stopped bool   // the connection is over
}

func newSender(fd, number, room int, salt uint64) *sender {
	return &sender{fd: fd, number: number, room: room, salt: salt}
}

// write sends a frame or keeps what does not fit (blocked); ok is false if it
// cannot be sent any more. Frames are never torn.
func (s *sender) write(frame []byte) (ok, blocked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped || len(s.backlog) > backlogLimit {
		return false, false
	}
	n := 0
	if len(s.backlog) == 0 {
		var err error
		if n, err = send(s.fd, frame); err != nil {
			return false, false // the loop will see the end of the connection
		}
	}
	s.backlog = append(s.backlog, frame[n:]...)
	return true, len(s.backlog) > 0
}

// backlogLimit bounds what a sender keeps for a server that does not read.
const backlogLimit = 1 << 20

// flush tries to write the backlog; true when it is empty.
func (s *sender) flush() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.backlog) == 0 || s.stopped {
		return true
	}
	n, err := send(s.fd, s.backlog)
	if err != nil {
		s.backlog = nil
		return true
	}
	s.backlog = slices.Delete(s.backlog, 0, n)
	return len(s.backlog) == 0
}

// stop ends all writing; no write is under way when it returns.
func (s *sender) stop() {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
}

// pacer is the one goroutine that sends a fleet's comments, each at its
// intended time. It never waits for the server: what is late is sent at once
// and its stamp says when it was meant, so a stall of the server shows as
// latency and not as a lighter load.
type pacer struct {
	schedule schedule
	plan     plan
	senders  []*sender
	late     *hdrhistogram.Histogram // how late the load itself was, microseconds
	unsent   int64                   // comments that could not be offered
	done     chan struct{}
	quit     atomic.Bool
}

// newPacer prepares the sending of a worker's senders.
func newPacer(p plan, s schedule, senders []*sender) *pacer {
	return &pacer{schedule: s, plan: p, senders: slices.Clone(senders), late: newDelays(), done: make(chan struct{})}
}

// blockedMicros is how often a blocked sender is tried again, and drainMicros
// how long after the end.
const (
	blockedMicros = 1000
	drainMicros   = 5e6
)

// run sends until the schedule is over. Its own goroutine.
func (p *pacer) run() {
	defer close(p.done)
	if len(p.senders) == 0 || p.schedule.Rate <= 0 {
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	sharpenTimers()
	text := p.texts()
	period := p.phases()
	var payload, frame []byte
	blocked := map[*sender]bool{}
	for i := 0; ; i = (i + 1) % len(p.senders) {
		s := p.senders[i]
		due := int64(s.due)
		s.due += period
		if due >= p.schedule.Stop {
			break // the senders are in order of their phase: all others are later
		}
		p.await(due, blocked)
		if p.quit.Load() {
			return
		}
		s.sequence++
		payload = s.comment(payload[:0], text(), due)
		frame = appendMasked(frame[:0], opText, payload, rand.Uint32())
		record(p.late, nowMicros()-due)
		ok, full := s.write(frame)
		if !ok {
			s.unsay()
			p.unsent++
			continue
		}
		s.sent.Add(1)
		if full {
			blocked[s] = true
		}
	}
	for end := nowMicros() + drainMicros; len(blocked) > 0 && nowMicros() < end && !p.quit.Load(); {
		p.await(nowMicros()+blockedMicros, blocked)
	}
}

// comment appends the next comment of a sender.
func (s *sender) comment(dst []byte, text string, due int64) []byte {
	if s.voice != nil {
		s.voice.say(text, due)
		return appendBareComment(dst, text)
	}
	return appendComment(dst, stamp{uint32(s.first + s.number), s.sequence, due}, text, s.salt)
}

// unsay takes back a comment that could not be offered.
func (s *sender) unsay() {
	s.sequence--
	if s.voice != nil {
		s.voice.unsay()
	}
}

// await sleeps until a comment is due and tries blocked senders meanwhile.
func (p *pacer) await(due int64, blocked map[*sender]bool) {
	for now := nowMicros(); now < due && !p.quit.Load(); now = nowMicros() {
		for s := range blocked {
			if s.flush() {
				delete(blocked, s)
			}
		}
		step := int64(longestSleep)
		if len(blocked) > 0 {
			step = blockedMicros
		}
		sleepUntil(min(due, now+step))
	}
}

const longestSleep = 50_000 // microseconds; bounds how long quit waits

// phases gives every sender its first time and sorts them by it.
func (p *pacer) phases() (period float64) {
	period = p.schedule.period(p.plan.Senders)
	r := rand.New(rand.NewPCG(p.plan.Seed, 1))
	shift := make([]float64, p.plan.Senders) // the same in all workers
	for i := range shift {
		shift[i] = float64(i) / float64(p.plan.Senders)
		if p.schedule.Random {
			shift[i] = r.Float64()
		}
	}
	for _, s := range p.senders {
		s.due = float64(p.schedule.Start) + shift[s.number]*period
	}
	slices.SortFunc(p.senders, func(a, b *sender) int {
		switch {
		case a.due < b.due:
			return -1
		case a.due > b.due:
			return 1
		}
		return a.number - b.number
	})
	return period
}

// texts is the source of what is said behind the stamps.
func (p *pacer) texts() func() string {
	if n := p.schedule.MessageBytes; n > 0 {
		pad := padding(n)
		return func() string { return pad }
	}
	c := NewCorpus(p.plan.Seed + uint64(p.plan.Worker))
	return func() string { return clip(c.Next()) }
}

// end stops the pacer early and waits for it.
func (p *pacer) end() {
	p.quit.Store(true)
	<-p.done
}
