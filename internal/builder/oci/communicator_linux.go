package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"sync"

	"ingot/internal/builder/oci/sandbox"
	"ingot/internal/component"
)

// communicator runs commands and moves files in a machine's sandbox.
type communicator struct {
	box  *sandbox.Sandbox
	user string
	dir  string
	env  []string
	// life ends with Close, and with it whatever is being done.
	life context.Context
	end  context.CancelCauseFunc
}

// defaultPath is what containers have when the image says nothing.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

func newCommunicator(m *machine) *communicator {
	j := m.job
	c := &communicator{box: j.box, user: j.p.ExecUser, dir: j.image.Config.Config.WorkingDir}
	c.life, c.end = context.WithCancelCause(context.Background())
	c.env = mergeEnv(j.image.Config.Config.Env, j.p.Env)
	hasPath := slices.ContainsFunc(c.env, func(e string) bool { return strings.HasPrefix(e, "PATH=") })
	if !hasPath {
		c.env = append(c.env, "PATH="+defaultPath)
	}
	c.env = append(c.env, "HOSTNAME="+j.p.Hostname)
	if j.p.epoch != nil {
		c.env = append(c.env, "SOURCE_DATE_EPOCH="+strconv.FormatInt(j.p.epoch.Unix(), 10))
	}
	return c
}

var errClosed = errors.New("oci: the communicator is closed")

// begin is called by every method first. The context ends with Close too;
// done must be called at the end.
func (c *communicator) begin(ctx context.Context) (during context.Context, done func(), err error) {
	for _, either := range []context.Context{c.life, ctx} {
		if err := context.Cause(either); err != nil {
			return nil, nil, err
		}
	}
	during, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(c.life, func() { cancel(errClosed) })
	return during, func() { stop(); cancel(nil) }, nil
}

// lost gives the sandbox's end the error that callers know.
func lost(err error) error {
	if errors.Is(err, sandbox.ErrEnded) {
		return fmt.Errorf("%w: %w", component.ErrDisconnected, err)
	}
	return err
}

// Run gives the line to the image's /bin/sh.
func (c *communicator) Run(ctx context.Context, cmd component.Command) (component.Exit, error) {
	ctx, done, err := c.begin(ctx)
	if err != nil {
		return component.Exit{}, err
	}
	defer done()
	env := c.env
	if cmd.PTY {
		env = append(slices.Clone(env), "TERM=xterm")
	}
	code, signal, err := c.box.Exec(ctx, sandbox.Command{
		Args: []string{"/bin/sh", "-c", cmd.Line}, Env: env, Dir: c.dir, User: c.user, PTY: cmd.PTY,
		Stdin: cmd.Stdin, Stdout: cmd.Stdout, Stderr: cmd.Stderr,
	})
	switch {
	case err != nil && errors.Is(err, fs.ErrNotExist):
		return component.Exit{}, fmt.Errorf("oci: run command: the image has no usable /bin/sh, so only files can be copied into it: %w", err)
	case err != nil:
		return component.Exit{}, fmt.Errorf("oci: run command: %w", lost(err))
	}
	return component.Exit{Code: code, Signal: signal}, nil
}

// interactive becomes the best shell that there is.
const interactive = `command -v bash >/dev/null 2>&1 && exec bash; exec /bin/sh -i`

// Shell gives a person the image's shell.
func (c *communicator) Shell(ctx context.Context, t component.Terminal) (component.Exit, error) {
	ctx, done, err := c.begin(ctx)
	if err != nil {
		return component.Exit{}, err
	}
	defer done()
	code, signal, err := c.box.Exec(ctx, sandbox.Command{
		Args: []string{"/bin/sh", "-c", interactive}, Env: append(slices.Clone(c.env), "TERM="+t.Type), Dir: c.dir, User: c.user,
		PTY: true, Terminal: &t, Stdin: t.In, Stdout: t.Out,
	})
	if err != nil {
		return component.Exit{}, fmt.Errorf("oci: shell: %w", lost(err))
	}
	return component.Exit{Code: code, Signal: signal}, nil
}

// Put writes a file that belongs to root.
func (c *communicator) Put(ctx context.Context, dst string, src io.Reader, meta component.FileMeta) error {
	ctx, done, err := c.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	mode, mtime := uint32(meta.Mode.Perm()), int64(0)
	if meta.Mode == 0 {
		mode = 0o644
	}
	if !meta.ModTime.IsZero() {
		mtime = meta.ModTime.UnixNano()
	}
	watched := &watchedReader{r: src}
	if err := c.box.Put(ctx, dst, watched, mode, mtime); err != nil {
		return fmt.Errorf("oci: write %s: %w", dst, watched.reason(lost(err)))
	}
	if n := watched.count(); meta.Size >= 0 && n != meta.Size {
		return fmt.Errorf("oci: write %s: got %d bytes instead of the %d that were announced", dst, n, meta.Size)
	}
	return nil
}

// watchedReader notes how much was read and how reading failed. The sandbox may
// answer that the data was cut off before the reading side is heard.
type watchedReader struct {
	r io.Reader

	mu  sync.Mutex // guards what follows
	n   int64
	err error
}

func (w *watchedReader) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n += int64(n)
	if err != nil && err != io.EOF {
		w.err = err
	}
	return n, err
}

func (w *watchedReader) count() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.n
}

// reason is the source's own error if it had one, and otherwise err.
func (w *watchedReader) reason(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	return err
}

// Get reads a regular file.
func (c *communicator) Get(ctx context.Context, src string, dst io.Writer) error {
	ctx, done, err := c.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := c.box.Get(ctx, src, dst); err != nil {
		return fmt.Errorf("oci: read %s: %w", src, lost(err))
	}
	return nil
}

// PutTree unpacks a tar stream; everything belongs to root.
func (c *communicator) PutTree(ctx context.Context, dst string, archive io.Reader) error {
	ctx, done, err := c.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	watched := &watchedReader{r: archive}
	if err := c.box.PutTree(ctx, dst, watched); err != nil {
		return fmt.Errorf("oci: write folder %s: %w", dst, watched.reason(lost(err)))
	}
	return nil
}

// GetTree writes a folder as a tar stream.
func (c *communicator) GetTree(ctx context.Context, src string, archive io.Writer) error {
	ctx, done, err := c.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := c.box.GetTree(ctx, src, archive); err != nil {
		return fmt.Errorf("oci: read folder %s: %w", src, lost(err))
	}
	return nil
}

// Caps: everything works.
func (c *communicator) Caps() component.Caps {
	return component.Caps{Run: true, Put: true, Get: true, Tree: true, PTY: true, Shell: component.POSIX, Transport: "oci"}
}

// Close makes every method fail; the sandbox stays.
func (c *communicator) Close() error {
	c.end(errClosed)
	return nil
}
