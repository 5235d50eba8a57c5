package sshfront

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"ingot/internal/component"
)

// connectionCode is the exit code by which OpenSSH's programs say that the
// connection has failed, and not the command.
const connectionCode = 255

// session serves one channel: one command, or one use of SFTP.
func (s *Server) session(ctx context.Context, n ssh.NewChannel) {
	ch, reqs, err := n.Accept()
	if err != nil {
		return
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	// The requests end when the client closes the channel.
	defer cancel(errors.New("the client has closed the session"))
	terminal, started := false, false
	for q := range reqs {
		var work func() component.Exit
		ok := false
		switch q.Type {
		case "pty-req":
			terminal = !started && s.comm.Caps().PTY
			ok = terminal
		case "exec":
			var m struct{ Line string }
			if ssh.Unmarshal(q.Payload, &m) == nil {
				work = func() component.Exit { return s.command(ctx, ch, m.Line, terminal) }
			}
		case "subsystem":
			var m struct{ Name string }
			if ssh.Unmarshal(q.Payload, &m) == nil && m.Name == "sftp" {
				work = func() component.Exit { return s.sftp(ctx, ch) }
			}
		}
		if work != nil && !started {
			ok, started = true, true
		} else {
			work = nil
		}
		if q.WantReply {
			_ = q.Reply(ok, nil) // the end of the channel is noticed by the loop
		}
		if work != nil {
			running.Go(func() { finish(ch, work()) })
		}
	}
}

// finish sends how a command has ended and closes the channel.
func finish(ch ssh.Channel, e component.Exit) {
	if e.Signal != "" {
		_, _ = ch.SendRequest("exit-signal", false, ssh.Marshal(&struct { // the client may have gone
			Signal            string
			Core              bool
			Message, Language string
		}{Signal: e.Signal}))
	} else {
		_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(&struct{ Code uint32 }{uint32(e.Code)})) // likewise
	}
	_ = ch.Close() // likewise
}

// command runs a command, or does what it would do.
func (s *Server) command(ctx context.Context, ch ssh.Channel, line string, terminal bool) component.Exit {
	if c, ok := parseSCP(line); ok {
		return s.scp(ctx, ch, c)
	}
	return s.run(ctx, ch, line, terminal)
}

// run passes a command on.
func (s *Server) run(ctx context.Context, ch ssh.Channel, line string, terminal bool) component.Exit {
	exit, err := s.comm.Run(ctx, component.Command{Line: line, Stdin: ch, Stdout: ch, Stderr: ch.Stderr(), PTY: terminal})
	if err != nil {
		if ctx.Err() == nil {
			s.noteLost(err)
			fmt.Fprintln(ch.Stderr(), err)
		}
		return component.Exit{Code: connectionCode}
	}
	return exit
}

// sftp serves the SFTP protocol.
func (s *Server) sftp(ctx context.Context, ch ssh.Channel) component.Exit {
	if s.o.SFTPCommand != "" {
		return s.run(ctx, ch, s.o.SFTPCommand, false)
	}
	m := &machine{s: s, ctx: ctx, uploads: map[string]*upload{}}
	server := sftp.NewRequestServer(ch, sftp.Handlers{FileGet: m, FilePut: m, FileCmd: m, FileList: m})
	if err := server.Serve(); err != nil && !errors.Is(err, io.EOF) {
		return component.Exit{Code: connectionCode}
	}
	return component.Exit{}
}
