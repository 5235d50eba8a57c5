package ui

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/charmbracelet/x/ansi"

	"ingot/internal/component"
)

// TerminalOptions choose how a Terminal prints.
type TerminalOptions struct {
	// Color gives every build a colour.
	Color bool
	// Header is as for Plain.
	Header bool
	// Timestamps is as for Plain.
	Timestamps bool
	// ASCII draws with ASCII characters only.
	ASCII bool
	// Errors, when set, gets the lines about failures a second time: for a
	// standard error that leads elsewhere than to the terminal.
	Errors io.Writer
	// Size returns the columns and rows of the terminal; not positive
	// means not known. It is called before every repaint.
	Size func() (columns, rows int)
}

const (
	// frame is the least time between two repaints.
	frame = 50 * time.Millisecond
	// tick is how often the live lines move when nothing happens.
	tick = 100 * time.Millisecond
)

// Terminal prints the lines of Plain on a terminal, and below them one live
// line per running build: what it does, for how long, and how far a transfer
// has come. At the end it adds a table of step times. One goroutine owns the
// screen, at most twenty times a second.
type Terminal struct {
	opts TerminalOptions
	out  io.Writer
	now  func() time.Time

	mu      sync.Mutex
	changed sync.Cond // the painter has written, or ended
	story   narrator  // guarded by mu, as is all below
	board   board
	stamp   stampCache
	at      time.Time
	say     func(note)
	pending []byte
	faults  []byte // for opts.Errors
	running bool
	paused  int
	cleared bool // the screen was given up since the pause began
	closing bool
	err     error

	wake, hurry chan struct{}
	done        chan struct{}

	// What follows belongs to the painting goroutine.
	drawn     []int // the widths of the live lines on the screen
	hidden    bool  // the cursor is hidden
	gone      bool  // writing has failed
	faultGone bool
	frame     []byte
}

// NewTerminal makes a Terminal. It writes escape sequences whatever out is;
// NewHuman chooses between a Terminal and a Plain.
func NewTerminal(out io.Writer, opts TerminalOptions) *Terminal {
	t := &Terminal{opts: opts, out: out, now: time.Now, story: narrator{header: opts.Header, live: true}}
	t.changed.L = &t.mu
	t.say = t.print
	return t
}

