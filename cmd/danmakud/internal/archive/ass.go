package archive

import (
	"bufio"
	"fmt"
	"strings"
	"time"
	"unicode"
)

// assExporter writes subtitles in which comments fly. A comment that finds no place
// where it touches no other is left out; the last line of the file says how many
// were. What is no chat, such as a superchat, is then laid over the chat, on a ground
// of its own.
type assExporter struct {
	lanes   lanes
	over    lanes
	leftOut int
}

func newASS() *assExporter { return new(assExporter) }

// fontSizes by size; large ones take two lanes.
var fontSizes = map[string]int{"": 44, "small": 32, "large": 64}

// darkBelow is the brightness, of 255, below which a comment gets a white outline.
const darkBelow = 48

// superchatMax bounds how long a superchat covers the film, in milliseconds.
const superchatMax = 15_000

func (e *assExporter) header(w *bufio.Writer, room string, start time.Time) {
	fmt.Fprintf(w, `[Script Info]
; What was said in the room from %s on
Title: %s
ScriptType: v4.00+
WrapStyle: 2
ScaledBorderAndShadow: yes
PlayResX: %d
PlayResY: %d

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Move,sans-serif,%d,&H00FFFFFF,&H00FFFFFF,&H00000000,&H80000000,0,0,0,0,100,100,0,0,1,2,0,7,0,0,0,1
Style: Stay,sans-serif,%d,&H00FFFFFF,&H00FFFFFF,&H00000000,&H80000000,0,0,0,0,100,100,0,0,1,2,0,8,0,0,0,1
Style: Over,sans-serif,%d,&H00FFFFFF,&H00FFFFFF,&H00202020,&H80000000,0,0,0,0,100,100,0,0,3,4,0,8,0,0,0,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
`, start.Format(time.RFC3339), escapeASS(room), stageWidth, stageHeight, fontSizes[""], fontSizes[""], fontSizes[""])
}

func (e *assExporter) footer(w *bufio.Writer) {
	if e.leftOut > 0 {
		fmt.Fprintf(w, "Comment: 0,0:00:00.00,0:00:00.00,Move,,0,0,0,,%d comments found no place on the stage\n", e.leftOut)
	}
}

func (e *assExporter) comment(w *bufio.Writer, line []byte, offset int64) error {
	c, err := parse(line)
	if err != nil {
		return nil // no comment of ours
	}
	text := escapeASS(assText(&c))
	if text == "" {
		return nil
	}
	font := fontSizes[c.Size]
	if font == 0 {
		font = fontSizes[""]
	}
	m, rows, end := moveLeft, (font+laneHeight-1)/laneHeight, offset+stayTime
	switch {
	case c.Kind == "superchat":
		m, end = stayTop, offset+min(max(1000*c.Duration, stayTime), superchatMax)
	case c.Mode == "top":
		m = stayTop
	case c.Mode == "bottom":
		m = stayBottom
	case c.Mode == "reverse":
		m, end = moveRight, offset+moveTime
	default:
		end = offset + moveTime
	}
	width := textWidth(text, font)
	layer, style := 0, "Move"
	if !m.moves() {
		style = "Stay"
	}
	top, ok := e.lanes.place(m, width, rows, offset, end)
	if !ok && c.Kind != "" && c.Kind != "chat" {
		if m.moves() {
			end = offset + stayTime
		}
		layer, style, m = 1, "Over", stayTop
		top, ok = e.over.place(m, width, rows, offset, end)
	}
	if !ok {
		e.leftOut++
		return nil
	}
	_, err = fmt.Fprintf(w, "Dialogue: %d,%s,%s,%s,,0,0,0,,{%s%s}%s\n",
		layer, assTime(offset), assTime(end), style, assPlace(m, top*laneHeight, width), assLook(font, c.Color), text)
	return err
}

// assText is what is shown of a comment.
func assText(c *Comment) string {
	switch c.Kind {
	case "data": // for programs
		return ""
	case "gift":
		return fmt.Sprintf("%s: %s ×%d", c.Sender(), giftName(c), max(1, c.Num))
	case "superchat":
		return fmt.Sprintf("%s (%d): %s", c.Sender(), c.Price, c.Text)
	default:
		return c.Shown()
	}
}

func assPlace(m motion, y, width int) string {
	switch m {
	case moveLeft:
		return fmt.Sprintf(`\move(%d,%d,%d,%d)`, stageWidth, y, -width, y)
	case moveRight:
		return fmt.Sprintf(`\move(%d,%d,%d,%d)`, -width, y, stageWidth, y)
	default:
		return fmt.Sprintf(`\pos(%d,%d)`, stageWidth/2, y)
	}
}

// assLook is what differs from the style. Colours are blue, green, red there.
func assLook(font int, color uint32) (look string) {
	if font != fontSizes[""] {
		look = fmt.Sprintf(`\fs%d`, font)
	}
	r, g, b := color>>16, color>>8&0xFF, color&0xFF
	if color != 0xFFFFFF {
		look += fmt.Sprintf(`\c&H%02X%02X%02X&`, b, g, r)
	}
	if 299*r+587*g+114*b < 1000*darkBelow {
		look += `\3c&HFFFFFF&` // else it would be lost in its outline
	}
	return look
}

// assTime is hours:minutes:seconds.hundredths.
func assTime(ms int64) string {
	return fmt.Sprintf("%d:%02d:%02d.%02d", ms/3_600_000, ms/60_000%60, ms/1000%60, ms/10%100)
}

// assReplacer takes what has a meaning in subtitles for what looks like it: there
// are ways to escape these, but no two programs that read the files agree on one.
var assReplacer = strings.NewReplacer("{", "｛", "}", "｝", `\`, "＼")

// escapeASS makes text that is shown as it is, on one line.
func escapeASS(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\u2028' || r == '\u2029' || r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r):
			return -1
		}
		return r
	}, s)
	return strings.TrimSpace(assReplacer.Replace(s))
}

// textWidth is at least what the text takes in common fonts of that size, pixels.
func textWidth(s string, font int) int {
	tenths := 0
	for _, r := range s {
		switch {
		case unicode.Is(unicode.Mn, r):
		case r >= 0x1100 || strings.ContainsRune("MW@%mw", r): // East Asian scripts and emoji are as wide as high
			tenths += 10
		default:
			tenths += 7
		}
	}
	return (tenths*font + 9) / 10
}
