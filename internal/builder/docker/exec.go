package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"

	"ingot/internal/component"
	"ingot/internal/dockerengine"
)

// execution is one command in the container.
type execution struct {
	argv           []string
	user           string
	tty            bool
	stdin          *pump
	stdout, stderr io.Writer
	// terminal is that of a person; nil for a command.
	terminal *component.Terminal
	// begin is called before standard input is sent; it may be nil.
	begin func()
}

// announce makes a shell say its process id, as the container counts, before
// it becomes the command. The id is what cancelling kills by; a file would
// leave a trace in the image.
const announce = `echo "$$"; exec "$@"`

// killSession ends every process of a session: the command is its leader, and
// what it started in the background belongs to it too. It needs nothing but a
// shell. A process name may hold blanks and parentheses, so fields are counted
// from the last one.
const killSession = `for f in /proc/[0-9]*/stat; do
	read -r l <"$f" || continue
	p=${l%% *}; set -- "$1" ${l##*) }
	[ "$5" = "$1" ] && kill -9 "$p"
done 2>/dev/null
kill -9 "$1" 2>/dev/null; :`

// run executes e and waits for its end. It takes three round trips: create,
// start with attached streams, and inspect for the exit code.
func (c *comm) run(ctx context.Context, e execution) (int, error) {
	argv := append([]string{"/bin/sh", "-c", announce, "sh"}, e.argv...)
	options := client.ExecCreateOptions{
		User: e.user, TTY: e.tty, Cmd: argv,
		AttachStdin: e.stdin != nil || e.tty, AttachStdout: true, AttachStderr: true,
	}
	if t := e.terminal; t != nil {
		options.Env, options.DetachKeys = []string{"TERM=" + t.Type}, noDetach
	}
	made, err := c.engine.ExecCreate(ctx, c.id, options)
	if err != nil {
		return 0, c.explainExec(ctx, "prepare a command", err)
	}
	conn, err := c.engine.ExecAttach(ctx, made.ID, client.ExecAttachOptions{TTY: e.tty})
	if err != nil {
		return 0, c.explainExec(ctx, "start a command", err)
	}
	defer conn.Close()
	pid := newPIDFilter(e.stdout)
	resize := func(w component.WindowSize) {
		if w.Columns > 0 && w.Rows > 0 {
			// A window of the wrong size is no reason to end the shell.
			_, _ = c.engine.ExecResize(ctx, made.ID, client.ExecResizeOptions{Width: uint(w.Columns), Height: uint(w.Rows)})
		}
	}
	if t := e.terminal; t != nil {
		// What is typed before the process runs would be echoed in front of its id.
		e.begin = func() {
			<-pid.ready
			resize(t.Size)
		}
		defer t.Follow(resize)()
	}
	killed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(killed)
		c.kill(ctx, pid)
		conn.Close()
	})
	err = c.converse(e, conn.HijackedResponse, pid)
	var code int
	if err == nil {
		code, err = c.exitCode(ctx, made.ID)
	}
	if !stop() {
		// How a command ended that was killed is nobody's business.
		<-killed
		return 0, fmt.Errorf("docker: command in container %s: %w", short(c.id), context.Cause(ctx))
	}
	return code, err
}

// noDetach is what nobody types: the usual keys, Ctrl-P Ctrl-Q, would keep the shell
// from Ctrl-P.
const noDetach = "ctrl-@,ctrl-^,ctrl-@"

// interactive becomes the best shell that there is.
const interactive = `command -v bash >/dev/null 2>&1 && exec bash; exec /bin/sh -i`

// Shell implements component.Interactive.
func (c *comm) Shell(ctx context.Context, t component.Terminal) (component.Exit, error) {
	ctx, done, err := c.begin(ctx)
	if err != nil {
		return component.Exit{}, err
	}
	defer done()
	in := newPump(ctx, t.In)
	defer in.stop()
	code, err := c.run(ctx, execution{
		argv: []string{"/bin/sh", "-c", interactive}, user: c.user, tty: true, stdin: in, stdout: t.Out, terminal: &t,
	})
	return component.Exit{Code: code}, err
}

// converse moves the three streams until the command's output ends.
func (c *comm) converse(e execution, conn client.HijackedResponse, pid *pidFilter) error {
	fed := make(chan error, 1)
	go func() {
		if e.begin != nil {
			e.begin()
		}
		fed <- feed(conn, e)
	}()
	err := demux(conn.Reader, pid, orDiscard(e.stderr), e.tty)
	pid.passed()
	conn.Close()
	if e.stdin != nil {
		e.stdin.stop()
	}
	fedErr := <-fed

	var sink *sinkError
	var source *sourceError
	switch {
	case errors.As(err, &sink):
		return sink.error
	case errors.As(fedErr, &source):
		return fmt.Errorf("docker: standard input of a command: %w", source.error)
	case err != nil:
		return fmt.Errorf("docker: read the output of a command: %w: %w", component.ErrDisconnected, err)
	}
	return nil
}

// endOfText is what a terminal takes for the end of the input. It counts at
// the start of a line only, and elsewhere when it comes twice.
const endOfText = "\x04\x04"

