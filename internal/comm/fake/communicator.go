package fake

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"sort"
	"sync"
	"syscall"
	"time"

	"ingot/internal/component"
)

// Op is an operation that is about to be done.
type Op struct {
	// Name is "run", "put", "get", "puttree" or "gettree".
	Name string
	// Target is the command line or the remote path.
	Target string
}

// Options say what a communicator to a machine can do.
type Options struct {
	// NoRun, NoFiles, NoTree and NoPTY take operations away.
	NoRun, NoFiles, NoTree, NoPTY bool
	// Transport is the word in Caps; empty for "fake".
	Transport string
	// Before is asked before every operation; its error is the
	// operation's.
	Before func(ctx context.Context, op Op) error
	// User is what commands see as the user's name and home; empty for
	// root.
	User string
}

// Connect makes a communicator to the machine.
func (m *Machine) Connect(o Options) component.Communicator {
	c := &communicator{m: m, o: o}
	c.ctx, c.stop = context.WithCancelCause(context.Background())
	return c
}

type communicator struct {
	m    *Machine
	o    Options
	ctx  context.Context // ends with Close
	stop context.CancelCauseFunc
}

var errClosed = errors.New("fake: the communicator is closed")

// begin checks everything that comes before an operation. The context ends
// with ctx or Close.
func (c *communicator) begin(ctx context.Context, op Op, has bool) (context.Context, func(), error) {
	switch {
	case c.ctx.Err() != nil:
		return nil, nil, errClosed
	case !has:
		return nil, nil, fmt.Errorf("fake: %s: %w", op.Name, component.ErrUnsupported)
	case ctx.Err() != nil:
		return nil, nil, fmt.Errorf("fake: %s: %w", op.Name, context.Cause(ctx))
	}
	if c.o.Before != nil {
		if err := c.o.Before(ctx, op); err != nil {
			return nil, nil, err
		}
	}
	both, cancel := context.WithCancelCause(ctx)
	unhook := context.AfterFunc(c.ctx, func() { cancel(errClosed) })
	return both, func() {
		unhook()
		cancel(nil)
	}, nil
}

// Run interprets a command line; see component.Communicator. What it started
// in the background ends with it.
func (c *communicator) Run(ctx context.Context, cmd component.Command) (component.Exit, error) {
	op := Op{"run", cmd.Line}
	ctx, done, err := c.begin(ctx, op, !c.o.NoRun && !(cmd.PTY && c.o.NoPTY))
	if err != nil {
		return component.Exit{}, err
	}
	defer done()
	c.m.mu.Lock()
	c.m.lines = append(c.m.lines, cmd.Line)
	c.m.mu.Unlock()
	out, errs := &gate{w: cmd.Stdout}, &gate{w: cmd.Stderr}
	if cmd.PTY {
		errs = out
	}
	defer errs.shut()
	defer out.shut()
	stdin := cmd.Stdin
	if stdin == nil {
		stdin = bytes.NewReader(nil)
	}
	user, home := c.o.User, "/home/"+c.o.User
	if user == "" {
		user, home = "root", "/root"
	}
	type result struct {
		code int
		err  error
	}
	ended := make(chan result, 1)
	go func() { // ends soon after ctx
		s := &shell{m: c.m, tty: cmd.PTY}
		env := []string{"HOME=" + home, "USER=" + user, "PATH=/usr/bin:/bin"}
		code, err := s.run(ctx, "sh", cmd.Line, "/root", env, nil, stdin, out, errs)
		ended <- result{code, err}
	}()
	var r result
	select {
	case r = <-ended:
	case <-ctx.Done():
		return component.Exit{}, fmt.Errorf("fake: run: %w", context.Cause(ctx))
	}
	var k killed
	switch {
	case errors.As(r.err, &k):
		return component.Exit{Code: 128 + int(k.signal), Signal: signalName(k.signal)}, nil
	case r.err != nil:
		return component.Exit{}, fmt.Errorf("fake: run: %w", r.err)
	case errors.Join(out.err, errs.err) != nil:
		return component.Exit{}, fmt.Errorf("fake: run: write the output: %w", errors.Join(out.err, errs.err))
	}
	return component.Exit{Code: r.code}, nil
}

func signalName(s syscall.Signal) string {
	switch s {
	case syscall.SIGTERM:
		return "TERM"
	case syscall.SIGHUP:
		return "HUP"
	}
	return "KILL"
}

// gate passes output on until it is shut.
type gate struct {
	mu  sync.Mutex // guards what follows, and is held while writing
	w   io.Writer
	off bool
	err error
}

// Write writes.
func (g *gate) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.w == nil || g.off {
		return len(p), nil
	}
	n, err := g.w.Write(p)
	if err != nil {
		g.err = err
	}
	return n, err
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.off = true
}

