package archive

import (
	"encoding/json"
	"strconv"

	"github.com/danmakud/danmakud/room"
)

// Comment is one comment as it stands in a file.
type Comment struct {
	ID       string `json:"id"`
	User     string `json:"uid"`
	Name     string `json:"name"`
	Text     string `json:"text"`
	Time     int64  `json:"ts"` // Unix milliseconds
	Color    uint32 `json:"color"`
	Mode     string `json:"mode"`
	Size     string `json:"size"`
	Kind     string `json:"kind"`
	Gift     string `json:"gift"`
	Num      int    `json:"num"`
	Price    int64  `json:"price"`
	Duration int64  `json:"duration_s"`
	Count    int    `json:"count"` // equal comments merged into this one; 0 = it is alone
}

// parse reads a line.
func parse(line []byte) (Comment, error) {
	c := Comment{Color: room.ColorDefault}
	err := json.Unmarshal(line, &c)
	c.Color &= 0xFFFFFF
	return c, err
}

// Sender is the name to be shown.
func (c *Comment) Sender() string {
	if c.Name != "" {
		return c.Name
	}
	return c.User
}

// Shown is the text with how many said it.
func (c *Comment) Shown() string {
	if c.Count > 1 {
		return c.Text + " ×" + strconv.Itoa(c.Count)
	}
	return c.Text
}
