package archive

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/danmakud/danmakud/room"
)

// base is when the tests' comments are said, unless they say something else.
var base = time.Date(2026, 3, 4, 20, 0, 0, 0, time.UTC)

// open opens an archive in a folder of its own that writes without delay.
func open(t testing.TB, o Options) *Archive {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	setDefault(&o.flushEvery, time.Millisecond)
	setDefault(&o.retryEvery, time.Millisecond)
	a, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// sealer makes batches the way the server does.
type sealer struct {
	t   testing.TB
	hub *room.Hub
	now int64
}

func newSealer(t testing.TB) *sealer {
	return &sealer{t: t, hub: room.NewHub(room.Config{MaxRooms: 10000})}
}

// batch seals comments said at that time.
func (s *sealer) batch(name string, at time.Time, comments ...room.Comment) *room.Batch {
	s.t.Helper()
	shard := room.NewShard(s.hub, 0, nil)
	e, err := shard.Join(0, room.JoinRequest{Name: name}, s.now)
	if err != nil {
		s.t.Fatal(err)
	}
	defer shard.Leave(0, s.now)
	for i := range comments {
		if comments[i].Color == 0 {
			comments[i].Color = room.ColorDefault
		}
		if _, _, err := e.Room.Publish(&comments[i], s.now, at.UnixMilli()); err != nil {
			s.t.Fatal(err)
		}
	}
	s.now += int64(time.Minute)
	b := e.Room.Seal(s.now, at.UnixMilli())
	e.Room.Posted()
	return b
}

func says(text string) room.Comment { return room.Comment{UID: 1, Text: text} }

// eventually waits for what another goroutine does; the deadline only keeps a hang
// from lasting.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func mustClose(t testing.TB, a *Archive) {
	t.Helper()
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

// texts reads all files of a folder in their order, and fails for a line that is no
// comment.
func texts(t testing.TB, folder string) (said []string, files []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		files = append(files, e.Name())
		p, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(p)) {
			var c struct{ ID, Text string }
			if err := json.Unmarshal([]byte(line), &c); err != nil || c.ID == "" || !strings.HasSuffix(line, "\n") {
				t.Fatalf("%s: line %q: %v", e.Name(), line, err)
			}
			said = append(said, c.Text)
		}
	}
	return said, files
}

