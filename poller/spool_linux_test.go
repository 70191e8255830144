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

func mustAdd(t *testing.T, s *Spool, p []byte) *Region {
	t.Helper()
	r := s.Add(p)
	if r == nil {
		t.Fatalf("no place for %d bytes beside %d", len(p), s.Held())
	}
	return r
}

// spooled returns a loop with one connection and the peer's end.
func spooled(t *testing.T) (l *Loop, s Slot, peer int) {
	l = newTestLoop(t, mustKernel(t), func(h *hooks) { h.opened = func(opened Slot) { s = opened } })
	ours, theirs := pair(t)
	l.Adopt(ours)
	l.turn()
	return l, s, theirs
}

// receive reads n bytes that are on their way.
func receive(t *testing.T, fd, n int) []byte {
	t.Helper()
	got, buf := make([]byte, 0, n), make([]byte, 64<<10)
	for len(got) < n {
		k, err := unix.Read(fd, buf)
		if err != nil || k == 0 {
			t.Fatalf("read %d, %v after %d of %d bytes", k, err, len(got), n)
		}
		got = append(got, buf[:k]...)
	}
	return got
}

// What was handed to the kernel stays as it was, although its place is freed, its
// segment closed, and others are filled before the peer reads it.
func TestSpoolFreedWhileInFlight(t *testing.T) {
	l, slot, peer := spooled(t)
	spool := mustSpool(t, 16<<20)
	first := pattern(20_000)
	r := mustAdd(t, spool, first)
	n, err := l.WriteRegion(slot, r, first)
	if err != nil || n == 0 {
		t.Fatalf("WriteRegion = %d, %v", n, err)
	}
	segment := spool.current
	r.Free()
	other := bytes.Repeat([]byte{0xFF}, 1<<20)
	for range 8 {
		mustAdd(t, spool, other).Free()
	}
	if spool.current == segment {
		t.Fatal("the first segment is still in use: the test shows less than it should")
	}
	if !bytes.Equal(receive(t, peer, n), first[:n]) {
		t.Error("bytes in flight were changed by later ones")
	}
}

