// Package danmaku is a client of danmakud's native protocol: a viewer of one room
// that speaks, listens, and comes back when its connection is lost.
//
//	viewer, err := danmaku.Join(ctx, "wss://live.example", "lobby", danmaku.Options{})
//	for event := range viewer.Events() { … }
//
// A lost connection resumes where it was: no batch is missing, and none comes
// twice, within what the server keeps; beyond it a Gap tells. Two goroutines and
// one timer are behind a Viewer; when its context ends or it is closed, nothing is.
package danmaku

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

const (
	eventsMax  = 1_024   // that wait; then the oldest give way
	pendingMax = 64      // comments that wait for their answer
	messageMax = 8 << 20 // bytes of one message
	idsKept    = 4_000   // comments recognised when they come again
)

// Options of a Viewer. The zero value is a guest.
type Options struct {
	Token   string                                // who we are
	Tokens  func(context.Context) (string, error) // in its place: asked before each connection
	History int                                   // comments of before to ask for; 0 is none
	Backoff Backoff
	HTTP    *http.Client // for the handshake; nil is http.DefaultClient

	pace pace // tests are quicker
}

// pace says how long something may take.
type pace struct {
	welcome, ping, pong, write, leave time.Duration
}

// Look is how a comment is shown. The zero value is white, medium, and scrolls.
type Look struct {
	Color int    // 24-bit RGB; 0 is white, and 1 as good as black
	Mode  string // top, bottom, reverse
	Size  string // small, large
}

// Viewer is one viewer of one room. All methods may be called by any goroutine.
type Viewer struct {
	options Options
	address *url.URL
	events  chan Event
	dropped atomic.Int64
	end     context.CancelFunc
	done    chan struct{} // closed when nothing is behind it any more
	err     error         // read after done
	joined  chan struct{} // closed by the first welcome

	// Of the goroutine that runs it.
	epoch     string
	seq       uint64
	after     string          // greatest id of a comment, for servers of which several share the room
	host      string          // by goodbye: where to try next
	seen, old map[string]bool // ids of comments, two generations
	asked     time.Duration   // by goodbye

	mu      sync.Mutex
	conn    *websocket.Conn // nil while there is none
	pending map[string]chan answer
	refs    int
}

// Join makes a viewer of a room and waits for its first welcome; while the server
// cannot be reached, it tries again. server is an address like wss://live.example,
// with a path if it is below one. The end of ctx is the end of the Viewer.
func Join(ctx context.Context, server, room string, options Options) (*Viewer, error) {
	address, err := url.Parse(server)
	if err != nil {
		return nil, err
	}
	address = address.JoinPath("ws", room)
	options.Backoff = options.Backoff.withDefaults()
	if options.pace == (pace{}) {
		options.pace = pace{welcome: 10 * time.Second, ping: 15 * time.Second, pong: 10 * time.Second, write: 10 * time.Second, leave: time.Second}
	}
	ctx, end := context.WithCancel(ctx)
	v := &Viewer{
		options: options, address: address, events: make(chan Event, eventsMax), end: end,
		done: make(chan struct{}), joined: make(chan struct{}), seen: map[string]bool{}, pending: map[string]chan answer{},
	}
	go v.run(ctx)
	select {
	case <-v.joined:
		return v, nil
	case <-v.done:
		return nil, v.err
	}
}

// Events returns what the Viewer tells, in order; it is closed when the Viewer has
// ended. Of what nobody takes 1,024 wait, then the oldest are dropped.
func (v *Viewer) Events() <-chan Event { return v.events }

// Dropped returns how many events gave way since nobody took them.
func (v *Viewer) Dropped() int64 { return v.dropped.Load() }

// Close ends the Viewer and waits until nothing is behind it.
func (v *Viewer) Close() {
	v.end()
	<-v.done
}

// Err returns why the Viewer has ended, and nil while it has not: the error of its
// context, or an *Error for what trying again cannot help, like a ban.
func (v *Viewer) Err() error {
	select {
	case <-v.done:
		return v.err
	default:
		return nil
	}
}

// Send says something and waits for the answer: the id of the comment, or "" while
// a moderator looks at it. A refusal is an *Error; nothing is sent again by itself.
func (v *Viewer) Send(ctx context.Context, text string, look Look) (id string, err error) {
	c := command{Type: "comment", Text: text, Color: look.Color, Mode: look.Mode, Size: look.Size}
	reply := make(chan answer, 1)
	conn, err := v.expect(&c, reply)
	if err != nil {
		return "", err
	}
	defer v.forget(c.Ref)
	if err := v.write(conn, c); err != nil {
		return "", &Error{Code: "disconnected", Message: err.Error(), Sent: true}
	}
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case a, ok := <-reply:
		if !ok {
			return "", &Error{Code: "disconnected", Message: "the connection was lost before the server answered", Sent: true}
		}
		if a.Code != "" {
			return "", &Error{Code: a.Code, Message: a.Message, RetryAfter: time.Duration(a.RetryAfterMS) * time.Millisecond}
		}
		return a.ID, nil
	}
}

