package server

import (
	"slices"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/packet"
	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/room"
	"github.com/danmakud/danmakud/wsproto"
)

// pushed are the goim viewers of a loop that said by what pushes find them, or which
// operations they want. Others cost nothing. Loop goroutine only.
type pushed struct {
	bySlot map[poller.Slot]*goimViewer
	byKey  map[string][]poller.Slot
}

// goimViewer is one of them.
type goimViewer struct {
	key     string  // "" = it cannot be found by a key
	place   int     // among those of its key, which may be many: viewers choose it
	accepts []int32 // operations of pushes by key, user or to all; few
}

func newPushed() pushed {
	return pushed{bySlot: make(map[poller.Slot]*goimViewer), byKey: make(map[string][]poller.Slot)}
}

func (p *pushed) set(s poller.Slot, key string, accepts []int32) {
	if key == "" && len(accepts) == 0 {
		return
	}
	p.bySlot[s] = &goimViewer{key, len(p.byKey[key]), accepts}
	if key != "" {
		p.byKey[key] = append(p.byKey[key], s)
	}
}

// forget does nothing for others.
func (p *pushed) forget(s poller.Slot) {
	v := p.bySlot[s]
	if v == nil {
		return
	}
	if v.key == "" {
		delete(p.bySlot, s)
		return
	}
	same := p.byKey[v.key]
	last := len(same) - 1
	same[v.place] = same[last] // the last one takes its place
	p.bySlot[same[last]].place = v.place
	delete(p.bySlot, s)
	if last == 0 {
		delete(p.byKey, v.key)
		return
	}
	p.byKey[v.key] = same[:last]
}

// accepts reports whether the viewer at s asked for an operation.
func (p *pushed) accepts(s poller.Slot, op uint32) bool {
	v := p.bySlot[s]
	return v != nil && slices.Contains(v.accepts, int32(op))
}

// subscribe adds operations to those that s wants, up to the bound, or takes them away.
func (p *pushed) subscribe(s poller.Slot, ops []int32, on bool) {
	v := p.bySlot[s]
	if v == nil {
		v = new(goimViewer)
		p.bySlot[s] = v
	}
	v.accepts = slices.DeleteFunc(v.accepts, func(op int32) bool { return slices.Contains(ops, op) })
	if on {
		v.accepts = append(v.accepts, ops[:min(len(ops), packet.AcceptsMax-len(v.accepts))]...)
	}
	if v.key == "" && len(v.accepts) == 0 {
		delete(p.bySlot, s)
	}
}

// goimPacket handles what only goim clients say.
func (h *handler) goimPacket(s poller.Slot, k packet.Packet) {
	switch k.Op {
	case packet.OpChangeRoom:
		h.changeRoom(s, k)
	case packet.OpSubscribe:
		h.pushed.subscribe(s, packet.ReadOps(k.Body), true)
		h.reply(s, packet.AppendEcho(nil, k, packet.OpSubscribeReply, true))
	case packet.OpUnsubscribe:
		h.pushed.subscribe(s, packet.ReadOps(k.Body), false)
		h.reply(s, packet.AppendEcho(nil, k, packet.OpUnsubscribeReply, true))
	case packet.OpAuth, packet.OpAuthReply, packet.OpHeartbeatReply, packet.OpRaw:
		h.ignorePacket(s)
	default: // for the site's own code in goim, which answers so when it has none
		h.reply(s, packet.AppendEcho(nil, k, k.Op, false))
	}
}

// changeRoom leaves the present room for another one. Who may not stays, and is not
// answered: goim has no words for it.
func (h *handler) changeRoom(s poller.Slot, k packet.Packet) {
	name := packet.RoomName(string(k.Body))
	if !room.ValidName(name) || !h.maySwitch(s, name) {
		h.ignorePacket(s)
		return
	}
	if _, ok := h.rules.buckets.spendComment(h.session(s), h.nowMs()); !ok {
		h.ignorePacket(s)
		return
	}
	if _, is := h.banned(s, h.publicID(s), h.person(s).role, name); is {
		h.ignorePacket(s)
		return
	}
	now, before := h.loop.Now(), h.shard.RoomOf(uint32(s)).Name()
	h.shard.Leave(uint32(s), now)
	h.server.prepareRoom(name)
	req := room.JoinRequest{Name: name, Encoding: encodingGoim}
	req.Who, req.Fleeting = h.viewerHash(s)
	_, err := h.shard.Join(uint32(s), req, now)
	if err == nil {
		h.reply(s, packet.AppendEcho(nil, k, packet.OpChangeRoomReply, true))
		return
	}
	h.countNoPlace(err)
	req.Name = before
	if _, err = h.shard.Join(uint32(s), req, now); err != nil {
		h.finish(s, wsproto.CodeTryLater, "the room is full", reasonRoomFull)
		return
	}
	h.ignorePacket(s)
}

// push sends what a site pushes to the viewer at s alone, and reports whether it is a
// goim viewer who wants that operation.
func (h *handler) push(s poller.Slot, op uint32, body []byte) bool {
	if h.shard.EncodingOf(uint32(s)) != encodingGoim || h.session(s).state != stateOpen || !h.pushed.accepts(s, op) {
		return false
	}
	h.reply(s, packet.AppendPush(nil, op, body, !h.bare(s)))
	return true
}