// A peer that reads slowly gets every byte once, whatever is cut where.
func TestSpoolShortWrites(t *testing.T) {
	l, slot, peer := spooled(t)
	spool := mustSpool(t, 16<<20)
	mustAdd(t, spool, []byte("something before"))
	frame := pattern(5<<20 + 123)
	r := mustAdd(t, spool, frame)
	var got []byte
	buf := make([]byte, 97_003)
	for sent := 0; len(got) < len(frame); {
		if sent < len(frame) {
			n, err := l.WriteRegion(slot, r, frame[sent:])
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

// Segments come and go with what is in them, within the limit.
func TestSpoolSegments(t *testing.T) {
	spool := mustSpool(t, 2*segmentSize)
	half := make([]byte, segmentSize/2)
	a, b := mustAdd(t, spool, half), mustAdd(t, spool, half)
	c, d := mustAdd(t, spool, half), mustAdd(t, spool, half)
	if spool.Add(half) != nil {
		t.Error("a third segment beyond the limit")
	}
	if held := spool.Held(); held != 4*int64(len(half)) {
		t.Errorf("held %d bytes, want %d", held, 4*len(half))
	}
	a.Free()
	if spool.Add(half) != nil {
		t.Error("half a segment was used again")
	}
	b.Free()
	fds := countFDs()
	e := mustAdd(t, spool, half)
	if now := countFDs(); now != fds+1 {
		t.Errorf("%d more fds for a new segment, want 1", now-fds)
	}
	for _, r := range []*Region{c, d, e} {
		r.Free()
	}
	if spool.Held() != 0 || len(spool.segments) != 1 {
		t.Errorf("held %d bytes in %d segments, want the current one, empty", spool.Held(), len(spool.segments))
	}
	if spool.Add(make([]byte, 2*segmentSize+1)) != nil {
		t.Error("a frame beyond the limit")
	}
	mustAdd(t, spool, make([]byte, segmentSize+segmentSize/2)).Free()
}

// A peer that is gone is an error like any other, and no signal.
func TestSpoolPeerGone(t *testing.T) {
	l, slot, peer := spooled(t)
	spool := mustSpool(t, 16<<20)
	frame := pattern(10_000)
	r := mustAdd(t, spool, frame)
	unix.Close(peer)
	var err error
	for range 3 {
		if _, err = l.WriteRegion(slot, r, frame); err != nil {
			break
		}
	}
	if err != unix.EPIPE && err != unix.ECONNRESET {
		t.Errorf("error %v, want that the peer is gone", err)
	}
	l.Close(slot, ReasonOf(err))
	if _, err = l.WriteRegion(slot, r, frame); err != errClosed {
		t.Errorf("error %v after Close, want %v", err, errClosed)
	}
}

// A region may outlive the spool: freeing it then closes nobody's file.
func TestSpoolFreeAfterClose(t *testing.T) {
	spool := mustSpool(t, 16<<20)
	r := mustAdd(t, spool, pattern(10_000))
	number := r.segment.fd
	spool.Close()
	other, err := unix.MemfdCreate("other", unix.MFD_CLOEXEC)
	if err != nil || other != number {
		t.Fatalf("fd %d, %v, want the number %d again", other, err, number)
	}
	r.Free()
	if err := unix.Close(other); err != nil {
		t.Errorf("another file was closed: %v", err)
	}
	if spool.Add([]byte{1}) != nil {
		t.Error("a closed spool took something")
	}
}

// fakelySpooled is a loop with one connection of a fake kernel.
func fakelySpooled(t *testing.T) (*Loop, Slot, *fakeSocket) {
	k := newFake(t)
	l := newTestLoop(t, k, nil)
	fd := k.socket()
	return l, adopted(t, l, fd)[0], k.sockets[fd]
}

func TestSpoolInterrupted(t *testing.T) {
	l, slot, socket := fakelySpooled(t)
	spool := mustSpool(t, 16<<20)
	frame := pattern(9_000)
	r := mustAdd(t, spool, frame)
	socket.writes = []answer{{errno: unix.EINTR}, {n: 100}, {errno: unix.EAGAIN}}
	sent := 0
	for _, want := range []int{100, 0, len(frame) - 100} {
		n, err := l.WriteRegion(slot, r, frame[sent:])
		if n != want || err != nil {
			t.Fatalf("WriteRegion = %d, %v, want %d", n, err, want)
		}
		sent += n
	}
	if !bytes.Equal(socket.written, frame) {
		t.Error("other bytes were written")
	}
}

// A connection that the kernel gives up says nothing against the spool.
func TestSpoolTimeout(t *testing.T) {
	for _, errno := range []unix.Errno{unix.ETIMEDOUT, unix.EHOSTUNREACH, unix.ENETUNREACH} {
		l, slot, socket := fakelySpooled(t)
		spool := mustSpool(t, 16<<20)
		frame := pattern(9_000)
		r := mustAdd(t, spool, frame)
		socket.writes = []answer{{errno: errno}}
		if n, err := l.WriteRegion(slot, r, frame); n != 0 || ReasonOf(err) != ReasonTimeout {
			t.Errorf("%v: WriteRegion = %d, %v", errno, n, err)
		}
		mustAdd(t, spool, frame).Free()
	}
}

// A system that has memfds and does not send out of them costs no viewer.
func TestSpoolRefused(t *testing.T) {
	for _, errno := range []unix.Errno{unix.ENOSYS, unix.EPERM, unix.EINVAL, unix.ENOMEM} {
		l, slot, socket := fakelySpooled(t)
		spool := mustSpool(t, 16<<20)
		frame := pattern(9_000)
		r := mustAdd(t, spool, frame)
		socket.writes = []answer{{errno: errno}, {n: len(frame)}}
		if n, err := l.WriteRegion(slot, r, frame); n != len(frame) || err != nil {
			t.Errorf("%v: WriteRegion = %d, %v", errno, n, err)
		}
		if !bytes.Equal(socket.written, frame) {
			t.Errorf("%v: other bytes were written", errno)
		}
		if spool.Add(frame) != nil {
			t.Errorf("%v: the spool still takes frames", errno)
		}
	}
}
