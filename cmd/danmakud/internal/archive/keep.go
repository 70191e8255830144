package archive

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	// keepEvery is the least time between two looks at all files. A look that takes
	// long is repeated more seldom: it may use a hundredth of the time.
	keepEvery = time.Minute
	// keepSlowdown is that hundredth.
	keepSlowdown = 100
	// settled is how long a file must not have been written to before it may be
	// removed: another process may have it open, which goes down while this one comes up.
	settled = time.Minute
)

// oldFile is a file that may be removed.
type oldFile struct {
	path    string
	size    int64
	written time.Time
}

// keep removes what is too old or too much until the archive is closed. Its own
// goroutine.
func (a *Archive) keep() {
	defer close(a.kept)
	if a.options.KeepAge == 0 && a.options.KeepSize == 0 {
		return
	}
	for {
		start := time.Now()
		a.removeOld(a.options.now())
		pause := time.NewTimer(max(keepEvery, keepSlowdown*time.Since(start)))
		select {
		case <-pause.C:
		case <-a.closing:
			pause.Stop()
			return
		}
	}
}

// removeOld looks at all files once.
func (a *Archive) removeOld(now time.Time) {
	files, err := a.allFiles()
	if err != nil {
		a.failed("old files cannot be looked for", err)
		return
	}
	slices.SortFunc(files, func(x, y oldFile) int { return x.written.Compare(y.written) })
	var total int64
	for _, f := range files {
		total += f.size
	}
	for _, f := range files {
		tooOld := a.options.KeepAge > 0 && now.Sub(f.written) > a.options.KeepAge
		tooMuch := a.options.KeepSize > 0 && total > a.options.KeepSize
		if !tooOld && !tooMuch || now.Sub(f.written) < settled {
			return // those that follow are younger
		}
		removed, err := a.handles.remove(f.path)
		if err != nil {
			a.failed("an old file cannot be removed", err)
		}
		if removed {
			total -= f.size
			os.Remove(parent(f.path)) // refused while there are others in it
		}
	}
}

// allFiles lists the files of all rooms.
func (a *Archive) allFiles() (files []oldFile, err error) {
	rooms, err := os.ReadDir(a.options.Dir)
	if err != nil {
		return nil, err
	}
	for _, r := range rooms {
		if !r.IsDir() {
			continue
		}
		folder := filepath.Join(a.options.Dir, r.Name())
		entries, err := os.ReadDir(folder)
		if err != nil {
			a.failed("a folder cannot be read", err)
			continue
		}
		for _, e := range entries {
			if _, ours := fileTime(e.Name()); !ours {
				continue
			}
			if info, err := e.Info(); err == nil && info.Mode().Type() == fs.FileMode(0) {
				files = append(files, oldFile{filepath.Join(folder, e.Name()), info.Size(), info.ModTime()})
			}
		}
	}
	return files, nil
}
