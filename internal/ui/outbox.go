package ui

import (
	"errors"
	"io"
	"sync"
	"syscall"
)

// roomFor is how many bytes may wait to be written before bulky callers are
// made to wait.
const roomFor = 1 << 20

// batch is text in the order in which it was added, each stretch with its
// destination.
type batch struct {
	buf  []byte
	cuts []cut
}

type cut struct {
	fault bool
	end   int
}

// mark says that what was added to buf since the last mark goes to the fault
// stream or to the normal one.
func (b *batch) mark(fault bool) {
	if n := len(b.cuts); n > 0 && b.cuts[n-1].fault == fault {
		b.cuts[n-1].end = len(b.buf)
		return
	}
	b.cuts = append(b.cuts, cut{fault, len(b.buf)})
}

func (b *batch) reset() {
	if cap(b.buf) > 4*roomFor {
		b.buf = nil
	}
	b.buf, b.cuts = b.buf[:0], b.cuts[:0]
}

// outbox writes text to two streams from one goroutine, so that whoever adds
// text does not wait for the reader and one write carries many lines. Lines
// are never torn and keep their order across both streams. The goroutine
// starts with the first text and ends with close.
type outbox struct {
	out, errOut io.Writer

	mu      sync.Mutex
	work    sync.Cond
	room    sync.Cond
	pending batch // guarded by mu, as is all below
	spare   batch
	running bool
	idle    bool
	writing bool
	closed  bool
	err     error
	gone    [2]bool
	done    chan struct{}
}

func (o *outbox) init(out, errOut io.Writer) {
	o.out, o.errOut = out, errOut
	o.work.L, o.room.L = &o.mu, &o.mu
}

// lock gives access to pending; a bulky caller first waits for room.
func (o *outbox) lock(bulky bool) {
	o.mu.Lock()
	for bulky && len(o.pending.buf) > roomFor && !o.closed {
		o.room.Wait()
	}
}

// unlock lets the writer see what was added.
func (o *outbox) unlock() {
	switch {
	case o.closed || len(o.pending.buf) == 0:
		o.pending.reset()
	case !o.running:
		o.running = true
		o.done = make(chan struct{})
		go o.write()
	case o.idle:
		o.idle = false
		o.work.Signal()
	}
	o.mu.Unlock()
}

func (o *outbox) write() {
	o.mu.Lock()
	defer close(o.done)
	defer o.mu.Unlock()
	for {
		for len(o.pending.buf) == 0 {
			o.writing = false
			o.room.Broadcast()
			if o.closed {
				return
			}
			o.idle = true
			o.work.Wait()
		}
		o.pending, o.spare = o.spare, o.pending
		o.pending.reset()
		o.writing = true
		o.room.Broadcast()
		o.mu.Unlock()
		o.deliver(&o.spare)
		o.mu.Lock()
	}
}

// deliver is called by the writing goroutine alone.
func (o *outbox) deliver(b *batch) {
	start := 0
	for _, c := range b.cuts {
		text, w, i := b.buf[start:c.end], o.out, 0
		if c.fault {
			w, i = o.errOut, 1
		}
		start = c.end
		if o.gone[i] {
			continue
		}
		if _, err := w.Write(text); err != nil {
			o.gone[i] = true
			o.note(err)
		}
	}
}

func (o *outbox) note(err error) {
	if readerGone(err) {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.err = err
	}
}

func readerGone(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe)
}

// flush waits until all that was added is written.
func (o *outbox) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.running && (len(o.pending.buf) > 0 || o.writing) {
		o.room.Wait()
	}
}

func (o *outbox) close() error {
	o.flush()
	o.mu.Lock()
	o.closed = true
	o.work.Signal()
	o.room.Broadcast()
	done := o.done
	o.mu.Unlock()
	if done != nil {
		<-done
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}
