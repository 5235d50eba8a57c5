package ssh

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"ingot/internal/component"
)

// copyBuffer is the size of the buffers between files and sessions: several
// SSH packets, so that reading ahead and sending overlap.
const copyBuffer = 256 << 10

// session is one channel that can run one command or subsystem.
type session struct {
	l    *link
	ch   ssh.Channel
	reqs <-chan *ssh.Request
	// free gives the slot back.
	free func()
}

// errRefused says that the server did not do what a session asked for.
var errRefused = errors.New("refused by the SSH server")

// session opens a session, waiting for a free slot.
func (l *link) session(ctx context.Context) (*session, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.down:
		return nil, l.lost()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	s, err := l.patientOpen(ctx)
	if err != nil {
		<-l.slots
		return nil, err
	}
	s.free = func() { <-l.slots }
	return s, nil
}

// patience is how long a server may refuse a session although we have none
// open: it may not have noticed the end of the last one.
const patience = 2 * time.Second

// patientOpen waits while the server refuses a session because others are
// open: its limit may be lower than ours.
func (l *link) patientOpen(ctx context.Context) (*session, error) {
	var clock component.SystemClock
	alone := clock.Now()
	for delay := 10 * time.Millisecond; ; delay = min(2*delay, 500*time.Millisecond) {
		s, err := l.open(ctx)
		var refused *ssh.OpenChannelError
		if err == nil || !errors.As(err, &refused) {
			return s, err
		}
		if l.sessions.Load() > 0 {
			alone = clock.Now()
		} else if clock.Now().Sub(alone) > patience {
			return nil, err
		}
		if err := clock.Sleep(ctx, delay); err != nil {
			return nil, err
		}
	}
}

// open opens a session at once.
func (l *link) open(ctx context.Context) (*session, error) {
	done := make(chan opened, 1)
	go func() { // ends with the connection at the latest
		ch, reqs, err := l.client.OpenChannel("session", nil)
		if err != nil {
			done <- opened{err: err}
			return
		}
		l.sessions.Add(1)
		done <- opened{s: &session{l: l, ch: ch, reqs: reqs, free: func() {}}}
	}()
	select {
	case r := <-done:
		var refused *ssh.OpenChannelError
		switch {
		case r.err == nil:
			return r.s, nil
		case errors.As(r.err, &refused):
			return nil, fmt.Errorf("open a session: %w", r.err)
		}
		// Make sure that it is not used again.
		l.end(r.err)
		_ = l.client.Close()
		<-l.down
		return nil, l.lost()
	case <-l.down:
		// The library may wait for ever for the answer to a channel that is
		// opened while its connection is being taken down.
		go closeLate(done)
		return nil, l.lost()
	case <-ctx.Done():
		go closeLate(done)
		return nil, context.Cause(ctx)
	}
}

// opened is the answer to a request for a session.
type opened struct {
	s   *session
	err error
}

// closeLate closes a session that is opened after all.
func closeLate(done <-chan opened) {
	if o := <-done; o.s != nil {
		o.s.close()
	}
}

// close ends the session. The requests must be drained for the channel to
// close.
func (s *session) close() {
	_ = s.ch.Close() // io.EOF when the other side was faster
	go ssh.DiscardRequests(s.reqs)
	s.l.sessions.Add(-1)
	s.free()
}

// request sends a request and waits for the answer.
func (s *session) request(name string, payload any) error {
	var body []byte
	if payload != nil {
		body = ssh.Marshal(payload)
	}
	ok, err := s.ch.SendRequest(name, true, body)
	switch {
	case errors.Is(err, io.EOF):
		return s.l.lost()
	case err != nil:
		return fmt.Errorf("%w: %w", s.l.lost(), err)
	case !ok:
		return fmt.Errorf("%s: %w", name, errRefused)
	}
	return nil
}

// command is a command line with its streams.
type command struct {
	line           string
	stdin          io.Reader
	stdout, stderr io.Writer
	pty            bool
	// whole means that stdin must have been taken up to its end.
	whole bool
	// token marks the command's processes; empty when they cannot be found.
	token string
	// terminal is whose a shell without a command line is; nil for a command.
	terminal *component.Terminal
}

// terminal is RFC 4254's pty-req.
type terminal struct {
	Term                         string
	Columns, Rows, Width, Height uint32
	Modes                        string
}

// newTerminal asks for 80 by 40 characters without echo.
func newTerminal() *terminal {
	modes := []byte{ssh.ECHO, 0, 0, 0, 0, ssh.TTY_OP_ISPEED, 0, 0, 0x38, 0x40, ssh.TTY_OP_OSPEED, 0, 0, 0x38, 0x40, 0}
	return &terminal{Term: "xterm", Columns: 80, Rows: 40, Modes: string(modes)}
}

// terminalLike asks for one like a person's, which works as the server sets it up.
func terminalLike(t *component.Terminal) *terminal {
	return &terminal{Term: t.Type, Columns: uint32(t.Size.Columns), Rows: uint32(t.Size.Rows), Modes: "\x00"}
}

// resize tells the server of another size. It does not answer.
func (s *session) resize(size component.WindowSize) {
	_, _ = s.ch.SendRequest("window-change", false, ssh.Marshal(&struct{ Columns, Rows, Width, Height uint32 }{
		Columns: uint32(size.Columns), Rows: uint32(size.Rows),
	}))
}

// receive waits for the exit status. It is in the requests; the channel
// closes after the last of them.
func receive(reqs <-chan *ssh.Request, status func(component.Exit)) {
	for q := range reqs {
		switch q.Type {
		case "exit-status":
			if len(q.Payload) == 4 {
				status(component.Exit{Code: int(binary.BigEndian.Uint32(q.Payload))})
			}
		case "exit-signal":
			var m struct {
				Signal     string
				CoreDumped bool
				Message    string
				Language   string
			}
			if ssh.Unmarshal(q.Payload, &m) == nil {
				status(component.Exit{Code: 128 + signalNumber(m.Signal), Signal: m.Signal})
			}
		}
		if q.WantReply {
			_ = q.Reply(false, nil) // the end of the channel is noticed anyway
		}
	}
}

// signalNumber is POSIX's number of the signals that RFC 4254 names; 0 for
// others.
func signalNumber(name string) int {
	switch strings.TrimSuffix(name, "@openssh.com") {
	case "HUP":
		return 1
	case "INT":
		return 2
	case "QUIT":
		return 3
	case "ILL":
		return 4
	case "ABRT":
		return 6
	case "FPE":
		return 8
	case "KILL":
		return 9
	case "USR1":
		return 10
	case "SEGV":
		return 11
	case "USR2":
		return 12
	case "PIPE":
		return 13
	case "ALRM":
		return 14
	case "TERM":
		return 15
	}
	return 0
}
