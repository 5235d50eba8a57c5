package shell

import (
	"bytes"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// start is the moment from which on a script runs. The machine marks it with
// a line that nobody can guess; before it, what fails is the upload.
type start struct {
	marker string
	passed atomic.Bool
	// on is called when the marker arrives.
	on func()
}

func newStart(on func()) *start {
	return &start{marker: "ingot-started-" + randomHex(), on: on}
}

// gate passes output on, without the line with the marker.
type gate struct {
	start *start
	next  io.Writer

	mu  sync.Mutex
	buf []byte // guarded by mu; an unfinished line that may hold the marker
}

const maxHeld = 4096

func (g *gate) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := len(p)
	for !g.start.passed.Load() && len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			g.buf = append(g.buf, p...)
			if len(g.buf) > maxHeld {
				g.release()
			}
			return n, nil
		}
		g.buf = append(g.buf, p[:i+1]...)
		p = p[i+1:]
		g.line()
	}
	g.release()
	if len(p) > 0 {
		_, _ = g.next.Write(p) // a LineWriter, which never fails
	}
	return n, nil
}

// line handles a finished line in buf.
func (g *gate) line() {
	text := bytes.TrimRight(g.buf, "\r\n")
	before, found := bytes.CutSuffix(text, []byte(g.start.marker))
	if !found {
		g.release()
		return
	}
	if len(before) > 0 {
		_, _ = g.next.Write(append(before, '\n'))
	}
	g.buf = g.buf[:0]
	g.start.passed.Store(true)
	g.start.on()
}

func (g *gate) release() {
	if len(g.buf) > 0 {
		_, _ = g.next.Write(g.buf)
		g.buf = g.buf[:0]
	}
}

// flush passes on what is held back.
func (g *gate) flush() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.release()
}

// watchdog calls fire when nothing has moved for some time.
type watchdog struct {
	patience time.Duration

	mu    sync.Mutex
	timer *time.Timer // guarded by mu; nil after stop
}

func newWatchdog(patience time.Duration, fire func()) *watchdog {
	return &watchdog{patience: patience, timer: time.AfterFunc(patience, fire)}
}

// touch says that something has moved.
func (w *watchdog) touch() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Reset(w.patience)
	}
}

// stop ends the watch for good.
func (w *watchdog) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
}

// upload is a reader that shows its progress to a watchdog and knows whether
// all has been taken from it.
type upload struct {
	in   io.Reader
	dog  *watchdog
	left atomic.Int64
}

func newUpload(in io.Reader, size int64, dog *watchdog) *upload {
	u := &upload{in: in, dog: dog}
	u.left.Store(size)
	return u
}

func (u *upload) Read(p []byte) (int, error) {
	n, err := u.in.Read(p)
	u.left.Add(-int64(n))
	u.dog.touch()
	return n, err
}

// taken reports whether the machine may have the whole of it.
func (u *upload) taken() bool { return u.left.Load() <= 0 }
