package main

import (
	"bufio"
	"io"
	"strings"
	"testing"
)

// Answers of every length are taken to their last byte: what is left of one
// keeps a worker behind an unbuffered pipe from reading the next order.
func TestCrewTakesWholeAnswers(t *testing.T) {
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	m := &crewMember{in: inW, out: outR, answers: bufio.NewReader(outR)}
	var length int // of the next answer; the pipe orders its use
	go func() {
		orders := bufio.NewReader(inR)
		for {
			if _, err := orders.ReadBytes('\n'); err != nil {
				outW.CloseWithError(err)
				return
			}
			text := strings.Repeat("x", length)
			line, _ := encodeLine(&answer{Result: &fleetResult{Codes: map[string]int64{text: 1}}})
			if _, err := outW.Write(line); err != nil {
				return
			}
		}
	}()
	defer inW.Close()
	for length = range 8 << 10 {
		if _, err := m.ask(&request{Op: orderStatus}); err != nil {
			t.Fatalf("answer %d: %v", length, err)
		}
	}
}
