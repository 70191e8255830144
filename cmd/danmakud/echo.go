package main

import (
	"context"
	"fmt"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/echo"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/logging"

	"github.com/spf13/cobra"
)

// echoCommand is for those who test the protocol, so the help of the whole
// command leaves it out.
func (p *program) echoCommand() *cobra.Command {
	c := echo.Config{MaxMessage: echo.MaxMessageDefault}
	level, format := "info", "auto"
	cmd := &cobra.Command{
		Use:    "echo",
		Short:  "Send back what comes, for WebSocket conformance suites",
		Hidden: true,
		Long: "Send every message back to where it came from, text as text and binary as\n" +
			"binary, on the same event loops and the same protocol code as the server. Point a\n" +
			"conformance suite at it; nothing else should reach it.\n\n" +
			"Every path is accepted. permessage-deflate is spoken with every window size; what\n" +
			"comes compressed goes back compressed. A peer that does not read is not read from.\n\n" +
			"SIGTERM or SIGINT ends it at once.\n\n" +
			"Exit status: 0 after a signal, 1 after an error.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if c.MaxMessage < 0 || c.MaxMessage > echo.MaxMessageMost {
				return fmt.Errorf("--max-message %d: want 0 to %d", c.MaxMessage, echo.MaxMessageMost)
			}
			log, err := logging.New(p.stderr, level, format)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			go func() {
				select {
				case s := <-p.signals:
					log.Info("signal: ending", "signal", s.String())
					cancel()
				case <-ctx.Done():
				}
			}()
			if err := echo.Run(ctx, c, log); err != nil {
				return fmt.Errorf("echo: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&c.Listen, "listen", "127.0.0.1:9001", "address as `HOST:PORT`; port 0 is any free one")
	cmd.Flags().Var(config.Bytes(&c.MaxMessage), "max-message", "longest message that is sent back")
	cmd.Flags().StringVar(&level, "log-level", level, "debug, info, warn or error")
	cmd.Flags().StringVar(&format, "log-format", format, "auto, text or json")
	return cmd
}
