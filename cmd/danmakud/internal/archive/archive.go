// Package archive keeps what was said in rooms in files, off the loops, and reads
// it again: as NDJSON, as the XML that recorders of live comments write, as ASS
// subtitles, or comment by comment for a player.
//
//	Append ─► queue (bounded, never blocks) ─► writer (one goroutine)
//	                                              │ one line a comment
//	                                              ▼
//	                          DIR/<room>/20260102T150405.678Z.ndjson
//	                                              │
//	            keeper (one goroutine) removes the oldest files
//	                                              ▼
//	                Export, Sample ◄── read: two passes, retracts applied
//
// # Files
//
// A room has a folder, whose name is folderName's. A file is called after the time
// of its first comment and holds one comment a line, exactly as viewers got it. It is
// created by one process, which alone appends to it; a line left torn by a crash
// therefore stays the last of its file, and readers pass over it.
//
// What has been said is in the hands of the kernel within flushEvery, and so
// survives the end of the process. Files are synced to the disk when they are
// finished, at a rotation or at Close; after a loss of power what the kernel had not
// written yet is gone.
package archive

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/danmakud/danmakud/room"
)

// Defaults and bounds that are not an operator's to choose.
const (
	// flushEvery is how long a comment may wait in memory. The writer sleeps as
	// long between two rounds, so that a busy server wakes it no more often.
	flushEvery = 500 * time.Millisecond
	// queueBatches and queueBytes bound what waits for the writer and what it
	// could not write yet, together.
	queueBatches = 1 << 16
	queueBytes   = 64 << 20
	// patience is how long lines are kept for a disk that does not take them.
	patience = 30 * time.Second
	// retryEvery is how long a room's file is left alone after an error.
	retryEvery = time.Second
	// OpenFiles is how many descriptors an archive has open at most, readers
	// included.
	OpenFiles = openWrites + readersMax
	// openWrites of them are the writer's.
	openWrites = 48
	// closePatience is how long Close waits for a disk.
	closePatience = 10 * time.Second
)

// Options is what an archive is opened with. Dir is needed, the rest has defaults.
type Options struct {
	Dir      string
	FileSize int64         // bytes after which a file is finished; 0 = 64 MiB
	KeepAge  time.Duration // files not written to for longer are removed; 0 = never
	KeepSize int64         // bytes of all files, the oldest of which are removed; 0 = no bound
	Log      *slog.Logger  // nil = none

	// For tests; zero = as said above.
	queueBatches, queueBytes int
	openWrites               int
	flushEvery, patience     time.Duration
	retryEvery               time.Duration
	disk                     disk
	now                      func() time.Time
}

func (o Options) withDefaults() Options {
	setDefault(&o.FileSize, 64<<20)
	setDefault(&o.queueBatches, queueBatches)
	setDefault(&o.queueBytes, queueBytes)
	setDefault(&o.openWrites, openWrites)
	setDefault(&o.flushEvery, flushEvery)
	setDefault(&o.patience, patience)
	setDefault(&o.retryEvery, retryEvery)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.disk == nil {
		o.disk = osDisk{}
	}
	if o.now == nil {
		o.now = time.Now
	}
	return o
}

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// Archive is a folder of rooms that comments are appended to. All methods may be
// called by any goroutine; Close once, last.
type Archive struct {
	// Fixed after construction.
	options Options
	queue   *queue
	handles *handles

	readers  chan struct{} // places for those who read
	retracts *retracts

	counts    struct{ comments, batches, bytes, dropped, errors, refused atomic.Uint64 }
	unwritten atomic.Bool // Close could not write everything

	closing chan struct{} // closed by Close
	written chan struct{} // closed when the writer has ended
	kept    chan struct{} // closed when the keeper has ended
}

// Counts are totals since Open. Every comment appended is, in the end, in Comments
// or in Dropped.
type Counts struct {
	Comments uint64 // written
	Batches  uint64 // written
	Bytes    uint64 // written
	Dropped  uint64 // comments not written: too many waited, or the disk took none for too long
	Errors   uint64 // operations on files that failed
	Refused  uint64 // who came to read when all places were taken
}

// Open makes the folder if need be, tries whether it can be written to, and begins
// to write. The error is for the operator.
func Open(o Options) (*Archive, error) {
	o = o.withDefaults()
	if err := os.MkdirAll(o.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	probe, err := os.CreateTemp(o.Dir, ".probe-*")
	if err != nil {
		return nil, fmt.Errorf("archive: the folder cannot be written to: %w", err)
	}
	probe.Close()
	if err := os.Remove(probe.Name()); err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	a := &Archive{
		options: o,
		queue:   newQueue(o.queueBatches, o.queueBytes),
		handles: newHandles(o.disk, o.openWrites),
		readers: make(chan struct{}, readersMax), retracts: newRetracts(),
		closing: make(chan struct{}), written: make(chan struct{}), kept: make(chan struct{}),
	}
	go newWriter(a).run()
	go a.keep()
	return a, nil
}

// Append takes over the comments of a sealed batch. It never waits for the disk:
// where too much is on its way there already, the batch is dropped and counted.
// Batches of one room must come in their order. After Close nothing is taken.
func (a *Archive) Append(b *room.Batch) {
	text := b.CommentsJSON()
	if len(text) == 0 {
		return // likes alone, or a number of viewers
	}
	a.add(entry{room: b.Room.Name(), text: text, comments: b.Comments})
}

func (a *Archive) add(e entry) {
	if !a.queue.put(e) {
		a.counts.dropped.Add(uint64(e.comments))
	}
}

// Counts returns the totals so far.
func (a *Archive) Counts() Counts {
	c := &a.counts
	return Counts{c.comments.Load(), c.batches.Load(), c.bytes.Load(), c.dropped.Load(), c.errors.Load(), c.refused.Load()}
}

// Waiting returns how many bytes wait for the disk.
func (a *Archive) Waiting() int { return a.queue.heldBytes() }

// errUnwritten: the disk did not take everything in time.
var errUnwritten = errors.New("archive: closed before everything was written")

// Close writes what waits, syncs the files and ends. It waits for a disk that does
// not answer no longer than some seconds.
func (a *Archive) Close() error {
	close(a.closing)
	a.queue.close()
	timeout := time.After(closePatience)
	for _, ended := range []chan struct{}{a.written, a.kept} {
		select {
		case <-ended:
		case <-timeout:
			return errUnwritten
		}
	}
	if a.unwritten.Load() {
		return errUnwritten
	}
	return nil
}

// failed counts an error of the disk and says it; the log leaves out repetitions.
func (a *Archive) failed(what string, err error) {
	a.counts.errors.Add(1)
	a.options.Log.Warn("archive: "+what, "error", err)
}
