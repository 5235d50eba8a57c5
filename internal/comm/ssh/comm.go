package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh/agent"

	"ingot/internal/component"
	"ingot/internal/readiness"
)

// facts are what was found out about a machine when it was first reached.
type facts struct {
	shell component.Shell // 0 where no commands can be run
	posix bool            // Line is understood by a POSIX shell
	tar   bool
	pty   bool
	// boot names the present start of the machine; empty when it does not
	// tell.
	boot string
}

// examine runs a first command. It prints the right word only in a POSIX
// shell, and on Linux does so without starting a process.
func examine(ctx context.Context, l *link) (facts, error) {
	out, err := l.output(ctx, `x=ingot; command -v tar >/dev/null 2>&1 && x=ingot-tar; `+bootLine+`echo "$x-posix $b"`)
	if err != nil {
		return facts{}, err
	}
	f := facts{shell: component.POSIX, pty: l.offersTerminal(ctx)}
	for _, line := range strings.Split(out, "\n") {
		word, boot, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word {
		case "ingot-posix":
			f.posix, f.boot = true, boot
		case "ingot-tar-posix":
			f.posix, f.tar, f.boot = true, true, boot
		}
	}
	if f.posix {
		return f, nil
	}
	// A connection that is lost meanwhile says nothing about the shell.
	windows, err := l.windows(ctx)
	if err != nil {
		return facts{}, err
	}
	if windows {
		f.shell, err = l.windowsShell(ctx)
		return f, err
	}
	onlyFiles, err := l.onlyFiles(ctx, out)
	if onlyFiles {
		f.shell, f.pty = 0, false
	}
	return f, err
}

// onlyFiles tells an account that may only copy files: whatever is asked for,
// its server answers the same, and that it has failed. Every shell knows
// "echo".
func (l *link) onlyFiles(ctx context.Context, answer string) (bool, error) {
	out, exit, err := l.answer(ctx, "echo ingot")
	return err == nil && exit.Code != 0 && out == answer && !strings.Contains(out, "ingot"), err
}

// windowsShell tells PowerShell from cmd.exe: each puts in what a variable
// holds in its own way only.
func (l *link) windowsShell(ctx context.Context) (component.Shell, error) {
	out, err := l.output(ctx, "echo $env:ComSpec %ComSpec%")
	if strings.Contains(out, "%ComSpec%") && !strings.Contains(out, "$env:ComSpec") {
		return component.PowerShell, err
	}
	return component.Cmd, err
}

// powershellExit makes PowerShell end with the exit code of the program that it
// ran last; it knows only success and failure otherwise.
const powershellExit = "; $ok = $?; if ($LASTEXITCODE) { exit $LASTEXITCODE }; exit [int](-not $ok)"

// windows tells cmd.exe and PowerShell from other shells that are not POSIX.
func (l *link) windows(ctx context.Context) (bool, error) {
	if bytes.Contains(l.client.ServerVersion(), []byte("Windows")) {
		return true, nil
	}
	out, err := l.output(ctx, "cmd /c ver")
	return strings.Contains(out, "Windows"), err
}

// output runs a command for its standard output.
func (l *link) output(ctx context.Context, line string) (string, error) {
	out, _, err := l.answer(ctx, line)
	return out, err
}

// answer runs a command for its standard output and its end.
func (l *link) answer(ctx context.Context, line string) (string, component.Exit, error) {
	s, err := l.session(ctx)
	if err != nil {
		return "", component.Exit{}, err
	}
	var out bytes.Buffer
	exit, err := s.run(ctx, command{line: line, stdout: &out})
	return out.String(), exit, err
}

// offersTerminal asks for a terminal and gives it back.
func (l *link) offersTerminal(ctx context.Context) bool {
	s, err := l.session(ctx)
	if err != nil {
		return false
	}
	defer s.close()
	return s.request("pty-req", newTerminal()) == nil
}

