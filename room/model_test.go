package room

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/danmakud/danmakud/wsproto"
)

// The model test drives two shards of one hub with a script of operations over
// sockets that take any number of bytes, and compares what each viewer received
// with a naive account of what it had a claim to.

const (
	modelSlots  = 6
	modelRooms  = 3
	modelShards = 2

	modelDeflateMin = 200
	modelBudget     = 600 // some comments
)

var errModelReset = errors.New("reset")

// viewer is one connection as the model sees it.
type viewer struct {
	got      []byte // all bytes its socket took
	space    int    // bytes it takes before it is full
	wants    bool   // writability asked for
	broken   bool   // next write fails
	closed   bool
	in       int // room joined, -1 = none
	enc      Encoding
	from     uint64 // sequence after which it has a claim
	joined   uint64 // newest sequence when it joined
	expected []span
	replies  int
}

// span is one membership: what was sealed while it lasted.
type span struct {
	room     int
	enc      Encoding
	from, to uint64
	joined   uint64 // newest when it began: more than from for who resumed
	at       uint64 // how far the audit has followed it
}

// modelRoom is a room as the model sees it.
type modelRoom struct {
	sealed    []*Batch
	compress  int             // viewers there with the compressed encoding
	unposted  *Batch          // sealed and not in the inboxes yet
	compress0 int             // as compress, when that was sealed
	lost      int             // inboxes that will refuse it
	taken     uint64          // comments and retracts accepted
	ids       []uint64        // of all comments
	due       map[string]Kind // how what must be in the next batch begins
	prior     int             // how many that are, those with the same beginning as well
}

type model struct {
	t       testing.TB
	hub     *Hub
	spool   *memorySpool
	shards  [modelShards]*Shard
	viewers [modelShards][modelSlots]*viewer
	past    []*viewer // connections that are gone
	inboxes [modelShards][]*Batch
	frames  map[string]*Batch // by frame bytes, of either encoding
	rooms   [modelRooms]modelRoom
	runs    uint64 // batches that had to be compressed
	resumed uint64 // joins that went on where they were
	left    uint64 // comments merged, sampled or withdrawn
	now     int64
	said    int

	inflater *wsproto.Inflater
}

// modelWriter is the sockets of one shard.
type modelWriter struct {
	m     *model
	shard int
}

func (w modelWriter) Write(slot uint32, p []byte) (int, error) {
	v := w.m.viewers[w.shard][slot]
	if v.closed {
		w.m.t.Fatalf("write to closed slot %d", slot)
	}
	if len(p) == 0 {
		w.m.t.Fatal("a write of nothing is a wasted system call")
	}
	if v.broken {
		return 0, errModelReset
	}
	n := min(v.space, len(p))
	v.space -= n
	v.got = append(v.got, p[:n]...)
	return n, nil
}

func (w modelWriter) WriteRegion(slot uint32, r Region, rest []byte) (int, error) {
	p := r.(*memoryRegion).bytes()
	return w.Write(slot, p[len(p)-len(rest):])
}

func (w modelWriter) WantWrite(slot uint32, on bool) { w.m.viewers[w.shard][slot].wants = on }

func (w modelWriter) Failed(slot uint32, err error) {
	if !errors.Is(err, errModelReset) {
		w.m.t.Fatalf("unknown write error %v", err)
	}
	w.m.gone(w.shard, slot)
}

// modelKey has a quarter of the comments equal to none, and the others to a third of all.
func modelKey(text string) uint64 {
	n, err := strconv.Atoi(text[1:])
	if err != nil {
		panic(err)
	}
	return uint64(n % 4)
}

