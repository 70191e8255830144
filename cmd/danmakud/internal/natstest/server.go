package natstest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long a server may take to do what it must; it only keeps a hang from
// lasting.
const patience = 60 * time.Second

// Options are how a server is to be. The zero value is open to all on this host.
type Options struct {
	JetStream bool // with a store that lasts as long as the test, restarts included

	Users    map[string]string // passwords by name
	Token    string
	NKeys    []string  // public keys of users, see NewNKey
	Operator *Operator // accounts and users by JWT, see NewOperator

	TLS        *Authority // signs the server's certificate, see NewAuthority
	VerifyTLS  bool       // demand one of the same authority from who connects
	MaxPayload int        // bytes; 0 = NATS' own default
	Name       string     // "" = made up

	Config map[string]any // anything else, as the configuration file has it

	// Where runs a function where the server is to run and be reached, such as in a
	// network namespace; nil = here. Host is its address there, "" = 127.0.0.1.
	Where func(func() error) error
	Host  string
}

// Server is a nats-server that runs. It ends with the test. One goroutine at a time.
type Server struct {
	Binary

	t       testing.TB
	name    string
	where   func(func() error) error
	host    string
	secure  bool
	port    int // at which nodes connect
	monitor int
	dir     string // configuration, log and store
	routes  int    // that must be there before it is ready
	meta    bool   // JetStream of a cluster: a leader must be there, too
	run     *process
}

// process is one run of a server. The goroutine that starts it stays on its thread until
// it has ended: the kernel ends it when that thread does (see dieWithParent), so that no
// server outlives a test program that was killed.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// Start runs a server and returns when it takes connections. The test fails if it cannot.
func (b Binary) Start(t testing.TB, o Options) *Server {
	t.Helper()
	s := b.prepare(t, &o)
	s.configure(&o, s.ports(2), nil)
	s.Restart()
	return s
}

// StartCluster runs n servers that are routed to each other. With JetStream they share
// their streams.
func (b Binary) StartCluster(t testing.TB, n int, o Options) []*Server {
	t.Helper()
	var all []*Server
	for i := range n {
		own := o
		own.Name = fmt.Sprintf("%s%d", o.Name, i)
		s := b.prepare(t, &own)
		s.routes, s.meta = n-1, o.JetStream
		all = append(all, s)
	}
	free := all[0].ports(3 * n)
	var routes []string
	for i, s := range all {
		routes = append(routes, "nats://"+s.at(free[3*i+2]))
	}
	for i, s := range all {
		s.configure(&o, free[3*i:3*i+3], routes)
	}
	RestartAll(all)
	return all
}

// RestartAll runs the servers of a cluster again of which none runs: none is ready before
// others are.
func RestartAll(all []*Server) {
	for _, s := range all {
		s.launch()
	}
	for _, s := range all {
		s.AwaitReady()
	}
}

func (b Binary) prepare(t testing.TB, o *Options) *Server {
	if o.Name == "" {
		o.Name = fmt.Sprintf("n%08x", rand.Uint32())
	}
	s := &Server{Binary: b, t: t, name: o.Name, where: o.Where, host: cmp.Or(o.Host, "127.0.0.1"), secure: o.TLS != nil, dir: t.TempDir()}
	if s.where == nil {
		s.where = func(f func() error) error { return f() }
	}
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			t.Logf("%s said:\n%s", b, s.Log())
		}
	})
	return s
}

