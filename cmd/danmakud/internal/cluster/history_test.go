package cluster

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/natstest"
	"github.com/danmakud/danmakud/room"
	"github.com/nats-io/nats.go/jetstream"
)

// logged is what a node said, which several goroutines write.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// running are rooms of a node whose goroutines run.
type running struct{ *rooms }

func (running) SetElsewhere(map[string]int)     {}
func (running) Missed(int64, func(string) bool) {}

// keeper is a node that has history kept, which the test ends before others.
type keeper struct {
	*Node
	log  *logged
	stop func()
}

func startKeeper(t *testing.T, url string, change func(o *Options)) *keeper {
	t.Helper()
	log := &logged{}
	o := Options{
		URLs: []string{url}, Shards: 16, Cluster: "t", QueueMax: 1 << 20, HistoryBatches: 50, HistoryAge: time.Hour,
		Log: slog.New(slog.NewTextHandler(log, nil)),
	}
	if change != nil {
		change(&o)
	}
	n, err := Join(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if n.history != nil {
		n.history.patience = time.Minute // a busy machine is no reason to read nothing
	}
	n.Start(running{&rooms{hub: room.NewHub(room.Config{AppendSaid: appendComment, History: 1000})}}, func() Status { return Status{} })
	k := &keeper{Node: n, log: log, stop: sync.OnceFunc(n.Close)}
	t.Cleanup(k.stop)
	return k
}

// say has a tick with one comment kept, and waits until it is.
func (k *keeper) say(t *testing.T, name string, i int) {
	t.Helper()
	before := k.Stats().History.Written
	s := said(7, i, 1)
	s.Room = name
	k.queue(s)
	await(t, "the stream takes what was said", func() bool { return k.Stats().History.Written > before })
}

func (k *keeper) reads(name string) string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return fmt.Sprint(texts(pastOf(<-k.readHistory(ctx, name), nil, 1000)))
}

// What was said is there for another node when the first is gone, room by room, as many
// batches as the stream keeps.
func TestHistoryIsKept(t *testing.T) {
	natstest.Each(t, func(t *testing.T, b natstest.Binary) {
		url := b.Start(t, natstest.Options{JetStream: true}).URL()
		first := startKeeper(t, url, func(o *Options) { o.HistoryBatches = 4 })
		for i := range 9 {
			first.say(t, "a.room", i)
		}
		first.say(t, "a", 100)
		first.queue(said(7, 200, 3)) // which is not waited for
		first.stop()
		second := startKeeper(t, url, func(o *Options) { o.HistoryBatches = 7 })
		for name, want := range map[string]string{
			"a.room": "[comment 5 comment 6 comment 7 comment 8]", "a": "[comment 100]", "r": "[comment 200 comment 201 comment 202]", "none": "[]",
		} {
			if got := second.reads(name); got != want {
				t.Errorf("%s: %s, want %s", name, got, want)
			}
		}
		if log := second.log.String(); !strings.Contains(log, "other limits") {
			t.Errorf("not said that the limits are others:\n%s", log)
		}
		if log := first.log.String(); strings.Contains(log, "other limits") {
			t.Error(log)
		}
		c := second.history.stream.Load().CachedInfo().Config
		if c.MaxMsgsPerSubject != 4 || c.MaxAge != time.Hour || c.Discard != jetstream.DiscardOld || c.Replicas != 1 || c.Storage != jetstream.FileStorage {
			t.Errorf("%+v", c)
		}
		if st := second.Stats().History; !st.Up || st.RoomsRead != 4 || st.RoomsNotRead != 0 {
			t.Errorf("%+v", st)
		}
		stream := second.history.stream.Load()
		await(t, "readers are removed", func() bool {
			info, err := stream.Info(context.Background())
			return err == nil && info.State.Consumers == 0
		})
	})
}

