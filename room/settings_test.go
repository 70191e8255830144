package room

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/danmakud/danmakud/wsproto"
)

// TestSettingsAreTold: members are told by the next batch, once, and not of what is
// none of their business.
func TestSettingsAreTold(t *testing.T) {
	h := NewHub(Config{Tick: 100 * 1e6, History: 5})
	e, _ := NewShard(h, 0, &sink{}).Join(0, JoinRequest{Name: "r"}, 0)
	r := e.Room
	if r.SetSettings(Settings{MaxViewers: 9, BudgetBytes: 4096, BudgetComments: 7}, 0) || r.Seal(0, 0) != nil {
		t.Error("viewers are told of what does not concern them")
	}
	if !r.SetSettings(Settings{Closed: true, SlowMode: 5000, MinRole: RoleVIP}, 10*ms) {
		t.Fatal("a room at rest is not sealed at once")
	}
	if r.SetSettings(Settings{Closed: true, SlowMode: 6000, MinRole: RoleVIP}, 11*ms) {
		t.Fatal("to be sealed twice")
	}
	b := r.Seal(11*ms, 7)
	want := `{"type":"batch","room":"r","seq":1,"ts":7,"online":1,"settings":{"closed":true,"slow_mode_ms":6000,"min_role":"vip"},"comments":[]}`
	if got := payload(t, b); got != want || b.Settings == nil || b.Settings.SlowMode != 6000 {
		t.Errorf("%s, want\n%s", got, want)
	}
	r.Posted()
	mustPublish(t, r, chat("a"), 200*ms)
	if b := r.Seal(200*ms, 7); b.Settings != nil || strings.Contains(payload(t, b), "settings") {
		t.Errorf("told again: %s", payload(t, b))
	}
	r.Posted()
	mustPublish(t, r, chat("b"), 400*ms)
	if r.SetSettings(Settings{}, 400*ms) {
		t.Error("a room that is promised to somebody is to be sealed by another")
	}
	if b := r.Seal(400*ms, 7); !strings.Contains(payload(t, b), `,"settings":{},"comments":[{`) {
		t.Errorf("the end of all settings: %s", payload(t, b))
	}
}

// TestLongestPrefix: the longest that a batch may begin with has its place.
func TestLongestPrefix(t *testing.T) {
	head := sealHead{
		room: strings.Repeat("r", MaxName), seq: math.MaxUint64, wall: math.MinInt64, online: math.MaxInt,
		likes: math.MaxUint64, sampled: math.MaxUint64, settings: &Settings{true, math.MaxInt64, RoleModerator, 1, 1, 1},
	}
	p := appendPrefix(nil, &head)
	if len(p)+wsproto.HeaderMax > prefixRoom || len(p) < 310 {
		t.Errorf("%d bytes", len(p))
	}
	if !json.Valid(append(p, ']', '}')) {
		t.Errorf("%s", p)
	}
}

// TestSkippedSettings: who skips the batch that told the settings is told by the
// notice, and nobody else is.
func TestSkippedSettings(t *testing.T) {
	for _, c := range []struct {
		when int // the batch that tells
		want string
	}{
		{1, ""}, // it was sent
		{2, `,"settings":{"closed":true}`}, {6, `,"settings":{"closed":true}`},
		{9, ""}, // it is still in the ring
	} {
		h := NewHub(Config{Ring: 2, Tick: 1})
		w := &narrow{}
		s := NewShard(h, 0, w)
		e, err := s.Join(0, JoinRequest{Name: "r"}, 0)
		if err != nil {
			t.Fatal(err)
		}
		for i := 1; i <= 9; i++ {
			now := int64(i) * ms
			mustPublish(t, e.Room, chat("x"), now)
			if i == c.when {
				e.Room.SetSettings(Settings{Closed: true}, now)
			}
			b := e.Room.Seal(now, 0)
			b.Encode()
			s.Deliver([]*Batch{b}, now)
			e.Room.Posted()
			s.Broadcast(100, now)
			w.shut = true
		}
		w.shut = false
		s.Writable(0, 10*ms)
		got := w.text()
		at := strings.Index(got, `{"type":"skipped"`)
		if at < 0 {
			t.Fatalf("nothing was skipped: %q", got)
		}
		notice, _, _ := strings.Cut(got[at:], "}\x81")
		if _, settings, _ := strings.Cut(notice+"}", `"comments":7`); settings != c.want+"}" {
			t.Errorf("told by batch %d: %s", c.when, notice)
		}
		if n := strings.Count(got, `"settings"`); n != 1 {
			t.Errorf("told by batch %d: told %d times in %q", c.when, n, got)
		}
	}
}

// narrow is a socket that takes everything or nothing.
type narrow struct {
	got  []byte
	shut bool
}

func (n *narrow) Write(_ uint32, p []byte) (int, error) {
	if n.shut {
		return 0, nil
	}
	n.got = append(n.got, p...)
	return len(p), nil
}
func (n *narrow) WriteRegion(slot uint32, _ Region, rest []byte) (int, error) {
	return n.Write(slot, rest)
}
func (n *narrow) WantWrite(uint32, bool) {}
func (n *narrow) Failed(uint32, error)   {}
func (n *narrow) text() string           { return string(n.got) }