// configure writes the configuration file, which is JSON: NATS reads it.
func (s *Server) configure(o *Options, free []int, routes []string) {
	s.port, s.monitor = free[0], free[1]
	c := map[string]any{
		"server_name": s.name, "host": s.host, "port": s.port, "http": s.at(s.monitor),
	}
	if o.MaxPayload > 0 {
		c["max_payload"] = o.MaxPayload
	}
	if o.JetStream {
		c["jetstream"] = map[string]any{"store_dir": filepath.Join(s.dir, "store"), "max_memory_store": 64 << 20, "max_file_store": 256 << 20}
	}
	if routes != nil {
		c["cluster"] = map[string]any{"name": "natstest", "host": s.host, "port": free[2], "routes": routes}
	}
	if o.TLS != nil {
		certificate, key := o.TLS.Leaf(s.t, s.host, "localhost")
		c["tls"] = map[string]any{"cert_file": certificate, "key_file": key, "ca_file": o.TLS.File, "verify": o.VerifyTLS, "timeout": patience.Seconds()}
	}
	guard(c, o)
	for key, value := range o.Config {
		c[key] = value
	}
	text, err := json.MarshalIndent(c, "", "\t")
	if err == nil {
		err = os.WriteFile(s.file(), text, 0o600)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// guard sets who may connect.
func guard(c map[string]any, o *Options) {
	authorization := map[string]any{}
	var users []map[string]any
	for name, password := range o.Users {
		users = append(users, map[string]any{"user": name, "password": password})
	}
	for _, key := range o.NKeys {
		users = append(users, map[string]any{"nkey": key})
	}
	if users != nil {
		authorization["users"] = users
	}
	if o.Token != "" {
		authorization["token"] = o.Token
	}
	if len(authorization) > 0 || o.Operator != nil {
		authorization["timeout"] = patience.Seconds() // else who does not come to say who it is within two seconds is refused
		c["authorization"] = authorization
	}
	if o.Operator != nil {
		c["operator"] = o.Operator.token
		c["resolver"] = "MEMORY"
		c["resolver_preload"] = o.Operator.accountTokens
		c["system_account"] = o.Operator.system
	}
}

func (s *Server) file() string { return filepath.Join(s.dir, "nats.json") }

// URL is where it takes connections, without credentials.
func (s *Server) URL() string {
	scheme := "nats"
	if s.secure {
		scheme = "tls"
	}
	return scheme + "://" + s.Addr()
}

// Name is what it calls itself.
func (s *Server) Name() string { return s.name }

// Addr is the HOST:PORT of it.
func (s *Server) Addr() string { return s.at(s.port) }

func (s *Server) at(port int) string { return net.JoinHostPort(s.host, strconv.Itoa(port)) }

// dial opens a connection to one of its ports.
func (s *Server) dial(addr string) (conn net.Conn, err error) {
	err = s.where(func() error {
		conn, err = net.DialTimeout("tcp", addr, patience)
		return err
	})
	return conn, err
}

// URLs are those of several servers, separated by commas.
func URLs(all []*Server) string {
	var list []string
	for _, s := range all {
		list = append(list, s.URL())
	}
	return strings.Join(list, ",")
}

// Pid is its process; 0 if none runs.
func (s *Server) Pid() int {
	if s.run == nil {
		return 0
	}
	return s.run.cmd.Process.Pid
}

// Restart runs it again, at the same ports and with the same store, and returns when it
// is ready.
func (s *Server) Restart() {
	s.t.Helper()
	s.launch()
	s.AwaitReady()
}

// launch runs it without waiting. With the ports of another program it ends at once,
// which AwaitReady says.
func (s *Server) launch() {
	s.t.Helper()
	if s.run != nil {
		s.t.Fatal("natstest: it runs already")
	}
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	p := &process{cmd: exec.Command(s.Path, "-c", s.file()), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	dieWithParent(p.cmd)
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		err := s.where(p.cmd.Start)
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // how it ended is in its log
		}
	}()
	if err := <-started; err != nil {
		s.t.Fatal(err)
	}
	s.run = p
}

// AwaitReady returns when it takes connections and, in a cluster, has its routes.
func (s *Server) AwaitReady() {
	s.t.Helper()
	var last error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		select {
		case <-s.run.done:
			s.t.Fatalf("%s ended by itself", s.Binary)
		default:
		}
		if last = s.ready(); last == nil {
			return
		}
	}
	s.t.Fatalf("%s is not ready: %v", s.Binary, last)
}

