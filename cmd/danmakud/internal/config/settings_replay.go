package config

// Replay is what is kept of a room: for those who join or return, and for later.
type Replay struct {
}

var tableReplay = []definition{}
