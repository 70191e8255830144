package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// session is one run of a subcommand: the server, the workers, the card.
// Owned by the goroutine of the subcommand.
type session struct {
	options options
	card    *RunCard
	target  *target
	crew    *crew
	nonce   string // in the names of all rooms, so that runs do not meet
	fleets  int
	retired []*target // servers started besides, to be stopped too
}

// newSession starts the server, if asked to, and the workers. The caller must
// call finish or abandon.
func newSession(name string, o options, connections int) (*session, error) {
	return newSessionAt(name, o, connections, findTarget)
}

// newSessionAt is newSession with a server of its own making.
func newSessionAt(name string, o options, connections int, find func(*options) (*target, error)) (*session, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	s := &session{options: o, card: NewRunCard(name), nonce: "b" + strconv.FormatUint(rand.Uint64()>>20, 36)}
	s.fillParameters()
	var err error
	if s.target, err = find(&o); err != nil {
		return nil, err
	}
	s.card.Server = &s.target.info
	if s.crew, err = startCrew(o.processesFor(connections)); err != nil {
		return nil, errors.Join(err, s.target.stop())
	}
	if o.nap > 0 {
		if _, err := s.crew.ask(request{Op: orderNap, NapUS: o.nap.Microseconds()}, nil); err != nil {
			return nil, errors.Join(err, s.abandon())
		}
	}
	return s, nil
}

func (s *session) fillParameters() {
	o := &s.options
	for name, v := range map[string]any{
		"viewers": o.viewers, "rooms": o.rooms, "senders": o.sendersFor(o.viewers, o.rooms), "rate": o.rate,
		"message-bytes": o.messageBytes, "duration": o.duration.String(), "warmup": o.warmup.String(),
		"history": o.history, "seed": o.seed, "sample": o.sample, "drain": o.drain, "nap": o.nap.String(),
		"in-flight": o.inFlight, "connect-rate": o.connectRate,
		"compress": o.compress,
	} {
		s.card.Parameters[name] = v
	}
}

// abandon ends everything after an error.
func (s *session) abandon() error {
	var err error
	if s.crew != nil {
		err = s.crew.end()
	}
	for _, t := range s.retired {
		err = errors.Join(err, t.stop())
	}
	return errors.Join(err, s.target.stop())
}

// note keeps what a reader must know to trust the numbers.
func (s *session) note(format string, args ...any) {
	s.card.Notes = append(s.card.Notes, fmt.Sprintf(format, args...))
}

// since is the time of the run so far, in seconds.
func (s *session) since() float64 { return time.Since(s.card.StartedAt).Seconds() }

// party is the parent's side of a fleet over all workers.
type party struct {
	session *session
	plan    plan
	joined  time.Duration // from the first connect to the last welcome
	lastErr error
}

// invite announces a fleet to all workers; nobody connects yet. Fleets with
// the same room name meet in the same rooms.
func (s *session) invite(p plan, roomName string) (*party, error) {
	p.Fleet = s.fleets
	s.fleets++
	p.RoomName = s.nonce + roomName
	p.Workers = len(s.crew.workers)
	if err := p.validate(); err != nil {
		return nil, err
	}
	_, err := s.crew.ask(request{Op: orderPlan, Fleet: p.Fleet}, func(i int, r *request) {
		own := p
		own.Worker = i
		r.Plan = &own
	})
	return &party{session: s, plan: p}, err
}

// order tells all workers something about this fleet.
func (p *party) order(r request) error {
	r.Fleet = p.plan.Fleet
	_, err := p.session.crew.ask(r, nil)
	return err
}

// status is the fleet at this moment, over all workers.
func (p *party) status() (*fleetStatus, error) {
	return p.session.status(p)
}

// status is several fleets together, as told by all workers at one moment.
func (s *session) status(parties ...*party) (*fleetStatus, error) {
	t, err := s.crew.status()
	if err != nil {
		return nil, err
	}
	all := &fleetStatus{}
	for _, p := range parties {
		f := t.Fleets[p.plan.Fleet]
		if f == nil {
			return nil, fmt.Errorf("fleet %d is gone", p.plan.Fleet)
		}
		all.add(f)
	}
	return all, s.target.alive()
}

// joinPatience is how long joining may go on without any progress.
const joinPatience = 15 * time.Second

