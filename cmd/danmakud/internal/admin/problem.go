package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strconv"
	"syscall"

	"github.com/danmakud/danmakud/room"
)

// problem is an RFC 9457 problem document. It is the error of everything between a
// request and its answer.
type problem struct {
	Title  string `json:"title" doc:"the status in words"`
	Status int    `json:"status" doc:"the HTTP status"`
	Detail string `json:"detail" doc:"what is wrong, for people"`
	// Field is where in the body or query.
	Field string `json:"field,omitempty" doc:"the member of the body, or the parameter, that is wrong"`
	// Published is what was done before it went wrong.
	Published []Published `json:"published,omitempty" doc:"comments that were published before it went wrong"`

	retry  int // seconds of Retry-After; 0 = none
	header http.Header
}

func (p *problem) Error() string { return p.Detail }

func problemf(status int, format string, args ...any) *problem {
	return &problem{Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(format, args...)}
}

// invalid says that a member of the body or a parameter cannot be used.
func invalid(field, format string, args ...any) *problem {
	p := problemf(http.StatusBadRequest, format, args...)
	if p.Field = field; field != "" {
		p.Detail = field + ": " + p.Detail
	}
	return p
}

// busy asks to come again in some seconds.
func busy(seconds int, format string, args ...any) *problem {
	p := problemf(http.StatusServiceUnavailable, format, args...)
	p.retry = seconds
	return p
}

// asProblem is what a handler's error means for the caller. A Backend's errors say
// what is wrong with the request, except those that are known to mean something else.
func (a *API) asProblem(err error) *problem {
	var p *problem
	var path *fs.PathError
	var errno syscall.Errno
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, ErrNoRoom), errors.Is(err, ErrNoComment), errors.Is(err, ErrNoViewer), errors.Is(err, ErrNotFound):
		return problemf(http.StatusNotFound, "%v", err)
	case errors.Is(err, ErrBusy), errors.Is(err, room.ErrFull), errors.Is(err, room.ErrRoomsFull), errors.Is(err, room.ErrGone):
		return busy(1, "%v", err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return busy(1, "the server did not get to it in time; it may be done in part")
	case errors.Is(err, ErrOff):
		return problemf(http.StatusNotImplemented, "%v", err)
	case errors.As(err, &path), errors.As(err, &errno):
		a.log.Error("control API: request failed", "error", err)
		return problemf(http.StatusInternalServerError, "the server could not do it; its log says why")
	}
	return problemf(http.StatusBadRequest, "%v", err)
}

// reply is a whole answer, which can be given more than once.
type reply struct {
	status int
	header http.Header // besides those that all have
	body   []byte      // JSON, or empty
}

func (p *problem) reply() reply {
	header := http.Header{"Content-Type": {"application/problem+json"}}
	for name, values := range p.header {
		header[name] = values
	}
	if p.retry > 0 {
		header.Set("Retry-After", strconv.Itoa(p.retry))
	}
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // it is strings and numbers
	}
	return reply{p.Status, header, append(body, '\n')}
}

func (r reply) write(w http.ResponseWriter) {
	for name, values := range r.header {
		w.Header()[name] = values
	}
	w.WriteHeader(r.status)
	w.Write(r.body) // an error here is the client's, who has gone
}
