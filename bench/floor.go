package main

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

//go:embed floor/floor.c
var floorSource []byte

// The two things the floor can be asked to do.
const (
	FloorPush  = "push"  // bench says when; the same frame goes to every connection
	FloorRelay = "relay" // a text frame of a member goes at once to all members of its room
)

// ErrNoCompiler is returned by StartFloor where there is no C compiler.
var ErrNoCompiler = errors.New("bench: the floor is a C program and no C compiler was found (tried $CC, cc, gcc, clang)")

// ErrFloorSystem is returned by StartFloor on systems without epoll.
var ErrFloorSystem = errors.New("bench: the floor needs Linux (epoll)")

// FloorOptions say how to run the C loop.
type FloorOptions struct {
	Mode    string // FloorPush or FloorRelay
	Port    int    // on 127.0.0.1; 0 = any free one
	Threads int    // connections are split over this many; 0 = 1. Relay has one
	Cores   []int  // CPUs to pin the threads to, in rotation; empty = not pinned
}

// FloorCounts are counters of a floor since it started, or of one Push.
type FloorCounts struct {
	Connections int64 // open now, upgraded or not
	Joined      int64 // upgraded and still open
	Received    int64 // text frames read from members (relay)
	Frames      int64 // frames given to the kernel, whole or begun
	Bytes       int64 // bytes the kernel took, frames only
	EAGAINs     int64 // sends that took nothing
	Short       int64 // sends that took a part; the rest followed when there was room
	Skipped     int64 // frames not begun because the connection was full
	Failed      int64 // sends that found the connection broken
	Pending     int64 // connections that are in the middle of a frame now
}

// FloorPushed is the answer to a Push.
type FloorPushed struct {
	FloorCounts
	Rounds  int64
	Elapsed time.Duration // from the command to the end of the last round
	CPU     time.Duration // of the whole process meanwhile, waiting between rounds included
}

// CPUPerFrame is what one frame cost, in nanoseconds; 0 if there was none.
func (p FloorPushed) CPUPerFrame() float64 {
	if p.Frames == 0 {
		return 0
	}
	return float64(p.CPU) / float64(p.Frames)
}

// Floor is a running C loop, the least that a broadcast can cost on this
// machine. It listens on 127.0.0.1, answers `GET /ws/{room}` with a canned 101
// (the accept key is the one of FloorKey, whatever key was sent) and a small
// `welcome`, and ends with this process. Methods may be called by any
// goroutine; commands run one after the other.
//
//	bench ── stdin: "push 4096 100000 50" ──► floor ── one send(2) each ──► viewers
//	      ◄─ stdout: "pushed frames=… cpu_ns=…" ─┘
type Floor struct {
	// Fixed after construction.
	cmd    *exec.Cmd
	addr   string
	errors *tailBuffer

	// Guarded by mu: one command is under way at a time.
	mu    sync.Mutex
	stdin io.WriteCloser
	lines *bufio.Reader

	closing sync.Once
	err     error
}

// FloorKey is the Sec-WebSocket-Key for which the floor's canned answer is
// right (the sample of RFC 6455 section 1.3).
const FloorKey = "dGhlIHNhbXBsZSBub25jZQ=="

// StartFloor compiles the C loop into a temporary folder, which is gone again
// when it returns, and starts it. The process is killed when ctx ends. Errors:
// ErrFloorSystem, ErrNoCompiler, what the compiler says, or what the loop says.
func StartFloor(ctx context.Context, o FloorOptions) (*Floor, error) {
	if runtime.GOOS != "linux" {
		return nil, ErrFloorSystem
	}
	dir, err := os.MkdirTemp("", "danmakud-floor-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	program, err := compileFloor(ctx, dir)
	if err != nil {
		return nil, err
	}
	args := []string{o.Mode, strconv.Itoa(o.Port), strconv.Itoa(max(1, o.Threads))}
	for _, c := range o.Cores {
		args = append(args, strconv.Itoa(c))
	}
	return runFloor(exec.CommandContext(ctx, program, args...))
}

// compileFloor leaves the program in dir and returns its path.
func compileFloor(ctx context.Context, dir string) (string, error) {
	cc, err := findCompiler()
	if err != nil {
		return "", err
	}
	source, program := filepath.Join(dir, "floor.c"), filepath.Join(dir, "floor")
	if err := os.WriteFile(source, floorSource, 0o600); err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, cc, "-O2", "-pthread", "-o", program, source).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("bench: compiling the floor with %s: %w\n%s", cc, err, out)
	}
	return program, nil
}

