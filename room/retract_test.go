package room

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// texts returns what comments say, retracts as "-" and what they take back.
func texts(t testing.TB, list []byte) (said []string) {
	t.Helper()
	var parsed []struct{ ID, Text, Kind string }
	if err := json.Unmarshal(fmt.Appendf(nil, "[%s]", list), &parsed); err != nil {
		t.Fatalf("%s: %v", list, err)
	}
	for _, c := range parsed {
		if c.Kind == "retract" {
			c.Text = "-" + c.ID
		}
		said = append(said, c.Text)
	}
	return said
}

func idText(id uint64) string { return string(AppendID(nil, id)) }

// talk is a room with one viewer.
type talk struct {
	t *testing.T
	*Room
}

func newTalk(t *testing.T, c Config) talk {
	t.Helper()
	e, err := NewShard(NewHub(c), 0, &sink{}).Join(0, JoinRequest{Name: "r"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	return talk{t, e.Room}
}

func (k talk) say(text string) uint64 {
	k.t.Helper()
	id, _, err := k.Publish(chat(text), 0, 0)
	if err != nil {
		k.t.Fatal(err)
	}
	return id
}

func (k talk) retract(id uint64) (found bool) {
	k.t.Helper()
	found, _, err := k.Retract(id, 0, 0)
	if err != nil {
		k.t.Fatal(err)
	}
	return found
}

// seal returns what the next batch says.
func (k talk) seal() []string {
	k.t.Helper()
	b := k.Seal(0, 0)
	b.Encode()
	k.Posted()
	if got := texts(k.t, b.CommentsJSON()); len(got) != b.Comments {
		k.t.Fatalf("batch of %d says %q", b.Comments, got)
	}
	if !json.Valid(b.Payload()) || string(b.Payload()) != payload(k.t, b) {
		k.t.Fatalf("payload %s", b.Payload())
	}
	return texts(k.t, b.CommentsJSON())
}

func (k talk) history() []string { return texts(k.t, k.HistoryJSON(100)) }

func (k talk) want(what string, got []string, want ...string) {
	k.t.Helper()
	if !slices.Equal(got, want) {
		k.t.Errorf("%s is %q, want %q", what, got, want)
	}
}

func TestRetract(t *testing.T) {
	k := newTalk(t, Config{History: 10})
	a, b := k.say("a"), k.say("b")
	c, d := k.say("c"), k.say("d")
	if !k.retract(b) || !k.retract(a) || k.retract(b) {
		t.Error("what is pending can be retracted once")
	}
	k.want("batch", k.seal(), "c", "d", "-"+idText(b), "-"+idText(a), "-"+idText(b))
	k.want("history", k.history(), "c", "d")
	if !k.retract(d) {
		t.Error("what is in the history was not found")
	}
	k.want("history before the next batch", k.history(), "c")
	e := k.say("e")
	k.want("batch", k.seal(), "-"+idText(d), "e")
	if !k.retract(c) || !k.retract(e) || k.retract(12345) {
		t.Error("found is wrong")
	}
	k.want("batch of retracts", k.seal(), "-"+idText(c), "-"+idText(e), "-"+idText(12345))
	k.want("history", k.history())
	i := k.Info()
	if i.Total != 10 || i.Withdrawn != 2 || k.hub.Withdrawn() != 2 || i.Seq != 3 || i.Pending != 0 {
		t.Errorf("info %+v", i)
	}
}

// A retract makes a room due as a comment does, and is taken where chat is not.
func TestRetractIsDueAndFits(t *testing.T) {
	k := newTalk(t, Config{PendingComments: 1})
	_, sealNow, err := k.Retract(1, 0, 0)
	if !sealNow || err != nil {
		t.Errorf("retract in a quiet room: %v %v", sealNow, err)
	}
	if _, _, err := k.Publish(chat("x"), 0, 0); !errors.Is(err, ErrFull) {
		t.Errorf("chat in a full tick: %v", err)
	}
	if _, err := k.Clear(0, 0); err != nil {
		t.Errorf("clear in a tick full of chat: %v", err)
	}
	if _, _, err := k.Retract(1, 0, 0); !errors.Is(err, ErrFull) {
		t.Errorf("retract in a tick full of them: %v", err)
	}
}

func TestClear(t *testing.T) {
	k := newTalk(t, Config{History: 10})
	k.say("a")
	k.seal()
	k.say("b")
	if _, _, err := k.Publish(&Comment{Text: "gift", Kind: KindGift, Gift: "g"}, 0, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Clear(0, 0); err != nil {
		t.Fatal(err)
	}
	k.want("history at once", k.history())
	k.say("c")
	k.want("batch", k.seal(), "gift", "-*", "c")
	k.want("history", k.history(), "c")
	if i := k.Info(); i.Withdrawn != 1 || i.Total != 4 {
		t.Errorf("info %+v", i)
	}
}

func TestSuperchatsRunning(t *testing.T) {
	h := NewHub(Config{})
	s := NewShard(h, 0, &sink{})
	e, _ := s.Join(0, JoinRequest{Name: "r"}, 0)
	publish := func(text string, duration time.Duration, now int64) uint64 {
		id, _, err := e.Room.Publish(&Comment{User: "u", Text: text, Kind: KindSuperchat, Price: 30, Duration: duration}, now, 0)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	running := func(now int64) string {
		t.Helper()
		s.Leave(1, now)
		e, err := s.Join(1, JoinRequest{Name: "r"}, now)
		if err != nil {
			t.Fatal(err)
		}
		welcome := AppendWelcome(nil, &e, &Viewer{UID: 1})
		if !json.Valid(welcome) || strings.Contains(string(welcome), "superchats") != (e.Superchats != nil) {
			t.Errorf("welcome %s", welcome)
		}
		var list []struct {
			Text string
			Left int `json:"left_s"`
		}
		if err := json.Unmarshal(fmt.Appendf(nil, "[%s]", e.Superchats), &list); err != nil {
			t.Fatalf("%s: %v", e.Superchats, err)
		}
		return fmt.Sprint(list)
	}
	const second = int64(time.Second)
	_, long := publish("short", 10*time.Second, 0), publish("long", time.Minute, 0)
	publish("gone at once", 0, 0)
	if got := running(0); got != "[]" {
		t.Errorf("before their batch: %s", got)
	}
	e.Room.Seal(0, 0)
	e.Room.Posted()
	for now, want := range map[int64]string{0: "[{short 10} {long 60}]", second / 2: "[{short 10} {long 60}]", 9 * second: "[{short 1} {long 51}]", 10 * second: "[{long 50}]", 60 * second: "[]"} {
		if got := running(now); got != want {
			t.Errorf("after %d s: %s, want %s", now/second, got, want)
		}
	}
	if found, _, _ := e.Room.Retract(long, second, 0); !found {
		t.Error("a running superchat was not found")
	}
	if got := running(second); got != "[{short 9}]" {
		t.Errorf("after the retract: %s", got)
	}
	h.Sweep(11 * second)
	if e.Room.running != nil {
		t.Errorf("%d are kept after their time", len(e.Room.running))
	}
	for i := range superchatsMax + 1 {
		publish(fmt.Sprint(i), time.Duration(i+1)*time.Minute, 20*second)
	}
	if n := len(e.Room.running); n != superchatsMax || h.Forgotten() != 1 || strings.Contains(string(e.Room.running[0].open), `"text":"0"`) {
		t.Errorf("%d run, %d forgotten, the first is %s", n, h.Forgotten(), e.Room.running[0].open)
	}
}

// Who resumes is shown each running superchat once: in the welcome what was in the
// batches before, the others in theirs. From another node it may have seen some of
// the batches that come, so the welcome has all.
func TestSuperchatsOfWhoResumes(t *testing.T) {
	h := NewHub(Config{})
	s := NewShard(h, 0, &sink{})
	e, _ := s.Join(0, JoinRequest{Name: "r"}, 0)
	r, epoch := e.Room, e.Room.epoch
	var last uint64
	for _, text := range []string{"first", "second"} {
		id, _, err := r.Publish(&Comment{User: "u", Text: text, Kind: KindSuperchat, Duration: time.Minute}, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		r.Seal(0, 0)
		r.Posted()
		last = id
	}
	for _, tc := range []struct {
		name string
		req  JoinRequest
		want []string
	}{
		{"new", JoinRequest{}, []string{"first", "second"}},
		{"missed both", JoinRequest{Resume: true, Epoch: epoch}, nil},
		{"missed one", JoinRequest{Resume: true, Epoch: epoch, Since: 1}, []string{"first"}},
		{"missed none", JoinRequest{Resume: true, Epoch: epoch, Since: 2}, []string{"first", "second"}},
		{"cannot", JoinRequest{Resume: true, Epoch: epoch, Since: 3}, []string{"first", "second"}},
		{"from another node", JoinRequest{Resume: true, Epoch: "other", Since: 1, After: last}, []string{"first", "second"}},
	} {
		tc.req.Name = "r"
		e, err := s.Join(1, tc.req, 0)
		if err != nil {
			t.Fatal(err)
		}
		var list []struct{ Text string }
		if err := json.Unmarshal(fmt.Appendf(nil, "[%s]", e.Superchats), &list); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, one := range list {
			got = append(got, one.Text)
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
		s.Leave(1, 0)
	}
}

func TestRoomSettings(t *testing.T) {
	asked := []string{}
	h := NewHub(Config{SettingsOf: func(name string) Settings {
		asked = append(asked, name)
		return Settings{Closed: name == "closed", SlowMode: 5000, MinRole: RoleVIP, MaxViewers: 1}
	}})
	r, err := h.Room("closed", 0)
	if err != nil || !r.Settings().Closed || h.Rooms() != 1 {
		t.Fatalf("room %v, %v", r, err)
	}
	if again, _ := h.Room("closed", 0); again != r || len(asked) != 1 {
		t.Errorf("asked for the settings of %q", asked)
	}
	if _, err := h.Room("no room", 0); !errors.Is(err, ErrName) {
		t.Errorf("bad name: %v", err)
	}
	s := NewShard(h, 0, &sink{})
	e, err := s.Join(0, JoinRequest{Name: "closed"}, 0)
	if err != nil || e.Room != r {
		t.Fatal(err)
	}
	if got := string(AppendWelcome(nil, &e, &Viewer{UID: 1})); !strings.Contains(got, `"settings":{"closed":true,"slow_mode_ms":5000,"min_role":"vip"},`) || !json.Valid([]byte(got)) {
		t.Errorf("welcome %s", got)
	}
	if _, err := s.Join(1, JoinRequest{Name: "closed"}, 0); !errors.Is(err, ErrRoomFull) || s.RoomOf(1) != nil || r.Info().Online != 1 {
		t.Errorf("second viewer: %v", err)
	}
	r.SetSettings(Settings{}, 0)
	e, err = s.Join(1, JoinRequest{Name: "closed"}, 0)
	if err != nil || r.Info().Settings != (Settings{}) || strings.Contains(string(AppendWelcome(nil, &e, &Viewer{UID: 1})), "settings") {
		t.Errorf("without settings: %v, %+v", err, r.Info())
	}
}