// Like likes the room, count times. No answer comes.
func (v *Viewer) Like(count int) error {
	v.mu.Lock()
	conn := v.conn
	v.mu.Unlock()
	if conn == nil {
		return errAway
	}
	return v.write(conn, command{Type: "like", Count: count})
}

var errAway = &Error{Code: "disconnected", Message: "there is no connection at the moment"}

// expect enters a command whose answer goes to reply; a lost connection closes it.
func (v *Viewer) expect(c *command, reply chan answer) (*websocket.Conn, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.conn == nil {
		return nil, errAway
	}
	if len(v.pending) >= pendingMax {
		return nil, &Error{Code: "busy", Message: "too many comments wait for their answer"}
	}
	v.refs++
	c.Ref = "r" + strconv.Itoa(v.refs)
	v.pending[c.Ref] = reply
	return v.conn, nil
}

func (v *Viewer) forget(ref string) {
	v.mu.Lock()
	delete(v.pending, ref)
	v.mu.Unlock()
}

// write has a deadline of its own: one that ends within a frame ends the connection.
func (v *Viewer) write(conn *websocket.Conn, c command) error {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), v.options.pace.write)
	defer cancel()
	return conn.Write(ctx, websocket.MessageText, text)
}

// run is the Viewer's goroutine: one connection after the other.
func (v *Viewer) run(ctx context.Context) {
	defer close(v.done)
	defer close(v.events)
	defer v.end()
	failures := 0
	for {
		welcomed, response, err := v.visit(ctx)
		if ctx.Err() != nil {
			v.err = ctx.Err()
			return
		}
		if !welcomed.IsZero() && time.Since(welcomed) >= v.options.Backoff.Stable {
			failures = 0
		}
		verdict := judge(err, response, v.options.Tokens != nil)
		if verdict.final {
			v.err = &Error{Code: "stopped", Message: err.Error()}
			return
		}
		wait := v.options.Backoff.wait(failures, max(verdict.asked, v.asked), verdict.floor, rand.Float64())
		failures++
		v.tell(&Lost{Err: err, Wait: wait})
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// visit is one connection, from its handshake to its end. It returns when the
// welcome came, if it did, and the answer to a handshake that was refused.
func (v *Viewer) visit(ctx context.Context) (welcomed time.Time, refused *http.Response, err error) {
	v.asked = 0
	conn, refused, err := v.dial(ctx)
	if err != nil {
		return welcomed, refused, err
	}
	defer conn.CloseNow()
	conn.SetReadLimit(messageMax)
	// Not the end of ctx but what beat makes of it ends the read below.
	alive, gone := context.WithCancel(context.WithoutCancel(ctx))
	var beats sync.WaitGroup
	defer beats.Wait()
	defer gone()
	beats.Go(func() { v.beat(ctx, alive, gone, conn) })
	guard := time.AfterFunc(v.options.pace.welcome, gone)
	defer guard.Stop()
	defer v.left()
	for {
		_, text, err := conn.Read(alive)
		if err != nil {
			return welcomed, nil, err
		}
		if welcomed.IsZero() {
			if err := v.enter(conn, text); err != nil {
				return welcomed, nil, err
			}
			guard.Stop()
			welcomed = time.Now()
			continue
		}
		v.take(text)
	}
}

func (v *Viewer) dial(ctx context.Context) (*websocket.Conn, *http.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, v.options.pace.welcome)
	defer cancel()
	token := v.options.Token
	if v.options.Tokens != nil {
		var err error
		if token, err = v.options.Tokens(ctx); err != nil {
			return nil, nil, fmt.Errorf("no token: %w", err)
		}
	}
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	address := *v.address
	query := address.Query()
	query.Set("history", strconv.Itoa(v.options.History))
	if v.epoch != "" {
		query.Set("since", strconv.FormatUint(v.seq, 10))
		query.Set("epoch", v.epoch)
		if v.after != "" {
			query.Set("after", v.after)
		}
	}
	if v.host != "" { // once: who is not there either is no better than the one we know
		address.Host, v.host = v.host, ""
	}
	address.RawQuery = query.Encode()
	conn, response, err := websocket.Dial(ctx, address.String(), &websocket.DialOptions{
		HTTPClient: v.options.HTTP, HTTPHeader: header, Subprotocols: []string{"danmaku.v1.json"},
		CompressionMode: websocket.CompressionNoContextTakeover,
	})
	if err != nil && response != nil && response.StatusCode == http.StatusSwitchingProtocols {
		response = nil // it is not the server's answer that failed
	}
	return conn, response, err
}

// beat finds out when a vanished network closed no socket, and takes leave in the
// way of the protocol when ctx ends. It ends with alive.
func (v *Viewer) beat(ctx, alive context.Context, gone context.CancelFunc, conn *websocket.Conn) {
	defer gone()
	ticker := time.NewTicker(v.options.pace.ping)
	defer ticker.Stop()
	for {
		select {
		case <-alive.Done():
			return
		case <-ctx.Done():
			guard := time.AfterFunc(v.options.pace.leave, gone)
			defer guard.Stop()
			conn.Close(websocket.StatusNormalClosure, "")
			return
		case <-ticker.C:
			waiting, cancel := context.WithTimeout(alive, v.options.pace.pong)
			stop := context.AfterFunc(ctx, cancel)
			err := conn.Ping(waiting)
			stop()
			cancel()
			if err != nil && ctx.Err() == nil {
				return
			}
		}
	}
}

// enter takes the first message of a connection, which must be the welcome.
func (v *Viewer) enter(conn *websocket.Conn, text []byte) error {
	var kind struct{ Type string }
	var welcome Welcome
	if err := errors.Join(json.Unmarshal(text, &kind), json.Unmarshal(text, &welcome)); err != nil || kind.Type != "welcome" {
		return fmt.Errorf("no welcome but %.100q", text)
	}
	again, before := v.epoch == welcome.Epoch, v.seq
	gap := v.epoch != "" && !welcome.Resumed && (!again || welcome.Seq > before)
	if !again && !welcome.Resumed { // another server of those that share the room goes on with the same ids
		v.after = ""
		v.seen, v.old = map[string]bool{}, nil // ids may be those of other comments now
	}
	v.epoch, v.seq = welcome.Epoch, welcome.Seq
	if again && welcome.Resumed {
		v.seq = before // what was missed follows
	}
	welcome.History = v.fresh(welcome.History)
	v.mu.Lock()
	v.conn = conn
	v.mu.Unlock()
	v.tell(&welcome)
	switch {
	case gap && again:
		v.tell(&Gap{From: before + 1, To: welcome.Seq})
	case gap:
		v.tell(&Gap{NewEpoch: true})
	}
	select {
	case <-v.joined:
	default:
		close(v.joined)
	}
	return nil
}

// left forgets the connection. Who waits for an answer is told that none comes.
func (v *Viewer) left() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.conn = nil
	for ref, reply := range v.pending {
		close(reply)
		delete(v.pending, ref)
	}
}

