package ui

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/charmbracelet/x/ansi"

	"ingot/internal/addr"
	"ingot/internal/component"
)

// screen is as much of a terminal as the tests need: text, wrapping, moving
// the cursor up and to the left margin, erasing to the end, hiding the cursor.
type screen struct {
	mu       sync.Mutex
	columns  int
	rows     [][]string // cells
	row, col int
	hidden   bool
	unknown  []string
}

func newScreen(columns int) *screen { return &screen{columns: columns, rows: [][]string{nil}} }

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var state byte
	for rest := string(p); rest != ""; {
		seq, width, n, next := ansi.DecodeSequence(rest, state, nil)
		rest, state = rest[n:], next
		s.take(seq, width)
	}
	return len(p), nil
}

var cursorUp = regexp.MustCompile(`^\x1b\[(\d+)A$`)

func (s *screen) take(seq string, width int) {
	switch {
	case width > 0:
		if s.col+width > s.columns {
			s.newline()
		}
		for len(s.rows[s.row]) < s.col+width {
			s.rows[s.row] = append(s.rows[s.row], " ")
		}
		s.rows[s.row][s.col] = seq
		for i := 1; i < width; i++ {
			s.rows[s.row][s.col+i] = ""
		}
		s.col += width
	case seq == "\n":
		s.newline()
	case seq == "\r":
		s.col = 0
	case seq == "\x1b[J":
		s.rows[s.row] = s.rows[s.row][:min(s.col, len(s.rows[s.row]))]
		s.rows = s.rows[:s.row+1]
	case seq == "\x1b[?25l":
		s.hidden = true
	case seq == "\x1b[?25h":
		s.hidden = false
	case seq == "\x1b[?2026h", seq == "\x1b[?2026l":
	case strings.HasPrefix(seq, "\x1b[") && strings.HasSuffix(seq, "m"):
	case cursorUp.MatchString(seq):
		n, _ := strconv.Atoi(cursorUp.FindStringSubmatch(seq)[1])
		s.row = max(0, s.row-n)
	default:
		s.unknown = append(s.unknown, seq)
	}
}

func (s *screen) newline() {
	s.row, s.col = s.row+1, 0
	if s.row == len(s.rows) {
		s.rows = append(s.rows, nil)
	}
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, r := range s.rows {
		out = append(out, strings.TrimRight(strings.Join(r, ""), " "))
	}
	return strings.Join(out, "\n")
}

// resize wraps what is on the screen anew, as terminals do.
func (s *screen) resize(columns int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.rows
	s.columns, s.rows = columns, nil
	for i, r := range old {
		for len(r) > columns {
			s.rows = append(s.rows, r[:columns:columns])
			r = r[columns:]
		}
		s.rows = append(s.rows, r)
		if i == len(old)-1 {
			s.row, s.col = len(s.rows)-1, len(r)
		}
	}
}

func (s *screen) check(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hidden {
		t.Error("the cursor is still hidden")
	}
	if len(s.unknown) > 0 {
		t.Errorf("sequences the screen does not know: %q", s.unknown)
	}
}

// TestTerminalGolden plays the canned run at its own pace (in fake time) and
// looks at the screen now and then.
func TestTerminalGolden(t *testing.T) {
	for name, opts := range map[string]TerminalOptions{
		"terminal":       {Header: true, Color: true},
		"terminal-ascii": {ASCII: true, Timestamps: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				scr := newScreen(100)
				opts.Size = func() (int, int) { return 100, 30 }
				term := NewTerminal(scr, opts)
				start := time.Now()
				term.now = func() time.Time { return scriptStart.Add(time.Since(start)) }
				var shots strings.Builder
				shot := func() {
					fmt.Fprintf(&shots, "---- %s\n%s\n", time.Since(start), scr.text())
				}
				// Not at the same instant as an event, a repaint or a tick.
				var looks []time.Duration
				for _, ms := range []int{177, 1577, 5277, 6577, 7077, 20077, 38577} {
					looks = append(looks, time.Duration(ms)*time.Millisecond)
				}
				events := script()
				for i := 0; i < len(events) || len(looks) > 0; {
					if len(looks) > 0 && (i == len(events) || events[i].Since > looks[0]) {
						time.Sleep(time.Until(start.Add(looks[0])))
						synctest.Wait()
						shot()
						looks = looks[1:]
						continue
					}
					e := events[i]
					time.Sleep(time.Until(start.Add(e.Since)))
					e.At = scriptStart.Add(e.Since)
					term.Handle(e)
					i++
				}
				if err := term.Close(); err != nil {
					t.Error(err)
				}
				if err := term.Close(); err != nil {
					t.Error(err)
				}
				shot()
				scr.check(t)
				golden(t, name+".txt", []byte(shots.String()))
			})
		})
	}
}

