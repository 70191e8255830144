package moderation

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/danmakud/danmakud/room"
)

const (
	reviewAnswerMax  = 64 << 10 // bytes
	reviewMessageMax = 500      // bytes of a sentence for the sender
	reviewConns      = 64       // at one time
)

// reviewer asks an HTTP server of the site what to do with a comment. It is made
// anew by a reload; counts outlives it.
type reviewer struct {
	url        string
	failClosed bool
	client     *http.Client
	transport  *http.Transport
	counts     *reviewCounts
}

// reviewCounts are answers by what they were.
type reviewCounts struct {
	actions [Review]atomic.Uint64 // by Action
	masked  atomic.Uint64         // of those passed
	failed  atomic.Uint64         // no answer in time, or none that could be used
}

// reviewQuestion and reviewAnswer are what goes over the wire.
type reviewQuestion struct {
	Room string    `json:"room"`
	User string    `json:"user"`
	Role room.Role `json:"role"`
	Text string    `json:"text"`
}

type reviewAnswer struct {
	Action  string `json:"action"`
	Text    string `json:"text"`
	Message string `json:"message"`
}

func newReviewer(o *Options, counts *reviewCounts) *reviewer {
	if o.ReviewURL == "" {
		return nil
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxConnsPerHost, t.MaxIdleConnsPerHost = reviewConns, reviewConns
	return &reviewer{
		url: o.ReviewURL, failClosed: o.ReviewFailClosed, counts: counts, transport: t,
		client: &http.Client{
			Transport:     t,
			Timeout:       o.ReviewTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("it answers with a redirect") },
		},
	}
}

// close lets go of idle connections. Questions under way go on.
func (r *reviewer) close() {
	if r != nil {
		r.transport.CloseIdleConnections()
	}
}

// ask returns what the answer says. After an error it says nothing.
func (r *reviewer) ask(ctx context.Context, q *reviewQuestion) (a reviewAnswer, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("review: %w", err)
		}
	}()
	body, err := json.Marshal(q)
	if err != nil {
		return a, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url, bytes.NewReader(body))
	if err != nil {
		return a, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := r.client.Do(request)
	if err != nil {
		return a, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, reviewAnswerMax+1))
	switch {
	case err != nil:
		return a, err
	case response.StatusCode != http.StatusOK:
		return a, fmt.Errorf("status %s", response.Status)
	case len(answer) > reviewAnswerMax:
		return a, fmt.Errorf("the answer is longer than %d bytes", reviewAnswerMax)
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		return a, fmt.Errorf("the answer is no JSON object as it should be: %w", err)
	}
	return a, nil
}

// verdict turns an answer into what becomes of text.
func (a *reviewAnswer) verdict(text string) (Verdict, error) {
	v := Verdict{Text: text}
	switch a.Action {
	case "pass":
		return v, nil
	case "mask":
		v.Text = a.Text
		if a.Text == "" {
			v.Text = maskAll(text)
		}
		if strings.TrimSpace(v.Text) == "" || !validText(v.Text, maskedFactor*len(text)) {
			return v, errors.New("review: the text of the answer is empty, too long, or has control characters")
		}
		return v, nil
	case "hold":
		v.Action = Hold
		return v, nil
	case "shadow":
		v.Action = Shadow
		return v, nil
	case "reject":
		v.Action, v.Code, v.Message = Reject, codeBlockedWord, a.Message
		if a.Message == "" || !validText(a.Message, reviewMessageMax) {
			v.Message = textBlocked
		}
		return v, nil
	}
	return v, fmt.Errorf("review: the action %q is none of pass, reject, mask, hold, shadow", a.Action)
}

// maskedFactor is how many times longer than a comment what it is masked to may be.
const maskedFactor = 4

func maskAll(text string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' {
			return r
		}
		return maskSign
	}, text)
}

// Review asks the review webhook about a comment that Judge sent there. It blocks
// for as long as that takes, at most the review timeout: not on a loop. The verdict
// holds after an error too: it is what the site wants when nobody answers.
func (d *Desk) Review(ctx context.Context, in string, who Speaker, text string) (Verdict, error) {
	r := d.rules.Load().review
	if r == nil { // switched off since
		return Verdict{Text: text}, nil
	}
	a, err := r.ask(ctx, &reviewQuestion{in, who.User, who.Role, text})
	var v Verdict
	if err == nil {
		v, err = a.verdict(text)
	}
	if err == nil {
		r.counts.actions[v.Action].Add(1)
		if v.Action == Pass && v.Text != text {
			r.counts.masked.Add(1)
		}
		return v, nil
	}
	r.counts.failed.Add(1)
	if r.failClosed {
		return Verdict{Action: Reject, Code: codeOverloaded, Message: textNoReview, RetryMs: retryReview.Milliseconds()}, err
	}
	return Verdict{Text: text}, err
}

// retryReview is when a comment that could not be reviewed may be tried again.
const retryReview = 5 * time.Second
