package moderation

// Counts are for metrics: totals since the start, and how many there are now.
type Counts struct {
	// Judged comments by what became of them: pass, reject, hold, shadow, review.
	Verdicts map[string]uint64
	Masked   uint64 // of those that passed, or were shadowed: with words masked

	// Reviews by the answer: pass, reject, hold, shadow, and failed.
	Reviews map[string]uint64

	HeldFull, HeldExpired uint64            // comments that could not be held, or nobody decided on
	Forgotten             map[string]uint64 // by table, see --user-rate: user, address, slow_mode, duplicate
	AuditFailed           uint64            // lines that could not be written to the audit log

	Sanctions, Held, Words, WordBytes int // at present
}

var actionNames = [...]string{Pass: "pass", Reject: "reject", Hold: "hold", Shadow: "shadow", Review: "review"}

// String is the action's name in metrics.
func (a Action) String() string { return actionNames[a] }

// Counts returns them. Any goroutine.
func (d *Desk) Counts() Counts {
	words := d.rules.Load().words
	c := Counts{
		Verdicts: make(map[string]uint64), Reviews: make(map[string]uint64), Masked: d.masked.Load(),
		HeldFull: d.held.full.Load(), HeldExpired: d.held.expired.Load(), AuditFailed: d.audit.failed.Load(),
		Forgotten: map[string]uint64{
			"user": d.users.forgotten.Load(), "address": d.addresses.forgotten.Load(),
			"slow_mode": d.slow.forgotten.Load(), "duplicate": d.duplicates.forgotten.Load(),
		},
		Sanctions: int(d.sanctions.count.Load()), Held: d.held.len(),
	}
	for a := range d.verdicts {
		c.Verdicts[actionNames[a]] = d.verdicts[a].Load()
	}
	for a := range d.reviews.actions {
		c.Reviews[actionNames[a]] = d.reviews.actions[a].Load()
	}
	c.Reviews["failed"] = d.reviews.failed.Load()
	for _, l := range words.lists {
		c.Words += l.Count
	}
	if words.find != nil {
		c.WordBytes = words.find.bytes()
	}
	return c
}
