package cluster

import (
	"testing"

	"github.com/danmakud/danmakud/room"
)

// What a comment is on the bus is read as it was written, and its text is found alone.
func TestCommentOnTheBus(t *testing.T) {
	const id = 1<<62 | 7 // of node 7
	for _, c := range []room.Comment{
		{Color: room.ColorDefault, Text: "666"},
		{UID: 7, Text: "", Mode: room.ModeTop, Size: room.SizeSmall},
		{User: "u", Name: "\x3a\x0267", Role: room.RoleVIP, Text: "你好 :\x02", Priority: room.PriorityHigh},
		{User: "u", Text: "later", Color: 1, Priority: room.PriorityLow},
		{User: "u", Text: "g", Kind: room.KindGift, Gift: "rose", Num: 3, Price: 9},
		{Kind: room.KindRetract, Target: 5},
	} {
		said := appendComment(nil, &c, id, 1790000000000)
		if room.IDNode(id) == 0 {
			t.Fatal("the id is of no node")
		}
		h, err := parseComment(said)
		if err != nil || h.Comment != c || h.ID != id || h.Wall != 1790000000000 {
			t.Errorf("%+v came as %+v, %v", c, h, err)
		}
		if text := saidText(string(said)); text != c.Text {
			t.Errorf("%+v: the text is %q", c, text)
		}
		for cut := range said { // whatever comes from the bus
			saidText(string(said[:cut]))
		}
	}
	bad := appendNumber(appendNumber(nil, fieldID, id), fieldPriority, uint64(room.PriorityLow)+1)
	if _, err := parseComment(bad); err == nil {
		t.Error("a priority that there is not is taken")
	}
}
