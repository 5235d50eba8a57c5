package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ingot/internal/component"
)

// Command is a program to run.
type Command struct {
	// Args start with the absolute path of the program.
	Args []string
	Env  []string
	// Dir is "/" when the image has no such directory.
	Dir string
	// User is "NAME" or "UID", with ":GROUP" behind it if wanted; empty
	// for root.
	User string
	// PTY gives it a terminal; all output then goes to Stdout.
	PTY bool
	// Terminal is the person's whose window the terminal follows; nil when there
	// is none.
	Terminal *component.Terminal
	// Host runs it in the host's file system, inside the namespaces.
	Host bool
	// Stdin, Stdout and Stderr may be nil.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Exec runs a command and returns its exit code and the signal that ended it.
// It ends with the command itself: what the command left running in the
// background does not hold it up, even when that has the output open. When ctx
// ends, the command is killed with all its descendants.
func (s *Sandbox) Exec(ctx context.Context, c Command) (code int, signal string, err error) {
	q := execRequest{Args: c.Args, Env: c.Env, Dir: c.Dir, User: c.User, PTY: c.PTY, Host: c.Host}
	if q.Dir == "" {
		q.Dir = "/"
	}
	st, err := newStreams(c)
	if err != nil {
		return 0, "", err
	}
	defer st.close()
	id, replies, err := s.send(message{Exec: &q}, st.theirs...)
	closeAll(st.theirs)
	if err != nil {
		return 0, "", err
	}
	defer s.forget(id)
	// The start takes no time, and must be known to be able to kill it.
	a, err := s.await(context.WithoutCancel(ctx), id, replies)
	if err != nil {
		return 0, "", err
	}
	if err := st.begin(c, a.files); err != nil {
		s.killCommand(id, replies)
		return 0, "", err
	}
	if c.PTY && c.Terminal != nil {
		resize(st.stdin, c.Terminal.Size)
		defer c.Terminal.Follow(func(w component.WindowSize) { resize(st.stdin, w) })()
	}
	if a, err = s.await(ctx, id, replies); err != nil {
		s.killCommand(id, replies)
		st.abandon()
		return 0, "", err
	}
	if err := st.drain(ctx); err != nil {
		return 0, "", err
	}
	code, signal = waitCode(a.reply.Status)
	return code, signal, nil
}

// resize gives a terminal another size. One of the wrong size can be used too.
func resize(terminal *os.File, w component.WindowSize) {
	if w.Columns <= 0 || w.Rows <= 0 {
		return
	}
	if raw, err := terminal.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			_ = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(w.Rows), Col: uint16(w.Columns)})
		})
	}
}

// killCommand ends a command and waits for its end, but not for ever.
func (s *Sandbox) killCommand(id uint64, replies chan answer) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if _, err := s.call(ctx, message{Kill: &killRequest{Target: id}}); err == nil {
		_, _ = s.await(ctx, id, replies)
	}
}

// streams are the ends of a command's pipes.
type streams struct {
	theirs []*os.File // given to the sandbox
	stdin  *os.File
	outs   []*output
	wg     sync.WaitGroup
}

// output copies from one pipe to one writer.
type output struct {
	from *os.File
	to   io.Writer
	err  error
}

func newStreams(c Command) (*streams, error) {
	st := &streams{}
	if c.PTY {
		return st, nil
	}
	in, err := st.input(c.Stdin)
	if err != nil {
		return nil, err
	}
	st.theirs = append(st.theirs, in)
	out, err := st.output(c.Stdout)
	if err != nil {
		st.close()
		return nil, err
	}
	st.theirs = append(st.theirs, out)
	if c.Stdout != nil && sameWriter(c.Stdout, c.Stderr) {
		st.theirs = append(st.theirs, out)
		return st, nil
	}
	errOut, err := st.output(c.Stderr)
	if err != nil {
		st.close()
		return nil, err
	}
	st.theirs = append(st.theirs, errOut)
	return st, nil
}

// sameWriter keeps lines of both streams in order when one writer takes both.
func sameWriter(a, b io.Writer) bool {
	return b != nil && reflect.TypeOf(a).Comparable() && reflect.TypeOf(b).Comparable() && a == b
}

