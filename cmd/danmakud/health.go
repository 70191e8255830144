package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"

	"github.com/spf13/cobra"
)

// healthPatience is how long the server may take to answer.
const healthPatience = 2 * time.Second

// healthCommand is for containers, in whose image there is nothing else that could
// ask.
func (p *program) healthCommand() *cobra.Command {
	c := new(config.Config)
	var ready bool
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask the server on this host whether it is well",
		Long: "Ask the control listener of the server on this host (/healthz), which is found by\n" +
			"the same settings as the server's own: it takes the flags of serve. For health checks\n" +
			"of containers.\n\n" +
			"Exit status: 0 if it is well, 1 if it is not or does not answer.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := c.Load(cmd.Flags(), p.lookupEnv); err != nil {
				return err
			}
			path := "/healthz"
			if ready {
				path = "/readyz"
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), healthPatience)
			defer cancel()
			text, err := askHealth(ctx, c.Control, path)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(p.stdout, text)
			return err
		},
	}
	cmd.Flags().BoolVar(&ready, "ready", false, "ask whether new viewers should be sent to it (/readyz)")
	bindHidden(c, cmd)
	return cmd
}

// askHealth returns the answer of the control listener at address if that is 200.
func askHealth(ctx context.Context, address, path string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", errors.New("there is no control listener to ask (--control)")
	}
	switch ip, err := netip.ParseAddr(host); { // who listens everywhere also listens here
	case host == "" || err == nil && ip.Is4() && ip.IsUnspecified():
		host = "127.0.0.1"
	case err == nil && ip.IsUnspecified():
		host = "::1"
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+path, nil)
	if err != nil {
		return "", err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 4096))
	text := strings.TrimSpace(string(body))
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", answer.Status, text)
	}
	return text, err
}
