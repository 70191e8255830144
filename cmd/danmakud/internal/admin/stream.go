package admin

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

const (
	streamQueue    = 64               // batches that wait for a slow stream
	heartbeatEvery = 15 * time.Second // so that proxies and the client know it lives
	streamPatience = 10 * time.Second // for one write
	exportPatience = 30 * time.Second
)

// streamRoom sends a room's batches until the caller goes, its key is withdrawn or
// the server stops.
func streamRoom(a *API, w http.ResponseWriter, q *request) error {
	ctx, cancel := context.WithCancel(q.Context())
	defer cancel()
	s := &stream{w: w, batches: make(chan []byte, streamQueue)}
	ended := make(chan error, 1)
	go func() {
		ended <- a.backend.Watch(ctx, q.name("room"), func(payload []byte) {
			if !s.offer(payload) {
				a.counts.dropped.Add(1)
			}
		})
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // proxies must pass on what comes
	end := func() error {                     // after which f is not called again
		cancel()
		return <-ended
	}
	beat := time.NewTicker(heartbeatEvery)
	defer beat.Stop()
	for {
		select {
		case payload := <-s.batches:
			if s.write(eventOf(payload)) != nil { // the caller has gone
				return end()
			}
		case <-beat.C:
			if !a.keys.Load().holds(q.by, Reader) || s.write(": alive\n\n") != nil {
				return end()
			}
		case err := <-ended:
			return err
		case <-a.closed:
			return end()
		}
	}
}

// stream is one that is under way.
type stream struct {
	w       http.ResponseWriter
	batches chan []byte
	dropped atomic.Uint64 // since the caller was last told
}

// offer takes a payload that may not be kept, or counts it as dropped.
func (s *stream) offer(payload []byte) bool {
	select {
	case s.batches <- bytes.Clone(payload):
		return true
	default:
		s.dropped.Add(1)
		return false
	}
}

// write writes and flushes, for as long as one write may last.
func (s *stream) write(event string) error {
	if n := s.dropped.Swap(0); n > 0 {
		event = fmt.Sprintf("event: dropped\ndata: {\"batches\":%d}\n\n", n) + event
	}
	c := http.NewResponseController(s.w)
	c.SetWriteDeadline(time.Now().Add(streamPatience)) // a recorder in a test has none
	if _, err := s.w.Write([]byte(event)); err != nil {
		return err
	}
	return c.Flush()
}

// eventOf is a batch as a server-sent event, nil the sign that the stream is live.
// JSON as we write it has no line ends.
func eventOf(payload []byte) string {
	if payload == nil {
		return ": live\n\n"
	}
	return "event: batch\ndata: " + strings.ReplaceAll(string(payload), "\n", " ") + "\n\n"
}

// exportTypes are the media types of the formats.
var exportTypes = map[string]string{
	"xml": "application/xml; charset=utf-8", "ass": "text/x-ssa; charset=utf-8", "ndjson": "application/x-ndjson",
}

// exportRoom sends what is archived of a room.
func exportRoom(a *API, w http.ResponseWriter, q *request) error {
	format, name := q.text("format"), q.name("room")
	from, to := q.moment("from"), q.moment("to")
	if !from.IsZero() && !to.IsZero() && to.Before(from) {
		return invalid("to", "is before from")
	}
	if to.IsZero() {
		to = a.now()
	}
	w.Header().Set("Content-Type", exportTypes[format])
	w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", strings.ReplaceAll(name, ":", "_")+"."+format))
	ctx, cancel := context.WithCancel(q.Context())
	defer cancel()
	go func() { // a server that stops does not wait for the end of an archive
		select {
		case <-a.closed:
			cancel()
		case <-ctx.Done():
		}
	}()
	return a.backend.Export(ctx, &patient{w, http.NewResponseController(w)}, name, format, from, to)
}

// patient gives each write its time, so that a caller who takes nothing is let go.
type patient struct {
	http.ResponseWriter
	control *http.ResponseController
}

func (p *patient) Write(b []byte) (int, error) {
	p.control.SetWriteDeadline(time.Now().Add(exportPatience)) // a recorder in a test has none
	return p.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController find what is below.
func (p *patient) Unwrap() http.ResponseWriter { return p.ResponseWriter }
