package server

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/admin"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/cluster"
	"github.com/danmakud/danmakud/cmd/danmakud/internal/moderation"
	"github.com/danmakud/danmakud/room"
)

// The control API of any node serves all of them: what only one of them knows or can do
// is asked of the others.

// askTime is how long the others may take to answer.
const askTime = 5 * time.Second

// Kinds of questions to other nodes.
const (
	askKick    = "kick"
	askViewers = "viewers"
	askRoom    = "room"
	askPast    = "past"
	askHeld    = "held"
	askDecide  = "decide"
)

type kickQuestion struct{ Room, User, Reason string }
type userQuestion struct{ Room, User string }
type pastQuestion struct {
	Room string
	Most int
}
type decideQuestion struct {
	ID      string
	Publish bool
	By      string
}

// answerNodes has questions of other nodes answered. Before the node starts.
func (s *Server) answerNodes() {
	onAsked(s, askKick, func(ctx context.Context, q kickQuestion) (any, error) {
		return s.kickHere(ctx, q.Room, q.User, q.Reason)
	})
	onAsked(s, askViewers, func(ctx context.Context, q userQuestion) (any, error) { return s.viewersHere(ctx, q.Room, q.User) })
	onAsked(s, askRoom, func(_ context.Context, name string) (any, error) {
		r := s.hub.Find(name)
		if r == nil || r.Here() == 0 {
			return nil, nil
		}
		return r.Info(), nil
	})
	onAsked(s, askPast, func(_ context.Context, q pastQuestion) (any, error) {
		r := s.hub.Find(q.Room)
		if r == nil || r.Here() == 0 {
			return nil, nil
		}
		return json.RawMessage("[" + string(r.HistoryJSON(q.Most)) + "]"), nil
	})
	onAsked(s, askHeld, func(_ context.Context, name string) (any, error) { return s.desk.Held(name), nil })
	onAsked(s, askDecide, func(_ context.Context, q decideQuestion) (any, error) {
		err := s.decideHere(q.ID, q.Publish, q.By)
		if errors.Is(err, admin.ErrNotFound) {
			return false, nil
		}
		return true, err
	})
}

// onAsked has f answer a kind of question.
func onAsked[Q any](s *Server, kind string, f func(ctx context.Context, q Q) (any, error)) {
	s.nodes.OnAsked(kind, func(ctx context.Context, _ string, body json.RawMessage) (any, error) {
		var q Q
		if err := json.Unmarshal(body, &q); err != nil {
			return nil, err
		}
		return f(ctx, q)
	})
}

// askNodes asks the other nodes and returns what they answered; a node that answers
// nothing has nothing. The error says that not all have answered.
func askNodes[A any](ctx context.Context, s *Server, kind string, question any) (all []A, err error) {
	if s.nodes == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	for _, a := range s.nodes.AskAll(ctx, kind, question) {
		var got *A
		switch {
		case a.Err != nil && !errors.Is(a.Err, cluster.ErrAlone):
			s.log.Warn("another node does not answer", "node", a.Node, "question", kind, "error", a.Err.Error())
			err = admin.ErrBusy
		case a.Err == nil && json.Unmarshal(a.Body, &got) == nil && got != nil:
			all = append(all, *got)
		}
	}
	return all, err
}

// anywhere reports whether a room is here or on another node.
func (s *Server) anywhere(name string) bool {
	return s.hub.Find(name) != nil || s.nodes != nil && s.nodes.Elsewhere(name) > 0
}

// roomsElsewhere are the rooms that only other nodes have.
func (s *Server) roomsElsewhere() (infos []room.Info) {
	if s.nodes == nil {
		return nil
	}
	for name, t := range s.nodes.RoomsElsewhere() {
		if s.hub.Find(name) == nil {
			infos = append(infos, room.Info{Name: name, Online: t.Viewers, Watched: t.Watched, Settings: s.desk.Settings(name)})
		}
	}
	return infos
}

// listAll is the list of all nodes' rooms.
func (s *Server) listAll(after string, limit int) (rooms []room.Info, total int) {
	elsewhere := s.roomsElsewhere()
	total = s.hub.Rooms() + len(elsewhere)
	if len(elsewhere) == 0 {
		return s.hub.List(after, limit), total
	}
	rooms = s.hub.List(after, limit)
	for _, info := range elsewhere {
		if info.Name > after {
			rooms = append(rooms, info)
		}
	}
	slices.SortFunc(rooms, func(a, b room.Info) int { return strings.Compare(a.Name, b.Name) })
	return rooms[:min(limit, len(rooms))], total
}

// roomNames are those of the rooms of all nodes.
func (s *Server) roomNames() (names []string) {
	rooms, _ := s.listAll("", math.MaxInt)
	for _, info := range rooms {
		names = append(names, info.Name)
	}
	return names
}

// showElsewhere asks the other nodes about a room that is not here.
func (s *Server) showElsewhere(name string) (room.Info, error) {
	if s.nodes == nil || s.nodes.Elsewhere(name) == 0 {
		return room.Info{}, admin.ErrNoRoom
	}
	infos, err := askNodes[room.Info](context.Background(), s, askRoom, name)
	if len(infos) == 0 {
		return room.Info{}, cmp.Or(err, admin.ErrNoRoom)
	}
	return infos[0], nil
}

// pastElsewhere asks the other nodes for what was said in a room that nobody here is in.
func (s *Server) pastElsewhere(name string, most int) ([]byte, error) {
	pasts, err := askNodes[json.RawMessage](context.Background(), s, askPast, pastQuestion{name, most})
	longest := json.RawMessage("[]")
	for _, p := range pasts {
		if len(p) > len(longest) {
			longest = p
		}
	}
	if len(pasts) == 0 {
		return nil, cmp.Or(err, admin.ErrNoRoom)
	}
	return longest[1 : len(longest)-1], nil
}

// heldElsewhere is what waits for a decision on the other nodes.
func (s *Server) heldElsewhere(name string) (all []moderation.HeldComment) {
	lists, _ := askNodes[[]moderation.HeldComment](context.Background(), s, askHeld, name)
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// decideElsewhere has the node decide that has the comment.
func (s *Server) decideElsewhere(id string, publish bool, by string) error {
	done, err := askNodes[bool](context.Background(), s, askDecide, decideQuestion{id, publish, by})
	if slices.Contains(done, true) {
		return nil
	}
	return cmp.Or(err, admin.ErrNotFound)
}