func (s *Server) ready() error {
	if err := s.greets(); err != nil {
		return err
	}
	var health struct{ Status, Error string }
	if err := s.ask("/healthz", &health); err != nil {
		return err
	}
	if health.Status != "ok" {
		return fmt.Errorf("/healthz: %s %s", health.Status, health.Error)
	}
	if s.routes > 0 {
		var routes struct {
			Routes []struct {
				Name string `json:"remote_name"`
				ID   string `json:"remote_id"`
			} `json:"routes"`
		}
		if err := s.ask("/routez", &routes); err != nil {
			return err
		}
		peers := map[string]bool{} // each may have several routes
		for _, r := range routes.Routes {
			peers[r.ID] = true
		}
		if len(peers) < s.routes {
			return fmt.Errorf("%d of %d others are routed", len(peers), s.routes)
		}
	}
	if s.meta {
		var jetStream struct {
			Meta struct{ Leader string } `json:"meta_cluster"`
		}
		if err := s.ask("/jsz", &jetStream); err != nil {
			return err
		}
		if jetStream.Meta.Leader == "" {
			return errors.New("JetStream has no leader")
		}
	}
	return nil
}

// greets reports whether it speaks NATS where it should.
func (s *Server) greets() error {
	conn, err := s.dial(s.Addr())
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	hello := make([]byte, 5)
	if _, err := io.ReadFull(conn, hello); err != nil {
		return err
	}
	if string(hello) != "INFO " {
		return fmt.Errorf("%q is no greeting of NATS", hello)
	}
	return nil
}

// Monitor asks its monitoring port, such as "/varz" or "/subsz", and decodes what it
// answers. The test fails if it does not.
func (s *Server) Monitor(path string, into any) {
	s.t.Helper()
	if err := s.ask(path, into); err != nil {
		s.t.Fatal(err)
	}
}

func (s *Server) ask(path string, into any) error {
	c := http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(_ context.Context, _, addr string) (net.Conn, error) { return s.dial(addr) },
	}}
	r, err := c.Get("http://" + s.at(s.monitor) + path)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		return fmt.Errorf("%s: %s: %w", path, r.Status, err)
	}
	return nil
}

// Kill ends it at once, as a crash would. It does nothing if none runs.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Term ends it in order.
func (s *Server) Term() { s.end(syscall.SIGTERM) }

// Signal tells it something, such as SIGUSR2, lame duck, or SIGSTOP.
func (s *Server) Signal(signal os.Signal) {
	s.t.Helper()
	if s.run == nil {
		s.t.Fatal("natstest: none runs")
	}
	if err := s.run.cmd.Process.Signal(signal); err != nil {
		s.t.Fatal(err)
	}
}

func (s *Server) end(signal os.Signal) {
	if s.run == nil {
		return
	}
	_ = s.run.cmd.Process.Signal(signal) // it may have ended by itself
	select {
	case <-s.run.done:
	case <-time.After(patience):
		_ = s.run.cmd.Process.Kill()
		<-s.run.done
		s.t.Errorf("%s did not end on %v", s.Binary, signal)
	}
	s.run = nil
}

func (s *Server) logFile() string { return filepath.Join(s.dir, "log") }

// Log is what it has said so far, of all its runs.
func (s *Server) Log() string {
	text, err := os.ReadFile(s.logFile())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// ports finds ports that nobody has, and keeps them until the test ends: other tests of
// this machine do not get them, also while a server is away. They lie below those that
// systems give to connections of their own accord.
func (s *Server) ports(n int) (all []int) {
	s.t.Helper()
	err := s.where(func() error {
		for range 1000 {
			port := 20000 + rand.IntN(12000)
			addr, err := netip.ParseAddrPort(s.at(port))
			if err != nil {
				return err
			}
			release, err := reserve(addr)
			if err != nil {
				continue
			}
			s.t.Cleanup(release)
			if all = append(all, port); len(all) == n {
				return nil
			}
		}
		return errors.New("natstest: no free ports")
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}