func begin(term *Terminal, builds ...addr.Build) {
	term.Handle(component.Stamped{At: time.Now(), Event: component.RunStarted{Builds: builds}})
	for _, b := range builds {
		term.Handle(component.Stamped{Origin: component.Origin{Build: b}, At: time.Now(), Event: component.BuildStarted{}})
	}
}

func say(s Sink, b addr.Build, text string) {
	s.Handle(component.Stamped{Origin: component.Origin{Build: b}, At: time.Now(), Event: component.Message{Text: text}})
}

func TestTerminalPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		scr := newScreen(60)
		term := NewTerminal(scr, TerminalOptions{ASCII: true, Size: func() (int, int) { return 60, 10 }})
		term.Pause()() // before anything was printed
		begin(term, beta)
		say(term, beta, "one")
		time.Sleep(time.Second)
		if !strings.Contains(scr.text(), "starting") {
			t.Fatalf("no live line:\n%s", scr.text())
		}
		resume := term.Pause()
		if want := "==> null.beta: one\n"; scr.text() != want {
			t.Errorf("the live line is in the way: %q", scr.text())
		}
		scr.check(t)
		say(term, beta, "two")
		time.Sleep(time.Second)
		if strings.Contains(scr.text(), "two") {
			t.Error("printed during a pause")
		}
		fmt.Fprint(scr, "Question? yes\n")
		resume()
		resume() // once is enough
		time.Sleep(time.Second)
		if got := scr.text(); !strings.HasPrefix(got, "==> null.beta: one\nQuestion? yes\n==> null.beta: two\n/ null.beta") &&
			!strings.Contains(got, "starting") {
			t.Errorf("after the pause:\n%s", got)
		}
		// Close while paused, as when a panic unwinds through Ask.
		term.Pause()
		say(term, beta, "three")
		if err := term.Close(); err != nil {
			t.Fatal(err)
		}
		if want := "==> null.beta: one\nQuestion? yes\n==> null.beta: two\n==> null.beta: three\n"; scr.text() != want {
			t.Errorf("got %q, want %q", scr.text(), want)
		}
		scr.check(t)
	})
}

func TestTerminalResize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		scr := newScreen(90)
		columns, rows := 90, 4
		var mu sync.Mutex
		term := NewTerminal(scr, TerminalOptions{ASCII: true, Size: func() (int, int) {
			mu.Lock()
			defer mu.Unlock()
			return columns, rows
		}})
		many := []addr.Build{alpha, beta, twin, gamma}
		begin(term, many...)
		say(term, alpha, "text that stays")
		for _, b := range many {
			term.Handle(component.Stamped{Origin: component.Origin{Build: b}, At: time.Now(),
				Event: component.Waiting{For: strings.Repeat("something ", 20)}})
		}
		// Resizing in the very moment of a repaint is out of our hands.
		time.Sleep(1013 * time.Millisecond)
		if got := strings.Count(scr.text(), "\n"); got != 2 {
			t.Errorf("a screen of four rows has %d live lines:\n%s", got, scr.text())
		}
		if !strings.Contains(scr.text(), "and 3 more builds") {
			t.Errorf("hidden builds are not counted:\n%s", scr.text())
		}
		for _, c := range []int{30, 7, 200, 1, 64} {
			mu.Lock()
			columns, rows = c, 50
			scr.resize(c)
			mu.Unlock()
			time.Sleep(1013 * time.Millisecond)
		}
		for _, l := range strings.Split(scr.text(), "\n") {
			if ansi.StringWidth(l) > 64 {
				t.Errorf("line wider than the screen: %q", l)
			}
		}
		if err := term.Close(); err != nil {
			t.Fatal(err)
		}
		// The narrowest screen had each character on a row of its own.
		if got := strings.ReplaceAll(scr.text(), "\n", ""); got != "==>os.docker.alpha:textthatstays" {
			t.Errorf("left on the screen: %q", got)
		}
		scr.check(t)
	})
}

// stuck blocks writers until it is let go.
type stuck struct {
	mu   sync.Mutex
	free sync.Cond
	open bool
	buf  bytes.Buffer
}

