package packet

import (
	"hash/crc32"
	"strconv"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/strictjson"
	"github.com/danmakud/danmakud/room"
	"github.com/valyala/fastjson"
)

// The events of the Bilibili dialect. Clients index deep into some of the lists and
// fail at shorter ones, so that all places are there, those without a meaning here
// with the value that means nothing.

// numbers of modes and sizes there.
var (
	modes = map[string]int64{"": 1, "scroll": 1, "bottom": 4, "top": 5, "reverse": 6}
	sizes = map[string]int64{"": 25, "small": 18, "medium": 25, "large": 36}
)

// appendEvents appends what one comment is to such clients.
func (e *Encoder) appendEvents(dst []byte, c *comment) []byte {
	if c.kind == "retract" {
		return appendRecall(dst, c)
	}
	dst, start := open(dst, VersionJSON, OpMessage)
	body := len(dst)
	switch c.kind {
	case "gift":
		dst = appendGift(dst, c)
	case "superchat":
		dst = appendSuperchat(dst, c)
	case "data":
		if isEvent(&e.each, c.text) {
			dst = append(dst, c.text...)
		}
	default:
		dst = e.appendDanmu(dst, c)
	}
	if len(dst) == body {
		return dst[:start]
	}
	return closePacket(dst, start)
}

// isEvent reports whether what a site pushes is an event of this dialect.
func isEvent(parser *fastjson.Parser, text string) bool {
	if strictjson.Check([]byte(text)) != nil {
		return false
	}
	v, err := parser.Parse(text)
	return err == nil && len(v.GetStringBytes("cmd")) > 0
}

// writer appends fields one behind the other.
type writer struct{ p []byte }

func (w *writer) raw(text string) *writer { w.p = append(w.p, text...); return w }
func (w *writer) str(s string) *writer    { w.p = appendString(w.p, s); return w }
func (w *writer) int(n int64) *writer     { w.p = strconv.AppendInt(w.p, n, 10); return w }
func (w *writer) uint(n uint64) *writer   { w.p = strconv.AppendUint(w.p, n, 10); return w }

func (w *writer) bit(on bool) *writer {
	if on {
		return w.raw("1")
	}
	return w.raw("0")
}

// appendDanmu appends a chat, and what the site says.
func (e *Encoder) appendDanmu(dst []byte, c *comment) []byte {
	uid, name := number(c.uid), c.shown()
	hash := strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(c.uid))), 16)
	w := writer{dst}
	w.raw(`{"cmd":"DANMU_MSG","info":[[0,`).int(modes[c.mode]).raw(`,`).int(sizes[c.size]).raw(`,`).int(c.color).raw(`,`).int(c.ts)
	w.raw(`,`).uint(idNumber(c.id) & 0x7FFFFFFF).raw(`,0,"`).raw(hash).raw(`",0,0,0,"",0,"{}","{}",{"mode":0,"show_player_type":0,"extra":`)
	e.extra = c.appendExtra(e.extra[:0], hash)
	w.str(string(e.extra))
	w.raw(`,"user":{"uid":`).uint(uid).raw(`,"base":{"name":`).str(name).raw(`,"face":""}}},{"activity_identity":"","activity_source":0,"not_show":0}],`)
	w.str(c.text)
	w.raw(`,[`).uint(uid).raw(`,`).str(name).raw(`,`).bit(c.moderates()).raw(`,`).bit(c.role == "vip").raw(`,0,10000,1,""],`)
	w.raw(`[],[0,0,9868950,">50000",0],["",""],0,0,null,{"ts":`).int(c.ts / 1000).raw(`,"ct":"`).raw(hash).raw(`"},0,0,null,null,0,0,[0]]}`)
	return w.p
}

// moderates reports whether clients should mark c as a moderator's.
func (c *comment) moderates() bool {
	return c.role == "moderator" || c.role == "anchor" || c.role == "admin"
}

