package server

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/admin"
	"github.com/danmakud/danmakud/room"
)

const (
	tapsMost  = 64 // watchers at one time
	tapPlaces = 16 // batches that wait for one
)

// taps let somebody outside the loops read along what is said in rooms. While
// nobody does, a post costs one atomic load.
type taps struct {
	// Atomic; any goroutine.
	byRoom  atomic.Pointer[map[string][]*tap] // never changed in place; nil = nobody reads along
	missed  atomic.Uint64                     // batches that a reader was too slow for
	watched atomic.Int64                      // readers at present

	mu sync.Mutex // among those who come and go
}

// A tap is one reader.
type tap struct{ batches chan *room.Batch }

// offer hands a batch that was just sealed to those who read along. It never blocks.
func (t *taps) offer(b *room.Batch) {
	all := t.byRoom.Load()
	if all == nil {
		return
	}
	for _, reader := range (*all)[b.Room.Name()] {
		select {
		case reader.batches <- b:
		default:
			t.missed.Add(1)
		}
	}
}

// has reports whether somebody reads along in a room.
func (t *taps) has(name string) bool {
	all := t.byRoom.Load()
	return all != nil && len((*all)[name]) > 0
}

// open adds a reader of a room, which need not exist; nil if there are too many.
func (t *taps) open(name string) *tap {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.watched.Load() >= tapsMost {
		return nil
	}
	reader := &tap{batches: make(chan *room.Batch, tapPlaces)}
	t.change(name, func(before []*tap) []*tap { return append(slices.Clone(before), reader) })
	t.watched.Add(1)
	return reader
}

// close removes a reader.
func (t *taps) close(name string, reader *tap) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.change(name, func(before []*tap) []*tap {
		return slices.DeleteFunc(slices.Clone(before), func(o *tap) bool { return o == reader })
	})
	t.watched.Add(-1)
}

// change replaces the readers of one room; t.mu is held.
func (t *taps) change(name string, to func([]*tap) []*tap) {
	next := make(map[string][]*tap)
	if all := t.byRoom.Load(); all != nil {
		next = maps.Clone(*all)
	}
	if readers := to(next[name]); len(readers) > 0 {
		next[name] = readers
	} else {
		delete(next, name)
	}
	if len(next) == 0 {
		t.byRoom.Store(nil)
		return
	}
	t.byRoom.Store(&next)
}

// Watch calls f with nil as soon as it watches, and then with every batch of a room, as the JSON of
// its message, until ctx is done or the server goes down; then it returns. What f is
// too slow for is left out, and counted. f must not change what it is given.
func (s *Server) Watch(ctx context.Context, name string, f func(payload []byte)) error {
	if !room.ValidName(name) {
		return room.ErrName
	}
	reader := s.taps.open(name)
	if reader == nil {
		return admin.ErrBusy
	}
	defer s.taps.close(name, reader)
	s.prepareRoom(name)
	f(nil)
	for {
		select {
		case b := <-reader.batches:
			f(b.Payload())
		case <-ctx.Done():
			return nil
		case <-s.leaving:
			return nil
		}
	}
}
