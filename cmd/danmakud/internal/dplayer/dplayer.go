// Package dplayer serves archived comments to DPlayer and to players that know
// version 3 of its API:
//
//	GET /dplayer/v3/?id=ROOM&max=N  ─►  {"code":0,"data":[[time,type,color,author,text],…]}
//
// The time is in seconds from the start of the stream, which the player's video
// begins with: &from= says when that was, in Unix milliseconds; without it the first
// comment that is kept begins. &to= ends it.
//
// DPlayer makes HTML of what it gets, so author and text are escaped here: this is
// the only place of the server that writes for such a reader.
package dplayer

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/archive"
	"github.com/danmakud/danmakud/room"
)

// Path is where the API is served.
const Path = "/dplayer/v3/"

const (
	// countDefault and countMax bound the comments of one answer. A player draws
	// each as an element of the page.
	countDefault, countMax = 1000, 5000
	// readTime bounds how long an answer is worked at.
	readTime = 20 * time.Second
)

// Source is an archive.
type Source interface {
	// Sample is [archive.Archive.Sample].
	Sample(ctx context.Context, room string, from, to time.Time, n int) ([]archive.Comment, int64, error)
}

// Options is what a Handler is made with. All are needed.
type Options struct {
	Source Source
	// Origin reports whether pages of that origin may read from this host.
	Origin func(origin, host string) bool
	// Admit reports why who asks may not watch a room: an HTTP status and words for
	// people; 0 = it may. It may block for as long as the request's context lasts.
	Admit func(r *http.Request, room string) (status int, why string)
	Log   *slog.Logger
}

// Handler answers requests. Any goroutine.
type Handler struct {
	Options
	answers *answers
}

// New makes a handler that serves the API at Path.
func New(o Options) *Handler { return &Handler{Options: o, answers: newAnswers()} }

// Refused returns how many requests were put off because too many answers were
// being made.
func (h *Handler) Refused() uint64 { return h.answers.refused.Load() }

// Codes of answers besides 0, which means that all is well. Players show the
// message for any other.
const (
	codeRequest = 1 // the request is wrong, or not for this server
	codeLater   = 2 // it may work later
)

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Type", "application/json; charset=utf-8")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	header.Add("Vary", "Origin")
	if origin := r.Header.Get("Origin"); origin != "" {
		if !h.Origin(origin, r.Host) {
			refuse(w, http.StatusForbidden, codeRequest, "pages of this origin may not read here")
			return
		}
		header.Set("Access-Control-Allow-Origin", origin)
	}
	switch {
	case r.URL.Path != Path && r.URL.Path != strings.TrimSuffix(Path, "/"):
		refuse(w, http.StatusNotFound, codeRequest, "the API is at "+Path)
	case r.Method == http.MethodOptions: // some versions send a Content-Type that a browser asks about first
		header.Set("Access-Control-Allow-Methods", "GET, POST")
		header.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
		header.Set("Access-Control-Max-Age", "86400")
		w.WriteHeader(http.StatusNoContent)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		header.Set("Allow", "GET, HEAD, OPTIONS")
		refuse(w, http.StatusMethodNotAllowed, codeRequest, "this is a replay: comments are sent over the live connection")
	default:
		h.answer(w, r)
	}
}

// answer serves a GET.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request) {
	q, problem := readQuery(r)
	if problem != "" {
		refuse(w, http.StatusBadRequest, codeRequest, problem)
		return
	}
	if status, why := h.Admit(r, q.room); status != 0 {
		code := codeRequest
		if status == http.StatusServiceUnavailable {
			code = codeLater
			w.Header().Set("Retry-After", "5")
		}
		refuse(w, status, code, why)
		return
	}
	body, err := h.answers.get(r.Context(), q, func() ([]byte, error) { return h.make(q) })
	switch {
	case err == nil:
		// A cache shared by others would not ask who they are.
		w.Header().Set("Cache-Control", "private, max-age="+strconv.Itoa(int(fresh.Seconds())))
		w.Write(body) // an error here is the client's, who has gone
	case errors.Is(err, archive.ErrTooMuch):
		refuse(w, http.StatusBadRequest, codeRequest, "too long ago or too much: say &from= and &to= in Unix milliseconds")
	default: // what is wrong with the disk is not for the public
		if !errors.Is(err, errBusy) && !errors.Is(err, archive.ErrBusy) && r.Context().Err() == nil {
			h.Log.Warn("replay cannot be read", "room", q.room, "error", err)
		}
		w.Header().Set("Retry-After", "2")
		refuse(w, http.StatusServiceUnavailable, codeLater, "the replay cannot be read at present; try again later")
	}
}

// query is what was asked for.
type query struct {
	room     string
	from, to int64 // Unix milliseconds; 0 = no bound
	count    int
}

// timeMax is a time that is far enough, the year 9999, in Unix milliseconds.
const timeMax = 253402300799000

// readQuery reads the request's parameters or says what is wrong with them.
func readQuery(r *http.Request) (q query, problem string) {
	values := r.URL.Query()
	q = query{room: values.Get("id"), count: countDefault}
	if !room.ValidName(q.room) {
		return q, "id is the name of a room: 1 to 64 of A-Z a-z 0-9 _ . : -"
	}
	if text := values.Get("max"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return q, "max is a number of comments"
		}
		q.count = min(n, countMax)
	}
	for name, p := range map[string]*int64{"from": &q.from, "to": &q.to} {
		text := values.Get(name)
		if text == "" {
			continue
		}
		ms, err := strconv.ParseInt(text, 10, 64)
		if err != nil || ms < 1 || ms > timeMax {
			return q, name + " is a time in Unix milliseconds"
		}
		*p = ms
	}
	return q, ""
}

// reply is an answer as the API has it.
type reply struct {
	Code int     `json:"code"`
	Data [][]any `json:"data"`
}

// make reads the archive. A room of which nothing is kept has no comments.
func (h *Handler) make(q query) ([]byte, error) {
	// Not the request's context: others may wait for the same answer.
	ctx, cancel := context.WithTimeout(context.Background(), readTime)
	defer cancel()
	chosen, start, err := h.Source.Sample(ctx, q.room, unixMilli(q.from), unixMilli(q.to), q.count)
	if err != nil && !errors.Is(err, archive.ErrNoRoom) {
		return nil, err
	}
	answer := reply{Data: make([][]any, len(chosen))}
	for i := range chosen {
		c := &chosen[i]
		answer.Data[i] = []any{
			float64(c.Time-start) / 1000, number(c.Mode), c.Color, escape(c.Sender()), escape(c.Shown()),
		}
	}
	return json.Marshal(answer)
}

func unixMilli(ms int64) (t time.Time) {
	if ms != 0 {
		t = time.UnixMilli(ms)
	}
	return t
}

// number is a mode as the API has it. It has no other way than from the right.
func number(mode string) int {
	switch mode {
	case "top":
		return 1
	case "bottom":
		return 2
	default:
		return 0
	}
}

// escaper takes what has a meaning in HTML, in text and in attributes.
var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#x27;", "/", "&#x2f;", "`", "&#x60;")

func escape(s string) string { return escaper.Replace(s) }

// refuse answers with an error, which players show.
func refuse(w http.ResponseWriter, status, code int, message string) {
	body, _ := json.Marshal(struct {
		Code    int    `json:"code"`
		Message string `json:"msg"`
	}{code, message}) // numbers and text: no error
	w.WriteHeader(status)
	w.Write(body)
}
