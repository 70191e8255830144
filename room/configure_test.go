package room

import (
	"testing"
	"time"
)

// TestConfigure: a room at rest has the new tick at once, a stretched one finds
// its way back into the new bounds, and the bounds of a tick hold from now on.
func TestConfigure(t *testing.T) {
	h := NewHub(Config{Tick: 100 * time.Millisecond, MaxTick: time.Second, PendingComments: 5})
	rest, err := h.enter(&JoinRequest{Name: "rest"}, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	stretched, err := h.enter(&JoinRequest{Name: "stretched"}, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	stretched.Room.tick.Store(int64(900 * time.Millisecond))
	h.Configure(Config{Tick: 20 * time.Millisecond, MaxTick: 300 * time.Millisecond, PendingComments: 1, MaxRooms: 2})
	if tick := rest.Room.Tick(); tick != 20*time.Millisecond {
		t.Errorf("a room at rest has the tick %v", tick)
	}
	publish := func(r *Room) error {
		_, _, err := r.Publish(&Comment{Text: "x"}, 0, 0)
		return err
	}
	if err := publish(stretched.Room); err != nil {
		t.Fatal(err)
	}
	if err := publish(stretched.Room); err != ErrFull {
		t.Errorf("a second comment: %v, want %v", err, ErrFull)
	}
	stretched.Room.Seal(0, 0)
	if tick := stretched.Room.Tick(); tick > 300*time.Millisecond {
		t.Errorf("the stretched room has the tick %v after a batch", tick)
	}
	if _, err := h.enter(&JoinRequest{Name: "third"}, 0, 0); err != ErrRoomsFull {
		t.Errorf("a third room: %v, want %v", err, ErrRoomsFull)
	}
	h.Configure(Config{Tick: 50 * time.Millisecond})
	if h.cfg().Shards != 1 || h.cfg().Ring != 16 {
		t.Errorf("what cannot change did: %+v", *h.cfg())
	}
}
