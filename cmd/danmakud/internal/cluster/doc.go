// Package cluster joins nodes by NATS, so that a room spans all of them. A node by
// itself has none of it: no goroutine, no connection, nothing on a hot path but a nil
// check.
//
//	 node A                                NATS                          node B
//	room.Publish ─► SpeakDue ─► Tick ─► <cluster>.b.<shard> ─► Tick ─► room.Merge ─► Seal
//	   once per room and tick, compressed once;        only shards with viewers here
//
//	Report, state ─────────────► <cluster>.all ───────────────► Peer, state
//	Ask ───────────────────────► <cluster>.node.<id> ─────────► answer
//
// What is said goes by room: rooms hash to shards, each a subject, and a node hears a
// shard only while it has viewers in it. All else goes by node. What comes from the bus
// is data of somebody else: it is checked like a viewer's, counted and dropped if it is
// not as it must be, and has no way back to the bus.
//
// Files in reading order: link.go (the connection), message.go and control.go (what
// nodes tell and ask each other), peers.go (who is there), tick.go (a room's words on
// the wire), speak.go and hear.go (their way out and in), prepare.go (a room that is
// new here), audience.go (who was in a room), history.go and past.go (what JetStream
// keeps).
package cluster
