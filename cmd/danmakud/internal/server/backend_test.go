package server

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/admin"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/room"
)

// run is start with the goroutine of Run, which some methods need. The function it
// returns waits for the end, which cancel or a drain begins.
func run(t *testing.T, change func(*config.Config)) (s *Server, cancel func(), wait func() error) {
	t.Helper()
	c := config.Default()
	c.Listen, c.Control = []string{"127.0.0.1:0"}, "127.0.0.1:0"
	c.Loops, c.DrainTime = 2, 50*time.Millisecond
	if change != nil {
		change(&c)
	}
	s, err := New(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.serve(ctx); close(ended) }()
	wait = func() error { return <-ended }
	t.Cleanup(func() { cancel(); wait() })
	return s, cancel, wait
}

func TestPublishReachesViewersAndMakesRooms(t *testing.T) {
	s := start(t, nil)
	v := join(t, s, "there")
	published, err := s.Publish([]string{"there", "new"}, []room.Comment{
		{User: "shop", Text: "hello", Color: room.ColorDefault},
		{User: "shop", Text: "a rocket", Kind: room.KindGift, Gift: "rocket", Num: 2, Color: room.ColorDefault},
	}, "key")
	if err != nil || len(published) != 4 {
		t.Fatalf("published %v, error %v", published, err)
	}
	var texts, ids []string
	for len(texts) < 2 {
		m := v.expect("batch")
		texts = append(texts, m.texts(t)...)
		var comments []comment
		if err := json.Unmarshal(m.Comments, &comments); err != nil {
			t.Fatal(err)
		}
		for _, c := range comments {
			ids = append(ids, c.ID)
		}
	}
	if !slices.Equal(texts, []string{"hello", "a rocket"}) || ids[0] != published[0].ID || ids[1] != published[1].ID {
		t.Errorf("texts %q, ids %q, published %v", texts, ids, published)
	}
	await(t, "the new room has its history", func() bool {
		p, err := s.hub.Find("new").HistoryJSON(9), error(nil)
		return err == nil && strings.Contains(string(p), "rocket")
	})
	if all, err := s.Publish(nil, []room.Comment{{Text: "to all", Color: room.ColorDefault}}, "key"); err != nil || len(all) != 2 {
		t.Errorf("to all rooms: %v, error %v", all, err)
	}
	if _, err := s.Publish([]string{"no room!"}, []room.Comment{{Text: "x"}}, "key"); err == nil {
		t.Error("a name that is none was taken")
	}
}

// What a back end says is merged like what viewers say.
func TestPublishedCommentsMerge(t *testing.T) {
	s := start(t, func(c *config.Config) { c.BudgetComments = 10 })
	join(t, s, "r")
	same := slices.Repeat([]room.Comment{{User: "bot", Text: "Again!", Color: room.ColorDefault}}, 50)
	if _, err := s.Publish([]string{"r"}, same, "key"); err != nil {
		t.Fatal(err)
	}
	await(t, "one comment stands for all", func() bool {
		info := s.hub.Find("r").Info()
		return info.Total == 1 && info.Merged == 49 && info.Sampled == 0
	})
}

func TestPublishFindsRoomsFull(t *testing.T) {
	s := start(t, func(c *config.Config) { c.MaxRooms = 1 })
	join(t, s, "only")
	if _, err := s.Publish([]string{"another"}, []room.Comment{{Text: "x"}}, "key"); err != admin.ErrBusy {
		t.Errorf("error %v, want that of a server with too much at hand", err)
	}
}

// A reader along gets what viewers get; one that takes nothing holds nobody up,
// and what it misses is counted.
func TestWatch(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *config.Config) { c.Tick = 10 * time.Millisecond })
	v := join(t, s, "r")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got, gate := make(chan string, 64), make(chan struct{})
	ended := make(chan error, 2)
	go func() { ended <- s.Watch(ctx, "r", func(p []byte) { got <- string(p) }) }()
	go func() { ended <- s.Watch(ctx, "r", func([]byte) { <-gate }) }()
	if first := <-got; first != "" {
		t.Errorf("the first call has %q", first)
	}
	await(t, "both read along", func() bool { return s.taps.watched.Load() == 2 })
	for range tapPlaces + 3 {
		if _, err := s.publish("r", &room.Comment{Text: "one", Color: room.ColorDefault}); err != nil {
			t.Fatal(err)
		}
		v.expect("batch")
		if p := <-got; !strings.Contains(p, `"text":"one"`) || !strings.HasPrefix(p, `{"type":"batch"`) {
			t.Fatalf("read along: %s", p)
		}
	}
	if n := s.taps.missed.Load(); n == 0 {
		t.Error("nothing missed by a reader that takes nothing")
	}
	cancel()
	close(gate)
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if s.taps.byRoom.Load() != nil {
		t.Error("readers who have left are still offered batches")
	}
}

