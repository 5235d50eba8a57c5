//go:build unix

package sshd

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"github.com/creack/pty"
	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// Call is a command that a client asks for.
type Call struct {
	// Context ends when the client closes the session or the connection is
	// lost.
	Context context.Context
	Line    string
	PTY     bool
	// Stdin, Stdout and Stderr are the session's streams.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Conn is the connection, and Agent says that the client offered to
	// forward its SSH agent.
	Conn  ssh.Conn
	Agent bool
}

// Status is how a command ended.
type Status struct {
	Code int
	// Signal, when set, is sent in place of Code: "KILL".
	Signal string
	// None sends neither.
	None bool
	// Drop closes the connection in place of an answer.
	Drop bool
}

// session serves one session channel. It returns when the command has ended.
func (s *Server) session(conn ssh.Conn, n ssh.NewChannel) {
	ch, reqs, err := n.Accept()
	if err != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	terminal, started, forwarded := false, false, false
	for q := range reqs {
		ok := false
		switch q.Type {
		case "pty-req":
			ok = !s.o.NoPTY && !started
			terminal = terminal || ok
		case "env":
			ok = true
		case "auth-agent-req@openssh.com":
			ok = !s.o.NoForwarding
			forwarded = ok
		case "exec":
			var m struct{ Line string }
			if ok = !started && ssh.Unmarshal(q.Payload, &m) == nil; ok {
				started = true
				s.note(m.Line)
				running.Go(func() {
					call := &Call{Context: ctx, Line: m.Line, PTY: terminal, Stdin: ch, Stdout: ch, Stderr: ch.Stderr(), Conn: conn, Agent: forwarded}
					s.finish(ch, s.exec(call))
				})
			}
		case "subsystem":
			var m struct{ Name string }
			if ok = !started && !s.o.NoSFTP && ssh.Unmarshal(q.Payload, &m) == nil && m.Name == "sftp"; ok {
				started = true
				running.Go(func() { s.finish(ch, s.serveSFTP(ch)) })
			}
		}
		if q.WantReply {
			_ = q.Reply(ok, nil) // the end of the channel is noticed by the loop
		}
	}
	cancel()
	running.Wait()
}

func (s *Server) note(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, line)
}

// finish sends the status and closes the channel.
func (s *Server) finish(ch ssh.Channel, st Status) {
	switch {
	case st.Drop:
		s.Drop()
	case st.Signal != "":
		_, _ = ch.SendRequest("exit-signal", false, ssh.Marshal(&struct {
			Signal            string
			Core              bool
			Message, Language string
		}{Signal: st.Signal}))
	case !st.None:
		_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(&struct{ Code uint32 }{uint32(st.Code)}))
	}
	_ = ch.Close() // the client may have been faster
}

func serveSFTP(ch ssh.Channel) Status {
	server, err := sftp.NewServer(ch)
	if err != nil {
		return Status{Code: 1}
	}
	if err := server.Serve(); err != nil && !errors.Is(err, io.EOF) {
		return Status{Code: 1}
	}
	return Status{}
}

func (s *Server) exec(c *Call) Status {
	if s.o.Exec != nil {
		return s.o.Exec(c)
	}
	return s.local(c)
}

// Local runs a call on this machine, for Exec functions that answer some
// commands themselves only.
func (s *Server) Local(c *Call) Status { return s.local(c) }

// process is a command that runs on this machine. Like OpenSSH, the server
// does not end it when the session is closed.
type process struct{ cmd *exec.Cmd }

func (p *process) kill() { _ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) }

func (s *Server) local(c *Call) Status {
	cmd := exec.Command("/bin/sh", "-c", c.Line)
	cmd.Env = append(os.Environ(), s.o.Env...)
	if s.o.Path != "" {
		cmd.Env = append(cmd.Env, "PATH="+s.o.Path)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if c.PTY {
		return s.inTerminal(cmd, c)
	}
	// Its own pipe, because exec would wait for the input to end.
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return Status{Code: 126}
	}
	cmd.Stdout, cmd.Stderr = c.Stdout, c.Stderr
	if err := s.begin(cmd); err != nil {
		return Status{Code: 126}
	}
	go func() { // ends with the channel
		_, _ = io.Copy(stdin, c.Stdin)
		_ = stdin.Close()
	}()
	return s.await(cmd)
}

func (s *Server) inTerminal(cmd *exec.Cmd, c *Call) Status {
	tty, err := openTerminal(cmd)
	if err != nil {
		return Status{Code: 126}
	}
	s.track(cmd)
	go func() { _, _ = io.Copy(tty, c.Stdin) }() // ends with the channel
	_, _ = io.Copy(c.Stdout, tty)                // ends with an error when the other side of the terminal is closed
	_ = tty.Close()
	return s.await(cmd)
}

// openTerminal starts a command in a terminal that does not repeat what is
// typed, as clients of this server ask for.
func openTerminal(cmd *exec.Cmd) (*os.File, error) {
	ours, theirs, err := pty.Open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = theirs.Close() }()
	stty := exec.Command("stty", "-echo")
	stty.Stdin = theirs
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, theirs, theirs
	cmd.SysProcAttr.Setctty = true
	if err := errors.Join(stty.Run(), cmd.Start()); err != nil {
		_ = ours.Close()
		return nil, err
	}
	return ours, nil
}

func (s *Server) begin(cmd *exec.Cmd) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	s.track(cmd)
	return nil
}

func (s *Server) track(cmd *exec.Cmd) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running[&process{cmd}] = true
	if s.closed {
		(&process{cmd}).kill()
	}
}

func (s *Server) await(cmd *exec.Cmd) Status {
	err := cmd.Wait()
	s.mu.Lock()
	for p := range s.running {
		if p.cmd == cmd {
			delete(s.running, p)
		}
	}
	s.mu.Unlock()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return Status{}
	case errors.As(err, &exit):
		if w, ok := exit.Sys().(syscall.WaitStatus); ok && w.Signaled() {
			return Status{Signal: signalName(w.Signal())}
		}
		return Status{Code: exit.ExitCode()}
	}
	return Status{Code: cmd.ProcessState.ExitCode()}
}

func signalName(n syscall.Signal) string {
	switch n {
	case syscall.SIGKILL:
		return "KILL"
	case syscall.SIGTERM:
		return "TERM"
	case syscall.SIGHUP:
		return "HUP"
	case syscall.SIGINT:
		return "INT"
	}
	return "ABRT"
}