// What a room's messages end with is known, also behind those that were read before.
func TestHistoryIsReadOn(t *testing.T) {
	natstest.Each(t, func(t *testing.T, b natstest.Binary) {
		k := startKeeper(t, b.Start(t, natstest.Options{JetStream: true}).URL(), nil)
		for i := range 3 {
			k.say(t, "r", i)
			k.say(t, "other", i)
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		s := k.history.stream.Load()
		for last, want := range map[uint64]string{0: "[comment 0 comment 1 comment 2]", 1: "[comment 1 comment 2]", 4: "[comment 2]", 5: "[]"} {
			r := reading{room: "r", last: last}
			end, err := k.history.ends(ctx, s, &r)
			if err != nil || end != (last == 5) {
				t.Errorf("ends behind %d: %v, %v", last, end, err)
			}
			for whole := false; !whole; {
				if whole, err = k.pullOn(ctx, s, &r); err != nil {
					t.Fatal(err)
				}
			}
			if got := fmt.Sprint(texts(pastOf(slices.Concat(r.messages...), nil, 1000))); got != want || r.last != 5 {
				t.Errorf("behind %d: %s up to %d, want %s", last, got, r.last, want)
			}
		}
		if end, err := k.history.ends(ctx, s, &reading{room: "none"}); err != nil || !end {
			t.Errorf("a room without messages ends: %v, %v", end, err)
		}
	})
}

// What is too old is not there any more, and a stream that was removed is made again.
func TestHistoryEnds(t *testing.T) {
	natstest.Each(t, func(t *testing.T, b natstest.Binary) {
		k := startKeeper(t, b.Start(t, natstest.Options{JetStream: true}).URL(), func(o *Options) { o.HistoryAge = time.Second })
		k.say(t, "r", 0)
		await(t, "it is too old", func() bool { return k.reads("r") == "[]" })
		k.options.HistoryAge = time.Hour // of the next stream: what it has is there however long reading takes
		if err := k.history.js.DeleteStream(context.Background(), "t-history"); err != nil {
			t.Fatal(err)
		}
		if got := k.reads("r"); got != "[]" || k.Stats().History.RoomsNotRead != 1 {
			t.Errorf("%s, %+v", got, k.Stats().History)
		}
		k.say(t, "r", 1)
		if got := k.reads("r"); got != "[comment 1]" {
			t.Error(got)
		}
	})
}

// Who comes to a room does not wait for a JetStream that does not answer, but for the
// first.
func TestHistoryThatHangs(t *testing.T) {
	s := natstest.Newest(t).Start(t, natstest.Options{JetStream: true})
	k := startKeeper(t, s.URL(), nil)
	k.say(t, "r", 0)
	k.history.patience = readTime
	s.Signal(syscall.SIGSTOP)
	defer s.Signal(syscall.SIGCONT)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if got := <-k.readHistory(ctx, "r"); got != nil || k.history.patient.Load() == 0 {
		t.Errorf("%v, %d", got, k.history.patient.Load())
	}
	before := k.link.conn.Stats().OutMsgs
	for range 100 {
		if got := <-k.readHistory(ctx, "r"); got != nil {
			t.Error(got)
		}
	}
	if sent := k.link.conn.Stats().OutMsgs - before; sent > 20 { // reports go on
		t.Errorf("asked on, by %d messages", sent)
	}
	if st := k.Stats().History; st.RoomsNotRead != 101 {
		t.Errorf("%+v", st)
	}
}

// What is sent again since nobody answered is there once; many batches come back whole.
func TestHistoryHasEachOnce(t *testing.T) {
	natstest.Each(t, func(t *testing.T, b natstest.Binary) {
		k := startKeeper(t, b.Start(t, natstest.Options{JetStream: true}).URL(), func(o *Options) { o.HistoryBatches = 1000 })
		n := join2(t, k)
		const ticks = 330
		var want []string
		for i := range ticks {
			n.history.put(waiting{said: said(8, i, 1), bytes: 100})
			want = append(want, fmt.Sprint("comment ", i))
		}
		for n.history.queue.size() > 0 {
			for len(n.history.under) < historyAtOnce && n.history.queue.size() > 0 {
				w, _, _ := n.history.queue.take(time.Now())
				n.history.seq++
				n.history.under = append(n.history.under, n.keepingOf(n.history.subject("r"), func(bool) ([]byte, uint64, uint64) {
					return tickOf(w.said, n.history.seq, 1, 16), 1, 0
				}))
			}
			again := append([]*keeping(nil), n.history.under...)
			for range 2 {
				await(t, "all are taken", func() bool { // JetStream may not have answered in time, which is how it comes to be sent again
					n.history.under = append([]*keeping(nil), again...)
					return n.history.open(context.Background(), n.link) && n.history.write(context.Background())
				})
			}
		}
		if got := k.reads("r"); got != fmt.Sprint(want) {
			t.Errorf("read %s", got)
		}
		info, err := k.history.stream.Load().Info(context.Background())
		if err != nil || info.State.Msgs != ticks {
			t.Errorf("%d messages, want %d: %v", info.State.Msgs, ticks, err)
		}
	})
}

// join2 is another node of the cluster that has nothing running, with its history open.
func join2(t *testing.T, k *keeper) *Node {
	t.Helper()
	o := k.options
	o.Log = slog.New(slog.DiscardHandler)
	n, err := Join(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.finish(); n.link.close() })
	await(t, "there is a stream", func() bool { return n.history.open(context.Background(), n.link) })
	return n
}

