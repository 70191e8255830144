package admin

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// request is one request that was found to be in order: its caller may make it, its
// parameters and body agree with the route.
type request struct {
	*http.Request
	by    caller
	path  map[string]string
	query url.Values
	body  []byte // nil where the route has none
}

// name is a parameter of the path.
func (q *request) name(param string) string { return q.path[param] }

// text is a parameter of the query, "" if it is left out.
func (q *request) text(param string) string { return q.query.Get(param) }

// count is a number in the query, otherwise if it is left out.
func (q *request) count(param string, otherwise int) int {
	n, err := strconv.Atoi(q.query.Get(param))
	if err != nil {
		return otherwise
	}
	return n
}

// moment is a time in the query, zero if it is left out.
func (q *request) moment(param string) time.Time {
	t, _ := time.Parse(time.RFC3339, q.query.Get(param)) // checked before
	return t
}

// into decodes the body, which agrees with its schema.
func (q *request) into(v any) *problem {
	if err := json.Unmarshal(q.body, v); err != nil {
		return invalid("", "the body cannot be used: %v", err)
	}
	return nil
}

// param is a parameter of a route, in its path or query.
type param struct {
	name string
	is   *schema
	doc  string
	in   string // path or query
	must bool   // it must be given
}

func inPath(name string, is *schema, doc string) param { return param{name, is, doc, "path", true} }

func inQuery(name string, is *schema, doc string) param { return param{name, is, doc, "query", false} }

func (p param) required() param {
	p.must = true
	return p
}

var pathRoom = inPath("room", isRoom(), "name of the room")

// checkParams checks path and query against the route.
func (rt *route) checkParams(q *request) *problem {
	values, err := url.ParseQuery(q.URL.RawQuery)
	if err != nil {
		return invalid("", "the query cannot be read: %v", err)
	}
	q.query = values
	for _, p := range rt.params {
		given := values[p.name]
		if p.in == "path" {
			given = []string{q.path[p.name]}
		}
		if bad := p.check(given); bad != nil {
			return bad
		}
	}
	for name := range values {
		if !rt.knows(name) {
			return invalid(member("", name), "is no parameter here")
		}
	}
	return nil
}

func (rt *route) knows(name string) bool {
	for _, p := range rt.params {
		if p.name == name && p.in == "query" {
			return true
		}
	}
	return false
}

func (p *param) check(given []string) *problem {
	switch {
	case len(given) == 0 && p.must:
		return invalid(p.name, "is missing")
	case len(given) == 0:
		return nil
	case p.is.Type == "array":
		list := make([]any, len(given))
		for i, text := range given {
			list[i] = text
		}
		return p.is.check(p.name, list, true)
	case len(given) > 1:
		return invalid(p.name, "stands twice")
	case p.is.Type == "integer":
		return p.is.check(p.name, json.Number(given[0]), true)
	}
	return p.is.check(p.name, given[0], true)
}

// jsonTypes are the media types of a body.
var jsonTypes = map[string]bool{"application/json": true, "application/merge-patch+json": true}

// readBody reads the body and checks it against the route.
func (a *API) readBody(rt *route, w http.ResponseWriter, q *request) *problem {
	limits := a.limits.Load()
	http.NewResponseController(w).SetReadDeadline(time.Now().Add(limits.timeout)) // a recorder in a test has none
	if rt.body == nil {
		if n, err := io.ReadFull(q.Body, make([]byte, 1)); n > 0 || err != nil && !errors.Is(err, io.EOF) {
			return invalid("", "this takes no body")
		}
		return nil
	}
	kind, _, err := mime.ParseMediaType(q.Header.Get("Content-Type"))
	if err != nil || !jsonTypes[kind] {
		return problemf(http.StatusUnsupportedMediaType, "send Content-Type: application/json")
	}
	if coding := q.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return problemf(http.StatusUnsupportedMediaType, "send the body without Content-Encoding")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, q.Body, int64(limits.body)))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return problemf(http.StatusRequestEntityTooLarge, "a body has at most %d bytes (--control-body)", limits.body)
	case err != nil:
		return problemf(http.StatusRequestTimeout, "the body did not come whole in time")
	}
	v, p := parseStrict(body)
	if p == nil {
		p = rt.body.check("", v, false)
	}
	q.body = body
	return p
}
