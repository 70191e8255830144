package archive

import (
	"encoding/xml"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/danmakud/danmakud/room"
)

// evening is what an export must cope with: every kind, mode and size, colours and
// bad manners.
func evening(t testing.TB, a *Archive) (comments int) {
	t.Helper()
	s := newSealer(t)
	for i, c := range []room.Comment{
		{UID: 1, Text: "666"},
		{User: "u,7", Name: `<b>"小明" & 'co'`, Text: `</d><script>alert(1)</script>`, Color: 0x123456},
		{UID: 2, Text: "顶部", Mode: room.ModeTop, Size: room.SizeLarge, Color: 0xFF0000},
		{UID: 2, Text: "底部", Mode: room.ModeBottom, Size: room.SizeSmall, Color: 0x0000FF},
		{UID: 2, Text: "逆向", Mode: room.ModeReverse},
		{UID: 3, Text: `{\b1}bold\N\nnext\h\{`},
		{UID: 3, Text: "a\nb\tc\u2028d\u0085e\ufffe\uffff\x1b\x7f"},
		{UID: 3, Text: "]]> --> <!-- &amp; ,,, 🎉 ＼ e\u0301"},
		{User: "u8", Name: "送礼", Text: "谢谢", Kind: room.KindGift, Gift: `火箭"<`, Num: 3, Price: 100},
		{User: "u9", Name: "醒目", Text: "super & chat", Kind: room.KindSuperchat, Price: 30, Duration: time.Minute},
		{User: "sys", Text: "公告", Kind: room.KindAnnouncement, Mode: room.ModeTop},
	} {
		a.Append(s.batch("Room", base.Add(time.Duration(i)*1500*time.Millisecond), c))
		comments++
	}
	wait(t, a, uint64(comments))
	return comments
}

// recording is the XML as its readers see it.
type recording struct {
	XMLName xml.Name `xml:"i"`
	Info    struct {
		Room  string `xml:"roomid,attr"`
		Start string `xml:"start_time,attr"`
	} `xml:"BililiveRecorderRecordInfo"`
	Comments []struct {
		P    string `xml:"p,attr"`
		User string `xml:"user,attr"`
		Text string `xml:",chardata"`
	} `xml:"d"`
	Gifts []struct {
		At    string `xml:"ts,attr"`
		User  string `xml:"user,attr"`
		Name  string `xml:"giftname,attr"`
		Count int    `xml:"giftcount,attr"`
	} `xml:"gift"`
	Superchats []struct {
		At    string `xml:"ts,attr"`
		User  string `xml:"user,attr"`
		Price int    `xml:"price,attr"`
		Time  int    `xml:"time,attr"`
		Text  string `xml:",chardata"`
	} `xml:"sc"`
}

// checkXML reads a whole document strictly.
func checkXML(t testing.TB, text string) (r recording) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(text))
	if err := d.Decode(&r); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if _, err := d.Token(); err != io.EOF {
		for tok, err := d.Token(); err != io.EOF; tok, err = d.Token() {
			if chars, ok := tok.(xml.CharData); !ok || strings.TrimSpace(string(chars)) != "" {
				t.Fatalf("%v %v behind the end of\n%s", tok, err, text)
			}
		}
	}
	for _, c := range r.Comments {
		if fields := strings.Split(c.P, ","); len(fields) != 8 {
			t.Errorf("p=%q has %d fields, readers want 8", c.P, len(fields))
		}
	}
	return r
}

