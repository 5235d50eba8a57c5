package fake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"sort"
	"strings"
	"syscall"
	"time"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// Process is a running program.
type Process struct {
	*Machine
	// Args are the program's name and arguments.
	Args []string
	// Dir is its working directory.
	Dir            string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Getenv returns an environment variable.
	Getenv func(name string) string
}

// Program does what a command does and returns its exit code. It ends when
// ctx does.
type Program func(ctx context.Context, p *Process) int

// killed ends a whole command line.
type killed struct{ signal syscall.Signal }

func (k killed) Error() string { return "killed by " + k.signal.String() }

// shell runs command lines for one command.
type shell struct {
	m   *Machine
	tty bool
}

// run interprets a script that sees name as $0. It returns the exit code, or a
// killed error, or ctx's.
func (s *shell) run(ctx context.Context, name, script, dir string, env []string, args []string, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangPOSIX)).Parse(strings.NewReader(script), name)
	if err != nil {
		fmt.Fprintf(stderr, "sh: %v\n", err)
		return 2, nil
	}
	r, err := interp.New(
		interp.Env(expand.ListEnviron(env...)),
		interp.Params(append([]string{"--"}, args...)...),
		interp.StdIO(stdin, stdout, stderr),
		interp.CallHandler(s.call),
		interp.ExecHandlers(func(interp.ExecHandlerFunc) interp.ExecHandlerFunc { return s.exec }),
		interp.OpenHandler(s.open),
		interp.ReadDirHandler2(s.readDir),
		interp.StatHandler(s.stat),
		interp.AccessHandler(s.access),
	)
	if err != nil {
		return 0, fmt.Errorf("fake: start the shell: %w", err)
	}
	// Its own check of the folder would look at this machine's disk.
	r.Reset()
	r.Dir = dir
	err = r.Run(ctx, file)
	var status interp.ExitStatus
	switch {
	case err == nil:
		return 0, nil
	case ctx.Err() != nil:
		return 0, context.Cause(ctx)
	case errors.As(err, &status):
		return int(status), nil
	}
	return 0, err
}

// call sees every command before it is run. It takes over what the
// interpreter cannot know here.
func (s *shell) call(_ context.Context, args []string) ([]string, error) {
	switch {
	case args[0] == "kill":
		return append([]string{"/bin/kill"}, args[1:]...), nil
	case len(args) == 3 && args[0] == "test" && args[1] == "-t",
		len(args) == 4 && args[0] == "[" && args[1] == "-t":
		if s.tty {
			return []string{"true"}, nil
		}
		return []string{"false"}, nil
	}
	return args, nil
}

// exec runs programs and scripts.
func (s *shell) exec(ctx context.Context, args []string) error {
	hc := interp.HandlerCtx(ctx)
	p := &Process{
		Machine: s.m, Args: args, Dir: hc.Dir, Stdin: interruptible(ctx, hc.Stdin), Stdout: hc.Stdout, Stderr: hc.Stderr,
		Getenv: func(name string) string { return hc.Env.Get(name).String() },
	}
	name := args[0]
	if name == "kill" || name == "/bin/kill" {
		return s.kill(p)
	}
	if base := path.Base(name); base == "sh" || base == "bash" {
		return s.subshell(ctx, hc, p)
	}
	s.m.mu.Lock()
	program, ok := s.m.programs[strings.TrimPrefix(strings.TrimPrefix(name, "/usr"), "/bin/")]
	s.m.mu.Unlock()
	if ok {
		return exitStatus(program(ctx, p))
	}
	if strings.Contains(name, "/") {
		return s.script(ctx, hc, p)
	}
	fmt.Fprintf(hc.Stderr, "sh: %s: not found\n", name)
	return interp.ExitStatus(127)
}

func exitStatus(code int) error {
	if code == 0 {
		return nil
	}
	return interp.ExitStatus(uint8(code))
}

