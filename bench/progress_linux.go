package main

import (
	"fmt"
	"io"
	"os"
	"unicode/utf8"
)

// liveLine is one line on a terminal that is written over and over.
type liveLine struct {
	out   io.Writer // nil: nobody is looking
	width int
}

// live is the session's live line; without a terminal it does nothing.
func (s *session) live() *liveLine {
	if s.options.quietLine || !onTerminal(os.Stderr) {
		return &liveLine{}
	}
	return &liveLine{out: os.Stderr}
}

func (l *liveLine) show(format string, args ...any) {
	if l.out == nil {
		return
	}
	text := fmt.Sprintf(format, args...)
	width := utf8.RuneCountInString(text)
	fmt.Fprintf(l.out, "\r%s%*s", text, max(0, l.width-width), "")
	l.width = width
}

func (l *liveLine) clear() {
	if l.out != nil && l.width > 0 {
		fmt.Fprintf(l.out, "\r%*s\r", l.width, "")
		l.width = 0
	}
}