// Handle prints the event, or lets it change the live lines.
func (t *Terminal) Handle(s component.Stamped) {
	_, bulky := s.Event.(component.Output)
	t.mu.Lock()
	defer t.mu.Unlock()
	for bulky && len(t.pending) > roomFor && !t.closing {
		t.changed.Wait()
	}
	if t.closing {
		return
	}
	t.start()
	t.at = s.At
	t.board.handle(&s)
	if _, ok := s.Event.(component.RunEnded); ok {
		t.times()
	}
	t.story.narrate(&s, t.say)
	poke(t.wake)
	if len(t.pending) > roomFor/2 {
		poke(t.hurry)
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (t *Terminal) start() {
	if t.running {
		return
	}
	t.running = true
	t.wake, t.hurry = make(chan struct{}, 1), make(chan struct{}, 1)
	t.done = make(chan struct{})
	go t.paint()
}

// print is called with mu held.
func (t *Terminal) print(n note) {
	// Terminals may take stray bytes for control characters.
	n.text = strings.ToValidUTF8(n.text, "\ufffd")
	n.eachLine(func(prefix, line string) {
		if t.opts.Timestamps {
			t.pending = t.stamp.append(t.pending, t.at)
		}
		t.pending = append(appendLine(t.pending, prefix, line, n.tone, t.opts.Color), '\n')
		if n.fault && t.opts.Errors != nil {
			if t.opts.Timestamps {
				t.faults = t.stamp.append(t.faults, t.at)
			}
			t.faults = append(appendLine(t.faults, prefix, line, noTone, false), '\n')
		}
	})
}

// times prints the table.
func (t *Terminal) times() {
	lines, tones := t.board.table()
	if len(lines) < 2 {
		return
	}
	t.pending = append(t.pending, '\n')
	for i, line := range lines {
		t.pending = append(appendLine(t.pending, "", line, tones[i], t.opts.Color), '\n')
	}
}

// paint owns the screen until Close.
func (t *Terminal) paint() {
	defer close(t.done)
	clock := time.NewTicker(tick)
	defer clock.Stop()
	rest := time.NewTimer(frame)
	defer rest.Stop()
	for {
		select {
		case <-t.wake:
		case <-clock.C:
		}
		if t.repaint() {
			return
		}
		rest.Reset(frame)
		select {
		case <-rest.C:
		case <-t.hurry:
		}
	}
}

// repaint writes one frame and reports whether it was the last one.
func (t *Terminal) repaint() bool {
	columns, rows := t.size()
	t.mu.Lock()
	defer t.mu.Unlock()
	last, paused := t.closing, t.paused > 0 && !t.closing
	if paused && t.cleared {
		return false
	}
	var live []string
	if !paused && !last {
		live = t.board.lines(t.now(), columns-1, max(1, rows-2), t.opts.Color, t.glyphs())
	}
	if len(t.pending)+len(live)+len(t.drawn) > 0 || t.hidden {
		t.compose(live, columns)
		faults := t.faults
		t.faults = nil
		t.mu.Unlock()
		t.write(faults)
		t.mu.Lock()
	}
	t.cleared = t.cleared || paused
	t.changed.Broadcast()
	return last
}

func (t *Terminal) size() (columns, rows int) {
	if t.opts.Size != nil {
		if c, r := t.opts.Size(); c > 0 && r > 0 {
			return c, r
		}
	}
	return 80, 24
}

func (t *Terminal) glyphs() *glyphs {
	if t.opts.ASCII {
		return &asciiGlyphs
	}
	return &unicodeGlyphs
}

// compose builds a frame: takes the live lines off the screen, prints what is
// pending, draws the live lines anew. It is called with mu held.
func (t *Terminal) compose(live []string, columns int) {
	// Terminals that know synchronized output show the frame at once.
	f := append(t.frame[:0], "\x1b[?2026h"...)
	if n := t.rowsDrawn(columns); n > 0 {
		f = append(f, '\r')
		if n > 1 {
			f = fmt.Appendf(f, "\x1b[%dA", n-1)
		}
		f = append(f, "\x1b[J"...)
	}
	f = append(f, t.pending...)
	if t.pending = t.pending[:0]; cap(t.pending) > 4*roomFor {
		t.pending = nil
	}
	t.drawn = t.drawn[:0]
	for i, line := range live {
		if i > 0 {
			f = append(f, '\n')
		}
		f = append(f, line...)
		t.drawn = append(t.drawn, ansi.StringWidth(line))
	}
	if hide := len(live) > 0; hide != t.hidden {
		t.hidden = hide
		if hide {
			f = append(f, "\x1b[?25l"...)
		} else {
			f = append(f, "\x1b[?25h"...)
		}
	}
	t.frame = append(f, "\x1b[?2026l"...)
}

// rowsDrawn is how many rows the live lines take now: a window that became
// narrower has wrapped them.
func (t *Terminal) rowsDrawn(columns int) int {
	rows := 0
	for _, width := range t.drawn {
		rows += max(1, (width+columns-1)/columns)
	}
	return rows
}

// write is called by the painting goroutine without mu.
func (t *Terminal) write(faults []byte) {
	if !t.gone {
		_, err := t.out.Write(t.frame)
		t.gone = t.note(err)
	}
	if len(faults) > 0 && !t.faultGone {
		_, err := t.opts.Errors.Write(faults)
		t.faultGone = t.note(err)
	}
}

func (t *Terminal) note(err error) bool {
	if err == nil {
		return false
	}
	if readerGone(err) {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		t.err = err
	}
	return true
}

// Pause prints what is pending, takes the live lines off the screen and
// leaves it alone until resume is called. Meanwhile events are taken as
// before, Output up to a limit.
func (t *Terminal) Pause() func() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.running || t.closing {
		return func() {}
	}
	if t.paused++; t.paused == 1 {
		t.cleared = false
	}
	poke(t.wake)
	poke(t.hurry)
	for !t.cleared && !t.closing {
		t.changed.Wait()
	}
	return sync.OnceFunc(func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.paused--
		poke(t.wake)
	})
}

// Close takes the live lines away, prints what is pending and shows the
// cursor again.
func (t *Terminal) Close() error {
	t.mu.Lock()
	t.closing = true
	t.changed.Broadcast()
	running := t.running
	if running {
		poke(t.wake)
		poke(t.hurry)
	}
	t.mu.Unlock()
	if running {
		<-t.done
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}
