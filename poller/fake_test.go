package poller

import (
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fakeFirst is the first fd of a fake kernel: no real fd has such a number, so
// that a system call that strays from the fake hits nothing.
const fakeFirst = 1_000_000

// A fakeKernel follows a script. Events are level-triggered as in the real ones,
// unless the test says which ones the next wait returns. Fd numbers are given
// again, the lowest first, which is the cruellest order. Use of a closed fd
// fails the test.
type fakeKernel struct {
	t       *testing.T
	sockets map[int]*fakeSocket
	batches [][]event       // what the next waits return
	waited  []time.Duration // timeouts of all waits
	errnos  []unix.Errno    // what the next waits answer
	accepts []answer        // at the end EAGAIN
	wakes   atomic.Int32
	changes int // calls of modify

	addErrno, modifyErrno, removeErrno unix.Errno
}

type fakeSocket struct {
	token   token
	want    interest
	added   bool
	reads   []answer // what reads answer, in order; at the end EAGAIN
	writes  []answer // what writes answer, in order; at the end all is taken
	written []byte
	shut    bool
}

// An answer is an errno, or bytes to read (none = end of file), or the most that
// a write takes, or the fd of an accept.
type answer struct {
	errno unix.Errno
	text  string
	n     int
}

func newFake(t *testing.T) *fakeKernel {
	return &fakeKernel{t: t, sockets: map[int]*fakeSocket{}}
}

// socket makes a connected socket that answers reads as told.
func (k *fakeKernel) socket(reads ...answer) int {
	fd := fakeFirst
	for k.sockets[fd] != nil {
		fd++
	}
	k.sockets[fd] = &fakeSocket{reads: reads}
	return fd
}

func (k *fakeKernel) get(call string, fd int) *fakeSocket {
	s := k.sockets[fd]
	if s == nil {
		k.t.Helper()
		k.t.Errorf("%s of fd %d, which is closed", call, fd)
		return &fakeSocket{}
	}
	return s
}

func (k *fakeKernel) wait(events []event, timeout time.Duration) (int, unix.Errno) {
	k.waited = append(k.waited, timeout)
	if len(k.errnos) > 0 {
		errno := k.errnos[0]
		k.errnos = k.errnos[1:]
		return 0, errno
	}
	if len(k.batches) > 0 {
		n := copy(events, k.batches[0])
		k.batches = k.batches[1:]
		return n, 0
	}
	n := 0
	for _, fd := range slices.Sorted(maps.Keys(k.sockets)) {
		s := k.sockets[fd]
		e := event{token: s.token}
		if s.want&wantRead != 0 && len(s.reads) > 0 {
			e.ready |= canRead
		}
		if s.want&wantWrite != 0 {
			e.ready |= canWrite
		}
		if s.added && e.ready != 0 && n < len(events) {
			events[n] = e
			n++
		}
	}
	return n, 0
}

func (k *fakeKernel) wake() unix.Errno { k.wakes.Add(1); return 0 }

func (k *fakeKernel) add(fd int, t token, want interest) unix.Errno {
	if k.addErrno != 0 {
		return k.addErrno
	}
	s := k.get("add", fd)
	if s.added {
		return unix.EEXIST
	}
	s.added, s.token, s.want = true, t, want
	return 0
}

func (k *fakeKernel) modify(fd int, t token, was, want interest) unix.Errno {
	k.changes++
	if k.modifyErrno != 0 {
		return k.modifyErrno
	}
	s := k.get("modify", fd)
	if s.want != was || s.token != t {
		k.t.Errorf("modify of fd %d: was %d for %v, loop believes %d for %v", fd, s.want, s.token, was, t)
	}
	s.want = want
	return 0
}

func (k *fakeKernel) remove(fd int) unix.Errno {
	k.get("remove", fd).added = false
	return k.removeErrno
}

func (k *fakeKernel) read(fd int, p []byte) (int, unix.Errno) {
	s := k.get("read", fd)
	if len(s.reads) == 0 {
		return 0, unix.EAGAIN
	}
	a := s.reads[0]
	if a.errno != 0 {
		s.reads = s.reads[1:]
		return 0, a.errno
	}
	n := copy(p, a.text)
	if n < len(a.text) {
		s.reads[0].text = a.text[n:]
	} else if n > 0 { // end of file stays
		s.reads = s.reads[1:]
	}
	return n, 0
}

func (k *fakeKernel) write(fd int, p []byte) (int, unix.Errno) {
	s := k.get("write", fd)
	n := len(p)
	if len(s.writes) > 0 {
		a := s.writes[0]
		s.writes = s.writes[1:]
		if a.errno != 0 {
			return 0, a.errno
		}
		n = min(n, a.n)
	}
	s.written = append(s.written, p[:n]...)
	return n, 0
}

func (k *fakeKernel) sendFile(fd, file int, off int64, n int) (int, unix.Errno) {
	p := make([]byte, n)
	if got, err := unix.Pread(file, p, off); err != nil || got < n {
		k.t.Errorf("sendFile: %d of %d bytes in the file: %v", got, n, err)
	}
	return k.write(fd, p)
}

func (k *fakeKernel) accept(int) (int, unix.Errno) {
	if len(k.accepts) == 0 {
		return -1, unix.EAGAIN
	}
	a := k.accepts[0]
	k.accepts = k.accepts[1:]
	if a.errno != 0 {
		return -1, a.errno
	}
	return a.n, 0
}

func (k *fakeKernel) shutdownWrite(fd int) unix.Errno {
	k.get("shutdown", fd).shut = true
	return 0
}

func (k *fakeKernel) closeFD(fd int) unix.Errno {
	if fd < fakeFirst { // a real one: the acceptor's reserve
		unix.Close(fd)
		return 0
	}
	k.get("close", fd)
	delete(k.sockets, fd)
	return 0
}

func (k *fakeKernel) close() {
	if len(k.sockets) > 0 {
		k.t.Errorf("%d sockets left open", len(k.sockets))
	}
}

// adopted puts fds into the loop and returns their slots.
func adopted(t *testing.T, l *Loop, fds ...int) (slots []Slot) {
	t.Helper()
	h := l.handler.(*hooks)
	opened := h.opened
	h.opened = func(s Slot) { slots = append(slots, s) }
	for _, fd := range fds {
		if !l.Adopt(fd) {
			t.Fatal("Adopt refused")
		}
	}
	l.walkInbox()
	h.opened = opened
	if len(slots) != len(fds) {
		t.Fatalf("%d of %d sockets opened", len(slots), len(fds))
	}
	return slots
}

func tokenOf(l *Loop, s Slot) token { return token{s, l.columns.at(s).generation} }
