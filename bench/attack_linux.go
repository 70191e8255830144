package main

import (
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A hostile load: connections that break the rules in one way, kept at one
// number. It lives in a worker process of its own with a single processor and a
// share of CPU that it does not exceed, so that what good viewers feel is the
// server's doing and not the tool's.

// manner is one way of being hostile. say is called once the connection is
// established (upgraded: once the 101 has come); it returns when there is no
// more to say, or an error when writing fails.
type manner struct {
	name     string
	upgraded bool
	deflate  bool
	full     bool          // only beside a server that is full already
	pause    time.Duration // between two connections
	say      func(c *hostile) error
}

// manners are all kinds, in the order of the default list.
var manners = []manner{
	{name: "slow-head", say: (*hostile).slowHead},
	{name: "half-frame", upgraded: true, say: (*hostile).halfFrame},
	{name: "ping-flood", upgraded: true, say: (*hostile).pingFlood},
	{name: "bomb", upgraded: true, deflate: true, say: (*hostile).bomb},
	{name: "huge-length", upgraded: true, say: (*hostile).hugeLength},
	{name: "bad-utf8", upgraded: true, say: (*hostile).badUTF8},
	{name: "unmasked", upgraded: true, say: (*hostile).unmasked},
	{name: "garbage", say: (*hostile).garbage},
	{name: "fragments", upgraded: true, say: (*hostile).fragments},
	{name: kindRetry, full: true, pause: retryMicros * time.Microsecond, say: (*hostile).knock},
}

func mannerNamed(name string) (*manner, error) {
	for i := range manners {
		if manners[i].name == name {
			return &manners[i], nil
		}
	}
	var names []string
	for _, m := range manners {
		names = append(names, m.name)
	}
	return nil, fmt.Errorf("no hostile kind %q; there are %s", name, strings.Join(names, ", "))
}

// attack is a hostile load under way.
type attack struct {
	// Fixed after construction.
	spec   attackSpec
	manner *manner
	ctx    context.Context
	cancel context.CancelFunc
	opens  chan struct{} // a token for each connect
	sends  chan struct{} // and each write
	cpu    time.Duration // of the process, when it began
	began  time.Time
	all    sync.WaitGroup

	mu     sync.Mutex
	result attackResult
	open   int64
}

// besiege begins an attack (spec) or ends the one under way (nil).
func (w *worker) besiege(spec *attackSpec) (*attackResult, error) {
	if spec == nil {
		if w.attack == nil {
			return nil, errors.New("no attack is under way")
		}
		r := w.attack.stop()
		w.attack = nil
		return r, nil
	}
	if w.attack != nil {
		return nil, errors.New("an attack is under way already")
	}
	m, err := mannerNamed(spec.Kind)
	if err == nil {
		w.attack = startAttack(*spec, m)
	}
	return nil, err
}

func startAttack(spec attackSpec, m *manner) *attack {
	a := &attack{
		spec: spec, manner: m, opens: make(chan struct{}, 64), sends: make(chan struct{}, 256),
		cpu: processorTime(), began: time.Now(),
	}
	a.result.Ends = map[string]int64{}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	a.all.Go(a.govern)
	for i := range spec.Connections {
		a.all.Go(func() { a.keep(i) })
	}
	return a
}

// stop ends the attack and waits for all of its connections.
func (a *attack) stop() *attackResult {
	a.mu.Lock()
	a.result.Open = a.open
	a.mu.Unlock()
	a.cancel()
	a.all.Wait()
	a.result.CPU, a.result.Elapsed = int64(processorTime()-a.cpu), int64(time.Since(a.began))
	return &a.result
}

// govern hands out tokens: never faster than the rates, and none while the
// process has used more than its share of CPU.
func (a *attack) govern() {
	const step = 5 * time.Millisecond
	t := time.NewTicker(step)
	defer t.Stop()
	var opens, sends float64
	for last := a.began; ; {
		select {
		case <-a.ctx.Done():
			return
		case now := <-t.C:
			since := now.Sub(last).Seconds()
			last = now
			used, share := processorTime()-a.cpu, a.spec.CPUShare*time.Since(a.began).Seconds()
			if used.Seconds() > share+0.02 {
				continue
			}
			opens = give(a.opens, opens+since*a.spec.OpenRate)
			sends = give(a.sends, sends+since*a.spec.SendRate)
		}
	}
}

// give puts whole tokens in and returns what is left for the next time.
func give(to chan struct{}, tokens float64) float64 {
	for ; tokens >= 1; tokens-- {
		select {
		case to <- struct{}{}:
		default:
			return 0 // nobody wants so many
		}
	}
	return tokens
}

// take waits for a token; false when the attack is over.
func (a *attack) take(from chan struct{}) bool {
	select {
	case <-a.ctx.Done():
		return false
	case <-from:
		return true
	}
}

// keep has one connection after the other.
func (a *attack) keep(number int) {
	from := &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(200+number%min(50, max(1, a.spec.Sources))))}
	d := net.Dialer{LocalAddr: from, Timeout: 5 * time.Second}
	for a.take(a.opens) {
		conn, err := d.DialContext(a.ctx, "tcp4", a.spec.Addr)
		if err != nil {
			if a.ctx.Err() == nil {
				a.count(func(r *attackResult) { r.Failed++ })
			}
			continue
		}
		a.count(func(r *attackResult) {
			r.Opened++
			a.open++
			r.MostOpen = max(r.MostOpen, a.open)
		})
		how := a.meet(conn, number)
		abortConn(conn)
		a.count(func(r *attackResult) {
			a.open--
			if a.ctx.Err() == nil {
				r.Ends[how]++
			}
		})
		if !a.rest() {
			return
		}
	}
}

