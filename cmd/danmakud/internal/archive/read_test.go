package archive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/danmakud/danmakud/room"
)

// export returns what Export writes.
func export(t testing.TB, a *Archive, name, format string, from, to time.Time) string {
	t.Helper()
	var out strings.Builder
	if err := a.Export(context.Background(), &out, name, format, from, to); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// exported is the texts and offsets of an NDJSON export.
func exported(t testing.TB, a *Archive, name string, from, to time.Time) (said []string, offsets []int64) {
	t.Helper()
	for line := range strings.Lines(export(t, a, name, FormatNDJSON, from, to)) {
		var c struct {
			Text   string
			Offset *int64 `json:"offset_ms"`
		}
		if err := json.Unmarshal([]byte(line), &c); err != nil || c.Offset == nil {
			t.Fatalf("line %q: %v", line, err)
		}
		said, offsets = append(said, c.Text), append(offsets, *c.Offset)
	}
	return said, offsets
}

// wait returns when n comments are in the files.
func wait(t testing.TB, a *Archive, n uint64) {
	t.Helper()
	eventually(t, "written", func() bool { return a.Counts().Comments >= n })
}

// lay puts a file into a room's folder, as a process before us may have left it.
func lay(t testing.TB, a *Archive, name string, at time.Time, text string) {
	t.Helper()
	path := filepath.Join(a.options.Dir, folderName(name), fileName(at))
	if err := os.MkdirAll(parent(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func line(id uint64, at time.Time, text string) string {
	quoted, _ := json.Marshal(text)
	return fmt.Sprintf("{\"id\":\"%s\",\"uid\":\"u\",\"text\":%s,\"ts\":%d}\n", room.AppendID(nil, id), quoted, at.UnixMilli())
}

func retract(id uint64, at time.Time) string {
	return fmt.Sprintf("{\"id\":\"%s\",\"ts\":%d,\"kind\":\"retract\"}\n", room.AppendID(nil, id), at.UnixMilli())
}

func cleared(at time.Time) string {
	return fmt.Sprintf("{\"id\":\"*\",\"ts\":%d,\"kind\":\"retract\"}\n", at.UnixMilli())
}

func TestSpanAndOffsets(t *testing.T) {
	a, s := open(t, Options{FileSize: 300}), newSealer(t)
	defer mustClose(t, a)
	for i := range 10 {
		a.Append(s.batch("r", base.Add(time.Duration(i)*time.Second), says(fmt.Sprint(i))))
		wait(t, a, uint64(i+1))
	}
	at := func(seconds int) time.Time { return base.Add(time.Duration(seconds) * time.Second) }
	for _, tc := range []struct {
		from, to time.Time
		want     string
		first    int64
	}{
		{want: "0123456789"},
		{from: at(3), want: "3456789"},
		{to: at(3), want: "012"},
		{from: at(3), to: at(6), want: "345"},
		{from: at(2).Add(-400 * time.Millisecond), to: at(3), want: "2", first: 400},
		{from: at(-10), to: at(1), want: "0", first: 10_000},
		{from: at(20), want: ""},
	} {
		said, offsets := exported(t, a, "r", tc.from, tc.to)
		if got := strings.Join(said, ""); got != tc.want || got != "" && offsets[0] != tc.first {
			t.Errorf("%v to %v: %q at %v, want %q at %d", tc.from, tc.to, got, offsets, tc.want, tc.first)
		}
	}
	if err := a.Export(context.Background(), io.Discard, "other", FormatXML, base, base); !errors.Is(err, ErrNoRoom) {
		t.Errorf("a room without an archive: %v", err)
	}
	if err := a.Export(context.Background(), io.Discard, "r", "srt", base, base); err == nil {
		t.Error("an unknown format was taken")
	}
}

// TestTornLines: what a crash left at the end of a file is passed over, and the
// process after it does not write behind it.
func TestTornLines(t *testing.T) {
	a, s := open(t, Options{}), newSealer(t)
	defer mustClose(t, a)
	whole := line(1, base, "one") + line(2, base, "two")
	for cut := 1; cut < len(whole); cut += 7 {
		lay(t, a, fmt.Sprint("r", cut), base, whole[:cut])
		a.Append(s.batch(fmt.Sprint("r", cut), base, says("three")))
	}
	eventually(t, "written", func() bool { return a.queue.held() == 0 })
	for cut := 1; cut < len(whole); cut += 7 {
		want := strings.Repeat("one ", strings.Count(whole[:cut+1], "\n")) + "three" // without its newline a line may still be whole
		said, _ := exported(t, a, fmt.Sprint("r", cut), time.Time{}, time.Time{})
		if got := strings.Join(said, " "); got != want {
			t.Errorf("cut at %d: %q, want %q", cut, got, want)
		}
		p, err := os.ReadFile(filepath.Join(a.options.Dir, fmt.Sprint("r", cut), fileName(base)))
		if err != nil || string(p) != whole[:cut] {
			t.Errorf("cut at %d: the old file is %q, %v", cut, p, err)
		}
	}
	lay(t, a, "noise", base, line(1, base, "one")+strings.Repeat("\x00", 5000)+"\n[1]\n{}\n\"\"\n"+`[{"id":"1","ts":1}]`+"\n"+line(2, base, "two"))
	if said, _ := exported(t, a, "noise", time.Time{}, time.Time{}); !slices.Equal(said, []string{"one", "two"}) {
		t.Errorf("between noise: %q", said)
	}
}

// TestRetracts: they work from the same file, from a later one, and from after the
// span; and a file that grows is searched on.
func TestRetracts(t *testing.T) {
	a := open(t, Options{})
	defer mustClose(t, a)
	at := func(i int) time.Time { return base.Add(time.Duration(i) * time.Hour) }
	first := line(1, at(0), "1") + line(2, at(0), "2") + retract(1, at(0)) + line(3, at(0), `"kind":"retract"`)
	lay(t, a, "r", at(0), first)
	lay(t, a, "r", at(30), line(4, at(30), "4")+retract(4, at(30)))
	check := func(from, to time.Time, want ...string) {
		t.Helper()
		for range 2 { // with and without what is remembered
			if said, _ := exported(t, a, "r", from, to); !slices.Equal(said, want) {
				t.Errorf("got %q, want %q", said, want)
			}
		}
	}
	check(time.Time{}, time.Time{}, "2", `"kind":"retract"`)
	lay(t, a, "r", at(30), line(4, at(30), "4")+retract(4, at(30))+line(5, at(31), "5")+retract(3, at(31)))
	check(time.Time{}, time.Time{}, "2", "5")
	check(time.Time{}, at(1), "2")
	check(at(30), time.Time{}, "5")
	lay(t, a, "r", at(60), line(6, at(60), "6")+cleared(at(60))+line(7, at(60), "7"))
	check(time.Time{}, time.Time{}, "7")
	check(time.Time{}, at(1))
	if got := len(a.retracts.of(filepath.Join(a.options.Dir, "r", fileName(at(30)))).ids); got != 2 {
		t.Errorf("%d retracts remembered of a file with 2", got)
	}
}

// TestRetractThroughTheRoom: what the room sends is what the archive understands.
func TestRetractThroughTheRoom(t *testing.T) {
	a, s := open(t, Options{}), newSealer(t)
	defer mustClose(t, a)
	var ids []uint64
	for i := range 4 {
		b := s.batch("r", base.Add(time.Duration(i)*time.Second), says(fmt.Sprint(i)))
		id, everything, ok := lineID(b.CommentsJSON())
		if !ok || everything {
			t.Fatalf("no id in %s", b.CommentsJSON())
		}
		ids = append(ids, id)
		a.Append(b)
	}
	check := func(do func(r *room.Room) error, want ...string) {
		t.Helper()
		r := s.hub.Find("r")
		s.now += int64(time.Minute)
		if err := do(r); err != nil {
			t.Fatal(err)
		}
		b := r.Seal(s.now, base.UnixMilli())
		r.Posted()
		before := a.Counts().Batches
		a.Append(b)
		eventually(t, "written", func() bool { return a.Counts().Batches == before+1 || a.queue.held() == 0 })
		if said, _ := exported(t, a, "r", time.Time{}, time.Time{}); !slices.Equal(said, want) {
			t.Errorf("got %q, want %q", said, want)
		}
	}
	wait(t, a, 4)
	retract := func(id uint64) func(r *room.Room) error {
		return func(r *room.Room) error { _, _, err := r.Retract(id, s.now, base.UnixMilli()); return err }
	}
	check(retract(ids[1]), "0", "2", "3")
	check(retract(ids[3]), "0", "2")
	check(func(r *room.Room) error { _, err := r.Clear(s.now, base.UnixMilli()); return err })
	a.Append(s.batch("r", base.Add(time.Minute), says("after")))
	wait(t, a, 8)
	if said, _ := exported(t, a, "r", time.Time{}, time.Time{}); !slices.Equal(said, []string{"after"}) {
		t.Errorf("got %q", said)
	}
}

// TestReadersAreBounded: who comes when all places are taken is told so.
func TestReadersAreBounded(t *testing.T) {
	a := open(t, Options{})
	defer mustClose(t, a)
	lay(t, a, "r", base, line(1, base, "x"))
	for range readersMax {
		r, err := a.begin(context.Background(), "r", span{}, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer r.end()
	}
	if err := a.Export(context.Background(), io.Discard, "r", FormatASS, base, base); !errors.Is(err, ErrBusy) || a.Counts().Refused != 1 {
		t.Errorf("one too many: %v, %+v", err, a.Counts())
	}
}

// goneAfter is a client that goes away.
type goneAfter struct{ left int }

func (g *goneAfter) Write(p []byte) (int, error) {
	if g.left -= len(p); g.left < 0 {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

func TestExportEndsWithItsReader(t *testing.T) {
	a := open(t, Options{})
	defer mustClose(t, a)
	var text strings.Builder
	for i := range 20_000 {
		text.WriteString(line(uint64(i), base.Add(time.Duration(i)*time.Millisecond), "x"))
	}
	lay(t, a, "r", base, text.String())
	for _, format := range []string{FormatNDJSON, FormatXML, FormatASS} {
		if err := a.Export(context.Background(), &goneAfter{100_000}, "r", format, time.Time{}, time.Time{}); format != FormatASS && !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%s: %v", format, err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := a.Export(ctx, io.Discard, "r", format, time.Time{}, time.Time{}); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", format, err)
		}
	}
	if len(a.readers) != 0 {
		t.Errorf("%d places not given back", len(a.readers))
	}
}

// TestExportInBoundedMemory: what an export allocates at one time does not grow with
// what it reads.
func TestExportInBoundedMemory(t *testing.T) {
	a := open(t, Options{})
	defer mustClose(t, a)
	var text bytes.Buffer
	for i := range 40_000 {
		text.WriteString(line(uint64(i), base.Add(time.Duration(i)*time.Millisecond), "弹幕 弹幕 弹幕"))
	}
	size := text.Len()
	lay(t, a, "r", base, text.String())
	text = bytes.Buffer{}
	for _, format := range []string{FormatNDJSON, FormatXML, FormatASS} {
		heap := &heapWatch{}
		heap.sample()
		start := heap.most
		if err := a.Export(context.Background(), heap, "r", format, time.Time{}, time.Time{}); err != nil {
			t.Fatal(err)
		}
		if grown := heap.most - start; grown > uint64(size)/4 {
			t.Errorf("%s of %d bytes held up to %d more", format, size, grown)
		}
	}
}

// heapWatch takes what is written and looks at the live heap now and then.
type heapWatch struct {
	n    int
	most uint64
}

func (h *heapWatch) sample() {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	h.most = max(h.most, m.HeapAlloc)
}

func (h *heapWatch) Write(p []byte) (int, error) {
	if h.n++; h.n%50 == 1 {
		h.sample()
	}
	return len(p), nil
}

// TestSample: a choice of so many, by time, the same each time, and spread over the
// whole span.
func TestSample(t *testing.T) {
	a := open(t, Options{})
	defer mustClose(t, a)
	var text strings.Builder
	const all, want = 10_000, 1000
	for i := range all {
		text.WriteString(line(1000+uint64(i), base.Add(time.Duration(i)*time.Millisecond), fmt.Sprint(i)))
	}
	lay(t, a, "r", base, text.String())
	got, start, err := a.Sample(context.Background(), "r", time.Time{}, time.Time{}, want)
	if err != nil || len(got) != want || start != base.UnixMilli() {
		t.Fatalf("%d comments from %d, %v", len(got), start, err)
	}
	var tenths [10]int
	for i, c := range got {
		if i > 0 && c.Time <= got[i-1].Time {
			t.Fatalf("not by time at %d", i)
		}
		tenths[(c.Time-start)*10/all]++
	}
	for i, n := range tenths { // 100 each, with a deviation of 9
		if n < 55 || n > 145 {
			t.Errorf("tenth %d of the time has %d of %d", i, n, want)
		}
	}
	again, _, err := a.Sample(context.Background(), "r", time.Time{}, time.Time{}, want)
	if err != nil || !slices.Equal(got, again) {
		t.Error("another choice when asked again")
	}
	if few, _, err := a.Sample(context.Background(), "r", base.Add(time.Second), base.Add(time.Second+7*time.Millisecond), want); err != nil || len(few) != 7 {
		t.Errorf("%d of 7, %v", len(few), err)
	}
	if none, _, err := a.Sample(context.Background(), "r", time.Time{}, time.Time{}, 0); err != nil || len(none) != 0 {
		t.Errorf("%d of none, %v", len(none), err)
	}
}

// FuzzFiles: whatever is in a file, reading it ends without a panic, and the export
// is lines of JSON.
func FuzzFiles(f *testing.F) {
	f.Add([]byte(line(1, base, "a") + retract(1, base) + cleared(base)))
	f.Add([]byte("{\"id\":\"\n\"ts\":\n{\"id\":\"*\"\n"))
	f.Add([]byte(`{"id":"--------","ts":99999999999999999999}` + "\n" + `{"id":"--------","ts":1,"color":-1}`))
	f.Add([]byte(`{"id":"--------","ts":1,"text":"\u0000\ud800","kind":"gift","num":-5,"duration_s":-9223372036854775808}`))
	a := open(f, Options{})
	f.Cleanup(func() { a.Close() })
	f.Fuzz(func(t *testing.T, text []byte) {
		lay(t, a, "r", base, string(text))
		for line := range strings.Lines(export(t, a, "r", FormatNDJSON, time.Time{}, time.Time{})) {
			if !json.Valid([]byte(line)) {
				t.Errorf("line %q", line)
			}
		}
		checkXML(t, export(t, a, "r", FormatXML, time.Time{}, time.Time{}))
		checkASS(t, export(t, a, "r", FormatASS, time.Time{}, time.Time{}))
		if _, _, err := a.Sample(context.Background(), "r", time.Time{}, time.Time{}, 3); err != nil {
			t.Error(err)
		}
		a.retracts = newRetracts() // the file will be another one of the same name
	})
}
