package componenttest

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/comm/fake"
	"ingot/internal/component"
)

// recorder is a testing.TB that remembers failures in place of reporting them.
type recorder struct {
	testing.TB
	ctx      context.Context
	mu       sync.Mutex // guards what follows
	failures []string
	cleanups []func()
}

func (r *recorder) Helper()                  {}
func (r *recorder) Context() context.Context { return r.ctx }
func (r *recorder) Logf(string, ...any)      {}
func (r *recorder) Cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, f)
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// try runs one check and returns what failed. Its context ends after limit.
func try(t *testing.T, k communicatorCheck, cfg CommunicatorConfig, limit time.Duration) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	r := &recorder{TB: t, ctx: ctx}
	done := make(chan struct{})
	go func() {
		defer close(done)
		k.run(r, cfg, cfg.New(r))
	}()
	<-done
	cancel()
	for i := len(r.cleanups) - 1; i >= 0; i-- {
		r.cleanups[i]()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.failures)
}

// healthy is a communicator without defects.
func healthy() component.Communicator {
	m := fake.NewMachine()
	m.ReadOnly("/etc")
	return m.Connect(fake.Options{})
}

func config(wrap func(component.Communicator) component.Communicator) CommunicatorConfig {
	return CommunicatorConfig{
		New: func(testing.TB) component.Communicator { return wrap(healthy()) },
		Dir: "/tmp", Unwritable: "/etc/file",
	}
}

// broken is a communicator with one defect: the functions that are set
// replace its methods.
type broken struct {
	component.Communicator
	run     func(context.Context, component.Command) (component.Exit, error)
	put     func(context.Context, string, io.Reader, component.FileMeta) error
	get     func(context.Context, string, io.Writer) error
	putTree func(context.Context, string, io.Reader) error
	getTree func(context.Context, string, io.Writer) error
	caps    func(component.Caps) component.Caps
	close   func() error
}

func (b *broken) Run(ctx context.Context, c component.Command) (component.Exit, error) {
	if b.run != nil {
		return b.run(ctx, c)
	}
	return b.Communicator.Run(ctx, c)
}

func (b *broken) Put(ctx context.Context, dst string, src io.Reader, m component.FileMeta) error {
	if b.put != nil {
		return b.put(ctx, dst, src, m)
	}
	return b.Communicator.Put(ctx, dst, src, m)
}

func (b *broken) Get(ctx context.Context, src string, dst io.Writer) error {
	if b.get != nil {
		return b.get(ctx, src, dst)
	}
	return b.Communicator.Get(ctx, src, dst)
}

func (b *broken) PutTree(ctx context.Context, dst string, r io.Reader) error {
	if b.putTree != nil {
		return b.putTree(ctx, dst, r)
	}
	return b.Communicator.PutTree(ctx, dst, r)
}

func (b *broken) GetTree(ctx context.Context, src string, w io.Writer) error {
	if b.getTree != nil {
		return b.getTree(ctx, src, w)
	}
	return b.Communicator.GetTree(ctx, src, w)
}

func (b *broken) Caps() component.Caps {
	if b.caps != nil {
		return b.caps(b.Communicator.Caps())
	}
	return b.Communicator.Caps()
}

func (b *broken) Close() error {
	if b.close != nil {
		return b.close()
	}
	return b.Communicator.Close()
}

// defect is a way to break a communicator and the checks that must find it.
type defect struct {
	name  string
	finds []string
	brk   func(b *broken)
}

