package server

import "github.com/prometheus/client_golang/prometheus"

var (
	descShadowed       = desc("comments_shadowed_total", "Comments shown to their senders alone.")
	descJudged         = desc("comments_judged_total", "Comments judged, by what was to become of them.", "verdict")
	descMasked         = desc("comments_masked_total", "Comments with words masked.")
	descReviews        = desc("reviews_total", "Comments the review was asked about, by its answer.", "answer")
	descHeld           = desc("held_comments", "Comments that wait for a moderator.")
	descHeldFull       = desc("held_full_total", "Comments refused because too many waited for a moderator.")
	descHeldExpired    = desc("held_expired_total", "Held comments that nobody decided on in time.")
	descSanctions      = desc("sanctions", "Mutes, bans and shadow bans in force.")
	descWords          = desc("words", "Words of all word lists.")
	descWordBytes      = desc("words_bytes", "Memory that finding those words takes.")
	descLimitForgotten = desc("limits_forgotten_total", "Speakers whose last comment was forgotten before its limit was over, for lack of place.", "limit")
	descAuditFailed    = desc("audit_failed_total", "Lines that could not be written to the audit log.")

	descErrandsWaiting = desc("errands_waiting", "Work beside the loops that has not begun.", "pool")
	descErrandsRefused = desc("errands_refused_total", "Work beside the loops that found no place in its queue.", "pool")
)

// collectModeration gathers what moderation has counted.
func (m *metrics) collectModeration(ch chan<- prometheus.Metric, counter func(*prometheus.Desc, uint64, ...string)) {
	gauge := func(d *prometheus.Desc, n int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), labels...)
	}
	s := m.server
	c := s.desk.Counts()
	for verdict, n := range c.Verdicts {
		counter(descJudged, n, verdict)
	}
	for answer, n := range c.Reviews {
		counter(descReviews, n, answer)
	}
	for limit, n := range c.Forgotten {
		counter(descLimitForgotten, n, limit)
	}
	counter(descMasked, c.Masked)
	counter(descHeldFull, c.HeldFull)
	counter(descHeldExpired, c.HeldExpired)
	counter(descAuditFailed, c.AuditFailed)
	gauge(descHeld, c.Held)
	gauge(descSanctions, c.Sanctions)
	gauge(descWords, c.Words)
	gauge(descWordBytes, c.WordBytes)
	for _, e := range []*errands{s.chores, s.reviews} {
		counter(descErrandsRefused, e.refused.Load(), e.name)
		gauge(descErrandsWaiting, e.waiting(), e.name)
	}
}
