package danmaku

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/coder/websocket"
)

// Backoff says when a lost connection is tried again: with full jitter, that is
// after a wait drawn evenly between nothing and a ceiling that doubles with each
// failure. So viewers who lost the same server come back spread out.
type Backoff struct {
	Base   time.Duration // first ceiling, 600 ms
	Cap    time.Duration // highest ceiling, 60 s
	Stable time.Duration // a connection that lasted so long forgets the failures, 30 s
}

func (b Backoff) withDefaults() Backoff {
	for _, d := range []struct {
		value  *time.Duration
		normal time.Duration
	}{{&b.Base, 600 * time.Millisecond}, {&b.Cap, time.Minute}, {&b.Stable, 30 * time.Second}} {
		if *d.value <= 0 {
			*d.value = d.normal
		}
	}
	return b
}

// ceiling returns the longest wait after so many failures in a row.
func (b Backoff) ceiling(failures int) time.Duration {
	wait := b.Base
	for range failures {
		if wait >= b.Cap/2 {
			return b.Cap
		}
		wait *= 2
	}
	return min(wait, b.Cap)
}

// wait returns how long to wait. random gives [0, 1). What the server asked for is
// a least wait: its own spread comes first, and a little of ours on top.
func (b Backoff) wait(failures int, asked, floor time.Duration, random float64) time.Duration {
	if asked > 0 {
		return min(asked, 10*b.Cap) + time.Duration(random*float64(b.Base))
	}
	return floor + time.Duration(random*float64(b.ceiling(failures)))
}

// A verdict says what a lost connection means for the next try.
type verdict struct {
	asked, floor time.Duration
	final        bool // trying again by itself would be rude or useless
}

// judge reads the close of a connection, or the answer to its handshake.
// renewable: a refused token can be replaced.
func judge(err error, response *http.Response, renewable bool) (v verdict) {
	var closed websocket.CloseError
	if errors.As(err, &closed) {
		var reason Goodbye
		if json.Unmarshal([]byte(closed.Reason), &reason) == nil {
			v.asked = time.Duration(reason.RetryAfterMS) * time.Millisecond
		}
		switch closed.Code {
		case 4001:
			v.final = !renewable
		case 4003:
			v.final = true
		case websocket.StatusTryAgainLater: // "too many, later" is not answered within the second
			v.floor = 2 * time.Second
		case websocket.StatusPolicyViolation:
			v.floor = 10 * time.Second
		}
	} else if response != nil {
		switch response.StatusCode {
		case http.StatusUnauthorized:
			v.final = !renewable
		case http.StatusBadRequest, http.StatusForbidden:
			v.final = true
		default:
			seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
			v.asked = time.Duration(seconds) * time.Second
		}
	}
	return v
}
