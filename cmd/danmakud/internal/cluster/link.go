package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// link is the connection to NATS. It is made again by itself whenever it is lost.
type link struct {
	conn     *nats.Conn
	options  *Options
	onLost   func()        // called when the connection is lost
	onBack   func()        // called when it is there again, before up says so
	changed  signal        // the connection was lost or is there again
	drops    atomic.Uint64 // messages that the library had no place for
	losses   atomic.Uint64 // times that the connection was lost
	lostAt   atomic.Int64  // Unix ms; 0 = it is there
	received atomic.Uint64
	sent     atomic.Uint64
}

// dial connects. What the operator must mend is an error; servers that are not there at
// present are not: the link comes up as soon as one is. onLost and onBack are called when
// that is so, before up says it is back.
func dial(o *Options, onLost, onBack func()) (*link, error) {
	l := &link{options: o, onLost: onLost, onBack: onBack, changed: newSignal()}
	list, err := o.natsOptions()
	if err != nil {
		return nil, err
	}
	list = append(list,
		nats.CustomReconnectDelay(reconnectDelay),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { l.lost(err) }),
		nats.ReconnectHandler(func(c *nats.Conn) { l.back(c) }),
		nats.ConnectHandler(func(c *nats.Conn) { l.back(c) }),
		nats.ErrorHandler(func(_ *nats.Conn, s *nats.Subscription, err error) { l.failed(s, err) }),
	)
	l.lostAt.Store(time.Now().UnixMilli())
	l.conn, err = nats.Connect(o.servers(), list...)
	switch {
	case err == nil:
		l.back(l.conn)
		return l, nil
	case unreachable(err):
		o.Log.Warn("bus not reached, this node serves alone until it is", "servers", l.where(), "error", err.Error())
		if l.conn, err = nats.Connect(o.servers(), append(list, nats.RetryOnFailedConnect(true))...); err == nil {
			return l, nil
		}
	}
	return nil, fmt.Errorf("%w: %w", ErrRefused, err)
}

// reconnectDelay is how long to wait before attempt n, from 1 on.
func reconnectDelay(n int) time.Duration {
	most := min(reconnectLeast<<min(n, 10), reconnectMost)
	return most/2 + rand.N(most/2)
}

// isNetwork reports whether it is the network's fault. A certificate that is refused is
// not, though it comes as an error of the connection.
func isNetwork(err error) bool {
	var certificate *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var remote *net.OpError // so crypto/tls hands on what the other side finds wrong
	if errors.As(err, &certificate) || errors.As(err, &authority) || errors.As(err, &remote) && remote.Op == "remote error" {
		return false
	}
	var e net.Error
	return errors.As(err, &e)
}

// where names the servers without what they may have of passwords.
func (l *link) where() string {
	if l.conn != nil && l.conn.ConnectedUrlRedacted() != "" {
		return l.conn.ConnectedUrlRedacted()
	}
	names := ""
	for i, u := range l.options.URLs {
		if i > 0 {
			names += ","
		}
		names += redacted(u)
	}
	return names
}

func (l *link) lost(err error) {
	if !l.lostAt.CompareAndSwap(0, time.Now().UnixMilli()) {
		return
	}
	l.losses.Add(1)
	l.onLost()
	text := "closed by the server"
	if err != nil {
		text = err.Error()
	}
	l.options.Log.Warn("bus lost, this node serves alone until it is back", "error", text)
	l.tellChanged()
}

func (l *link) back(c *nats.Conn) {
	if l.lostAt.Load() == 0 {
		return
	}
	l.onBack()
	if l.lostAt.Swap(0) == 0 { // told of by Connect and by the library
		return
	}
	l.options.Log.Info("bus reached", "server", c.ConnectedUrlRedacted(), "server_version", c.ConnectedServerVersion())
	l.tellChanged()
}

func (l *link) tellChanged() {
	l.changed.set()
}

// failed is told what the library does not tell otherwise.
func (l *link) failed(s *nats.Subscription, err error) {
	if errors.Is(err, nats.ErrSlowConsumer) {
		l.drops.Add(1)
		return // hear.go has a queue of its own, which says what it drops
	}
	subject := ""
	if s != nil {
		subject = s.Subject
	}
	l.options.Log.Error("bus", "error", err.Error(), "subject", subject)
}

// up reports whether the connection is there, as far as is known here: the library is
// not asked, which holds its lock while it writes and dials. Any goroutine, those of the
// loops, too.
func (l *link) up() bool { return l.lostAt.Load() == 0 }

// publish sends a message. It may block for writeTimeout, when the server takes nothing
// and is not known to be gone. What was not sent has an error, and was not sent in part.
func (l *link) publish(subject string, p []byte) error {
	err := l.conn.Publish(subject, p)
	if err == nil {
		l.sent.Add(1)
		return nil
	}
	var e net.Error
	if errors.As(err, &e) && e.Timeout() {
		l.conn.ForceReconnect() // the error is that it is closed
	}
	return err
}

// subscribe has messages of a subject put into ch. What finds no place there is lost
// and counted.
func (l *link) subscribe(subject string, ch chan *nats.Msg) (*nats.Subscription, error) {
	return l.conn.ChanSubscribe(subject, ch)
}

// flush returns when the server has taken in what was sent and subscribed so far.
func (l *link) flush(ctx context.Context) error { return l.conn.FlushWithContext(ctx) }

// denied returns ErrRefused if the server does not let this node do what it has tried so
// far. Of a server that is not there nobody knows.
func (l *link) denied() error {
	if !l.up() || l.conn.FlushTimeout(connectTimeout) != nil {
		return nil
	}
	if err := l.conn.LastError(); errors.Is(err, nats.ErrPermissionViolation) {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return nil
}

func (l *link) close() { l.conn.Close() }
