package docker

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"time"
)

// A pump reads a source in a goroutine of its own, so that reading can be given
// up while the source blocks. The goroutine ends with the source, or with its
// next byte after stop.
type pump struct {
	ctx    context.Context
	chunks chan chunk
	quit   chan struct{}
	once   sync.Once
	got    []byte
	err    error
	read   int64
}

type chunk struct {
	data []byte
	err  error
}

// pumpChunk is how much is read at a time.
const pumpChunk = 64 << 10

// newPump reads src until ctx ends or stop is called.
func newPump(ctx context.Context, src io.Reader) *pump {
	p := &pump{ctx: ctx, chunks: make(chan chunk), quit: make(chan struct{})}
	go func() {
		for {
			buf := make([]byte, pumpChunk)
			n, err := src.Read(buf)
			if err != nil && err != io.EOF {
				err = &sourceError{err}
			}
			select {
			case p.chunks <- chunk{buf[:n], err}:
			case <-p.quit:
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return p
}

// Read implements io.Reader. Errors of the source are marked as sourceError.
func (p *pump) Read(into []byte) (int, error) {
	for len(p.got) == 0 {
		if p.err != nil {
			return 0, p.err
		}
		select {
		case c := <-p.chunks:
			p.got, p.err = c.data, c.err
		case <-p.ctx.Done():
			return 0, context.Cause(p.ctx)
		case <-p.quit:
			return 0, errStopped
		}
	}
	n := copy(into, p.got)
	p.got = p.got[n:]
	p.read += int64(n)
	return n, nil
}

// stop ends reading. It does not wait for a source that blocks.
func (p *pump) stop() { p.once.Do(func() { close(p.quit) }) }

// smallPatience is how long a short source may take to be read as a whole.
const smallPatience = 5 * time.Millisecond

// small reads the whole source if it is there already and short. Otherwise
// nothing has been taken: Read begins at the start.
func (p *pump) small(limit int) ([]byte, bool) {
	t := time.NewTimer(smallPatience)
	defer t.Stop()
	var got []byte
	for len(got) <= limit {
		select {
		case c := <-p.chunks:
			got = append(got, c.data...)
			if c.err == io.EOF && len(got) <= limit {
				return got, true
			}
			if p.err = c.err; p.err != nil {
				p.got = got
				return nil, false
			}
		case <-t.C:
			p.got = got
			return nil, false
		case <-p.ctx.Done():
			p.got = got
			return nil, false
		}
	}
	p.got = got
	return nil, false
}

// sourceError marks errors of the caller's reader among those of the
// connection.
type sourceError struct{ error }

func (e *sourceError) Unwrap() error { return e.error }

var errStopped = errors.New("nobody reads any more")

// knownSize returns how much a reader in memory holds.
func knownSize(r io.Reader) (int64, bool) {
	switch r := r.(type) {
	case *bytes.Reader:
		return int64(r.Len()), true
	case interface{ Len() int }:
		return int64(r.Len()), true
	}
	return 0, false
}