// readAll reads a source that may block for longer than ctx lasts.
func readAll(ctx context.Context, r io.Reader) ([]byte, error) {
	type result struct {
		body []byte
		err  error
	}
	done := make(chan result, 1)
	go func() { // ends with the source
		body, err := io.ReadAll(r)
		done <- result{body, err}
	}()
	select {
	case got := <-done:
		return got.body, got.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Put writes a file; see component.Communicator.
func (c *communicator) Put(ctx context.Context, dst string, src io.Reader, meta component.FileMeta) error {
	ctx, done, err := c.begin(ctx, Op{"put", dst}, !c.o.NoFiles)
	if err != nil {
		return err
	}
	defer done()
	body, err := readAll(ctx, src)
	if err != nil {
		return fmt.Errorf("fake: put %s: %w", dst, err)
	}
	mode, modified := meta.Mode, meta.ModTime
	if mode == 0 {
		mode = 0o644
	}
	if modified.IsZero() {
		modified = time.Now()
	}
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	if err := c.m.write(dst, body, mode, modified); err != nil {
		return fmt.Errorf("fake: put %s: %w", dst, err)
	}
	return nil
}

// chunk is how much is written at a time.
const chunk = 64 << 10

// deliver writes until ctx ends.
func deliver(ctx context.Context, dst io.Writer, body []byte) error {
	for part := range slices.Chunk(body, chunk) {
		if _, err := dst.Write(part); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// Get reads a file; see component.Communicator.
func (c *communicator) Get(ctx context.Context, src string, dst io.Writer) error {
	ctx, done, err := c.begin(ctx, Op{"get", src}, !c.o.NoFiles)
	if err != nil {
		return err
	}
	defer done()
	body, _, err := c.m.ReadFile(src)
	if err == nil {
		err = deliver(ctx, dst, body)
	}
	if err != nil {
		return fmt.Errorf("fake: get %s: %w", src, err)
	}
	return nil
}

// PutTree unpacks an archive; see component.Communicator.
func (c *communicator) PutTree(ctx context.Context, dst string, archive io.Reader) error {
	ctx, done, err := c.begin(ctx, Op{"puttree", dst}, !c.o.NoTree)
	if err != nil {
		return err
	}
	defer done()
	body, err := readAll(ctx, archive)
	if err == nil {
		err = c.m.unpack(dst, tar.NewReader(bytes.NewReader(body)))
	}
	if err != nil {
		return fmt.Errorf("fake: put tree %s: %w", dst, err)
	}
	return nil
}

func (m *Machine) unpack(dst string, r *tar.Reader) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.mkdirAll(dst, 0o755); err != nil {
		return err
	}
	for {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := m.unpackOne(path.Join(dst, path.Clean("/"+h.Name)), h, r); err != nil {
			return err
		}
	}
}

func (m *Machine) unpackOne(name string, h *tar.Header, body io.Reader) error {
	if err := m.mkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	old, err := m.find(name, false)
	if err == nil && !old.mode.IsDir() && h.Typeflag != tar.TypeDir {
		if err := m.remove(name, false); err != nil {
			return err
		}
	}
	mode := fs.FileMode(h.Mode).Perm()
	switch h.Typeflag {
	case tar.TypeDir:
		if err := m.mkdirAll(name, mode); err != nil {
			return err
		}
		n, err := m.find(name, true)
		if err == nil {
			n.mode = fs.ModeDir | mode
		}
		return err
	case tar.TypeSymlink:
		return m.symlink(h.Linkname, name)
	case tar.TypeReg:
		text, err := io.ReadAll(body)
		if err != nil {
			return err
		}
		return m.write(name, text, mode, h.ModTime)
	}
	return fmt.Errorf("%s: a tar member of type %q is not known to this machine", h.Name, h.Typeflag)
}

// GetTree packs a folder; see component.Communicator.
func (c *communicator) GetTree(ctx context.Context, src string, archive io.Writer) error {
	ctx, done, err := c.begin(ctx, Op{"gettree", src}, !c.o.NoTree)
	if err != nil {
		return err
	}
	defer done()
	body, err := c.m.pack(src)
	if err == nil {
		err = deliver(ctx, archive, body)
	}
	if err != nil {
		return fmt.Errorf("fake: get tree %s: %w", src, err)
	}
	return nil
}

func (m *Machine) pack(src string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find(src, true)
	if err != nil {
		return nil, err
	}
	if !n.mode.IsDir() {
		return nil, pathError("open", src, syscall.ENOTDIR)
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	if err := packFolder(w, "", n); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func packFolder(w *tar.Writer, at string, n *node) error {
	var names []string
	for name := range n.children {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		c := n.children[name]
		h, err := tar.FileInfoHeader(c.info(), c.to)
		if err != nil {
			return err
		}
		h.Name, h.Format = path.Join(at, name), tar.FormatPAX
		if c.mode.IsDir() {
			h.Name += "/"
		}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if c.mode.IsRegular() {
			if _, err := w.Write(c.body); err != nil {
				return err
			}
		}
		if err := packFolder(w, path.Join(at, name), c); err != nil {
			return err
		}
	}
	return nil
}

// Caps says what the options left; see component.Communicator.
func (c *communicator) Caps() component.Caps {
	caps := component.Caps{
		Run: !c.o.NoRun, Put: !c.o.NoFiles, Get: !c.o.NoFiles, Tree: !c.o.NoTree,
		PTY: !c.o.NoPTY && !c.o.NoRun, Transport: c.o.Transport,
	}
	if caps.Run {
		caps.Shell = component.POSIX
	}
	if caps.Transport == "" {
		caps.Transport = "fake"
	}
	return caps
}

// Close ends what is running; see component.Communicator.
func (c *communicator) Close() error {
	c.stop(errClosed)
	return nil
}
