package poller

import (
	"math"

	"golang.org/x/sys/unix"
)

const maxTime = math.MaxInt64

// lingerers are refused connections that have been answered and are kept for a
// moment, oldest first. Bound: lingerLimit; when full the oldest goes early.
// Owned by the acceptor goroutine.
type lingerers struct {
	fds   [lingerLimit]int
	until [lingerLimit]int64
	first int
	count int
}

// push reports whether another had to go early for this one.
func (q *lingerers) push(k kernel, fd int, now int64) (cut bool) {
	if q.count == lingerLimit {
		q.pop(k)
		cut = true
	}
	last := (q.first + q.count) % lingerLimit
	q.fds[last], q.until[last] = fd, now+int64(lingerTime)
	q.count++
	return cut
}

func (q *lingerers) pop(k kernel) {
	discard(k, q.fds[q.first])
	q.first = (q.first + 1) % lingerLimit
	q.count--
}

// expire closes those whose time has come.
func (q *lingerers) expire(k kernel, now int64) {
	for q.count > 0 && q.until[q.first] <= now {
		q.pop(k)
	}
}

// next returns when expire has something to do, maxTime if never.
func (q *lingerers) next() int64 {
	if q.count == 0 {
		return maxTime
	}
	return q.until[q.first]
}

// discard closes fd. A bounded amount of what the peer sent is read before, as
// closing with unread bytes sends a reset, which can overtake the reply.
func discard(k kernel, fd int) {
	var rest [drainBytes]byte
	for range drainReads {
		if n, errno := k.read(fd, rest[:]); n <= 0 && errno != unix.EINTR {
			break
		}
	}
	k.closeFD(fd)
}
