package main

import (
	"runtime"
	"sync"
	"syscall"
	"time"
)

// loop is the one goroutine of a worker that reads. All viewers of all fleets
// of the worker hang on its epoll, level triggered, one read an event.
type loop struct {
	// Fixed after construction.
	epoll, event int
	done         chan struct{}

	// Owned by the loop goroutine.
	viewers []*viewer // by slot
	free    []int32   // slots that can be taken
	freed   []int32   // slots given up in this turn: events of it may still name them
	scratch []byte    // every read that copies goes here first
	fleets  map[int]*fleet
	rooms   map[string]*roomLog
	records recordStore
	unzip   unzipper
	inflate inflater
	nap     int64 // microseconds to let arrivals gather
	ended   bool

	// inbox: any goroutine.
	mu    sync.Mutex
	inbox []func()
}

const (
	scratchSize = 1 << 20
	eventSlot   = -1 // in the event of the eventfd
	napBelow    = 256
)

func newLoop() (*loop, error) {
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	event, err := newEvent()
	if err == nil {
		err = syscall.EpollCtl(epoll, syscall.EPOLL_CTL_ADD, event, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: eventSlot})
	}
	if err != nil {
		syscall.Close(epoll)
		return nil, err
	}
	return &loop{
		epoll: epoll, event: event,
		done:    make(chan struct{}),
		scratch: make([]byte, scratchSize),
		fleets:  map[int]*fleet{},
		rooms:   map[string]*roomLog{},
	}, nil
}

// do runs f on the loop's goroutine and waits for it. Any other goroutine.
func (l *loop) do(f func()) {
	ran := make(chan struct{})
	l.mu.Lock()
	l.inbox = append(l.inbox, func() { f(); close(ran) })
	l.mu.Unlock()
	one := []byte{1, 0, 0, 0, 0, 0, 0, 0}
	_, _ = syscall.Write(l.event, one) // full means that the loop is being woken anyway
	<-ran
}

// run is the loop until end has been called.
func (l *loop) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	sharpenTimers()
	defer close(l.done)
	events := make([]syscall.EpollEvent, 1024)
	for !l.ended {
		n, err := syscall.EpollWait(l.epoll, events, l.timeout())
		if err != nil && err != syscall.EINTR {
			panic("epoll_wait: " + err.Error())
		}
		now := nowMicros()
		for i := range max(n, 0) {
			l.dispatch(&events[i], now)
		}
		l.runInbox()
		for _, f := range l.fleets {
			f.step(now)
		}
		l.free = append(l.free, l.freed...)
		l.freed = l.freed[:0]
		if l.nap > 0 && n > 0 && n < napBelow {
			sleepUntil(nowMicros() + l.nap)
		}
	}
	for _, f := range l.fleets {
		f.hangUp()
	}
	syscall.Close(l.event)
	syscall.Close(l.epoll)
}

// end stops the loop and closes what is still open. Any other goroutine.
func (l *loop) end() {
	l.do(func() { l.ended = true })
	<-l.done
}

// timeout is how many milliseconds to wait: short while fleets have something
// to do of their own accord.
func (l *loop) timeout() int {
	for _, f := range l.fleets {
		if f.busy() {
			return 1
		}
	}
	return 200
}

func (l *loop) dispatch(e *syscall.EpollEvent, now int64) {
	if e.Fd == eventSlot {
		var count [8]byte
		_, _ = syscall.Read(l.event, count[:])
		return
	}
	v := l.viewers[e.Fd]
	if v == nil || v.generation != e.Pad {
		return // ended earlier in this turn
	}
	if v.state == connecting {
		v.connected(connectError(v.fd), now)
		return
	}
	v.readable()
}

func (l *loop) runInbox() {
	l.mu.Lock()
	calls := l.inbox
	l.inbox = nil
	l.mu.Unlock()
	for _, f := range calls {
		f()
	}
}

// adopt gives a viewer a slot and watches its socket.
func (l *loop) adopt(v *viewer, interest uint32) error {
	if n := len(l.free); n > 0 {
		v.slot = l.free[n-1]
		l.free = l.free[:n-1]
	} else {
		v.slot = int32(len(l.viewers))
		l.viewers = append(l.viewers, nil)
	}
	l.viewers[v.slot] = v
	return l.watch(v, syscall.EPOLL_CTL_ADD, interest)
}

func (l *loop) watch(v *viewer, op int, interest uint32) error {
	return syscall.EpollCtl(l.epoll, op, v.fd, &syscall.EpollEvent{Events: interest, Fd: v.slot, Pad: v.generation})
}

// release takes a viewer out of the loop; the caller closes the socket.
func (l *loop) release(v *viewer) {
	l.viewers[v.slot] = nil
	l.freed = append(l.freed, v.slot)
	_ = l.watch(v, syscall.EPOLL_CTL_DEL, 0)
}

// grow makes the scratch buffer hold at least n bytes.
func (l *loop) grow(n int) {
	if n > len(l.scratch) {
		p := make([]byte, n+scratchSize)
		copy(p, l.scratch)
		l.scratch = p
	}
}

// processorTime is what this process has used.
func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
