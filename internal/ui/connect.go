package ui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"ingot/internal/component"
)

var _ component.TerminalPrompter = (*Prompter)(nil)

// Connect gives the terminal to use, raw; see component.TerminalPrompter. Questions
// wait until it is back.
func (p *Prompter) Connect(ctx context.Context, use func(context.Context, component.Terminal) error) error {
	p.asking.Lock()
	defer p.asking.Unlock()
	t, err := p.terminal()
	switch {
	case err != nil:
		return err
	case t.raw == nil || t.interrupt == nil:
		return fmt.Errorf("give the terminal to a shell: %w on this system", component.ErrUnsupported)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	if err := p.endRead(t); err != nil {
		return err
	}
	if p.display != nil {
		defer p.display.Pause()()
	}
	restore, err := t.raw()
	if err != nil {
		return fmt.Errorf("give the terminal to a shell: %w", err)
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return errors.Join(ErrNoTerminal, restore())
	}
	p.restore = restore // the program may end meanwhile
	p.mu.Unlock()

	in := &typing{from: t.in}
	resized, stop := t.sizes()
	err = use(ctx, component.Terminal{In: in, Out: t.out, Type: kindOfTerminal(os.Getenv), Size: t.size(), Resized: resized})
	stop()
	in.end(t)
	return errors.Join(err, p.giveBack())
}

// kindOfTerminal is TERM, or what all terminals understand.
func kindOfTerminal(getenv func(string) string) string {
	if kind := getenv("TERM"); kind != "" {
		return kind
	}
	return "vt100"
}

// giveBack puts the terminal right, once.
func (p *Prompter) giveBack() error {
	p.mu.Lock()
	restore := p.restore
	p.restore = nil
	p.mu.Unlock()
	if restore == nil {
		return nil
	}
	return restore()
}

// endRead ends the read that a cancelled question has left behind.
func (p *Prompter) endRead(t *console) error {
	p.mu.Lock()
	pending := p.pending
	p.mu.Unlock()
	if pending == nil {
		return nil
	}
	t.interrupt()
	<-pending
	p.mu.Lock()
	p.pending = nil
	p.mu.Unlock()
	return t.goOn()
}

// typing is what is typed, until end.
type typing struct {
	from io.Reader

	mu    sync.Mutex // held while reading
	ended bool       // guarded by mu
}

// Read reads what is typed. It ends when somebody else has the terminal.
func (t *typing) Read(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return 0, io.EOF
	}
	n, err := t.from.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.ended = true
		err = io.EOF
	}
	return n, err
}

// end makes sure that nothing is read any more.
func (t *typing) end(c *console) {
	c.interrupt()
	t.mu.Lock()
	t.ended = true
	t.mu.Unlock()
	_ = c.goOn() // a terminal that has gone fails the next question
}
