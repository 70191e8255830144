package archive

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const (
	// readersMax is how many may read at one time; each has one file open.
	readersMax = 4
	// lineMax is far more than the longest comment has, escaped.
	lineMax = 8 << 20
	// clockSlack is how far names and times of files may be off the times in them.
	clockSlack = time.Minute
	// cancelEvery is how many lines are read between two looks at the context.
	cancelEvery = 1024
)

// Errors of reading.
var (
	// ErrNoRoom: nothing of that room is in the archive.
	ErrNoRoom = errors.New("archive: nothing of that room is kept")
	// ErrBusy: as many read as may at one time.
	ErrBusy = errors.New("archive: too many are reading; try again later")
	// ErrTooMuch: the span has more bytes than may be read for this.
	ErrTooMuch = errors.New("archive: too much to read; ask for a shorter span")
)

// span is a stretch of time, the end left out. The zero time is no bound.
type span struct{ from, to time.Time }

func (s span) has(ms int64) bool {
	return (s.from.IsZero() || ms >= s.from.UnixMilli()) && (s.to.IsZero() || ms < s.to.UnixMilli())
}

// part is a file as far as it was written when the reading began.
type part struct {
	path string
	size int64
	late bool // begins after the span: of interest for its retracts alone
}

// reading is one look at a room. It has two passes, since a comment may be taken
// back by a line long after it: the first collects the retracts, of the span and
// after it, the second reads the comments.
type reading struct {
	archive *Archive
	span    span
	parts   []part
	taken   takenBack
}

// begin takes a place among the readers and finds what is taken back. The caller
// calls end. Not more than bytesMax may have to be read; 0 = no bound.
func (a *Archive) begin(ctx context.Context, room string, s span, bytesMax int64) (*reading, error) {
	select {
	case a.readers <- struct{}{}:
	default:
		a.counts.refused.Add(1)
		return nil, ErrBusy
	}
	r := &reading{archive: a, span: s}
	err := r.find(room)
	if err == nil && bytesMax > 0 && a.retracts.unread(r.parts)+r.bytes() > bytesMax {
		err = ErrTooMuch
	}
	if err == nil {
		r.taken, err = a.retracts.collect(ctx, r.parts)
	}
	if err != nil {
		r.end()
		return nil, err
	}
	return r, nil
}

// end gives the place back.
func (r *reading) end() { <-r.archive.readers }

// bytes is how much the second pass has to read.
func (r *reading) bytes() (n int64) {
	for _, p := range r.parts {
		if !p.late {
			n += p.size
		}
	}
	return n
}

// find lists the files that were written to since the span began.
func (r *reading) find(room string) error {
	folder := filepath.Join(r.archive.options.Dir, folderName(room))
	entries, err := os.ReadDir(folder) // in order of their names, so of time
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNoRoom
	}
	if err != nil {
		return err
	}
	found := false
	for _, e := range entries {
		begins, ours := fileTime(e.Name())
		if !ours {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // just removed
		}
		found = true
		if !r.span.from.IsZero() && info.ModTime().Add(clockSlack).Before(r.span.from) {
			continue
		}
		late := !r.span.to.IsZero() && begins.Add(-clockSlack).After(r.span.to)
		r.parts = append(r.parts, part{filepath.Join(folder, e.Name()), info.Size(), late})
	}
	if !found {
		return ErrNoRoom
	}
	return nil
}

// lines calls f with every comment of the span that was not taken back, in the
// order they were said. line is one JSON object and lives until f returns.
func (r *reading) lines(ctx context.Context, f func(line []byte, ms int64) error) error {
	for i, p := range r.parts {
		if p.late {
			continue
		}
		err := scan(ctx, p, 0, func(line []byte, at int64) error {
			ms, ok := lineTime(line)
			if !ok || !r.span.has(ms) || !bytes.HasPrefix(line, markID) || r.taken.has(line, i, at) || !json.Valid(line) {
				return nil
			}
			return f(line, ms)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// scan calls f with each line of p and its place, from byte from on. What is no
// line of ours, such as one torn by a crash, is f's to pass over; what was removed
// meanwhile is not there any more.
func scan(ctx context.Context, p part, from int64, f func(line []byte, at int64) error) error {
	file, err := os.Open(p.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Seek(from, io.SeekStart); err != nil {
		return err
	}
	lines := bufio.NewScanner(io.LimitReader(file, p.size-from))
	lines.Buffer(make([]byte, 64<<10), lineMax)
	at := from
	for n := 0; lines.Scan(); n++ {
		if n%cancelEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		line := lines.Bytes()
		if err := f(line, at); err != nil {
			return err
		}
		at += int64(len(line)) + 1
	}
	if err := lines.Err(); !errors.Is(err, bufio.ErrTooLong) {
		return err
	}
	return nil // not ours from here on: no comment is that long
}
