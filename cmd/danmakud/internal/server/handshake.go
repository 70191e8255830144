package server

import (
	"errors"
	"net/url"
	"strconv"
	"strings"

	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/room"
	"github.com/danmakud/danmakud/wsproto"
)

// shakeHands collects a request head and answers it. Bytes behind the head are
// frames already and go straight to the decoder.
func (h *handler) shakeHands(s poller.Slot, p []byte) {
	if h.session(s).is(markHeader) {
		if p = h.takeProxyHeader(s, p); len(p) == 0 {
			return
		}
	}
	buf := p
	k := h.partials[s]
	if k != nil {
		buf = k.add(p)
	}
	end := wsproto.HeadEnd(buf)
	if end > wsproto.HeadMax || end == 0 && len(buf) > wsproto.HeadMax {
		h.refuse(s, &wsproto.Refusal{Status: 431, Message: "request head is larger than 8 KiB"}, reasonHeadTooLarge)
		return
	}
	if end == 0 {
		if k == nil {
			h.partial(s).add(p)
		}
		if !h.charge(s) {
			h.refuse(s, &wsproto.Refusal{Status: 503, Message: "too many unfinished requests; try again later", Header: []string{"Retry-After: 5"}}, reasonPartialFull)
		}
		return
	}
	h.forgetPartial(s)
	h.upgrade(s, buf[:end], buf[end:])
}

// upgrade answers a complete head; rest is what came behind it.
func (h *handler) upgrade(s poller.Slot, head, rest []byte) {
	if !h.forwarded(s, head) {
		return
	}
	h.letIn(s, head, rest, entrant{})
}

// entrant is what has been found out about who wants to be let in.
type entrant struct {
	who      *person // nil = nothing yet
	prepared bool    // its room is ready, as far as that could be done
}

// letIn upgrades a connection and joins its room, if it may.
func (h *handler) letIn(s poller.Slot, head, rest []byte, e entrant) {
	if isSub(head) {
		h.upgradeSub(s, head, rest)
		return
	}
	var wish joinWish
	who := e.who
	reply, accepted, err := h.rules.upgrader.Upgrade(h.out, head, func(r *wsproto.Request) (err error) {
		if err = wish.read(r); err != nil || e.prepared {
			return err
		}
		if who == nil {
			if h.moveHome(s, wish.room, head, rest) {
				return errMoved
			}
			if who, err = h.identify(r, wish.room); err != nil {
				return err
			}
			if h.config.ConnectURL != "" {
				return h.ask(s, r, wish.room, who, head, rest)
			}
		}
		return h.awaitRoom(s, wish.room, who, head, rest)
	})
	if err != nil {
		h.turnDown(s, head, rest, err)
		return
	}
	if !h.unbanned(s, who, wish.room) {
		return
	}
	c := h.session(s)
	if accepted.Deflate {
		c.marks |= markDeflate
	}
	c.uid = h.server.nextUID.Add(1)
	req := wish.request(h, nativeEncoding(accepted.Protocol, accepted.Deflate))
	req.Who, req.Fleeting = h.server.viewerHash(who, c.uid)
	entry, err := h.shard.Join(uint32(s), req, h.loop.Now())
	if err != nil {
		h.refuseEntry(s, err)
		return
	}
	c.state, c.deadline = stateOpen, 0
	if !who.anybody() {
		h.persons.set(s, who)
	}
	h.upgraded++
	h.out = reply
	h.welcome(s, &entry)
	if len(rest) > 0 {
		h.frames(s, rest)
	}
}

// refuseEntry answers who finds no place in its room.
func (h *handler) refuseEntry(s poller.Slot, err error) {
	refusal := wsproto.Refusal{Status: 503, Message: "no place for another room; try again later", Header: []string{"Retry-After: 5"}}
	h.countNoPlace(err)
	if errors.Is(err, room.ErrRoomFull) {
		refusal.Message = "the room is full; try again later"
		h.refuse(s, &refusal, reasonRoomFull)
		return
	}
	h.refuse(s, &refusal, reasonRoomsFull)
}

// countNoPlace counts a join that failed.
func (h *handler) countNoPlace(err error) {
	if errors.Is(err, room.ErrRoomFull) {
		h.server.rejected.room.Add(1)
		return
	}
	h.server.rejected.rooms.Add(1)
}

// errMoved: the connection is another loop's now, which judges the head again.
var errMoved = errors.New("server: moved to another loop")

