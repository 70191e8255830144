package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Two network namespaces and a link between them that a test can spoil:
//
//	namespace server: danmakud ── 198.18.0.1 ─┐
//	   127.0.0.1: control, undisturbed viewers │ link (e2e_link_linux_test.go)
//	namespace viewers:          198.18.0.2 ───┘

const (
	serverAddress = "198.18.0.1" // a network for tests of devices, RFC 2544
	viewerAddress = "198.18.0.2"
)

// cable is a pair of namespaces and the link between them.
type cable struct {
	*link
	names           [2]string // of the namespaces: server's, viewers'
	server, viewers place
}

const (
	serverEnd = 0
	viewerEnd = 1
)

var cables atomic.Int64

// newCable makes both namespaces, or skips the test and says why.
func newCable(t *testing.T) *cable {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("skipped: network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skipf("skipped: %v (package iproute2)", err)
	}
	if setns[runtime.GOARCH] == 0 {
		t.Skipf("skipped: the number of setns on %s is not in the table", runtime.GOARCH)
	}
	c := &cable{}
	base := fmt.Sprintf("danmakud-%d-%d-", os.Getpid(), cables.Add(1))
	c.names = [2]string{base + "server", base + "viewers"}
	guard(t, c.names[:])
	for _, name := range c.names {
		if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
			t.Skipf("skipped: ip netns add: %v: %s", err, out)
		}
	}
	c.server, c.viewers = inNamespace(c.names[0]), inNamespace(c.names[1])
	seed := uint64(time.Now().UnixNano())
	c.link = newLink(t, c.server, c.viewers, seed)
	t.Cleanup(func() { t.Logf("seed %d; %v", seed, c.link) })
	for i, address := range []string{serverAddress, viewerAddress} {
		c.ip(t, i, "address", "add", address+"/30", "dev", "link")
		c.ip(t, i, "link", "set", "dev", "link", "up")
		c.ip(t, i, "link", "set", "dev", "lo", "up")
	}
	return c
}

// ip runs an ip command in the namespace of one end.
func (c *cable) ip(t *testing.T, end int, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", append([]string{"-n", c.names[end]}, args...)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// guard removes the namespaces, and what still runs in them, at the end of the
// test. A process of its own does it when its input ends, so that it happens also
// when the test panics or is killed.
func guard(t *testing.T, names []string) {
	t.Helper()
	const script = `trap '' INT TERM HUP; read -r _
for name; do
	for pid in $(ip netns pids "$name" 2>/dev/null); do kill -KILL "$pid"; done
	ip netns delete "$name" 2>/dev/null
done; exit 0`
	cmd := exec.Command("sh", append([]string{"-c", script, "sh"}, names...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // not the terminal's to interrupt
	input, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		input.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the namespaces are not removed: %v", err)
		}
	})
}

// setns has the number of the system call, which package syscall has not.
var setns = map[string]uintptr{"amd64": 308, "arm64": 268, "riscv64": 268, "loong64": 268}

// inNamespace returns the place that is a network namespace of that name.
func inNamespace(name string) place {
	return func(f func() error) error {
		runtime.LockOSThread()
		home, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			return err
		}
		defer home.Close()
		there, err := os.Open("/run/netns/" + name)
		if err != nil {
			return err
		}
		defer there.Close()
		if err := enter(there); err != nil {
			return err
		}
		err = f()
		if back := enter(home); back != nil {
			return errors.Join(err, back) // the thread stays locked and ends with its goroutine
		}
		runtime.UnlockOSThread()
		return err
	}
}

func enter(namespace *os.File) error {
	if _, _, errno := syscall.RawSyscall(setns[runtime.GOARCH], namespace.Fd(), syscall.CLONE_NEWNET, 0); errno != 0 {
		return os.NewSyscallError("setns", errno)
	}
	return nil
}

// startServer runs danmakud behind the cable. dial and join go through the cable;
// near does the same beside the server.
func (c *cable) startServer(t *testing.T, flags ...string) (far, near *instance) {
	t.Helper()
	common := []string{"--listen=" + serverAddress + ":0", "--listen=127.0.0.1:0", "--control=127.0.0.1:0", "--drain-time=1s", "--loops=2", "--tick=10ms", "--comment-rate=0"}
	near = launchIn(t, c.server, nil, append(common, flags...)...)
	near.awaitReady()
	far = &instance{t: t, place: c.viewers, public: near.public[:1]}
	near.public = near.public[1:]
	return far, near
}