func newModel(t testing.TB, ring int) *model {
	m := &model{t: t, frames: make(map[string]*Batch), now: 1, inflater: wsproto.NewInflater(), spool: &memorySpool{limit: 4 << 10}}
	// Frames of one or two comments are below the least size, others above it.
	m.hub = NewHub(Config{Shards: modelShards, Tick: time.Millisecond, Ring: ring, History: 3, Epoch: "e", DeflateMin: modelDeflateMin,
		Spool: m.spool, SpoolMin: 200, SpoolMembers: 2, BudgetBytes: modelBudget, Weights: [Roles]float64{RoleVIP: 2}, Random: seeded(1), Key: modelKey,
		ResumeAge: 100, ResumeBytes: 5000, ResumeTotal: 9000})
	for i := range m.rooms {
		m.rooms[i].due = make(map[string]Kind)
	}
	for i := range m.shards {
		m.shards[i] = NewShard(m.hub, i, modelWriter{m, i})
		for s := range m.viewers[i] {
			m.viewers[i][s] = &viewer{in: -1, space: 1 << 30}
		}
	}
	return m
}

func roomName(i int) string { return fmt.Sprintf("r%d", i) }

// join lets a viewer in. back is how many batches ago it was there last; -1 = never.
func (m *model) join(shard int, slot uint32, room int, enc Encoding, back int) {
	v := m.viewers[shard][slot]
	req := JoinRequest{Name: roomName(room), Encoding: enc, History: 3}
	newest := uint64(len(m.rooms[room].sealed))
	want, resumes := newest, false
	if r := m.hub.Find(req.Name); r != nil && back >= 0 && uint64(back) <= newest {
		req.Resume, req.Epoch, req.Since = true, r.Epoch(), newest-uint64(back)
		if resumes = back == 0 || r.kept.at(req.Since+1) != nil; resumes {
			want = req.Since
		}
	}
	e, err := m.shards[shard].Join(slot, req, m.now)
	if v.in >= 0 {
		if !errors.Is(err, ErrMember) {
			m.t.Fatalf("second join: %v", err)
		}
		return
	}
	if err != nil {
		m.t.Fatal(err)
	}
	if e.Seq != want || e.Resumed != resumes {
		m.t.Fatalf("joined %s at %d, resumed %v, want %d, %v", roomName(room), e.Seq, e.Resumed, want, resumes)
	}
	if resumes && back > 0 {
		m.resumed++
	}
	v.in, v.enc, v.from, v.joined = room, enc, e.Seq, newest
	if enc == EncodingJSONDeflate {
		m.rooms[room].compress++
	}
	// Viewers are welcomed, which tells them to what later notices refer.
	welcome := fmt.Appendf(nil, `{"type":"welcome","seq":%d}`, len(v.expected))
	m.shards[shard].Reply(slot, wsproto.AppendFrame(nil, wsproto.OpText, welcome), m.now)
}

func (m *model) leave(shard int, slot uint32) {
	v := m.viewers[shard][slot]
	m.shards[shard].Leave(slot, m.now)
	m.endSpan(v)
}

func (m *model) endSpan(v *viewer) {
	if v.in >= 0 {
		room := &m.rooms[v.in]
		v.expected = append(v.expected, span{v.in, v.enc, v.from, uint64(len(room.sealed)), v.joined, v.from})
		if v.enc == EncodingJSONDeflate {
			room.compress--
		}
		v.in = -1
	}
}

// gone ends a connection; its slot gets a new one.
func (m *model) gone(shard int, slot uint32) {
	v := m.viewers[shard][slot]
	m.shards[shard].Forget(slot, m.now)
	m.endSpan(v)
	v.closed = true
	m.past = append(m.past, v)
	m.viewers[shard][slot] = &viewer{in: -1, space: 1 << 30}
}

// publish says something: what it is and who says it go by what was said before.
func (m *model) publish(room int) {
	r, mr := m.hub.Find(roomName(room)), &m.rooms[room]
	if r == nil {
		return // nobody has been there yet
	}
	m.said++
	c := Comment{Text: fmt.Sprintf("t%d", m.said), Color: ColorDefault, Priority: Priority(m.said % 7 % 3), Role: Role(m.said % 11 % 4)}
	if m.said%13 == 0 {
		c.Kind = KindGift
	}
	id, _, err := r.Publish(&c, m.now, m.now)
	if err != nil {
		m.t.Fatal(err)
	}
	mr.taken++
	mr.ids = append(mr.ids, id)
	if c.prior() {
		mr.due[`{"id":"`+idText(id)+`","uid"`] = c.Kind
		mr.prior++
	}
}

