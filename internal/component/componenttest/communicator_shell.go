package componenttest

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"ingot/internal/component"
)

// shellChecks are about component.Interactive. What a shell prints for a person may
// be anything; the checks look for texts that are not in what is typed.
var shellChecks = []communicatorCheck{
	{"shell/is connected", needsTerminal, func(s *communicatorCase) {
		p := s.person()
		p.types("test -t 0 && test -t 1 && echo 4$((1+1))terminal")
		p.sees("42terminal")
		p.types("echo 4$((1+2))$TERM")
		p.sees("43vt100")
		p.types("exit 7")
		if exit, err := p.leaves(); err != nil || exit.Code != 7 {
			s.Errorf("got %v, %v; want exit code 7\n%s", exit, err, p.out.String())
		}
	}},
	{"shell/follows the window", needsTerminal, func(s *communicatorCase) {
		p := s.person()
		p.types("command -v stty >/dev/null && echo 4$((1+3))stty || echo 4$((1+3))none")
		p.sees("44stty", "44none")
		if p.has("44stty") {
			p.types("until [ \"$(stty size)\" = '33 101' ]; do stty size; sleep 1; done; echo 4$((1+4))size")
			p.sees("45size")
			p.resized <- component.WindowSize{Columns: 102, Rows: 44}
			p.types("until [ \"$(stty size)\" = '44 102' ]; do sleep 1; done; echo 4$((1+5))resized")
			p.sees("46resized")
		}
		p.types("exit")
		if _, err := p.leaves(); err != nil {
			s.Errorf("%v", err)
		}
	}},
	{"shell/gets Ctrl-C", needsTerminal, func(s *communicatorCase) {
		p := s.person()
		// What the program says shows that the terminal is its own by now: bash loses
		// sight of a program that it was just starting when Ctrl-C came.
		p.types("sh -c 'echo 4$((1+1))go; exec sleep 1000'")
		p.sees("42go")
		for wait := 5 * time.Second; !p.has("43alive") && s.ctx.Err() == nil; wait *= 2 {
			p.presses("\x03")
			p.types("echo 4$((1+2))alive")
			// The next Ctrl-C would take this command back, too.
			p.seesWithin(wait, "43alive")
		}
		p.sees("43alive")
		p.types("exit 0")
		if exit, err := p.leaves(); err != nil || exit.Code != 0 {
			s.Errorf("got %v, %v", exit, err)
		}
	}},
	{"shell/ends when it is cancelled", needsTerminal, func(s *communicatorCase) {
		p := s.person()
		p.types("echo 4$((1+1))here")
		p.sees("42here")
		p.cancel(errEnough)
		if _, err := p.leaves(); !errors.Is(err, errEnough) {
			s.Errorf("got %v, want the cause", err)
		}
	}},
}

func needsTerminal(c component.Caps, cfg CommunicatorConfig) bool {
	return needsRun(c, cfg) && c.PTY && !cfg.NoShell
}

// person sits at a terminal with a shell.
type person struct {
	s       *communicatorCase
	keys    *io.PipeWriter
	out     *display
	resized chan component.WindowSize
	cancel  context.CancelCauseFunc
	left    chan struct{}
	exit    component.Exit
	err     error
}

func (s *communicatorCase) person() *person {
	s.Helper()
	shell, ok := s.c.(component.Interactive)
	if !ok {
		s.Skip("the communicator has no shell for people")
	}
	in, keys := io.Pipe()
	ctx, cancel := context.WithCancelCause(s.ctx)
	p := &person{s: s, keys: keys, out: &display{more: make(chan struct{}, 1)}, resized: make(chan component.WindowSize), cancel: cancel, left: make(chan struct{})}
	go func() {
		defer close(p.left)
		p.exit, p.err = shell.Shell(ctx, component.Terminal{
			In: in, Out: p.out, Type: "vt100", Size: component.WindowSize{Columns: 101, Rows: 33}, Resized: p.resized,
		})
		_ = in.Close()
	}()
	s.Cleanup(func() { cancel(nil); <-p.left })
	return p
}

func (p *person) types(line string) { p.presses(line + "\n") }

func (p *person) presses(keys string) {
	p.s.Helper()
	if _, err := io.WriteString(p.keys, keys); err != nil {
		p.s.Fatalf("the shell does not read %q: %v\n%s", keys, err, p.out.String())
	}
}

// sees waits for one of the texts.
func (p *person) sees(texts ...string) {
	p.s.Helper()
	for !slices.ContainsFunc(texts, p.has) {
		select {
		case <-p.out.more:
			continue
		case <-p.left:
		case <-p.s.ctx.Done():
		}
		if !slices.ContainsFunc(texts, p.has) {
			p.s.Fatalf("the shell does not show %q, but\n%s", texts, p.out.String())
		}
	}
}

// seesWithin waits for a text for some time. What is shown besides, such as the echo of
// what is typed, does not end the wait.
func (p *person) seesWithin(limit time.Duration, text string) {
	end := time.NewTimer(limit)
	defer end.Stop()
	for !p.has(text) {
		select {
		case <-p.out.more:
		case <-end.C:
			return
		case <-p.s.ctx.Done():
			return
		}
	}
}

func (p *person) has(text string) bool { return strings.Contains(p.out.String(), text) }

// display keeps what is shown.
type display struct {
	more chan struct{} // holds something when there is more

	mu   sync.Mutex
	text strings.Builder // guarded by mu
}

func (d *display) Write(p []byte) (int, error) {
	d.mu.Lock()
	d.text.Write(p)
	d.mu.Unlock()
	select {
	case d.more <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (d *display) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.String()
}

func (p *person) leaves() (component.Exit, error) {
	p.s.Helper()
	select {
	case <-p.left:
		return p.exit, p.err
	case <-p.s.ctx.Done():
		p.s.Fatalf("the shell does not end\n%s", p.out.String())
	}
	return component.Exit{}, nil
}
