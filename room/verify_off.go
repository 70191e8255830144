//go:build !verify

package room

// An auditor keeps what a shard's books are held against in builds with the tag
// verify. In others it is nothing.
type auditor struct{}

func (*auditor) join(uint64)  {}
func (*auditor) leave(uint64) {}

// A bookkeeper counts what a room has taken in builds with the tag verify. In
// others it is nothing.
type bookkeeper struct{}

func (*bookkeeper) take(uint64) {}

// Check holds the shard's records against each other in builds with the tag
// verify. In others it does nothing. Loop goroutine only.
func (*Shard) Check() {}
