package server

import "github.com/danmakud/danmakud/poller"

// tell runs f for a viewer on its loop, if it is still connected then; what f
// replies is written. It reports false when the loop takes no more. Any goroutine.
func (s *Server) tell(at poller.Handle, f func(h *handler, slot poller.Slot)) bool {
	h := s.handlers[at.Loop()]
	return h.loop.Post(func() {
		slot, ok := h.loop.Resolve(at)
		if !ok || h.session(slot).state != stateOpen {
			return
		}
		h.out = h.out[:0] // a panic may have left another connection's replies
		f(h, slot)
		h.flushReplies(slot)
	})
}
