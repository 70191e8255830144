package room

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"

	"github.com/danmakud/danmakud/wsproto"
)

// The governor keeps a batch within its budget. What is not chat, and whatever
// moderators and above say, is never left out. Equal chat becomes one comment with
// a count; if that is not enough, chance decides which of the rest are sent. It
// works on what a seal has taken, with no lock held.

// budget is what one batch may have.
type budget struct {
	bytes    int // of the whole plain frame
	comments int // 0 = as many as there are
	weights  *[Roles]float64
	key      func(text string) uint64 // Config.Key
}

// budget is that of the next batch.
func (r *Room) budget() budget {
	cfg, s := r.hub.cfg(), r.Settings()
	b := budget{cfg.BudgetBytes, cfg.BudgetComments, &cfg.Weights, cfg.Key}
	if s.BudgetBytes > 0 {
		b.bytes = s.BudgetBytes
	}
	if s.BudgetComments > 0 {
		b.comments = s.BudgetComments
	}
	return b
}

// exceeded reports whether t is more than the budget.
func (b *budget) exceeded(t *taken) bool {
	if b.comments > 0 && len(t.marks) > b.comments {
		return true
	}
	if len(t.pending)+suffixRoom <= b.bytes {
		return false // prefixRoom is more than any prefix
	}
	n := payloadAround(&t.head) + len(t.pending) - prefixRoom
	return wsproto.HeaderSize(n)+n > b.bytes
}

// payloadAround is how many bytes a batch has besides its comments.
func payloadAround(h *sealHead) int {
	var scratch [prefixRoom]byte
	return len(appendPrefix(scratch[:0], h)) + suffixRoom
}

// lot is a chat comment, with those that are equal to it: one chance to be sent.
type lot struct {
	place  int   // in the marks
	count  int   // comments it stands for
	cost   int64 // of the capacity
	low    bool  // it gets what others leave
	weight float64
	key    float64
}

// governor is the memory of one run; the hub has a pool of them.
type governor struct {
	random *rand.Rand
	lots   []lot
	low    []lot          // those of low priority, while the others are chosen from
	first  map[uint64]int // lot by Config.Key
	counts []int          // by place: comments that the one there stands for, 0 = not sent
}

// governors are the hub's. Any goroutine.
type governors struct{ pool sync.Pool }

func (h *Hub) governor() *governor {
	if g, ok := h.governors.pool.Get().(*governor); ok {
		return g
	}
	return &governor{random: rand.New(h.cfg().Random()), first: make(map[uint64]int)}
}

// govern cuts t down to the budget. What comes out has memory of its own.
func (g *governor) govern(t *taken, b budget) {
	head := t.head
	head.sampled += uint64(standing(t.marks))                                 // as many digits as it may get
	space := b.bytes - wsproto.HeaderSize(b.bytes) - payloadAround(&head) + 1 // the last comment has no comma
	all := comments{t.pending[prefixRoom:], t.marks}
	g.decide(all, b, space, textOf)
	g.rewrite(t, all)
}

// decide fills g.counts: for how many comments each of all is sent, within so many
// bytes and the budget's comments. textOf returns the text of one of them.
func (g *governor) decide(all comments, b budget, space int, textOf func(comment string) string) {
	places := b.comments
	text := ""
	if b.key != nil {
		text = string(all.text)
	}
	g.lots, g.counts = g.lots[:0], slices.Grow(g.counts[:0], len(all.marks))[:len(all.marks)]
	clear(g.counts)
	clear(g.first)
	for i := range all.marks {
		m := &all.marks[i]
		if m.prior() {
			from, to := all.span(i)
			space -= int(to-from) + 1
			places--
			g.counts[i] = m.stands()
			continue
		}
		key := uint64(0)
		if b.key != nil {
			from, to := all.span(i)
			key = b.key(textOf(text[from:to]))
		}
		g.gather(i, m, b.weights[m.role], key)
	}
	g.chooseByPriority(all, int64(space), int64(places), b.comments > 0)
}

// chooseByPriority fills g.counts for the lots: those of low priority get what the
// others leave.
func (g *governor) chooseByPriority(all comments, space, places int64, counted bool) {
	g.low = g.low[:0]
	g.lots = slices.DeleteFunc(g.lots, func(l lot) bool {
		if l.low {
			g.low = append(g.low, l)
		}
		return l.low
	})
	normal := len(g.lots)
	chosen := g.choose(all, space, places, counted)
	for _, l := range chosen {
		g.counts[l.place] = l.count
		space, places = space-all.cost(l), places-1
	}
	if len(g.low) == 0 || len(chosen) < normal {
		return
	}
	g.lots, g.low = g.low, g.lots
	for _, l := range g.choose(all, space, places, counted) {
		g.counts[l.place] = l.count
	}
}

// cost is how many bytes the lot takes.
func (c comments) cost(l lot) int64 {
	from, to := c.span(l.place)
	return int64(to-from) + 1 + int64(countLen(l.count))
}

