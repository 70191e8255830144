package moderation

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/token"
	"github.com/danmakud/danmakud/room"
	"go.etcd.io/bbolt"
)

// storeFile is the one file in the data directory.
const storeFile = "danmakud.db"

// storeFormat is raised when older servers could not read what is written.
const storeFormat = "1"

// lockPatience is how long a new server waits for an old one to let go of the file.
const lockPatience = 5 * time.Second

// auditMax is how many events are kept.
const auditMax = 10_000

// Buckets of the store. Values are JSON; keys are ids and names, and for the audit
// log the number of the event, big endian.
var (
	bucketMeta      = []byte("meta")
	bucketSanctions = []byte("sanctions")
	bucketRooms     = []byte("rooms")
	bucketWords     = []byte("words")
	bucketAudit     = []byte("audit")
	keyFormat       = []byte("format")

	bucketRevocations = []byte("revocations")
)

// store is what survives a restart, and a power cut: every write is on the disk
// when it returns, which takes as long as the disk does. A nil *store keeps nothing.
// Any goroutine but those of the loops.
type store struct {
	mu sync.RWMutex
	// Guarded by mu, which writers only read-lock: bbolt orders them itself.
	db *bbolt.DB // nil = closed
}

// saved is all that a store had when it was opened.
type saved struct {
	sanctions []Sanction
	rooms     map[string]room.Settings
	words     []WordList
	audit     []Event // the newest, oldest first

	revocations []token.Revocation
}

// openStore opens or makes the store in a directory, and reads it whole: what is
// damaged is found now and not when it is needed.
func openStore(dir string) (*store, *saved, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, nil, fmt.Errorf("--data: %w", err)
	}
	path := filepath.Join(dir, storeFile)
	var file *os.File // to close when the library has not come so far
	db, all, err := openAndRead(path, &file)
	switch {
	case err == nil:
		return &store{db: db}, all, nil
	case file != nil:
		file.Close() // a second time if the library did; that is an error nobody sees
	}
	if errors.Is(err, bbolt.ErrTimeout) {
		return nil, nil, fmt.Errorf("--data: %s %w", path, ErrInUse)
	}
	if errors.As(err, new(*os.PathError)) {
		return nil, nil, fmt.Errorf("--data: %w", err)
	}
	return nil, nil, fmt.Errorf("--data: %s is damaged (%w); put a copy in its place, or move it away to begin anew", path, err)
}

// openAndRead turns the panics of the library into errors, page faults behind the
// end of a file that was cut off among them. After one the file stays mapped, and
// locked by that, until the process ends, which is what its error is for.
func openAndRead(path string, file **os.File) (db *bbolt.DB, all *saved, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	db, err = bbolt.Open(path, 0o640, &bbolt.Options{
		Timeout:      lockPatience,
		FreelistType: bbolt.FreelistMapType,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			f, err := os.OpenFile(name, flag, mode)
			*file = f
			return f, err
		},
	})
	if err != nil {
		return nil, nil, err
	}
	if err = prepare(db); err == nil {
		all, err = readAll(db)
	}
	if err == nil {
		err = db.View(func(tx *bbolt.Tx) error {
			var first error
			for err := range tx.Check() { // to its end, or its goroutine stays
				first = cmp.Or(first, err)
			}
			return first
		})
	}
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return db, all, nil
}

// prepare makes the buckets of a new store. It writes nothing to one that has them.
func prepare(db *bbolt.DB) error {
	var format string
	err := db.View(func(tx *bbolt.Tx) error {
		if meta := tx.Bucket(bucketMeta); meta != nil {
			format = string(meta.Get(keyFormat))
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case format == storeFormat:
		return nil
	case format != "":
		return fmt.Errorf("it has the format %q of another version, this one writes %q", format, storeFormat)
	}
	return db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{bucketMeta, bucketSanctions, bucketRooms, bucketWords, bucketAudit, bucketRevocations} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return tx.Bucket(bucketMeta).Put(keyFormat, []byte(storeFormat))
	})
}

func readAll(db *bbolt.DB) (*saved, error) {
	all := &saved{rooms: make(map[string]room.Settings)}
	err := db.View(func(tx *bbolt.Tx) error {
		return errors.Join(
			eachValue(tx, bucketSanctions, func(_ []byte, s Sanction) { all.sanctions = append(all.sanctions, s) }),
			eachValue(tx, bucketRooms, func(name []byte, s room.Settings) { all.rooms[string(name)] = s }),
			eachValue(tx, bucketWords, func(_ []byte, l WordList) { all.words = append(all.words, l) }),
			eachValue(tx, bucketRevocations, func(_ []byte, r token.Revocation) { all.revocations = append(all.revocations, r) }),
			eachValue(tx, bucketAudit, func(_ []byte, e Event) { all.audit = append(all.audit, e) }),
		)
	})
	return all, err
}

func eachValue[T any](tx *bbolt.Tx, bucket []byte, f func(key []byte, v T)) error {
	b := tx.Bucket(bucket)
	if b == nil {
		return fmt.Errorf("%s are missing", bucket)
	}
	return b.ForEach(func(key, value []byte) error {
		var v T
		if err := json.Unmarshal(value, &v); err != nil {
			return fmt.Errorf("%s, %q: %w", bucket, key, err)
		}
		f(key, v)
		return nil
	})
}

// close lets go of the file. Writes fail from then on.
func (s *store) close() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db == nil {
		return nil
	}
	db := s.db
	s.db = nil
	return db.Close()
}

// change is one transaction of the store: all of it is kept, or nothing.
type change struct {
	put    []record
	remove []record // without values
	guests []record // put where all is forgotten with the process, and told to other nodes
	events []Event
}

// record is one value; it is encoded as JSON.
type record struct {
	bucket []byte
	key    string
	value  any
}

// write makes a change last.
func (s *store) write(c change) error {
	if s == nil {
		return nil
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		return ErrClosed
	}
	err := s.db.Update(func(tx *bbolt.Tx) error { return c.apply(tx) })
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	return nil
}

func (c *change) apply(tx *bbolt.Tx) error {
	for _, r := range c.remove {
		if err := tx.Bucket(r.bucket).Delete([]byte(r.key)); err != nil {
			return err
		}
	}
	for _, r := range c.put {
		value, err := json.Marshal(r.value)
		if err != nil {
			return err
		}
		if err := tx.Bucket(r.bucket).Put([]byte(r.key), value); err != nil {
			return err
		}
	}
	for _, e := range c.events {
		if err := appendEvent(tx.Bucket(bucketAudit), &e); err != nil {
			return err
		}
	}
	return nil
}

// appendEvent adds one to the audit log and drops what is then too old.
func appendEvent(log *bbolt.Bucket, e *Event) error {
	number, err := log.NextSequence()
	if err != nil {
		return err
	}
	value, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if err := log.Put(binary.BigEndian.AppendUint64(nil, number), value); err != nil {
		return err
	}
	if number <= auditMax {
		return nil
	}
	return log.Delete(binary.BigEndian.AppendUint64(nil, number-auditMax))
}
