package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/danmakud/danmakud/poller"
)

// controlName is the name of the inherited socket for the control listener
// (systemd: FileDescriptorName=control).
const controlName = "control"

// sockets are those that whoever started us has opened for us.
type sockets struct {
	public  []*os.File
	control *os.File // nil: none
}

// sortInherited tells them apart by their names. After an error all are closed.
func sortInherited(files []*os.File) (s sockets, err error) {
	for _, f := range files {
		switch {
		case f.Name() != controlName:
			s.public = append(s.public, f)
		case s.control == nil:
			s.control = f
		default:
			err = fmt.Errorf("two inherited sockets have the name %q", controlName)
		}
	}
	if err != nil {
		for _, f := range files {
			f.Close()
		}
		return sockets{}, err
	}
	return s, nil
}

// close closes our handles; what was made of the sockets goes on.
func (s sockets) close() {
	for _, f := range s.public {
		f.Close()
	}
	if s.control != nil {
		s.control.Close()
	}
}

// listenControl opens the control listener, or takes the inherited one. It
// returns nil when there is to be none.
func (s *Server) listenControl(inherited *os.File) (net.Listener, error) {
	c := s.settings()
	if inherited != nil {
		ln, err := inheritControl(inherited)
		if err != nil {
			return nil, fmt.Errorf("inherited file %q: %w", inherited.Name(), err)
		}
		return ln, nil
	}
	if c.Control == "" {
		return nil, nil
	}
	var config net.ListenConfig
	if c.ReusePort {
		config.Control = poller.ReusePort
	}
	return config.Listen(context.Background(), "tcp", c.Control)
}

func inheritControl(f *os.File) (net.Listener, error) {
	if _, err := poller.ListeningAddr(f); err != nil {
		return nil, err
	}
	ln, err := net.FileListener(f)
	if u, ok := ln.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // the file is not ours
	}
	return ln, err
}

// closeControlEarly ends the control listener of a process whose successor is to
// answer on the same port. Without --reuse-port it stays for those who watch the
// drain.
func (s *Server) closeControlEarly() {
	if s.control == nil || !s.settings().ReusePort {
		return
	}
	if err := s.controlListener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		s.log.Warn("control listener not closed", "error", err)
	}
}