// kill knows one use: a shell that ends itself.
func (s *shell) kill(p *Process) error {
	signals := map[string]syscall.Signal{
		"-9": syscall.SIGKILL, "-KILL": syscall.SIGKILL, "-15": syscall.SIGTERM, "-TERM": syscall.SIGTERM, "-HUP": syscall.SIGHUP, "-1": syscall.SIGHUP,
	}
	sig, ok := signals[p.Args[1]]
	if len(p.Args) != 3 || !ok || p.Args[2] != fmt.Sprint(os.Getpid()) {
		fmt.Fprintln(p.Stderr, "kill: this machine can only end the shell itself")
		return interp.ExitStatus(1)
	}
	return killed{sig}
}

// subshell runs "sh", "sh -c LINE" and "sh FILE".
func (s *shell) subshell(ctx context.Context, hc interp.HandlerContext, p *Process) error {
	args := p.Args[1:]
	var flags []string
	for len(args) > 0 && strings.HasPrefix(args[0], "-") && args[0] != "-c" && args[0] != "--" {
		flags = append(flags, "set "+args[0]+"\n")
		args = args[1:]
	}
	text, name := "", p.Args[0]
	switch {
	case len(args) > 1 && args[0] == "-c":
		text, args = args[1], args[2:]
		if len(args) > 0 {
			name, args = args[0], args[1:]
		}
	case len(args) > 0 && args[0] != "-c" && args[0] != "--":
		body, _, err := s.m.ReadFile(p.Path(args[0]))
		if err != nil {
			fmt.Fprintf(p.Stderr, "sh: %v\n", err)
			return interp.ExitStatus(127)
		}
		text, name, args = string(body), args[0], args[1:]
	default:
		body, err := io.ReadAll(p.Stdin)
		if err != nil {
			return err
		}
		text = string(body)
	}
	return s.nested(ctx, hc, p, name, strings.Join(flags, "")+text, args)
}

// script runs an executable file. It must be for a POSIX shell.
func (s *shell) script(ctx context.Context, hc interp.HandlerContext, p *Process) error {
	body, mode, err := s.m.ReadFile(p.Path(p.Args[0]))
	switch {
	case err != nil:
		fmt.Fprintf(p.Stderr, "sh: %s: not found\n", p.Args[0])
		return interp.ExitStatus(127)
	case mode&0o111 == 0:
		fmt.Fprintf(p.Stderr, "sh: %s: Permission denied\n", p.Args[0])
		return interp.ExitStatus(126)
	}
	first, _, _ := bytes.Cut(body, []byte("\n"))
	if interpreter, ok := bytes.CutPrefix(first, []byte("#!")); ok {
		fields := strings.Fields(string(interpreter))
		if len(fields) > 1 && path.Base(fields[0]) == "env" {
			fields = fields[1:]
		}
		if len(fields) == 0 || !slices.Contains([]string{"sh", "bash", "dash"}, path.Base(fields[0])) {
			fmt.Fprintf(p.Stderr, "sh: %s: bad interpreter %q\n", p.Args[0], interpreter)
			return interp.ExitStatus(126)
		}
		prefix := ""
		for _, f := range fields[1:] {
			prefix += "set " + f + "; "
		}
		body = append([]byte(prefix), body...)
	}
	return s.nested(ctx, hc, p, p.Args[0], string(body), p.Args[1:])
}

func (s *shell) nested(ctx context.Context, hc interp.HandlerContext, p *Process, name, text string, args []string) error {
	var env []string
	for name, v := range hc.Env.Each {
		if v.Exported && v.Kind == expand.String {
			env = append(env, name+"="+v.Str)
		}
	}
	code, err := s.run(ctx, name, text, hc.Dir, env, args, p.Stdin, p.Stdout, p.Stderr)
	if err != nil {
		var k killed
		if errors.As(err, &k) {
			return exitStatus(128 + int(k.signal))
		}
		return err
	}
	return exitStatus(code)
}

