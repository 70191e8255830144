package admin

import (
	"strconv"
	"strings"
	"time"

	"github.com/danmakud/danmakud/room"
)

const (
	atOnceMax = 10_000   // comments that one request may make, over all its rooms
	siteUser  = "system" // whose comments are those of nobody in particular
)

func routesPublish() []route {
	room := []param{pathRoom}
	return []route{
		{method: "POST", path: "/v1/rooms/{room}/comments", role: Publisher, tag: "publish", summary: "Publish one or many comments to a room",
			detail: "The body is one comment, or {\"comments\":[…]}. The ids come in the order of the comments. Word lists and limits of viewers do not apply.",
			params: room, takes: []any{newComment{}, newComments{}}, answers: publishedIDs{}, once: true, do: publishToRoom},
		{method: "POST", path: "/v1/comments", role: Publisher, tag: "publish", summary: "Publish to many rooms, or to all",
			detail: "Give rooms, which are made if need be, or \"all\":true for those that exist. At most 10,000 comments come of one request.",
			takes:  []any{broadcast{}}, answers: publishedIn{}, once: true, do: publishToMany},
		{method: "POST", path: "/v1/rooms/{room}/announcement", role: Publisher, tag: "publish", summary: "Publish an announcement",
			params: room, takes: []any{announcement{}}, answers: publishedIDs{}, once: true, do: publishAnnouncement},
		{method: "POST", path: "/v1/rooms/{room}/gift", role: Publisher, tag: "publish", summary: "Publish a gift",
			params: room, takes: []any{gift{}}, answers: publishedIDs{}, once: true, do: publishGift},
		{method: "POST", path: "/v1/rooms/{room}/superchat", role: Publisher, tag: "publish", summary: "Publish a superchat",
			detail: "It stays for duration_s seconds; who joins meanwhile is shown it, too.",
			params: room, takes: []any{superchat{}}, answers: publishedIDs{}, once: true, do: publishSuperchat},
		{method: "DELETE", path: "/v1/rooms/{room}/comments/{id}", role: Moderator, tag: "moderation", summary: "Take a comment back",
			detail: "Viewers are told even when the comment is no longer in the history, which is answered by 404.",
			params: []param{pathRoom, inPath("id", isID(), "id of the comment")}, status: 204, also: []int{404}, do: retract},
	}
}

func isID() *schema {
	return matching(`^[-0-9A-Z_a-z]{8}([-0-9A-Z_a-z]{3})?$`, "an id is 8 or 11 of - 0-9 A-Z _ a-z")
}

// newComment is a comment as a back end gives it: what viewers send, and what they
// may not say themselves.
type newComment struct {
	Type     string     `json:"type" is:"enum=comment" doc:"may stand here as in what viewers send"`
	Ref      string     `json:"ref" is:"max=64" doc:"may stand here as in what viewers send; is not used"`
	Text     string     `json:"text" is:"line" doc:"what is said; only a gift may have none"`
	Color    *uint32    `json:"color" is:"min=0,max=16777215" doc:"24-bit RGB; left out = white"`
	Mode     string     `json:"mode" is:"enum=scroll|top|bottom|reverse" doc:"left out = scroll"`
	Size     string     `json:"size" is:"enum=small|medium|large" doc:"left out = medium"`
	Kind     string     `json:"kind" is:"enum=chat|system|gift|superchat|announcement" doc:"left out = chat; all others are never left out of a batch"`
	Priority string     `json:"priority" is:"enum=low|normal|high" doc:"of chat, when there is more than a batch may carry: high is never left out, low is before the rest; left out = normal, and other kinds are always high"`
	User     string     `json:"user" is:"user" doc:"id of who says it, not beginning with ~; left out = system"`
	Name     string     `json:"name" is:"user" doc:"display name"`
	Role     *room.Role `json:"role" doc:"of who says it: moderators and above are never left out of a batch; left out = viewer, or admin for kinds system and announcement"`
	Gift     string     `json:"gift" is:"user" doc:"of kind gift: what it is"`
	Num      int        `json:"num" is:"min=1,max=1000000" doc:"of kind gift: how many; left out = 1"`
	Price    int64      `json:"price" is:"min=0,max=9007199254740991" doc:"of kinds gift and superchat, in whatever unit the site counts in"`
	Duration int64      `json:"duration_s" is:"min=1,max=86400" doc:"of kind superchat: how long it stays, in seconds"`
}

