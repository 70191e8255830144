package admin

import (
	"container/list"
	"crypto/sha256"
	"net/http"
	"sync"
	"time"
)

const (
	repliesKept = 10 * time.Minute // for so long the same key gets the same answer
	repliesMax  = 10_000           // answers kept at one time
	repliesSize = 16 << 20         // and their bytes
	idempotency = "Idempotency-Key"
	keyMax      = 255
)

// replies remembers answers by the keys that callers gave their requests, so that
// who did not hear an answer can ask again without publishing twice. The oldest go
// when there is no room.
type replies struct {
	now func() time.Time

	mu sync.Mutex
	// Guarded by mu.
	byKey   map[string]*list.Element
	order   *list.List // of *kept, the oldest first
	bytes   int
	evicted uint64 // before their time
	given   uint64 // again
}

// kept is one answer, or a request that is under way.
type kept struct {
	key    string
	body   [sha256.Size]byte // of the request
	answer reply
	done   bool
	until  time.Time
}

func newReplies(now func() time.Time) *replies {
	return &replies{now: now, byKey: map[string]*list.Element{}, order: list.New()}
}

// once does what a request asks for, unless the same was done before under its key.
func (a *API) once(rt *route, q *request) reply {
	given := q.Header.Values(idempotency)
	if !rt.once || len(given) == 0 {
		return a.do(rt, q)
	}
	if len(given) > 1 || !keyFits(given[0]) {
		return invalid(idempotency, "want one key of 1 to %d printable ASCII characters", keyMax).reply()
	}
	// Of whom, for what: another caller's key, or the same for another room, is another.
	key := q.by.name + "\n" + q.Method + " " + q.URL.Path + "\n" + given[0]
	before, p := a.replies.begin(key, sha256.Sum256(q.body))
	if p != nil {
		return p.reply()
	}
	if before != nil {
		again := reply{before.status, before.header.Clone(), before.body}
		again.header.Set("Idempotent-Replayed", "true")
		return again
	}
	var answer reply
	worth := false // of being given again
	defer func() { a.replies.end(key, answer, worth) }()
	answer, worth = a.doOnce(rt, q)
	return answer
}

// doOnce is do that also says whether something was published: an answer to a request
// that had no effect is not kept, since trying again is right.
func (a *API) doOnce(rt *route, q *request) (answer reply, effect bool) {
	v, err := rt.do(a, q)
	if err != nil {
		p := a.asProblem(err)
		return p.reply(), len(p.Published) > 0
	}
	return a.encode(rt, v), true
}

func keyFits(key string) bool {
	if len(key) == 0 || len(key) > keyMax {
		return false
	}
	for i := range len(key) {
		if key[i] < ' ' || key[i] > '~' {
			return false
		}
	}
	return true
}

// begin returns the answer that the key had, or reserves it for the caller, who must
// call end.
func (s *replies) begin(key string, body [sha256.Size]byte) (*reply, *problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	for at := s.order.Front(); at != nil && at.Value.(*kept).done && now.After(at.Value.(*kept).until); at = s.order.Front() {
		s.remove(at)
	}
	at := s.byKey[key]
	if at == nil {
		s.byKey[key] = s.order.PushBack(&kept{key: key, body: body})
		return nil, nil
	}
	k := at.Value.(*kept)
	switch {
	case k.body != body:
		return nil, problemf(http.StatusUnprocessableEntity, "the %s was used for a request with another body", idempotency)
	case !k.done:
		p := problemf(http.StatusConflict, "the request with this %s is under way", idempotency)
		p.retry = 1
		return nil, p
	}
	s.given++
	return &k.answer, nil
}

// end keeps the answer, or frees the key if it is not worth it.
func (s *replies) end(key string, answer reply, worth bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.byKey[key]
	k := at.Value.(*kept)
	if !worth {
		s.order.Remove(at)
		delete(s.byKey, key)
		return
	}
	k.answer, k.done, k.until = answer, true, s.now().Add(repliesKept)
	s.bytes += k.size()
	s.order.MoveToBack(at)
	for s.order.Len() > repliesMax || s.bytes > repliesSize {
		oldest := s.oldestDone()
		if oldest == nil || oldest == at {
			return
		}
		s.remove(oldest)
		s.evicted++
	}
}

// oldestDone skips requests that are under way, of which there are few.
func (s *replies) oldestDone() *list.Element {
	for at := s.order.Front(); at != nil; at = at.Next() {
		if at.Value.(*kept).done {
			return at
		}
	}
	return nil
}

func (s *replies) remove(at *list.Element) {
	k := at.Value.(*kept)
	s.bytes -= k.size()
	s.order.Remove(at)
	delete(s.byKey, k.key)
}

func (k *kept) size() int { return len(k.answer.body) + len(k.key) }

func (s *replies) tell() (kept int, given, evicted uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.order.Len(), s.given, s.evicted
}
