package admin

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/packet"
	"github.com/danmakud/danmakud/room"
)

// The API by which goim's back ends push, in goim's own shape: parameters in the query,
// any bytes as the body, and always status 200 with a code. Keys and roles are those
// of the rest of the API, whose problems answer who may not ask at all.

const (
	pushBodyMax   = 64 << 10 // bytes
	pushTargets   = 1000     // keys, users or rooms in one request
	goimRequest   = -400     // the request is wrong
	goimServer    = -500     // or the server cannot
	goimTopMost   = 1000
	goimTopUsual  = 10
	operationLast = 1<<31 - 1
)

func routesGoim() []route {
	of := func(method, path, summary string, f func(a *API, q *goimRequestOf) (any, error), params ...param) route {
		rt := route{method: method, path: path, role: Reader, brief: true, tag: "goim", summary: summary, params: params,
			detail:  "As of goim: what is wrong with parameters or body is said by the code of an answer with status 200, and parameters that are not known are passed over.",
			answers: goimAnswer{},
			raw:     func(a *API, w http.ResponseWriter, r *http.Request) { a.goim(w, r, f) }}
		if method == http.MethodPost {
			rt.role, rt.bytes = Publisher, true
		}
		return rt
	}
	text := &schema{Type: "string"}
	list := func(name, doc string) param {
		most := pushTargets
		return inQuery(name, &schema{Type: "array", Items: text, MaxItems: &most}, doc+"; repeated, or with commas").required()
	}
	operation := inQuery("operation", integer(packet.OpBusiness, operationLast), "of the packet that clients get").required()
	kind := inQuery("type", text, "of the room: goim calls it type://id")
	return []route{
		of("POST", "/goim/push/keys", "Push to the clients with these keys", pushKeys, operation, list("keys", "what clients gave as their key")),
		of("POST", "/goim/push/mids", "Push to the clients of these users", pushMids, operation, list("mids", "numbers of users")),
		of("POST", "/goim/push/room", "Push to a room", pushRoom, operation, kind, inQuery("room", text, "id of the room").required()),
		of("POST", "/goim/push/all", "Push to all goim clients", pushAll, operation),
		of("GET", "/goim/online/top", "Rooms with most viewers", onlineTop, inQuery("type", text, "is not looked at"),
			inQuery("limit", integer(1, goimTopMost).or(goimTopUsual), "how many rooms")),
		of("GET", "/goim/online/room", "Viewers of rooms", onlineRoom, kind, list("rooms", "ids of rooms")),
		of("GET", "/goim/online/total", "Viewers of all rooms", onlineTotal),
	}
}

// goimAnswer is what goim answers.
type goimAnswer struct {
	Code    int    `json:"code" doc:"0, or -400: the request is wrong, -500: the server cannot"`
	Message string `json:"message" doc:"what is wrong"`
	Data    any    `json:"data" doc:"of the routes that ask for something"`
}

// PushTo is whose goim clients a push is for: those with one of the keys, those of one
// of the users, or all.
type PushTo struct {
	Keys, Users []string
	All         bool
}

// goimRequestOf is a request of a goim back end.
type goimRequestOf struct {
	*http.Request
	query url.Values
	body  []byte
}

// errGoim is what is wrong with such a request.
type errGoim string

func (e errGoim) Error() string { return string(e) }

// goim answers as goim does.
func (a *API) goim(w http.ResponseWriter, r *http.Request, f func(a *API, q *goimRequestOf) (any, error)) {
	answer := goimAnswer{}
	data, err := a.readGoim(w, r, f)
	var wrong errGoim
	switch {
	case errors.As(err, &wrong), errors.Is(err, room.ErrName):
		answer.Code, answer.Message = goimRequest, err.Error()
	case err != nil:
		answer.Code, answer.Message = goimServer, err.Error()
	default:
		answer.Data = data
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(answer) // an error here is the client's, who has gone
}

func (a *API) readGoim(w http.ResponseWriter, r *http.Request, f func(a *API, q *goimRequestOf) (any, error)) (any, error) {
	http.NewResponseController(w).SetReadDeadline(time.Now().Add(a.limits.Load().timeout))
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, errGoim("the query cannot be read")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, pushBodyMax))
	if err != nil {
		return nil, errGoim("a body has at most " + strconv.Itoa(pushBodyMax) + " bytes, and comes whole")
	}
	return f(a, &goimRequestOf{r, query, body})
}