type newComments struct {
	Comments []newComment `json:"comments" is:"required,min=1,max=1000" doc:"the comments, in order"`
}

type broadcast struct {
	Rooms    []string     `json:"rooms" is:"min=1,max=1000,each=room" doc:"to which rooms"`
	All      bool         `json:"all" doc:"true instead of rooms: to all that exist"`
	Comments []newComment `json:"comments" is:"required,min=1,max=1000" doc:"the comments, in order"`
}

type announcement struct {
	Text  string  `json:"text" is:"required,line,min=1" doc:"what is announced"`
	User  string  `json:"user" is:"user" doc:"id of who says it; left out = system"`
	Name  string  `json:"name" is:"user" doc:"display name"`
	Color *uint32 `json:"color" is:"min=0,max=16777215" doc:"24-bit RGB; left out = white"`
}

type gift struct {
	User  string `json:"user" is:"required,user" doc:"id of who gives it"`
	Name  string `json:"name" is:"user" doc:"display name"`
	Gift  string `json:"gift" is:"required,user" doc:"what it is"`
	Num   int    `json:"num" is:"min=1,max=1000000" doc:"how many; left out = 1"`
	Price int64  `json:"price" is:"min=0,max=9007199254740991" doc:"in whatever unit the site counts in"`
	Text  string `json:"text" is:"line" doc:"a word with it"`
}

type superchat struct {
	User     string  `json:"user" is:"required,user" doc:"id of who pays for it"`
	Name     string  `json:"name" is:"user" doc:"display name"`
	Text     string  `json:"text" is:"required,line,min=1" doc:"what is said"`
	Price    int64   `json:"price" is:"required,min=0,max=9007199254740991" doc:"in whatever unit the site counts in"`
	Duration int64   `json:"duration_s" is:"required,min=1,max=86400" doc:"how long it stays, in seconds"`
	Color    *uint32 `json:"color" is:"min=0,max=16777215" doc:"24-bit RGB; left out = white"`
}

type publishedIDs struct {
	ID  string   `json:"id,omitempty" doc:"of the comment, if the body was one comment"`
	IDs []string `json:"ids" doc:"of the comments, in their order"`
}

type publishedIn struct {
	Published []Published `json:"published" doc:"room by room, the comments of each in their order"`
}

// Kinds that may be published, by their names.
var kinds = map[string]room.Kind{
	"": room.KindChat, "chat": room.KindChat, "system": room.KindSystem, "gift": room.KindGift,
	"superchat": room.KindSuperchat, "announcement": room.KindAnnouncement,
}

// Priorities of chat, by their names.
var priorities = map[string]room.Priority{
	"": room.PriorityNormal, "normal": room.PriorityNormal, "high": room.PriorityHigh, "low": room.PriorityLow,
}

// comment checks what the schema cannot say: which fields a kind has.
func (n *newComment) comment(path string) (c room.Comment, p *problem) {
	c = room.Comment{User: n.User, Name: n.Name, Text: strings.TrimSpace(n.Text), Color: room.ColorDefault, Kind: kinds[n.Kind], Priority: priorities[n.Priority],
		Gift: n.Gift, Num: n.Num, Price: n.Price, Duration: time.Duration(n.Duration) * time.Second}
	c.Mode, _ = room.ParseMode(n.Mode) // the schema knows the names
	c.Size, _ = room.ParseSize(n.Size)
	change(&c.Color, n.Color)
	c.Role = room.RoleViewer
	if c.Kind == room.KindSystem || c.Kind == room.KindAnnouncement {
		c.Role = room.RoleAdmin
	}
	change(&c.Role, n.Role)
	if c.User == "" {
		c.User = siteUser
	}
	if c.Kind == room.KindGift && c.Num == 0 {
		c.Num = 1
	}
	return c, n.misfit(path, &c)
}

