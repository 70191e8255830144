package cluster

import (
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// replicasTime is for how long NATS must say that it has too few servers for what is
	// to be on several, before one is taken to be enough: while a cluster is only just
	// beginning it says the same, and what is made on one stays there.
	replicasTime = 20 * time.Second
	// notClustered is the code with which a server by itself says so.
	notClustered jetstream.ErrorCode = 10074
)

// replicas is what NATS has answered to who wants several. One goroutine at a time.
type replicas struct {
	since time.Time // it refuses them; zero = it has not so far
}

// fewer reports whether an error means that there are not so many servers.
func (r *replicas) fewer(err error, now time.Time) bool {
	var refused *jetstream.APIError
	if !errors.As(err, &refused) {
		return false
	}
	if r.since.IsZero() {
		r.since = now
	}
	return refused.ErrorCode == notClustered || now.Sub(r.since) > replicasTime
}
