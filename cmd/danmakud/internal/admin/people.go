package admin

import (
	"net/netip"
	"net/url"
	"time"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/moderation"
)

const sanctionMost = 100 * 365 * 24 * time.Hour // for longer there is "until it is lifted"

func routesPeople() []route {
	queryRoom := inQuery("room", isRoom(), "only in this room")
	return []route{
		{method: "GET", path: "/v1/viewers", role: Moderator, tag: "people", summary: "The connections of a user",
			params:  []param{inQuery("user", isUser(), "id of the user; a guest's begins with ~").required(), queryRoom},
			answers: viewerList{}, do: listViewers},
		{method: "POST", path: "/v1/kick", role: Moderator, tag: "people", summary: "Close the connections of a user",
			detail: "Nothing keeps the user from coming back; for that there are sanctions.",
			takes:  []any{kick{}}, answers: closed{}, also: []int{404}, do: kickUser},
		{method: "POST", path: "/v1/sanctions", role: Moderator, tag: "people", summary: "Mute, ban or shadow-ban",
			detail: "A user or an address, in a room or everywhere, for a time or until it is lifted. A ban closes connections with 4003.",
			takes:  []any{newSanction{}}, answers: moderation.Sanction{}, status: 201, also: []int{501}, do: sanction},
		{method: "GET", path: "/v1/sanctions", role: Moderator, tag: "people", summary: "The sanctions in force",
			params:  []param{queryRoom, inQuery("user", isUser(), "only against this user")},
			answers: sanctionList{}, do: listSanctions},
		{method: "DELETE", path: "/v1/sanctions/{id}", role: Moderator, tag: "people", summary: "Lift a sanction",
			params: []param{inPath("id", isUser(), "id of the sanction")}, status: 204, also: []int{404}, do: liftSanction},
		{method: "POST", path: "/v1/tokens/revoke", role: Admin, tag: "people", summary: "Revoke tokens",
			detail: "One token by its jti, or all that a user has been given before now. Their connections are closed with 4001.",
			takes:  []any{revocation{}}, answers: closed{}, also: []int{501}, do: revoke},
		{method: "GET", path: "/v1/audit", role: Moderator, tag: "moderation", summary: "What was done, the newest first",
			params: []param{queryLimit(listDefault, listMax)}, answers: eventList{}, also: []int{501}, do: listEvents},
		{method: "GET", path: "/v1/held", role: Moderator, tag: "moderation", summary: "Comments that wait for a decision",
			params: []param{queryRoom}, answers: heldList{}, do: listHeld},
		{method: "POST", path: "/v1/held/{id}", role: Moderator, tag: "moderation", summary: "Publish or discard a comment that waits",
			params: []param{inPath("id", isUser(), "id under which it waits")}, takes: []any{decision{}}, status: 204, also: []int{404}, do: decide},
	}
}

type viewerList struct {
	Viewers []Viewer `json:"viewers" doc:"at most 1,000"`
}

func listViewers(a *API, q *request) (any, error) {
	viewers, err := a.backend.Viewers(q.Context(), q.text("room"), q.text("user"))
	return viewerList{orEmpty(viewers)}, err
}

type kick struct {
	User   string `json:"user" is:"required,user" doc:"id of the user; a guest's begins with ~"`
	Room   string `json:"room" is:"room" doc:"left out = in all rooms"`
	Reason string `json:"reason" is:"line,max=100" doc:"what the user is told"`
}

type closed struct {
	Closed int `json:"closed" doc:"connections that were closed"`
}

func kickUser(a *API, q *request) (any, error) {
	var k kick
	if p := q.into(&k); p != nil {
		return nil, p
	}
	n, err := a.backend.Kick(q.Context(), k.Room, k.User, k.Reason, q.by.name)
	return closed{n}, err
}

