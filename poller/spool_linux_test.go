package poller

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"
)

func mustSpool(t *testing.T, limit int64) *Spool {
	t.Helper()
	s, err := NewSpool(limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func mustAdd(t *testing.T, s *Spool, p []byte) int64 {
	t.Helper()
	off, ok := s.Add(p)
	if !ok {
		t.Fatalf("no place for %d bytes beside %d", len(p), s.Held())
	}
	return off
}

// spooled returns a loop with one connection and the peer's end.
func spooled(t *testing.T) (l *Loop, s Slot, peer int) {
	l = newTestLoop(t, mustKernel(t), func(h *hooks) { h.opened = func(opened Slot) { s = opened } })
	ours, theirs := pair(t)
	l.Adopt(ours)
	l.turn()
	return l, s, theirs
}

// What was handed to the kernel stays as it was, although its place is freed and
// others are filled before the peer reads it.
func TestSpoolFreedWhileInFlight(t *testing.T) {
	l, slot, peer := spooled(t)
	spool := mustSpool(t, 1<<20)
	first := pattern(20_000)
	off := mustAdd(t, spool, first)
	n, err := l.WriteSpooled(slot, spool, off, len(first))
	if err != nil || n == 0 {
		t.Fatalf("WriteSpooled = %d, %v", n, err)
	}
	spool.Free(off, len(first))
	for range 8 {
		mustAdd(t, spool, bytes.Repeat([]byte{0xFF}, 20_000))
	}
	got := make([]byte, 0, n)
	buf := make([]byte, 64<<10)
	for len(got) < n {
		k, err := unix.Read(peer, buf)
		if err != nil || k == 0 {
			t.Fatalf("read %d, %v after %d of %d bytes", k, err, len(got), n)
		}
		got = append(got, buf[:k]...)
	}
	if !bytes.Equal(got, first[:n]) {
		t.Error("bytes in flight were changed by later ones")
	}
}

// A peer that reads slowly gets every byte once, whatever is cut where.
func TestSpoolShortWrites(t *testing.T) {
	l, slot, peer := spooled(t)
	spool := mustSpool(t, 16<<20)
	mustAdd(t, spool, []byte("something before"))
	frame := pattern(5<<20 + 123)
	off := mustAdd(t, spool, frame)
	var got []byte
	buf := make([]byte, 97_003)
	for sent := 0; len(got) < len(frame); {
		if sent < len(frame) {
			n, err := l.WriteSpooled(slot, spool, off+int64(sent), len(frame)-sent)
			if err != nil {
				t.Fatal(err)
			}
			sent += n
		}
		k, err := unix.Read(peer, buf)
		if err != nil && err != unix.EAGAIN {
			t.Fatal(err)
		}
		got = append(got, buf[:max(k, 0)]...)
	}
	if !bytes.Equal(got, frame) {
		t.Error("the peer got other bytes")
	}
	if l.Stats().ShortWrites == 0 {
		t.Error("nothing was cut: the test shows less than it should")
	}
}

func TestSpoolLimit(t *testing.T) {
	spool := mustSpool(t, 3*spoolPage)
	a := mustAdd(t, spool, make([]byte, spoolPage+1))
	if _, ok := spool.Add(make([]byte, spoolPage+1)); ok {
		t.Error("two pages found place beside two of three")
	}
	mustAdd(t, spool, []byte{1})
	spool.Free(a, spoolPage+1)
	if held := spool.Held(); held != spoolPage {
		t.Errorf("held %d bytes, want one page", held)
	}
	if b := mustAdd(t, spool, make([]byte, 2*spoolPage)); b <= a {
		t.Errorf("second region at %d, not behind the freed one at %d", b, a)
	}
}

// Freed regions give their memory back to the system.
func TestSpoolMemory(t *testing.T) {
	spool := mustSpool(t, 1<<20)
	for range 64 {
		off := mustAdd(t, spool, make([]byte, 200_000))
		spool.Free(off, 200_000)
	}
	var st unix.Stat_t
	if err := unix.Fstat(spool.fd, &st); err != nil {
		t.Fatal(err)
	}
	if st.Blocks != 0 {
		t.Errorf("%d blocks of 512 bytes are left", st.Blocks)
	}
}

// A peer that is gone is an error like any other, and no signal.
func TestSpoolPeerGone(t *testing.T) {
	l, slot, peer := spooled(t)
	spool := mustSpool(t, 1<<20)
	off := mustAdd(t, spool, pattern(10_000))
	unix.Close(peer)
	var err error
	for range 3 {
		if _, err = l.WriteSpooled(slot, spool, off, 10_000); err != nil {
			break
		}
	}
	if err != unix.EPIPE && err != unix.ECONNRESET {
		t.Errorf("error %v, want that the peer is gone", err)
	}
	l.Close(slot, ReasonOf(err))
	if _, err = l.WriteSpooled(slot, spool, off, 10_000); err != errClosed {
		t.Errorf("error %v after Close, want %v", err, errClosed)
	}
}

// A region may outlive the spool: freeing it then touches nobody's file.
func TestSpoolFreeAfterClose(t *testing.T) {
	spool := mustSpool(t, 1<<20)
	off := mustAdd(t, spool, pattern(10_000))
	number := spool.fd
	spool.Close()
	other, err := unix.MemfdCreate("other", 0)
	if err != nil || other != number {
		t.Fatalf("fd %d, %v, want the number %d again", other, err, number)
	}
	defer unix.Close(other)
	if _, err := unix.Write(other, pattern(10_000)); err != nil {
		t.Fatal(err)
	}
	spool.Free(off, 10_000)
	got := make([]byte, 10_000)
	if _, err := unix.Pread(other, got, 0); err != nil || !bytes.Equal(got, pattern(10_000)) {
		t.Errorf("another file lost its bytes: %v", err)
	}
}

func TestSpoolInterrupted(t *testing.T) {
	k := newFake(t)
	l := newTestLoop(t, k, nil)
	fd := k.socket()
	slot := adopted(t, l, fd)[0]
	spool := mustSpool(t, 1<<20)
	frame := pattern(9_000)
	off := mustAdd(t, spool, frame)
	k.sockets[fd].writes = []answer{{errno: unix.EINTR}, {n: 100}, {errno: unix.EAGAIN}}
	sent := 0
	for _, want := range []int{100, 0, len(frame) - 100} {
		n, err := l.WriteSpooled(slot, spool, off+int64(sent), len(frame)-sent)
		if n != want || err != nil {
			t.Fatalf("WriteSpooled = %d, %v, want %d", n, err, want)
		}
		sent += n
	}
	if !bytes.Equal(k.sockets[fd].written, frame) {
		t.Error("other bytes were written")
	}
}
