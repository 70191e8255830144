package main

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// A link joins two network namespaces by a TUN device in each, and carries every
// packet between them itself. So a test decides what is lost, late, doubled or
// spoilt, on any kernel with /dev/net/tun; tc netem is a module that many lack.
type link struct {
	ends       [2]*os.File
	directions [2]*direction // from ends[i] to the other
	carriers   sync.WaitGroup
}

// conditions are those of one direction. The shares are of packets.
type conditions struct {
	loss, duplicate, corrupt float64
	reorder                  float64       // overtake all that is delayed
	delay, jitter            time.Duration // each packet takes delay to delay+jitter
	rate                     int           // bytes a second; 0 = no limit
	cut                      bool          // nothing passes
}

// queueMost is the longest that packets wait for a slow link; more are dropped.
const queueMost = 200 * time.Millisecond

// direction carries packets one way.
type direction struct {
	from, to *os.File
	now      atomic.Pointer[conditions]
	random   *rand.Rand // the reader's

	carried, lost, doubled, spoilt, overtook atomic.Int64
}

// packet waits for its time.
type packet struct {
	bytes []byte
	at    time.Time
}

// newLink opens a device called "link" in each place. The devices are gone when
// the test has ended.
func newLink(t *testing.T, a, b place, seed uint64) *link {
	t.Helper()
	l := &link{}
	for i, where := range []place{a, b} {
		err := where(func() (err error) {
			l.ends[i], err = openTUN("link")
			return err
		})
		if err != nil {
			t.Skipf("skipped: no TUN device here: %v", err)
		}
		t.Cleanup(func() { l.ends[i].Close() })
	}
	for i := range l.directions {
		d := &direction{from: l.ends[i], to: l.ends[1-i], random: rand.New(rand.NewPCG(seed, uint64(i)))}
		d.now.Store(&conditions{})
		l.directions[i] = d
		waiting := make(chan packet, 1024)
		l.carriers.Go(func() { d.read(waiting) })
		l.carriers.Go(func() { d.write(waiting) })
	}
	t.Cleanup(func() {
		for _, end := range l.ends {
			end.Close()
		}
		l.carriers.Wait()
	})
	return l
}

// openTUN makes a TUN device in the network namespace of the calling thread.
func openTUN(name string) (*os.File, error) {
	fd, err := syscall.Open("/dev/net/tun", syscall.O_RDWR|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("/dev/net/tun: %w", err)
	}
	var request struct { // struct ifreq
		name  [syscall.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}
	copy(request.name[:], name)
	request.flags = syscall.IFF_TUN | syscall.IFF_NO_PI
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.TUNSETIFF, uintptr(unsafe.Pointer(&request))); errno != 0 {
		syscall.Close(fd)
		return nil, fmt.Errorf("TUNSETIFF: %w", errno)
	}
	return os.NewFile(uintptr(fd), "tun "+name), nil
}

// set changes both directions.
func (l *link) set(c conditions) {
	for _, d := range l.directions {
		d.now.Store(&c)
	}
}

// setFrom changes the direction from one end alone.
func (l *link) setFrom(end int, c conditions) { l.directions[end].now.Store(&c) }

func (l *link) String() string {
	var text string
	for i, d := range l.directions {
		text += fmt.Sprintf("from end %d: %d packets carried, %d lost, %d doubled, %d spoilt, %d overtook; ",
			i, d.carried.Load(), d.lost.Load(), d.doubled.Load(), d.spoilt.Load(), d.overtook.Load())
	}
	return text
}

// read takes packets from one end and decides what becomes of each.
func (d *direction) read(waiting chan<- packet) {
	defer close(waiting)
	var free, last time.Time // when the slow link is free; when the last packet is due
	buffer := make([]byte, 64<<10)
	for {
		n, err := d.from.Read(buffer)
		if err != nil {
			return // closed
		}
		c, r, now := d.now.Load(), d.random, time.Now()
		if c.cut || r.Float64() < c.loss {
			d.lost.Add(1)
			continue
		}
		at := now
		if c.rate > 0 {
			if free.Before(now) {
				free = now
			}
			if free.Sub(now) > queueMost {
				d.lost.Add(1)
				continue
			}
			free = free.Add(time.Duration(n) * time.Second / time.Duration(c.rate))
			at = free
		}
		if r.Float64() < c.reorder {
			d.overtook.Add(1)
		} else {
			at = at.Add(c.delay)
			if c.jitter > 0 {
				at = at.Add(time.Duration(r.Int64N(int64(c.jitter))))
			}
			if at.Before(last) {
				at = last // jitter alone does not reorder
			}
			last = at
		}
		copies := 1
		if r.Float64() < c.duplicate {
			d.doubled.Add(1)
			copies = 2
		}
		for range copies {
			p := append([]byte(nil), buffer[:n]...)
			if r.Float64() < c.corrupt {
				d.spoilt.Add(1)
				p[r.IntN(n)] ^= 1 << r.IntN(8)
			}
			waiting <- packet{p, at}
		}
	}
}

// write puts packets into the other end when they are due.
func (d *direction) write(waiting <-chan packet) {
	var queue packetQueue
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		for len(queue) > 0 && !queue[0].at.After(time.Now()) {
			d.to.Write(heap.Pop(&queue).(packet).bytes) // an end that is down loses it
			d.carried.Add(1)
		}
		wait := time.Hour
		if len(queue) > 0 {
			wait = time.Until(queue[0].at)
		}
		timer.Reset(wait)
		select {
		case p, ok := <-waiting:
			if !ok {
				return
			}
			heap.Push(&queue, p)
		case <-timer.C:
		}
	}
}

// packetQueue implements heap.Interface, the earliest first. Packets due at one
// time may leave in any order.
type packetQueue []packet

func (q packetQueue) Len() int           { return len(q) }
func (q packetQueue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q packetQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *packetQueue) Push(x any)        { *q = append(*q, x.(packet)) }
func (q *packetQueue) Pop() any {
	old := *q
	p := old[len(old)-1]
	*q = old[:len(old)-1]
	return p
}
