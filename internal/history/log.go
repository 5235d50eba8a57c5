package history

import (
	"strings"
	"time"

	"ingot/internal/ui"
)

// LineKind says where a line comes from.
type LineKind string

// The kinds of line.
const (
	Stdout LineKind = "stdout"
	Stderr LineKind = "stderr"
	// Said, Caution and Trouble are messages, warnings and problems.
	Said    LineKind = "message"
	Caution LineKind = "warning"
	Trouble LineKind = "problem"
)

// Line is one thing that was printed, possibly with several lines, without
// control characters.
type Line struct {
	At   time.Duration
	Kind LineKind
	Text string
}

// Log is what was printed: the first lines and the last ones.
type Log struct {
	head, tail []Line
	next       int // where in tail the oldest line is
	count      int
}

// Count is how many lines there were.
func (l *Log) Count() int { return l.count }

// Head are the first lines, Tail the last ones without those of Head. Between
// them Missing lines are not kept.
func (l *Log) Head() []Line { return l.head }

// Tail returns the last lines in order.
func (l *Log) Tail() []Line {
	return append(append([]Line(nil), l.tail[l.next:]...), l.tail[:l.next]...)
}

// Missing is how many lines between Head and Tail are not kept.
func (l *Log) Missing() int { return l.count - len(l.head) - len(l.tail) }

func (l *Log) add(o Options, line Line) {
	l.count++
	switch {
	case len(l.head) < o.Head:
		line.Text = cleanText(line)
		l.head = append(l.head, line)
	case len(l.tail) < o.Tail:
		line.Text = cleanText(line)
		l.tail = append(l.tail, line)
	case o.Tail > 0:
		line.Text = cleanText(line)
		l.tail[l.next] = line
		l.next = (l.next + 1) % o.Tail
	}
}

// cleanText is what a terminal shows of the text.
func cleanText(l Line) string {
	if l.Kind == Stdout || l.Kind == Stderr {
		return ui.Clean(ui.LastOverprint(l.Text))
	}
	lines := strings.Split(l.Text, "\n")
	for i := range lines {
		lines[i] = ui.Clean(lines[i])
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}