func (a *attack) count(f func(r *attackResult)) {
	a.mu.Lock()
	f(&a.result)
	a.mu.Unlock()
}

// rest waits between two connections; false when the attack is over.
func (a *attack) rest() bool {
	if a.manner.pause == 0 {
		return true
	}
	select {
	case <-a.ctx.Done():
		return false
	case <-time.After(a.manner.pause):
		return true
	}
}

// meet is one connection from beginning to end; it returns how the server
// ended it. The writing side has a goroutine of its own, since the server may
// say that it has had enough while more is being sent.
func (a *attack) meet(conn net.Conn, number int) string {
	c := &hostile{attack: a, conn: conn, in: bufio.NewReaderSize(conn, 2<<10), number: number}
	stop := context.AfterFunc(a.ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	said := make(chan struct{})
	defer func() { <-said }()
	if a.manner.upgraded {
		if how := c.upgrade(a.manner.deflate); how != "" {
			close(said)
			return how
		}
	}
	go func() {
		defer close(said)
		_ = a.manner.say(c) // how it ended is read, not written
	}()
	how := c.listen(a.manner.upgraded)
	_ = conn.SetDeadline(time.Unix(1, 0)) // the writer ends
	return how
}

// abortConn closes with a reset, which leaves no TIME_WAIT.
func abortConn(conn net.Conn) {
	if t, ok := conn.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	conn.Close()
}

// hostile is one connection. Its reader and its writer are two goroutines.
type hostile struct {
	attack *attack
	conn   net.Conn
	in     *bufio.Reader
	number int
}

// write sends when there is a token for it.
func (c *hostile) write(p []byte) error {
	if !c.attack.take(c.attack.sends) {
		return context.Canceled
	}
	n, err := c.conn.Write(p)
	c.attack.count(func(r *attackResult) {
		r.Writes++
		r.Bytes += int64(n)
	})
	return err
}

// upgrade does the handshake by the book; "" is success.
func (c *hostile) upgrade(deflate bool) (how string) {
	h := newHandshake(&plan{Addr: c.attack.spec.Addr, Speaks: speaksDanmaku, History: 0, Seed: uint64(c.number)})
	if err := c.write(h.request(c.attack.spec.Room, deflate, "")); err != nil {
		return endOf(err)
	}
	r, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return endOf(err)
	}
	if r.StatusCode != http.StatusSwitchingProtocols {
		r.Body.Close()
		return "answered " + r.Status
	}
	return ""
}

