package cluster

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A cluster that is only just beginning is not taken for one server.
func TestFewServersAreBelieved(t *testing.T) {
	now := time.Now()
	noPeers := fmt.Errorf("create: %w", &jetstream.APIError{Code: 400, ErrorCode: 10005})
	var r replicas
	for _, c := range []struct {
		err   error
		after time.Duration
		want  bool
	}{
		{errors.New("timeout"), 0, false}, {noPeers, time.Hour, false}, {noPeers, time.Hour + replicasTime, false},
		{errors.New("timeout"), 2 * time.Hour, false}, {noPeers, time.Hour + replicasTime + 1, true},
	} {
		if got := r.fewer(c.err, now.Add(c.after)); got != c.want {
			t.Errorf("%v after %v: %v", c.err, c.after, got)
		}
	}
	if !new(replicas).fewer(&jetstream.APIError{ErrorCode: notClustered}, now) {
		t.Error("a server by itself is not believed")
	}
}
