package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/token"
	"github.com/danmakud/danmakud/room"
)

const (
	// asksMost viewers wait to be asked about, asksAtOnce are: with a site that takes
	// 5 ms 12,800 a second.
	asksMost, asksAtOnce = 4096, 64
	// answerMax bounds an answer, messageMax what of its message is shown, in bytes.
	answerMax, messageMax = 16 << 10, 200
)

// question is what the site is asked about a viewer.
type question struct {
	Room      string    `json:"room"`
	User      string    `json:"user,omitempty"` // by the token; without one it is a guest
	Name      string    `json:"name,omitempty"`
	Role      room.Role `json:"role"`
	Address   string    `json:"address,omitempty"`
	Origin    string    `json:"origin,omitempty"`
	UserAgent string    `json:"user_agent,omitempty"`

	until time.Time // when the answer is too late
}

// outcome is how a question ended.
type outcome uint8

const (
	outcomeAllowed outcome = iota
	outcomeDenied
	outcomeError   // no connection, another status, or no answer that can be understood
	outcomeTimeout // also of those that never got their turn
	outcomeFull    // no place in the queue: not asked
	outcomes       // how many there are
)

var outcomeNames = [outcomes]string{"allowed", "denied", "error", "timeout", "full"}

// answer is what came of a question. All but outcome is the site's wish; empty
// leaves what the token says.
type answer struct {
	outcome    outcome
	message    string // outcomeDenied: for the viewer
	user, name string
	role       *room.Role
	rooms      []string
}

// callback asks the site about viewers, on goroutines of its own.
type callback struct {
	// Fixed after construction.
	settings func() *config.Config
	log      *slog.Logger
	client   *http.Client
	pool     *errands
	stopping context.Context
	stop     context.CancelFunc

	// Atomic; any goroutine.
	count [outcomes]atomic.Uint64
	gone  atomic.Uint64 // viewers who had left when the answer came
}

func newCallback(s *Server) *callback {
	c := &callback{settings: s.settings, log: s.log, pool: newErrands("connect", asksAtOnce, asksMost, s.log)}
	c.stopping, c.stop = context.WithCancel(context.Background())
	c.client = &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, MaxConnsPerHost: asksAtOnce, MaxIdleConnsPerHost: asksAtOnce, IdleConnTimeout: 90 * time.Second,
		},
		// A question is not to be sent elsewhere, and hardly by GET.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c
}

// close gives up what is under way.
func (c *callback) close() {
	c.stop()
	c.pool.close()
	c.client.CloseIdleConnections()
}

// put has q asked and tell called with the answer, on another goroutine. It reports
// false, and nothing is called, if too many wait. Any goroutine; it never blocks.
func (c *callback) put(q *question, tell func(answer)) bool {
	put := c.pool.do(func() {
		a, err := c.ask(q)
		switch {
		case err == nil:
		case errors.Is(err, context.DeadlineExceeded):
			a.outcome = outcomeTimeout
		default:
			a.outcome = outcomeError
		}
		if err != nil && c.stopping.Err() == nil {
			c.log.Warn("connect callback without an answer", "error", err)
		}
		c.count[a.outcome].Add(1)
		tell(a)
	})
	if !put {
		c.count[outcomeFull].Add(1)
	}
	return put
}

// ask is the HTTP of it.
func (c *callback) ask(q *question) (a answer, err error) {
	ctx, cancel := context.WithDeadline(c.stopping, q.until)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return a, fmt.Errorf("waited too long for its turn: %w", err)
	}
	body, err := json.Marshal(q)
	if err != nil {
		return a, err
	}
	settings := c.settings()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, settings.ConnectURL, bytes.NewReader(body))
	if err != nil {
		return a, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "danmakud")
	if settings.ConnectSecret != "" {
		r.Header.Set("Authorization", "Bearer "+settings.ConnectSecret)
	}
	got, err := c.client.Do(r)
	if err != nil {
		return a, err
	}
	defer got.Body.Close()
	text, err := io.ReadAll(io.LimitReader(got.Body, answerMax+1))
	switch {
	case err != nil:
		return a, err
	case got.StatusCode != http.StatusOK:
		return a, fmt.Errorf("status %d instead of 200", got.StatusCode)
	case len(text) > answerMax:
		return a, fmt.Errorf("the answer has more than %d bytes", answerMax)
	}
	return parseAnswer(text)
}

// parseAnswer reads what the site says. Nobody is let in by an answer that is only
// half understood.
func parseAnswer(text []byte) (a answer, err error) {
	var said struct {
		Allow   *bool      `json:"allow"`
		User    string     `json:"user"`
		Name    string     `json:"name"`
		Role    *room.Role `json:"role"`
		Rooms   []string   `json:"rooms"`
		Message string     `json:"message"`
	}
	if err := json.Unmarshal(text, &said); err != nil {
		return a, fmt.Errorf("the answer is not understood: %w", err)
	}
	switch {
	case said.Allow == nil:
		return a, errors.New("the answer does not say allow")
	case !*said.Allow:
		return answer{outcome: outcomeDenied, message: deniedText(said.Message)}, nil
	case said.User != "" && !token.ValidUser(said.User):
		return a, fmt.Errorf("the answer's user: %s", token.ErrUser.Text)
	case !token.ValidName(said.Name):
		return a, fmt.Errorf("the answer's name: %s", token.ErrName.Text)
	case !token.ValidRooms(said.Rooms):
		return a, fmt.Errorf("the answer's rooms: %s", token.ErrRooms.Text)
	}
	return answer{user: said.User, name: token.CutName(said.Name), role: said.Role, rooms: said.Rooms}, nil
}

// deniedText is what a viewer reads who is not let in.
func deniedText(message string) string {
	if message == "" {
		return "the site does not let you in"
	}
	if len(message) <= messageMax {
		return message
	}
	end := messageMax
	for !utf8.RuneStart(message[end]) {
		end--
	}
	return message[:end]
}