// listen reads until the server ends the connection and says how.
func (c *hostile) listen(upgraded bool) string {
	if !upgraded {
		r, err := http.ReadResponse(c.in, nil)
		if err != nil {
			return endOf(err)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		r.Body.Close()
		_, _ = io.Copy(io.Discard, c.in) // until it is closed indeed
		return "answered " + r.Status
	}
	for {
		var head [10]byte
		if _, err := io.ReadFull(c.in, head[:2]); err != nil {
			return endOf(err)
		}
		n := uint64(head[1] & 0x7f)
		if extra := map[uint64]int{126: 2, 127: 8}[n]; extra > 0 {
			if _, err := io.ReadFull(c.in, head[10-extra:]); err != nil {
				return endOf(err)
			}
			n = binary.BigEndian.Uint64(append(make([]byte, 8-extra), head[10-extra:]...))
		}
		if head[0]&0x0f == opClose {
			var code [2]byte
			if n >= 2 {
				_, _ = io.ReadFull(c.in, code[:])
			}
			_, _ = io.Copy(io.Discard, c.in)
			return fmt.Sprintf("close %d", binary.BigEndian.Uint16(code[:]))
		}
		if _, err := io.CopyN(io.Discard, c.in, int64(n)); err != nil {
			return endOf(err)
		}
	}
}

// endOf names the end of a connection that came without a word.
func endOf(err error) string {
	switch {
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "closed without a word"
	}
	return "other"
}

// pause waits; an error when the attack is over.
func (c *hostile) pause(d time.Duration) error {
	select {
	case <-c.attack.ctx.Done():
		return context.Canceled
	case <-time.After(d):
		return nil
	}
}

func (c *hostile) slowHead() error {
	err := c.write([]byte("GET /ws/" + c.attack.spec.Room + " HTTP/1.1\r\nHost: hostile\r\nX-Slow: "))
	for err == nil {
		if err = c.pause(500 * time.Millisecond); err == nil {
			err = c.write([]byte("x"))
		}
	}
	return err
}

// halfFrame announces 1,000 bytes. Every other connection says nothing more,
// the rest send a byte a second.
func (c *hostile) halfFrame() error {
	err := c.write([]byte{0x81, 0xfe, 1000 >> 8, 1000 & 0xff, 1, 2, 3, 4, 'x'})
	for err == nil && c.number%2 == 1 {
		if err = c.pause(time.Second); err == nil {
			err = c.write([]byte{'x'})
		}
	}
	return err
}

const burst = 64 // frames in one write of a flood

func (c *hostile) pingFlood() error {
	flood := slices.Repeat(appendMasked(nil, opPing, bytes.Repeat([]byte("p"), 125), rand.Uint32()), burst)
	for {
		if err := c.write(flood); err != nil {
			return err
		}
	}
}

func (c *hostile) bomb() error {
	f := appendMasked(nil, opText, deflateBomb(), rand.Uint32())
	f[0] |= 0x40
	return c.write(f)
}

// deflateBomb is 3 MB of one letter in 3 KB, below the server's limit of a message.
var deflateBomb = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		panic(err) // the level is a constant
	}
	_, _ = w.Write(bytes.Repeat([]byte("a"), 3_000_000))
	_ = w.Flush()
	return bytes.TrimSuffix(b.Bytes(), []byte{0, 0, 0xff, 0xff})
})

// hugeLength announces 2^63 bytes, or one less, which is a legal length.
func (c *hostile) hugeLength() error {
	f := []byte{0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 'x'}
	if c.number%2 == 1 {
		binary.BigEndian.PutUint64(f[2:], 1<<63-1)
	}
	return c.write(f)
}

func (c *hostile) badUTF8() error {
	return c.write(appendMasked(nil, opText, []byte("{\"type\":\"comment\",\"text\":\"\xff\xfe\xed\xa0\x80\"}"), rand.Uint32()))
}

func (c *hostile) unmasked() error {
	return c.write(append([]byte{0x81, 15}, `{"type":"ping"}`...))
}

func (c *hostile) garbage() error {
	p := make([]byte, 512)
	for i := range p {
		p[i] = byte(rand.Uint32())
	}
	return c.write(append(p, "\r\n\r\n"...))
}

// fragments sends a message in pieces of one byte that never ends.
func (c *hostile) fragments() error {
	piece := appendMasked(nil, 0, []byte("x"), rand.Uint32())
	piece[0] = 0
	first := slices.Clone(piece)
	first[0] = opText
	err := c.write(first)
	for flood := slices.Repeat(piece, burst); err == nil; {
		err = c.write(flood)
	}
	return err
}

// kindRetry is viewers who come again and again without back-off, as bilibili-live-ws
// does when it is refused.
const kindRetry = "retry"

// knock asks to be let in.
func (c *hostile) knock() error {
	h := newHandshake(&plan{Addr: c.attack.spec.Addr, Speaks: speaksPackets, Seed: uint64(c.number)})
	return c.write(h.request("", false, ""))
}
