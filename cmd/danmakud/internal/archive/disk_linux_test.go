package archive

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestFullDisk: on a real file system of a megabyte. When somebody makes place
// everything goes on, and whatever was not dropped is in the files.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skip("cannot mount a small file system: ", err)
	}
	defer syscall.Unmount(dir, syscall.MNT_DETACH)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 900<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	a, s := open(t, Options{Dir: filepath.Join(dir, "archive"), queueBytes: 64 << 10}), newSealer(t)
	const all = 1500 // of which a third finds place on the disk, and some in the queue
	for i := range all {
		a.Append(s.batch(fmt.Sprintf("r%d", i%5), base, says(fmt.Sprintf("%d %s", i, strings.Repeat("x", 150)))))
	}
	eventually(t, "full", func() bool { return a.Counts().Errors > 0 })
	if a.Counts().Dropped == 0 {
		t.Error("nothing dropped: the test shows nothing")
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	mustClose(t, a)
	inFiles := 0
	for i := range 5 {
		said, _ := texts(t, filepath.Join(a.options.Dir, fmt.Sprintf("r%d", i)))
		inFiles += len(said)
		for j := 1; j < len(said); j++ {
			var before, after int
			fmt.Sscan(said[j-1], &before)
			fmt.Sscan(said[j], &after)
			if after <= before {
				t.Fatalf("room %d: %d behind %d", i, after, before)
			}
		}
	}
	c := a.Counts()
	if c.Comments+c.Dropped != all || inFiles != int(c.Comments) {
		t.Errorf("%+v, %d in the files, of %d", c, inFiles, all)
	}
}

// TestNoPermission: a folder that may not be written to is found at the start.
func TestNoPermission(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write everywhere; TestDiskRecovers has the error injected")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if a, err := Open(Options{Dir: dir}); err == nil {
		a.Close()
		t.Error("opened")
	}
}
