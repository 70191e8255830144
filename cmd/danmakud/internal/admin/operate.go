package admin

import "net/http"

func routesServer() []route {
	return []route{
		{method: "GET", path: "/v1/stats", role: Reader, tag: "server", summary: "Counts of the whole server since its start",
			answers: Stats{}, do: func(a *API, _ *request) (any, error) { return a.backend.Stats(), nil }},
		{method: "GET", path: "/v1/configuration", role: Admin, tag: "server", summary: "The settings in force and where they came from",
			answers: configuration{}, do: showConfiguration},
		{method: "PATCH", path: "/v1/configuration", role: Admin, tag: "server", summary: "Change settings of the running server",
			detail: "Only those with reload; they last until the next reload or restart. Either all are taken or none.",
			takes:  []any{newSettings{}}, answers: changes{}, also: []int{501}, do: setConfiguration},
		{method: "POST", path: "/v1/configuration/reload", role: Admin, tag: "server", summary: "Read the settings file again",
			detail:  "What SIGHUP does. Whatever goes wrong, the settings in force stay.",
			answers: changes{}, also: []int{400, 501}, do: reload},
		{method: "POST", path: "/v1/drain", role: Admin, tag: "server", summary: "Drain and stop the server",
			detail: "What SIGTERM does: it is answered before it begins.", status: http.StatusAccepted, answers: draining{}, do: drain},
		{method: "GET", path: "/v1/rooms/{room}/stream", role: Reader, tag: "rooms", summary: "The batches of a room as they are sent",
			detail: "Server-sent events: batch has the message that viewers get; dropped says how many batches this stream was too slow for. A comment comes as a sign of life every 15 seconds.",
			params: []param{pathRoom}, stream: streamRoom, media: []string{"text/event-stream"}, also: []int{404}},
		{method: "GET", path: "/v1/rooms/{room}/export", role: Reader, tag: "rooms", summary: "The archived comments of a room",
			detail: "xml as recorders write it, ass subtitles, or ndjson with one comment a line.",
			params: []param{pathRoom,
				inQuery("format", oneOf("xml", "ass", "ndjson"), "of what is answered").required(),
				inQuery("from", &schema{Type: "string", Format: "date-time"}, "first moment; left out = the first comment"),
				inQuery("to", &schema{Type: "string", Format: "date-time"}, "last moment; left out = now")},
			stream: exportRoom, media: []string{"application/xml", "text/x-ssa", "application/x-ndjson"}, also: []int{404, 501}},
	}
}

type configuration struct {
	Settings []Setting `json:"settings"`
}

func showConfiguration(a *API, _ *request) (any, error) {
	return configuration{orEmpty(a.backend.Configuration())}, nil
}

type newSettings struct {
	Values map[string]string `json:"values" is:"required" doc:"names of settings and their values as they would be typed on the command line"`
}

type changes struct {
	Changed []string `json:"changed" doc:"settings that changed"`
	Restart []string `json:"restart,omitempty" doc:"settings that need a restart to change"`
}

func setConfiguration(a *API, q *request) (any, error) {
	var n newSettings
	if p := q.into(&n); p != nil {
		return nil, p
	}
	if len(n.Values) == 0 {
		return nil, invalid("values", "has no settings")
	}
	changed, err := a.backend.Set(n.Values, q.by.name)
	return changes{Changed: orEmpty(changed)}, err
}

func reload(a *API, q *request) (any, error) {
	changed, restart, err := a.backend.Reload(q.by.name)
	return changes{orEmpty(changed), restart}, err
}

type draining struct {
	Draining bool `json:"draining"`
}

func drain(a *API, q *request) (any, error) {
	a.backend.Drain(q.by.name)
	return draining{true}, nil
}
