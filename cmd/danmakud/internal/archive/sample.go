package archive

import (
	"cmp"
	"container/heap"
	"context"
	"slices"
	"time"
)

// sampleBytes bounds what one Sample reads. It serves those who look on, so it
// must not keep the disk busy for long.
const sampleBytes = 1 << 30

// Sample returns at most n of the chat that Export would write, by time, and the
// time that offsets count from, in Unix milliseconds. Of more than n it is a choice
// in which each comment had the same chance, and the same one when asked again: the
// n whose ids have the least hash. The error may be ErrNoRoom, ErrBusy or
// ErrTooMuch. Any goroutine.
func (a *Archive) Sample(ctx context.Context, room string, from, to time.Time, n int) (chosen []Comment, start int64, err error) {
	r, err := a.begin(ctx, room, span{from, to}, sampleBytes)
	if err != nil {
		return nil, 0, err
	}
	defer r.end()
	start = from.UnixMilli()
	first := from.IsZero()
	var best choice
	err = r.lines(ctx, func(line []byte, ms int64) error {
		if first {
			start, first = ms, false
		}
		rank := hashOf(line)
		if n <= 0 || len(best) == n && rank >= best[0].rank {
			return nil
		}
		c, err := parse(line)
		if err != nil || c.Kind == "gift" || c.Kind == "superchat" || c.Kind == "data" || c.Text == "" {
			return nil // what a player of flying comments has no form for
		}
		if len(best) == n {
			heap.Pop(&best)
		}
		heap.Push(&best, ranked{rank, c})
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	slices.SortFunc(best, func(x, y ranked) int {
		return cmp.Or(cmp.Compare(x.comment.Time, y.comment.Time), cmp.Compare(x.comment.ID, y.comment.ID))
	})
	chosen = make([]Comment, len(best))
	for i := range best {
		chosen[i] = best[i].comment
	}
	return chosen, start, nil
}

// hashOf ranks a line by its id, whose bits it stirs as splitmix64 does.
func hashOf(line []byte) uint64 {
	x, _, _ := lineID(line)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// ranked is a comment that was chosen so far.
type ranked struct {
	rank    uint64
	comment Comment
}

// choice is a heap with the worst rank on top.
type choice []ranked

func (c choice) Len() int           { return len(c) }
func (c choice) Less(i, j int) bool { return c[i].rank > c[j].rank }
func (c choice) Swap(i, j int)      { c[i], c[j] = c[j], c[i] }
func (c *choice) Push(x any)        { *c = append(*c, x.(ranked)) }
func (c *choice) Pop() any {
	last := len(*c) - 1
	x := (*c)[last]
	*c = (*c)[:last]
	return x
}
