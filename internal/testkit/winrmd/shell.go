//go:build unix

package winrmd

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// shell is a remote shell: a number of commands.
type shell struct {
	mu       sync.Mutex // guards commands
	commands map[string]*command
}

func (s *shell) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.commands {
		c.kill()
	}
}

// command is a program that runs or has run.
type command struct {
	stdin *io.PipeWriter
	kill  func()

	mu      sync.Mutex // guards what follows
	changed chan struct{}
	out     map[string][]byte
	ended   bool
	code    int
}

// notify is called with mu held.
func (c *command) notify() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// stream is one of a command's outputs. Like a pipe it holds only so much.
type stream struct {
	c    *command
	name string
	ctx  context.Context
}

const pipeSize = 256 << 10

// Write waits until there is room.
func (w stream) Write(p []byte) (int, error) {
	for {
		w.c.mu.Lock()
		if len(w.c.out[w.name]) < pipeSize {
			w.c.out[w.name] = append(w.c.out[w.name], p...)
			w.c.notify()
			w.c.mu.Unlock()
			return len(p), nil
		}
		changed := w.c.changed
		w.c.mu.Unlock()
		select {
		case <-changed:
		case <-w.ctx.Done():
			return 0, w.ctx.Err()
		}
	}
}

func (s *Server) do(ctx context.Context, r *request) reply {
	if r.action() == "Create" {
		return s.create()
	}
	s.mu.Lock()
	sh := s.shells[r.shellID()]
	s.mu.Unlock()
	if sh == nil {
		return faulty("w:InvalidSelectors", 2150858843, "The request for the Windows Remote Shell with ShellId "+escaped(r.shellID())+" failed because the shell was not found on the server.")
	}
	switch r.action() {
	case "Delete":
		s.mu.Lock()
		delete(s.shells, r.shellID())
		s.mu.Unlock()
		sh.end()
		return done(nsTransfer+"/DeleteResponse", "")
	case "Command":
		return s.command(sh, r)
	case "Send":
		return sh.with(r.Stream.CommandID, func(c *command) reply { return c.send(ctx, r) })
	case "Receive":
		return sh.with(r.Desired.CommandID, func(c *command) reply { return c.receive(ctx, r.Desired.CommandID, s.patience(r)) })
	case "Signal":
		return sh.with(r.Signal.CommandID, func(c *command) reply {
			if !strings.HasSuffix(r.Signal.Code, "/signal/terminate") && !strings.HasSuffix(r.Signal.Code, "/signal/ctrl_c") {
				return faulty("w:InvalidParameter", 87, "unknown signal")
			}
			c.kill()
			return done(nsShell+"/SignalResponse", "<rsp:SignalResponse/>")
		})
	}
	return faulty("a:ActionNotSupported", 2150858778, "unknown action")
}

func (s *Server) patience(r *request) time.Duration {
	d := seconds(r.Timeout)
	if d <= 0 {
		d = time.Minute
	}
	if l := s.cfg.OperationTimeout; l > 0 {
		d = min(d, l)
	}
	return d
}

func (s *Server) create() reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cfg.MaxShells != 0 && len(s.shells) >= s.cfg.MaxShells {
		return faulty("w:QuotaLimit", 2150859173, "The maximum number of concurrent shells for this user has been exceeded.")
	}
	id := newID()
	s.made++
	s.shells[id] = &shell{commands: map[string]*command{}}
	return done(nsTransfer+"/CreateResponse", fmt.Sprintf(
		`<rsp:Shell><rsp:ShellId>%s</rsp:ShellId><rsp:InputStreams>stdin</rsp:InputStreams><rsp:OutputStreams>stdout stderr</rsp:OutputStreams></rsp:Shell>`, id))
}

func (s *shell) with(id string, f func(*command) reply) reply {
	s.mu.Lock()
	c := s.commands[id]
	s.mu.Unlock()
	if c == nil {
		return faulty("w:InvalidSelectors", 2150858843, "The command was not found.")
	}
	return f(c)
}

// program does what a command line says. It returns the exit code.
type program func(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) int

