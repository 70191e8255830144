package admin

import (
	"encoding/json"
	"errors"

	"github.com/danmakud/danmakud/room"
)

const (
	listDefault, listMax     = 100, 1000 // elements of one answer
	historyDefault           = 50
	onlineMax                = 1000 // rooms in one question
	slowModeMax, viewersMost = 24 * 60 * 60 * 1000, 1 << 24
)

func queryLimit(otherwise, most int) param {
	return inQuery("limit", integer(1, int64(most)).or(otherwise), "most elements in the answer")
}

func routesRooms() []route {
	return []route{
		{method: "GET", path: "/v1/rooms", role: Reader, tag: "rooms", summary: "List rooms by name",
			detail:  "next is the name to go on after; it is left out at the end.",
			params:  []param{inQuery("after", isRoom(), "only rooms after this name"), queryLimit(listDefault, listMax)},
			answers: roomList{}, do: listRooms},
		{method: "GET", path: "/v1/rooms/{room}", role: Reader, tag: "rooms", summary: "One room: counts and settings",
			params: []param{pathRoom}, answers: roomDetail{}, also: []int{404}, do: showRoom},
		{method: "GET", path: "/v1/rooms/{room}/history", role: Reader, tag: "rooms", summary: "The newest comments of a room",
			params: []param{pathRoom, queryLimit(historyDefault, listMax)}, answers: history{}, also: []int{404}, do: showHistory},
		{method: "GET", path: "/v1/rooms/{room}/settings", role: Reader, tag: "rooms", summary: "The settings of a room",
			detail: "A room need not exist at present to have settings.",
			params: []param{pathRoom}, answers: room.Settings{}, do: showSettings},
		{method: "PATCH", path: "/v1/rooms/{room}/settings", role: Moderator, tag: "rooms", summary: "Change settings of a room",
			detail: "Only what is given changes. Settings are kept over restarts where the server has a data directory.",
			params: []param{pathRoom}, takes: []any{settingsPatch{}}, answers: room.Settings{}, also: []int{501}, do: patchSettings},
		{method: "POST", path: "/v1/rooms/{room}/clear", role: Moderator, tag: "rooms", summary: "Clear a room",
			detail: "The history is forgotten and viewers remove all comments that they show.",
			params: []param{pathRoom}, status: 204, also: []int{404}, do: clearRoom},
		{method: "GET", path: "/v1/online", role: Reader, tag: "rooms", summary: "How many viewers there are",
			detail: "Of the rooms named, 0 for those that do not exist; without any, of the whole server.",
			params: []param{inQuery("room", roomsParam(), "name of a room (repeatable)")}, answers: online{}, do: showOnline},
	}
}

func roomsParam() *schema {
	most := onlineMax
	return &schema{Type: "array", Items: isRoom(), MaxItems: &most}
}

type roomList struct {
	Rooms []room.Info `json:"rooms"`
	Total int         `json:"total" doc:"how many rooms there are"`
	Next  string      `json:"next,omitempty" doc:"the name to go on after"`
}

func listRooms(a *API, q *request) (any, error) {
	limit := q.count("limit", listDefault)
	rooms, total := a.backend.ListRooms(q.text("after"), limit)
	answer := roomList{Rooms: orEmpty(rooms), Total: total}
	if len(rooms) == limit {
		answer.Next = rooms[limit-1].Name
	}
	return answer, nil
}

// roomDetail is what a room is, with its settings.
type roomDetail struct {
	room.Info
	Settings room.Settings `json:"settings"`
}

func showRoom(a *API, q *request) (any, error) {
	info, err := a.backend.ShowRoom(q.name("room"))
	return roomDetail{info, a.backend.Settings(q.name("room"))}, err
}

type history struct {
	Comments json.RawMessage `json:"comments" doc:"comments as viewers get them, the oldest first"`
}

func showHistory(a *API, q *request) (any, error) {
	comments, err := a.backend.History(q.name("room"), q.count("limit", historyDefault))
	list := append([]byte{'['}, comments...)
	return history{append(list, ']')}, err
}

func showSettings(a *API, q *request) (any, error) { return a.backend.Settings(q.name("room")), nil }

// settingsPatch is room.Settings of which nothing must be given.
type settingsPatch struct {
	Closed         *bool      `json:"closed" doc:"only moderators and above may speak"`
	SlowMode       *int64     `json:"slow_mode_ms" is:"min=0,max=86400000" doc:"least time between two comments of one viewer, milliseconds"`
	MinRole        *room.Role `json:"min_role" doc:"who may speak: viewer keeps guests out, vip is members only"`
	MaxViewers     *int       `json:"max_viewers" is:"min=0,max=16777216" doc:"most viewers in the room; 0 = no bound"`
	BudgetBytes    *int       `json:"budget_bytes" is:"min=0,max=16777216" doc:"most bytes of one batch; 0 = the server's"`
	BudgetComments *int       `json:"budget_comments" is:"min=0,max=1000000" doc:"most comments in one batch; 0 = the server's"`
}

func patchSettings(a *API, q *request) (any, error) {
	var patch settingsPatch
	if p := q.into(&patch); p != nil {
		return nil, p
	}
	a.settling.Lock() // or two at one time could undo each other
	defer a.settling.Unlock()
	set := a.backend.Settings(q.name("room"))
	change(&set.Closed, patch.Closed)
	change(&set.SlowMode, patch.SlowMode)
	change(&set.MinRole, patch.MinRole)
	change(&set.MaxViewers, patch.MaxViewers)
	change(&set.BudgetBytes, patch.BudgetBytes)
	change(&set.BudgetComments, patch.BudgetComments)
	return set, a.backend.SetSettings(q.name("room"), set, q.by.name)
}

func change[T any](old, to *T) {
	if to != nil {
		*old = *to
	}
}

func clearRoom(a *API, q *request) (any, error) {
	return nil, a.backend.Clear(q.name("room"), q.by.name)
}

type online struct {
	Online int            `json:"online" doc:"viewers in rooms, added up; who is in two rooms counts twice"`
	Rooms  map[string]int `json:"rooms,omitempty" doc:"viewers of each room that was asked for"`
}

func showOnline(a *API, q *request) (any, error) {
	names := q.query["room"]
	if len(names) == 0 {
		return online{Online: a.backend.Stats().Members}, nil
	}
	answer := online{Rooms: make(map[string]int, len(names))}
	for _, name := range names {
		info, err := a.backend.ShowRoom(name)
		if err != nil && !errors.Is(err, ErrNoRoom) {
			return nil, err
		}
		answer.Rooms[name] = info.Online
	}
	for _, n := range answer.Rooms {
		answer.Online += n
	}
	return answer, nil
}

// orEmpty has a list without elements be [] in JSON, not null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
