package admin

import (
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
)

// route is one thing that can be asked: the only list of what there is. Requests are
// checked against it, and the OpenAPI document is printed from it.
type route struct {
	method, path string // {name} stands for one segment, {name...} for all that follow
	role         Role   // the least that may ask
	tag, summary string
	detail       string
	params       []param

	takes   []any // zero values of the types a body may have; none = no body
	answers any   // zero value of the type of the answer; nil = none
	status  int   // of success
	also    []int // statuses besides those that follow from the rest
	once    bool  // takes an Idempotency-Key

	// One of them does the work: do returns what is answered as JSON, stream writes
	// the answer itself as media, raw besides checks nothing.
	do     func(a *API, q *request) (any, error)
	stream func(a *API, w http.ResponseWriter, q *request) error
	media  []string
	raw    func(a *API, w http.ResponseWriter, r *http.Request)
	hidden bool // not in the document
	brief  bool // raw, and over as soon as others
	bytes  bool // raw, and takes any bytes as its body

	// Made by buildRoutes.
	body, answer *schema
	segments     []string
}

// long reports whether a request may last for minutes.
func (rt *route) long() bool { return rt.stream != nil || rt.raw != nil && !rt.brief }

// buildRoutes completes the table: schemas, and the paths cut into segments.
func buildRoutes() ([]*route, map[string]*schema) {
	b := &schemas{components: map[string]*schema{}}
	b.of(reflect.TypeFor[problem](), false)
	var all []*route
	for _, rt := range slices.Concat(routesServing(), routesRooms(), routesPublish(), routesPeople(), routesWords(), routesServer(), routesGoim()) {
		rt.segments = strings.Split(rt.path, "/")
		if rt.status == 0 {
			rt.status = http.StatusOK
		}
		var bodies []*schema
		for _, v := range rt.takes {
			bodies = append(bodies, b.of(reflect.TypeOf(v), true))
		}
		switch len(bodies) {
		case 0:
		case 1:
			rt.body = bodies[0]
		default:
			rt.body = &schema{OneOf: bodies}
		}
		if rt.answers != nil {
			rt.answer = b.of(reflect.TypeOf(rt.answers), false)
		}
		all = append(all, &rt)
	}
	return all, b.components
}

// find returns the route of a request with the parameters of its path. Without one,
// allowed has the methods that the path would take, or nil.
func (a *API) find(r *http.Request) (rt *route, path map[string]string, allowed []string) {
	segments := strings.Split(r.URL.EscapedPath(), "/")
	for i, segment := range segments {
		text, err := url.PathUnescape(segment)
		if err != nil {
			return nil, nil, nil
		}
		segments[i] = text
	}
	for _, rt := range a.routes {
		path, ok := rt.match(segments)
		switch {
		case !ok:
		case rt.method == r.Method, rt.method == http.MethodGet && r.Method == http.MethodHead && rt.stream == nil:
			return rt, path, nil
		default:
			allowed = append(allowed, rt.method)
		}
	}
	return nil, nil, allowed
}

// match compares a path with the route's.
func (rt *route) match(segments []string) (map[string]string, bool) {
	var path map[string]string
	for i, want := range rt.segments {
		if strings.HasSuffix(want, "...}") {
			return path, i < len(segments)
		}
		if i >= len(segments) {
			return nil, false
		}
		if strings.HasPrefix(want, "{") {
			if segments[i] == "" {
				return nil, false
			}
			if path == nil {
				path = map[string]string{}
			}
			path[want[1:len(want)-1]] = segments[i]
		} else if want != segments[i] {
			return nil, false
		}
	}
	return path, len(segments) == len(rt.segments)
}
