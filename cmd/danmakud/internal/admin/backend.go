// Package admin is the control plane: the API that operators and back ends speak,
// over net/http on a listener of its own, and what is served beside it.
//
//	control listener ─► keys and roles ─► bounds ─► handlers ─► Backend (the server)
package admin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/moderation"
	"github.com/danmakud/danmakud/room"
)

// Errors of a Backend that have a status of their own. Errors of files and of the
// system are 500; any other says what is wrong with the request, for its author to
// read, and is 400.
var (
	ErrNoRoom    = errors.New("no such room at present")
	ErrNoComment = errors.New("no such comment in reach")
	ErrNoViewer  = errors.New("no such viewer at present")
	ErrNotFound  = errors.New("not found")
	ErrBusy      = errors.New("too much at hand, try again later") // 503
	ErrOff       = errors.New("switched off on this server")       // 501
)

// Published is what became of one comment in one room.
type Published struct {
	Room string `json:"room"`
	ID   string `json:"id"`
}

// Viewer is one connection.
type Viewer struct {
	User    string    `json:"user"`
	Name    string    `json:"name,omitempty"`
	Role    room.Role `json:"role"`
	Room    string    `json:"room"`
	Address string    `json:"address"`
}

// Setting is one value of the configuration in force and where it came from.
type Setting struct {
	Name   string `json:"name"`
	Value  string `json:"value"` // "(secret)" for secrets
	Origin string `json:"origin"`
	Reload bool   `json:"reload"` // a running server can change it
}

// Stats is what the dashboard draws, all counts since the start.
type Stats struct {
	At          time.Time         `json:"at"`
	Started     time.Time         `json:"started"`
	Version     string            `json:"version"`
	Draining    bool              `json:"draining"`
	Connections int               `json:"connections"`
	Members     int               `json:"members"`
	Rooms       int               `json:"rooms"`
	Received    uint64            `json:"comments_received"`
	Delivered   uint64            `json:"comments_delivered"`
	Frames      uint64            `json:"frames_written"`
	Batches     uint64            `json:"batches_sealed"`
	Skipped     uint64            `json:"batches_skipped"`
	Sampled     uint64            `json:"comments_sampled"`
	TickLag     [2]float64        `json:"tick_lag"` // sum of seconds, observations
	Pass        [2]float64        `json:"pass"`
	TickMax     float64           `json:"tick_max_seconds"`
	Closes      map[string]uint64 `json:"closes"`   // by reason, none that is 0
	Rejected    map[string]uint64 `json:"rejected"` // likewise
	Errors      map[string]uint64 `json:"errors"`   // answers to viewers by code
	Behind      bool              `json:"behind"`   // new connections are refused
	Blocked     int               `json:"blocked"`  // viewers whose socket is full
	BytesOut    uint64            `json:"bytes_written"`
	PlainBytes  uint64            `json:"deflate_bytes_in"` // frames before they were compressed, and after
	SmallBytes  uint64            `json:"deflate_bytes_out"`
	Loops       []LoopStats       `json:"loops"`
	RSS         int64             `json:"rss_bytes"`
	CPU         float64           `json:"cpu_seconds"`
	Goroutines  int               `json:"goroutines"`
	OpenFiles   int               `json:"open_files"`
	FilesMax    int               `json:"open_files_max"`
}

// LoopStats are those of one loop.
type LoopStats struct {
	Connections int     `json:"connections"`
	Inbox       int     `json:"inbox"`        // calls that wait
	Busy        float64 `json:"busy_seconds"` // since the start
}

// Backend is the server as the control plane sees it. Any goroutine may call any
// method. by is who asked, for the audit log.
type Backend interface {
	// ListRooms returns up to limit rooms after that name, and how many there are.
	ListRooms(after string, limit int) (rooms []room.Info, total int)
	// ShowRoom returns one room; ErrNoRoom.
	ShowRoom(name string) (room.Info, error)
	// History returns the newest n comments of a room as JSON objects separated by commas.
	History(name string, n int) ([]byte, error)
	// Settings returns those of a room, which need not exist at present.
	Settings(name string) room.Settings
	// SetSettings replaces them; kept over restarts.
	SetSettings(name string, s room.Settings, by string) error
	// Clear forgets a room's history and has viewers remove all they show.
	Clear(name, by string) error

	// Publish adds comments to rooms, which are made if need be; rooms nil = all there are.
	Publish(rooms []string, comments []room.Comment, by string) ([]Published, error)
	// Push sends something to the goim clients that to names and that want the
	// operation, each by itself, and returns to how many.
	Push(ctx context.Context, to PushTo, op uint32, body []byte) (int, error)
	// Retract takes a comment back.
	Retract(name, id, by string) error

	// Viewers finds the connections of a user in a room, "" = in all.
	Viewers(ctx context.Context, name, user string) ([]Viewer, error)
	// Kick closes the connections of a user in a room, "" = in all, and returns how many.
	Kick(ctx context.Context, name, user, reason, by string) (int, error)
	// Sanction puts one in force, closes whom it bans, and returns it with its id.
	Sanction(ctx context.Context, s moderation.Sanction) (moderation.Sanction, error)
	// Sanctions lists those in force.
	Sanctions(name, user string) []moderation.Sanction
	// Lift ends one; ErrNotFound.
	Lift(id, by string) error

	// Held lists what waits for a decision; Decide publishes or discards it.
	Held(name string) []moderation.HeldComment
	Decide(id string, publish bool, by string) error

	// Words has the lists without their words; WordList one with them.
	Words() []moderation.WordList
	WordList(name string) (moderation.WordList, error)
	SetWordList(l moderation.WordList, by string) error
	RemoveWordList(name, by string) error

	// Audit returns the newest n events, newest first.
	Audit(n int) ([]moderation.Event, error)

	// Revoke closes the connections of a token (its jti) or of all of a user's
	// tokens issued before now, and refuses it from now on.
	Revoke(ctx context.Context, tokenID, user, by string) (int, error)

	// Watch calls f with nil as soon as it watches a room, then with the payload of
	// the JSON message of every batch, from one goroutine, and returns when ctx is
	// done or the server goes down. What f is too slow for is left out.
	Watch(ctx context.Context, name string, f func(payload []byte)) error

	// Export writes the archived comments of a room; format is xml, ass or ndjson.
	Export(ctx context.Context, w http.ResponseWriter, name, format string, from, to time.Time) error

	// Configuration returns the settings in force; Reload reads the file again and
	// returns what changed and what needs a restart; Set changes settings that can
	// be until the next reload.
	Configuration() []Setting
	Reload(by string) (changed, restart []string, err error)
	Set(values map[string]string, by string) (changed []string, err error)
	// Drain begins what SIGTERM begins.
	Drain(by string)

	Stats() Stats
	Healthz(w http.ResponseWriter, r *http.Request)
	Readyz(w http.ResponseWriter, r *http.Request)
	Metrics() http.Handler
}
