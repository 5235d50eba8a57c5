package winguest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"time"

	"ingot/internal/component"
	"ingot/internal/retry"
)

// DefaultPatience is the default of start_retry_timeout.
const DefaultPatience = 5 * time.Minute

// cleanupTimeout bounds what is tidied up after a failure or a cancel.
const cleanupTimeout = 30 * time.Second

// refusals is how often to try when the machine answers that it does not take
// a script. It may still be starting up; waiting long would hide a typo.
const refusals = 3

// Machine is a Windows machine on which a provisioner works.
type Machine struct {
	component.Target
	// Patience is how long to try again what failed before a script began,
	// and the longest time without progress of an upload.
	Patience time.Duration
}

// Usable fails when nothing can be run on the machine. The error names the
// provisioner.
func (m Machine) Usable(provisioner string) error {
	if caps := m.Comm.Caps(); !caps.Run || !caps.Put {
		return fmt.Errorf("%s: this build has no machine to run scripts on (communicator %q): %w", provisioner, caps.Transport, component.ErrUnsupported)
	}
	return nil
}

// put uploads a file. Its errors are from before anything was started.
func (m Machine) put(ctx context.Context, f File) error {
	body, size, err := f.Source.open()
	if err != nil {
		return final(err)
	}
	defer body.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	in := &watched{in: body, patience: m.Patience}
	in.timer = time.AfterFunc(m.Patience, func() {
		cancel(fmt.Errorf("nothing moved for %s", m.Patience))
	})
	defer in.stop()
	if err := m.Comm.Put(ctx, f.Path, in, component.FileMeta{Mode: 0o644, Size: size}); err != nil {
		return notStarted(fmt.Errorf("upload %s: %w", f.Path, err))
	}
	return nil
}

// watched is a reader that puts a timer back whenever something is taken.
type watched struct {
	in       io.Reader
	patience time.Duration

	mu    sync.Mutex
	timer *time.Timer // guarded by mu; nil after stop
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.in.Read(p)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Reset(w.patience)
	}
	return n, err
}

func (w *watched) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer.Stop()
	w.timer = nil
}

// shown returns a writer that shows lines when to is nil, and what is to be
// called at its end.
func (m Machine) shown(to io.Writer) (io.Writer, func()) {
	if to != nil {
		return to, func() {}
	}
	lines := component.NewLineWriter(m.Events, component.Stdout)
	return lines, lines.Flush
}

// run executes a command line and shows its output, or passes the standard
// output on to stdout if that is not nil.
func (m Machine) run(ctx context.Context, line string, stdout io.Writer) (component.Exit, error) {
	out, flush := m.shown(stdout)
	errOut := component.NewLineWriter(m.Events, component.Stderr)
	defer flush()
	defer errOut.Flush()
	return m.Comm.Run(ctx, component.Command{Line: line, Stdout: out, Stderr: errOut})
}

// Output runs a command line and returns what it prints on its standard
// output, without showing it. A non-zero exit code is an error with what was
// printed on the standard error.
func (m Machine) Output(ctx context.Context, line string) (string, error) {
	var out, complaint limited
	exit, err := m.Comm.Run(ctx, component.Command{Line: line, Stdout: &out, Stderr: &complaint})
	if err != nil {
		return "", err
	}
	if exit.Code != 0 {
		return "", refused(fmt.Errorf("%s: %s", exit, strings.TrimSpace(complaint.String())))
	}
	return out.String(), nil
}

// limited keeps the beginning of what is written.
type limited struct {
	mu   sync.Mutex
	kept strings.Builder // guarded by mu
}

const maxKept = 64 << 10

func (l *limited) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept.Write(p[:min(len(p), maxKept-l.kept.Len())])
	return len(p), nil
}

func (l *limited) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.kept.String()
}

// begin repeats fn as long as it fails before a script has begun and there is
// patience left. A script is never begun twice.
func (m Machine) begin(ctx context.Context, what string, fn func(context.Context) error) error {
	since, rejected := m.Clock.Now(), 0
	return retry.Do(ctx, m.Clock, retry.Policy{
		First: 500 * time.Millisecond,
		Max:   5 * time.Second,
		Retryable: func(err error) bool {
			var early *earlyError
			if context.Cause(ctx) != nil || !errors.As(err, &early) || early.final {
				return false
			}
			if early.refused {
				rejected++
				return rejected < refusals
			}
			return m.Clock.Now().Sub(since) < m.Patience
		},
		Notify: func(err error, attempt int, delay time.Duration) {
			m.Emit(component.Retrying{What: what, Class: retry.ClassOf(err).String(), Attempt: attempt, Delay: delay, Err: err})
		},
	}, fn)
}

// earlyError is a failure from before a script began.
type earlyError struct {
	error
	// refused: the machine answered that it does not take the script.
	refused bool
	// final: trying again cannot help.
	final bool
}

func (e *earlyError) Unwrap() error { return e.error }

func notStarted(err error) error {
	return &earlyError{
		error:   err,
		refused: errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission),
		final:   errors.Is(err, component.ErrUnsupported),
	}
}

func refused(err error) error { return &earlyError{error: err, refused: true} }

func final(err error) error { return &earlyError{error: err, final: true} }

func isNotStarted(err error) bool {
	var early *earlyError
	return errors.As(err, &early)
}

// Unguessable returns a part of a file name that cannot be guessed.
func Unguessable() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
