package main

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/logging"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/server"

	"github.com/spf13/cobra"
)

const serveNotes = `Every flag has an environment variable: --max-rooms is DANMAKUD_MAX_ROOMS. The
command line wins over the environment, and that over the file; lists are
separated by commas. In the file they are arrays of strings, and times strings.
danmakud config shows what holds and where it came from. A secret can be given as
file:PATH, or by systemd as a credential that has the setting's name.

SIGHUP reads the file again; the log says what changed and what needs a restart.

SIGTERM or SIGINT lets /readyz fail, closes the listeners after --drain-grace,
says goodbye to the viewers over --drain-time and ends when they are gone; a
second one ends at once.

Exit status: 0 after a drain, 1 after an error or if viewers were cut off, 2
after a second signal.`

func (p *program) serveCommand() *cobra.Command {
	c := new(config.Config)
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server (what plain danmakud does)",
		Long:  "Run the server.\n\n" + serveNotes,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			sources, err := c.Load(cmd.Flags(), p.lookupEnv)
			if err != nil {
				return err
			}
			if err := c.Validate(); err != nil {
				return err
			}
			return p.runServer(*c, sources)
		},
	}
	c.Bind(cmd.Flags())
	return cmd
}

// runServer runs the server until it has drained after a signal, or failed.
func (p *program) runServer(c config.Config, sources config.Sources) error {
	level := new(slog.LevelVar)
	setLevel := func(name string) {
		if l, err := logging.ParseLevel(name); err == nil { // Validate knows the names
			level.Set(l)
		}
	}
	setLevel(c.LogLevel)
	log, err := logging.NewLeveled(p.stderr, level, c.LogFormat)
	if err != nil {
		return err
	}
	for _, name := range config.UnknownEnv(p.environ) {
		log.Warn("environment variable is no setting", "name", name)
	}
	for _, text := range sources.Warnings {
		log.Warn("a secret is open to others", "where", text)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go p.runSignals(ctx, cancel, log)
	info, _ := debug.ReadBuildInfo()
	made := thisBuild(version, commit, info)
	options := server.Options{Version: made.Version, Commit: made.Commit, Hangups: p.hangups(), Reread: sources.Reread, SetLevel: setLevel, Inherited: p.sockets()}
	if err := p.serve(ctx, c, log, options); err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// runSignals cancels the server at the first signal and ends the process at
// the second. It returns only with ctx and no signal: while draining it stays,
// for the second.
func (p *program) runSignals(ctx context.Context, cancel context.CancelFunc, log *slog.Logger) {
	select {
	case s := <-p.signals:
		log.Info("signal: draining, a second one ends at once", "signal", s.String())
		cancel()
	case <-ctx.Done():
		return
	}
	s := <-p.signals
	log.Error("second signal: ending at once", "signal", s.String())
	p.exit(exitAtOnce)
}