// retract takes back the comment said so many ago, or all.
func (m *model) retract(room, back int, all bool) {
	r, mr := m.hub.Find(roomName(room)), &m.rooms[room]
	if r == nil || len(mr.ids) == 0 {
		return
	}
	id := mr.ids[max(0, len(mr.ids)-1-back)]
	begins := `{"id":"` + idText(id) + `","uid"`
	var err error
	if all {
		_, err = r.Clear(m.now, m.now)
		for begins, kind := range mr.due {
			if kind == KindChat {
				delete(mr.due, begins)
				mr.prior--
			}
		}
		mr.due[`{"id":"*","ts"`] = KindRetract
	} else {
		_, _, err = r.Retract(id, m.now, m.now)
		if _, waits := mr.due[begins]; waits {
			delete(mr.due, begins)
			mr.prior--
		}
		mr.due[`{"id":"`+idText(id)+`","ts"`] = KindRetract
	}
	if err != nil {
		m.t.Fatal(err)
	}
	mr.taken++
	mr.prior++
	if history := string(r.HistoryJSON(3)); strings.Contains(history, begins) || all && history != "" {
		m.t.Fatalf("the history still has what was taken back: %s", history)
	}
}

// seal seals a room; the batch is posted now or later. Inboxes in lost refuse it.
func (m *model) seal(room int, lost int, later bool) {
	r, mr := m.hub.Find(roomName(room)), &m.rooms[room]
	if r == nil {
		return
	}
	m.post(room)
	b := r.Seal(m.now, m.now)
	if b == nil {
		return
	}
	if b.Seq != uint64(len(mr.sealed))+1 {
		m.t.Fatalf("sealed %d after %d", b.Seq, len(mr.sealed))
	}
	for begins := range mr.due {
		if !strings.Contains(string(b.CommentsJSON()), begins) {
			m.t.Fatalf("%s must be in %s", begins, b.CommentsJSON())
		}
	}
	if n := len(b.Frame(EncodingJSON)); n > modelBudget && b.Comments > mr.prior {
		m.t.Fatalf("%d bytes, %d comments, must be in it %d: %s", n, b.Comments, mr.prior, b.Payload())
	}
	clear(mr.due)
	mr.prior = 0
	mr.sealed = append(mr.sealed, b)
	mr.unposted, mr.lost, mr.compress0 = b, lost, mr.compress
	m.frames[string(b.Frame(EncodingJSON))] = b
	if !later {
		m.post(room)
	}
}

// post puts the last batch of a room into the inboxes, if it is not there.
func (m *model) post(room int) {
	mr := &m.rooms[room]
	b := mr.unposted
	if b == nil {
		return
	}
	mr.unposted = nil
	b.Encode()
	m.checkEncodings(b, mr.compress0)
	for i := range m.inboxes {
		if b.Wanted(i) && mr.lost>>i&1 == 0 {
			m.inboxes[i] = append(m.inboxes[i], b)
		}
	}
	b.Room.Posted()
}

// checkEncodings holds the frames of a batch just encoded against who wanted them.
func (m *model) checkEncodings(b *Batch, wanted int) {
	plain, deflated := b.Frame(EncodingJSON), b.Frame(EncodingJSONDeflate)
	m.frames[string(deflated)] = b
	due := wanted > 0 && len(plain) >= modelDeflateMin
	if due {
		m.runs++
	}
	if runs := m.hub.Encoded(EncodingJSONDeflate); runs != m.runs {
		m.t.Fatalf("%d runs, batches to compress were %d", runs, m.runs)
	}
	if !due && &plain[0] != &deflated[0] {
		m.t.Fatalf("compressed for %d viewers, frame of %d bytes", wanted, len(plain))
	}
	if &plain[0] == &deflated[0] {
		return
	}
	payload, n := serverFrame(deflated)
	text, err := m.inflater.Message(wsproto.Message{Op: wsproto.OpText, Data: payload, Compressed: true}, len(plain))
	if want, _ := serverFrame(plain); err != nil || n != len(deflated) || string(text) != string(want) || len(deflated) >= len(plain) {
		m.t.Fatalf("%d bytes compressed to %d: %v\n%s\n%s", len(plain), len(deflated), err, text, want)
	}
	if deflated[0] != 0xC1 || plain[0] != 0x81 {
		m.t.Fatalf("frames begin with %x and %x", plain[0], deflated[0])
	}
}

