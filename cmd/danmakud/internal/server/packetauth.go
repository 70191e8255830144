package server

import (
	"errors"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/packet"
	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/room"
	"github.com/danmakud/danmakud/wsproto"
)

// authTime is how long a viewer who speaks packets may take to say who it is.
const authTime = 5 * time.Second

// authing is an auth under way: what it says, and the packet it came in, without its body.
type authing struct {
	packet.Auth
	in packet.Packet
}

// encoding is how batches go to who says a.
func (a *authing) encoding() room.Encoding {
	switch {
	case a.Dialect == packet.Goim:
		return encodingGoim
	case a.Zlib:
		return encodingBilibiliZlib
	}
	return encodingBilibili
}

// auth finds out who wants to enter which room, and lets it in.
func (h *handler) auth(s poller.Slot, k packet.Packet) {
	said, err := packet.ReadAuth(&h.json, k.Body)
	if err == nil && !room.ValidName(said.Room) {
		err = packet.ErrAuth
	}
	if err != nil {
		h.badPacket(s, err)
		return
	}
	k.Body = nil
	a := &authing{said, k}
	who, err := h.identifyBy(a.Token, a.Room)
	if err == nil && h.config.ConnectURL != "" {
		err = h.askAbout(s, a, who)
	}
	if err == nil {
		err = h.enter(s, a, who)
	}
	h.refuseAuth(s, a, err)
}

// enter joins the room of a, if the viewer may.
func (h *handler) enter(s poller.Slot, a *authing, who *person) error {
	if text, is := h.banned(s, who.user, who.role, a.Room); is {
		h.server.rejected.banned.Add(1)
		return &refusedEntry{wsproto.Refusal{Status: 403, Message: text}, reasonBanned}
	}
	h.server.prepareRoom(a.Room)
	req := room.JoinRequest{Name: a.Room, Encoding: a.encoding()}
	req.Who, req.Fleeting = h.server.viewerHash(who, h.session(s).uid)
	_, err := h.shard.Join(uint32(s), req, h.loop.Now())
	if err != nil {
		h.countNoPlace(err)
		if errors.Is(err, room.ErrRoomFull) {
			return &refusedEntry{wsproto.Refusal{Status: 503, Message: "the room is full"}, reasonRoomFull}
		}
		return &refusedEntry{wsproto.Refusal{Status: 503, Message: "no place for another room"}, reasonRoomsFull}
	}
	c := h.session(s)
	c.state, c.pinged = stateOpen, h.loop.Seconds()
	if !who.anybody() {
		h.persons.set(s, who)
	}
	if a.Dialect == packet.Goim {
		h.pushed.set(s, a.Key, a.Accepts)
	}
	h.reply(s, packet.AppendAuthReply(nil, a.in, a.Dialect, packet.AuthGood))
	return nil
}

// refuseAuth ends a viewer who is not let in; err may be nil, or say that the site is
// being asked. Who came with a bad token is told so, in the dialect that can.
func (h *handler) refuseAuth(s poller.Slot, a *authing, err error) {
	var refused *refusedEntry
	if !errors.As(err, &refused) {
		return
	}
	code := wsproto.CodeTryLater
	switch {
	case refused.Status == 401:
		code = codeToken
	case refused.reason == reasonBanned:
		code = codeBanned
	case refused.Status == 403:
		code = wsproto.CodePolicy
	}
	if code != wsproto.CodeTryLater && a.Dialect == packet.Bilibili {
		h.reply(s, packet.AppendAuthReply(nil, a.in, a.Dialect, packet.AuthBad))
	}
	h.finish(s, code, closeText(reasonName(refused.reason), refused.Message), refused.reason)
}

// askAbout has the site asked about a viewer, as ask does at an upgrade. What it
// sends meanwhile is ignored.
func (h *handler) askAbout(s poller.Slot, a *authing, who *person) error {
	q := question{Room: a.Room, User: who.user, Name: who.name, Role: who.role, until: time.Now().Add(h.config.ConnectTimeout)}
	if from := h.address(s); from.IsValid() {
		q.Address = from.String()
	}
	at := h.loop.Handle(s)
	if !h.server.callback.put(&q, func(ans answer) { h.loop.Post(func() { h.answered(at, ans) }) }) {
		return h.failed()
	}
	h.asked[s] = &asking{who: who, room: a.Room, auth: a}
	return errAsked
}

// answeredAuth goes on with an auth about which the site was asked.
func (h *handler) answeredAuth(s poller.Slot, q *asking, ans answer) {
	delete(h.asked, s)
	who, err := h.decide(q, ans)
	if err == nil {
		err = h.enter(s, q.auth, who)
	}
	h.refuseAuth(s, q.auth, err)
	h.flushReplies(s)
}

// sweepGreeting ends who does not say in time who it is.
func (h *handler) sweepGreeting(s poller.Slot, c *session, now uint32) {
	limit := authTime
	if h.asked[s] != nil {
		limit = h.config.HandshakeTimeout
	}
	switch {
	case c.deadline != 0 && now >= c.deadline:
		h.finish(s, wsproto.CodePolicy, "a message took too long", reasonMessageTimeout)
	case now-c.pinged <= seconds(limit):
	case c.is(markHeader):
		h.loop.Close(s, reasonProxyHeader)
	case h.asked[s] != nil:
		h.finish(s, wsproto.CodeTryLater, "no answer in time whether you may enter", reasonConnectFailed)
	default:
		h.finish(s, wsproto.CodePolicy, "no auth in time", reasonPacketAuth)
	}
}

// sweepHeartbeat ends who has not been heard of for too long.
func (h *handler) sweepHeartbeat(s poller.Slot, c *session, now uint32) {
	limit := h.config.PacketHeartbeat
	if h.dialect(s) == packet.Goim {
		limit = h.config.GoimHeartbeat
	}
	if now-c.pinged > seconds(limit) {
		h.finish(s, wsproto.CodeGoingAway, "no heartbeat", reasonHeartbeat)
	}
}
