package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
)

// supervisor is a fake one: it reads what it is told.
type supervisor struct {
	t    *testing.T
	path string

	mu      sync.Mutex
	changed *sync.Cond
	// Guarded by mu.
	told []string
}

func newSupervisor(t *testing.T) *supervisor {
	t.Helper()
	m := &supervisor{t: t, path: filepath.Join(t.TempDir(), "notify")}
	m.changed = sync.NewCond(&m.mu)
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			m.mu.Lock()
			m.told = append(m.told, string(buf[:n]))
			m.mu.Unlock()
			m.changed.Broadcast()
		}
	}()
	return m
}

// await waits for a message that has all of these lines, or beginnings of lines,
// at or behind place from, and returns the place behind it.
func (m *supervisor) await(from int, lines ...string) int {
	m.t.Helper()
	expired := false
	guard := time.AfterFunc(patience, func() {
		m.mu.Lock()
		expired = true
		m.mu.Unlock()
		m.changed.Broadcast()
	})
	defer guard.Stop()
	m.mu.Lock()
	defer m.mu.Unlock()
	for {
		for ; from < len(m.told); from++ {
			found := 0
			for _, line := range lines {
				if strings.Contains("\n"+m.told[from], "\n"+line) {
					found++
				}
			}
			if found == len(lines) {
				return from + 1
			}
		}
		if expired {
			m.t.Fatalf("the manager was not told %q but\n%s", lines, strings.Join(m.told, "\n--\n"))
		}
		m.changed.Wait()
	}
}

// TestSupervisor: Type=notify-reload and WatchdogSec get what they need.
func TestSupervisor(t *testing.T) {
	t.Parallel()
	m := newSupervisor(t)
	file := newSettingsFile(t, minimalSettings+"drain-grace = \"1s\"\n")
	s := launch(t, []string{"NOTIFY_SOCKET=" + m.path, "WATCHDOG_USEC=500000"}, "--config="+file.path)
	at := m.await(0, "READY=1", "STATUS=0 viewers")
	s.awaitReady()
	v := s.join("a")
	at = m.await(at, "WATCHDOG=1")
	m.await(0, "STATUS=1 viewers")
	file.write(minimalSettings + "drain-grace = \"1s\"\nmax-text = 9\n")
	s.signal(syscall.SIGHUP)
	at = m.await(at, "RELOADING=1", "MONOTONIC_USEC=")
	at = m.await(at, "READY=1")
	file.write("broken")
	s.signal(syscall.SIGHUP)
	at = m.await(at, "RELOADING=1")
	at = m.await(at, "READY=1") // it goes on with what it has

	s.signal(syscall.SIGTERM)
	at = m.await(at, "STOPPING=1", "STATUS=draining, 1 viewers left")
	m.await(at, "EXTEND_TIMEOUT_USEC=", "WATCHDOG=1")
	if m, _ := v.until("goodbye"); m.RetryMs == 0 {
		t.Errorf("got %+v", m)
	}
	v.conn.Close()
	if status := s.wait(); status != exitOK {
		t.Errorf("exit status %d", status)
	}
}

// activated has the sockets that a service manager keeps open.
type activated struct {
	t         *testing.T
	viewers   *net.TCPListener
	local     *net.UnixListener
	control   *net.TCPListener
	localPath string
}

func newActivated(t *testing.T) *activated {
	t.Helper()
	a := &activated{t: t, localPath: filepath.Join(t.TempDir(), "d.sock")}
	var err error
	if a.viewers, err = net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.viewers.Close() })
	if a.control, err = net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.control.Close() })
	if a.local, err = net.ListenUnix("unix", &net.UnixAddr{Name: a.localPath, Net: "unix"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.local.Close() })
	return a
}

// launch starts a server on the sockets.
func (a *activated) launch(args ...string) *instance {
	a.t.Helper()
	var files []*os.File
	for _, ln := range []interface{ File() (*os.File, error) }{a.viewers, a.local, a.control} {
		f, err := ln.File()
		if err != nil {
			a.t.Fatal(err)
		}
		defer f.Close()
		files = append(files, f)
	}
	return launchWith(a.t, nil, files, "viewers:local:control", append([]string{"--log-format=json"}, args...)...)
}