func (m *model) deliver(shard, n int) {
	n = min(n, len(m.inboxes[shard]))
	m.shards[shard].Deliver(m.inboxes[shard][:n], m.now)
	m.inboxes[shard] = m.inboxes[shard][n:]
}

func (m *model) reply(shard int, slot uint32) {
	v := m.viewers[shard][slot]
	v.replies++
	p := wsproto.AppendFrame(nil, wsproto.OpText, fmt.Appendf(nil, `{"type":"pong","ref":"%d"}`, v.replies))
	m.shards[shard].Reply(slot, p, m.now)
}

func (m *model) writable(shard int, slot uint32) {
	if m.viewers[shard][slot].wants {
		m.shards[shard].Writable(slot, m.now)
	}
}

// step runs the operation that three bytes of script describe.
func (m *model) step(op, a, b byte) {
	m.now++
	shard, slot, room := int(a)%modelShards, uint32(a/modelShards)%modelSlots, int(b)%modelRooms
	switch op % 15 {
	case 0:
		m.join(shard, slot, room, Encoding(b/modelRooms)%EncodingForeign, -1)
	case 1:
		m.leave(shard, slot)
	case 2:
		m.gone(shard, slot)
	case 3, 4:
		for range 1 + b/modelRooms%4 {
			m.publish(room)
		}
	case 5:
		lost := 0
		if b > 250 {
			lost = 1 + int(a)%modelShards
		}
		m.seal(room, lost, a%2 == 0)
	case 6:
		m.deliver(shard, 1+int(b)%4)
	case 7:
		m.shards[shard].Broadcast(1+int(b)%4, m.now)
	case 8:
		m.viewers[shard][slot].space = int(b) * 2
	case 9:
		m.viewers[shard][slot].space += int(b)
		m.writable(shard, slot)
	case 10:
		if b > 240 {
			m.viewers[shard][slot].broken = true
		} else {
			m.reply(shard, slot)
		}
	case 11, 12:
		m.join(shard, slot, room, Encoding(b/modelRooms)%EncodingForeign, int(op)/15%4)
	case 13:
		m.retract(room, int(a)%8, b > 220)
	case 14:
		m.post(room)
		if b > 220 {
			m.hub.Sweep(m.now)
		}
	}
	m.check()
}

// settle lets everything arrive that still can: a last batch for each room, open
// sockets, all passes done.
func (m *model) settle() {
	for room := range modelRooms {
		m.publish(room)
		m.now += int64(time.Second)
		m.seal(room, 0, false)
	}
	for i, s := range m.shards {
		m.deliver(i, len(m.inboxes[i]))
		for slot := range m.viewers[i] {
			m.viewers[i][slot].space = 1 << 30
		}
		for s.Broadcast(1, m.now) {
		}
		for slot := range m.viewers[i] {
			m.writable(i, uint32(slot))
			if !m.viewers[i][slot].closed && !s.Drained(uint32(slot)) {
				m.t.Fatalf("slot %d still blocked though its socket is open", slot)
			}
		}
	}
	for i := range m.viewers {
		for _, v := range m.viewers[i] {
			live := v.in >= 0
			m.endSpan(v)
			m.audit(v, live)
		}
	}
	for _, v := range m.past {
		m.audit(v, false)
	}
}

// notice is what can stand between batches.
type notice struct {
	Type     string `json:"type"`
	Room     string `json:"room"`
	Seq      uint64 `json:"seq"`
	From, To uint64
	Batches  uint64
	Comments json.RawMessage `json:"comments"`
}

