package server

import (
	"bytes"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/packet"
	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/room"
	"github.com/danmakud/danmakud/wsproto"
)

// Viewers that speak packets (package packet) instead of JSON:
//
//	GET /sub ─ 101 ──────────┐
//	--packet-listen, bare ───┴► greeting ─ auth ─► who, banned, place ─► open
//	                               └─ not within authTime: closed
//
// Bare ones have no WebSocket around their packets. What is said to native viewers
// alone, such as errors and goodbyes, is not said to these.

// isSub reports whether a request head asks for packets.
func isSub(head []byte) bool {
	rest, ok := bytes.CutPrefix(head, []byte("GET /sub"))
	return ok && len(rest) > 0 && (rest[0] == ' ' || rest[0] == '?')
}

// isPackets reports whether an encoding is packets.
func isPackets(e room.Encoding) bool { return e >= encodingBilibili && e <= encodingGoim }

// speaksPackets reports whether the viewer at s does, who is greeting or open.
func (h *handler) speaksPackets(s poller.Slot) bool {
	return h.session(s).state == stateGreeting || isPackets(h.shard.EncodingOf(uint32(s)))
}

// dialect is that of a viewer who speaks packets and is in a room.
func (h *handler) dialect(s poller.Slot) packet.Dialect {
	if h.shard.EncodingOf(uint32(s)) == encodingGoim {
		return packet.Goim
	}
	return packet.Bilibili
}

// bare reports whether the viewer at s has no WebSocket around its packets.
func (h *handler) bare(s poller.Slot) bool { return h.shard.Bare(uint32(s)) }

// OpenedOther starts a connection of the listener for bare packets.
func (h *handler) OpenedOther(s poller.Slot) {
	h.shard.SetBare(uint32(s))
	if h.begin(s) {
		h.greet(s)
		h.locate(s)
	}
}

// upgradeSub answers a request for packets; rest is what came behind it.
func (h *handler) upgradeSub(s poller.Slot, head, rest []byte) {
	reply, _, err := h.rules.packets.Upgrade(h.out, head, nil)
	if err != nil {
		h.turnDown(s, head, rest, err)
		return
	}
	h.out = reply
	h.upgraded++
	h.greet(s)
	if len(rest) > 0 {
		h.frames(s, rest)
	}
}

// greet waits for auth.
func (h *handler) greet(s poller.Slot) {
	c := h.session(s)
	c.state, c.deadline, c.pinged = stateGreeting, 0, h.loop.Seconds()
	c.uid = h.server.nextUID.Add(1)
}

// receive takes what a viewer sent, which is empty when the backlog goes on.
func (h *handler) receive(s poller.Slot, p []byte) {
	if h.bare(s) {
		h.stream(s, p)
		return
	}
	h.frames(s, p)
}

// stream decodes what a bare viewer sent.
func (h *handler) stream(s poller.Slot, p []byte) {
	if h.session(s).is(markHeader) {
		if p = h.takeProxyHeader(s, p); len(p) == 0 {
			return
		}
	}
	if !h.spendBytes(s, len(p)) {
		return
	}
	buf := p
	k := h.partials[s]
	if k != nil && len(k.bytes) > 0 {
		need := packet.Need(k.bytes)
		buf = k.add(p)
		if need > len(buf) && len(p) > 0 {
			h.settle(s)
			return
		}
	}
	rest, whole := h.takePackets(s, buf)
	if !h.session(s).talking() {
		return
	}
	switch {
	case k != nil && len(k.bytes) > 0:
		k.keep(rest)
	case len(rest) > 0:
		h.partial(s).add(rest)
	}
	if !whole {
		h.wait(s)
	}
	h.settle(s)
}

// takePackets handles the packets at the start of buf, at most as many as one turn has
// for a connection: then whole is false.
func (h *handler) takePackets(s poller.Slot, buf []byte) (rest []byte, whole bool) {
	for n := 0; len(buf) > 0; n++ {
		if n == framesPerTurn {
			return buf, false
		}
		k, size, err := packet.Decode(buf, h.config.MaxMessage)
		if err != nil {
			h.badPacket(s, err)
			return nil, true
		}
		if size == 0 {
			break
		}
		buf = buf[size:]
		h.session(s).deadline = 0 // what comes behind has its own time
		if !h.spendFrame(s, wsproto.OpBinary) {
			return nil, true
		}
		if h.packet(s, k); !h.session(s).talking() {
			return nil, true
		}
		if len(h.out) >= repliesFlush {
			if h.flushReplies(s); !h.session(s).talking() {
				return nil, true
			}
		}
	}
	return buf, true
}

// packetMessage handles a message of a viewer on a WebSocket: whole packets.
func (h *handler) packetMessage(s poller.Slot, m wsproto.Message) {
	if m.Op != wsproto.OpBinary {
		h.finish(s, wsproto.CodeUnsupported, "packets come in binary messages", reasonPacketText)
		return
	}
	for p, n := m.Data, 0; len(p) > 0; n++ {
		k, size, err := packet.Decode(p, h.config.MaxMessage)
		if err == nil && size == 0 {
			err = packet.ErrCut
		}
		if err != nil {
			h.badPacket(s, err)
			return
		}
		if n > 0 && !h.spendFrame(s, wsproto.OpBinary) { // the first is paid with its frame
			return
		}
		if h.packet(s, k); !h.session(s).talking() {
			return
		}
		p = p[size:]
	}
}

// badPacket ends a connection whose bytes are no packets.
func (h *handler) badPacket(s poller.Slot, err error) {
	problem, ok := err.(*packet.Problem)
	if !ok {
		panic("server: decoder error that is no problem: " + err.Error())
	}
	h.finish(s, wsproto.CodeProtocol, problem.Text, packetReasons[problem])
}

// packet handles one packet, whose body lives until it returns.
func (h *handler) packet(s poller.Slot, k packet.Packet) {
	if h.session(s).state == stateGreeting {
		if k.Op == packet.OpAuth && h.asked[s] == nil {
			h.auth(s, k)
			return
		}
		h.ignorePacket(s)
		return
	}
	switch d := h.dialect(s); {
	case k.Op == packet.OpHeartbeat:
		h.session(s).pinged = h.loop.Seconds()
		var reply [packet.HeaderSize + 4]byte
		online := h.shard.RoomOf(uint32(s)).Online()
		h.reply(s, packet.AppendHeartbeatReply(reply[:0], k, d, online))
	case d == packet.Goim:
		h.goimPacket(s, k)
	default:
		h.ignorePacket(s)
	}
}

// ignorePacket counts a packet that means nothing here, or not now. Who sends many
// such is at fault.
func (h *handler) ignorePacket(s poller.Slot) {
	h.ignored++
	c := h.session(s)
	if c.strikes++; c.strikes >= strikesMax {
		h.finish(s, wsproto.CodePolicy, "too many packets without a meaning", reasonAbuse)
	}
}

// reply appends packets to the replies.
func (h *handler) reply(s poller.Slot, packets []byte) {
	if h.bare(s) {
		h.out = append(h.out, packets...)
		return
	}
	h.out = wsproto.AppendFrame(h.out, wsproto.OpBinary, packets)
}
