//go:build race

package room

// With the race detector, which makes them five to twenty times as slow and can see
// nothing where one goroutine computes, long computations are a part of what they
// are without it. `make test` runs the tests of this package both ways.
const raced = true
