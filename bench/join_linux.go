package main

import (
	"fmt"
	"math/rand/v2"
)

// join takes the first message of the server, which must be the welcome.
func (v *viewer) join(payload []byte, now int64) {
	f := v.fleet
	switch f.plan.Speaks {
	case speaksDanmaku:
		if err := v.readWelcome(payload); err != nil {
			f.faults.add(faultWelcome, 1, "viewer %d: %v: %.160q", v.number, err, payload)
		}
		v.early = !f.spoken && f.plan.Senders > 0 // else nothing is known of what was said
	case speaksPackets:
		if err := v.readAdmission(payload); err != nil {
			f.faults.add(faultWelcome, 1, "viewer %d: %v", v.number, err)
		}
	default: // the floor's welcome says nothing
		v.early = !f.spoken && f.plan.Senders > 0
	}
	v.seq.next = v.welcome + 1
	v.state = joined
	v.heard, v.joinedAt = now, now
	record(f.joinDelays, now-v.began)
	f.status.Connecting--
	f.status.Joined++
	f.status.Joins++
	if f.plan.sends(v.number) && f.away[v.number] == nil { // who comes back only listens
		v.out = newSender(v.fd, v.number, v.room.index, v.room.salt)
		v.out.first = f.plan.FirstSender
		if f.plan.Bare {
			v.out.voice = &voice{sender: uint32(v.number)}
			v.room.voices[v.uid] = v.out.voice
		}
		f.senders = append(f.senders, v.out)
	}
	if f.plan.ChurnRate > 0 {
		stay := float64(f.plan.Stay.Microseconds()) * (0.5 + rand.Float64())
		v.leaveAt = now + int64(stay)
	}
}

// claimsKept bounds the histories that are checked at the end, per room.
const claimsKept = 2000

// readWelcome checks the welcome against the protocol and the others'.
func (v *viewer) readWelcome(payload []byte) error {
	m, err := parseNotice(payload)
	switch {
	case err != nil:
		return err
	case m.Type != "welcome":
		return fmt.Errorf("the first message is %q", m.Type)
	case m.Room != v.room.name:
		return fmt.Errorf("welcome to %q instead of %q", m.Room, v.room.name)
	case m.Seq == nil:
		return fmt.Errorf("no seq")
	case m.Epoch == "" || m.UID == "":
		return fmt.Errorf("no epoch or uid")
	case v.room.epoch != "" && v.room.epoch != m.Epoch && !v.fleet.plan.Returns:
		return fmt.Errorf("epoch %q where others have %q", m.Epoch, v.room.epoch)
	}
	v.room.epoch = m.Epoch
	if v.fleet.plan.Returns {
		v.fleet.epochs[m.Epoch]++
	}
	v.welcome, v.uid, v.epoch = *m.Seq, m.UID, m.Epoch
	if f := v.fleet; f.away[v.number] != nil {
		f.welcomedBack(v, m.Resumed != nil && *m.Resumed)
	}
	return v.readHistory(m.History)
}

// readHistory checks the stamps of the history and keeps them for later.
func (v *viewer) readHistory(history []commentMessage) error {
	if want := v.fleet.plan.History; want >= 0 && len(history) > want {
		return fmt.Errorf("history of %d comments where %d were asked for", len(history), want)
	}
	claims := v.fleet.claims[v.room]
	if len(history) == 0 {
		return nil
	}
	keys := make([]stampKey, 0, len(history))
	for i := range history {
		c := &history[i]
		if c.Kind != "" && c.Kind != "chat" {
			continue
		}
		s, ok := readStamp([]byte(c.Text), v.room.salt)
		if !ok {
			return fmt.Errorf("history holds a comment that nobody sent here")
		}
		keys = append(keys, stampKey{s.sender, s.sequence})
	}
	if len(claims) < claimsKept {
		v.fleet.claims[v.room] = append(claims, historyClaim{viewer: v.number, seq: v.welcome, keys: keys})
	}
	return nil
}