// comm is the communicator.
type comm struct {
	a          *approach
	facts      facts
	connection *component.Connection
	tunnels    *tunnels

	dialing sync.Mutex // held while connecting again

	mu       sync.Mutex // guards what follows
	link     *link
	settings *settings // what link was made with
	closed   bool
	tidy     bool // Finish has run
	// restart is not nil while a restart of the machine is expected.
	restart *expectation
}

var errClosed = errors.New("ssh: the communicator is closed")

// redialLimit is how long an operation may try to connect again. A machine
// that starts again takes longer; whoever waits for that repeats the operation.
var redialLimit = budget{time: 10 * time.Second, attempts: 5}

func newComm(ctx context.Context, a *approach, got *arrival) (component.Communicator, error) {
	c := &comm{a: a, facts: got.facts, connection: got.connection, link: got.link, settings: got.settings}
	if c.connection.SSHPty && !c.facts.pty {
		got.link.close()
		return nil, errors.New("ssh: ssh_pty is set but the SSH server refuses to give a terminal")
	}
	t, err := openTunnels(c.connection, a.r, c.connected)
	if err != nil {
		got.link.close()
		return nil, err
	}
	c.tunnels = t
	if err := c.adopt(ctx, got); err != nil {
		_ = c.Close() // the error that counts is the one below
		return nil, err
	}
	c.tunnels.keep()
	return c, nil
}

// adopt sets a new connection up: keep-alives, tunnels, the agent.
func (c *comm) adopt(_ context.Context, got *arrival) error {
	got.link.keepAlive(got.settings.keepAlive)
	if err := c.tunnels.attach(got.link); err != nil {
		return err
	}
	if c.forwardsAgent() {
		if err := agent.ForwardToRemote(got.link.client, c.a.d.deps.AgentSocket); err != nil {
			return fmt.Errorf("ssh: forward the SSH agent: %w", err)
		}
	}
	return nil
}

func (c *comm) forwardsAgent() bool {
	return c.connection.SSHAgentForwarding && !c.connection.SSHDisableAgentForward && c.a.d.deps.AgentSocket != ""
}

// current returns the connection as it is, nil after Close.
func (c *comm) current() *link {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	return c.link
}

// session opens a session, on a new connection if the old one is lost.
// Nothing has been done on the machine when it fails.
func (c *comm) session(ctx context.Context) (*session, error) {
	l, err := c.connected(ctx)
	if err != nil {
		return nil, err
	}
	s, err := l.session(ctx)
	if errors.Is(err, component.ErrDisconnected) {
		if l, err = c.connected(ctx); err != nil {
			return nil, err
		}
		s, err = l.session(ctx)
	}
	return s, err
}

// connected returns a connection that is not known to be lost.
func (c *comm) connected(ctx context.Context) (*link, error) {
	c.dialing.Lock()
	defer c.dialing.Unlock()
	l := c.current()
	switch {
	case l == nil:
		return nil, errClosed
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	}
	if e := c.expected(); e != nil {
		if err := c.settle(ctx, e); err != nil {
			return nil, err
		}
		l = c.current()
	}
	switch {
	case l == nil:
		return nil, errClosed
	case l.alive():
		return l, nil
	}
	if err := c.redial(ctx, readiness.New(c.a.r, waitPlan()), redialLimit); err != nil {
		return nil, err
	}
	n := c.current()
	if n == nil {
		return nil, errClosed
	}
	if n.boot != "" && l.boot != "" && n.boot != l.boot {
		c.a.r.Emit(component.Warning{Summary: "Machine restarted", Detail: "The machine was started again while the connection was lost."})
	}
	return n, nil
}

