package poller

import "time"

// All bounds of the package, each with its reason.
const (
	// maxLoops is what the 8 bits of a Handle can tell apart.
	maxLoops = 1 << 8
	// maxSlots is what the 24 bits of a Handle can tell apart, per loop.
	maxSlots = 1 << 24
	// chunkSlots is the step in which columns grow: 96 KiB, 24 bytes a slot.
	chunkSlots = 1 << 12

	// fileReserve is how many fds MaxConnections = 0 leaves to others:
	// listeners, pollers, the control plane, lingering refusals, log files.
	fileReserve = 64

	// eventBatch is the most events one wait returns. What is not returned
	// stays ready and comes first next time.
	eventBatch = 256
	// receiveBufferDefault holds any legal message many times over; larger
	// reads only make one chatty viewer take longer.
	receiveBufferDefault = 64 << 10
	// inboxLimitDefault is far above one call per room and tick.
	inboxLimitDefault = 1 << 16
	// inboxKeep is the capacity an inbox keeps after a burst.
	inboxKeep = 1 << 12

	// sweepEvery is the period of Handler.Sweep and the longest sleep of a loop.
	sweepEvery = time.Second
	// yieldEvery is well below the 10 ms after which the runtime takes a goroutine
	// for one that hogs its processor.
	yieldEvery = 8 * time.Millisecond
	// napMost bounds a sleep within napWithin of the last work. A nap keeps the
	// loop's processor: the runtime's monitor would take it away after 10 ms, or
	// at once when no other is idle, and poll every 20 µs for a while, which cost
	// more than waking up a few times between two ticks. A program whose
	// GOMAXPROCS is not larger than the number of loops lets others wait as long.
	napMost   = 8 * time.Millisecond
	napWithin = 300 * time.Millisecond
	// logEvery is the least time between two log lines of one source.
	logEvery = time.Second

	// backlogMax is cut by the system to what it allows.
	backlogMax = 1<<16 - 1
	// acceptBatch is how many connections are taken from one listener before
	// the others have their turn.
	acceptBatch = 64
	// acceptPauseMin and acceptPauseMax bound the pause after a failed accept;
	// it doubles while accepting goes on failing.
	acceptPauseMin = 100 * time.Millisecond
	acceptPauseMax = time.Second
	// ratePause is the least pause when the accept rate is used up, so that the
	// bucket refills by more than one token.
	ratePause = 10 * time.Millisecond
	// refuseRate is how many connections a second are refused for want of a place,
	// before those that follow wait in the kernel: clients that come back at once would
	// come ever faster, at the cost of who is connected.
	refuseRate = 500

	// sharedLook is how often listeners that other processes share are looked at
	// without an event: some kernels hand over what waited in the socket of a
	// process that ends without saying so.
	sharedLook = time.Second

	// lingerLimit and lingerTime bound the refused connections kept open for
	// their request to arrive: closing with unread bytes would send a reset
	// that destroys the reply on its way.
	lingerLimit = 32
	lingerTime  = 500 * time.Millisecond
	// drainReads and drainBytes bound what is read and thrown away of one
	// refused connection.
	drainReads = 4
	drainBytes = 4 << 10
)
