package room

import (
	"encoding/json"
	"slices"
	"strings"
)

// comments are encoded comments, separated by commas, and what is known of each.
type comments struct {
	text  []byte
	marks []mark
}

// mark is what is remembered of an encoded comment.
type mark struct {
	id       uint64 // 0: of a retract, which has another comment's
	end      uint32 // where it ends in the text
	count    uint32 // Comment.Count
	kind     Kind
	role     Role
	priority Priority
	clears   bool // of a retract: it takes back all
}

// markOf is the mark of a comment that is about to be taken in.
func markOf(c *Comment, id uint64) mark {
	return mark{id: id, count: uint32(c.Count), kind: c.Kind, role: c.Role, priority: c.Priority}
}

// stands is how many comments it stands for.
func (m *mark) stands() int { return int(max(1, m.count)) }

// standing is how many comments all of them stand for.
func standing(marks []mark) (n int) {
	for i := range marks {
		n += marks[i].stands()
	}
	return n
}

// prior reports whether the comment is never left out for lack of space.
func (m *mark) prior() bool { return isPrior(m.kind, m.role, m.priority) }

// fleeting reports whether the comment is for no history.
func (m *mark) fleeting() bool { return m.kind == KindRetract || m.kind == KindData }

func isPrior(k Kind, r Role, p Priority) bool {
	return k != KindChat || r >= RoleModerator || p == PriorityHigh
}

// span returns where comment i begins and ends in the text.
func (c comments) span(i int) (from, to uint32) {
	if i > 0 {
		from = c.marks[i-1].end + 1
	}
	return from, c.marks[i].end
}

// tail returns the last n comments.
func (c comments) tail(n int) []byte {
	if n >= len(c.marks) {
		return c.text
	}
	return c.text[c.marks[len(c.marks)-n-1].end+1:]
}

// find returns the place of the comment with that id, or -1. A retract has the id
// of another comment.
func (c comments) find(id uint64) int {
	return slices.IndexFunc(c.marks, func(m mark) bool { return m.id == id && m.kind != KindRetract })
}

// appendTo appends the comments that keep says to dst, which may be the emptied
// c itself.
func (c comments) appendTo(dst comments, keep func(i int) bool) comments {
	from := uint32(0)
	for i, m := range c.marks { // a copy: dst may take its place
		if keep(i) {
			if len(dst.marks) > 0 {
				dst.text = append(dst.text, ',')
			}
			dst.text = append(dst.text, c.text[from:m.end]...)
			from, m.end = m.end+1, uint32(len(dst.text))
			dst.marks = append(dst.marks, m)
			continue
		}
		from = m.end + 1
	}
	return dst
}

// textOf returns the text of a comment as appendComment has written it.
func textOf(comment string) string {
	const field = `,"text":"` // in no string, where a quote has a backslash before it
	at := strings.Index(comment, field)
	if at < 0 {
		return ""
	}
	text := comment[at+len(field):]
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			return text[:i]
		case '\\':
			return unescaped(text)
		}
	}
	return ""
}

// unescaped reads a JSON string whose opening quote is gone, up to the closing one.
func unescaped(quoted string) string {
	end := 0
	for end < len(quoted) && quoted[end] != '"' {
		if quoted[end] == '\\' {
			end++
		}
		end++
	}
	var text string
	if end >= len(quoted) || json.Unmarshal([]byte(`"`+quoted[:end+1]), &text) != nil {
		return ""
	}
	return text
}