func (n *newComment) misfit(path string, c *room.Comment) *problem {
	gift, superchat := c.Kind == room.KindGift, c.Kind == room.KindSuperchat
	switch {
	case c.Text == "" && !gift:
		return invalid(member(path, "text"), "say something")
	case c.User[0] == room.GuestMark:
		return invalid(member(path, "user"), "names that begin with ~ are those of guests")
	case c.Kind != room.KindChat && n.Priority != "" && n.Priority != "high":
		return invalid(member(path, "priority"), "is high for all kinds but chat")
	case gift && n.Gift == "":
		return invalid(member(path, "gift"), "is missing")
	case !gift && n.Gift != "":
		return invalid(member(path, "gift"), "is of kind gift only")
	case !gift && n.Num != 0:
		return invalid(member(path, "num"), "is of kind gift only")
	case !gift && !superchat && n.Price != 0:
		return invalid(member(path, "price"), "is of kinds gift and superchat only")
	case superchat && n.Duration == 0:
		return invalid(member(path, "duration_s"), "is missing")
	case !superchat && n.Duration != 0:
		return invalid(member(path, "duration_s"), "is of kind superchat only")
	}
	return nil
}

func commentsOf(list []newComment) ([]room.Comment, *problem) {
	comments := make([]room.Comment, len(list))
	for i := range list {
		c, p := list[i].comment(indexed("comments", i))
		if p != nil {
			return nil, p
		}
		comments[i] = c
	}
	return comments, nil
}

func publishToRoom(a *API, q *request) (any, error) {
	var body struct {
		newComment
		newComments
	}
	if p := q.into(&body); p != nil {
		return nil, p
	}
	if body.Comments == nil {
		return a.publishOne(q, &body.newComment)
	}
	comments, p := commentsOf(body.Comments)
	if p != nil {
		return nil, p
	}
	published, err := a.publish(q, []string{q.name("room")}, comments)
	answer := publishedIDs{IDs: make([]string, len(published))}
	for i := range published {
		answer.IDs[i] = published[i].ID
	}
	return answer, err
}

// publishOne publishes one comment to the room in the path.
func (a *API) publishOne(q *request, n *newComment) (any, error) {
	c, p := n.comment("")
	if p != nil {
		return nil, p
	}
	published, err := a.publish(q, []string{q.name("room")}, []room.Comment{c})
	if err != nil {
		return nil, err
	}
	return publishedIDs{published[0].ID, []string{published[0].ID}}, nil
}

// publish has the backend publish. What was published before an error goes into the
// problem, so that the caller does not publish it again.
func (a *API) publish(q *request, rooms []string, comments []room.Comment) ([]Published, error) {
	published, err := a.backend.Publish(rooms, comments, q.by.name)
	if err == nil {
		return published, nil
	}
	p := *a.asProblem(err)
	p.Published = published
	return nil, &p
}

func publishToMany(a *API, q *request) (any, error) {
	var body broadcast
	if p := q.into(&body); p != nil {
		return nil, p
	}
	if body.All == (body.Rooms != nil) {
		return nil, invalid("rooms", "give either rooms or \"all\":true")
	}
	comments, p := commentsOf(body.Comments)
	if p != nil {
		return nil, p
	}
	rooms := len(body.Rooms)
	if body.All {
		_, rooms = a.backend.ListRooms("", 1)
	}
	if rooms*len(comments) > atOnceMax {
		return nil, invalid("comments", "%s rooms times %d comments are more than %d", strconv.Itoa(rooms), len(comments), atOnceMax)
	}
	published, err := a.publish(q, body.Rooms, comments)
	return publishedIn{orEmpty(published)}, err
}

func publishAnnouncement(a *API, q *request) (any, error) {
	var n announcement
	if p := q.into(&n); p != nil {
		return nil, p
	}
	return a.publishOne(q, &newComment{Kind: "announcement", Text: n.Text, User: n.User, Name: n.Name, Color: n.Color})
}

func publishGift(a *API, q *request) (any, error) {
	var n gift
	if p := q.into(&n); p != nil {
		return nil, p
	}
	return a.publishOne(q, &newComment{Kind: "gift", Text: n.Text, User: n.User, Name: n.Name, Gift: n.Gift, Num: n.Num, Price: n.Price})
}

func publishSuperchat(a *API, q *request) (any, error) {
	var n superchat
	if p := q.into(&n); p != nil {
		return nil, p
	}
	return a.publishOne(q, &newComment{Kind: "superchat", Text: n.Text, User: n.User, Name: n.Name, Price: n.Price, Duration: n.Duration, Color: n.Color})
}

func retract(a *API, q *request) (any, error) {
	return nil, a.backend.Retract(q.name("room"), q.name("id"), q.by.name)
}
