package archive

// The stage of a subtitle file, in its own pixels, and how long comments are on it.
const (
	stageWidth, stageHeight = 1920, 1080
	laneHeight              = 54
	laneCount               = stageHeight / laneHeight

	moveTime = 10_000 // ms from one edge to behind the other
	stayTime = 5_000  // ms
)

// motion is how a comment is on the stage.
type motion uint8

const (
	moveLeft motion = iota
	moveRight
	stayTop
	stayBottom
)

func (m motion) moves() bool { return m <= moveRight }

// lane is one row of the stage and what is in it. Times are milliseconds from the
// start of the stream.
type lane struct {
	motion motion
	inside int64 // when the last comment is on the stage with its end, too
	end    int64 // when it is gone
}

// lanes finds places in which no two comments touch.
type lanes [laneCount]lane

// place finds rows for a comment of that width and height that comes at time at
// and is gone at end, and takes them; top is the first of them, counted from above.
func (l *lanes) place(m motion, width, rows int, at, end int64) (top int, ok bool) {
	// How long until its beginning reaches the far edge, where it must not
	// overtake, and until its end has come in.
	distance := int64(stageWidth + width)
	reach, enter := (end-at)*stageWidth/distance, (end-at)*int64(width)/distance+1
	for i := range laneCount - rows + 1 {
		top = i
		if m == stayBottom {
			top = laneCount - rows - i
		}
		if l.free(top, rows, m, at, reach) {
			for row := top; row < top+rows; row++ {
				l[row] = lane{motion: m, inside: at + enter, end: end}
			}
			return top, true
		}
	}
	return 0, false
}

func (l *lanes) free(top, rows int, m motion, at, reach int64) bool {
	for _, last := range l[top : top+rows] {
		follows := m.moves() && m == last.motion && at >= last.inside && at+reach >= last.end
		if at < last.end && !follows {
			return false
		}
	}
	return true
}