var defects = []defect{
	// Exit codes.
	{"every exit code is 0", []string{"run/exit codes", "run/exit code of the last command", "run/unknown command", "run/ended by a signal", "run/stdin need not be read", "run/output may be discarded", "put/a script can be run", "run/terminal"}, func(b *broken) {
		b.run = func(ctx context.Context, c component.Command) (component.Exit, error) {
			_, err := b.Communicator.Run(ctx, c)
			return component.Exit{}, err
		}
	}},
	{"an exit code that is not 0 is an error", []string{"run/exit codes", "run/unknown command"}, func(b *broken) {
		b.run = func(ctx context.Context, c component.Command) (component.Exit, error) {
			e, err := b.Communicator.Run(ctx, c)
			if err == nil && e.Code != 0 {
				err = errors.New(e.String())
			}
			return e, err
		}
	}},

	// Output.
	{"standard error is merged into the output", []string{"run/streams are separate", "run/order is kept", "run/binary output"}, func(b *broken) {
		b.run = func(ctx context.Context, c component.Command) (component.Exit, error) {
			c.Stderr = c.Stdout
			return b.Communicator.Run(ctx, c)
		}
	}},
	{"lines come in another order", []string{"run/order is kept"}, outputFilter(func(p []byte) []byte {
		lines := bytes.SplitAfter(p, []byte("\n"))
		slices.Reverse(lines)
		return bytes.Join(lines, nil)
	})},
	{"carriage returns are dropped", []string{"run/binary output"}, outputFilter(func(p []byte) []byte {
		return bytes.ReplaceAll(p, []byte("\r\n"), []byte("\n"))
	})},
	{"a final newline is added", []string{"run/output without a final newline"}, outputFilter(func(p []byte) []byte {
		if len(p) > 0 && p[len(p)-1] != '\n' {
			p = append(slices.Clone(p), '\n')
		}
		return p
	})},
	{"output ends after 10 MB", []string{"run/large output"}, outputFilter(func(p []byte) []byte { return p[:min(len(p), 10<<20)] })},
	{"output comes at the end only", []string{"run/output comes as it is made", "run/eight that wait for each other"}, outputFilter(func(p []byte) []byte { return p })},
	{"output may come after the return", []string{"run/all output is written before it returns", "run/nothing is written after it returned"}, func(b *broken) {
		b.run = func(ctx context.Context, c component.Command) (component.Exit, error) {
			late := &queue{w: c.Stdout}
			c.Stdout = late
			exit, err := b.Communicator.Run(ctx, c)
			// Late for sure, and sooner than a check stops looking.
			time.AfterFunc(50*time.Millisecond, late.flush)
			return exit, err
		}
	}},
	{"output cannot be discarded", []string{"run/output may be discarded"}, func(b *broken) {
		b.run = func(ctx context.Context, c component.Command) (component.Exit, error) {
			if c.Stdout == nil {
				return component.Exit{}, errors.New("nowhere to write to")
			}
			return b.Communicator.Run(ctx, c)
		}
	}},

	// Input and the command line.
	{"standard input is cut", []string{"run/stdin arrives and ends"}, func(b *broken) {
		b.run = func(ctx context.Context, c component.Command) (component.Exit, error) {
			if c.Stdin != nil {
				c.Stdin = io.LimitReader(c.Stdin, 1000)
			}
			return b.Communicator.Run(ctx, c)
		}
	}},
	{"no standard input is something", []string{"run/no stdin is an empty one"}, func(b *broken) {
		b.run = func(ctx context.Context, c component.Command) (component.Exit, error) {
			if c.Stdin == nil {
				c.Stdin = strings.NewReader("surprise\n")
			}
			return b.Communicator.Run(ctx, c)
		}
	}},
	{"standard input must be read", []string{"run/stdin need not be read"}, func(b *broken) {
		b.run = func(ctx context.Context, c component.Command) (component.Exit, error) {
			exit, err := b.Communicator.Run(ctx, c)
			if _, ok := c.Stdin.(endless); ok {
				err = errors.New("broken pipe")
			}
			return exit, err
		}
	}},
	{"the line is taken apart at spaces", []string{"run/the line is the shell's"}, lineFilter(func(l string) string { return strings.Join(strings.Fields(l), " ") })},
	{"commands go into one shell", []string{"run/commands do not share state"}, func(b *broken) {
		history := ""
		b.run = func(ctx context.Context, c component.Command) (component.Exit, error) {
			line := c.Line
			c.Line = history + line
			if strings.Contains(line, "export") {
				history += line + "\n"
			}
			return b.Communicator.Run(ctx, c)
		}
	}},
	{"one command at a time", []string{"run/eight at a time", "run/eight that wait for each other"}, func(b *broken) {
		var busy sync.Mutex
		b.run = func(ctx context.Context, c component.Command) (component.Exit, error) {
			if !busy.TryLock() {
				return component.Exit{}, errors.New("busy")
			}
			defer busy.Unlock()
			return b.Communicator.Run(ctx, c)
		}
	}},
	{"never a terminal", []string{"run/terminal"}, func(b *broken) {
		b.run = func(ctx context.Context, c component.Command) (component.Exit, error) {
			c.PTY = false
			return b.Communicator.Run(ctx, c)
		}
	}},
	{"always a terminal", []string{"run/no terminal unless asked for"}, func(b *broken) {
		b.run = func(ctx context.Context, c component.Command) (component.Exit, error) {
			c.PTY = true
			return b.Communicator.Run(ctx, c)
		}
	}},

	// Cancelling.
	{"the cause is lost", []string{"cancel/returns the cause", "cancel/a deadline", "cancel/put", "cancel/get", "cancel/put tree", "cancel/get tree", "put/source that fails", "get/destination that fails", "tree/source that fails", "tree/destination that fails"}, func(b *broken) {
		lose := func(err error) error {
			if err != nil {
				return errors.New(err.Error())
			}
			return nil
		}
		b.run = func(ctx context.Context, c component.Command) (component.Exit, error) {
			e, err := b.Communicator.Run(ctx, c)
			return e, lose(err)
		}
		b.put = func(ctx context.Context, dst string, src io.Reader, m component.FileMeta) error {
			return lose(b.Communicator.Put(ctx, dst, src, m))
		}
		b.get = func(ctx context.Context, src string, dst io.Writer) error {
			return lose(b.Communicator.Get(ctx, src, dst))
		}
		b.putTree = func(ctx context.Context, dst string, r io.Reader) error {
			return lose(b.Communicator.PutTree(ctx, dst, r))
		}
		b.getTree = func(ctx context.Context, src string, w io.Writer) error {
			return lose(b.Communicator.GetTree(ctx, src, w))
		}
	}},
	{"a cancelled command has an exit code", []string{"cancel/does not look like an exit"}, func(b *broken) {
		b.run = func(ctx context.Context, c component.Command) (component.Exit, error) {
			e, err := b.Communicator.Run(ctx, c)
			if ctx.Err() != nil {
				return component.Exit{Code: 143}, nil
			}
			return e, err
		}
	}},
	{"a context that has ended is not looked at", []string{"cancel/before it starts"}, func(b *broken) {
		b.run = func(ctx context.Context, c component.Command) (component.Exit, error) {
			if ctx.Err() != nil {
				ctx = context.WithoutCancel(ctx)
			}
			return b.Communicator.Run(ctx, c)
		}
	}},
	{"a cancelled command goes on", []string{"cancel/ends the command", "cancel/ends the command's children"}, func(b *broken) {
		b.run = func(ctx context.Context, c component.Command) (component.Exit, error) {
			type result struct {
				e   component.Exit
				err error
			}
			done := make(chan result, 1)
			go func() {
				e, err := b.Communicator.Run(context.WithoutCancel(ctx), c)
				done <- result{e, err}
			}()
			select {
			case r := <-done:
				return r.e, r.err
			case <-ctx.Done():
				return component.Exit{}, context.Cause(ctx)
			}
		}
	}},
	{"cancelling ends everything", []string{"cancel/ends only that command"}, func(b *broken) {
		all, stop := context.WithCancel(context.Background())
		b.run = func(ctx context.Context, c component.Command) (component.Exit, error) {
			ctx, cancel := context.WithCancelCause(ctx)
			defer context.AfterFunc(all, func() { cancel(errors.New("collateral")) })()
			defer context.AfterFunc(ctx, stop)()
			return b.Communicator.Run(ctx, c)
		}
	}},
	{"cancelling breaks the communicator", []string{"cancel/the communicator stays usable"}, func(b *broken) {
		b.run = func(ctx context.Context, c component.Command) (component.Exit, error) {
			e, err := b.Communicator.Run(ctx, c)
			if ctx.Err() != nil {
				_ = b.Communicator.Close()
			}
			return e, err
		}
	}},

	// Files.
	{"files are padded to blocks", []string{"put/exact bytes", "put/text is not converted", "put/size not known", "tree/files and trees see the same"}, bodyFilter(func(p []byte) []byte {
		return append(p, make([]byte, (512-len(p)%512)%512)...)
	})},
	{"line ends are converted", []string{"put/text is not converted"}, bodyFilter(func(p []byte) []byte {
		return bytes.ReplaceAll(p, []byte("\r\n"), []byte("\n"))
	})},
	{"files end after 8 MB", []string{"put/large file"}, bodyFilter(func(p []byte) []byte { return p[:min(len(p), 8<<20)] })},
	{"empty files are not made", []string{"put/empty file"}, func(b *broken) {
		b.put = func(ctx context.Context, dst string, src io.Reader, m component.FileMeta) error {
			body, err := io.ReadAll(src)
			if err != nil || len(body) == 0 {
				return err
			}
			return b.Communicator.Put(ctx, dst, bytes.NewReader(body), m)
		}
	}},
	{"a file of unknown size is empty", []string{"put/size not known"}, func(b *broken) {
		b.put = func(ctx context.Context, dst string, src io.Reader, m component.FileMeta) error {
			if m.Size < 0 {
				src = io.MultiReader()
			}
			return b.Communicator.Put(ctx, dst, src, m)
		}
	}},
	{"the mode is ignored", []string{"put/mode", "put/replaces the mode", "put/a script can be run"}, metaFilter(func(m *component.FileMeta) { m.Mode = 0o644 })},
	{"mode 0 is private", []string{"put/default mode"}, metaFilter(func(m *component.FileMeta) {
		if m.Mode == 0 {
			m.Mode = 0o600
		}
	})},
	{"a longer file is not cut", []string{"put/replaces contents"}, func(b *broken) {
		b.put = func(ctx context.Context, dst string, src io.Reader, m component.FileMeta) error {
			var old bytes.Buffer
			_ = b.Communicator.Get(ctx, dst, &old)
			body, err := io.ReadAll(src)
			if err != nil {
				return err
			}
			if old.Len() > len(body) {
				body = append(body, old.Bytes()[len(body):]...)
			}
			return b.Communicator.Put(ctx, dst, bytes.NewReader(body), m)
		}
	}},
	{"a read-only file stays", []string{"put/replaces a file that is read-only"}, func(b *broken) {
		modes := map[string]fs.FileMode{}
		b.put = func(ctx context.Context, dst string, src io.Reader, m component.FileMeta) error {
			if modes[dst] == 0o444 {
				return fs.ErrPermission
			}
			modes[dst] = m.Mode
			return b.Communicator.Put(ctx, dst, src, m)
		}
	}},
	{"names are trimmed", []string{"put/odd names"}, func(b *broken) {
		b.put = func(ctx context.Context, dst string, src io.Reader, m component.FileMeta) error {
			return b.Communicator.Put(ctx, strings.TrimSpace(dst), src, m)
		}
	}},
	{"missing folders are made", []string{"put/into a missing folder"}, func(b *broken) {
		b.put = func(ctx context.Context, dst string, src io.Reader, m component.FileMeta) error {
			_ = b.Communicator.PutTree(ctx, path.Dir(dst), archive())
			return b.Communicator.Put(ctx, dst, src, m)
		}
	}},
	{"errors of transfers are swallowed", []string{
		"put/below a file", "put/onto a folder", "put/not allowed", "put/source that fails", "put/into a missing folder", "get/missing file", "get/missing folder", "get/a folder", "get/destination that fails",
		"tree/onto a file", "tree/missing folder", "tree/a file is no folder", "tree/source that fails", "tree/cut off archive", "tree/destination that fails",
	}, func(b *broken) {
		b.put = func(ctx context.Context, dst string, src io.Reader, m component.FileMeta) error {
			_ = b.Communicator.Put(ctx, dst, src, m)
			return nil
		}
		b.get = func(ctx context.Context, src string, dst io.Writer) error {
			_ = b.Communicator.Get(ctx, src, dst)
			return nil
		}
		b.putTree = func(ctx context.Context, dst string, r io.Reader) error {
			_ = b.Communicator.PutTree(ctx, dst, r)
			return nil
		}
		b.getTree = func(ctx context.Context, src string, w io.Writer) error {
			_ = b.Communicator.GetTree(ctx, src, w)
			return nil
		}
	}},
	{"errors have no kind", []string{"put/not allowed", "put/into a missing folder", "get/missing file", "get/missing folder", "tree/missing folder"}, func(b *broken) {
		b.put = func(ctx context.Context, dst string, src io.Reader, m component.FileMeta) error {
			if b.Communicator.Put(ctx, dst, src, m) != nil {
				return errors.New("failure")
			}
			return nil
		}
		b.get = func(ctx context.Context, src string, dst io.Writer) error {
			if b.Communicator.Get(ctx, src, dst) != nil {
				return errors.New("failure")
			}
			return nil
		}
		b.getTree = func(ctx context.Context, src string, w io.Writer) error {
			if b.Communicator.GetTree(ctx, src, w) != nil {
				return errors.New("failure")
			}
			return nil
		}
	}},
	{"one file at a time", []string{"put/eight at a time"}, func(b *broken) {
		var busy sync.Mutex
		b.put = func(ctx context.Context, dst string, src io.Reader, m component.FileMeta) error {
			if !busy.TryLock() {
				return errors.New("busy")
			}
			defer busy.Unlock()
			return b.Communicator.Put(ctx, dst, &lazy{src}, m)
		}
	}},
	{"only what was uploaded can be downloaded", []string{"get/what a command wrote"}, func(b *broken) {
		known := map[string]bool{}
		b.put = func(ctx context.Context, dst string, src io.Reader, m component.FileMeta) error {
			known[dst] = true
			return b.Communicator.Put(ctx, dst, src, m)
		}
		b.get = func(ctx context.Context, src string, dst io.Writer) error {
			if !known[src] {
				return fs.ErrNotExist
			}
			return b.Communicator.Get(ctx, src, dst)
		}
	}},

	// Trees.
	{"the last file is lost", []string{"tree/round trip", "tree/many files"}, treeFilter(func(e []tarEntry) []tarEntry { return e[:max(len(e)-1, 0)] })},
	{"file modes are lost", []string{"tree/modes"}, treeFilter(func(e []tarEntry) []tarEntry {
		for i := range e {
			if e[i].kind == tar.TypeReg {
				e[i].mode = 0o644
			}
		}
		return e
	})},
	{"symbolic links become files", []string{"tree/symbolic links"}, treeFilter(func(e []tarEntry) []tarEntry {
		for i := range e {
			if e[i].kind == tar.TypeSymlink {
				e[i] = file(e[i].name, []byte(e[i].to), 0o644)
			}
		}
		return e
	})},
	{"only folders with files are made", []string{"tree/empty folders"}, treeFilter(func(e []tarEntry) []tarEntry {
		return slices.DeleteFunc(e, func(e tarEntry) bool { return e.kind == tar.TypeDir })
	})},
	{"names have 100 characters", []string{"tree/deep and long names"}, treeFilter(func(e []tarEntry) []tarEntry {
		for i := range e {
			e[i].name = e[i].name[:min(len(e[i].name), 100)]
		}
		return e
	})},
	{"names in trees are trimmed", []string{"tree/odd names"}, treeFilter(func(e []tarEntry) []tarEntry {
		for i := range e {
			e[i].name = strings.TrimSpace(e[i].name)
		}
		return e
	})},
	{"an empty archive makes no folder", []string{"tree/empty archive"}, func(b *broken) {
		b.putTree = func(ctx context.Context, dst string, r io.Reader) error {
			entries, all, err := readArchive(r)
			if err == nil && len(entries) == 0 && strings.HasSuffix(dst, "/tree") {
				return nil
			}
			return b.Communicator.PutTree(ctx, dst, all)
		}
	}},
	{"the folder above must exist", []string{"tree/folders on the way are made"}, func(b *broken) {
		b.putTree = func(ctx context.Context, dst string, r io.Reader) error {
			if err := b.Communicator.GetTree(ctx, path.Dir(dst), io.Discard); err != nil {
				return err
			}
			return b.Communicator.PutTree(ctx, dst, r)
		}
	}},
	{"the destination's name is trimmed", []string{"tree/odd destinations"}, func(b *broken) {
		b.putTree = func(ctx context.Context, dst string, r io.Reader) error {
			return b.Communicator.PutTree(ctx, strings.TrimSpace(dst), r)
		}
	}},
	{"the destination is emptied first", []string{"tree/other files stay", "tree/a link to a folder stays", "tree/files and trees see the same"}, func(b *broken) {
		b.putTree = func(ctx context.Context, dst string, r io.Reader) error {
			if strings.HasSuffix(dst, "/tree") {
				_, _ = b.Communicator.Run(ctx, component.Command{Line: "rm -rf " + dst})
			}
			return b.Communicator.PutTree(ctx, dst, r)
		}
		b.put = func(ctx context.Context, dst string, src io.Reader, m component.FileMeta) error {
			if strings.HasSuffix(path.Dir(dst), "/tree") {
				_, _ = b.Communicator.Run(ctx, component.Command{Line: "rm -rf " + path.Dir(dst) + "; mkdir " + path.Dir(dst)})
			}
			return b.Communicator.Put(ctx, dst, src, m)
		}
	}},
	{"existing files stay as they are", []string{"tree/existing files are replaced", "tree/existing contents are replaced"}, func(b *broken) {
		b.putTree = func(ctx context.Context, dst string, r io.Reader) error {
			entries, _, err := readArchive(r)
			if err != nil {
				return err
			}
			var old bytes.Buffer
			if b.Communicator.GetTree(ctx, dst, &old) == nil {
				there, _, _ := readArchive(&old)
				entries = slices.DeleteFunc(entries, func(e tarEntry) bool {
					return slices.ContainsFunc(there, func(o tarEntry) bool { return path.Clean(o.name) == path.Clean(e.name) })
				})
			}
			return b.Communicator.PutTree(ctx, dst, archive(entries...))
		}
	}},
	{"names are absolute", []string{"tree/names are relative"}, func(b *broken) {
		b.getTree = func(ctx context.Context, src string, w io.Writer) error {
			var all bytes.Buffer
			if err := b.Communicator.GetTree(ctx, src, &all); err != nil {
				return err
			}
			entries, _, err := readArchive(&all)
			for i := range entries {
				entries[i].name = path.Join(src, entries[i].name)
			}
			_, _ = io.Copy(w, archive(entries...))
			return err
		}
	}},

	// The rest.
	{"what works is not declared", []string{"caps/undeclared is unsupported"}, func(b *broken) {
		b.caps = func(c component.Caps) component.Caps { c.PTY = false; return c }
	}},
	{"what is declared does not work", []string{"caps/undeclared is unsupported"}, func(b *broken) {
		b.getTree = func(context.Context, string, io.Writer) error { return component.ErrUnsupported }
	}},
	{"the shell is not declared", []string{"caps/say shell and transport"}, func(b *broken) {
		b.caps = func(c component.Caps) component.Caps { c.Shell = 0; return c }
	}},
	{"the transport is not declared", []string{"caps/say shell and transport"}, func(b *broken) {
		b.caps = func(c component.Caps) component.Caps { c.Transport = ""; return c }
	}},
	{"Close does nothing", []string{"close/then everything fails"}, func(b *broken) {
		b.close = func() error { return nil }
	}},
	{"Close is an exit", []string{"close/while a command runs"}, func(b *broken) {
		b.run = func(ctx context.Context, c component.Command) (component.Exit, error) {
			e, err := b.Communicator.Run(ctx, c)
			if err != nil && ctx.Err() == nil {
				return component.Exit{}, nil
			}
			return e, err
		}
	}},
}