// open connects the viewers below a number and waits until all have joined.
func (p *party) open(until int) error {
	began := time.Now()
	if err := p.order(request{Op: orderOpen, Until: until}); err != nil {
		return err
	}
	live := p.session.live()
	defer live.clear()
	last, moved := 0, time.Now()
	for {
		st, err := p.status()
		if err != nil {
			return err
		}
		p.joined = time.Since(began)
		live.show("joining: %d of %d", st.Joined, until)
		if st.Joined+st.Failed+st.Gone >= until {
			if st.Failed+st.Gone > 0 {
				p.session.note("%d of %d viewers could not join or were closed", st.Failed+st.Gone, until)
			}
			if st.Joined == 0 {
				return p.explain(fmt.Errorf("nobody could join"))
			}
			return nil
		}
		if st.Joined+st.Failed > last {
			last, moved = st.Joined+st.Failed, time.Now()
		}
		if time.Since(moved) > joinPatience {
			return p.explain(fmt.Errorf("%d of %d viewers joined, then nothing for %v (%d connecting)", st.Joined, until, joinPatience, st.Connecting))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// explain adds the workers' first faults to an error.
func (p *party) explain(err error) error {
	v, _, cerr := p.close()
	if cerr == nil {
		for _, e := range v.Faults.Examples {
			err = errors.Join(err, errors.New(e))
		}
	}
	return err
}

// send starts the fleet's senders at a moment from now and returns it.
func (p *party) send(in, lasting time.Duration, rate float64, random bool, messageBytes int) (start int64, err error) {
	start = nowMicros() + in.Microseconds()
	return start, p.order(request{Op: orderSend, Schedule: &schedule{
		Start: start, Stop: start + lasting.Microseconds(), Rate: rate, Random: random, MessageBytes: messageBytes,
	}})
}

// watch collects the latencies of comments intended within a span.
func (p *party) watch(name string, from, to int64) error {
	return p.order(request{Op: orderWindow, Window: &window{Name: name, From: from, To: to}})
}

// Times of settling: all that was sent is there, or nothing comes any more.
const (
	settleComplete = 300 * time.Millisecond
	settleSilent   = 2500 * time.Millisecond // longer than the longest tick
	settleStalled  = 10 * time.Second        // where somebody did not keep up: a kernel asks a window that was shut again after seconds
	settleLimit    = 60 * time.Second
)

// settle waits until the senders have ended and everything has arrived.
func (p *party) settle() error { return p.session.settle(p) }

// settle is that for fleets that hear each other, together: what one has sent may still
// be on its way to another. That all is there can be told of a fleet alone and of one
// worker, since each counts what it has seen by itself.
func (s *session) settle(parties ...*party) error {
	live := s.live()
	defer live.clear()
	var bytes int64 = -1
	still := time.Now()
	for end := time.Now().Add(settleLimit); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		all, err := s.status(parties...)
		if err != nil {
			return err
		}
		live.show("settling: %d comments sent, %d seen", all.Sent, all.Distinct)
		if all.Sending || all.Bytes != bytes {
			bytes, still = all.Bytes, time.Now()
			continue
		}
		quiet, enough := time.Since(still), settleSilent
		if all.SkippedBatches > 0 {
			enough = settleStalled
		}
		complete := len(s.crew.workers) == 1 && len(parties) == 1 && all.Distinct >= all.Sent
		if quiet > enough || complete && quiet > settleComplete {
			return nil
		}
	}
	s.note("data still arrived %v after the last comment was due", settleLimit)
	return nil
}

// close ends the fleet, judges it and merges its delays.
func (p *party) close() (*judgement, map[string]*hdrhistogram.Histogram, error) {
	results, delays, err := p.closeAll()
	if err != nil {
		return nil, nil, err
	}
	return judge(&p.plan, results), delays, nil
}

// closeAll ends the fleet and returns what each worker saw, and all delays together.
func (p *party) closeAll() ([]*fleetResult, map[string]*hdrhistogram.Histogram, error) {
	answers, err := p.session.crew.ask(request{Op: orderClose, Fleet: p.plan.Fleet}, nil)
	if err != nil {
		return nil, nil, err
	}
	delays := map[string]*hdrhistogram.Histogram{}
	results := make([]*fleetResult, len(answers))
	for i, a := range answers {
		results[i] = a.Result
		for name, encoded := range a.Result.Delays {
			if delays[name] == nil {
				delays[name] = newDelays()
			}
			if err := mergeDelays(delays[name], encoded); err != nil {
				return nil, nil, err
			}
		}
	}
	return results, delays, nil
}

// finish ends workers and server, judges the card, prints and saves it. The
// error is the exit status: nil only if everything passed.
func (s *session) finish() error {
	err := s.crew.end()
	for _, t := range s.retired {
		err = errors.Join(err, t.stop())
	}
	if stopErr := s.target.stop(); stopErr != nil {
		s.card.Notes = append(s.card.Notes, stopErr.Error())
		err = errors.Join(err, stopErr)
	}
	s.card.FinishedAt = time.Now()
	pass := s.card.Judge() && err == nil
	s.card.Pass = pass
	summarize(os.Stdout, s.card)
	if s.options.json != "" {
		err = errors.Join(err, s.card.Save(s.options.json))
	}
	if err == nil && !pass {
		return errNotPassed
	}
	return err
}

var errNotPassed = errors.New("the run did not pass")
