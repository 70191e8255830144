package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
)

// version is that of everything on the bus. Nodes of another are not understood, and
// counted; a field that is not known is passed over, so most changes need no other.
const version = 1

// messageMax bounds what is taken from the bus and put onto it: less than the default
// limit of a NATS server, 1 MiB.
const messageMax = 1000 << 10

// message is what nodes tell and ask each other besides what is said in rooms, as JSON.
type message struct {
	Version int             `json:"v"`
	Kind    string          `json:"kind"`
	Node    string          `json:"node"`   // id of the sender
	Shards  int             `json:"shards"` // its --bus-shards
	Error   string          `json:"error,omitempty"`
	Body    json.RawMessage `json:"body,omitempty"`
}

// Errors of messages that are not as they must be.
var (
	errLarge   = errors.New("larger than a message may be")
	errVersion = errors.New("of another version")
	errSender  = errors.New("says nothing of its sender")
	errOther   = errors.New("it is another by now")
)

func (m *message) encode() ([]byte, error) {
	p, err := json.Marshal(m)
	if err == nil && len(p) > messageMax {
		err = errLarge
	}
	return p, err
}

// decodeMessage takes a message apart, which may be anything.
func decodeMessage(p []byte) (*message, error) {
	if len(p) > messageMax {
		return nil, errLarge
	}
	var m message
	if err := json.Unmarshal(p, &m); err != nil {
		return nil, fmt.Errorf("no message: %w", err)
	}
	if m.Version != version {
		return nil, errVersion
	}
	if !validID(m.Node) || m.Kind == "" {
		return nil, errSender
	}
	return &m, nil
}

// validID reports whether that is the id of a node, which becomes part of a subject.
func validID[T string | []byte](id T) bool {
	for i := range len(id) {
		if c := id[i]; (c < 'A' || c > 'Z') && (c < '2' || c > '7') {
			return false
		}
	}
	return len(id) == idLen
}