func TestWhatIsSaidIsInTheFile(t *testing.T) {
	a, s := open(t, Options{}), newSealer(t)
	want := []string{"a,b", `{"},{"`, "line\nbreak", `\`, `"kind":"retract"`, "弹幕 🎉", "]}"}
	for _, text := range want {
		a.Append(s.batch("Room", base, says(text), says("and "+text)))
	}
	mustClose(t, a)
	got, files := texts(t, filepath.Join(a.options.Dir, "%52oom"))
	var twice []string
	for _, text := range want {
		twice = append(twice, text, "and "+text)
	}
	if !slices.Equal(got, twice) {
		t.Errorf("got %q, want %q", got, twice)
	}
	if want := []string{"20260304T200000.000Z.ndjson"}; !slices.Equal(files, want) {
		t.Errorf("files %q, want %q", files, want)
	}
	c := a.Counts()
	if c.Comments != 14 || c.Batches != 7 || c.Dropped != 0 || c.Errors != 0 || c.Bytes < 14*50 {
		t.Errorf("counts %+v", c)
	}
	a.Append(s.batch("Room", base, says("too late")))
	if c := a.Counts(); c.Dropped != 1 {
		t.Errorf("after Close: %+v", c)
	}
}

// TestRotation: a file ends with the day and with its size, and no comment gets
// lost or doubled between two.
func TestRotation(t *testing.T) {
	now := base
	a, s := open(t, Options{FileSize: 2000, now: func() time.Time { return now }}), newSealer(t)
	var want []string
	at := base.Add(3*time.Hour + 59*time.Minute) // a minute before midnight
	for i := range 100 {
		text := fmt.Sprintf("comment %d", i)
		want = append(want, text)
		a.Append(s.batch("r", at, says(text)))
		eventually(t, "written", func() bool { return a.Counts().Comments == uint64(i+1) })
		at = at.Add(time.Second)
	}
	mustClose(t, a)
	folder := filepath.Join(a.options.Dir, "r")
	got, files := texts(t, folder)
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	before := 0
	for _, f := range files {
		info, err := os.Stat(filepath.Join(folder, f))
		if err != nil || info.Size() == 0 || info.Size() > 2000 {
			t.Errorf("%s: %v bytes, %v", f, info.Size(), err)
		}
		if f < "20260305" {
			before++
		}
	}
	if len(files) < 4 || before == 0 || before == len(files) || !slices.Contains(files, "20260305T000000.000Z.ndjson") {
		t.Errorf("files %q", files)
	}
}

// TestManyRoomsFewFiles: thousands of rooms share some descriptors, and each finds
// its file again.
func TestManyRoomsFewFiles(t *testing.T) {
	const rooms, handles = 3000, 16
	a, s := open(t, Options{openWrites: handles}), newSealer(t)
	before, most := openFiles(), 0
	for round := range 2 {
		for i := range rooms {
			a.Append(s.batch(fmt.Sprintf("r%d", i), base, says(fmt.Sprint("round ", round))))
		}
		eventually(t, "written", func() bool {
			most = max(most, openFiles()-before)
			return a.Counts().Comments == uint64(rooms*(round+1))
		})
	}
	if n := a.handles.count(); n != handles || most > handles+2 { // listing them takes one itself
		t.Errorf("%d handles, at most %d descriptors, want %d", n, most, handles)
	}
	mustClose(t, a)
	for i := range rooms {
		got, files := texts(t, filepath.Join(a.options.Dir, fmt.Sprintf("r%d", i)))
		if !slices.Equal(got, []string{"round 0", "round 1"}) || len(files) != 1 {
			t.Fatalf("room %d: %q in %q", i, got, files)
		}
	}
}

// slowDisk takes nothing before it may.
type slowDisk struct {
	osDisk
	may chan struct{}
}

func (d slowDisk) create(path string) (file, error) {
	<-d.may
	return d.osDisk.create(path)
}

// TestOverflowIsCounted: what finds no place is dropped at once, and exactly that
// is counted, whichever goroutine came with it.
func TestOverflowIsCounted(t *testing.T) {
	for name, o := range map[string]Options{
		"entries": {queueBatches: 10},
		"bytes":   {queueBytes: 1000},
	} {
		t.Run(name, func(t *testing.T) {
			may := make(chan struct{})
			o.disk = slowDisk{may: may}
			a, s := open(t, o), newSealer(t)
			var batches []*room.Batch
			comments := 0
			for i := range 100 {
				said := slices.Repeat([]room.Comment{says("x")}, 1+i%3)
				batches = append(batches, s.batch("r", base, said...))
				comments += len(said)
			}
			var all sync.WaitGroup
			for i := range 4 {
				all.Go(func() {
					for _, b := range batches[25*i : 25*i+25] {
						a.Append(b) // nobody may write yet, and still it comes back
					}
				})
			}
			all.Wait()
			dropped := a.Counts().Dropped
			if n := a.Waiting(); n == 0 || n > a.options.queueBytes {
				t.Errorf("%d bytes wait, at most %d may", n, a.options.queueBytes)
			}
			if dropped == 0 || dropped >= uint64(comments) || a.Counts().Comments != 0 {
				t.Fatalf("dropped %d of %d", dropped, comments)
			}
			close(may)
			mustClose(t, a)
			c := a.Counts()
			got, _ := texts(t, filepath.Join(a.options.Dir, "r"))
			if c.Comments+c.Dropped != uint64(comments) || c.Dropped != dropped || len(got) != int(c.Comments) {
				t.Errorf("%+v of %d comments, %d in the file", c, comments, len(got))
			}
			if a.queue.bytes != 0 || a.queue.entries != 0 {
				t.Errorf("left in the queue: %d entries, %d bytes", a.queue.entries, a.queue.bytes)
			}
		})
	}
}

// badDisk fails as it is told.
type badDisk struct {
	osDisk
	full    atomic.Bool // writes take a part only
	denied  atomic.Bool // nothing can be created or opened
	noTrunc atomic.Bool // torn lines cannot be cut off
}

type badFile struct {
	file
	disk *badDisk
}

func (d *badDisk) create(path string) (file, error) {
	if d.denied.Load() {
		return nil, syscall.EACCES
	}
	f, err := d.osDisk.create(path)
	return &badFile{f, d}, err
}

func (d *badDisk) reopen(path string) (file, error) {
	if d.denied.Load() {
		return nil, syscall.EACCES
	}
	f, err := d.osDisk.reopen(path)
	return &badFile{f, d}, err
}

func (f *badFile) Write(p []byte) (int, error) {
	if !f.disk.full.Load() {
		return f.file.Write(p)
	}
	n, err := f.file.Write(p[:rand.IntN(len(p))])
	if err == nil {
		err = syscall.ENOSPC
	}
	return n, err
}

func (f *badFile) Truncate(size int64) error {
	if f.disk.noTrunc.Load() {
		return syscall.EIO
	}
	return f.file.Truncate(size)
}

// TestDiskRecovers: while the disk takes nothing lines wait, and when it does again
// all are there, once each and in order.
func TestDiskRecovers(t *testing.T) {
	for name, fail := range map[string]func(*badDisk, bool){
		"full":   func(d *badDisk, bad bool) { d.full.Store(bad) },
		"denied": func(d *badDisk, bad bool) { d.denied.Store(bad) },
		"cannot be cut": func(d *badDisk, bad bool) {
			d.noTrunc.Store(true)
			d.full.Store(bad)
		},
	} {
		t.Run(name, func(t *testing.T) {
			disk := new(badDisk)
			a, s := open(t, Options{disk: disk, openWrites: 1}), newSealer(t)
			var want []string
			for i := range 200 {
				if i%50 == 10 {
					fail(disk, true)
				}
				if i%50 == 40 {
					errors := a.Counts().Errors
					eventually(t, "an error", func() bool { return a.Counts().Errors > errors })
					fail(disk, false)
				}
				text := fmt.Sprint(i)
				want = append(want, text)
				a.Append(s.batch(fmt.Sprintf("r%d", i%3), base.Add(time.Duration(i)*time.Minute), says(text)))
			}
			mustClose(t, a)
			if c := a.Counts(); c.Comments != 200 || c.Dropped != 0 || c.Batches != 200 || c.Errors == 0 {
				t.Errorf("counts %+v", c)
			}
			if name == "cannot be cut" {
				return // there are torn lines, which TestTornLines is about
			}
			var got []string
			for i := range 3 {
				said, _ := texts(t, filepath.Join(a.options.Dir, fmt.Sprintf("r%d", i)))
				got = append(got, said...)
			}
			if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
				t.Errorf("got %q", got)
			}
		})
	}
}

// TestDiskThatNeverRecovers: lines are given up after a while, the account closes,
// and Close says so.
func TestDiskThatNeverRecovers(t *testing.T) {
	disk := new(badDisk)
	disk.denied.Store(true)
	a, s := open(t, Options{disk: disk, patience: 20 * time.Millisecond}), newSealer(t)
	a.Append(s.batch("r", base, says("1"), says("2")))
	eventually(t, "given up", func() bool { return a.Counts().Dropped == 2 })
	a.Append(s.batch("r", base, says("3")))
	if err := a.Close(); !errors.Is(err, errUnwritten) {
		t.Errorf("closed with %v", err)
	}
	if c := a.Counts(); c.Comments != 0 || c.Dropped != 3 || c.Errors == 0 || a.queue.held() != 0 {
		t.Errorf("counts %+v, held %d", c, a.queue.held())
	}
}

// TestRemovedUnderUs: files that somebody removed while they were closed do not
// stop the archive.
func TestRemovedUnderUs(t *testing.T) {
	a, s := open(t, Options{openWrites: 1}), newSealer(t)
	say := func(name string, n uint64) {
		a.Append(s.batch(name, base, says("x")))
		eventually(t, "written", func() bool { return a.Counts().Comments == n })
	}
	say("a", 1)
	say("b", 2) // closes the file of a
	if err := os.RemoveAll(filepath.Join(a.options.Dir, "a")); err != nil {
		t.Fatal(err)
	}
	say("a", 3)
	mustClose(t, a)
	if got, _ := texts(t, filepath.Join(a.options.Dir, "a")); len(got) != 1 || a.Counts().Errors != 0 {
		t.Errorf("got %q, %+v", got, a.Counts())
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: filepath.Join(file, "below")}); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("below a file: %v", err)
	}
}

func TestFolderNames(t *testing.T) {
	for name, want := range map[string]string{
		"r1": "r1", ".": "%2e", "..": "%2e.", "a.b": "a.b", "A:b_C-": "%41%3ab_%43-",
		strings.Repeat("Z", 64): strings.Repeat("%5a", 64),
	} {
		if got := folderName(name); got != want {
			t.Errorf("%q is in %q, want %q", name, got, want)
		}
	}
}

// FuzzFolderNames: every room has a folder of its own, in the archive, on any file
// system.
func FuzzFolderNames(f *testing.F) {
	f.Add("a", "A")
	f.Add(".", "..")
	f.Add("%2e", ".")
	f.Add("con", "CON")
	f.Fuzz(func(t *testing.T, x, y string) {
		if !room.ValidName(x) || !room.ValidName(y) {
			return
		}
		p, q := folderName(x), folderName(y)
		if (x == y) != strings.EqualFold(p, q) {
			t.Errorf("%q and %q are in %q and %q", x, y, p, q)
		}
		if !filepath.IsLocal(p) || filepath.Base(p) != p || p == "." || len(p) > 255 || strings.HasPrefix(p, ".") {
			t.Errorf("%q is in %q", x, p)
		}
	})
}

// TestKeep: the oldest files go first, one that is open stays, and so does what
// another process may have just written.
func TestKeep(t *testing.T) {
	clock := new(atomic.Pointer[time.Time])
	set := func(at time.Time) { clock.Store(&at) }
	set(time.Now())
	dir := t.TempDir()
	now := func() time.Time { return *clock.Load() }
	s := newSealer(t)
	for day := range 5 { // five runs, each with files of its own
		a := open(t, Options{Dir: dir})
		a.Append(s.batch("r", base.Add(time.Duration(day)*24*time.Hour), says(strings.Repeat("x", 100))))
		a.Append(s.batch(fmt.Sprint("only", day), base, says("x")))
		mustClose(t, a)
	}
	old := func(name string, age time.Duration) {
		t.Helper()
		at := now().Add(-age)
		if err := os.Chtimes(filepath.Join(dir, name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	old("r/20260304T200000.000Z.ndjson", 49*time.Hour)
	old("r/20260305T200000.000Z.ndjson", 47*time.Hour)
	old("only0/20260304T200000.000Z.ndjson", 50*time.Hour)
	if err := os.WriteFile(filepath.Join(dir, "r", "notes.txt"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := open(t, Options{Dir: dir, KeepAge: 48 * time.Hour, now: now})
	eventually(t, "removed", func() bool { _, err := os.Stat(filepath.Join(dir, "only0")); return os.IsNotExist(err) })
	a.removeOld(now())
	files := func() (names []string) {
		entries, err := os.ReadDir(filepath.Join(dir, "r"))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	if got := files(); len(got) != 5 || got[0] != "20260305T200000.000Z.ndjson" || got[4] != "notes.txt" {
		t.Errorf("kept %q", got)
	}
	mustClose(t, a)
	a = open(t, Options{Dir: dir, KeepSize: 1, now: now}) // nothing: but what is young or open stays
	a.removeOld(now())
	if got := files(); len(got) != 4 {
		t.Errorf("kept %q, want what was just written", got)
	}
	a.Append(s.batch("r", base.Add(240*time.Hour), says("open")))
	eventually(t, "written", func() bool { return a.Counts().Comments == 1 })
	a.removeOld(now().Add(2 * settled))
	if got := files(); !slices.Equal(got, []string{"20260314T200000.000Z.ndjson", "notes.txt"}) {
		t.Errorf("kept %q, want the open file and what is not ours", got)
	}
	mustClose(t, a)
}

// TestQuietRoomsAreForgotten: the memory of a room goes when nothing is said in it.
func TestQuietRoomsAreForgotten(t *testing.T) {
	clock := new(atomic.Int64)
	a := open(t, Options{now: func() time.Time { return base.Add(time.Duration(clock.Load())) }})
	defer mustClose(t, a)
	s := newSealer(t)
	a.Append(s.batch("a", base, says("x")))
	eventually(t, "written", func() bool { return a.Counts().Comments == 1 })
	clock.Store(int64(2 * forgetAfter))
	a.Append(s.batch("b", base, says("x")))
	eventually(t, "written", func() bool { return a.Counts().Comments == 2 })
	eventually(t, "forgotten", func() bool { return a.handles.count() == 1 })
}

// TestAppendAllocatesNothing: a loop calls it.
func TestAppendAllocatesNothing(t *testing.T) {
	q := newQueue(1<<20, 1<<30)
	q.waiting = make([]entry, 0, 1<<12)
	a := &Archive{queue: q}
	b := newSealer(t).batch("r", base, says("x"))
	if n := testing.AllocsPerRun(1000, func() { a.Append(b) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