func (s *Server) command(sh *shell, r *request) reply {
	line := strings.Join(append([]string{r.Command}, r.Arguments...), " ")
	run := s.line(s.cfg.User, line)
	ctx, cancel := context.WithCancel(context.Background())
	in, feed := io.Pipe()
	finished := make(chan struct{})
	kill := func() {
		cancel()
		_ = feed.CloseWithError(context.Canceled)
		<-finished
	}
	c := &command{stdin: feed, kill: kill, changed: make(chan struct{}), out: map[string][]byte{}}
	id := newID()
	sh.mu.Lock()
	sh.commands[id] = c
	sh.mu.Unlock()
	go func() {
		defer close(finished)
		code := run(ctx, in, stream{c, "stdout", ctx}, stream{c, "stderr", ctx})
		_ = in.Close()
		cancel()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.ended, c.code = true, code
		c.notify()
	}()
	return done(nsShell+"/CommandResponse", "<rsp:CommandResponse><rsp:CommandId>"+id+"</rsp:CommandId></rsp:CommandResponse>")
}

func (c *command) send(ctx context.Context, r *request) reply {
	data, err := base64.StdEncoding.DecodeString(r.Stream.Data)
	if err != nil || r.Stream.Name != "stdin" {
		return faulty("w:InvalidParameter", 87, "not standard input in base64")
	}
	stop := context.AfterFunc(ctx, func() { _ = c.stdin.CloseWithError(ctx.Err()) })
	defer stop()
	if len(data) > 0 {
		if _, err := c.stdin.Write(data); err != nil {
			return faulty("w:InternalError", 232, "The pipe is being closed.")
		}
	}
	if r.Stream.End {
		_ = c.stdin.Close()
	}
	return done(nsShell+"/SendResponse", "<rsp:SendResponse/>")
}

// most is how much output one answer holds.
const most = 100 << 10

func (c *command) receive(ctx context.Context, id string, patience time.Duration) reply {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		c.mu.Lock()
		if len(c.out["stdout"])+len(c.out["stderr"]) > 0 || c.ended {
			defer c.mu.Unlock()
			return c.news(id)
		}
		changed := c.changed
		c.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		case <-limit.C:
			return faulty("w:TimedOut", 2150858793, "The WS-Management service cannot complete the operation within the time specified in OperationTimeout.")
		}
		if ctx.Err() != nil {
			return reply{} // nobody reads it: the output stays
		}
	}
}

// news is what has happened since the last time. It is called with mu held.
func (c *command) news(id string) reply {
	var b strings.Builder
	b.WriteString("<rsp:ReceiveResponse>")
	for _, name := range []string{"stdout", "stderr"} {
		data := c.out[name]
		n := min(len(data), most/2)
		if n > 0 {
			fmt.Fprintf(&b, `<rsp:Stream Name="%s" CommandId="%s">%s</rsp:Stream>`, name, id, base64.StdEncoding.EncodeToString(data[:n]))
			c.out[name] = data[n:]
		}
	}
	if c.ended && len(c.out["stdout"])+len(c.out["stderr"]) == 0 {
		for _, name := range []string{"stdout", "stderr"} {
			fmt.Fprintf(&b, `<rsp:Stream Name="%s" CommandId="%s" End="true"></rsp:Stream>`, name, id)
		}
		fmt.Fprintf(&b, `<rsp:CommandState CommandId="%s" State="%s/CommandState/Done"><rsp:ExitCode>%d</rsp:ExitCode></rsp:CommandState>`, id, nsShell, uint32(c.code))
	} else {
		fmt.Fprintf(&b, `<rsp:CommandState CommandId="%s" State="%s/CommandState/Running"></rsp:CommandState>`, id, nsShell)
	}
	b.WriteString("</rsp:ReceiveResponse>")
	c.notify()
	return done(nsShell+"/ReceiveResponse", b.String())
}

// sh runs a line with /bin/sh. When the command is ended, so are its children.
func sh(line string) program {
	return func(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) int {
		cmd := exec.CommandContext(ctx, "/bin/sh", "-c", line)
		cmd.Stdout, cmd.Stderr = stdout, stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
		cmd.WaitDelay = 5 * time.Second
		feed, err := cmd.StdinPipe()
		if err != nil {
			return 1
		}
		if err := cmd.Start(); err != nil {
			return 1
		}
		go func() { // ends when the caller closes stdin
			_, _ = io.Copy(feed, stdin)
			_ = feed.Close()
		}()
		if err := cmd.Wait(); err != nil && cmd.ProcessState == nil {
			return 1
		}
		if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return 128 + int(status.Signal())
		}
		return cmd.ProcessState.ExitCode()
	}
}

func quietLog() *log.Logger { return log.New(io.Discard, "", 0) }