// take reads one message. What it does not know is of a newer server.
func (v *Viewer) take(text []byte) {
	var kind struct{ Type string }
	if json.Unmarshal(text, &kind) != nil {
		return
	}
	switch kind.Type {
	case "batch":
		var batch Batch
		if json.Unmarshal(text, &batch) == nil {
			v.seq = max(v.seq, batch.Seq)
			batch.Comments = v.fresh(batch.Comments)
			v.tell(&batch)
		}
	case "skipped":
		var skipped Skipped
		if json.Unmarshal(text, &skipped) == nil {
			v.seq = max(v.seq, skipped.To)
			v.tell(&skipped)
		}
	case "goodbye":
		var goodbye Goodbye
		if json.Unmarshal(text, &goodbye) == nil {
			v.asked = time.Duration(goodbye.RetryAfterMS) * time.Millisecond
			v.host = goodbye.Host
			v.tell(&goodbye)
		}
	case "ack", "error":
		var a answer
		if json.Unmarshal(text, &a) == nil {
			v.mu.Lock()
			reply := v.pending[a.Ref]
			delete(v.pending, a.Ref)
			v.mu.Unlock()
			if reply != nil {
				reply <- a
			}
		}
	}
}

// fresh leaves out comments that were told before. It changes list.
func (v *Viewer) fresh(list []Comment) []Comment {
	kept := list[:0]
	for _, c := range list {
		if c.Kind != Retract && c.ID != "" {
			if len(c.ID) == longID {
				v.after = max(v.after, c.ID)
			}
			if v.seen[c.ID] || v.old[c.ID] {
				continue
			}
			if len(v.seen) >= idsKept {
				v.seen, v.old = map[string]bool{}, v.seen
			}
			v.seen[strings.Clone(c.ID)] = true
		}
		kept = append(kept, c)
	}
	return kept
}

// tell never waits: who does not take events loses the oldest, but neither
// answers nor the connection.
func (v *Viewer) tell(e Event) {
	for {
		select {
		case v.events <- e:
			return
		default:
		}
		select {
		case <-v.events:
			v.dropped.Add(1)
		default:
		}
	}
}
