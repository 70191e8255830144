package server

import (
	"context"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/moderation"
	"github.com/danmakud/danmakud/poller"
	"github.com/danmakud/danmakud/room"
)

// How a comment comes to be published, or not:
//
//	comment ─► judge ─┬─ pass ───► room.Publish ─► ack with its id
//	  (loop)          ├─ reject ─► error
//	                  ├─ shadow ─► back to its sender alone
//	                  ├─ hold ───► kept for a moderator ─► ack without an id
//	                  └─ review ─► errands ─► webhook ─► one of the above
//
// The answer to a review reaches the viewer by its Handle, if it is still there. The
// comments of one viewer may overtake each other on this way, and on no other.

// A remark is a comment under review. Nothing in it points into a receive buffer.
type remark struct {
	at      poller.Handle
	ref     string
	room    string
	comment room.Comment
	speaker moderation.Speaker
	until   time.Time // when an answer is too late
}

// judge decides what becomes of a comment to a room. Loop goroutine only; the
// verdict's text lives until the next call.
func (h *handler) judge(s poller.Slot, r *room.Room, c *room.Comment) moderation.Verdict {
	set := r.Settings()
	who := moderation.Speaker{Role: c.Role}
	user, address := h.server.desk.Asks(set)
	if user {
		who.User = h.publicID(s)
	}
	if address {
		who.Address = h.speakerAddress(s)
	}
	return h.server.desk.Judge(&h.scratch, r.Name(), set, &who, c.Text, h.loop.Now())
}

// speaker is the viewer at s as moderation sees it.
func (h *handler) speaker(s poller.Slot) moderation.Speaker {
	return moderation.Speaker{User: h.publicID(s), Role: h.person(s).role, Address: h.address(s)}
}

// say publishes a comment to the room its sender is in.
func (h *handler) say(s poller.Slot, r *room.Room, c *room.Comment, ref string) {
	id, sealNow, err := r.Publish(c, h.loop.Now(), h.loop.Wall())
	if err != nil { // only room.ErrFull: a room with a member is never removed
		h.refuseCommand(s, ref, refusedOverloaded, tooMany, r.Tick().Milliseconds())
		return
	}
	h.comments++
	if sealNow {
		h.sealNow = append(h.sealNow, r)
	}
	if ref != "" {
		h.replyAck(s, ref, id)
	}
}

const tooMany = "too many comments at this moment"

// shadow shows a comment to its sender alone, who cannot tell the difference. in is
// the room it was for.
func (h *handler) shadow(s poller.Slot, in string, c *room.Comment, ref string) {
	h.shadowed++
	var id uint64
	h.out, id = h.shard.Echo(h.out, uint32(s), in, c, h.loop.Wall())
	if ref != "" {
		h.replyAck(s, ref, id)
	}
}

// hold keeps a comment for a moderator's decision.
func (h *handler) hold(s poller.Slot, r *room.Room, c *room.Comment, ref, list string) {
	if h.server.hold(r.Name(), h.publicID(s), c, list) != nil {
		h.refuseCommand(s, ref, refusedOverloaded, tooMany, retryBusy)
		return
	}
	if ref != "" {
		h.replyAck(s, ref, 0)
	}
}

// hold may be called by any goroutine: it is a place in memory.
func (s *Server) hold(in, user string, c *room.Comment, list string) error {
	_, err := s.desk.Hold(moderation.HeldComment{
		Room: in, User: user, Name: c.Name, Text: c.Text, List: list, At: time.Now(), Comment: *c,
	})
	return err
}

// retryBusy is when to try again what found a queue full, ms.
const retryBusy = 1000

// review asks the webhook about a comment. When more wait than there are places
// for, the comment is treated as if the webhook had failed.
func (h *handler) review(s poller.Slot, r *room.Room, c *room.Comment, ref string) {
	m := &remark{
		at: h.loop.Handle(s), ref: ref, room: r.Name(), comment: *c, speaker: h.speaker(s),
		until: time.Now().Add(h.config.ReviewTimeout),
	}
	switch {
	case h.server.reviews.do(func() { h.server.review(m) }):
	case h.config.ReviewFail == "open":
		h.say(s, r, c, ref)
	default:
		h.refuseCommand(s, ref, refusedOverloaded, tooMany, retryBusy)
	}
}

// review is an errand. The time that a comment waits for its turn counts, or a webhook
// that answers nothing would hold back each of thousands by its whole timeout.
func (s *Server) review(m *remark) {
	ctx, cancel := context.WithDeadline(s.reviewing, m.until)
	defer cancel()
	v, err := s.desk.Review(ctx, m.room, m.speaker, m.comment.Text)
	if err != nil { // the verdict says what is to be done then
		s.log.Debug("comment not reviewed", "error", err)
	}
	s.conclude(m, &v)
}

// conclude does what a verdict says that came off the loops.
func (s *Server) conclude(m *remark, v *moderation.Verdict) {
	m.comment.Text = v.Text
	switch v.Action {
	case moderation.Pass:
		s.say(m)
	case moderation.Reject:
		s.refuse(m, refusalOf(v.Code), v.Message, v.RetryMs)
	case moderation.Shadow:
		s.tell(m.at, func(h *handler, slot poller.Slot) { h.shadow(slot, m.room, &m.comment, m.ref) })
	case moderation.Hold:
		if s.hold(m.room, m.speaker.User, &m.comment, v.List) != nil {
			s.refuse(m, refusedOverloaded, tooMany, retryBusy)
			return
		}
		s.acknowledge(m.at, m.ref, 0)
	case moderation.Review: // nobody is asked twice, and Review does not answer so
		panic("server: a review that asks for a review")
	}
}

// say publishes a comment that took its time. Its sender may have left.
func (s *Server) say(m *remark) {
	id, err := s.publish(m.room, &m.comment)
	if err != nil {
		s.refuse(m, refusedOverloaded, tooMany, retryBusy)
		return
	}
	s.settled.Add(1)
	s.acknowledge(m.at, m.ref, id)
}

func (s *Server) refuse(m *remark, code refusal, message string, retryMs int64) {
	s.tell(m.at, func(h *handler, slot poller.Slot) { h.refuseCommand(slot, m.ref, code, message, retryMs) })
}

// acknowledge answers a command that was carried out off the loops; id 0 is none.
func (s *Server) acknowledge(at poller.Handle, ref string, id uint64) {
	if ref != "" {
		s.tell(at, func(h *handler, slot poller.Slot) { h.replyAck(slot, ref, id) })
	}
}
