// Package protobuf puts the native protocol's messages into protobuf, for viewers with
// the subprotocol danmaku.v1.proto, and reads theirs. The schema, and the types for
// viewers that are written in Go, are in clients/proto/danmaku/v1. No I/O, goroutine or
// clock.
//
// The server says everything in JSON first. What goes to viewers of this protocol is
// made of that, message by message (Encoder), so that both say the same; for a batch
// that happens once a tick. What they send is read in place (Command).
package protobuf
