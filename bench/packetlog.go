package main

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// packetLog is what the viewers of one fleet that speak packets got in one room.
// Batches have no numbers there: a message is known by its bytes, and its place is
// that in which it first came. Owned by the worker's loop goroutine.
type packetLog struct {
	room     *roomLog
	protover int
	unzip    *unzipper
	records  []*batchRecord          // messages with comments; seq is the place, from 1
	bySum    map[uint64]*batchRecord // and those without, whose seq is 0
	senders  map[uint32]*sequence
}

func newPacketLog(room *roomLog, protover int, unzip *unzipper) *packetLog {
	return &packetLog{room: room, protover: protover, unzip: unzip, bySum: map[uint64]*batchRecord{}, senders: map[uint32]*sequence{}}
}

// known finds a frame that somebody had before: next is most likely. nil: nobody had.
func (l *packetLog) known(next uint64, frame []byte) *batchRecord {
	if i := next - 1; i < uint64(len(l.records)) && l.records[i].sameFrame(frame) {
		return l.records[i]
	}
	if r := l.bySum[fingerprint(frame)]; r != nil && r.sameFrame(frame) {
		return r
	}
	return nil
}

// sameFrame is same where the payload is the whole frame.
func (r *batchRecord) sameFrame(frame []byte) bool { return r.wire == len(frame) && r.same(frame) }

// first looks at every byte of a message that nobody had before. nil: it is so wrong
// that there is nothing to record.
func (l *packetLog) first(payload, frame []byte, f *faults) *batchRecord {
	r := &batchRecord{sum: fingerprint(frame), wire: len(frame), payload: bytes.Clone(frame)}
	if err := l.inspect(r, payload, f); err != nil {
		f.add(faultCorrupt, 1, "room %s: a message of %d bytes behind %d others: %v", l.room.name, len(frame), len(l.records), err)
		return nil
	}
	if r.comments = len(r.keys); r.comments > 0 {
		l.records = append(l.records, r)
		r.seq = uint64(len(l.records))
	}
	l.bySum[r.sum] = r
	return r
}

func (l *packetLog) inspect(r *batchRecord, payload []byte, f *faults) error {
	plain := payload
	if l.protover >= packetZlib {
		zipped := false
		err := eachPacket(payload, func(k packetSeen) (err error) {
			if k.version != packetZlib || k.op != packetEvent || zipped {
				return fmt.Errorf("version %d, operation %d where one packet of zlib was due", k.version, k.op)
			}
			zipped = true
			plain, err = l.unzip.plain(k.body)
			return err
		})
		if err != nil {
			return err
		}
	}
	r.size = plainSize(len(plain))
	return eachPacket(plain, func(k packetSeen) error {
		if k.version != packetPlain || k.op != packetEvent {
			return fmt.Errorf("version %d, operation %d where an event was due", k.version, k.op)
		}
		var e eventSeen
		if err := json.Unmarshal(k.body, &e); err != nil {
			return fmt.Errorf("%.80q: %w", k.body, err)
		}
		return l.event(r, &e, f)
	})
}

// event takes note of one event.
func (l *packetLog) event(r *batchRecord, e *eventSeen, f *faults) error {
	switch e.Cmd {
	case "DANMU_MSG":
	case "ONLINE_RANK_COUNT", "WATCHED_CHANGE", "LIKE_INFO_V3_UPDATE":
		return nil
	default:
		f.add(faultUnknown, 1, "room %s: event %q", l.room.name, e.Cmd)
		return nil
	}
	d, err := e.danmu()
	if err != nil {
		return err
	}
	s, ok := readStamp([]byte(d.text), l.room.salt)
	if !ok {
		l.room.blame(&commentMessage{Text: d.text}, uint64(len(l.records)+1), f)
		return nil
	}
	if d.uid == 0 || d.ts == 0 || d.name == "" {
		f.add(faultCorrupt, 1, "room %s: comment without uid, name or ts: %+v", l.room.name, d)
	}
	r.keys = append(r.keys, stampKey{s.sender, s.sequence})
	r.intended = append(r.intended, s.intended)
	l.order(s, f)
	return nil
}

// order checks that the comments of each sender rise by one, each once. Gaps show in
// the account, since a comment may have been refused.
func (l *packetLog) order(s stamp, f *faults) {
	from := l.senders[s.sender]
	if from == nil {
		from = &sequence{next: uint64(s.sequence)}
		l.senders[s.sender] = from
	}
	switch from.take(uint64(s.sequence)) {
	case arrivedAgain:
		f.add(faultRepeated, 1, "room %s: comment %d of sender %d in a second message", l.room.name, s.sequence, s.sender)
	case arrivedLate:
		f.add(faultReordered, 1, "room %s: comment %d of sender %d came late", l.room.name, s.sequence, s.sender)
	}
}

// result is the log as a room of the account: who got all of it got every comment.
func (l *packetLog) result(room int, sent bool) roomResult {
	r := roomResult{Room: room}
	for _, b := range l.records {
		r.Batches = append(r.Batches, batchResult{Seq: b.seq, Size: b.wire, Sum: b.sum, Comments: b.comments})
		if sent {
			r.Sent += int64(b.comments)
		}
	}
	return r
}
