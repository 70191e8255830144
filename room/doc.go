// Package room knows who is in which room, what was said since the last tick,
// and who has received what. It has no socket, no goroutine and no clock: time
// comes in as a parameter, bytes go out through the Writer interface.
//
//	Publish ─► Room.pending ──Seal──► Batch (framed once, immutable), kept a while
//	                     (over budget:  │    for who comes back
//	                         governor)  │
//	                                    │ posted to each loop with members
//	              ┌─────────────────────┼─────────────────────┐
//	              ▼                     ▼                     ▼
//	        Shard 0.Deliver       Shard 1.Deliver       Shard N.Deliver
//	              │ Broadcast: passes over members, in bounded slices
//	              ▼
//	        flush(slot): torn frame, replies, then batches in sequence
//
// Hub and Room are shared by all loops and locked (Hub.mu → Room.mu, nested only
// in this order; dueList.mu and keeping.mu with no other held). A Shard belongs to
// one loop and is never locked.
//
// Delivery promise: on one connection batches come in order, at most once and
// never cut. A viewer that lags further than the ring reaches jumps to the newest
// batch and is told what it missed, so for every membership
//
//	delivered + skipped + unsent at leaving = batches sealed meanwhile,
//
// from where it resumed, if it did. And of the comments that a room took
//
//	sent + merged + sampled + withdrawn + pending = taken.
//
// Time parameters: now is in nanoseconds of any monotonic clock, wall in
// milliseconds since the Unix epoch.
package room