func TestXML(t *testing.T) {
	a := open(t, Options{})
	defer mustClose(t, a)
	n := evening(t, a)
	r := checkXML(t, export(t, a, "Room", FormatXML, base, time.Time{}))
	if r.Info.Room != "Room" || !strings.HasPrefix(r.Info.Start, "2026-03-04T20:00:00") {
		t.Errorf("head %+v", r.Info)
	}
	if len(r.Comments)+len(r.Gifts)+len(r.Superchats) != n {
		t.Errorf("%d comments, %d gifts, %d superchats of %d", len(r.Comments), len(r.Gifts), len(r.Superchats), n)
	}
	sent := base.UnixMilli()
	for i, want := range []struct{ p, user, text string }{
		{fmt.Sprintf("0.000,1,25,16777215,%d,0,~1,0", sent), "~1", "666"},
		{fmt.Sprintf("1.500,1,25,1193046,%d,0,u_7,0", sent+1500), `<b>"小明" & 'co'`, "</d><script>alert(1)</script>"},
		{fmt.Sprintf("3.000,5,36,16711680,%d,0,~2,0", sent+3000), "~2", "顶部"},
		{fmt.Sprintf("4.500,4,18,255,%d,0,~2,0", sent+4500), "~2", "底部"},
		{fmt.Sprintf("6.000,6,25,16777215,%d,0,~2,0", sent+6000), "~2", "逆向"},
	} {
		if got := r.Comments[i]; got.P != want.p || got.User != want.user || got.Text != want.text {
			t.Errorf("comment %d: %+v, want %+v", i, got, want)
		}
	}
	if bad := r.Comments[6].Text; bad != "a\nb\tc\u2028d\u0085e\ufffd\ufffd\ufffd\x7f" {
		t.Errorf("characters that XML does not have became %q", bad)
	}
	if g := r.Gifts[0]; g.At != "12.000" || g.User != "送礼" || g.Name != `火箭"<` || g.Count != 3 {
		t.Errorf("gift %+v", g)
	}
	if c := r.Superchats[0]; c.At != "13.500" || c.User != "醒目" || c.Price != 30 || c.Time != 60 || c.Text != "super & chat" {
		t.Errorf("superchat %+v", c)
	}
}

// TestPythonReadsTheXML: a parser that is not Go's agrees.
func TestPythonReadsTheXML(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("needs python3: ", err)
	}
	a := open(t, Options{})
	defer mustClose(t, a)
	evening(t, a)
	cmd := exec.Command(python, "-c", "import sys, xml.etree.ElementTree as e; print(len(e.fromstring(sys.stdin.buffer.read()).findall('d')))")
	cmd.Stdin = strings.NewReader(export(t, a, "Room", FormatXML, base, time.Time{}))
	if out, err := cmd.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "9" {
		t.Errorf("%v: %s", err, out)
	}
}

var assLine = regexp.MustCompile(`^Dialogue: 0,(\d+:\d\d:\d\d\.\d\d),(\d+:\d\d:\d\d\.\d\d),(Move|Stay),,0,0,0,,\{(\\move\((-?\d+),(\d+),(-?\d+),(\d+)\)|\\pos\((\d+),(\d+)\))(\\fs\d+)?(\\c&H([0-9A-F]{6})&)?(?:\\3c&HFFFFFF&)?\}([^{}\\]*)$`)

// onStage is one comment as a subtitle renderer places it.
type onStage struct {
	start, end     int64 // hundredths
	x1, x2, y      int   // of its left edge; x1 == x2: it stays
	width, height  int
	text, colorBGR string
}

// at is where the left edge is.
func (c *onStage) at(when int64) float64 {
	return float64(c.x1) + float64(c.x2-c.x1)*float64(when-c.start)/float64(c.end-c.start)
}

func assHundredths(t testing.TB, s string) int64 {
	t.Helper()
	var h, m, sec, cs int64
	if _, err := fmt.Sscanf(s, "%d:%d:%d.%d", &h, &m, &sec, &cs); err != nil {
		t.Fatalf("time %q: %v", s, err)
	}
	return ((h*60+m)*60+sec)*100 + cs
}

// checkASS holds every line against what the format has.
func checkASS(t testing.TB, text string) (all []onStage) {
	t.Helper()
	if !utf8.ValidString(text) || strings.ContainsRune(text, '\r') {
		t.Error("not the text it should be")
	}
	head, events, ok := strings.Cut(text, "[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n")
	if !ok || !strings.HasPrefix(head, "[Script Info]\n") || !strings.Contains(head, "\nScriptType: v4.00+\n") {
		t.Fatalf("head %q", head)
	}
	number := func(s string) int { n, _ := strconv.Atoi(s); return n }
	for line := range strings.Lines(events) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "Comment: ") {
			continue
		}
		m := assLine.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("line %q", line)
		}
		c := onStage{start: assHundredths(t, m[1]), end: assHundredths(t, m[2]), text: m[14], colorBGR: m[13], height: laneHeight}
		font := fontSizes[""]
		if m[11] != "" {
			font = number(m[11][3:])
		}
		if font > laneHeight {
			c.height = 2 * laneHeight
		}
		c.width = textWidth(c.text, font)
		if m[3] == "Move" {
			c.x1, c.y, c.x2 = number(m[5]), number(m[6]), number(m[7])
		} else {
			c.x1 = number(m[9]) - c.width/2
			c.x2, c.y = c.x1, number(m[10])
		}
		if c.end <= c.start || c.y < 0 || c.y+c.height > stageHeight {
			t.Errorf("off the stage: %q", line)
		}
		all = append(all, c)
	}
	return all
}

