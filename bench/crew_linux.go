package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
)

// crew is the parent's side of its workers. One goroutine at a time.
type crew struct {
	workers []*crewMember
}

// crewMember is one worker, be it a process or, in tests, a goroutine.
type crewMember struct {
	in      io.WriteCloser
	out     io.ReadCloser
	answers *bufio.Reader
	wait    func() error
	pid     int
}

// hiddenWorker is the name of the subcommand that a worker process runs.
const hiddenWorker = "worker"

// startCrew starts n worker processes: this program once more, spoken to over
// its standard input and output, with more in their environment. They die with
// the parent.
func startCrew(n int, env ...string) (*crew, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &crew{}
	for range n {
		cmd := exec.Command(self, hiddenWorker)
		cmd.Stderr = os.Stderr
		cmd.Env = append(os.Environ(), env...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the parent, which ends them in order
		in, err := cmd.StdinPipe()
		if err != nil {
			return nil, errors.Join(err, c.end())
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			return nil, errors.Join(err, c.end())
		}
		if err := cmd.Start(); err != nil {
			return nil, errors.Join(err, c.end())
		}
		c.workers = append(c.workers, &crewMember{in: in, out: out, answers: bufio.NewReader(out), wait: cmd.Wait, pid: cmd.Process.Pid})
	}
	return c, nil
}

// startCrewHere runs the workers as goroutines of this process.
func startCrewHere(n int) *crew {
	c := &crew{}
	for range n {
		inR, inW := io.Pipe()
		outR, outW := io.Pipe()
		ended := make(chan error, 1)
		go func() {
			err := serveWorker(inR, outW)
			outW.CloseWithError(errors.Join(io.EOF, err))
			ended <- err
		}()
		c.workers = append(c.workers, &crewMember{in: inW, out: outR, answers: bufio.NewReader(outR), wait: func() error { return <-ended }})
	}
	return c
}

// end has all workers close their connections and end, and waits for them.
func (c *crew) end() error {
	var errs []error
	for _, m := range c.workers {
		m.in.Close()
	}
	for _, m := range c.workers {
		errs = append(errs, m.wait())
		m.out.Close()
	}
	c.workers = nil
	return errors.Join(errs...)
}

// ask sends one order to every worker at once and collects the answers. adapt
// may change the order for a worker.
func (c *crew) ask(r request, adapt func(worker int, r *request)) ([]*answer, error) {
	answers := make([]*answer, len(c.workers))
	errs := make([]error, len(c.workers))
	var all sync.WaitGroup
	for i, m := range c.workers {
		all.Go(func() {
			own := r
			if adapt != nil {
				adapt(i, &own)
			}
			answers[i], errs[i] = m.ask(&own)
		})
	}
	all.Wait()
	for i, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("worker %d: %s: %w", i, r.Op, err)
		}
	}
	return answers, nil
}

func (m *crewMember) ask(r *request) (*answer, error) {
	line, err := encodeLine(r)
	if err != nil {
		return nil, err
	}
	if _, err := m.in.Write(line); err != nil {
		return nil, err
	}
	// Whole lines: a decoder may stop in front of the line's end, at which a worker
	// behind an unbuffered pipe then waits for ever.
	if line, err = m.answers.ReadBytes('\n'); err != nil {
		return nil, fmt.Errorf("no answer: %w", err)
	}
	a := new(answer)
	if err := json.Unmarshal(line, a); err != nil {
		return nil, fmt.Errorf("no answer: %w", err)
	}
	if a.Error != "" {
		return nil, errors.New(a.Error)
	}
	return a, nil
}

// totals is all workers' shares of the fleets together.
type totals struct {
	CPU    int64
	RSS    int64
	Fleets map[int]*fleetStatus
}

// status asks all workers how they are and adds it up.
func (c *crew) status() (*totals, error) { return c.statusWith(false) }

// statusWith is status, if measured with what costs the workers more to tell: their
// memory, and the latencies since that was asked for last.
func (c *crew) statusWith(measured bool) (*totals, error) {
	answers, err := c.ask(request{Op: orderStatus, On: measured}, nil)
	if err != nil {
		return nil, err
	}
	t := &totals{Fleets: map[int]*fleetStatus{}}
	for _, a := range answers {
		t.CPU += a.Status.CPU
		t.RSS += a.Status.RSS
		for n, f := range a.Status.Fleets {
			if t.Fleets[n] == nil {
				t.Fleets[n] = &fleetStatus{}
			}
			t.Fleets[n].add(f)
		}
	}
	return t, nil
}

// add adds another worker's share. Latencies stay apart: see recents.
func (s *fleetStatus) add(o *fleetStatus) {
	s.Wanted += o.Wanted
	s.Connecting += o.Connecting
	s.Joined += o.Joined
	s.Gone += o.Gone
	s.Failed += o.Failed
	s.Joins += o.Joins
	s.Leaves += o.Leaves
	s.Sending = s.Sending || o.Sending
	s.Sent += o.Sent
	s.Errors += o.Errors
	s.Bytes += o.Bytes
	s.Frames += o.Frames
	s.FrameBytes += o.FrameBytes
	s.VerifiedFrames += o.VerifiedFrames
	s.VerifiedComments += o.VerifiedComments
	s.VerifiedBytes += o.VerifiedBytes
	s.VerifiedPlain += o.VerifiedPlain
	s.Inflated += o.Inflated
	s.Distinct += o.Distinct
	s.SkippedBatches += o.SkippedBatches
	s.Notices += o.Notices
	s.Faults += o.Faults
	s.recents = append(s.recents, o.Recent)
}
