package ui

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"ingot/internal/component"
)

// Log is the log that users ask for by environment variables. It is a Sink
// that writes every event, and a Logger for whatever else is worth noting.
type Log struct {
	*slog.Logger
	handler slog.Handler // nil when there is no log
	// screen says that people see the log beside the normal output, so
	// that what is on that is not repeated.
	screen  bool
	secrets *Redactor
	closers []io.Closer
}

// OpenLog opens the log that the environment asks for: INGOT_LOG_PATH (or
// PACKER_LOG_PATH) names a file, made or emptied, that gets everything;
// otherwise INGOT_LOG (or PACKER_LOG), set and not 0, sends to stderr what
// the normal output does not show; otherwise there is no log and the result
// does nothing. Secrets are masked, in what goes through Logger too.
func OpenLog(getenv func(string) string, stderr io.Writer, secrets *Redactor) (*Log, error) {
	first := func(names ...string) string {
		for _, n := range names {
			if v := getenv(n); v != "" {
				return v
			}
		}
		return ""
	}
	l := &Log{Logger: slog.New(slog.DiscardHandler), secrets: secrets}
	var dst io.Writer
	if path := first("INGOT_LOG_PATH", "PACKER_LOG_PATH"); path != "" {
		f, err := os.Create(path)
		if err != nil {
			return nil, fmt.Errorf("log: open file: %w", err)
		}
		l.closers = append(l.closers, f)
		dst = f
	} else if v := first("INGOT_LOG", "PACKER_LOG"); v != "" && v != "0" {
		l.screen, dst = true, stderr
	} else {
		return l, nil
	}
	w := secrets.Writer(dst)
	l.closers = append([]io.Closer{w}, l.closers...)
	l.handler = slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug})
	l.Logger = slog.New(l.handler)
	return l, nil
}

// OnScreen reports whether the log goes to standard error, where it would
// tear a live view on the same terminal.
func (l *Log) OnScreen() bool { return l.screen }

// Handle writes the event.
func (l *Log) Handle(s component.Stamped) {
	if l.handler == nil {
		return
	}
	level := slog.LevelInfo
	switch s.Event.(type) {
	case component.Trace:
		level = slog.LevelDebug
	case component.Output, component.Progress, component.Waiting, component.Message:
		level = slog.LevelDebug
		if l.screen {
			return
		}
	case component.Warning:
		level = slog.LevelWarn
		if l.screen {
			return
		}
	case component.Problem:
		level = slog.LevelError
		if l.screen {
			return
		}
	}
	// The writer below masks secrets too, but not in texts that are quoted
	// twice, as those of artifacts are.
	if c := l.secrets.current(); c != nil {
		s.Event = c.event(s.Event)
	}
	rec := slog.NewRecord(s.At, level, typeOf(s.Event), 0)
	a := attrs{rec: &rec}
	if !s.Build.IsZero() {
		a.str("build", s.Build.String())
	}
	if !s.Step.IsZero() {
		a.str("step", s.Step.String())
	}
	writeFields(a, &s)
	// A log that cannot be written must not stop a build.
	_ = l.handler.Handle(context.Background(), rec)
}

// Close writes what is left and closes the file.
func (l *Log) Close() error {
	var first error
	for _, c := range l.closers {
		if err := c.Close(); err != nil && first == nil {
			first = err
		}
	}
	l.closers = nil
	return first
}

// attrs gives a log record the fields of an event.
type attrs struct{ rec *slog.Record }

func (a attrs) str(name, value string)          { a.rec.AddAttrs(slog.String(name, value)) }
func (a attrs) int(name string, v int64)        { a.rec.AddAttrs(slog.Int64(name, v)) }
func (a attrs) ms(name string, d time.Duration) { a.int(name, d.Milliseconds()) }
func (a attrs) bool(name string, v bool)        { a.rec.AddAttrs(slog.Bool(name, v)) }

func (a attrs) opt(name, value string) {
	if value != "" {
		a.str(name, value)
	}
}

func (a attrs) err(err error) {
	if err != nil {
		a.str("error", err.Error())
	}
}

// any writes data the way the JSON stream does, on one line.
func (a attrs) any(name string, v any) {
	o := object{buf: []byte{'{'}}
	o.any(name, v)
	a.str(name, string(o.buf[len(name)+4:]))
}
