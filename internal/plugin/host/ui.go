package host

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"ingot/internal/component"
	"ingot/internal/plugin/packerwire"
)

// screen is the Ui of a plugin: what it says becomes events.
type screen struct {
	run  component.Run
	bars *atomic.Int64 // numbers the progress bars of a process
}

func newScreen(r component.Run) screen { return screen{r, new(atomic.Int64)} }

// clean makes a text of a plugin fit for events.
func clean(text string) string {
	return strings.TrimRight(strings.ToValidUTF8(text, "�"), " \t\r\n")
}

// Say is a message.
func (s screen) Say(text string) { s.run.Emit(component.Message{Text: clean(text)}) }

// Error is a problem.
func (s screen) Error(text string) { s.run.Emit(component.Problem{Text: clean(text)}) }

// Machine is for the log: programs read our own records.
func (s screen) Machine(category string, args []string) {
	s.run.Emit(component.Trace{Text: clean(category + "," + strings.Join(args, ","))})
}

// Ask asks the person at the terminal.
func (s screen) Ask(ctx context.Context, question string) (string, error) {
	if s.run.Prompt == nil || !s.run.Prompt.Interactive() {
		return "", errors.New("no available tty")
	}
	return s.run.Prompt.Ask(ctx, clean(question)+" ")
}

// Track shows a transfer.
func (s screen) Track(what string, total, done int64) packerwire.BarServer {
	if total <= 0 {
		total = -1
	}
	b := &bar{run: s.run, p: component.Progress{
		ID: "plugin-" + strconv.FormatInt(s.bars.Add(1), 10), Label: clean(what), Total: total, Done: max(done, 0),
	}}
	s.run.Emit(b.p)
	return b
}

type bar struct {
	run component.Run
	mu  sync.Mutex
	p   component.Progress
}

func (b *bar) Add(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > 0 {
		b.p.Done += n
		b.run.Emit(b.p)
	}
}

func (b *bar) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.p.Finished = true
	b.run.Emit(b.p)
}

// logTo makes a receiver of log lines that are events of a build.
func logTo(r component.Run, plugin string) func(string) {
	return func(line string) { r.Emit(component.Trace{Text: plugin + " plugin: " + line}) }
}
