//go:build unix

package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"ingot/internal/component"
	"ingot/internal/treecopy"
)

// New makes a communicator for this machine. Every command is acquired from
// the journal as an "os.process" while it runs, so that none outlives Ingot;
// what a command leaves in the background after a normal end stays.
func New(journal component.Recorder) component.Communicator {
	c := &communicator{journal: journal}
	c.ctx, c.stop = context.WithCancelCause(context.Background())
	return c
}

type communicator struct {
	journal component.Recorder
	ctx     context.Context // ends with Close
	stop    context.CancelCauseFunc

	mu  sync.Mutex // guards adding to all against Close
	all sync.WaitGroup
}

var errClosed = errors.New("local: the communicator is closed")

// begin makes a context for an operation, which ends with ctx or Close.
func (c *communicator) begin(ctx context.Context) (context.Context, func(), error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return nil, nil, errClosed
	}
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	c.all.Add(1)
	both, cancel := context.WithCancelCause(ctx)
	unhook := context.AfterFunc(c.ctx, func() { cancel(errClosed) })
	return both, func() {
		unhook()
		cancel(nil)
		c.all.Done()
	}, nil
}

// Caps declares everything; see component.Communicator.
func (c *communicator) Caps() component.Caps {
	return component.Caps{Run: true, Put: true, Get: true, Tree: true, PTY: true, Shell: component.POSIX, Transport: "local"}
}

// Close ends what is running and waits for that; see component.Communicator.
func (c *communicator) Close() error {
	c.mu.Lock()
	c.stop(errClosed)
	c.mu.Unlock()
	c.all.Wait()
	return nil
}

// Put writes a file; see component.Communicator.
func (c *communicator) Put(ctx context.Context, dst string, src io.Reader, meta component.FileMeta) error {
	ctx, done, err := c.begin(ctx)
	if err == nil {
		defer done()
		err = put(ctx, dst, src, meta)
	}
	if err != nil {
		return fmt.Errorf("local: put %s: %w", dst, err)
	}
	return nil
}

func put(ctx context.Context, dst string, src io.Reader, meta component.FileMeta) error {
	if meta.Mode == 0 {
		meta.Mode = 0o644
	}
	const flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	f, err := os.OpenFile(dst, flags, 0o600)
	if errors.Is(err, fs.ErrPermission) && regular(dst) && os.Remove(dst) == nil {
		f, err = os.OpenFile(dst, flags, 0o600)
	}
	if err != nil {
		return err
	}
	err = f.Chmod(meta.Mode) // before the contents, which may be secret
	if err == nil {
		err = transfer(ctx, f, src)
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil && !meta.ModTime.IsZero() {
		err = os.Chtimes(dst, time.Time{}, meta.ModTime)
	}
	return err
}

func regular(name string) bool {
	info, err := os.Lstat(name)
	return err == nil && info.Mode().IsRegular()
}

// transfer copies until ctx ends, also while src has nothing to give.
func transfer(ctx context.Context, dst io.Writer, src io.Reader) error {
	r, done := stoppable(ctx, src)
	defer done()
	_, err := io.CopyBuffer(struct{ io.Writer }{dst}, r, make([]byte, 256<<10))
	return err
}

// stoppable makes reading src end with ctx, whatever src does.
func stoppable(ctx context.Context, src io.Reader) (io.Reader, func()) {
	r, w := io.Pipe()
	go func() { // may outlive us in a read that does not end, as in os/exec
		_, err := io.CopyBuffer(w, struct{ io.Reader }{src}, make([]byte, 256<<10))
		_ = w.CloseWithError(err)
	}()
	unhook := context.AfterFunc(ctx, func() { _ = w.CloseWithError(context.Cause(ctx)) })
	return r, func() {
		unhook()
		_ = r.Close()
	}
}

// untilDone is a writer that fails when ctx has ended.
type untilDone struct {
	ctx context.Context
	w   io.Writer
}

// Write writes.
func (u untilDone) Write(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.w.Write(p)
}

// Get reads a file; see component.Communicator.
func (c *communicator) Get(ctx context.Context, src string, dst io.Writer) error {
	ctx, done, err := c.begin(ctx)
	if err == nil {
		defer done()
		err = get(ctx, src, dst)
	}
	if err != nil {
		return fmt.Errorf("local: get %s: %w", src, err)
	}
	return nil
}

func get(ctx context.Context, src string, dst io.Writer) error {
	f, err := os.Open(src)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	_, err = io.CopyBuffer(untilDone{ctx, dst}, struct{ io.Reader }{f}, make([]byte, 256<<10))
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return err
}

// PutTree unpacks an archive; see component.Communicator.
func (c *communicator) PutTree(ctx context.Context, dst string, archive io.Reader) error {
	ctx, done, err := c.begin(ctx)
	if err != nil {
		return fmt.Errorf("local: put tree %s: %w", dst, err)
	}
	defer done()
	r, stop := stoppable(ctx, archive)
	defer stop()
	if err := treecopy.Unpack(ctx, r, dst, treecopy.UnpackOptions{SpecialBits: true}); err != nil {
		return fmt.Errorf("local: put tree %s: %w", dst, err)
	}
	return nil
}

// GetTree packs a folder; see component.Communicator. Sockets and devices are
// left out.
func (c *communicator) GetTree(ctx context.Context, src string, archive io.Writer) error {
	ctx, done, err := c.begin(ctx)
	if err != nil {
		return fmt.Errorf("local: get tree %s: %w", src, err)
	}
	defer done()
	o := treecopy.PackOptions{Skipped: func(string, fs.FileMode) {}}
	if err := treecopy.Pack(ctx, untilDone{ctx, archive}, filepath.Clean(src), o); err != nil {
		return fmt.Errorf("local: get tree %s: %w", src, err)
	}
	return nil
}