// outputFilter collects a command's output and changes it at its end.
func outputFilter(change func([]byte) []byte) func(*broken) {
	return func(b *broken) {
		b.run = func(ctx context.Context, c component.Command) (component.Exit, error) {
			var out, errs bytes.Buffer
			stdout, stderr := c.Stdout, c.Stderr
			c.Stdout, c.Stderr = &out, &errs
			exit, err := b.Communicator.Run(ctx, c)
			if stdout != nil {
				_, _ = stdout.Write(change(out.Bytes()))
			}
			if stderr != nil {
				_, _ = stderr.Write(change(errs.Bytes()))
			}
			return exit, err
		}
	}
}

func lineFilter(change func(string) string) func(*broken) {
	return func(b *broken) {
		b.run = func(ctx context.Context, c component.Command) (component.Exit, error) {
			c.Line = change(c.Line)
			return b.Communicator.Run(ctx, c)
		}
	}
}

// bodyFilter changes what is uploaded.
func bodyFilter(change func([]byte) []byte) func(*broken) {
	return func(b *broken) {
		b.put = func(ctx context.Context, dst string, src io.Reader, m component.FileMeta) error {
			body, err := io.ReadAll(src)
			if err != nil {
				return err
			}
			return b.Communicator.Put(ctx, dst, bytes.NewReader(change(body)), m)
		}
	}
}

