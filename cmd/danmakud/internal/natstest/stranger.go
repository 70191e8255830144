package natstest

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// Stranger is somebody on the bus who is no node. One goroutine at a time.
type Stranger struct {
	t    testing.TB
	conn *nats.Conn
}

// Stranger connects one, which goes with the test. The server must be open to all.
func (s *Server) Stranger() *Stranger {
	s.t.Helper()
	x := &Stranger{t: s.t}
	err := s.where(func() (err error) {
		x.conn, err = nats.Connect(s.URL(), nats.Timeout(patience), nats.NoReconnect())
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(x.conn.Close)
	return x
}

// Say publishes messages on a subject, and returns when the server has them.
func (x *Stranger) Say(subject string, messages ...[]byte) {
	x.t.Helper()
	for _, p := range messages {
		if err := x.conn.Publish(subject, p); err != nil {
			x.t.Fatal(err)
		}
	}
	if err := x.conn.FlushTimeout(patience); err != nil {
		x.t.Fatal(err)
	}
}

// Ask publishes a message with an answer expected, and returns that; nil if none came in
// time.
func (x *Stranger) Ask(subject string, message []byte, wait time.Duration) []byte {
	m, err := x.conn.Request(subject, message, wait)
	if err != nil {
		return nil
	}
	return m.Data
}

// Overheard is what a stranger hears of a subject.
type Overheard struct {
	t   testing.TB
	sub *nats.Subscription
}

// Overhear begins to hear a subject, which may have wildcards, and returns when the
// server knows.
func (x *Stranger) Overhear(subject string) *Overheard {
	x.t.Helper()
	sub, err := x.conn.SubscribeSync(subject)
	if err == nil {
		err = x.conn.FlushTimeout(patience)
	}
	if err != nil {
		x.t.Fatal(err)
	}
	return &Overheard{x.t, sub}
}

// Next waits for a message. The test fails if none comes.
func (o *Overheard) Next() (subject string, message []byte) {
	o.t.Helper()
	m, err := o.sub.NextMsg(patience)
	if err != nil {
		o.t.Fatal(err)
	}
	return m.Subject, m.Data
}