func TestASS(t *testing.T) {
	a := open(t, Options{})
	defer mustClose(t, a)
	n := evening(t, a)
	all := checkASS(t, export(t, a, "Room", FormatASS, base.Add(-time.Hour), time.Time{}))
	if len(all) != n {
		t.Fatalf("%d of %d on the stage", len(all), n)
	}
	const hour = 360_000
	for i, want := range []struct {
		text, color string
		start, end  int64
	}{
		{"666", "", hour, hour + 1000},
		{"</d><script>alert(1)</script>", "563412", hour + 150, hour + 1150},
		{"顶部", "0000FF", hour + 300, hour + 800},
		{"底部", "FF0000", hour + 450, hour + 950},
		{"逆向", "", hour + 600, hour + 1600},
		{"｛＼b1｝bold＼N＼nnext＼h＼｛", "", hour + 750, hour + 1750},
		{"a b c de\ufffe\uffff", "", hour + 900, hour + 1900},
		{"]]> --> <!-- &amp; ,,, 🎉 ＼ e\u0301", "", hour + 1050, hour + 2050},
		{"送礼: 火箭\"< ×3", "", hour + 1200, hour + 2200},
		{"醒目 (30): super & chat", "", hour + 1350, hour + 2850},
		{"公告", "", hour + 1500, hour + 2000},
	} {
		if got := all[i]; got.text != want.text || got.colorBGR != want.color || got.start != want.start || got.end != want.end {
			t.Errorf("comment %d: %+v, want %+v", i, got, want)
		}
	}
	if all[0].x1 != stageWidth || all[0].x2 != -all[0].width || all[4].x2 != stageWidth || all[4].x1 != -all[4].width {
		t.Errorf("ways %+v, %+v", all[0], all[4])
	}
	if all[2].y != 0 && all[3].y != (laneCount-1)*laneHeight {
		t.Errorf("top at %d, bottom at %d", all[2].y, all[3].y)
	}
}

// TestNothingOverlaps: of a crowd of all modes and sizes no two touch at any time,
// and those left out are told.
func TestNothingOverlaps(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	modes := []string{"", "", "", "", "top", "bottom", "reverse"}
	sizes := []string{"", "", "small", "large"}
	e := newASS()
	var text strings.Builder
	w := newTestWriter(&text)
	e.header(w, "r", base)
	const all = 3000
	offset := int64(0)
	for i := range all {
		offset += random.Int64N(200)
		line := fmt.Sprintf(`{"id":"--------","uid":"u","text":%q,"ts":1,"mode":%q,"size":%q}`,
			strings.Repeat("弹", 1+random.IntN(30))+fmt.Sprint(i), modes[random.IntN(len(modes))], sizes[random.IntN(len(sizes))])
		if err := e.comment(w, []byte(line), offset); err != nil {
			t.Fatal(err)
		}
	}
	e.footer(w)
	w.Flush()
	placed := checkASS(t, text.String())
	if len(placed)+e.leftOut != all || e.leftOut == 0 || len(placed) < all/10 {
		t.Fatalf("%d placed, %d left out of %d", len(placed), e.leftOut, all)
	}
	if !strings.Contains(text.String(), fmt.Sprintf(",,%d comments found no place", e.leftOut)) {
		t.Error("what was left out is not told")
	}
	for i := range placed {
		for j := i + 1; j < len(placed) && placed[j].start < placed[i].end; j++ {
			if touches(&placed[i], &placed[j]) {
				t.Fatalf("%+v and %+v", placed[i], placed[j])
			}
		}
	}
}

