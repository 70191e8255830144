// Package wsproto is the server side of RFC 6455 and RFC 7692 (permessage-deflate)
// as functions on byte slices.
//
// It does no I/O, starts no goroutine and reads no clock: the owner of a
// connection feeds it the bytes that arrived and writes the bytes it returns.
//
//	bytes in ──► HeadEnd ──► Upgrader.Upgrade ──► 101 reply, or *Refusal.AppendTo
//	               │ bytes after the blank line are frames already
//	               ▼
//	          Decode ──► Frame ──┬─ data ─────► Assembler.Push ──► Message ──► Inflater.Message
//	             │               ├─ OpClose ──► ParseClose
//	             │ n = 0: keep   └─ ping, pong: the payload as it is
//	             ▼ the rest, Need says how much will come
//
//	AppendFrame, FrameInPlace, AppendClose, Deflater.AppendFrame ──► bytes out
//
// A peer that breaks a rule is answered with one of the predeclared *Violation
// values: it carries the close code to send and a name for a metric. Nothing is
// ever allocated on a length that a peer merely declares. All functions may be
// called from any goroutine; an Assembler, an Inflater and a Deflater belong to one
// at a time.
package wsproto
