package history

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/ui"
)

// The bounds of a file. Output is the first thing that is not recorded any more;
// then whatever else is merely said. What happened is always recorded.
const (
	outputRoom = 16 << 20
	saidRoom   = 20 << 20
	// heldMost bounds what is kept from before the run began.
	heldMost = 1000
	// thinned is the least time between two events of one transfer or wait.
	thinned = time.Second
)

// Recorder is a ui.Sink that writes the file of a run. It belongs behind the
// redactor. What it is given before Begin is kept until then; without Begin
// nothing is written.
//
// Events are written by a goroutine of its own as soon as the disk takes them, so
// that a run that is killed loses next to nothing, and nobody waits for the disk
// but output that comes faster than it can be written. A file that cannot be
// written takes no more events; Finish says so.
type Recorder struct {
	file atomic.Pointer[recording]

	mu      sync.Mutex
	held    []component.Stamped // guarded by mu, as is all below
	refused diag.List
	closed  bool
}

var _ ui.Sink = (*Recorder)(nil)

// recording is a file that is being written.
type recording struct {
	out  *ui.JSON
	disk *disk
	// taken counts the bytes of the events, written or not: how many wait to be
	// written depends on the disk, and so would what is left out.
	taken atomic.Int64
	// outputFull and saidFull are set with the line that says so.
	outputFull, saidFull atomic.Bool
	ended                atomic.Bool

	mu sync.Mutex
	// shown is when the last event of a transfer or wait was recorded.
	shown map[thing]time.Duration // guarded by mu
}

type thing struct {
	component.Origin
	id string
}

// disk notes the first failure.
type disk struct {
	file   *os.File
	failed atomic.Bool
}

func (d *disk) Write(p []byte) (int, error) {
	n, err := d.file.Write(p)
	if err != nil {
		d.failed.Store(true)
	}
	return n, err
}

// Begin makes the file of a run in the store. The texts of the header go through
// redact.
func (r *Recorder) Begin(s Store, h Header, redact func(string) string) error {
	line, err := h.masked(redact).line()
	if err != nil {
		return fmt.Errorf("history: %w", err)
	}
	file, err := s.create(h.RunID)
	if err != nil {
		return fmt.Errorf("history: %w", err)
	}
	d := &disk{file: file}
	if _, err := d.Write(line); err != nil {
		return errors.Join(fmt.Errorf("history: %w", err), file.Close())
	}
	f := &recording{out: ui.NewJSON(d), disk: d, shown: map[thing]time.Duration{}}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.refused) > 0 {
		f.out.Diagnostics(r.refused)
	}
	for _, e := range r.held {
		f.handle(e)
	}
	r.held, r.refused = nil, nil
	r.file.Store(f)
	return nil
}

// Diagnostics records findings about the template. They have been redacted.
func (r *Recorder) Diagnostics(l diag.List) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.file.Load()
	switch {
	case f != nil:
		f.out.Diagnostics(l)
	case !r.closed && len(r.refused) < heldMost:
		r.refused = append(r.refused, l...)
	}
}

// Handle records the event.
func (r *Recorder) Handle(s component.Stamped) {
	if f := r.file.Load(); f != nil {
		f.handle(s)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch f := r.file.Load(); {
	case f != nil:
		f.handle(s)
	case !r.closed && len(r.held) < heldMost:
		r.held = append(r.held, s)
	}
}

func (f *recording) handle(s component.Stamped) {
	taken := f.taken.Load()
	switch e := s.Event.(type) {
	case component.Output:
		if taken > outputRoom {
			f.fill(&f.outputFull, s, "More output than 16 MB is not kept in the history of a run: the rest of it is missing here")
			return
		}
	case component.Progress:
		if taken > saidRoom || !e.Finished && f.isRecent(s, e.ID) {
			return
		}
	case component.Waiting:
		if taken > saidRoom || f.isRecent(s, e.For) {
			return
		}
	case component.Message, component.Problem, component.Trace, component.Warning:
		if taken > saidRoom {
			f.fill(&f.saidFull, s, "The history of this run has no more room: later messages are missing here")
			return
		}
	case component.RunEnded:
		f.ended.Store(true)
	}
	if !f.disk.failed.Load() {
		f.taken.Add(int64(f.out.Add(s)))
	}
}

// fill says once that something is left out from here on.
func (f *recording) fill(full *atomic.Bool, s component.Stamped, text string) {
	if full.Load() || !full.CompareAndSwap(false, true) {
		return
	}
	s.Origin, s.Event = component.Origin{}, component.Warning{Summary: text}
	f.out.Handle(s)
}

// isRecent reports whether something like it has just been recorded, and notes
// when not.
func (f *recording) isRecent(s component.Stamped, id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := thing{s.Origin, id}
	last, known := f.shown[key]
	if known && s.Since-last < thinned {
		return true
	}
	if len(f.shown) > heldMost {
		clear(f.shown)
	}
	f.shown[key] = s.Since
	return false
}

// Finish writes what is left and closes the file, which is complete then. cause
// is why the run itself failed, which a run that has said its end has not. The
// error is about the file.
func (r *Recorder) Finish(cause error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	f := r.file.Load()
	if f == nil {
		return nil
	}
	if cause != nil && !f.ended.Load() {
		now := time.Now()
		f.out.Handle(component.Stamped{At: now, Event: component.Problem{Text: cause.Error()}})
		f.out.Handle(component.Stamped{At: now, Event: component.RunEnded{Failed: 1}})
	}
	if err := errors.Join(f.out.Close(), f.disk.file.Close()); err != nil {
		return fmt.Errorf("history: %w", err)
	}
	return nil
}

// Close writes what is left.
func (r *Recorder) Close() error { return r.Finish(nil) }