// TestSuperchatsOverAFullStage: what is no chat is not left out for chat that came first.
func TestSuperchatsOverAFullStage(t *testing.T) {
	e := newASS()
	var text strings.Builder
	w := newTestWriter(&text)
	e.header(w, "r", base)
	say := func(line string) {
		t.Helper()
		if err := e.comment(w, []byte(line), 1000); err != nil {
			t.Fatal(err)
		}
	}
	for range laneCount + 1 {
		say(`{"id":"--------","uid":"u","text":"弹幕","ts":1}`)
	}
	say(`{"id":"--------","uid":"u","text":"well played","ts":1,"kind":"superchat","price":30,"duration_s":60}`)
	say(`{"id":"--------","uid":"u","text":"","ts":1,"kind":"gift","gift":"rocket","num":3}`)
	say(`{"id":"--------","uid":"u","text":"pause","ts":1,"kind":"announcement","mode":"bottom"}`)
	e.footer(w)
	w.Flush()
	if e.leftOut != 1 {
		t.Errorf("%d left out, want one comment", e.leftOut)
	}
	for i, want := range []string{
		"Dialogue: 1,0:00:01.00,0:00:16.00,Over,,0,0,0,,{\\pos(960,%d)}u (30): well played\n",
		"Dialogue: 1,0:00:01.00,0:00:06.00,Over,,0,0,0,,{\\pos(960,%d)}u: rocket ×3\n",
		"Dialogue: 1,0:00:01.00,0:00:06.00,Over,,0,0,0,,{\\pos(960,%d)}pause\n",
	} {
		if want = fmt.Sprintf(want, i*laneHeight); !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
}

// touches samples the time two comments share. Times in the file are hundredths,
// which is worth a few pixels.
func touches(a, b *onStage) bool {
	if a.y+a.height <= b.y || b.y+b.height <= a.y {
		return false
	}
	const slack = 8
	for when := b.start; when <= min(a.end, b.end); when += 10 {
		x, y := a.at(when), b.at(when)
		if x+float64(a.width) > y+slack && y+float64(b.width) > x+slack {
			return true
		}
	}
	return false
}

// TestFFmpegRendersTheASS: libass takes the file and something is to be seen.
func TestFFmpegRendersTheASS(t *testing.T) {
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Skip("needs ffmpeg with libass: ", err)
	}
	if out, err := exec.Command(ffmpeg, "-hide_banner", "-filters").Output(); err != nil || !strings.Contains(string(out), " ass ") {
		t.Skip("this ffmpeg has no libass")
	}
	a := open(t, Options{})
	defer mustClose(t, a)
	evening(t, a)
	dir := t.TempDir()
	render := func(text string) []byte {
		t.Helper()
		path := filepath.Join(dir, "x.ass")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(ffmpeg, "-hide_banner", "-loglevel", "warning", "-f", "lavfi", "-i", "color=black:s=480x270:r=2:d=10",
			"-vf", "ass="+path, "-f", "rawvideo", "-pix_fmt", "gray", "-")
		var said strings.Builder
		cmd.Stderr = &said
		frames, err := cmd.Output()
		if err != nil || strings.Contains(said.String(), "libass: No") || strings.Contains(said.String(), "[ass @ ") && strings.Contains(said.String(), "rror") {
			t.Fatalf("%v: %s", err, said.String())
		}
		return frames
	}
	text := export(t, a, "Room", FormatASS, base, time.Time{})
	head, _, _ := strings.Cut(text, "Dialogue:")
	bright := func(frames []byte) (n int) {
		for _, p := range frames {
			if p > 128 {
				n++
			}
		}
		return n
	}
	with, without := bright(render(text)), bright(render(head))
	if with < 500 || without != 0 {
		t.Errorf("%d bright points with comments, %d without", with, without)
	}
}

// FuzzExporters: any comment gives valid XML and subtitle lines that are whole.
func FuzzExporters(f *testing.F) {
	f.Add("text", "name", "gift", uint32(0xFFFFFF), "top", "small", int64(0))
	f.Add("a\x00b\x0b\ufffe\n,{}\\N", "<>&\"'\r", "]]>", uint32(1<<31), "reverse", "large", int64(1<<40))
	f.Add(" ", "", "", uint32(0), "nonsense", "nonsense", int64(7))
	f.Fuzz(func(t *testing.T, text, name, gift string, color uint32, mode, size string, offset int64) {
		if offset < 0 || offset > 1<<50 {
			return
		}
		for _, kind := range []string{"", "gift", "superchat", "announcement"} {
			line := mustJSON(map[string]any{"id": "--------", "uid": name, "name": name, "text": text, "ts": 1, "color": color,
				"mode": mode, "size": size, "kind": kind, "gift": gift, "num": 2, "price": 3, "duration_s": 4, "count": 2})
			for _, e := range []exporter{xmlExporter{}, newASS()} {
				var out strings.Builder
				w := newTestWriter(&out)
				e.header(w, name, base)
				if err := e.comment(w, line, offset); err != nil {
					t.Fatal(err)
				}
				e.footer(w)
				w.Flush()
				if _, ok := e.(xmlExporter); ok {
					if r := checkXML(t, out.String()); len(r.Comments)+len(r.Gifts)+len(r.Superchats) != 1 {
						t.Errorf("not one comment in %s", out.String())
					}
					continue
				}
				if all := checkASS(t, out.String()); len(all) > 1 {
					t.Errorf("more than one comment in %s", out.String())
				}
			}
		}
	})
}