// moveHome brings a connection to the loop where the members of its room are, if
// the room is small, and reports whether it did.
func (h *handler) moveHome(s poller.Slot, name string, head, rest []byte) bool {
	home := h.server.hub.Home(name)
	if home < 0 || home == h.loop.Index() {
		return false
	}
	received := append(append([]byte(nil), head...), rest...)
	who := h.origin(s)
	there := h.server.handlers[home]
	// The place goes first, since the other loop may ask for it before this one
	// is back from Move. Meanwhile it may get lost to another connection: then one
	// of the two is refused, as it would be anyway.
	place := h.placeOf(s)
	place.giveBack()
	h.session(s).marks &^= markCounted
	if h.loop.Move(s, there.loop, received, func(at poller.Slot) { there.arrived(at, who) }) {
		return true
	}
	h.retake(s, place)
	return false
}

// welcome appends the welcome of a room to the replies.
func (h *handler) welcome(s poller.Slot, e *room.Entry) {
	var scratch [512]byte
	p := h.person(s)
	e.Degraded = h.server.alone()
	viewer := room.Viewer{UID: h.session(s).uid, User: p.user, Name: p.name, Role: p.role}
	h.replyNotice(s, room.AppendWelcome(scratch[:0], e, &viewer))
}

// refuse answers a request that becomes no WebSocket and closes.
func (h *handler) refuse(s poller.Slot, refusal *wsproto.Refusal, r poller.Reason) {
	h.out = h.out[:0]
	if !h.bare(s) { // who has no HTTP is not told
		h.out = refusal.AppendTo(h.out)
	}
	h.lastWords(s, r)
}

// lingerMax is how many connections a loop keeps at one time only so that their
// refusal is not lost by a reset: more would let those who are over a limit take
// the places of those who are not.
const lingerMax = 64

// turnAway refuses a connection for which there is no place, as cheaply as it can
// be done.
func (h *handler) turnAway(s poller.Slot, message string, r poller.Reason) {
	refusal := wsproto.Refusal{Status: 503, Message: message, Header: []string{"Retry-After: 5"}}
	if h.lingering >= lingerMax {
		h.cut++
		if h.out = h.out[:0]; !h.bare(s) {
			h.out = refusal.AppendTo(h.out)
			h.loop.Write(s, h.out) // its socket is empty and takes it, or the peer is gone
			h.out = h.out[:0]
		}
		h.loop.Close(s, r)
		return
	}
	h.lingering++
	h.session(s).marks |= markTurnedAway
	h.refuse(s, &refusal, r)
}

// joinWish is what the request target asks for.
type joinWish struct {
	room     string
	comments int // history wanted; -1 = the default
	resume   bool
	since    uint64
	epoch    string
	after    uint64 // id of a comment; 0 = not said
}

// read judges the target of an upgrade request: /ws/{room} or /ws?room=R.
func (w *joinWish) read(r *wsproto.Request) error {
	w.comments = -1
	name, found := strings.CutPrefix(r.Path, "/ws/")
	if found {
		var err error
		if name, err = url.PathUnescape(name); err != nil {
			name = ""
		}
	} else {
		if r.Path != "/ws" {
			return &wsproto.Refusal{Status: 404, Message: "WebSockets are served at /ws/{room} and, for packets, at /sub"}
		}
		if name, found = r.QueryValue("room"); !found {
			return &wsproto.Refusal{Status: 400, Message: "which room? connect to /ws/{room} or /ws?room=R"}
		}
	}
	if !room.ValidName(name) {
		return &wsproto.Refusal{Status: 400, Message: "a room name is 1 to 64 of A-Z a-z 0-9 _ . : -"}
	}
	w.room = name
	if text, ok := r.QueryValue("history"); ok {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return &wsproto.Refusal{Status: 400, Message: "history is a number of comments"}
		}
		w.comments = n
	}
	if text, ok := r.QueryValue("since"); ok {
		since, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return &wsproto.Refusal{Status: 400, Message: "since is the seq of the last batch you have"}
		}
		w.resume, w.since = true, since
		w.epoch, _ = r.QueryValue("epoch")
	}
	if text, ok := r.QueryValue("after"); ok {
		if w.after, ok = room.ParseID(text); !ok {
			return &wsproto.Refusal{Status: 400, Message: "after is the greatest id of the comments you have"}
		}
		w.resume = true
	}
	return nil
}

// request is the wish as the rooms understand it.
func (w *joinWish) request(h *handler, e room.Encoding) room.JoinRequest {
	history := w.comments
	if history < 0 {
		history = h.config.History
	}
	return room.JoinRequest{
		Name: w.room, Encoding: e, History: history,
		Resume: w.resume, Since: w.since, Epoch: w.epoch, After: w.after,
	}
}
