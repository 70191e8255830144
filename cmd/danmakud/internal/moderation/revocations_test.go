package moderation

import (
	"slices"
	"testing"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/token"
)

func TestRevocationsSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	reopened := func() *Desk {
		t.Helper()
		d, err := Open(Options{Data: dir})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { d.Close() })
		return d
	}
	now := time.Now().Unix()
	d := reopened()
	for _, r := range []token.Revocation{
		{ID: "a", At: now}, {User: "a", At: now - 5}, {User: "a", At: now}, {ID: "over", At: 1, Until: now - 1}, {ID: "soon", At: 1, Until: now + 3600},
	} {
		if err := d.KeepRevocation(r); err != nil {
			t.Fatal(err)
		}
	}
	want := []token.Revocation{{ID: "a", At: now}, {ID: "soon", At: 1, Until: now + 3600}, {User: "a", At: now}}
	for range 2 {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if err := d.KeepRevocation(want[0]); err == nil {
			t.Error("a closed store kept something")
		}
		d = reopened()
		if got := d.Revocations(); !slices.Equal(got, want) {
			t.Errorf("after the restart %+v, want %+v", got, want)
		}
	}
	memory, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	if err := memory.KeepRevocation(want[0]); err != nil || memory.Revocations() != nil {
		t.Errorf("without a store: %v, %v", err, memory.Revocations())
	}
}
