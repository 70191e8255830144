package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// worker carries out the parent's orders: a loop that reads, a pacer per fleet
// that writes, and this goroutine that listens to the parent.
type worker struct {
	loop   *loop
	pacers map[int]*pacer
	attack *attack // nil: none is under way
}

// serveWorker answers requests from in until it ends. It returns with all
// sockets closed and all goroutines ended. Several may run in one process.
func serveWorker(in io.Reader, out io.Writer) error {
	l, err := newLoop()
	if err != nil {
		return err
	}
	w := &worker{loop: l, pacers: map[int]*pacer{}}
	go l.run()
	defer func() {
		for _, p := range w.pacers {
			p.end()
		}
		if w.attack != nil {
			w.attack.stop()
		}
		l.end()
	}()
	d := json.NewDecoder(bufio.NewReaderSize(in, 64<<10))
	for {
		var r request
		switch err := d.Decode(&r); {
		case errors.Is(err, io.EOF):
			return nil // the parent is gone or done
		case err != nil:
			return err
		}
		a, err := w.carryOut(&r)
		if err != nil {
			a = &answer{Error: err.Error()}
		}
		line, err := encodeLine(a)
		if err != nil {
			return err
		}
		if _, err := out.Write(line); err != nil {
			return err
		}
	}
}

// workerMain is the hidden subcommand: a process of its own. It ends when its
// standard input does, which is also what the death of the parent looks like.
func workerMain() error { return serveWorker(os.Stdin, os.Stdout) }

// carryOut runs one order.
func (w *worker) carryOut(r *request) (a *answer, err error) {
	a = &answer{}
	switch r.Op {
	case orderPlan:
		w.loop.do(func() {
			var f *fleet
			if f, err = newFleet(w.loop, *r.Plan); err == nil {
				w.loop.fleets[r.Plan.Fleet] = f
			}
		})
	case orderStatus:
		w.loop.do(func() { a.Status = w.status(r.On) })
	case orderNap:
		w.loop.do(func() { w.loop.nap = r.NapUS })
	case orderSend:
		err = w.startSending(r)
	case orderHush:
		if p := w.pacers[r.Fleet]; p != nil {
			p.end()
			w.retire(r.Fleet, p)
		}
	case orderAttack:
		a.Attack, err = w.besiege(r.Attack)
	case orderClose:
		a.Result, err = w.close(r.Fleet)
	default:
		w.loop.do(func() { err = w.tell(r) })
	}
	return a, err
}

// tell runs an order that concerns one fleet. Loop goroutine.
func (w *worker) tell(r *request) error {
	f := w.loop.fleets[r.Fleet]
	if f == nil {
		return fmt.Errorf("%s: no fleet %d", r.Op, r.Fleet)
	}
	switch r.Op {
	case orderOpen:
		f.until = r.Until
		f.nextOpen = 0
	case orderWindow:
		f.windows = append(f.windows, &latencyWindow{window: *r.Window, delays: newDelays(), far: newDelays()})
	case orderStall:
		return f.stall(r.On)
	case orderKill:
		f.kill()
	case orderChurn:
		f.churning = r.On
		f.nextOpen = 0
	default:
		return fmt.Errorf("unknown order %q", r.Op)
	}
	return nil
}

// startSending starts the pacer of a fleet, after the one before has ended.
func (w *worker) startSending(r *request) error {
	if p := w.pacers[r.Fleet]; p != nil {
		select {
		case <-p.done:
			w.retire(r.Fleet, p)
		default:
			return fmt.Errorf("fleet %d is sending already", r.Fleet)
		}
	}
	var p *pacer
	w.loop.do(func() {
		if f := w.loop.fleets[r.Fleet]; f != nil {
			f.spoken = true
			p = newPacer(f.plan, *r.Schedule, f.senders)
		}
	})
	if p == nil {
		return fmt.Errorf("send: no fleet %d", r.Fleet)
	}
	w.pacers[r.Fleet] = p
	go p.run()
	return nil
}

// retire hands what an ended pacer noticed to its fleet.
func (w *worker) retire(fleet int, p *pacer) {
	delete(w.pacers, fleet)
	w.loop.do(func() {
		f := w.loop.fleets[fleet]
		if f.plan.Resumes {
			f.outcomes["comments not offered"] += p.unsent // whoever said them had lost its node
		} else {
			f.faults.add(faultSender, p.unsent, "%d comments could not be offered to the server", p.unsent)
		}
		f.late.Merge(p.late)
	})
}

// status is how all fleets are, and if measured what a measurement wants besides. Loop
// goroutine.
func (w *worker) status(measured bool) *workerStatus {
	s := &workerStatus{CPU: int64(processorTime()), Fleets: map[int]*fleetStatus{}}
	if measured {
		if p, err := ReadProc(os.Getpid()); err == nil {
			s.RSS = p.RSS
		}
	}
	for n, f := range w.loop.fleets {
		fs := f.report()
		if measured {
			fs.Recent, _ = encodeDelays(f.recent) // an empty field only leaves a gap in the live line
			f.recent.Reset()
		}
		if p := w.pacers[n]; p != nil {
			select {
			case <-p.done:
			default:
				fs.Sending = true
			}
		}
		s.Fleets[n] = fs
	}
	return s
}

// close ends a fleet and its sending.
func (w *worker) close(fleet int) (r *fleetResult, err error) {
	if p := w.pacers[fleet]; p != nil {
		p.end()
		w.retire(fleet, p)
	}
	w.loop.do(func() {
		f := w.loop.fleets[fleet]
		if f == nil {
			err = fmt.Errorf("close: no fleet %d", fleet)
			return
		}
		delete(w.loop.fleets, fleet)
		r = f.close()
	})
	return r, err
}