// Path makes an argument absolute.
func (p *Process) Path(name string) string {
	if path.IsAbs(name) {
		return name
	}
	return path.Join(p.Dir, name)
}

// interruptible makes reading end with ctx.
func interruptible(ctx context.Context, r io.Reader) io.Reader {
	f, ok := r.(*os.File)
	if !ok {
		return r
	}
	return readerFunc(func(b []byte) (int, error) {
		unhook := context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Now()) })
		defer unhook()
		n, err := f.Read(b)
		if err != nil && ctx.Err() != nil {
			return n, context.Cause(ctx)
		}
		return n, err
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func (s *shell) absolute(ctx context.Context, name string) string {
	if path.IsAbs(name) {
		return name
	}
	return path.Join(interp.HandlerCtx(ctx).Dir, name)
}

func (s *shell) stat(ctx context.Context, name string, follow bool) (fs.FileInfo, error) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	n, err := s.m.find(s.absolute(ctx, name), follow)
	if err != nil {
		return nil, err
	}
	return n.info(), nil
}

func (s *shell) access(ctx context.Context, name string, mode interp.AccessMode) error {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	name = s.absolute(ctx, name)
	n, err := s.m.find(name, true)
	switch {
	case err != nil:
		return err
	case mode&interp.AccessWrite != 0:
		return s.m.writable("access", name)
	case mode&interp.AccessExec != 0 && n.mode&0o111 == 0:
		return pathError("access", name, fs.ErrPermission)
	}
	return nil
}

func (s *shell) readDir(ctx context.Context, name string) ([]fs.DirEntry, error) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	n, err := s.m.find(s.absolute(ctx, name), true)
	if err != nil {
		return nil, err
	}
	if !n.mode.IsDir() {
		return nil, pathError("readdir", name, syscall.ENOTDIR)
	}
	var out []fs.DirEntry
	for _, c := range n.children {
		out = append(out, fs.FileInfoToDirEntry(c.info()))
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name() < out[j].Name() })
	return out, nil
}

func (s *shell) open(ctx context.Context, name string, flag int, perm fs.FileMode) (io.ReadWriteCloser, error) {
	name = s.absolute(ctx, name)
	if name == "/dev/null" {
		return &opened{m: s.m, n: &node{}}, nil
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if flag&(os.O_WRONLY|os.O_RDWR) == 0 {
		n, err := s.m.find(name, true)
		if err != nil {
			return nil, err
		}
		if n.mode.IsDir() {
			return nil, pathError("open", name, syscall.EISDIR)
		}
		return &opened{m: s.m, n: n}, nil
	}
	n, err := s.m.create(name, perm&^0o022)
	if err != nil {
		return nil, err
	}
	if flag&os.O_TRUNC != 0 {
		n.body = nil
	}
	return &opened{m: s.m, n: n, end: flag&os.O_APPEND != 0}, nil
}

// opened is an open file.
type opened struct {
	m   *Machine
	n   *node
	at  int
	end bool
}

// Read reads on.
func (o *opened) Read(p []byte) (int, error) {
	o.m.mu.Lock()
	defer o.m.mu.Unlock()
	if o.at >= len(o.n.body) {
		return 0, io.EOF
	}
	n := copy(p, o.n.body[o.at:])
	o.at += n
	return n, nil
}

// Write writes on, or at the end.
func (o *opened) Write(p []byte) (int, error) {
	o.m.mu.Lock()
	defer o.m.mu.Unlock()
	if o.n.name == "" {
		return len(p), nil
	}
	if o.end {
		o.at = len(o.n.body)
	}
	o.n.body = append(slices.Clip(o.n.body[:min(o.at, len(o.n.body))]), p...)
	o.at += len(p)
	o.n.modified = time.Now()
	return len(p), nil
}

// Close does nothing.
func (o *opened) Close() error { return nil }
