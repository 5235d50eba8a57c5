// Package sshfront is an SSH server on the loopback interface that passes what
// its clients ask for to a communicator: it gives a machine without SSH, such as
// a container, to programs that know nothing else.
//
// It runs commands and has the SFTP and SCP protocols. There are no interactive
// shells, no forwarding, and one key only that may log in.
package sshfront

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"

	"golang.org/x/crypto/ssh"

	"ingot/internal/component"
)

// Options says what the server is made of.
type Options struct {
	// HostKey is the server's key.
	HostKey ssh.Signer
	// ClientKey is the one public key that may log in, as any user.
	ClientKey ssh.PublicKey
	// Ports are tried in order; none means any that is free.
	Ports []int
	// Dir is a private folder for files on their way.
	Dir string
	// SFTPCommand is a command that speaks the SFTP protocol on the machine;
	// empty for the server's own way, which needs nothing there but a shell.
	SFTPCommand string
	// HandshakeFailed, when set, is told why a client was not let in.
	HandshakeFailed func(error)
}

// Server is a running server.
type Server struct {
	o        Options
	comm     component.Communicator
	listener net.Listener
	ctx      context.Context //nolint:containedctx // it is the server's life
	stop     context.CancelCauseFunc
	tasks    sync.WaitGroup

	mu    sync.Mutex // guards what follows
	conns map[net.Conn]bool
	lost  error
}

var errClosed = errors.New("ssh front: the server was closed")

// Start starts a server in front of comm, whose machine has a POSIX shell.
func Start(ctx context.Context, comm component.Communicator, o Options) (*Server, error) {
	l, err := listen(ctx, o.Ports)
	if err != nil {
		return nil, fmt.Errorf("ssh front: %w", err)
	}
	s := &Server{o: o, comm: comm, listener: l, conns: map[net.Conn]bool{}}
	s.ctx, s.stop = context.WithCancelCause(context.WithoutCancel(ctx))
	s.tasks.Go(s.accept)
	return s, nil
}

func listen(ctx context.Context, ports []int) (net.Listener, error) {
	if len(ports) == 0 {
		ports = []int{0}
	}
	var failed []error
	for _, p := range ports {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p)))
		if err == nil {
			return l, nil
		}
		failed = append(failed, err)
	}
	return nil, errors.Join(failed...)
}

// Port is where the server listens on 127.0.0.1.
func (s *Server) Port() int { return s.listener.Addr().(*net.TCPAddr).Port }

// HostKey is the server's public key in authorized_keys format.
func (s *Server) HostKey() string {
	return string(bytes.TrimSpace(ssh.MarshalAuthorizedKey(s.o.HostKey.PublicKey())))
}

// Lost is the last error of the communicator; clients see only that something
// has failed. It is nil when there was none.
func (s *Server) Lost() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost
}

func (s *Server) noteLost(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() == nil {
		s.lost = err
	}
}

// Close ends all connections and what they run, and waits for that.
func (s *Server) Close() {
	s.stop(errClosed)
	_ = s.listener.Close() // closing twice is no fault
	s.mu.Lock()
	for c := range s.conns {
		_ = c.Close() // the client may have done so
	}
	s.mu.Unlock()
	s.tasks.Wait()
}

func (s *Server) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[c] = true
		s.mu.Unlock()
		if s.ctx.Err() != nil {
			_ = c.Close()
			return
		}
		s.tasks.Go(func() {
			s.serve(c)
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.conns, c)
		})
	}
}

var errNotAllowed = errors.New("this key may not log in")

// serve serves one connection until it ends.
func (s *Server) serve(c net.Conn) {
	defer func() { _ = c.Close() }() // the client may have done so
	config := &ssh.ServerConfig{
		ServerVersion: "SSH-2.0-Ingot",
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if !bytes.Equal(key.Marshal(), s.o.ClientKey.Marshal()) {
				return nil, errNotAllowed
			}
			return nil, nil
		},
	}
	config.AddHostKey(s.o.HostKey)
	conn, chans, reqs, err := ssh.NewServerConn(c, config)
	if err != nil {
		if s.ctx.Err() == nil && s.o.HandshakeFailed != nil {
			s.o.HandshakeFailed(err)
		}
		return
	}
	ctx, cancel := context.WithCancelCause(s.ctx)
	var sessions sync.WaitGroup
	defer sessions.Wait()
	defer cancel(errors.New("the client has closed the connection"))
	defer func() { _ = conn.Close() }()
	sessions.Go(func() { refuseRequests(reqs) })
	for n := range chans {
		if n.ChannelType() != "session" {
			_ = n.Reject(ssh.UnknownChannelType, n.ChannelType()+" is not supported") // the client may have gone
			continue
		}
		sessions.Go(func() { s.session(ctx, n) })
	}
}

// refuseRequests answers what concerns the whole connection: keep-alives, which
// want any answer, and forwarding.
func refuseRequests(reqs <-chan *ssh.Request) {
	for q := range reqs {
		if q.WantReply {
			_ = q.Reply(false, nil) // the client may have gone
		}
	}
}
