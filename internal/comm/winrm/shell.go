package winrm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/masterzen/winrm"

	"ingot/internal/component"
)

// shell is a remote shell. It holds one command here.
type shell struct {
	c  *client
	id string
}

// openShell makes a shell. When ctx ends while the server is making one, it is
// deleted as soon as the server has said its name.
func openShell(ctx context.Context, c *client) (*shell, error) {
	type result struct {
		s   *shell
		err error
	}
	made := make(chan result, 1)
	asking, give := context.WithCancelCause(context.WithoutCancel(ctx))
	go func() {
		s, err := createShell(asking, c)
		give(nil)
		made <- result{s, err}
	}()
	select {
	case r := <-made:
		return r.s, r.err
	case <-ctx.Done():
	}
	t := time.AfterFunc(partingLimit, func() { give(context.Cause(ctx)) })
	go func() {
		r := <-made
		t.Stop()
		if r.s != nil {
			r.s.close()
		}
	}()
	return nil, context.Cause(ctx)
}

// answered reports whether an error is the server's answer.
func answered(err error) bool {
	return errors.As(err, new(*fault)) || errors.As(err, new(*AuthError)) || errors.As(err, new(*statusError)) || errors.Is(err, context.DeadlineExceeded)
}

func createShell(ctx context.Context, c *client) (*shell, error) {
	e, err := c.post(ctx, winrm.NewOpenShellRequest(c.url, c.params))
	if err != nil && ctx.Err() == nil && !answered(err) {
		// The machine may have closed a connection that nobody used, as
		// when it starts again. A shell too many ends by itself.
		c.login.close()
		e, err = c.post(ctx, winrm.NewOpenShellRequest(c.url, c.params))
	}
	if err != nil {
		return nil, err
	}
	id, err := e.shell()
	if err != nil {
		return nil, err
	}
	return &shell{c, id}, nil
}

// partingLimit is how long the server may take to end a command.
const partingLimit = 5 * time.Second

// close deletes the shell, which ends what runs in it. It does so even after the
// end of the context of the work.
func (s *shell) close() {
	ctx, cancel := context.WithTimeout(context.Background(), partingLimit)
	defer cancel()
	// A shell that cannot be deleted ends with its idle time-out.
	_, _ = s.c.post(ctx, winrm.NewDeleteShellRequest(s.c.url, s.id, s.c.params))
}

// process is a command that was started in a shell.
type process struct {
	s  *shell
	id string
}

// start starts a command. The line goes to cmd.exe as it is.
func (s *shell) start(ctx context.Context, line string) (*process, error) {
	// The library puts the line between these brackets.
	line = strings.ReplaceAll(line, "]]>", "]]]]><![CDATA[>")
	e, err := s.c.post(ctx, winrm.NewExecuteCommandRequest(s.c.url, s.id, line, nil, s.c.params))
	if err != nil {
		return nil, err
	}
	if e.CommandID == "" {
		return nil, errors.New("the answer does not name the command that was started")
	}
	return &process{s, e.CommandID}, nil
}

// inputSize is how many bytes of standard input fit into one request.
const inputSize = (envelopeSize - 4096) / 4 * 3

func (p *process) send(ctx context.Context, data []byte, end bool) error {
	_, err := p.s.c.post(ctx, winrm.NewSendInputRequest(p.s.c.url, p.s.id, p.id, data, end, p.s.c.params))
	return err
}

// terminate ends the command, even after the end of the context of the work.
func (p *process) terminate() {
	ctx, cancel := context.WithTimeout(context.Background(), partingLimit)
	defer cancel()
	// What comes next is the end of the shell, which ends the command as well.
	_, _ = p.s.c.post(ctx, winrm.NewSignalRequest(p.s.c.url, p.s.id, p.id, p.s.c.params))
}

// receiveAttempts is how often in a row an answer of the kind "internal server
// error" is taken for a passing one.
const receiveAttempts = 4

// receive waits for output or the end of the command.
func (p *process) receive(ctx context.Context) (*envelope, error) {
	failures := 0
	for {
		e, err := p.s.c.post(ctx, winrm.NewGetOutputRequest(p.s.c.url, p.s.id, p.id, "stdout stderr", p.s.c.params))
		var f *fault
		if errors.As(err, &f) && f.timedOut() {
			failures = 0
			continue // the command runs and says nothing
		}
		var s *statusError
		if !errors.As(err, &s) || s.code < 500 {
			return e, err
		}
		if failures++; failures == receiveAttempts {
			return nil, err
		}
		if err := p.s.c.clock.Sleep(ctx, time.Duration(failures)*200*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// errWriter is an error of the one who wants the output.
type errWriter struct{ error }

func (e errWriter) Unwrap() error { return e.error }

// follow passes the output on until the command ends.
func (p *process) follow(ctx context.Context, stdout, stderr io.Writer) (component.Exit, error) {
	for {
		e, err := p.receive(ctx)
		if err != nil {
			return component.Exit{}, err
		}
		for _, s := range e.Streams {
			data, err := s.output()
			if err != nil {
				return component.Exit{}, err
			}
			to := stdout
			if s.Name == "stderr" {
				to = stderr
			}
			if to == nil || len(data) == 0 {
				continue
			}
			if _, err := to.Write(data); err != nil {
				return component.Exit{}, errWriter{fmt.Errorf("write the output: %w", err)}
			}
		}
		code, ended, err := e.exit()
		if ended || err != nil {
			return component.Exit{Code: code}, err
		}
	}
}
