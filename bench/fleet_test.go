//go:build linux

package main

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestChurnAgainstTheFake has guests come and go beside a steady fleet.
func TestChurnAgainstTheFake(t *testing.T) {
	t.Parallel()
	f := startFake(t, mistakes{})
	s := testSession(t, 1)
	steady, err := s.invite(testPlan(f.listener.Addr().String(), framed), "")
	if err != nil {
		t.Fatal(err)
	}
	p := steady.plan
	p.Viewers, p.Senders, p.Verified, p.ChurnRate, p.Stay = 1, 0, 0, 200, 100*time.Millisecond
	p.InFlight = 8
	guests, err := s.invite(p, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := steady.open(testViewers); err != nil {
		t.Fatal(err)
	}
	if _, err := steady.send(0, time.Hour, 500, false, 100); err != nil {
		t.Fatal(err)
	}
	if err := guests.order(request{Op: orderChurn, On: true}); err != nil {
		t.Fatal(err)
	}
	st := new(fleetStatus)
	for end := time.Now().Add(60 * time.Second); st.Joins < 100 || st.VerifiedComments == 0; time.Sleep(10 * time.Millisecond) {
		if st, err = guests.status(); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(end) {
			t.Fatalf("%d joins, %d comments seen by guests", st.Joins, st.VerifiedComments)
		}
	}
	if err := errors.Join(guests.empty(), steady.order(request{Op: orderHush}), steady.settle()); err != nil {
		t.Fatal(err)
	}
	if st, err = guests.status(); err != nil {
		t.Fatal(err)
	}
	gv, _, err := guests.close()
	if err != nil {
		t.Fatal(err)
	}
	v, _, err := steady.close()
	if err != nil {
		t.Fatal(err)
	}
	wantFaults(t, gv)
	wantFaults(t, v)
	if st.Leaves != st.Joins {
		t.Errorf("%d joins, %d leaves, %d comments seen by guests", st.Joins, st.Leaves, st.VerifiedComments)
	}
}

// TestStallersStopAndResume: the fake's sockets hold all of it, so nothing may
// be missing afterwards.
func TestStallersStopAndResume(t *testing.T) {
	t.Parallel()
	f := startFake(t, mistakes{})
	s := testSession(t, 1)
	p := testPlan(f.listener.Addr().String(), framed)
	p.Stallers = 10
	all, err := s.invite(p, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := all.open(testViewers); err != nil {
		t.Fatal(err)
	}
	if err := all.order(request{Op: orderStall, On: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := all.send(0, 300*time.Millisecond, 500, true, 0); err != nil {
		t.Fatal(err)
	}
	if err := all.settle(); err != nil {
		t.Fatal(err)
	}
	held, err := all.status()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(all.order(request{Op: orderStall}), all.settle()); err != nil {
		t.Fatal(err)
	}
	freed, err := all.status()
	if err != nil {
		t.Fatal(err)
	}
	if want := held.Frames / 30 * 40; freed.Frames != want {
		t.Errorf("%d frames while 10 of 40 stalled, %d after, want %d", held.Frames, freed.Frames, want)
	}
	v, _, err := all.close()
	if err != nil {
		t.Fatal(err)
	}
	wantFaults(t, v)
}

// TestAgainstTheFloor has both modes of the C loop judged.
func TestAgainstTheFloor(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{FloorPush, FloorRelay} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			base, err := StartFloor(context.Background(), FloorOptions{Mode: mode})
			if errors.Is(err, ErrNoCompiler) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer base.Close()
			s := testSession(t, 1)
			p := testPlan(base.Addr(), counted)
			p.Speaks, p.Rooms = mode, 4 // the names of the modes are those of what is spoken
			p.Senders = 4
			all, err := s.invite(p, "")
			if err != nil {
				t.Fatal(err)
			}
			if err := all.open(testViewers); err != nil {
				t.Fatal(err)
			}
			if mode == FloorPush {
				if _, err := s.pushTurn(&floorOptions{round: 100 * time.Millisecond}, base, all, turn{size: 4096, batches: 10}); err != nil {
					t.Error(err)
				}
				return
			}
			got, err := s.charge(all, base.Pid(), 300*time.Millisecond, 100, true, 0)
			if err != nil {
				t.Fatal(err)
			}
			v, _, err := all.close()
			if err != nil {
				t.Fatal(err)
			}
			if want := v.Sent * testViewers / int64(p.Rooms); v.Sent < 20 || int64(got.frames) != want {
				t.Errorf("%v frames at viewers, want %d for %d comments", got.frames, want, v.Sent)
			}
			wantFaults(t, v)
			if v.Received != v.Expected {
				t.Errorf("received %+v, expected %+v", v.Received, v.Expected)
			}
		})
	}
}

// TestWorkerProcess runs a load with a real worker process, which must end
// when its standard input does.
func TestWorkerProcess(t *testing.T) {
	t.Parallel()
	f := startFake(t, mistakes{})
	crew, err := startCrew(2)
	if err != nil {
		t.Fatal(err)
	}
	s := &session{options: defaultOptions(), card: NewRunCard("test"), target: &target{}, crew: crew, nonce: "t"}
	s.options.quietLine = true
	ph, v, err := s.steady(testPlan(f.listener.Addr().String(), counted), "", load{name: "test", rate: 300, duration: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	wantFaults(t, v)
	if ph.Latency == nil || ph.Latency.Count == 0 || ph.Load == nil || ph.Load.CPUNS == 0 {
		t.Errorf("nothing measured: %+v", ph)
	}
	if err := crew.end(); err != nil {
		t.Error(err)
	}
}

// TestPacerKeepsItsSchedule: as many comments as planned, none before its time.
func TestPacerKeepsItsSchedule(t *testing.T) {
	t.Parallel()
	for _, random := range []bool{false, true} {
		p := newPacer(plan{Senders: 10, Seed: 3}, schedule{Start: 1000, Stop: 1000 + 2e6, Rate: 20, Random: random}, nil)
		for i := range 10 {
			p.senders = append(p.senders, newSender(-1, i, 0, 0))
		}
		period := p.phases()
		if period != 5e5 {
			t.Fatalf("period %v", period)
		}
		for i, s := range p.senders {
			if s.due < 1000 || s.due >= 1000+period || i > 0 && s.due < p.senders[i-1].due {
				t.Errorf("random %t: sender %d is due at %v", random, s.number, s.due)
			}
		}
	}
}