// TestCable: the namespaces can be made here, the link carries what it is given,
// and both are gone afterwards. make test shows the reason if this is skipped.
func TestCable(t *testing.T) {
	var names [2]string
	t.Run("up", func(t *testing.T) {
		c := newCable(t)
		names = c.names
		var listener net.Listener
		if err := c.server(func() (err error) {
			listener, err = net.Listen("tcp", serverAddress+":0")
			return err
		}); err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		conn, err := c.viewers.dial(listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		peer, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer peer.Close()
		if host, _, _ := net.SplitHostPort(peer.RemoteAddr().String()); host != viewerAddress {
			t.Errorf("the peer is %v", peer.RemoteAddr())
		}
		const text = "over the link"
		got := make([]byte, len(text))
		conn.Write([]byte(text))
		if _, err := io.ReadFull(peer, got); err != nil || string(got) != text {
			t.Errorf("got %q, %v", got, err)
		}
		if c.directions[viewerEnd].carried.Load() == 0 {
			t.Errorf("the bytes went another way: %v", c.link)
		}
	})
	for _, name := range names {
		if _, err := os.Stat("/run/netns/" + name); name != "" && !os.IsNotExist(err) {
			t.Errorf("namespace %s is still there: %v", name, err)
		}
	}
}

// TestFaultyLink: viewers behind a link that is in one way or another as bad as
// real ones get. Each gets every batch as it was sealed, in order and once, or is
// told that it was skipped.
func TestFaultyLink(t *testing.T) {
	t.Parallel()
	slowFlags := []string{"--ring=4", "--tcp-send-buffer=8KiB", "--tcp-notsent-lowat=4096"}
	for _, tc := range []struct {
		name string
		conditions
		flags   []string
		viewers int
		heavy   bool                   // large batches
		shown   func(*direction) int64 // what must have happened
	}{
		{"loss", conditions{loss: .05, delay: 2 * time.Millisecond}, nil, 6, false, func(d *direction) int64 { return d.lost.Load() }},
		{"delay and jitter", conditions{delay: 20 * time.Millisecond, jitter: 30 * time.Millisecond}, nil, 6, false, nil},
		{"reorder", conditions{delay: 5 * time.Millisecond, reorder: .25}, nil, 6, false, func(d *direction) int64 { return d.overtook.Load() }},
		{"duplicate", conditions{duplicate: .3}, nil, 6, false, func(d *direction) int64 { return d.doubled.Load() }},
		{"corrupt", conditions{corrupt: .03, delay: 2 * time.Millisecond}, nil, 6, false, func(d *direction) int64 { return d.spoilt.Load() }},
		{"slow", conditions{rate: 250_000, delay: 5 * time.Millisecond}, slowFlags, 6, true, nil},
		{"everything", conditions{loss: .01, duplicate: .05, corrupt: .01, reorder: .05, delay: 2 * time.Millisecond, jitter: 4 * time.Millisecond, rate: 400_000}, slowFlags, 6, true, nil},
		// So many viewers that frames are sent by reference: what is sent again after
		// a loss must still be what it was.
		{"loss from the spool", conditions{loss: .02, delay: time.Millisecond}, []string{"--ring=4"}, 66, true, func(d *direction) int64 { return d.lost.Load() }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := newCable(t)
			far, near := c.startServer(t, tc.flags...)
			viewers, batches, offer := tc.viewers, 100, deflateOffer
			if viewers > 6 {
				batches = 25 // the link carries every packet of every viewer
				offer = ""   // compressed frames would be small
			}
			results := make(chan seen, viewers)
			for i := range viewers {
				v := far.join("link", []string{"", offer}[i%2])
				go func() { results <- v.watchToTheEnd() }()
			}
			c.set(tc.conditions)
			sealed := near.talk(t, "link", batches, tc.heavy)
			skips := 0
			for range viewers {
				got := <-results
				got.expect(t, sealed)
				skips += got.skipped
			}
			t.Logf("%d batches sealed, %d skipped by %d viewers", len(sealed), skips, viewers)
			if tc.rate > 0 && skips == 0 {
				t.Error("nothing was skipped: the link was not slow, the test shows nothing")
			}
			if tc.shown != nil && tc.shown(c.directions[serverEnd]) == 0 {
				t.Errorf("nothing happened to any packet: %v", c.link)
			}
			m := near.metrics()
			if viewers > 64 && m["danmakud_spooled_frames_total"] == 0 {
				t.Error("no frame was sent by reference: the test shows nothing")
			}
			if got := m["danmakud_batches_skipped_total"]; got != float64(skips) {
				t.Errorf("%v skipped batches are counted, viewers were told of %d", got, skips)
			}
			if got, want := m["danmakud_frames_written_total"], float64((viewers+1)*len(sealed)-skips); got != want {
				t.Errorf("%v frames are counted, want %v", got, want)
			}
		})
	}
}
