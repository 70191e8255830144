package moderation

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/token"
	"github.com/danmakud/danmakud/room"
)

// What is decided on one node holds on all that share their rooms. The desk tells of
// each change as records, and takes those of others in.

// Record is one thing that was decided, or that it no longer holds.
type Record struct {
	Kind  string          // sanctions, rooms, words or revocations
	Key   string          // id, or name
	Value json.RawMessage // nil = it no longer holds
}

// errRecord: a record of another node is not as it must be.
var errRecord = errors.New("no record of moderation")

// Share has f called with each change from now on, after it is in force and with the
// desk locked: f must not call the desk or block. It returns what is in force already.
func (d *Desk) Share(f func(Record)) []Record {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.share = f
	var all []Record
	add := func(bucket []byte, key string, value any) {
		if r, err := sharedRecord(record{bucket, key, value}); err == nil {
			all = append(all, r)
		}
	}
	for _, s := range d.sanctions.list("", "", time.Now()) {
		add(bucketSanctions, s.ID, s)
	}
	d.rooms.each(func(name string, s room.Settings) { add(bucketRooms, name, s) })
	for _, l := range d.apiLists {
		add(bucketWords, l.Name, l)
	}
	for _, r := range d.revocations {
		add(bucketRevocations, revocationKey(&r), r)
	}
	return all
}

func sharedRecord(r record) (Record, error) {
	s := Record{Kind: string(r.bucket), Key: r.key}
	if r.value == nil {
		return s, nil
	}
	var err error
	s.Value, err = json.Marshal(r.value)
	return s, err
}

// tell tells the others of a change that is in force. With d.mu.
func (d *Desk) tell(put, remove []record) {
	if d.share == nil {
		return
	}
	for _, r := range slices.Concat(remove, put) {
		if slices.ContainsFunc(put, func(p record) bool { return r.value == nil && p.key == r.key }) {
			continue // it is put again
		}
		if s, err := sharedRecord(r); err == nil {
			d.share(s)
		}
	}
}

// Applied is what came of a record: what the server is to do about it.
type Applied struct {
	Sanction   *Sanction         // in force now
	Room       string            // its settings are others now
	Revocation *token.Revocation // to be in force
}

// Apply puts in force what was decided on another node. It is checked as if it came
// from the API, and not told again.
func (d *Desk) Apply(r Record) (Applied, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch r.Kind {
	case string(bucketSanctions):
		return d.applySanction(r)
	case string(bucketRooms):
		return d.applySettings(r)
	case string(bucketWords):
		return Applied{}, d.applyWords(r)
	case string(bucketRevocations):
		return d.applyRevocation(r)
	}
	return Applied{}, errRecord
}

func (d *Desk) applySanction(r Record) (a Applied, err error) {
	if r.Value == nil {
		if s := d.sanctions.get(r.Key); s != nil {
			err = d.store.write(change{remove: []record{{bucket: bucketSanctions, key: r.Key}}})
			d.sanctions.remove(r.Key)
		}
		return a, err
	}
	var s Sanction
	if json.Unmarshal(r.Value, &s) != nil || s.ID != r.Key || len(s.ID) > idMax || !validText(s.By, userBytesMax) {
		return a, errRecord
	}
	if over(&s, time.Now()) {
		return a, nil
	}
	if err := checkSanction(&s, time.Now()); err != nil {
		return a, err
	}
	to, err := targetOf(&s)
	if err != nil {
		return a, err
	}
	old := d.sanctions.of(to, s.Kind)
	if old != nil && (old.At.After(s.At) || old.At.Equal(s.At) && old.ID >= s.ID) {
		return a, nil // a later one, the same on every node
	}
	if err := d.sanctions.place(&s, old); err != nil {
		return a, err
	}
	if !isGuest(s.User) {
		c := change{put: []record{{bucketSanctions, s.ID, &s}}}
		if old != nil {
			c.remove = []record{{bucket: bucketSanctions, key: old.ID}}
		}
		if err := d.store.write(c); err != nil {
			return a, err
		}
	}
	d.sanctions.put(to, &s)
	return Applied{Sanction: &s}, nil
}

// idMax bounds an id that another node gives.
const idMax = 64

func (d *Desk) applySettings(r Record) (a Applied, err error) {
	var s room.Settings
	if r.Value != nil && json.Unmarshal(r.Value, &s) != nil {
		return a, errRecord
	}
	if err := checkSettings(r.Key, &s); err != nil {
		return a, err
	}
	c := change{remove: []record{{bucket: bucketRooms, key: r.Key}}}
	if s != (room.Settings{}) {
		if err := d.rooms.place(r.Key); err != nil {
			return a, err
		}
		c = change{put: []record{{bucketRooms, r.Key, s}}}
	}
	if err := d.store.write(c); err != nil {
		return a, err
	}
	d.rooms.set(r.Key, s)
	return Applied{Room: r.Key}, nil
}

func (d *Desk) applyWords(r Record) error {
	var l WordList
	if r.Value != nil && (json.Unmarshal(r.Value, &l) != nil || l.Name != r.Key) {
		return errRecord
	}
	if r.Value != nil {
		if err := checkList(&l); err != nil {
			return err
		}
	}
	if err := d.notOfFile(r.Key); err != nil {
		return fmt.Errorf("another node has a list of that name: %w", err)
	}
	lists, c := d.withoutList(r.Key), change{remove: []record{{bucket: bucketWords, key: r.Key}}}
	if r.Value != nil {
		l.File, l.Count = "", 0
		lists, c = append(lists, l), change{put: []record{{bucketWords, l.Name, &l}}}
	}
	words, err := compile(d.fileLists, lists)
	if err != nil {
		return err
	}
	if err := d.store.write(c); err != nil {
		return err
	}
	d.apiLists = lists
	next := *d.rules.Load()
	next.words = words
	d.rules.Store(&next)
	return nil
}

func (d *Desk) applyRevocation(r Record) (a Applied, err error) {
	var v token.Revocation
	if r.Value == nil || json.Unmarshal(r.Value, &v) != nil || (v.ID == "") == (v.User == "") || revocationKey(&v) != r.Key ||
		!validText(v.ID, userBytesMax) || !validText(v.User, userBytesMax) {
		return a, errRecord
	}
	if v.Until != 0 && v.Until <= time.Now().Unix() {
		return a, nil
	}
	return Applied{Revocation: &v}, d.store.write(change{put: []record{{bucketRevocations, r.Key, v}}})
}