// TestSocketActivation: the sockets serve in place of --listen and --control, and
// over a restart under a stream of new connections nobody is refused or reset.
func TestSocketActivation(t *testing.T) {
	t.Parallel()
	a := newActivated(t)
	first := a.launch("--drain-time=1s", "--listen=127.0.0.1:1", "--control=127.0.0.1:2")
	first.awaitReady()
	if want := []string{a.viewers.Addr().String(), a.localPath}; fmt.Sprint(first.public) != fmt.Sprint(want) || first.control != a.control.Addr().String() {
		t.Fatalf("listens on %q and %q, want %q and %q", first.public, first.control, want, a.control.Addr())
	}
	if r, _ := first.get("http://" + first.control + "/v1/rooms"); r.StatusCode != http.StatusOK {
		t.Errorf("control listener: %s", r.Status)
	}
	conn, err := net.Dial("unix", a.localPath)
	if err != nil {
		t.Fatal(err)
	}
	v := first.viewerOn(conn)
	v.write([]byte(requestHead("/ws/a")))
	v.accepted()

	stream := newStream(t, here, a.viewers.Addr().String())
	stream.await(50)
	first.signal(syscall.SIGTERM)
	v.closedWith(1012)
	v.conn.Close()
	if status := first.wait(); status != exitOK {
		t.Errorf("exit status %d", status)
	}
	if _, err := os.Stat(a.localPath); err != nil {
		t.Errorf("the file of an inherited socket: %v", err)
	}
	second := a.launch("--drain-time=1s")
	second.awaitReady()
	stream.await(stream.served() + 50)
	stream.end()
	first.stop()
}

// stream is an endless row of new viewers: each connects, asks for a room and
// waits for its welcome. Some four hundred a second.
type stream struct {
	t       *testing.T
	place   place
	address string
	stop    chan struct{}
	running sync.WaitGroup

	mu      sync.Mutex
	changed *sync.Cond
	// Guarded by mu.
	welcomed int
	errors   []error
}

func newStream(t *testing.T, where place, address string) *stream {
	s := &stream{t: t, place: where, address: address, stop: make(chan struct{})}
	s.changed = sync.NewCond(&s.mu)
	for range 4 {
		s.running.Go(s.run)
	}
	t.Cleanup(func() { s.end() })
	return s
}

func (s *stream) run() {
	for {
		select {
		case <-s.stop:
			return
		case <-time.After(10 * time.Millisecond):
		}
		s.running.Go(func() {
			err := s.one()
			s.mu.Lock()
			defer s.mu.Unlock()
			if err != nil {
				s.errors = append(s.errors, err)
			} else {
				s.welcomed++
			}
			s.changed.Broadcast()
		})
	}
}

func (s *stream) one() error {
	conn, err := s.place.dial(s.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	v := &viewer{t: s.t, conn: conn, r: bufio.NewReader(conn)}
	if err := v.writeAll([]byte(requestHead("/ws/stream"))); err != nil {
		return err
	}
	return v.readAccepted()
}

func (s *stream) served() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.welcomed
}

// await waits until n were welcomed.
func (s *stream) await(n int) {
	s.t.Helper()
	guard := time.AfterFunc(patience, func() { s.t.Error("the stream has stopped"); s.changed.Broadcast() })
	defer guard.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.welcomed < n && !s.t.Failed() {
		s.changed.Wait()
	}
}

// end stops the stream and reports everyone who got no welcome.
func (s *stream) end() {
	for _, err := range s.failures() {
		s.t.Errorf("a new viewer: %v", err)
	}
}

// failures stops the stream and returns what went wrong, once.
func (s *stream) failures() []error {
	select {
	case <-s.stop:
	default:
		close(s.stop)
	}
	s.running.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	failed := s.errors
	s.errors = nil
	return failed
}

