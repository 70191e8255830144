package main

import (
	"encoding/json"
	"fmt"
)

// Viewers that speak packets on /sub, as Bilibili's clients do.

// beatMicros is how often such a client sends a heartbeat, as the known ones do.
const beatMicros = 30e6

// introduce says who the viewer is, once it is upgraded.
func (v *viewer) introduce() {
	if p := &v.fleet.plan; p.Speaks == speaksPackets {
		v.write(opBinary, authPacket(v.room.name, p.Protover))
	}
}

// readAdmission takes the answer to that.
func (v *viewer) readAdmission(payload []byte) error {
	body, ok := onePacket(payload, packetAuthAnswer)
	if !ok {
		return fmt.Errorf("the first message is no answer to auth")
	}
	var m struct{ Code *int }
	if err := json.Unmarshal(body, &m); err != nil || m.Code == nil || *m.Code != 0 {
		return fmt.Errorf("auth is answered with %q", body)
	}
	v.early = len(v.packetLog().records) == 0
	v.beat()
	return nil
}

func (v *viewer) packetLog() *packetLog { return v.fleet.packetLogs[v.room.index] }

// beat sends a heartbeat.
func (v *viewer) beat() {
	v.beats++
	v.write(opBinary, beatPacket)
}

// beatAll sends the heartbeats that are due, the viewers spread over their time.
func (f *fleet) beatAll(now int64) {
	const parts = beatMicros / 1e6
	second := now / 1e6
	if f.plan.Speaks != speaksPackets || second == f.beaten {
		return
	}
	f.beaten = second
	for _, v := range f.members {
		if v.state == joined && int64(v.number)%parts == second%parts && now-v.joinedAt > beatMicros/2 {
			v.beat()
		}
	}
}

// packets takes one message of the server.
func (v *viewer) packets(payload, whole []byte, now int64) {
	f := v.fleet
	if v.state == joining {
		v.join(payload, now)
		return
	}
	if body, ok := onePacket(payload, packetBeatAnswer); ok {
		if len(body) != 4 || v.beats == 0 {
			f.faults.add(faultUnknown, 1, "viewer %d: % x, with %d heartbeats unanswered", v.number, payload, v.beats)
			return
		}
		v.beats--
		f.status.Notices++
		return
	}
	l := v.packetLog()
	r := l.known(v.seq.next, whole)
	if r == nil {
		f.status.Inflated++
		if r = l.first(payload, whole, &f.faults); r == nil {
			return
		}
		f.loop.records.keep(r)
	}
	if r.seq == 0 {
		return // counts of the room, which have no place in the account
	}
	if !v.early && v.batches == 0 { // who came later begins where it begins
		v.welcome, v.seq.next = r.seq-1, r.seq
	}
	if v.arrive(r.seq, len(whole)) {
		v.credit(r, len(whole), now)
	}
}