// audit reads all bytes a viewer got and holds them against its memberships.
func (m *model) audit(v *viewer, live bool) {
	m.t.Helper()
	next, pending := 0, v.expected // memberships come in order
	replies := 0
	for rest := v.got; len(rest) > 0; {
		payload, n := serverFrame(rest)
		if n == 0 {
			if v.closed {
				break // cut off by its own failure
			}
			m.t.Fatalf("torn frame left: %q", rest)
		}
		frame := rest[:n]
		rest = rest[n:]
		var msg notice
		b := m.frames[string(frame)]
		if b != nil {
			msg = notice{Type: "batch", Room: b.Room.name}
		} else if err := json.Unmarshal(payload, &msg); err != nil {
			m.t.Fatalf("frame is not JSON: %q: %v", payload, err)
		}
		switch msg.Type {
		case "pong":
			if replies++; string(payload) != fmt.Sprintf(`{"type":"pong","ref":"%d"}`, replies) {
				m.t.Fatalf("reply %d is %s", replies, payload)
			}
		case "welcome":
			next = int(msg.Seq)
		case "skipped":
			m.auditSkip(&pending[next], msg)
		case "batch":
			if b == nil {
				m.t.Fatalf("batch that was never sealed: %s", payload)
			}
			p := &pending[next]
			// What was not encoded yet when the viewer resumed goes plain.
			early := b.Seq == p.joined && p.from < p.joined && string(frame) == string(b.Frame(EncodingJSON))
			if string(frame) != string(b.Frame(p.enc)) && !early {
				m.t.Fatalf("batch %d in another encoding than %v", b.Seq, p.enc)
			}
			if roomName(p.room) != msg.Room || b.Seq > p.to {
				m.t.Fatalf("batch %s/%d in membership %+v", msg.Room, b.Seq, *p)
			}
			if b.Seq != p.at+1 {
				m.t.Fatalf("batch %d of %s after %d without a notice", b.Seq, roomName(p.room), p.at)
			}
			p.at = b.Seq
		}
	}
	if live {
		last := pending[len(pending)-1]
		if last.at != last.to {
			m.t.Fatalf("viewer of %s stands at %d, sealed are %d", roomName(last.room), last.at, last.to)
		}
	}
	if !v.closed && replies != v.replies {
		m.t.Fatalf("%d replies of %d", replies, v.replies)
	}
}

// auditSkip checks that a notice says exactly what is missing.
func (m *model) auditSkip(p *span, n notice) {
	m.t.Helper()
	var comments, want uint64
	if err := json.Unmarshal(n.Comments, &comments); err != nil {
		m.t.Fatal(err)
	}
	for _, missed := range m.rooms[p.room].sealed[p.at:n.To] {
		want += uint64(missed.Comments)
	}
	if n.From != p.at+1 || n.Batches != n.To-p.at || comments != want {
		m.t.Fatalf("notice %+v with %d comments, missed were %d..%d with %d", n, comments, p.at+1, n.To, want)
	}
	p.at = n.To
}

// serverFrame returns the payload and length of the whole frame at the start of p.
func serverFrame(p []byte) (payload []byte, n int) {
	if len(p) < 2 {
		return nil, 0
	}
	head, size := 2, int(p[1])
	if extended := map[int]int{126: 2, 127: 8}[size]; extended > 0 {
		if head += extended; len(p) < head {
			return nil, 0
		}
		size = 0
		for _, b := range p[2:head] {
			size = size<<8 | int(b)
		}
	}
	if len(p) < head+size {
		return nil, 0
	}
	return p[head : head+size], head + size
}

