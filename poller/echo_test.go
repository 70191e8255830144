package poller

import (
	"io"
	"net"
	"testing"
)

type echoHandler struct{ l *Loop }

func (h *echoHandler) Opened(Slot)           {}
func (h *echoHandler) Data(s Slot, p []byte) { h.l.Write(s, p) }
func (h *echoHandler) HalfClosed(s Slot)     { h.l.Close(s, ReasonPeerClosed) }
func (h *echoHandler) Writable(Slot)         {}
func (h *echoHandler) Closed(Slot, Reason)   {}
func (h *echoHandler) Turn() bool            { return false }
func (h *echoHandler) Sweep()                {}
func (h *echoHandler) Stopping()             {}

func TestEcho(t *testing.T) {
	r, err := New(Config{Listen: []string{"127.0.0.1:0"}, Loops: 2, NewHandler: func(l *Loop) Handler { return &echoHandler{l} }})
	if err != nil {
		t.Fatal(err)
	}
	r.Start()
	defer r.Stop()
	for range 10 {
		c, err := net.Dial("tcp", r.Addrs()[0].String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		var p [5]byte
		if _, err := io.ReadFull(c, p[:]); err != nil || string(p[:]) != "hello" {
			t.Fatalf("%q %v", p, err)
		}
	}
	t.Logf("%+v", r.Stats())
}
