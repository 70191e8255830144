package conformance

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// chopPause lets a write leave as a segment of its own before the next.
const chopPause = 300 * time.Microsecond

// linger is how long a server under test waits for the client's FIN at least. A
// client that was stopped for longer can not tell a reset in time from a late one.
const linger = 2 * time.Second

// Dial runs the case against a server. path is the target of its handshake;
// patience only keeps a hang from lasting.
func (c *Case) Dial(address, path string, on Target, patience time.Duration) error {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	d := dialogue{conn: conn, chop: c.Chop, reader: reader{deflate: c.Deflate, bits: c.window(), pastText: on == Serve}}
	if err := d.write(c.request(path)); err != nil {
		return err
	}
	for {
		status, fields, ok, err := d.reader.response()
		if err != nil {
			return err
		}
		if ok {
			if err := c.checkResponse(status, fields); err != nil {
				return err
			}
			break
		}
		if err := d.read(); err != nil {
			return fmt.Errorf("response: %w after %q", err, d.reader.p)
		}
	}
	steps := c.ending()
	if c.Hangup && len(steps) == 0 {
		steps = []Step{{}}
	}
	for i, step := range steps {
		if err := d.step(step, c.Hangup && i == len(steps)-1); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	return d.end()
}

// dialogue is a client's end of a connection.
type dialogue struct {
	conn   net.Conn
	chop   int
	reader reader
	begun  time.Time // when the last step began: the server had not closed before
	hungup bool      // the client's side is shut down
	buffer [64 << 10]byte
}

// write sends in pieces of chop bytes.
func (d *dialogue) write(p []byte) error {
	d.begun = time.Now()
	for d.chop > 0 && len(p) > d.chop {
		if _, err := d.conn.Write(p[:d.chop]); err != nil {
			return err
		}
		time.Sleep(chopPause)
		p = p[d.chop:]
	}
	_, err := d.conn.Write(p)
	return err
}

// read adds what has come to what the reader has.
func (d *dialogue) read() error {
	n, err := d.conn.Read(d.buffer[:])
	d.reader.p = append(d.reader.p, d.buffer[:n]...)
	if n > 0 {
		return nil
	}
	return err
}

// step sends while it reads, since neither side may wait for the other.
func (d *dialogue) step(s Step, hangup bool) error {
	written := make(chan error, 1)
	d.hungup = hangup
	go func() {
		err := d.write(s.Send)
		if err == nil && hangup {
			err = d.conn.(*net.TCPConn).CloseWrite()
		}
		written <- err
	}()
	for _, want := range s.Want {
		f, err := d.frame()
		if err == nil {
			err = check(f, want)
		}
		if err != nil {
			d.conn.Close() // ends the writing, too
			<-written
			return fmt.Errorf("want %v: %w", want, err)
		}
	}
	err := <-written
	if len(s.Want) == 0 {
		time.Sleep(chopPause) // what follows is another read of the server's
	}
	return err
}

// frame waits for the next frame that counts.
func (d *dialogue) frame() (Frame, error) {
	for {
		f, ok, err := d.reader.frame()
		switch {
		case err != nil:
			return f, err
		case !ok:
			if err := d.read(); err != nil {
				return f, fmt.Errorf("%w after %x", err, d.reader.p[:min(64, len(d.reader.p))])
			}
		case d.reader.pastText && f.Op == opText:
		default:
			return f, nil
		}
	}
}

// end wants the end of the stream, not a reset, and nothing before it. Only then
// the client closes: "the server MUST close the underlying TCP connection first",
// RFC 6455 section 7.1.1. Until it has, the server must go on reading: had it
// closed both directions, what the client still says would be answered with a
// reset, which could have overtaken its last words.
func (d *dialogue) end() error {
	for {
		if _, ok, err := d.reader.frame(); err != nil || ok {
			return errors.Join(errors.New("a frame after the end"), err)
		}
		err := d.read()
		if errors.Is(err, io.EOF) && len(d.reader.p) == 0 {
			if d.hungup {
				return nil
			}
			for range 2 { // a reset that the first calls forth fails the second
				if _, err := d.conn.Write([]byte("late")); err != nil && time.Since(d.begun) < linger {
					return fmt.Errorf("reset: %w", err)
				}
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("unclean end: %w, %d bytes left", err, len(d.reader.p))
		}
	}
}
