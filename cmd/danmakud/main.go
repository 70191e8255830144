// Danmakud broadcasts live comments (danmaku) over WebSocket.
//
//	danmakud [serve]    flags + environment + file ─► config ─► server.Run(ctx)
//	                    SIGHUP ─► the file again ─► what can change
//	                    SIGTERM, SIGINT ──────────────► ctx ends: drain, exit 0, or 1 if viewers were cut off
//	                    a second one ─────────────────► exit 2 at once
//	danmakud config     the settings and their origins; check a file; an example
//	danmakud health     asks a running server, for containers
//	danmakud doctor     what the host needs for N connections
//	danmakud plan       what a number of viewers takes, computed
//	danmakud version    what this binary was built from
//	danmakud echo       sends back what comes, for conformance suites
//
// The command only reads settings, makes the log and passes signals on; what
// the server does begins in internal/server.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/doctor"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/server"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/spf13/cobra"
)

// Exit statuses.
const (
	exitOK     = 0
	exitFailed = 1 // an error, which was printed; viewers were cut off; or doctor's checks failed
	exitAtOnce = 2 // a second signal came while draining
)

// errSilent ends a command with exitFailed when its output has said why.
var errSilent = errors.New("see output")

// program is one run of the command. Tests make it with parts of their own.
// Fixed after construction.
type program struct {
	args      []string
	environ   []string
	lookupEnv func(name string) (string, bool)
	stdout    io.Writer
	stderr    *os.File
	signals   <-chan os.Signal        // that end the server
	hangups   func() <-chan os.Signal // begins to take SIGHUP as a request to read the settings again
	sockets   func() []*os.File       // listening sockets of whoever started us (LISTEN_FDS)
	exit      func(status int)        // ends the process from another goroutine
	serve     func(ctx context.Context, c config.Config, log *slog.Logger, o server.Options) error
	host      doctor.Host
}

func main() {
	// Two places: a second signal must not be lost while the first is handled.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	p := program{
		args:      os.Args[1:],
		environ:   os.Environ(),
		lookupEnv: os.LookupEnv,
		stdout:    os.Stdout,
		stderr:    os.Stderr,
		signals:   signals,
		hangups:   takeHangups,
		sockets:   func() []*os.File { return activation.Files(true) },
		exit:      os.Exit,
		serve:     server.Run,
		host:      doctor.ThisHost(),
	}
	os.Exit(p.run())
}

// takeHangups is for the one command that has settings to read again: in all
// others SIGHUP does what it does to any process.
func takeHangups() <-chan os.Signal {
	hangups := make(chan os.Signal, 1) // one that waits stands for any number
	signal.Notify(hangups, syscall.SIGHUP)
	return hangups
}

// run executes the command line and returns the exit status. An error is
// printed once, without the usage text.
func (p *program) run() int {
	root := p.rootCommand()
	root.SetArgs(append([]string{}, p.args...)) // nil would mean those of the process
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	err := root.ExecuteContext(context.Background())
	switch {
	case err == nil:
		return exitOK
	case !errors.Is(err, errSilent):
		fmt.Fprintln(p.stderr, errorText(err))
	}
	return exitFailed
}

// errorText gives several problems a line each, below each other.
func errorText(err error) string {
	lines := strings.Split(err.Error(), "\n")
	if len(lines) == 1 {
		return "danmakud: " + lines[0]
	}
	return "danmakud:\n  " + strings.Join(lines, "\n  ")
}

func (p *program) rootCommand() *cobra.Command {
	// Without a subcommand danmakud serves, so the root takes the same flags.
	root := p.serveCommand()
	root.Use = "danmakud"
	root.Short = "Broadcast server for live comments"
	root.Long = "danmakud broadcasts live comments (danmaku) over WebSocket: every room sends one\n" +
		"merged batch a tick to all of its viewers. Without a subcommand it serves.\n\n" + serveNotes
	root.SilenceErrors = true
	root.SilenceUsage = true
	root.AddCommand(p.serveCommand(), p.configCommand(), p.doctorCommand(), p.planCommand(), p.healthCommand(), p.versionCommand(), p.echoCommand())
	return root
}