func TestWatchersAreBounded(t *testing.T) {
	s := start(t, nil)
	for range tapsMost {
		go s.Watch(t.Context(), "r", func([]byte) {})
	}
	await(t, "all places are taken", func() bool { return s.taps.watched.Load() == tapsMost })
	if err := s.Watch(t.Context(), "r", func([]byte) {}); err != admin.ErrBusy {
		t.Errorf("one more: %v", err)
	}
}

func TestDrainByTheControlPlane(t *testing.T) {
	t.Parallel()
	s, _, wait := run(t, nil)
	v := join(t, s, "r")
	ended := make(chan error, 1)
	go func() { ended <- s.Watch(context.Background(), "r", func([]byte) {}) }()
	s.Drain("key")
	s.Drain("key")
	v.expect("goodbye")
	if code := v.expectClose(); code != 1012 {
		t.Errorf("closed with %d", code)
	}
	if err := wait(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := s.Set(map[string]string{"history": "1"}, "key"); err == nil {
		t.Error("a setting was changed behind the end")
	}
}

func TestSetChangesWhatCanChange(t *testing.T) {
	s, _, _ := run(t, nil)
	changed, err := s.Set(map[string]string{"history": "7"}, "key")
	if err != nil || len(changed) != 1 || s.settings().History != 7 {
		t.Fatalf("changed %q, error %v, history %d", changed, err, s.settings().History)
	}
	for _, bad := range []map[string]string{{"loops": "3"}, {"history": "8", "nonsense": "1"}, {"history": "many"}} {
		if _, err := s.Set(bad, "key"); err == nil || s.settings().History != 7 {
			t.Errorf("%v: error %v, history %d", bad, err, s.settings().History)
		}
	}
	for _, e := range s.Configuration() {
		if e.Name == "history" && (e.Value != "7" || !strings.Contains(e.Origin, "key") || !e.Reload) {
			t.Errorf("shown as %+v", e)
		}
	}
	if _, _, err := s.Reload("key"); err == nil {
		t.Error("reloaded without a file")
	}
}

func TestStatsCount(t *testing.T) {
	s := start(t, nil)
	v := join(t, s, "r")
	v.say(`{"type":"comment","text":"one"}`)
	v.expect("batch")
	v.say(`{"type":"nonsense"}`)
	v.expect("error")
	st := s.Stats()
	if st.Members != 1 || st.Received != 1 || st.Delivered != 1 || st.Errors["bad_type"] != 1 || st.TickLag[1] == 0 || st.Started.IsZero() {
		t.Errorf("%+v", st)
	}
	if _, ok := st.Closes["drain"]; ok {
		t.Error("a reason without a count is shown")
	}
}

func TestExportWithoutArchive(t *testing.T) {
	s := start(t, nil)
	if err := s.Export(t.Context(), httptest.NewRecorder(), "r", "ass", time.Time{}, time.Time{}); err != admin.ErrOff {
		t.Error(err)
	}
}

func TestArchiveHasWhatWasPublished(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *config.Config) { c.Archive = t.TempDir() })
	if _, err := s.publish("r", &room.Comment{User: "u", Text: "kept", Color: room.ColorDefault}); err != nil {
		t.Fatal(err)
	}
	await(t, "it is written", func() bool { return s.archive.Counts().Comments == 1 })
	w := httptest.NewRecorder()
	if err := s.Export(t.Context(), w, "r", "ndjson", time.Time{}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(w.Body.String(), `"text":"kept"`) {
		t.Errorf("exported %s", w.Body)
	}
	eventually(t, s, "danmakud_archive_comments_total 1")
}

// What is echoed to one viewer is a batch with the sequence it has, and is no
// other viewer's.
func TestEcho(t *testing.T) {
	s := start(t, func(c *config.Config) { c.Loops = 1 })
	v, other := join(t, s, "r"), join(t, s, "r")
	v.say(`{"type":"comment","text":"first"}`)
	first := v.expect("batch")
	other.expect("batch")
	h := s.handlers[0]
	on(t, h, func() {
		slot := poller.Slot(0)
		for h.session(slot).state != stateOpen || h.session(slot).uid != 1 {
			slot++
		}
		alone := room.Comment{UID: 1, Text: "alone", Color: room.ColorDefault}
		out, _ := h.shard.Echo(nil, uint32(slot), "r", &alone, h.loop.Wall())
		h.shard.Reply(uint32(slot), out, h.loop.Now())
	})
	if m := v.expect("batch"); m.Seq != first.Seq || !slices.Equal(m.texts(t), []string{"alone"}) {
		t.Errorf("echoed %+v, first %+v", m, first)
	}
	v.say(`{"type":"comment","text":"second"}`)
	if m := other.expect("batch"); m.Seq != first.Seq+1 || !slices.Equal(m.texts(t), []string{"second"}) {
		t.Errorf("the other viewer got %+v", m)
	}
}