func (st *streams) input(src io.Reader) (*os.File, error) {
	if src == nil {
		return os.Open(os.DevNull)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	st.stdin = w
	return r, nil
}

func (st *streams) output(dst io.Writer) (*os.File, error) {
	if dst == nil {
		return os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	st.outs = append(st.outs, &output{from: r, to: dst})
	return w, nil
}

// begin starts copying. With a terminal its master end is attached.
func (st *streams) begin(c Command, attached []*os.File) error {
	if c.PTY {
		if len(attached) != 1 {
			return errors.New("the sandbox sent no terminal")
		}
		if err := st.terminal(c, attached[0]); err != nil {
			return err
		}
	}
	for _, o := range st.outs {
		st.wg.Go(o.copy)
	}
	if st.stdin != nil {
		// Nobody waits for this goroutine: it ends when the pipe breaks,
		// or when a reader that blocks returns.
		go feed(st.stdin, c.Stdin, c.PTY)
	}
	return nil
}

// terminal makes files that the runtime can wait on from the master end.
func (st *streams) terminal(c Command, master *os.File) error {
	defer master.Close()
	open := func() (*os.File, error) {
		fd, err := unix.FcntlInt(master.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err == nil {
			err = unix.SetNonblock(fd, true)
		}
		if err != nil {
			return nil, fmt.Errorf("terminal: %w", err)
		}
		return os.NewFile(uintptr(fd), "terminal"), nil
	}
	var err error
	if st.stdin, err = open(); err != nil {
		return err
	}
	from, err := open()
	if err != nil {
		return err
	}
	to := c.Stdout
	if to == nil {
		to = io.Discard
	}
	st.outs = append(st.outs, &output{from: from, to: to})
	return nil
}

// feed copies the input and marks its end, which on a terminal is Ctrl-D.
func feed(to *os.File, src io.Reader, terminal bool) {
	if src != nil {
		if _, err := io.Copy(to, src); err != nil {
			return
		}
	}
	if terminal {
		_, _ = to.Write([]byte{4})
		return
	}
	_ = to.Close()
}

func (o *output) copy() {
	buf := make([]byte, 32<<10)
	for {
		n, err := o.from.Read(buf)
		o.write(buf[:n])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			o.rest(buf)
			return
		}
		// EIO is how a terminal ends; anything else cannot be helped.
		if err != nil {
			return
		}
	}
}

// rest takes what is in the pipe and does not wait for more.
func (o *output) rest(buf []byte) {
	if o.from.SetReadDeadline(time.Time{}) != nil {
		return
	}
	raw, err := o.from.SyscallConn()
	if err != nil {
		return
	}
	for {
		var n int
		var readErr error
		err := raw.Read(func(fd uintptr) bool {
			n, readErr = syscall.Read(int(fd), buf)
			return true
		})
		if readErr == syscall.EINTR {
			continue
		}
		if err != nil || readErr != nil || n <= 0 {
			return
		}
		o.write(buf[:n])
	}
}

// write keeps the first error and goes on reading, so that the command is not
// stopped by a pipe that nobody empties.
func (o *output) write(p []byte) {
	if len(p) == 0 || o.err != nil {
		return
	}
	if _, err := o.to.Write(p); err != nil {
		o.err = fmt.Errorf("write the command's output: %w", err)
	}
}

// drain waits until all that the command has written is with its writers.
func (st *streams) drain(ctx context.Context) error {
	for _, o := range st.outs {
		_ = o.from.SetReadDeadline(time.Unix(1, 0))
	}
	done := make(chan struct{})
	go func() { st.wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	var err error
	for _, o := range st.outs {
		err = errors.Join(err, o.err)
	}
	return err
}

// abandon stops copying and waits for writers that are being called.
func (st *streams) abandon() {
	for _, o := range st.outs {
		_ = o.from.SetReadDeadline(time.Unix(1, 0))
	}
	st.wg.Wait()
}

func (st *streams) close() {
	if st.stdin != nil {
		_ = st.stdin.Close()
	}
	for _, o := range st.outs {
		_ = o.from.Close()
	}
}