func newStuck() *stuck {
	s := &stuck{}
	s.free.L = &s.mu
	return s
}

func (s *stuck) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.open {
		s.free.Wait()
	}
	return s.buf.Write(p)
}

func (s *stuck) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = true
	s.free.Broadcast()
}

// TestBackPressure: nobody reads. Output waits once much of it is pending,
// other events do not, and nothing is lost.
func TestBackPressure(t *testing.T) {
	for name, make := range map[string]func(*stuck) Sink{
		"plain":    func(w *stuck) Sink { return NewPlain(w, w, PlainOptions{}) },
		"json":     func(w *stuck) Sink { return NewJSON(w) },
		"machine":  func(w *stuck) Sink { return NewMachine(w) },
		"terminal": func(w *stuck) Sink { return NewTerminal(w, TerminalOptions{}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newStuck()
				sink := make(w)
				const lines = 50_000
				n := 0
				go func() {
					for ; n < lines; n++ {
						sink.Handle(component.Stamped{Origin: component.Origin{Build: beta},
							Event: component.Output{Stream: component.Stdout, Line: strings.Repeat("x", 100) + strconv.Itoa(n) + "."}})
					}
				}()
				synctest.Wait()
				if n == 0 || n == lines {
					t.Errorf("%d lines of output were taken in", n)
				}
				for range 1000 {
					say(sink, beta, strings.Repeat("y", 1000))
				}
				w.release()
				synctest.Wait()
				time.Sleep(10 * time.Second)
				synctest.Wait()
				if err := sink.Close(); err != nil {
					t.Fatal(err)
				}
				if n != lines || !strings.Contains(w.buf.String(), "x"+strconv.Itoa(lines-1)+".") {
					t.Errorf("%d lines arrived", n)
				}
			})
		})
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestTerminalErrors(t *testing.T) {
	var errs bytes.Buffer
	scr := newScreen(80)
	term := NewTerminal(scr, TerminalOptions{Color: true, Errors: &errs})
	if err := play(term, script()); err != nil {
		t.Fatal(err)
	}
	var plain, faults bytes.Buffer
	if err := play(NewPlain(&plain, &faults, PlainOptions{}), script()); err != nil {
		t.Fatal(err)
	}
	if errs.String() != strings.ToValidUTF8(faults.String(), "\ufffd") {
		t.Errorf("standard error got %q, want %q", &errs, &faults)
	}
	broken := errors.New("disk full")
	term = NewTerminal(failing{broken}, TerminalOptions{})
	if err := play(term, script()); !errors.Is(err, broken) {
		t.Errorf("Close returned %v", err)
	}
}

// Ensure that a build that waits for others before it begins has a live line,
// and loses it when it ends without having begun.
func TestLiveLineOfABuildThatWaitsForAnother(t *testing.T) {
	var b board
	at := func(d time.Duration, build addr.Build, e component.Event) {
		b.handle(&component.Stamped{Origin: component.Origin{Build: build}, At: scriptStart.Add(d), Since: d, Event: e})
	}
	live := func(d time.Duration) string {
		return strings.Join(b.lines(scriptStart.Add(d), 80, 5, false, &asciiGlyphs), "\n")
	}
	at(0, addr.Build{}, component.RunStarted{Builds: []addr.Build{alpha, beta}})
	at(0, alpha, component.BuildStarted{})
	at(0, beta, component.Waiting{For: "the build os.docker.alpha"})
	if got, want := live(3*time.Second), "- os.docker.alpha   3.0s  starting\n- null.beta         3.0s  waiting for the build os.docker.alpha, 3.0s"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	at(4*time.Second, beta, component.BuildStarted{})
	if got, want := live(4*time.Second), "| os.docker.alpha   4.0s  starting\n| null.beta          0ms  starting"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	at(5*time.Second, alpha, component.Waiting{For: "something"})
	at(5*time.Second, alpha, component.BuildEnded{Err: errors.New("failed")})
	at(5*time.Second, gamma, component.Waiting{For: "the build os.docker.alpha"})
	at(5*time.Second, gamma, component.BuildEnded{Err: errors.New("not started")})
	if got, want := live(5*time.Second), "/ null.beta   1.0s  starting"; !strings.HasSuffix(got, want[2:]) || strings.Contains(got, "docker") || strings.Contains(got, "qemu") {
		t.Errorf("got\n%s", got)
	}
}
