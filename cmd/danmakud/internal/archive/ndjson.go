package archive

import (
	"bufio"
	"bytes"
	"strconv"
	"time"
)

// ndjson is the lines as they were archived, each with its offset.
type ndjson struct{}

func (ndjson) header(*bufio.Writer, string, time.Time) {}
func (ndjson) footer(*bufio.Writer)                    {}

func (ndjson) comment(w *bufio.Writer, line []byte, offset int64) error {
	line = bytes.TrimSpace(line)
	w.Write(line[:len(line)-1]) // valid JSON that has a key ends with a brace
	w.WriteString(`,"offset_ms":`)
	w.WriteString(strconv.FormatInt(offset, 10))
	_, err := w.WriteString("}\n")
	return err
}
