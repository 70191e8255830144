package admin

import "github.com/danmakud/danmakud/cmd/danmakud/internal/moderation"

func routesWords() []route {
	name := []param{inPath("list", isListName(), "name of the list")}
	return []route{
		{method: "GET", path: "/v1/words", role: Moderator, tag: "words", summary: "The word lists, without their words",
			answers: wordLists{}, do: listWords},
		{method: "GET", path: "/v1/words/{list}", role: Moderator, tag: "words", summary: "A word list with its words",
			params: name, answers: moderation.WordList{}, also: []int{404}, do: showWords},
		{method: "PUT", path: "/v1/words/{list}", role: Admin, tag: "words", summary: "Make or replace a word list",
			detail: "Words are compared after NFKC and case folding. It is in force when it is answered.",
			params: name, takes: []any{newWords{}}, answers: moderation.WordList{}, also: []int{501}, do: putWords},
		{method: "DELETE", path: "/v1/words/{list}", role: Admin, tag: "words", summary: "Remove a word list",
			params: name, status: 204, also: []int{404}, do: removeWords},
	}
}

type wordLists struct {
	Lists []moderation.WordList `json:"lists"`
}

func listWords(a *API, _ *request) (any, error) {
	return wordLists{orEmpty(a.backend.Words())}, nil
}

func showWords(a *API, q *request) (any, error) {
	l, err := a.backend.WordList(q.name("list"))
	return l, err
}

type newWords struct {
	Action string   `json:"action" is:"required,enum=reject|mask|hold|shadow" doc:"what becomes of a comment with one of the words"`
	Rooms  []string `json:"rooms" is:"max=10000,each=room" doc:"where it counts; left out = everywhere"`
	Words  []string `json:"words" is:"required,max=200000,each=user" doc:"the words"`
}

func putWords(a *API, q *request) (any, error) {
	var n newWords
	if p := q.into(&n); p != nil {
		return nil, p
	}
	l := moderation.WordList{Name: q.name("list"), Action: n.Action, Rooms: n.Rooms, Words: n.Words, Count: len(n.Words)}
	if err := a.backend.SetWordList(l, q.by.name); err != nil {
		return nil, err
	}
	l.Words = nil // the caller has them
	return l, nil
}

func removeWords(a *API, q *request) (any, error) {
	return nil, a.backend.RemoveWordList(q.name("list"), q.by.name)
}