type newSanction struct {
	Kind    string     `json:"kind" is:"required,enum=mute|ban|shadow" doc:"mute: watches, does not speak; ban: neither; shadow: alone sees what it says"`
	Room    string     `json:"room" is:"room" doc:"left out = everywhere"`
	User    string     `json:"user" is:"user" doc:"id of a user; this or address"`
	Address string     `json:"address" is:"min=1,max=64" doc:"an address, or a network such as 192.0.2.0/24"`
	Until   *time.Time `json:"until" doc:"when it ends; left out = when it is lifted"`
	Seconds int64      `json:"seconds" is:"min=1,max=315360000" doc:"how long, instead of until"`
	Reason  string     `json:"reason" is:"line" doc:"for the record, and for who it is about"`
}

// sanctioned is the answer; it also says where the sanction is.
type sanctioned struct{ moderation.Sanction }

func (s sanctioned) location() string { return "/v1/sanctions/" + url.PathEscape(s.ID) }

func sanction(a *API, q *request) (any, error) {
	var n newSanction
	if p := q.into(&n); p != nil {
		return nil, p
	}
	wanted := moderation.Sanction{Kind: moderation.SanctionKind(n.Kind), Room: n.Room, User: n.User, Reason: n.Reason, By: q.by.name, At: a.now()}
	if (n.User == "") == (n.Address == "") {
		return nil, invalid("user", "give either user or address")
	}
	if n.Address != "" {
		network, ok := parseNetwork(n.Address)
		if !ok {
			return nil, invalid("address", "want an address such as 192.0.2.1 or a network such as 192.0.2.0/24")
		}
		wanted.Address = network
	}
	switch {
	case n.Until != nil && n.Seconds != 0:
		return nil, invalid("until", "give either until or seconds")
	case n.Until != nil && !n.Until.After(wanted.At):
		return nil, invalid("until", "is over already")
	case n.Until != nil && n.Until.Sub(wanted.At) > sanctionMost:
		return nil, invalid("until", "is too far off; left out it means until it is lifted")
	case n.Until != nil:
		wanted.Until = *n.Until
	case n.Seconds != 0:
		wanted.Until = wanted.At.Add(time.Duration(n.Seconds) * time.Second)
	}
	s, err := a.backend.Sanction(q.Context(), wanted)
	return sanctioned{s}, err
}

// parseNetwork brings an address or network into its usual form.
func parseNetwork(text string) (string, bool) {
	if address, err := netip.ParseAddr(text); err == nil && address.Zone() == "" {
		return address.Unmap().String(), true
	}
	network, err := netip.ParsePrefix(text)
	if err != nil || network.Addr().Is4In6() {
		return "", false
	}
	return network.Masked().String(), true
}

type sanctionList struct {
	Sanctions []moderation.Sanction `json:"sanctions"`
}

func listSanctions(a *API, q *request) (any, error) {
	return sanctionList{orEmpty(a.backend.Sanctions(q.text("room"), q.text("user")))}, nil
}

func liftSanction(a *API, q *request) (any, error) {
	return nil, a.backend.Lift(q.name("id"), q.by.name)
}

type revocation struct {
	Token string `json:"token_id" is:"user,max=256" doc:"the jti of a token; this or user"`
	User  string `json:"user" is:"user" doc:"id of a user"`
}

func revoke(a *API, q *request) (any, error) {
	var r revocation
	if p := q.into(&r); p != nil {
		return nil, p
	}
	if (r.Token == "") == (r.User == "") {
		return nil, invalid("token_id", "give either token_id or user")
	}
	n, err := a.backend.Revoke(q.Context(), r.Token, r.User, q.by.name)
	return closed{n}, err
}

type eventList struct {
	Events []moderation.Event `json:"events"`
}

func listEvents(a *API, q *request) (any, error) {
	events, err := a.backend.Audit(q.count("limit", listDefault))
	return eventList{orEmpty(events)}, err
}

type heldList struct {
	Held []moderation.HeldComment `json:"held"`
}

func listHeld(a *API, q *request) (any, error) {
	return heldList{orEmpty(a.backend.Held(q.text("room")))}, nil
}

type decision struct {
	Publish bool `json:"publish" is:"required" doc:"true publishes it, false discards it"`
}

func decide(a *API, q *request) (any, error) {
	var d decision
	if p := q.into(&d); p != nil {
		return nil, p
	}
	return nil, a.backend.Decide(q.name("id"), d.Publish, q.by.name)
}
