package archive

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"time"
)

// Formats of Export.
const (
	FormatNDJSON = "ndjson" // one native comment a line, with offset_ms
	FormatXML    = "xml"    // as recorders of live comments write it
	FormatASS    = "ass"    // subtitles, Advanced SubStation Alpha
)

// contentTypes has every format.
var contentTypes = map[string]string{
	FormatNDJSON: "application/x-ndjson",
	FormatXML:    "application/xml; charset=utf-8",
	FormatASS:    "text/x-ssa; charset=utf-8",
}

// ContentType returns the media type of a format, or false if there is none of that
// name.
func ContentType(format string) (string, bool) {
	t, ok := contentTypes[format]
	return t, ok
}

// exporter writes one format. offset is in milliseconds from the start of the stream.
type exporter interface {
	header(w *bufio.Writer, room string, start time.Time)
	comment(w *bufio.Writer, line []byte, offset int64) error
	footer(w *bufio.Writer)
}

// Export writes what was said in a room from from to to, that time left out, as it
// stands when the call begins; a zero time is no bound. What was taken back is left
// out, and so is what was said before the room was cleared last. Offsets count from
// from, or from the first comment when it is zero. Memory does not depend on how
// much there is. Before the first byte is written the error may be ErrNoRoom or
// ErrBusy. Any goroutine; it reads files and waits for w.
func (a *Archive) Export(ctx context.Context, w io.Writer, room, format string, from, to time.Time) error {
	var e exporter
	switch format {
	case FormatNDJSON:
		e = ndjson{}
	case FormatXML:
		e = xmlExporter{}
	case FormatASS:
		e = newASS()
	default:
		return fmt.Errorf("archive: format is %s, %s or %s, not %q", FormatXML, FormatASS, FormatNDJSON, format)
	}
	r, err := a.begin(ctx, room, span{from, to}, 0)
	if err != nil {
		return err
	}
	defer r.end()
	out := bufio.NewWriterSize(w, 64<<10)
	start, begun := from.UnixMilli(), false
	begin := func(ms int64) {
		if from.IsZero() {
			start = ms
		}
		e.header(out, room, time.UnixMilli(start).UTC())
		begun = true
	}
	err = r.lines(ctx, func(line []byte, ms int64) error {
		if !begun {
			begin(ms)
		}
		return e.comment(out, line, max(0, ms-start))
	})
	if err != nil {
		return err
	}
	if !begun { // nothing was said in that time, which is no error
		begin(from.UnixMilli())
	}
	e.footer(out)
	return out.Flush()
}