// check holds the shards' own books against each other.
func (m *model) check() {
	m.t.Helper()
	online := make(map[*Room]int)
	for i, s := range m.shards {
		if m.now%32 == 0 { // a look at every column takes its time
			s.Check()
		}
		members, blocked := 0, 0
		for room, rs := range s.rooms {
			if s.table[rs.index] != rs || rs.room != room || len(rs.members) == 0 {
				m.t.Fatalf("shard %d: room table is wrong for %s", i, room.name)
			}
			for place, slot := range rs.members {
				if c := s.member(slot); c.room != rs.index+1 || int(c.place) != place {
					m.t.Fatalf("shard %d slot %d: column %+v, listed at %d of %d", i, slot, *c, place, rs.index)
				}
			}
			members += len(rs.members)
			online[room] += len(rs.members)
		}
		for slot := range m.viewers[i] {
			c := s.member(uint32(slot))
			if _, waits := s.blocked[uint32(slot)]; waits != c.blocked {
				m.t.Fatalf("slot %d: blocked %v, output waits %v", slot, c.blocked, waits)
			}
			if c.blocked {
				blocked++
			}
			if c.blocked != m.viewers[i][slot].wants {
				m.t.Fatalf("slot %d: blocked %v, asked for writability %v", slot, c.blocked, !c.blocked)
			}
		}
		if s.count.Members != members || s.count.Blocked != blocked {
			m.t.Fatalf("shard %d counts %d members and %d blocked, there are %d and %d", i, s.count.Members, s.count.Blocked, members, blocked)
		}
	}
	for room, n := range online {
		if room.Info().Online != n {
			m.t.Fatalf("%s says %d online, members are %d", room.name, room.Info().Online, n)
		}
	}
}

// books checks that every batch a member had a claim to is accounted for:
// delivered + skipped + unsent at leaving = sealed.
func (m *model) books() {
	m.t.Helper()
	var claims, had uint64
	count := func(v *viewer) {
		for _, p := range v.expected {
			claims += p.to - p.from
		}
	}
	for i, s := range m.shards {
		for _, v := range m.viewers[i] {
			count(v)
		}
		had += s.count.FramesWritten + s.count.BatchesSkipped + s.count.BatchesUnsent
	}
	for _, v := range m.past {
		count(v)
	}
	if claims != had {
		m.t.Fatalf("members had a claim to %d batches, accounted for are %d", claims, had)
	}
	held := 0
	for room := range m.rooms {
		r, mr := m.hub.Find(roomName(room)), &m.rooms[room]
		if r == nil {
			continue
		}
		i, sent := r.Info(), uint64(0)
		for _, b := range mr.sealed {
			sent += uint64(b.Comments)
		}
		if i.Total != sent || mr.taken != i.Total+i.Merged+i.Sampled+i.Withdrawn+uint64(i.Pending) {
			m.t.Fatalf("%s took %d comments, sent %d: %+v", r.name, mr.taken, sent, i)
		}
		m.left += i.Merged + i.Sampled + i.Withdrawn
		held += r.kept.bytes
	}
	if bytes, _ := m.hub.Kept(); bytes != int64(held) || bytes > 9000 {
		m.t.Fatalf("%d bytes are kept, counted are %d", held, bytes)
	}
}

func runModel(t testing.TB, script []byte) *model {
	ring := 1
	if len(script) > 0 {
		ring = 1 + int(script[0])%5
	}
	m := newModel(t, ring)
	for len(script) >= 3 {
		m.step(script[0], script[1], script[2])
		script = script[3:]
	}
	m.settle()
	m.books()
	return m
}

func FuzzModel(f *testing.F) {
	for seed := range uint64(30) {
		f.Add(randomScript(seed, 400))
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 6000 {
			t.Skip("longer scripts find nothing more")
		}
		runModel(t, script)
	})
}

func randomScript(seed uint64, steps int) []byte {
	r := rand.New(rand.NewPCG(seed, 7))
	script := make([]byte, 3*steps)
	for i := range script {
		script[i] = byte(r.Uint32())
	}
	return script
}

func TestModelRandomSchedules(t *testing.T) {
	n := uint64(2000)
	if raced || testing.Short() {
		n = 200
	}
	compressed, resumed, left := uint64(0), uint64(0), uint64(0)
	for seed := range n {
		m := runModel(t, randomScript(1000+seed, 150))
		compressed, resumed, left = compressed+m.runs, resumed+m.resumed, left+m.left
	}
	if compressed < n || resumed < n/2 || left < n {
		t.Errorf("in %d schedules only %d batches were compressed, %d viewers resumed, %d comments were left out", n, compressed, resumed, left)
	}
}
