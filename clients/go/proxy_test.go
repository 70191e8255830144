package danmaku

import (
	"bytes"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
)

// A proxy is a way to the server that can be spoilt. Plans are taken one a
// connection, in order; without one everything passes.
type proxy struct {
	address  string
	server   string
	listener net.Listener
	running  sync.WaitGroup

	mu    sync.Mutex
	plans []plan
	links []*link
	made  int
}

// A plan spoils one connection. Limits count bytes from the server to the viewer,
// those of the answer to its handshake apart.
type plan struct {
	answer    string // in place of the server's
	silent    bool   // accepted, and not a word after that
	inHead    bool   // the limits count from the first byte of the answer
	resetAt   int    // the way ends by a reset behind so many bytes
	finishAt  int    // likewise by a FIN
	swallowUp bool   // what the viewer sends after the handshake goes nowhere, and the way is reset
}

type link struct {
	viewer, server net.Conn
	plan           plan

	mu   sync.Mutex
	hole bool // nothing comes through, and nobody says so
}

func newProxy(t *testing.T, server string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{address: listener.Addr().String(), server: server, listener: listener}
	p.running.Go(p.accept)
	t.Cleanup(func() {
		listener.Close()
		p.each(func(l *link) { l.reset() })
		p.running.Wait()
	})
	return p
}

func (p *proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		l := &link{viewer: conn}
		p.mu.Lock()
		p.made++
		if len(p.plans) > 0 {
			l.plan, p.plans = p.plans[0], p.plans[1:]
		}
		p.links = append(p.links, l)
		p.mu.Unlock()
		p.running.Go(func() {
			p.carry(l)
			p.mu.Lock()
			p.links = slices.DeleteFunc(p.links, func(other *link) bool { return other == l })
			p.mu.Unlock()
		})
	}
}

func (p *proxy) next(plans ...plan) {
	p.mu.Lock()
	p.plans = append(p.plans, plans...)
	p.mu.Unlock()
}

// forget leaves out the plans that no connection took, and returns how many.
func (p *proxy) forget() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.plans)
	p.plans = nil
	return n
}

// connections returns how many were ever made.
func (p *proxy) connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.made
}

func (p *proxy) each(f func(*link)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.links {
		f(l)
	}
}

func (l *link) reset() {
	l.viewer.(*net.TCPConn).SetLinger(0)
	l.viewer.Close()
}

func (l *link) vanish() {
	l.mu.Lock()
	l.hole = true
	l.mu.Unlock()
}

func (l *link) vanished() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hole
}

func (p *proxy) carry(l *link) {
	defer l.viewer.Close()
	if l.plan.silent || l.plan.answer != "" {
		buf := make([]byte, 4096)
		l.viewer.Read(buf)
		io.WriteString(l.viewer, l.plan.answer)
		if l.plan.silent {
			io.Copy(io.Discard, l.viewer)
		}
		return
	}
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		l.reset()
		return
	}
	l.server = server
	defer server.Close()
	var up sync.WaitGroup
	up.Go(func() { l.up() })
	l.down()
	l.viewer.Close()
	server.Close()
	up.Wait()
}

func (l *link) up() {
	defer l.server.Close()
	buf := make([]byte, 64<<10)
	for first := true; ; first = false {
		n, err := l.viewer.Read(buf)
		if err != nil {
			return
		}
		if !first && l.plan.swallowUp {
			l.reset()
			return
		}
		if !l.vanished() {
			l.server.Write(buf[:n])
		}
	}
}

func (l *link) down() {
	at := max(l.plan.resetAt, l.plan.finishAt)
	var passed []byte // only until the way is cut, or its plan is past
	buf := make([]byte, 64<<10)
	for {
		n, err := l.server.Read(buf)
		if err != nil {
			return
		}
		if l.vanished() {
			continue
		}
		if at == 0 {
			l.viewer.Write(buf[:n])
			continue
		}
		before := len(passed)
		passed = append(passed, buf[:n]...)
		limit := at
		if !l.plan.inHead {
			head := bytes.Index(passed, []byte("\r\n\r\n"))
			if head < 0 {
				limit = len(passed) + 1
			} else {
				limit += head + 4
			}
		}
		if len(passed) >= limit {
			l.viewer.Write(passed[before:max(before, limit)])
			if l.plan.resetAt > 0 {
				l.reset()
			}
			return
		}
		l.viewer.Write(buf[:n])
	}
}
