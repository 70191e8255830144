package poller

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// listenFile returns a listener of somebody else and its file.
func listenFile(t *testing.T, network, address string) (net.Listener, *os.File) {
	t.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	f, err := ln.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return ln, f
}

// Inherited sockets serve like our own, survive us with the file of a unix socket,
// and keep what waits in them.
func TestInheritedSockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	tcp, tcpFile := listenFile(t, "tcp", "127.0.0.1:0")
	_, unixFile := listenFile(t, "unix", path)
	r := newReactor(t, Config{Inherited: []*os.File{tcpFile, unixFile}, Loops: 2}, func(h *hooks) {
		h.data = func(s Slot, p []byte) { h.l.Write(s, p) }
	})
	if got := r.Addrs(); got[0].String() != tcp.Addr().String() || got[1].String() != path {
		t.Errorf("addresses %v", got)
	}
	r.Start()
	for _, address := range [][2]string{{"tcp", tcp.Addr().String()}, {"unix", path}} {
		c, err := net.DialTimeout(address[0], address[1], hangGuard)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ping(t, c, "through "+address[0])
	}
	r.CloseListeners()
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the file of an inherited socket: %v", err)
	}
	late, err := net.DialTimeout("tcp", tcp.Addr().String(), hangGuard)
	if err != nil {
		t.Fatalf("the socket has gone with us: %v", err)
	}
	defer late.Close()
	next, err := tcp.Accept()
	if err != nil {
		t.Fatal(err)
	}
	next.Close()
}

func TestInheritedThatDoNotListen(t *testing.T) {
	datagrams, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer datagrams.Close()
	udp, err := datagrams.File()
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	fd, err := newSocket(unix.AF_INET)
	if err != nil {
		t.Fatal(err)
	}
	idle := os.NewFile(uintptr(fd), "idle")
	defer idle.Close()
	plain, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	for _, tc := range []struct {
		f    *os.File
		want string
	}{{udp, "is no stream socket"}, {idle, "does not listen"}, {plain, "is no socket"}} {
		r, err := New(Config{Inherited: []*os.File{tc.f}, Loops: 1, NewHandler: func(*Loop) Handler { return &hooks{} }})
		if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), tc.f.Name()) {
			t.Errorf("%s: %v, want %q", tc.f.Name(), err, tc.want)
		}
		if err == nil {
			r.Stop()
		}
	}
}

// Two reactors share a port if both want to; one that goes leaves it to the other.
func TestReusePort(t *testing.T) {
	echo := func(h *hooks) { h.data = func(s Slot, p []byte) { h.l.Write(s, p) } }
	first := newReactor(t, Config{Listen: []string{"127.0.0.1:0"}, ReusePort: true, Loops: 1}, echo)
	address := first.Addrs()[0].String()
	if r, err := New(Config{Listen: []string{address}, Loops: 1, NewHandler: func(*Loop) Handler { return &hooks{} }}); !errors.Is(err, unix.EADDRINUSE) {
		r.Stop()
		t.Errorf("without the option: %v", err)
	}
	second := newReactor(t, Config{Listen: []string{address}, ReusePort: true, Loops: 1}, echo)
	config := net.ListenConfig{Control: ReusePort}
	third, err := config.Listen(context.Background(), "tcp", address)
	if err != nil {
		t.Errorf("by ListenConfig: %v", err)
	} else {
		third.Close()
	}
	first.Start()
	second.Start()
	first.CloseListeners()
	for range 20 {
		c := dial(t, second)
		ping(t, c, "the second")
		c.Close()
	}
	// A connection may be answered before the acceptor has counted it.
	eventually(t, "the second has accepted all", func() bool { return second.Stats().Accepted == 20 })
}
