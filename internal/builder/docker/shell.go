package docker

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"

	"ingot/internal/component"
	"ingot/internal/shellenv"
)

// A shell is a shell in the container that stays for the whole build and runs
// one command after the other. Starting a process in a container takes the
// engine longer than most commands take to run; a command in the shell costs a
// round trip.
//
// Every command is a process of its own and shares nothing with the others but
// what it inherits: the working folder and environment of the container. The
// shell tells the end of a command by a marker that nobody can guess, on both
// streams. When a command has left something behind that still holds the
// streams, the shell is not used again, so that no output ends up in that of a
// later command.
type shell struct {
	c    *comm
	conn client.HijackedResponse
	exec string

	out, err *scanner
	// ready yields the shell's process id, or 0 when it cannot be used.
	ready chan int
	// dead is closed when the streams have ended and nothing is written any
	// more.
	dead chan struct{}
	pid  int
}

// resident is what the shell runs first. Its own complaints, such as "Killed",
// are not the command's output, so that it keeps the real standard error as 3.
// It must survive signals that a command sends to its process group. $1 is the
// marker of its first answer.
const resident = `exec 3>&2 2>/dev/null
trap : HUP INT QUIT ALRM TERM USR1 USR2
[ /proc/$$/fd/1 -ef /proc/$$/fd/1 ] || exit 9
ingot_end() {
	set -- "$1" $?
	for p in /proc/[0-9]*; do
		case $p in /proc/$$) continue ;; esac
		if [ $p/fd/1 -ef /proc/$$/fd/1 ] || [ $p/fd/2 -ef /proc/$$/fd/3 ]; then set -- "$1" "$2" held; fi
	done
	printf '%s%s %s\n' "$1" "$2" "$3"
	printf '%s\n' "$1" >&3
}
printf '%s%s \n' MARK $$
printf '%s\n' MARK >&3
`

// smallInput is the most standard input, or file, that is sent along with a
// command instead of streamed. Some shells read their script byte by byte.
const smallInput = 32 << 10

// openShell starts a shell; it does not wait until it is there.
func (c *comm) openShell(ctx context.Context) (*shell, error) {
	made, err := c.engine.ExecCreate(ctx, c.id, client.ExecCreateOptions{
		User: c.user, Cmd: []string{"/bin/sh"}, AttachStdin: true, AttachStdout: true, AttachStderr: true,
	})
	if err != nil {
		return nil, err
	}
	conn, err := c.engine.ExecAttach(ctx, made.ID, client.ExecAttachOptions{})
	if err != nil {
		return nil, err
	}
	s := &shell{
		c: c, conn: conn.HijackedResponse, exec: made.ID, out: &scanner{}, err: &scanner{},
		ready: make(chan int, 1), dead: make(chan struct{}),
	}
	mark := newMark()
	hello := s.expect(mark, nil, nil)
	go func() {
		defer close(s.dead)
		_, _ = stdcopy.StdCopy(s.out, s.err, s.conn.Reader)
		s.conn.Close()
	}()
	if _, err := io.WriteString(conn.Conn, strings.ReplaceAll(resident, "MARK", shellenv.Quote(mark))); err != nil {
		s.close()
		return nil, err
	}
	go func() {
		select {
		case <-hello.done:
			pid, _ := strconv.Atoi(strings.TrimSpace(hello.answer))
			s.ready <- pid
		case <-s.dead:
			s.ready <- 0
		}
	}()
	return s, nil
}

// close ends the shell and waits until nothing is written any more.
func (s *shell) close() {
	s.conn.Close()
	<-s.dead
}

// usable waits until the shell is there.
func (s *shell) usable(ctx context.Context) bool {
	if s.pid != 0 {
		return true
	}
	select {
	case s.pid = <-s.ready:
		return s.pid != 0
	case <-ctx.Done():
		return false
	}
}

// errNotTaken says that a shell did not begin a command, which may be run in
// another way.
var errNotTaken = errors.New("docker: the shell did not take the command")