// gather makes a chat comment a lot, or adds it to that of its equals. They have
// the best chance that one of them has.
func (g *governor) gather(place int, m *mark, weight float64, key uint64) {
	low := m.priority == PriorityLow
	if key != 0 {
		if i, ok := g.first[key]; ok {
			l := &g.lots[i]
			l.count += m.stands()
			l.weight = max(l.weight, weight)
			l.low = l.low && low
			return
		}
		g.first[key] = len(g.lots)
	}
	g.lots = append(g.lots, lot{place: place, count: m.stands(), weight: weight, low: low})
}

// choose returns the lots that are sent, in no order: all, if they fit.
func (g *governor) choose(all comments, space, places int64, counted bool) []lot {
	if space <= 0 || counted && places <= 0 {
		return nil
	}
	// One measure for both: a lot takes the greater of its shares of the bytes and
	// of the places, so that whatever fits by it fits by either.
	capacity := space
	if counted {
		capacity *= places
	}
	total := int64(0)
	for i := range g.lots {
		l := &g.lots[i]
		l.cost = all.cost(*l)
		if counted {
			l.cost = max(l.cost*places, space)
		}
		total += l.cost
	}
	if total <= capacity {
		return g.lots
	}
	// What is longer than all there is can never be sent, and must not count below.
	lots := slices.DeleteFunc(g.lots, func(l lot) bool { return l.cost > capacity })
	if slices.ContainsFunc(lots, func(l lot) bool { return l.weight != lots[0].weight }) {
		return g.draw(lots, capacity)
	}
	return g.spin(lots, capacity)
}

// spin chooses among lots of equal weight. They are laid around a wheel in random
// order, each as wide as its cost, and those that begin within a window at a random
// place are chosen: so each has exactly the same chance, however wide it is. The
// window is narrower than the capacity by the widest lot, since the last one chosen
// reaches beyond it.
func (g *governor) spin(lots []lot, capacity int64) (chosen []lot) {
	unit, widest, around := int64(0), int64(0), int64(0)
	for i := range lots {
		unit, widest, around = gcd(unit, lots[i].cost), max(widest, lots[i].cost), around+lots[i].cost
	}
	if around <= capacity {
		return lots
	}
	g.random.Shuffle(len(lots), func(i, j int) { lots[i], lots[j] = lots[j], lots[i] })
	// In the largest unit in which all are whole no place is wasted where all are
	// equally wide.
	around /= unit
	window := capacity/unit - widest/unit + 1
	at := around - g.random.Int64N(around) // of the first lot, seen from the window
	n := 0
	for i := range lots {
		if at %= around; at < window {
			lots[n], lots[i] = lots[i], lots[n]
			at += lots[n].cost / unit
			n++
			continue
		}
		at += lots[i].cost / unit
	}
	return lots[:n]
}

// draw chooses among lots of different weights, after Efraimidis and Spirakis (2006):
// the keys u^(1/w), here as their logarithms, make an order as if each were drawn by
// its weight from those that are left. It ends where the longest would not fit any
// more, whichever comes next: so the length of a comment does not count, but for the
// share that it has in all of them.
func (g *governor) draw(lots []lot, capacity int64) (chosen []lot) {
	widest := int64(0)
	for i := range lots {
		lots[i].key = g.random.ExpFloat64() / lots[i].weight
		widest = max(widest, lots[i].cost)
	}
	slices.SortFunc(lots, func(a, b lot) int { return cmp.Compare(a.key, b.key) })
	n, used := 0, int64(0)
	for n < len(lots) && used+widest <= capacity {
		used += lots[n].cost
		n++
	}
	return lots[:n]
}

// rewrite makes t what g.counts says of it.
func (g *governor) rewrite(t *taken, all comments) {
	size, sent, stood := prefixRoom+suffixRoom, 0, 0
	for i, n := range g.counts {
		if n > 0 {
			from, to := all.span(i)
			size += int(to-from) + 1 + countLen(n)
			sent++
			stood += n
		}
	}
	text, marks := make([]byte, prefixRoom, size), make([]mark, 0, sent)
	for i, n := range g.counts {
		if n == 0 {
			continue
		}
		if len(marks) > 0 {
			text = append(text, ',')
		}
		from, to := all.span(i)
		text = append(text, all.text[from:to]...)
		m := t.marks[i]
		if n > m.stands() { // it may have said a count of its own
			text = append(text[:len(text)-1-countLen(m.stands())], countField...)
			text = append(strconv.AppendInt(text, int64(n), 10), '}')
			m.count = uint32(n)
		}
		m.end = uint32(len(text) - prefixRoom)
		marks = append(marks, m)
	}
	t.sampled = standing(t.marks) - stood
	t.pending, t.marks = text, marks
}

const countField = `,"count":`

// countLen is how many bytes the field count takes.
func countLen(n int) int {
	if n <= 1 {
		return 0
	}
	var digits [20]byte
	return len(countField) + len(strconv.AppendInt(digits[:0], int64(n), 10))
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
