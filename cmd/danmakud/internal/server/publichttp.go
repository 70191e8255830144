package server

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/page"
	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/wsproto"
)

// publicHTTP serves requests on the public port that are no WebSocket upgrade:
// the demo page, /healthz, /readyz and the replay. Loops hand over the sockets.
type publicHTTP struct {
	// Fixed after construction.
	server   *Server
	http     *http.Server
	incoming chan net.Conn
	closed   chan struct{}

	// Atomic; any goroutine.
	open atomic.Int64 // connections handed over and not closed yet

	closeOnce sync.Once
}

func newPublicHTTP(s *Server) *publicHTTP {
	p := &publicHTTP{
		server:   s,
		incoming: make(chan net.Conn),
		closed:   make(chan struct{}),
	}
	mux := http.NewServeMux()
	mux.Handle("/", page.Handler())
	mux.HandleFunc("/healthz", s.Healthz)
	mux.HandleFunc("/readyz", s.Readyz)
	s.serveReplay(mux)
	p.http = &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: s.settings().HandshakeTimeout,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      30 * time.Second,
		MaxHeaderBytes:    wsproto.HeadMax,
		ErrorLog:          discardLog,
	}
	// One request a connection: on a kept one a proxy could send an upgrade,
	// which net/http cannot give back to a loop.
	p.http.SetKeepAlivesEnabled(false)
	return p
}

// take reserves a place for one connection.
func (p *publicHTTP) take() bool {
	if p.open.Add(1) > int64(p.server.settings().HTTPConnections) {
		p.open.Add(-1)
		return false
	}
	return true
}

// adopt serves the connection fd, of which prefix has been read already. A place
// must have been taken; own is that of its address, and from is where the
// viewer is, if that is known. Any goroutine; it blocks, so not a loop's.
func (p *publicHTTP) adopt(fd int, prefix []byte, own place, from netip.Addr) {
	f := os.NewFile(uintptr(fd), "viewer")
	conn, err := net.FileConn(f)
	f.Close() // FileConn has its own descriptor
	if err != nil {
		p.open.Add(-1)
		own.giveBack()
		return
	}
	c := &handedConn{Conn: conn, prefix: bytes.NewReader(prefix), owner: p, own: own, from: from}
	select {
	case p.incoming <- c:
	case <-p.closed:
		c.Close()
	}
}

// handOver takes a plain HTTP connection out of the loop.
func (h *handler) handOver(s poller.Slot, head, rest []byte) {
	p := h.server.public
	if !p.take() {
		h.server.rejected.http.Add(1)
		h.refuse(s, &wsproto.Refusal{Status: 503, Message: "too many requests at a time", Header: []string{"Retry-After: 2"}}, reasonHTTPFull)
		return
	}
	prefix := append(append([]byte(nil), head...), rest...)
	own, from := h.placeOf(s), h.address(s)
	h.session(s).marks &^= markCounted // it stays counted until net/http closes it
	fd, err := h.loop.Detach(s)
	if err != nil {
		p.open.Add(-1)
		own.giveBack()
		h.loop.Close(s, poller.ReasonPollError)
		return
	}
	go p.adopt(fd, prefix, own, from) // bounded by the places
}

// handedConn replays what the loop had read and gives back its places when closed.
type handedConn struct {
	net.Conn
	prefix *bytes.Reader
	owner  *publicHTTP
	own    place // among the connections of its address
	from   netip.Addr
	once   sync.Once
}

func (c *handedConn) Read(p []byte) (int, error) {
	if c.prefix.Len() > 0 {
		return c.prefix.Read(p)
	}
	return c.Conn.Read(p)
}

// RemoteAddr is where the viewer is, which behind a proxy is not the other end.
func (c *handedConn) RemoteAddr() net.Addr {
	if c.from.IsValid() {
		return net.TCPAddrFromAddrPort(netip.AddrPortFrom(c.from, 0))
	}
	return c.Conn.RemoteAddr()
}

func (c *handedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		c.owner.open.Add(-1)
		c.own.giveBack()
	})
	return err
}

// Accept, Close and Addr make publicHTTP the net.Listener of its own server.

// Accept waits for a connection from a loop.
func (p *publicHTTP) Accept() (net.Conn, error) {
	select {
	case c := <-p.incoming:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (p *publicHTTP) Close() error {
	p.closeOnce.Do(func() { close(p.closed) })
	return nil
}

// Addr names the listener for logs.
func (p *publicHTTP) Addr() net.Addr { return &net.UnixAddr{Name: "loops", Net: "handover"} }

// run serves until Close.
func (p *publicHTTP) run() {
	if err := p.http.Serve(p); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		p.server.log.Error("public http ended", "error", err)
	}
}
