package moderation

import (
	"cmp"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/token"
	"github.com/danmakud/danmakud/room"
)

// Errors besides those that say what is wrong with a request.
var (
	ErrNotFound = errors.New("not found")
	ErrFull     = errors.New("too many")                      // a bound is reached
	ErrStore    = errors.New("it could not be kept")          // the disk's fault; nothing has changed
	ErrClosed   = errors.New("the server is going down")      // after Close
	ErrInUse    = errors.New("is in use by another process")  // by Open: the store has one owner
	ErrHeldFull = fmt.Errorf("%w: %s", ErrFull, heldFullText) // by Hold
)

// Options are what a Desk is opened with.
type Options struct {
	Data  string // directory of the store; "" = everything is in memory. Configure cannot change it
	Words string // directory of word files, "" = none

	UserRate, AddressRate   float64 // comments a second; 0 = no limit
	UserBurst, AddressBurst int     // at once
	// DuplicateWindow is how long a user may not say the same again, 0 = it may.
	DuplicateWindow time.Duration

	ReviewURL        string // http or https; "" = nobody is asked
	ReviewTimeout    time.Duration
	ReviewFailClosed bool // what was not answered is refused, else it passes

	AuditLog string // file of JSON lines, "" = none
}

// Desk is all of moderation: see the package. Methods may be called from any
// goroutine; those that change something write to the disk and are not for loops.
type Desk struct {
	// Fixed after construction.
	seed      maphash.Seed
	scratches sync.Pool // of Key
	store     *store    // nil = everything is in memory

	revocations []token.Revocation // those the store had

	rules     atomic.Pointer[rules]
	sanctions *sanctions
	rooms     roomSettings
	held      heldQueue
	audit     auditLog

	users, addresses, slow, duplicates *recent

	verdicts [Review + 1]atomic.Uint64 // by Action
	masked   atomic.Uint64
	reviews  reviewCounts

	// mu has one change at a time made: of the store and then of the memory.
	mu sync.Mutex
	// Guarded by mu.
	options   Options
	fileLists []WordList // with words, by name
	apiLists  []WordList // likewise
	ended     []string   // sanctions that are over and still in the store

	share func(Record) // tells other nodes; nil = there are none
}

// rules are what Judge goes by besides what is about people and rooms. They are
// never changed, a reload makes others.
type rules struct {
	words         *wordSet
	user, address limit
	duplicates    int64 // nanoseconds, 0 = off
	review        *reviewer
}

// Open reads the store and the word files. The error says what is wrong with them.
func Open(o Options) (*Desk, error) {
	d := &Desk{
		seed: maphash.MakeSeed(), sanctions: newSanctions(),
		rooms: roomSettings{of: make(map[string]room.Settings)},
		users: newRecent(), addresses: newRecent(), slow: newRecent(), duplicates: newRecent(),
	}
	theFoldings()
	if o.Data != "" {
		var all *saved
		var err error
		if d.store, all, err = openStore(o.Data); err != nil {
			return nil, err
		}
		if err := d.restore(all, time.Now()); err != nil {
			return nil, errors.Join(err, d.store.close())
		}
	}
	if err := d.Configure(o); err != nil {
		return nil, errors.Join(err, d.store.close())
	}
	return d, nil
}

// restore puts in force what the store had.
func (d *Desk) restore(all *saved, wall time.Time) error {
	for i := range all.sanctions {
		s := &all.sanctions[i]
		if over(s, wall) {
			d.ended = append(d.ended, s.ID)
			continue
		}
		to, err := targetOf(s)
		if err != nil || kindIndex(s.Kind) < 0 {
			return fmt.Errorf("--data: the store has a sanction %q that cannot be read: %w", s.ID, cmp.Or(err, ErrNotFound))
		}
		d.sanctions.put(to, s)
	}
	for name, s := range all.rooms {
		d.rooms.of[name] = s
	}
	for _, e := range all.audit {
		d.audit.remember(e)
	}
	d.apiLists = all.words
	return d.restoreRevocations(all.revocations, wall)
}

// Close lets go of the store and of the audit log. Judge goes on with what is in
// memory; changes fail with ErrClosed if there was a store.
func (d *Desk) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rules.Load().review.close()
	return errors.Join(d.audit.reopen(nil), d.store.close())
}

// LetGo closes the store, so that another process can open it while this one still
// serves: what is in force stays in force, changes fail with ErrClosed.
func (d *Desk) LetGo() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.store.close()
}

// Configure puts other options in force, reads the word files again and opens the
// audit log again, so that it can be rotated. After an error all is as it was. It
// takes as long as reading and compiling the words does: not for a loop.
func (d *Desk) Configure(o Options) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	lists, err := readWordFiles(o.Words)
	if err != nil {
		return err
	}
	words, err := compile(lists, d.apiLists)
	if err != nil {
		return err
	}
	file, err := openAudit(o.AuditLog)
	if err != nil {
		return err
	}
	before := d.rules.Load()
	d.options, d.fileLists = o, lists
	d.rules.Store(&rules{
		words:      words,
		user:       newLimit(o.UserRate, o.UserBurst),
		address:    newLimit(o.AddressRate, o.AddressBurst),
		duplicates: int64(o.DuplicateWindow),
		review:     newReviewer(&o, &d.reviews),
	})
	if before != nil {
		before.review.close()
	}
	d.audit.reopen(file) // what went wrong with the old file is over
	return nil
}

// compile makes one set of the lists of files and of the API.
func compile(files, api []WordList) (*wordSet, error) {
	for _, l := range api {
		if i := slices.IndexFunc(files, func(f WordList) bool { return f.Name == l.Name }); i >= 0 {
			return nil, fmt.Errorf("%s: there is a list %q already, set through the API", files[i].File, l.Name)
		}
	}
	all := slices.Concat(files, api)
	slices.SortFunc(all, func(a, b WordList) int { return strings.Compare(a.Name, b.Name) })
	return newWordSet(all)
}

// Banned reports whether somebody may not join a room, "" = any. It may be called
// by loops.
func (d *Desk) Banned(in string, who *Speaker, wall time.Time) (Sanction, bool) {
	s := d.sanctions.find(in, who, func() time.Time { return wall })
	if s == nil || s.Kind != Ban {
		return Sanction{}, false
	}
	return *s, true
}

// Sweep forgets what is over. Once in some seconds is often enough, on any
// goroutine but those of the loops; it does not touch the disk.
func (d *Desk) Sweep(wall time.Time) {
	d.held.sweep(wall)
	if ended := d.sanctions.sweep(wall); len(ended) > 0 {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.ended = append(d.ended, ended...)
	}
}

// Key is room.Config.Key: equal for texts that say the same, compatible characters,
// case, separators and repetitions aside. 0 if nothing of the text is to be seen. Any
// goroutine.
func (d *Desk) Key(text string) uint64 {
	sc, ok := d.scratches.Get().(*Scratch)
	if !ok {
		sc = new(Scratch)
	}
	sc.foldBare(text)
	key := sc.key(d.seed)
	d.scratches.Put(sc)
	return key
}

// newID makes an id that nobody can guess.
func newID() string {
	var p [10]byte
	rand.Read(p[:]) // never fails
	return idEncoding.EncodeToString(p[:])
}

var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)