// TestUselessSockets: what cannot be accepted on ends the start.
func TestUselessSockets(t *testing.T) {
	t.Parallel()
	plain, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
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
	for _, tc := range []struct {
		file       *os.File
		name, want string
	}{
		{plain, "viewers", `inherited file "viewers": is no socket`},
		{udp, "viewers", `inherited file "viewers": is no stream socket`},
		{udp, "control", `control listener: inherited file "control": is no stream socket`},
	} {
		cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, underTest(t), "--listen=127.0.0.1:0", "--control=127.0.0.1:0")
		cmd.Env = []string{"LISTEN_FDS=1", "LISTEN_FDNAMES=" + tc.name}
		cmd.ExtraFiles = []*os.File{tc.file}
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(lastLine(string(out)), tc.want) {
			t.Errorf("%s: %v\n%s", tc.want, err, out)
		}
	}
}

// TestSystemdUnits: systemd has nothing to say against the units, and the settings
// beside them are valid.
func TestSystemdUnits(t *testing.T) {
	t.Parallel()
	const dir = repository + "/deploy/systemd"
	settings, err := os.ReadFile(filepath.Join(dir, "danmakud.toml"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer(`":8080"`, `"127.0.0.1:0"`, `"127.0.0.1:8081"`, `"off"`, `"5s"`, `"0s"`).Replace(string(settings))
	s := launch(t, nil, "--config="+newSettingsFile(t, text).path)
	s.awaitReady()

	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not installed: the units are not checked")
	}
	var copies []string
	copied := t.TempDir()
	for _, name := range []string{"danmakud.service", "danmakud.socket"} {
		unit, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		// The program must exist where the unit says that it is.
		text := strings.ReplaceAll(string(unit), "/usr/bin/danmakud", underTest(t))
		path := filepath.Join(copied, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		copies = append(copies, path)
	}
	cmd := exec.Command("systemd-analyze", append([]string{"verify", "--man=no", "--recursive-errors=no"}, copies...)...)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	// From 0, shut off from everything, to 10. The threshold is in tenths.
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--threshold=20", copies[0]).CombinedOutput()
	if err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
	t.Log(lastLine(string(out)))
}

// TestSystemdSettings: every secret can come as a credential, nothing else does, and
// the variables of the unit are settings.
func TestSystemdSettings(t *testing.T) {
	unit, err := os.ReadFile(repository + "/deploy/systemd/danmakud.service")
	if err != nil {
		t.Fatal(err)
	}
	var variables []string
	credentials := map[string]bool{}
	for _, line := range strings.Split(string(unit), "\n") {
		if text, ok := strings.CutPrefix(line, "Environment="); ok {
			variables = append(variables, text)
		}
		if name, ok := strings.CutPrefix(line, "LoadCredential="); ok {
			credentials[name] = true
		}
	}
	if unknown := config.UnknownEnv(variables); len(variables) == 0 || len(unknown) > 0 {
		t.Errorf("variables %q, of which %q are no settings", variables, unknown)
	}
	c := config.Default()
	for _, s := range c.List() {
		name := s.Name + ":danmakud." + s.Name
		if s.Secret != credentials[name] {
			t.Errorf("--%s: secret is %v, the unit has LoadCredential=%s is %v", s.Name, s.Secret, name, credentials[name])
		}
		delete(credentials, name)
	}
	if len(credentials) > 0 {
		t.Errorf("credentials of no setting: %v", credentials)
	}
}

// TestInheritedControlOnly: a socket for the control listener leaves --listen as it
// is, and who may open a unix socket may use all of the API.
func TestInheritedControlOnly(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "control.sock")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	f, err := ln.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := launchWith(t, nil, []*os.File{f}, "control", "--listen=127.0.0.1:0", "--drain-time=1s")
	s.awaitReady()
	v := s.join("a")
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) },
	}}
	r, err := client.Get("http://danmakud/v1/rooms/a")
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusOK {
		t.Errorf("over the unix socket: %s", r.Status)
	}
	v.conn.Close() // or the drain waits for its answer to the close frame
	s.stop()
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the file of an inherited socket: %v", err)
	}
}
