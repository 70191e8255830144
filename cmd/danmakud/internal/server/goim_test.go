package server

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/danmakud/danmakud/poller"
)

// TestPushedAgainstModel: viewers choose their keys, so that many may have the same;
// whoever goes, all others of it are still found.
func TestPushedAgainstModel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	p, model := newPushed(), make(map[poller.Slot]string)
	for range 5000 {
		s := poller.Slot(random.IntN(40))
		if _, is := model[s]; is {
			p.forget(s)
			delete(model, s)
		} else {
			key := strconv.Itoa(random.IntN(4))
			if key == "0" {
				key = ""
			}
			p.set(s, key, []int32{1})
			model[s] = key
		}
		want := make(map[string][]poller.Slot)
		for s, key := range model {
			if key != "" {
				want[key] = append(want[key], s)
			}
		}
		if len(p.bySlot) != len(model) || len(p.byKey) != len(want) {
			t.Fatalf("%d viewers, %d keys; the model has %d, %d", len(p.bySlot), len(p.byKey), len(model), len(want))
		}
		for key, slots := range want {
			got := slices.Clone(p.byKey[key])
			slices.Sort(got)
			if slices.Sort(slots); !slices.Equal(got, slots) {
				t.Fatalf("key %s finds %v, the model has %v", key, got, slots)
			}
		}
	}
}
