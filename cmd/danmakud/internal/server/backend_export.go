package server

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/admin"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/archive"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
)

// openArchive begins to write down what is said, if that is wanted.
func (s *Server) openArchive(c *config.Config) (err error) {
	if c.Archive == "" {
		return nil
	}
	s.archive, err = archive.Open(archive.Options{
		Dir: c.Archive, FileSize: c.ArchiveSize, KeepAge: c.ArchiveKeep, KeepSize: c.ArchiveTotal, Log: s.log,
	})
	return err
}

// closeArchive writes down what is left. Nothing is sealed any more.
func (s *Server) closeArchive() {
	if s.archive == nil {
		return
	}
	if err := s.archive.Close(); err != nil {
		s.log.Error("archive not complete", "error", err)
	}
}

// Export writes the archived comments of a room. Before the first byte the error may
// be admin.ErrOff, admin.ErrNoRoom or admin.ErrBusy.
func (s *Server) Export(ctx context.Context, w http.ResponseWriter, name, format string, from, to time.Time) error {
	if s.archive == nil {
		return admin.ErrOff
	}
	if contentType, ok := archive.ContentType(format); ok {
		w.Header().Set("Content-Type", contentType)
	}
	err := s.archive.Export(ctx, w, name, format, from, to)
	switch {
	case errors.Is(err, archive.ErrNoRoom):
		return admin.ErrNoRoom
	case errors.Is(err, archive.ErrBusy):
		return admin.ErrBusy
	}
	return err
}