// operation is that of a push, at least 1000.
func (q *goimRequestOf) operation() (uint32, error) {
	n, err := strconv.ParseUint(q.query.Get("operation"), 10, 32)
	if err != nil || n < packet.OpBusiness || n > operationLast {
		return 0, errGoim("operation is a number from 1000")
	}
	return uint32(n), nil
}

// list is a parameter that may be repeated, or have commas.
func (q *goimRequestOf) list(name string) ([]string, error) {
	var all []string
	for _, text := range q.query[name] {
		all = append(all, strings.FieldsFunc(text, func(c rune) bool { return c == ',' })...)
	}
	if len(all) == 0 || len(all) > pushTargets {
		return nil, errGoim(name + " has 1 to " + strconv.Itoa(pushTargets) + " of them")
	}
	return all, nil
}

// room is the name of the room that goim calls type://id.
func (q *goimRequestOf) room(id string) string {
	return packet.RoomName(q.query.Get("type") + "://" + id)
}

func pushKeys(a *API, q *goimRequestOf) (any, error) {
	keys, err := q.list("keys")
	return nil, orElse(err, func() error { return a.push(q, PushTo{Keys: keys}) })
}

func pushMids(a *API, q *goimRequestOf) (any, error) {
	mids, err := q.list("mids")
	for _, mid := range mids {
		if _, bad := strconv.ParseInt(mid, 10, 64); bad != nil {
			err = errGoim("mids are numbers")
		}
	}
	return nil, orElse(err, func() error { return a.push(q, PushTo{Users: mids}) })
}

func pushAll(a *API, q *goimRequestOf) (any, error) { return nil, a.push(q, PushTo{All: true}) }

func orElse(err error, f func() error) error {
	if err != nil {
		return err
	}
	return f()
}

func (a *API) push(q *goimRequestOf, to PushTo) error {
	op, err := q.operation()
	if err != nil {
		return err
	}
	_, err = a.backend.Push(q.Context(), to, op, q.body)
	return err
}

// pushRoom puts what is pushed into the room's next batch.
func pushRoom(a *API, q *goimRequestOf) (any, error) {
	op, err := q.operation()
	if err != nil {
		return nil, err
	}
	c := room.Comment{User: siteUser, Role: room.RoleAdmin, Color: room.ColorDefault, Kind: room.KindData, Op: op}
	if utf8.Valid(q.body) {
		c.Text = string(q.body)
	} else {
		c.Data = string(q.body)
	}
	if q.query.Get("room") == "" {
		return nil, errGoim("room is missing")
	}
	_, err = a.backend.Publish([]string{q.room(q.query.Get("room"))}, []room.Comment{c}, "goim")
	return nil, err
}

// onlineTop has the rooms with most viewers.
func onlineTop(a *API, q *goimRequestOf) (any, error) {
	limit, err := strconv.Atoi(q.query.Get("limit"))
	if q.query.Get("limit") == "" {
		limit, err = goimTopUsual, nil
	}
	if err != nil || limit < 1 || limit > goimTopMost {
		return nil, errGoim("limit is a number from 1 to 1000")
	}
	type top struct {
		RoomID string `json:"room_id"`
		Count  int    `json:"count"`
	}
	all := []top{}
	for after := ""; ; {
		infos, _ := a.backend.ListRooms(after, listMax)
		for i := range infos {
			all = append(all, top{infos[i].Name, infos[i].Online})
		}
		if len(infos) < listMax {
			break
		}
		after = infos[len(infos)-1].Name
	}
	slices.SortStableFunc(all, func(a, b top) int { return b.Count - a.Count })
	return all[:min(limit, len(all))], nil
}

// onlineRoom has the viewers of the rooms asked for, 0 for those that there are not.
func onlineRoom(a *API, q *goimRequestOf) (any, error) {
	rooms, err := q.list("rooms")
	if err != nil {
		return nil, err
	}
	counts := make(map[string]int, len(rooms))
	for _, id := range rooms {
		info, err := a.backend.ShowRoom(q.room(id))
		if err != nil && !errors.Is(err, ErrNoRoom) {
			return nil, err
		}
		counts[id] = info.Online
	}
	return counts, nil
}

// onlineTotal counts connections; addresses are not counted apart.
func onlineTotal(a *API, q *goimRequestOf) (any, error) {
	n := a.backend.Stats().Members
	return map[string]int{"ip_count": n, "conn_count": n}, nil
}
