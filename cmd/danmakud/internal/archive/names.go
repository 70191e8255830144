package archive

import (
	"strings"
	"time"
)

// suffix ends the name of every file of an archive.
const suffix = ".ndjson"

// stamp is the name of a file without its suffix: the time of its first comment,
// in UTC. Names sort as times do.
const stamp = "20060102T150405.000Z"

// folderName is a room's folder. A room may be called ".", ".." or "CON", and names
// that differ in case are different rooms, but not different files everywhere: all
// but lower-case letters, digits, "_", "-" and dots inside is written as %xx.
func folderName(room string) string {
	const hex = "0123456789abcdef"
	var b strings.Builder
	for i := 0; i < len(room); i++ {
		c := room[i]
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '_', c == '-', c == '.' && i > 0:
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}

// fileName is that of a file whose first comment is of that time.
func fileName(t time.Time) string { return t.UTC().Format(stamp) + suffix }

// fileTime reads a name that fileName made.
func fileTime(name string) (time.Time, bool) {
	text, ok := strings.CutSuffix(name, suffix)
	if !ok {
		return time.Time{}, false
	}
	t, err := time.Parse(stamp, text)
	return t, err == nil
}
