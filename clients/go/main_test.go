package danmaku

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience guards against hanging for ever; no test measures time.
const patience = 60 * time.Second

var (
	buildDir  string
	buildOnce = sync.OnceValues(func() (string, error) {
		if err := lookAtSources(); err != nil {
			return "", err
		}
		path := filepath.Join(buildDir, "danmakud")
		if out, err := exec.Command("go", "build", "-o", path, "../../cmd/danmakud").CombinedOutput(); err != nil {
			return "", fmt.Errorf("go build: %w\n%s", err, out)
		}
		return path, nil
	})
)

// TestMain fails the run when goroutines are left behind.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "danmaku-go-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	buildDir = dir
	goroutines := runtime.NumGoroutine()
	code := m.Run()
	os.RemoveAll(dir)
	for range 500 {
		if runtime.NumGoroutine() <= goroutines {
			os.Exit(code)
		}
		time.Sleep(20 * time.Millisecond)
	}
	buf := make([]byte, 1<<20)
	fmt.Printf("%d goroutines left, %d at start\n%s\n", runtime.NumGoroutine(), goroutines, buf[:runtime.Stack(buf, true)])
	os.Exit(1)
}

// lookAtSources makes the results of tests depend on the server's source: the go
// command keeps them until a file that the tests looked at has changed, and does not
// know that they build something.
func lookAtSources() error {
	return filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".go" {
			_, err = os.Stat(path)
		}
		if os.IsNotExist(err) { // a build beside us removed it
			return nil
		}
		return err
	})
}

// A server is a running danmakud.
type server struct {
	public, control string // HOST:PORT
	cmd             *exec.Cmd
}

// start runs danmakud on listen, with the limits of comments off. The second
// result is why it could not be done.
func start(listen string, flags ...string) (*server, error) {
	path, err := buildOnce()
	if err != nil {
		return nil, err
	}
	s := &server{cmd: exec.Command(path, append([]string{"--listen=" + listen, "--control=127.0.0.1:0", "--comment-rate=0",
		"--duplicate-window=0s", "--drain-time=1s"}, flags...)...)}
	pipe, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for lines := bufio.NewScanner(pipe); lines.Scan(); {
		var ready struct {
			Msg     string   `json:"msg"`
			Listen  []string `json:"listen"`
			Control string   `json:"control"`
		}
		if json.Unmarshal(lines.Bytes(), &ready) == nil && ready.Msg == "ready" {
			s.public, s.control = ready.Listen[0], ready.Control
			go io.Copy(io.Discard, pipe) // ends with the process
			return s, nil
		}
	}
	s.stop(os.Kill)
	return nil, fmt.Errorf("danmakud is not ready: %v", s.cmd.ProcessState)
}

func (s *server) stop(signal os.Signal) {
	s.cmd.Process.Signal(signal)
	guard := time.AfterFunc(patience, func() { s.cmd.Process.Kill() })
	defer guard.Stop()
	s.cmd.Wait()
}

func run(t *testing.T, listen string, flags ...string) *server {
	t.Helper()
	s, err := start(listen, flags...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s.cmd.ProcessState == nil {
			s.stop(syscall.SIGTERM)
		}
	})
	return s
}

// ServerForExample runs a server for an example of another package; end stops it.
func ServerForExample() (address string, end func()) {
	s, err := start("127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	return "ws://" + s.public, func() { s.stop(syscall.SIGTERM) }
}
