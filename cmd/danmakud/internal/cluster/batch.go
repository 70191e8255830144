package cluster

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/danmakud/danmakud/room"
)

// batchJSON is a batch as viewers get it, protocol section 3.
type batchJSON struct {
	TS       int64         `json:"ts"`
	Comments []commentJSON `json:"comments"`
}

type commentJSON struct {
	ID       string  `json:"id"`
	UID      string  `json:"uid"`
	Name     string  `json:"name"`
	Role     string  `json:"role"`
	Text     string  `json:"text"`
	TS       int64   `json:"ts"`
	Color    *uint32 `json:"color"`
	Mode     string  `json:"mode"`
	Size     string  `json:"size"`
	Kind     string  `json:"kind"`
	Gift     string  `json:"gift"`
	Num      int     `json:"num"`
	Price    int64   `json:"price"`
	Duration int64   `json:"duration_s"`
	Op       uint32  `json:"op"`
	Data     string  `json:"data"`
	Count    int     `json:"count"`
}

// parseBatch reads a batch of another node, which may be anything, and when it was
// sealed.
func parseBatch(raw []byte) (heard []room.Heard, sealed int64, err error) {
	var b batchJSON
	if err := json.Unmarshal(raw, &b); err != nil {
		return nil, 0, err
	}
	for i := range b.Comments {
		h, err := b.Comments[i].heard()
		if err != nil {
			return nil, 0, err
		}
		heard = append(heard, h)
	}
	return heard, b.TS, nil
}

// heard is the comment as another node would have sent it.
func (c *commentJSON) heard() (h room.Heard, err error) {
	ok := make([]bool, 4)
	kind, isKind := room.ParseKind(c.Kind)
	h.Wall = c.TS
	h.Comment = room.Comment{
		Name: c.Name, Text: c.Text, Color: room.ColorDefault, Kind: kind,
		Gift: c.Gift, Num: c.Num, Price: c.Price, Op: c.Op, Count: c.Count,
		Duration: time.Duration(min(max(0, c.Duration), 7*24*3600)) * time.Second,
	}
	if kind == room.KindRetract {
		h.Comment.Target, ok[0] = room.ParseID(c.ID)
		if !isKind || !ok[0] && c.ID != "*" {
			return h, errComment
		}
		return h, nil
	}
	h.ID, ok[0] = room.ParseID(c.ID)
	h.Comment.Mode, ok[1] = room.ParseMode(c.Mode)
	h.Comment.Size, ok[2] = room.ParseSize(c.Size)
	h.Comment.Role, ok[3] = parseRole(c.Role)
	data, dataErr := base64.StdEncoding.DecodeString(c.Data)
	if !isKind || !ok[0] || !ok[1] || !ok[2] || !ok[3] || dataErr != nil || c.Count < 0 || len(c.Text)+len(c.Name)+len(c.Gift)+len(c.UID) > 4*textMax {
		return h, errComment
	}
	h.Comment.Data = string(data)
	if c.Color != nil {
		h.Comment.Color = *c.Color & room.ColorDefault
	}
	h.Comment.User = c.UID
	if guest, found := strings.CutPrefix(c.UID, string(room.GuestMark)); found {
		h.Comment.User = ""
		if h.Comment.UID, err = strconv.ParseUint(guest, 36, 64); err != nil {
			return h, errComment
		}
	}
	return h, nil
}

// parseRole finds a role by its name on the wire; none is a guest's or a viewer's.
func parseRole(s string) (room.Role, bool) {
	if s == "" {
		return room.RoleViewer, true
	}
	return room.ParseRole(s)
}
