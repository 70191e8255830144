package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/moderation"
	"github.com/danmakud/danmakud/room"
)

// fake is a Backend in memory. err, when set, is what every method that can fail
// answers; fault makes them panic.
type fake struct {
	mu        sync.Mutex
	err       error
	fault     bool
	wait      chan struct{} // Publish waits for it
	entered   chan struct{} // and says so here
	room      int           // Publish fails after so many comments with err; 0 = at once
	rooms     map[string]room.Settings
	comments  map[string][]room.Comment
	sanctions []moderation.Sanction
	held      map[string]moderation.HeldComment
	words     map[string]moderation.WordList
	values    map[string]string
	done      []string // what changed something: "method by ..."
	drained   bool
	unready   bool
	payloads  chan []byte // of Watch
	exported  string
	cut       bool // Export fails after the first bytes
}

func newFake() *fake {
	return &fake{
		rooms:    map[string]room.Settings{"r1": {}, "r2": {SlowMode: 500}},
		comments: map[string][]room.Comment{}, held: map[string]moderation.HeldComment{"h1": {ID: "h1", Room: "r1", User: "u1", Text: "hm", At: time.Unix(1e9, 0)}},
		words:     map[string]moderation.WordList{"bad": {Name: "bad", Action: "mask", Words: []string{"x"}, Count: 1}},
		sanctions: []moderation.Sanction{{ID: "s1", Kind: moderation.Mute, User: "u1", By: "x", At: time.Unix(1e9, 0)}},
		values:    map[string]string{}, payloads: make(chan []byte, 1000),
	}
}

var _ Backend = (*fake)(nil)

// did notes what was done, or fails as it was told to.
func (f *fake) did(format string, args ...any) error {
	if f.fault {
		panic("the fake was told to")
	}
	if f.err != nil {
		return f.err
	}
	f.done = append(f.done, fmt.Sprintf(format, args...))
	return nil
}

// deeds returns what was done so far.
func (f *fake) deeds() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.done)
}

func (f *fake) ListRooms(after string, limit int) ([]room.Info, int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.look()
	var list []room.Info
	for _, name := range slices.Sorted(maps.Keys(f.rooms)) {
		if name > after && len(list) < limit {
			list = append(list, room.Info{Name: name, Online: 3})
		}
	}
	return list, len(f.rooms)
}

// look is what methods that cannot fail do.
func (f *fake) look() {
	if f.fault {
		panic("the fake was told to")
	}
}

func (f *fake) ShowRoom(name string) (room.Info, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.look()
	if _, ok := f.rooms[name]; !ok {
		return room.Info{}, ErrNoRoom
	}
	return room.Info{Name: name, Online: 3}, f.err
}

func (f *fake) History(name string, n int) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.look()
	return []byte(`{"id":"00000001","text":"a"},{"id":"00000002","text":"b"}`), f.err
}

func (f *fake) Settings(name string) room.Settings {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.look()
	return f.rooms[name]
}

func (f *fake) SetSettings(name string, s room.Settings, by string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.did("settings %s by %s", name, by)
	if err == nil {
		f.rooms[name] = s
	}
	return err
}

func (f *fake) Clear(name, by string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.did("clear %s by %s", name, by)
}

func (f *fake) Push(ctx context.Context, to PushTo, op uint32, body []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.look()
	f.done = append(f.done, fmt.Sprintf("push %v %d %q", to, op, body))
	return 1, f.err
}

func (f *fake) Publish(rooms []string, comments []room.Comment, by string) ([]Published, error) {
	if f.wait != nil {
		f.entered <- struct{}{}
		<-f.wait
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.look()
	if rooms == nil {
		rooms = slices.Sorted(maps.Keys(f.rooms))
	}
	var published []Published
	for _, name := range rooms {
		for _, c := range comments {
			if f.err != nil && len(published) >= f.room {
				return published, f.err
			}
			f.comments[name] = append(f.comments[name], c)
			f.done = append(f.done, "publish "+name+" by "+by)
			id := string(room.AppendID(nil, uint64(len(f.done))))
			published = append(published, Published{name, id})
		}
	}
	return published, nil
}

func (f *fake) Retract(name, id, by string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.did("retract %s %s by %s", name, id, by)
}

func (f *fake) Viewers(ctx context.Context, name, user string) ([]Viewer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.look()
	return []Viewer{{User: user, Role: room.RoleVIP, Room: "r1", Address: "192.0.2.1"}}, f.err
}

func (f *fake) Kick(ctx context.Context, name, user, reason, by string) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return 2, f.did("kick %s %s %s by %s", name, user, reason, by)
}