func metaFilter(change func(*component.FileMeta)) func(*broken) {
	return func(b *broken) {
		b.put = func(ctx context.Context, dst string, src io.Reader, m component.FileMeta) error {
			change(&m)
			return b.Communicator.Put(ctx, dst, src, m)
		}
	}
}

// treeFilter changes archives on their way up.
func treeFilter(change func([]tarEntry) []tarEntry) func(*broken) {
	return func(b *broken) {
		b.putTree = func(ctx context.Context, dst string, r io.Reader) error {
			entries, _, err := readArchive(r)
			if err != nil {
				return err
			}
			return b.Communicator.PutTree(ctx, dst, archive(change(entries)...))
		}
	}
}

// readArchive returns the members of an archive and the archive again.
func readArchive(r io.Reader) ([]tarEntry, io.Reader, error) {
	all, err := io.ReadAll(r)
	if err != nil {
		return nil, nil, err
	}
	var out []tarEntry
	for t := tar.NewReader(bytes.NewReader(all)); ; {
		h, err := t.Next()
		if err == io.EOF {
			return out, bytes.NewReader(all), nil
		}
		if err != nil {
			return nil, nil, err
		}
		body, err := io.ReadAll(t)
		if err != nil {
			return nil, nil, err
		}
		out = append(out, tarEntry{strings.TrimSuffix(h.Name, "/"), h.Typeflag, fs.FileMode(h.Mode).Perm(), body, h.Linkname})
	}
}