// feed copies standard input and then says that it has ended. A command that
// does not read all of it is fine.
func feed(conn client.HijackedResponse, e execution) error {
	if e.stdin != nil {
		if _, err := io.Copy(conn.Conn, e.stdin); err != nil {
			return err
		}
	}
	if e.tty {
		_, err := io.WriteString(conn.Conn, endOfText)
		return err
	}
	if e.stdin == nil {
		return nil
	}
	return conn.CloseWrite()
}

// exitCode waits until the engine knows how the command ended, which may be a
// moment after its output did.
func (c *comm) exitCode(ctx context.Context, exec string) (int, error) {
	for wait := time.Millisecond; ; wait = min(2*wait, 200*time.Millisecond) {
		in, err := c.engine.ExecInspect(ctx, exec, client.ExecInspectOptions{})
		if err != nil {
			return 0, c.explainExec(ctx, "ask for a command's exit code", err)
		}
		if !in.Running {
			return in.ExitCode, nil
		}
		if err := c.clock.Sleep(ctx, wait); err != nil {
			return 0, err
		}
	}
}

// killLimit bounds the calls that end a cancelled command.
const killLimit = 10 * time.Second

// kill ends the processes of a cancelled command: all of its session. When the
// engine cannot be reached any more there is nothing to be done; removing the
// container ends them then.
func (c *comm) kill(ctx context.Context, pid *pidFilter) {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), killLimit, errors.New("no answer"))
	defer cancel()
	var n int
	select {
	case n = <-pid.announced:
	case <-ctx.Done():
		return
	}
	if n != 0 {
		c.killSession(ctx, n)
	}
}

// killSession ends all processes of the session that a process leads.
func (c *comm) killSession(ctx context.Context, n int) {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), killLimit, errors.New("no answer"))
	defer cancel()
	made, err := c.engine.ExecCreate(ctx, c.id, client.ExecCreateOptions{
		User: "0", AttachStdout: true, Cmd: []string{"/bin/sh", "-c", killSession, "sh", strconv.Itoa(n)},
	})
	if err != nil {
		return
	}
	conn, err := c.engine.ExecAttach(ctx, made.ID, client.ExecAttachOptions{})
	if err != nil {
		return
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, conn.Close)
	defer stop()
	_, _ = io.Copy(io.Discard, conn.Reader)
}

// explainExec sorts errors of the calls around a command.
func (c *comm) explainExec(ctx context.Context, doing string, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("docker: %s in container %s: %w", doing, short(c.id), cause)
	}
	switch {
	case cerrdefs.IsConflict(err):
		return c.machine.notRunning(ctx)
	case cerrdefs.IsNotFound(err):
		return fmt.Errorf("docker: %s: container %s is gone: %w: %w", doing, short(c.id), component.ErrDisconnected, err)
	case dockerengine.Lost(err):
		return fmt.Errorf("%w: %w", component.ErrDisconnected, c.engine.Explain(ctx, doing+" in container "+short(c.id), err))
	}
	return c.engine.Explain(ctx, doing+" in container "+short(c.id), err)
}

// demux copies output to its writers: with a terminal there is one stream, else
// both come in frames. Errors of the writers come back as sinkError.
func demux(from io.Reader, stdout, stderr io.Writer, tty bool) error {
	out := markSink{stdout}
	var err error
	if tty {
		_, err = io.Copy(out, from)
	} else {
		_, err = stdcopy.StdCopy(out, markSink{stderr}, from)
	}
	return err
}

func orDiscard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}

// sinkError marks errors of the caller's writer among those of the connection.
type (
	sinkError struct{ error }
	markSink  struct{ io.Writer }
)

func (e *sinkError) Unwrap() error { return e.error }

func (m markSink) Write(p []byte) (int, error) {
	n, err := m.Writer.Write(p)
	if err != nil {
		err = &sinkError{err}
	}
	return n, err
}

// pidFilter takes the first line, which is the process id, out of a stream.
type pidFilter struct {
	next io.Writer
	line []byte
	past bool
	// announced carries the id once, or 0 when the first line was none.
	announced chan int
	// ready is closed when the first line is past.
	ready chan struct{}
	once  sync.Once
}

func (f *pidFilter) passed() { f.once.Do(func() { close(f.ready) }) }

func newPIDFilter(next io.Writer) *pidFilter {
	return &pidFilter{next: orDiscard(next), announced: make(chan int, 1), ready: make(chan struct{})}
}

// maxPIDLine is longer than any number; a first line that is longer did not come
// from announce.
const maxPIDLine = 32

func (f *pidFilter) Write(p []byte) (int, error) {
	n := len(p)
	if !f.past {
		if p = f.take(p); p == nil {
			return n, nil
		}
	}
	if len(p) == 0 {
		return n, nil
	}
	if _, err := f.next.Write(p); err != nil {
		return 0, err
	}
	return n, nil
}

// take adds p to the first line and returns what is to be passed on, nil while
// the line goes on.
func (f *pidFilter) take(p []byte) []byte {
	line, rest, whole := bytes.Cut(p, []byte("\n"))
	f.line = append(f.line, line...)
	if !whole && len(f.line) <= maxPIDLine {
		return nil
	}
	f.past = true
	defer f.passed()
	id, err := strconv.Atoi(strings.TrimSpace(string(f.line)))
	if err == nil && id > 1 {
		f.announced <- id
		return rest[:len(rest):len(rest)]
	}
	f.announced <- 0
	if whole {
		f.line = append(f.line, '\n')
	}
	return append(f.line, rest...)
}