func (f *fake) Sanction(ctx context.Context, s moderation.Sanction) (moderation.Sanction, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s.ID = fmt.Sprintf("s%d", len(f.sanctions)+1)
	err := f.did("%s %s%s by %s", s.Kind, s.User, s.Address, s.By)
	if err == nil {
		f.sanctions = append(f.sanctions, s)
	}
	return s, err
}

func (f *fake) Sanctions(name, user string) []moderation.Sanction {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.look()
	return slices.Clone(f.sanctions)
}

func (f *fake) Lift(id, by string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.did("lift %s by %s", id, by)
}

func (f *fake) Held(name string) []moderation.HeldComment {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.look()
	return slices.Collect(maps.Values(f.held))
}

func (f *fake) Decide(id string, publish bool, by string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.did("decide %s %v by %s", id, publish, by)
}

func (f *fake) Words() []moderation.WordList {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.look()
	return slices.Collect(maps.Values(f.words))
}

func (f *fake) WordList(name string) (moderation.WordList, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.look()
	return f.words["bad"], f.err
}

func (f *fake) SetWordList(l moderation.WordList, by string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.did("words %s %d by %s", l.Name, len(l.Words), by)
}

func (f *fake) RemoveWordList(name, by string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.did("no words %s by %s", name, by)
}

func (f *fake) Audit(n int) ([]moderation.Event, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.look()
	return []moderation.Event{{At: time.Unix(1e9, 0), By: "x", Action: "kick", User: "u"}}, f.err
}

func (f *fake) Revoke(ctx context.Context, tokenID, user, by string) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return 1, f.did("revoke %s%s by %s", tokenID, user, by)
}

func (f *fake) Watch(ctx context.Context, name string, watched func(payload []byte)) error {
	f.mu.Lock()
	f.look()
	err := f.err
	f.mu.Unlock()
	if err != nil {
		return err
	}
	watched(nil)
	for {
		select {
		case p := <-f.payloads:
			watched(p)
		case <-ctx.Done():
			return nil
		}
	}
}

func (f *fake) Export(ctx context.Context, w http.ResponseWriter, name, format string, from, to time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.look()
	if f.err != nil && !f.cut {
		return f.err
	}
	f.exported = fmt.Sprint(name, " ", format, " ", from.Unix(), " ", to.Unix())
	io.WriteString(w, "said")
	return f.err
}

func (f *fake) Configuration() []Setting {
	f.look()
	return []Setting{{Name: "tick", Value: "100ms", Origin: "default", Reload: true}, {Name: "control-key", Value: "(secret)", Origin: "environment"}}
}

func (f *fake) Reload(by string) (changed, restart []string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return []string{"tick: 1 → 2"}, []string{"loops: 1 → 2"}, f.did("reload by %s", by)
}

func (f *fake) Set(values map[string]string, by string) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := values["loops"]; ok {
		return nil, errors.New("--loops: cannot change while the server runs")
	}
	err := f.did("set %v by %s", values, by)
	if err == nil {
		maps.Copy(f.values, values)
	}
	return slices.Sorted(maps.Keys(values)), err
}

func (f *fake) Drain(by string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.did("drain by %s", by)
	f.drained = true
}

func (f *fake) Stats() Stats {
	f.look()
	return Stats{At: time.Unix(1e9, 0), Version: "v1", Connections: 5, Members: 4, Rooms: 2, Loops: []LoopStats{{Connections: 5}},
		Closes: map[string]uint64{"kicked": 1}, Rejected: map[string]uint64{}, Errors: map[string]uint64{}}
}

func (f *fake) Healthz(w http.ResponseWriter, r *http.Request) { f.probe(w) }
func (f *fake) Readyz(w http.ResponseWriter, r *http.Request)  { f.probe(w) }

func (f *fake) probe(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if f.unready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	io.WriteString(w, "ok\n")
}

func (f *fake) Metrics() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		io.WriteString(w, "up 1\n")
	})
}
