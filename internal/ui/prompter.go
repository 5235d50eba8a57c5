package ui

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"ingot/internal/component"
)

// ErrNoTerminal is what Ask fails with when there is nobody to ask.
var ErrNoTerminal = errors.New("there is no terminal to ask at")

// Prompter asks the person at the terminal. Questions are asked one at a
// time; while one is open the sink's output is held back. The terminal is
// not touched before the first question. Lines typed ahead answer later
// questions.
type Prompter struct {
	open    func() (*console, error)
	display Pauser

	asking sync.Mutex

	mu      sync.Mutex
	tty     *console    // guarded by mu, as is all below
	failed  bool        // opening the terminal was tried in vain
	pending chan answer // a read that a cancelled question left behind
	closed  bool
	restore func() error // puts the terminal right that was given away
}

// console is where questions are printed and answers are typed.
type console struct {
	in    io.Reader
	out   io.Writer
	lines *bufio.Reader
	// interrupt, when set, makes reads fail, one that is under way too, until goOn.
	interrupt func()
	goOn      func() error
	close     func() error
	// raw, when set, stops the terminal from echoing and interpreting what is
	// typed, until restore.
	raw func() (restore func() error, err error)
	// size is the size of its window, and sizes tells of changes until stop.
	size  func() component.WindowSize
	sizes func() (changes <-chan component.WindowSize, stop func())
}

type answer struct {
	text string
	err  error
}

// NewPrompter makes a Prompter for the controlling terminal of the process,
// or its standard input when that is a terminal. display may be nil.
func NewPrompter(display Pauser) *Prompter {
	return &Prompter{open: openConsole, display: display}
}

// NoPrompter is for output that programs read: it has nobody to ask.
type NoPrompter struct{}

// Interactive reports false.
func (NoPrompter) Interactive() bool { return false }

// Ask fails with ErrNoTerminal.
func (NoPrompter) Ask(context.Context, string) (string, error) { return "", ErrNoTerminal }

// Interactive reports whether there is a terminal whose foreground the
// process is in.
func (p *Prompter) Interactive() bool {
	_, err := p.terminal()
	return err == nil
}

func (p *Prompter) terminal() (*console, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.failed {
		return nil, ErrNoTerminal
	}
	if p.tty != nil {
		return p.tty, nil
	}
	t, err := p.open()
	if err != nil {
		p.failed = true
		return nil, ErrNoTerminal
	}
	t.lines = bufio.NewReader(t.in)
	p.tty = t
	return t, nil
}

// Ask prints the question and returns the line that was typed, without its
// end. It fails with ErrNoTerminal, with io.EOF when the input has ended, or
// with ctx's cause. A line that is typed after ctx has ended answers the next
// question.
func (p *Prompter) Ask(ctx context.Context, question string) (string, error) {
	p.asking.Lock()
	defer p.asking.Unlock()
	t, err := p.terminal()
	if err != nil {
		return "", err
	}
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if p.display != nil {
		defer p.display.Pause()()
	}
	text := appendQuestion(nil, question)
	if _, err := t.out.Write(text); err != nil {
		return "", fmt.Errorf("ask at the terminal: %w", err)
	}
	select {
	case a := <-p.read(t):
		p.mu.Lock()
		p.pending = nil
		p.mu.Unlock()
		if a.err != nil {
			return "", fmt.Errorf("ask at the terminal: %w", a.err)
		}
		return a.text, nil
	case <-ctx.Done():
		// The cursor stands behind the question.
		_, _ = io.WriteString(t.out, "\n")
		return "", context.Cause(ctx)
	}
}

// appendQuestion makes the question safe to print and ends it with a space.
func appendQuestion(dst []byte, question string) []byte {
	for i, line := range strings.Split(strings.TrimRight(question, " \n"), "\n") {
		if i > 0 {
			dst = append(dst, '\n')
		}
		dst = appendClean(dst, line, true)
	}
	return append(dst, ' ')
}

// read starts to read a line, or takes over the read that is under way.
func (p *Prompter) read(t *console) chan answer {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pending == nil {
		got := make(chan answer, 1)
		p.pending = got
		go func() {
			line, err := t.lines.ReadString('\n')
			if line != "" {
				err = nil
			}
			got <- answer{strings.TrimRight(line, "\r\n"), err}
		}()
	}
	return p.pending
}

// Close gives the terminal back. A read that is under way ends with it where
// the system can interrupt one, else with the process.
func (p *Prompter) Close() error {
	p.mu.Lock()
	t, pending := p.tty, p.pending
	p.tty, p.closed = nil, true
	p.mu.Unlock()
	if t == nil {
		return nil
	}
	err := p.giveBack()
	if pending != nil && t.interrupt != nil {
		t.interrupt()
		<-pending
	}
	return errors.Join(err, t.close())
}
