package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/danmakud/danmakud/room"
	"github.com/klauspost/compress/s2"
)

// visit has viewers of these hashes join a room for a moment, and returns it.
func visit(t testing.TB, h *room.Hub, name string, viewers ...uint64) *room.Room {
	t.Helper()
	s := room.NewShard(h, 0, nil)
	var r *room.Room
	for _, who := range viewers {
		e, err := s.Join(0, room.JoinRequest{Name: name, Who: who}, 0)
		if err != nil {
			t.Fatal(err)
		}
		s.Leave(0, 0)
		r = e.Room
	}
	return r
}

func hashes(n int) []uint64 {
	source := rand.New(rand.NewPCG(uint64(n), 1))
	all := make([]uint64, n)
	for i := range all {
		all[i] = source.Uint64()
	}
	return all
}

// audienceOf is a message with these rooms.
func audienceOf(plain []byte) json.RawMessage {
	p, _ := json.Marshal(s2.Encode(nil, plain))
	return p
}

func TestAudiencesAreHeard(t *testing.T) {
	n, r := bare()
	n.peers.put(Peer{ID: otherID, Number: 7}, time.Now())
	at := visit(t, r.hub, "r", 1, 2, 3)
	many := hashes(5000)
	all := visit(t, room.NewHub(room.Config{}), "r", many...).Audience()

	n.heardAudiences(otherID, audienceOf(appendAudience(nil, "r", []uint64{3, 4}, nil)))
	n.heardAudiences(otherID, audienceOf(appendAudience(appendAudience(nil, "elsewhere", []uint64{3, 4}, nil), "r", []uint64{5}, nil)))
	if got := at.Watched(); got != 5 {
		t.Errorf("%d viewers, want 5", got)
	}
	for range 3 {
		n.heardAudiences(otherID, audienceOf(appendAudience(nil, "r", many[:100], all)))
	}
	if got := at.Watched(); got < 4950 || got > 5060 {
		t.Errorf("%d viewers of 5005", got)
	}
	if st := n.Stats(); st.Dropped["audience"] != 0 {
		t.Errorf("%+v", st)
	}
	if fresh, whole := at.TakeAudience(nil, false); len(fresh) != 3 || whole != nil {
		t.Errorf("what was heard is told again: %d, %d bytes", len(fresh), len(whole))
	}
	other, _ := json.Marshal(report{Peer: Peer{ID: otherID, Number: 7}, Audience: s2.Encode(nil, appendAudience(nil, "r", hashes(7000), nil))})
	n.heardReport(otherID, other)
	if got := at.Watched(); got < 11_800 || got > 12_200 {
		t.Errorf("%d viewers of 12,005 with those of a report", got)
	}
	n.heardReport(otherID, bytes.Replace(other, []byte(`"audience":"`), []byte(`"audience":"AAAA`), 1))
	if st := n.Stats(); st.Dropped["audience"] != 1 {
		t.Errorf("a report with a spoilt audience: %+v", st.Dropped)
	}
	n.heardAudiences("BBBBBBBBBBBBBBBB", audienceOf(appendAudience(nil, "r", hashes(9000), nil)))
	if got := at.Watched(); got > 12_200 {
		t.Error("a node that nobody knows is heard")
	}
}

func TestForeignAudiencesAreDropped(t *testing.T) {
	n, r := bare()
	n.peers.put(Peer{ID: otherID, Number: 7}, time.Now())
	at := visit(t, r.hub, "r", 1, 2, 3)
	good := appendAudience(nil, "r", []uint64{9}, nil)
	bomb, _ := json.Marshal([]byte("\xff\xff\xff\xff\x0f bomb"))
	list := map[string]json.RawMessage{
		"nothing": nil, "no text": json.RawMessage(`{"a":1}`), "no S2": json.RawMessage(`"aGVsbG8="`), "bomb": bomb,
		"cut": audienceOf(good[:len(good)-1]), "no room": audienceOf(appendAudience(nil, "no room!", []uint64{9}, nil)),
		"half a hash": audienceOf(appendAudience(nil, "r", nil, nil)[:1]),
		"no sketch":   audienceOf(appendAudience(nil, "r", nil, []byte("hello"))),
	}
	for name, body := range list {
		before := n.Stats().Dropped["audience"]
		if n.heardAudiences(otherID, body); n.Stats().Dropped["audience"] != before+1 {
			t.Errorf("%s: not counted", name)
		}
	}
	if got := at.Watched(); got != 3 {
		t.Errorf("%d viewers", got)
	}
}

func FuzzAudiences(f *testing.F) {
	f.Add(appendAudience(appendAudience(nil, "r", []uint64{1, 2}, nil), "s", nil, []byte{1, 2, 3}))
	f.Add(appendAudience(nil, "r", nil, visit(f, room.NewHub(room.Config{}), "r", hashes(400)...).Audience()))
	n, r := bare()
	at := visit(f, r.hub, "r", 1)
	f.Fuzz(func(t *testing.T, p []byte) {
		had := at.Watched()
		n.takeAudiences(p)
		n.takeAudiences(s2.Encode(nil, p))
		if got := at.Watched(); got < had || len(at.Audience()) > room.AudienceMax {
			t.Fatalf("%d viewers became %d, in %d bytes", had, got, len(at.Audience()))
		}
	})
}

// However many rooms have new viewers, a report tells no more than it may, and what is
// beyond comes with the next ones, each viewer once; then it tells nothing.
func TestAudiencesAreToldInTurn(t *testing.T) {
	const rooms = 20_000
	n, r := bare()
	other, there := bare()
	shard := room.NewShard(r.hub, 0, nil)
	for i := range rooms {
		name := fmt.Sprint("room-", i)
		if _, err := there.hub.Room(name, 0); err != nil {
			t.Fatal(err)
		}
		for k := range 8 {
			if _, err := shard.Join(0, room.JoinRequest{Name: name, Who: uint64(i)<<20 | uint64(k) + 1}, 0); err != nil {
				t.Fatal(err)
			}
			shard.Leave(0, 0)
		}
	}
	large := visit(t, r.hub, "room-7", hashes(30_000)...)
	seen := func() (sum uint64) {
		there.hub.Each(func(at *room.Room) { sum += at.Watched() })
		return sum
	}
	want := uint64(8*rooms-8) + large.Watched()
	want -= large.Watched() / 100 // as far as its figure may be off
	reports, whole, told := 0, 0, 1
	for ; told > 0 && reports < 1000; reports++ {
		told = 0
		n.audiencesToTell(func(message []byte) {
			if told += len(message); len(message) > audienceBytes+2*room.AudienceMax || !other.takeAudiences(s2.Encode(nil, message)) {
				t.Fatalf("a message of %d bytes", len(message))
			}
		})
		if told > audiencePart+audienceBytes {
			t.Fatalf("%d bytes in a report", told)
		}
		if whole == 0 && seen() >= want {
			whole = reports + 1
		}
		if reports < 8 {
			told = max(told, 1) // what it tells again has its turns
		}
	}
	if whole == 0 || whole > 4 {
		t.Errorf("%d viewers were told of, want %d; all after %d reports", seen(), want, whole)
	}
	there.hub.Each(func(at *room.Room) {
		if at.Name() != "room-7" && at.Watched() != 8 {
			t.Errorf("%d viewers of %s, want 8", at.Watched(), at.Name())
		}
	})
	if reports > 100 {
		t.Errorf("told for %d reports", reports)
	}
	t.Logf("all after %d reports, told again after %d", whole, reports)
	n.audiencesToTell(func(message []byte) { t.Errorf("%d bytes where nobody came", len(message)) })
}
