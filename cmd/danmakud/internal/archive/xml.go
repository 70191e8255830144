package archive

import (
	"bufio"
	"encoding/xml"
	"fmt"
	"strings"
	"time"
)

// xmlExporter writes the XML of live recorders: the document of Bilibili's video
// comments (<d p="…">), with <gift> and <sc> beside it. ArtPlayer, danmaku2ass,
// DanmakuFactory and others read it.
type xmlExporter struct{}

// xmlModes and xmlSizes are the numbers of that format; the zero key is the default.
var (
	xmlModes = map[string]int{"": 1, "bottom": 4, "top": 5, "reverse": 6}
	xmlSizes = map[string]int{"": 25, "small": 18, "large": 36}
)

func (xmlExporter) header(w *bufio.Writer, room string, start time.Time) {
	name := escapeXML(room)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="utf-8"?>
<i>
  <chatserver>danmakud</chatserver>
  <chatid>0</chatid>
  <mission>0</mission>
  <maxlimit>0</maxlimit>
  <state>0</state>
  <real_name>0</real_name>
  <source>0</source>
  <BililiveRecorderRecordInfo roomid="%s" shortid="0" name="%s" title="%s" areanameparent="" areanamechild="" start_time="%s" />
`, name, name, name, start.Format("2006-01-02T15:04:05.0000000Z07:00"))
}

func (xmlExporter) footer(w *bufio.Writer) { w.WriteString("</i>\n") }

func (xmlExporter) comment(w *bufio.Writer, line []byte, offset int64) error {
	c, err := parse(line)
	if err != nil {
		return nil // no comment of ours
	}
	at := fmt.Sprintf("%d.%03d", offset/1000, offset%1000)
	user, uid := escapeXML(c.Sender()), escapeXML(c.User)
	switch c.Kind {
	case "data": // for programs
	case "gift":
		_, err = fmt.Fprintf(w, "  <gift ts=\"%s\" user=\"%s\" uid=\"%s\" giftname=\"%s\" giftcount=\"%d\" />\n",
			at, user, uid, escapeXML(giftName(&c)), max(1, c.Num))
	case "superchat":
		_, err = fmt.Fprintf(w, "  <sc ts=\"%s\" user=\"%s\" uid=\"%s\" price=\"%d\" time=\"%d\">%s</sc>\n",
			at, user, uid, c.Price, c.Duration, escapeXML(c.Text))
	default:
		mode, size := xmlModes[c.Mode], xmlSizes[c.Size]
		if mode == 0 {
			mode = xmlModes[""]
		}
		if size == 0 {
			size = xmlSizes[""]
		}
		// p is separated by commas, which a site's names for its users may have.
		_, err = fmt.Fprintf(w, "  <d p=\"%s,%d,%d,%d,%d,0,%s,0\" user=\"%s\">%s</d>\n",
			at, mode, size, c.Color, c.Time, strings.ReplaceAll(uid, ",", "_"), user, escapeXML(c.Shown()))
	}
	return err
}

// giftName is what was given; a gift without a name of its own has a text.
func giftName(c *Comment) string {
	if c.Gift != "" {
		return c.Gift
	}
	return c.Text
}

// escapeXML makes text that may stand in an element or an attribute. What XML 1.0
// has no place for, escaped or not, becomes U+FFFD.
func escapeXML(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s)) // a Builder takes everything
	return b.String()
}