// run executes a command. again reports whether the shell can be used for
// another one.
func (s *shell) run(ctx context.Context, line string, stdin []byte, stdout, stderr io.Writer) (code int, again bool, err error) {
	if !s.usable(ctx) {
		s.close()
		if err := context.Cause(ctx); err != nil {
			return 0, false, err
		}
		return 0, false, errNotTaken
	}
	mark := newMark()
	end := s.expect(mark, stdout, stderr)
	stop := context.AfterFunc(ctx, func() {
		s.c.killSession(ctx, s.pid)
		s.conn.Close()
	})
	_, werr := io.WriteString(s.conn.Conn, s.compose(line, stdin, mark))
	select {
	case <-end.done:
	case <-end.failed:
		// The caller's writer gave up; so does the command.
		s.c.killSession(ctx, s.pid)
		s.close()
	case <-s.dead:
	}
	if !stop() {
		// The shell may have told the end of a command that was killed.
		s.close()
		return 0, false, fmt.Errorf("docker: command in container %s: %w", short(s.c.id), context.Cause(ctx))
	}
	select {
	case <-end.done:
		code, held, ok := parseEnd(end.answer)
		if err := end.sinkError(); err != nil {
			s.close()
			return 0, false, err
		}
		if ok {
			if held {
				s.close()
			}
			return code, !held, nil
		}
	default:
	}
	s.close()
	switch err := end.sinkError(); {
	case err != nil:
		return 0, false, err
	case werr != nil:
		return 0, false, fmt.Errorf("docker: send a command: %w: %w", component.ErrDisconnected, werr)
	}
	// The streams end when all that held them has ended: the command has ended
	// with the shell, by the same signal.
	code, err = s.c.exitCode(ctx, s.exec)
	if err == nil && code < 128 {
		err = fmt.Errorf("docker: command in container %s: its exit code got lost with the shell's: %w", short(s.c.id), component.ErrDisconnected)
	}
	return code, false, err
}

// compose is the text that makes the shell run a command.
func (s *shell) compose(line string, stdin []byte, mark string) string {
	run := "/bin/sh -c " + shellenv.Quote(line) + " 2>&3 3>&-"
	if len(stdin) > 0 {
		run = "printf %b " + shellenv.Quote(escape(stdin)) + " | " + run
	} else {
		run += " </dev/null"
	}
	return run + "\ningot_end " + shellenv.Quote(mark) + "\n"
}

func parseEnd(answer string) (code int, held, ok bool) {
	number, rest, _ := strings.Cut(answer, " ")
	code, err := strconv.Atoi(number)
	return code, strings.TrimSpace(rest) == "held", err == nil
}

// expectation is what the scanners wait for.
type expectation struct {
	done   chan struct{}
	failed chan struct{}

	mu      sync.Mutex
	left    int   // guarded by mu; streams without a marker yet
	sinkErr error // guarded by mu
	// answer is what followed the marker; to be read after done.
	answer string
}

func (e *expectation) sinkError() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.sinkErr
}

func (e *expectation) seen(answer string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if answer != "" {
		e.answer = answer
	}
	if e.left--; e.left == 0 {
		close(e.done)
	}
}

func (e *expectation) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.sinkErr == nil {
		e.sinkErr = err
		close(e.failed)
	}
}

// expect directs the streams to writers until the marker comes on both.
func (s *shell) expect(mark string, stdout, stderr io.Writer) *expectation {
	e := &expectation{done: make(chan struct{}), failed: make(chan struct{}), left: 2}
	s.out.begin(mark, orDiscard(stdout), e)
	s.err.begin(mark, orDiscard(stderr), e)
	return e
}

// scanner passes a stream on up to a marker. What comes between a marker and
// the next beginning is dropped.
type scanner struct {
	mu   sync.Mutex // guards what follows
	mark []byte
	next io.Writer
	end  *expectation
	held []byte
	// tail is true after the marker, until the end of its line.
	tail bool
}

func (s *scanner) begin(mark string, next io.Writer, end *expectation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mark, s.next, s.end, s.held, s.tail = []byte(mark), next, end, nil, false
}

func (s *scanner) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end != nil {
		s.take(append(s.held, p...))
	}
	return len(p), nil
}

func (s *scanner) take(p []byte) {
	s.held = nil
	if !s.tail {
		i := bytes.Index(p, s.mark)
		if i < 0 {
			keep := prefixAtEnd(p, s.mark)
			s.pass(p[:len(p)-keep])
			s.held = bytes.Clone(p[len(p)-keep:])
			return
		}
		s.pass(p[:i])
		s.tail, p = true, p[i+len(s.mark):]
	}
	line, _, whole := bytes.Cut(p, []byte("\n"))
	if !whole {
		s.held = bytes.Clone(p)
		return
	}
	end := s.end
	s.end = nil
	end.seen(string(line))
}

func (s *scanner) pass(p []byte) {
	if len(p) == 0 {
		return
	}
	if _, err := s.next.Write(p); err != nil {
		s.end.fail(err)
		s.next = io.Discard
	}
}

// prefixAtEnd returns how many bytes at the end of p may begin a marker.
func prefixAtEnd(p, mark []byte) int {
	for n := min(len(p), len(mark)-1); n > 0; n-- {
		if bytes.HasPrefix(mark, p[len(p)-n:]) {
			return n
		}
	}
	return 0
}

// newMark starts with a byte that text hardly ever has, so that little output
// is held back on suspicion.
func newMark() string { return "\x01ingot-" + rand.Text() + "=" }

// escape writes bytes for printf %b.
func escape(p []byte) string {
	var b strings.Builder
	b.Grow(len(p) + len(p)/8)
	for _, c := range p {
		switch c {
		case 0:
			b.WriteString(`\0000`)
		case '\\':
			b.WriteString(`\\`)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