// Without JetStream, or with a stream of somebody else, that is said and counted; as soon
// as it is there what waits is kept.
func TestHistoryWithoutJetStream(t *testing.T) {
	natstest.Each(t, func(t *testing.T, b natstest.Binary) {
		k := startKeeper(t, b.Start(t, natstest.Options{}).URL(), nil)
		k.queue(said(7, 0, 1))
		if got := k.reads("r"); got != "[]" {
			t.Error(got)
		}
		if st := k.Stats().History; st.Up || st.Written != 0 || st.RoomsNotRead != 1 || st.Queued == 0 {
			t.Errorf("%+v", st)
		}
		await(t, "that nothing is kept is said", func() bool { return strings.Contains(k.log.String(), "what is said is not kept") })
		if n := strings.Count(k.log.String(), "what is said is not kept"); n != 1 {
			t.Errorf("said %d times:\n%s", n, k.log)
		}
	})
}

func TestHistoryOfSomebodyElse(t *testing.T) {
	natstest.Each(t, func(t *testing.T, b natstest.Binary) {
		url := b.Start(t, natstest.Options{JetStream: true}).URL()
		other := startKeeper(t, url, func(o *Options) { o.HistoryBatches = 0 })
		js, err := jetstream.New(other.link.conn)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "t-history", Subjects: []string{"something.>"}}); err != nil {
			t.Fatal(err)
		}
		var k *keeper
		await(t, "whose stream it is is found out", func() bool { // a node says once that there is none, also if JetStream did not answer in time
			if k != nil {
				k.stop()
			}
			k = startKeeper(t, url, nil)
			return k.Stats().History.Up || !strings.Contains(k.log.String(), "deadline exceeded")
		})
		k.queue(said(7, 0, 1))
		if st := k.Stats().History; st.Up || !strings.Contains(k.log.String(), "no history of rooms") {
			t.Errorf("%+v\n%s", st, k.log)
		}
		if err := js.DeleteStream(ctx, "t-history"); err != nil {
			t.Fatal(err)
		}
		await(t, "what waits is kept", func() bool { return k.Stats().History.Written == 1 })
		if got := k.reads("r"); got != "[comment 0]" {
			t.Error(got)
		}
	})
}