// appendExtra appends the JSON that is a text within a chat: what has no other place.
func (c *comment) appendExtra(dst []byte, hash string) []byte {
	w := writer{dst}
	w.raw(`{"send_from_me":false,"mode":0,"color":`).int(c.color).raw(`,"dm_type":0,"font_size":`).int(sizes[c.size])
	w.raw(`,"player_mode":`).int(modes[c.mode]).raw(`,"content":`).str(c.text).raw(`,"user_hash":"`)
	crc, _ := strconv.ParseUint(hash, 16, 32) // it was made of such a number
	w.uint(crc).raw(`","id_str":`).str(c.id).raw(`,"uid_str":`).str(c.uid).raw(`,"emots":null`)
	if c.kind != "" {
		w.raw(`,"kind":`).str(c.kind)
	}
	if c.count > 1 {
		w.raw(`,"count":`).int(c.count)
	}
	return append(w.p, '}')
}

func appendGift(dst []byte, c *comment) []byte {
	num := max(1, c.num)
	w := writer{dst}
	w.raw(`{"cmd":"SEND_GIFT","data":{"action":"投喂","giftName":`).str(c.gift).raw(`,"giftId":`).uint(small(c.gift)).raw(`,"giftType":0,"num":`).int(num)
	w.raw(`,"price":`).int(c.price).raw(`,"discount_price":`).int(c.price).raw(`,"total_coin":`).int(product(c.price, num)).raw(`,"coin_type":"gold","uid":`).uint(number(c.uid))
	w.raw(`,"uname":`).str(c.shown()).raw(`,"face":"","name_color":"","guard_level":0,"timestamp":`).int(c.ts / 1000)
	w.raw(`,"rnd":"`).uint(idNumber(c.id)).raw(`","tid":"`).uint(idNumber(c.id)).raw(`","batch_combo_id":"","combo_total_coin":0,"remain":0,"super_gift_num":0,`)
	w.raw(`"magnification":1,"original_gift_name":"","is_first":true,"blind_gift":null,"send_master":null,"batch_combo_send":null,"combo_send":null,`)
	w.raw(`"gift_info":{"img_basic":"","webp":"","gif":""},"medal_info":`).raw(noMedal).raw(`,"fans_medal":null,"message":`).str(c.text).raw(`}}`)
	return w.p
}

// product is a*b, or the largest number if that is too large.
func product(a, b int64) int64 {
	if a > 0 && b > roomMax/a {
		return roomMax
	}
	return a * b
}

// noMedal is the medal of who has none.
const noMedal = `{"anchor_roomid":0,"anchor_uname":"","guard_level":0,"icon_id":0,"is_lighted":0,"medal_color":0,"medal_color_border":0,` +
	`"medal_color_end":0,"medal_color_start":0,"medal_level":0,"medal_name":"","special":"","target_id":0}`

func appendSuperchat(dst []byte, c *comment) []byte {
	start, uid, name := c.ts/1000, number(c.uid), c.shown()
	w := writer{dst}
	w.raw(`{"cmd":"SUPER_CHAT_MESSAGE","data":{"id":`).uint(idNumber(c.id)).raw(`,"price":`).int(c.price).raw(`,"rate":1000,"message":`).str(c.text)
	w.raw(`,"message_trans":"","start_time":`).int(start).raw(`,"end_time":`).int(start + c.duration).raw(`,"time":`).int(c.duration).raw(`,"ts":`).int(start)
	w.raw(`,"uid":`).uint(uid).raw(`,"token":"","trans_mark":0,"is_ranked":0,"is_send_audit":0,"gift":{"gift_id":0,"gift_name":"","num":1},`)
	w.raw(`"user_info":{"uname":`).str(name).raw(`,"name_color":"#666666","face":"","face_frame":"","guard_level":0,"user_level":0,"level_color":"#969696","is_vip":`)
	w.bit(c.role == "vip").raw(`,"is_svip":0,"is_main_vip":0,"manager":`).bit(c.moderates()).raw(`,"title":"0"},"medal_info":null`)
	w.raw(`,"background_bottom_color":"`).color(c).raw(`","background_color":"#EDF5FF","background_color_start":"#3171D2","background_color_end":"#3171D2","color_point":0.7,`)
	w.raw(`"background_icon":"","background_image":"","background_price_color":"#7497CD","message_font_color":"#FFFFFF","dmscore":0},"roomid":0}`)
	return w.p
}

