package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// seen is what a viewer got of a room.
type seen struct {
	batches map[uint64]string // payload by sequence
	skipped int
	err     error
}

// watchToTheEnd reads up to the comment "end". Batches must come in order, each
// gap told before.
func (v *viewer) watchToTheEnd() (s seen) {
	s.batches = make(map[uint64]string)
	at := v.welcome.Seq
	for {
		v.conn.SetReadDeadline(time.Now().Add(patience))
		op, payload, err := v.readFrame()
		if err != nil {
			s.err = fmt.Errorf("after batch %d: %w", at, err)
			return s
		}
		if op == opPing {
			v.writeAll(masked(opPong, string(payload)))
			continue
		}
		m, err := parseMessage(payload)
		switch {
		case err != nil:
		case m.Type == "batch" && m.Seq == at+1:
			at = m.Seq
			s.batches[at] = string(payload)
			if m.comments[len(m.comments)-1].Text == "end" {
				return s
			}
		case m.Type == "skipped" && m.From == at+1 && m.To >= m.From:
			s.skipped += int(m.To - at)
			at = m.To
		default:
			err = errors.New("unexpected")
		}
		if err != nil {
			s.err = fmt.Errorf("after batch %d: %w: %.300q", at, err, payload)
			return s
		}
	}
}

// stay reads and answers pings until the connection ends.
func (v *viewer) stay() {
	v.conn.SetReadDeadline(time.Time{})
	for {
		op, payload, err := v.readFrame()
		if err != nil {
			return
		}
		if op == opPing && v.writeAll(masked(opPong, string(payload))) != nil {
			return
		}
	}
}

// talk says something in the room until so many batches are sealed, the last of
// it "end", and returns all batches.
func (s *instance) talk(t *testing.T, room string, batches int, heavy bool) map[uint64]string {
	t.Helper()
	sealed, err := s.join(room).talk(heavy, func(n int) bool { return n >= batches })
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// talk says one burst of comments after the other, each when the last one has
// come back, until enough batches have, and then "end". Heavy bursts fill sockets.
func (v *viewer) talk(heavy bool, enough func(batches int) bool) (sealed map[uint64]string, err error) {
	sealed = make(map[uint64]string)
	text, burst := "弹", 1
	if heavy {
		text, burst = strings.Repeat("弹", 200), 20
	}
	for ended := false; !ended; {
		var p []byte
		for range burst {
			p = append(p, masked(opText, say(text, ""))...)
		}
		said := burst
		if ended = enough(len(sealed) + 1); ended {
			p, said = masked(opText, say("end", "")), 1
		}
		if err := v.writeAll(p); err != nil {
			return nil, err
		}
		for got := 0; got < said; {
			v.conn.SetReadDeadline(time.Now().Add(patience))
			op, payload, err := v.readFrame()
			if err != nil {
				return nil, fmt.Errorf("after %d batches: %w", len(sealed), err)
			}
			if op == opPing {
				v.writeAll(masked(opPong, string(payload)))
				continue
			}
			m, err := parseMessage(payload)
			if err != nil || m.Type != "batch" {
				return nil, fmt.Errorf("after %d batches: %v: %.300q", len(sealed), err, payload)
			}
			sealed[m.Seq] = string(payload)
			got += len(m.comments)
		}
	}
	return sealed, nil
}

// expect compares what a viewer got with what was sealed while it was there.
func (got seen) expect(t *testing.T, sealed map[uint64]string) {
	t.Helper()
	if got.err != nil {
		t.Error(got.err)
		return
	}
	for seq, payload := range got.batches {
		if sealed[seq] != payload {
			t.Errorf("batch %d is not what was sealed: %.200q, want %.200q", seq, payload, sealed[seq])
		}
	}
	if len(got.batches)+got.skipped != len(sealed) {
		t.Errorf("%d batches and %d skipped, %d were sealed", len(got.batches), got.skipped, len(sealed))
	}
}
