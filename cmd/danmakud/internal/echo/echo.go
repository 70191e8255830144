// Package echo is a WebSocket server that sends back what it gets, for
// conformance suites. It stands on the same reactor and protocol code as the
// server, and has neither rooms nor limits on rates.
//
//	poller.Loop ── handler (one per loop) ── conn (one per connection)
//	     │ Data        │ HeadEnd, Upgrade, Decode, Assembler    │
//	     │             ▼                                        │
//	     └ Write ◄── conn.out: frames not yet taken by the kernel
//
// Start reading in handler.go.
package echo

import (
	"context"
	"log/slog"
	"runtime"

	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/wsproto"
)

const (
	// MaxMessageDefault is the largest message that public suites send.
	MaxMessageDefault = 16 << 20
	// MaxMessageMost keeps a length well inside an int on every system.
	MaxMessageMost = 1 << 30
)

// spareProcs is how many processors the Go scheduler gets besides one for each
// loop; see poller.Config.Loops.
const spareProcs = 2

// Config is what Run needs.
type Config struct {
	Listen     string // HOST:PORT
	MaxMessage int    // bytes of the longest message that is sent back; longer ones: close 1009
}

// Run echoes until ctx is done and then ends at once, without a close
// handshake. The error is one of opening the listener.
func Run(ctx context.Context, c Config, log *slog.Logger) error {
	loops := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(loops + spareProcs)
	upgrader := &wsproto.Upgrader{
		// Suites are no web pages; there is nothing here to protect.
		Origin:  func(string, string) bool { return true },
		Deflate: &wsproto.DeflateConfig{MinWindowBits: 8},
	}
	reactor, err := poller.New(poller.Config{
		Listen: []string{c.Listen},
		Loops:  loops,
		Socket: poller.SocketOptions{NoDelay: true},
		NewHandler: func(l *poller.Loop) poller.Handler {
			return newHandler(l, upgrader, c.MaxMessage)
		},
		Log: log,
	})
	if err != nil {
		return err
	}
	reactor.Start()
	log.Info("ready", "listen", []string{reactor.Addrs()[0].String()}, "max_message", c.MaxMessage)
	<-ctx.Done()
	reactor.Stop()
	return nil
}