// findCompiler is the path of $CC, cc, gcc or clang.
func findCompiler() (string, error) {
	for _, name := range []string{os.Getenv("CC"), "cc", "gcc", "clang"} {
		if name == "" {
			continue
		}
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", ErrNoCompiler
}

// runFloor starts the program and waits until it listens.
func runFloor(cmd *exec.Cmd) (*Floor, error) {
	f := &Floor{cmd: cmd, errors: &tailBuffer{limit: 4096}}
	cmd.Stderr = f.errors
	cmd.WaitDelay = time.Second
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	f.stdin, f.lines = stdin, bufio.NewReader(stdout)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	values, err := f.answer("ready")
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	f.addr = net.JoinHostPort("127.0.0.1", strconv.FormatInt(values["port"], 10))
	return f, nil
}

// Addr is where viewers connect, HOST:PORT.
func (f *Floor) Addr() string { return f.addr }

// Pid is the process to measure.
func (f *Floor) Pid() int { return f.cmd.Process.Pid }

// Stats reads the counters since the start. During a Push it waits for its end.
func (f *Floor) Stats() (FloorCounts, error) {
	values, err := f.command("stats", "stats")
	return floorCounts(values), err
}

// Push writes rounds frames of frameBytes bytes in all (header included) to
// every connection that has upgraded, one round each period (0 = as fast as
// it goes), and returns when the last round is written. Frames are text, JSON,
// and numbered by "seq", which goes on from push to push. It wants 64 bytes to
// 16 MiB; 128, 129 and 65,540 to 65,545 are lengths that no frame has.
func (f *Floor) Push(frameBytes int, period time.Duration, rounds int) (FloorPushed, error) {
	line := fmt.Sprintf("push %d %d %d", frameBytes, period.Microseconds(), rounds)
	values, err := f.command(line, "pushed")
	return FloorPushed{
		FloorCounts: floorCounts(values),
		Rounds:      values["rounds"],
		Elapsed:     time.Duration(values["elapsed_ns"]),
		CPU:         time.Duration(values["cpu_ns"]),
	}, err
}

// Close ends the process and waits for it. Calling it again does nothing.
func (f *Floor) Close() error {
	f.closing.Do(func() {
		f.stdin.Close() // its end is the order to stop; no lock, so that it ends a Push too
		timer := time.AfterFunc(5*time.Second, func() { f.cmd.Process.Kill() })
		defer timer.Stop()
		if err := f.cmd.Wait(); err != nil {
			f.err = f.failed(err)
		}
	})
	return f.err
}

// command sends a line and reads the answer that begins with word.
func (f *Floor) command(line, word string) (map[string]int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := io.WriteString(f.stdin, line+"\n"); err != nil {
		return nil, f.failed(err)
	}
	return f.answer(word)
}

// answer reads "word name=value …".
func (f *Floor) answer(word string) (map[string]int64, error) {
	line, err := f.lines.ReadString('\n')
	if err != nil {
		return nil, f.failed(err)
	}
	first, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	if first != word {
		return nil, fmt.Errorf("bench: floor: %s", strings.TrimPrefix(strings.TrimSpace(line), "error "))
	}
	values := map[string]int64{}
	for pair := range strings.FieldsSeq(rest) {
		name, value, _ := strings.Cut(pair, "=")
		if values[name], err = strconv.ParseInt(value, 10, 64); err != nil {
			return nil, fmt.Errorf("bench: floor: %q: %w", line, err)
		}
	}
	return values, nil
}

// failed adds what the process said on its way out.
func (f *Floor) failed(err error) error {
	if said := f.errors.String(); said != "" {
		return fmt.Errorf("bench: floor: %w: %s", err, strings.TrimSpace(said))
	}
	return fmt.Errorf("bench: floor: %w", err)
}

func floorCounts(v map[string]int64) FloorCounts {
	return FloorCounts{
		Connections: v["connections"],
		Joined:      v["joined"],
		Received:    v["received"],
		Frames:      v["frames"],
		Bytes:       v["bytes"],
		EAGAINs:     v["eagain"],
		Short:       v["short"],
		Skipped:     v["skipped"],
		Failed:      v["failed"],
		Pending:     v["pending"],
	}
}

// tailBuffer keeps the last limit bytes written to it. Any goroutine.
type tailBuffer struct {
	mu    sync.Mutex
	limit int
	bytes []byte
}

func (b *tailBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes = append(b.bytes, p...)
	if over := len(b.bytes) - b.limit; over > 0 {
		b.bytes = append(b.bytes[:0], b.bytes[over:]...)
	}
	return len(p), nil
}

func (b *tailBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(bytes.TrimSpace(b.bytes))
}