// redial puts a new connection in the place of one that is lost. It is called
// with dialing held.
func (c *comm) redial(ctx context.Context, w *readiness.Watch, limit budget) error {
	got, err := c.a.wait(ctx, w, &limit)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return context.Cause(ctx)
	default:
		return fmt.Errorf("%w: connect again: %w", component.ErrDisconnected, err)
	}
	got.settings.keys.trust(c.a.r, got.settings.address, got.verdict)
	if err := c.adopt(ctx, got); err != nil {
		got.link.close()
		return fmt.Errorf("%w: connect again: %w", component.ErrDisconnected, err)
	}
	c.mu.Lock()
	l := c.link
	if c.closed {
		c.mu.Unlock()
		got.link.close()
		return errClosed
	}
	c.link, c.settings = got.link, got.settings
	c.mu.Unlock()
	l.close()
	return nil
}

// Run executes a command; see component.Communicator.
func (c *comm) Run(ctx context.Context, cmd component.Command) (component.Exit, error) {
	if c.facts.shell == 0 {
		return component.Exit{}, fmt.Errorf("ssh: run a command: the account can only copy files: %w", component.ErrUnsupported)
	}
	exit, err := c.exec(ctx, command{
		line: cmd.Line, stdin: cmd.Stdin, stdout: cmd.Stdout, stderr: cmd.Stderr,
		pty: cmd.PTY || c.connection.SSHPty,
	})
	if err != nil {
		return component.Exit{}, fmt.Errorf("ssh: run a command: %w", err)
	}
	return exit, nil
}

// Shell starts the user's login shell; see component.Interactive.
func (c *comm) Shell(ctx context.Context, t component.Terminal) (component.Exit, error) {
	if c.facts.shell == 0 {
		return component.Exit{}, fmt.Errorf("ssh: open a shell: the account can only copy files: %w", component.ErrUnsupported)
	}
	exit, err := c.exec(ctx, command{stdin: t.In, stdout: t.Out, pty: true, terminal: &t})
	if err != nil {
		return component.Exit{}, fmt.Errorf("ssh: shell: %w", err)
	}
	return exit, nil
}

// exec runs a command in a session of its own.
func (c *comm) exec(ctx context.Context, cmd command) (component.Exit, error) {
	if cmd.pty && !c.facts.pty {
		return component.Exit{}, fmt.Errorf("the SSH server refuses to give a terminal: %w", component.ErrUnsupported)
	}
	if c.facts.posix && cmd.terminal == nil {
		cmd.token = newToken()
		cmd.line = mark(cmd.line, cmd.token)
	}
	if c.facts.shell == component.PowerShell && cmd.terminal == nil {
		cmd.line += powershellExit
	}
	s, err := c.session(ctx)
	if err != nil {
		return component.Exit{}, err
	}
	var prepare []func(*session) error
	if c.forwardsAgent() {
		prepare = append(prepare, func(s *session) error { return s.request("auth-agent-req@openssh.com", nil) })
	}
	exit, err := s.run(ctx, cmd, prepare...)
	if err != nil && c.current() == nil {
		err = errClosed
	}
	return exit, err
}

// Caps says what works; see component.Communicator.
func (c *comm) Caps() component.Caps {
	return component.Caps{
		Run: c.facts.shell != 0, Put: true, Get: true, Tree: true, PTY: c.facts.pty, AlwaysPTY: c.connection.SSHPty,
		Shell: c.facts.shell, Transport: "ssh",
	}
}

// Close ends the connection; see component.Communicator.
func (c *comm) Close() error {
	c.finishLate()
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	l := c.link
	c.mu.Unlock()
	c.tunnels.close()
	l.close()
	c.a.route.close()
	c.tunnels.wait()
	return nil
}

// tail keeps the end of what a command complains about.
type tail struct{ buf []byte }

// Write takes any part of it.
func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if n := len(t.buf) - 4096; n > 0 {
		t.buf = append(t.buf[:0], t.buf[n:]...)
	}
	return len(p), nil
}

// String is the text in one line.
func (t *tail) String() string {
	return strings.Join(strings.FieldsFunc(string(t.buf), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

var _ io.Writer = (*tail)(nil)