// An account that has what docs/cluster.md says can keep history; one without JetStream
// serves all the same, and does not ask all the time.
func TestHistoryOfAnAccount(t *testing.T) {
	operator := natstest.NewOperator(t)
	s := natstest.Newest(t).Start(t, natstest.Options{Operator: operator, JetStream: true})
	good := startKeeper(t, s.URL(), func(o *Options) { o.CredsFile = operator.CredsFor(t, "t.>", "_INBOX.>", "$JS.>", "$KV.t-decided.>") })
	good.say(t, "r", 0)
	if got := good.reads("r"); got != "[comment 0]" || strings.Contains(good.log.String(), "ermission") {
		t.Errorf("%s\n%s", got, good.log)
	}
	other := startKeeper(t, s.URL(), func(o *Options) { o.CredsFile = operator.CredsFor(t, "t.>", "_INBOX.>") })
	await(t, "the nodes know each other", func() bool { return len(other.Peers()) == 1 && len(good.Peers()) == 1 })
	if got := other.reads("r"); got != "[]" || other.Stats().History.Up || strings.Count(other.log.String(), "what is said is not kept") != 1 {
		t.Errorf("%s, %+v\n%s", got, other.Stats().History, other.log)
	}
}

// What is said while JetStream is away is kept when it is back, and so is what was kept.
func TestHistoryOutlastsItsServer(t *testing.T) {
	natstest.Each(t, func(t *testing.T, b natstest.Binary) {
		s := b.Start(t, natstest.Options{JetStream: true})
		k := startKeeper(t, s.URL(), nil)
		k.say(t, "r", 0)
		s.Kill()
		await(t, "the bus is lost", func() bool { return !k.Up() })
		for i := range 200 {
			k.queue(said(7, 1+i, 1))
		}
		s.Restart()
		await(t, "what waited is kept", func() bool { return k.Stats().History.Written == 201 })
		if got := k.reads("r"); strings.Count(got, "comment") != 50 || !strings.HasSuffix(got, "comment 199 comment 200]") {
			t.Error(got)
		}
		if st := k.Stats().History; st.CommentsUnkept != 0 || st.Refused != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// Three servers have the stream where there are three, and one of them may go.
func TestHistoryOnThreeServers(t *testing.T) {
	all := natstest.Newest(t).StartCluster(t, 3, natstest.Options{JetStream: true})
	k := startKeeper(t, natstest.URLs(all), nil)
	await(t, "there is a stream", func() bool { return k.Stats().History.Up })
	if c := k.history.stream.Load().CachedInfo().Config; c.Replicas != 3 {
		t.Errorf("%d replicas", c.Replicas)
	}
	k.say(t, "r", 0)
	k.history.patience = 3 * time.Second // a reader that the server made which goes never answers
	all[1].Kill()                        // the node may be with it, or not
	k.say(t, "r", 1)
	await(t, "what was said is read", func() bool { return k.reads("r") == "[comment 0 comment 1]" })
}

// The queue is bounded: chat goes first, and what takes comments back last.
func TestHistoryQueue(t *testing.T) {
	h := newHistory(&Options{HistoryBatches: 1, QueueMax: 1 << 20}, func(string) uint32 { return 0 })
	const ticks = 2000
	for i := range ticks {
		s := said(7, i, 10)
		s.Comments[9].Prior = true
		h.put(waiting{said: s, at: time.Now().Add(-time.Hour), bytes: weight(s)})
	}
	st := h.stats()
	prior, chat := 0, 0
	for {
		w, stale, ok := h.queue.take(time.Now())
		if !ok {
			break
		}
		if stale > 0 {
			t.Fatal("chat went stale")
		}
		for _, c := range w.said.Comments {
			if c.Prior {
				prior++
			} else {
				chat++
			}
		}
	}
	if prior != ticks || st.Queued > 1<<20 || st.CommentsUnkept == 0 || uint64(chat)+st.CommentsUnkept != 9*ticks || st.Refused != 0 {
		t.Errorf("%d comments that must stay, %d others; %+v", prior, chat, st)
	}
	h.put(waiting{said: &room.Said{Room: "r", Likes: 3}})
	if h.queue.size() != 0 {
		t.Error("likes alone are kept")
	}
	var none *history
	none.put(waiting{said: said(7, 0, 1)})
	if none.stats() != nil {
		t.Error("stats of nothing")
	}
}