// queue writes later.
type queue struct {
	mu  sync.Mutex // guards buf
	buf []byte
	w   io.Writer
}

func (q *queue) Write(p []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.buf = append(q.buf, p...)
	return len(p), nil
}

func (q *queue) flush() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.w != nil && len(q.buf) > 0 {
		_, _ = q.w.Write(q.buf)
	}
}

// lazy takes its time so that others can come in between.
type lazy struct{ r io.Reader }

func (l *lazy) Read(p []byte) (int, error) {
	pause(context.Background(), 5*time.Millisecond)
	return l.r.Read(p)
}

// limitOfDefect is after how long a check has failed that a defect blocks.
const limitOfDefect = 10 * time.Second

// TestEveryCheckCanFail runs every check against communicators with a defect
// that it must find, and against one without.
func TestEveryCheckCanFail(t *testing.T) {
	checks := map[string]communicatorCheck{}
	for _, k := range communicatorChecks() {
		if _, twice := checks[k.name]; twice {
			t.Errorf("two checks are called %q", k.name)
		}
		checks[k.name] = k
	}
	claimed := map[string]bool{}
	for _, d := range shellDefects {
		claimed[d.finds] = true
	}
	for _, d := range defects {
		for _, name := range d.finds {
			claimed[name] = true
		}
		t.Run(d.name, func(t *testing.T) {
			t.Parallel() // some only wait
			cfg := config(func(c component.Communicator) component.Communicator {
				b := &broken{Communicator: c}
				d.brk(b)
				return b
			})
			for _, name := range d.finds {
				k, ok := checks[name]
				if !ok {
					t.Errorf("there is no check %q", name)
					continue
				}
				// A defect that blocks the check is found by the limit.
				if len(try(t, k, cfg, limitOfDefect)) == 0 {
					t.Errorf("%q does not find it", name)
				}
			}
		})
	}
	for name, k := range checks {
		if !claimed[name] {
			t.Errorf("no defect makes %q fail", name)
		}
		t.Run("without a defect/"+name, func(t *testing.T) {
			t.Parallel()
			healthy := config(func(c component.Communicator) component.Communicator { return c })
			if failures := try(t, k, healthy, patience); len(failures) > 0 {
				t.Errorf("it fails: %q", failures)
			}
		})
	}
}