// color is the comment's colour, or where it has none the usual one.
func (w *writer) color(c *comment) *writer {
	if c.color == 0xFFFFFF {
		return w.raw("#2A60B2")
	}
	text := strconv.FormatUint(1<<24|uint64(c.color)&0xFFFFFF, 16)
	return w.raw("#").raw(text[1:])
}

// appendRecall appends that a comment is taken back, "*" = all. Whether it was a chat
// or a superchat the batch does not say: clients look among what they show.
func appendRecall(dst []byte, c *comment) []byte {
	dst = appendEvent(dst, "RECALL_DANMU_MSG", func(w *writer) { w.raw(`"recall_type":1,"target_id":`).str(c.id) })
	if c.id == "*" {
		return dst
	}
	return appendEvent(dst, "SUPER_CHAT_MESSAGE_DELETE", func(w *writer) { w.raw(`"ids":[`).uint(idNumber(c.id)).raw(`]`) })
}

// appendSilence appends who may speak in a room whose settings have changed. Its levels
// are our roles: there are no others here.
func appendSilence(dst []byte, settings *fastjson.Value) []byte {
	least := room.RoleGuest
	if settings.GetBool("closed") {
		least = room.RoleModerator
	} else if r, ok := room.ParseRole(string(settings.GetStringBytes("min_role"))); ok {
		least = r
	}
	if least == room.RoleGuest {
		return appendEvent(dst, "ROOM_SILENT_OFF", func(w *writer) { w.raw(`"type":"","level":0,"second":0`) })
	}
	return appendEvent(dst, "ROOM_SILENT_ON", func(w *writer) {
		w.raw(`"type":"level","level":`).int(int64(least)).raw(`,"second":-1`)
	})
}

// AppendBlocked appends that a user may not speak in the room any more, or not be there;
// anchor says that it is the anchor who says so, and no moderator.
func AppendBlocked(dst []byte, user, name string, anchor bool) []byte {
	c := comment{uid: user, name: name}
	return appendEvent(dst, "ROOM_BLOCK_MSG", func(w *writer) {
		w.raw(`"dmscore":0,"operator":`)
		if anchor {
			w.raw("2")
		} else {
			w.raw("1")
		}
		w.raw(`,"uid":`).uint(number(user)).raw(`,"uname":`).str(c.shown())
	})
}

// appendEvent appends the packet of an event whose data fill writes.
func appendEvent(dst []byte, cmd string, fill func(w *writer)) []byte {
	p, start := open(dst, VersionJSON, OpMessage)
	w := writer{p}
	w.raw(`{"cmd":"`).raw(cmd).raw(`","data":{`)
	fill(&w)
	return closePacket(append(w.p, '}', '}'), start)
}

// appendCounts appends the events about the room as a whole.
func appendCounts(dst []byte, h *head, b *Batch) []byte {
	if h.settings != nil {
		dst = appendSilence(dst, h.settings)
	}
	if h.likes > 0 {
		dst = appendEvent(dst, "LIKE_INFO_V3_UPDATE", func(w *writer) { w.raw(`"click_count":`).uint(b.Likes) })
	}
	if h.online < 0 {
		return dst
	}
	dst = appendEvent(dst, "ONLINE_RANK_COUNT", func(w *writer) { w.raw(`"count":`).int(h.online).raw(`,"online_count":`).int(h.online) })
	return appendEvent(dst, "WATCHED_CHANGE", func(w *writer) {
		n := strconv.FormatUint(b.Watched, 10)
		w.raw(`"num":`).raw(n).raw(`,"text_small":"`).raw(n).raw(`","text_large":"`).raw(n).raw(`人看过"`)
	})
}
