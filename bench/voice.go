package main

import "sync"

// Comments without stamps. A stamp has some ten bytes that no compression can
// shorten, as many as the rest of a compressed comment, so what is measured in
// bytes is said as people say it. Then the worker remembers every comment that
// it sends, and knows who said what by the uid and the order: each comment of a
// viewer must be, letter for letter, the next one that it said.

// voice is what one sender has said. Any goroutine.
type voice struct {
	sender uint32

	mu   sync.Mutex
	said []scriptLine
	next int // in said: the line that should come next
}

// scriptLine is one comment as sent.
type scriptLine struct {
	text     string
	intended int64 // microseconds
}

// say notes a comment before it is sent.
func (v *voice) say(text string, intended int64) {
	v.mu.Lock()
	v.said = append(v.said, scriptLine{text, intended})
	v.mu.Unlock()
}

// unsay takes the last comment back, because it could not be sent.
func (v *voice) unsay() {
	v.mu.Lock()
	v.said = v.said[:len(v.said)-1]
	v.mu.Unlock()
}

// voiceReach is how far ahead a comment is looked for when lines before it are
// missing (refused, sampled or lost; the counts tell which).
const voiceReach = 1000

// recognize finds a comment that has arrived. What is not next is looked for
// ahead, then among those that came before; a text that was never said is not
// found. Texts repeat, so after a fault the numbers may be off by a few; that
// there was one is certain.
func (v *voice) recognize(text string) (stamp, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := v.next; i < min(len(v.said), v.next+voiceReach); i++ {
		if v.said[i].text == text {
			v.next = i + 1
			return v.stampOf(i), true
		}
	}
	for i := min(v.next, len(v.said)) - 1; i >= max(0, v.next-voiceReach); i-- {
		if v.said[i].text == text {
			return v.stampOf(i), true
		}
	}
	return stamp{}, false
}

func (v *voice) stampOf(i int) stamp {
	return stamp{sender: v.sender, sequence: uint32(i + 1), intended: v.said[i].intended}
}
