package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"ingot/internal/component"
	"ingot/internal/readiness"
)

// forwarding is one tunnel: connections to port at the one end go on to
// target from the other end.
type forwarding struct {
	text   string
	port   int
	target string
}

// parseForwarding reads PORT:HOST:PORT. A host may be an IPv6 address in
// brackets.
func parseForwarding(attr, text string) (forwarding, error) {
	listen, target, ok := strings.Cut(text, ":")
	port, err := strconv.Atoi(listen)
	if !ok || err != nil || port < 0 || port > 65535 {
		return forwarding{}, fmt.Errorf("ssh: %s: %q is not of the form PORT:HOST:PORT", attr, text)
	}
	host, to, err := net.SplitHostPort(target)
	if n, bad := strconv.Atoi(to); err != nil || bad != nil || host == "" || n < 1 || n > 65535 {
		return forwarding{}, fmt.Errorf("ssh: %s: %q is not of the form PORT:HOST:PORT", attr, text)
	}
	return forwarding{text: text, port: port, target: target}, nil
}

// tunnels are the forwarded ports. Local listeners live as long as the
// communicator, remote ones as long as a connection.
type tunnels struct {
	r      component.Run
	remote []forwarding
	// connected gives the connection, a new one when it was lost; patience is
	// how long to try to get one.
	connected func(context.Context) (*link, error)
	patience  time.Duration

	listeners []net.Listener
	tasks     sync.WaitGroup
	ctx       context.Context
	stop      context.CancelCauseFunc
}

// openTunnels starts the local listeners.
func openTunnels(c *component.Connection, r component.Run, connected func(context.Context) (*link, error)) (*tunnels, error) {
	t := &tunnels{r: r, connected: connected, patience: c.Timeout()}
	t.ctx, t.stop = context.WithCancelCause(context.Background())
	for _, text := range c.SSHRemoteTunnels {
		f, err := parseForwarding("ssh_remote_tunnels", text)
		if err != nil {
			return nil, err
		}
		t.remote = append(t.remote, f)
	}
	for _, text := range c.SSHLocalTunnels {
		f, err := parseForwarding("ssh_local_tunnels", text)
		if err == nil {
			err = t.listen(f)
		}
		if err != nil {
			t.close()
			return nil, err
		}
	}
	return t, nil
}

func (t *tunnels) listen(f forwarding) error {
	n, err := net.Listen("tcp", joinHostPort("127.0.0.1", f.port))
	if err != nil {
		return fmt.Errorf("ssh: ssh_local_tunnels %q: %w", f.text, err)
	}
	t.listeners = append(t.listeners, n)
	t.serve(f, n, func() (net.Conn, error) {
		c, err := t.through(f)
		if errors.Is(err, component.ErrDisconnected) {
			c, err = t.through(f)
		}
		return c, err
	})
	return nil
}

// through connects to a target from the machine. A connection that turns out to
// be broken is not used again.
func (t *tunnels) through(f forwarding) (net.Conn, error) {
	l, err := t.connected(t.ctx)
	if err != nil {
		return nil, err
	}
	c, err := l.client.DialContext(t.ctx, "tcp", f.target)
	var refused *ssh.OpenChannelError
	if err == nil || t.ctx.Err() != nil || errors.As(err, &refused) {
		return c, err
	}
	l.end(err)
	_ = l.client.Close() // it is broken anyway
	<-l.down
	return nil, l.lost()
}

// attach starts the remote listeners on a new connection.
func (t *tunnels) attach(l *link) error {
	for _, f := range t.remote {
		n, err := l.client.Listen("tcp", joinHostPort("127.0.0.1", f.port))
		if err != nil {
			return fmt.Errorf("ssh: ssh_remote_tunnels %q: %w", f.text, err)
		}
		var d net.Dialer
		t.serve(f, n, func() (net.Conn, error) { return d.DialContext(t.ctx, "tcp", f.target) })
	}
	return nil
}

// keep connects again whenever the connection is lost, because nothing here
// may notice what the machine sends into a tunnel. It gives up when the machine
// is gone for good, or for too long.
func (t *tunnels) keep() {
	if len(t.remote) == 0 {
		return
	}
	t.tasks.Go(func() {
		for since := t.r.Clock.Now(); ; {
			l, err := t.connected(t.ctx)
			var late *readiness.TimeoutError
			switch {
			case err == nil:
				select {
				case <-l.down:
					since = t.r.Clock.Now()
				case <-t.ctx.Done():
					return
				}
			case !errors.As(err, &late) || t.r.Clock.Now().Sub(since) > t.patience || t.r.Clock.Sleep(t.ctx, maxDelay) != nil:
				return
			}
		}
	})
}

// serve accepts until the listener is closed or its connection is lost.
func (t *tunnels) serve(f forwarding, n net.Listener, dial func() (net.Conn, error)) {
	t.tasks.Go(func() {
		for {
			in, err := n.Accept()
			if err != nil {
				return
			}
			t.tasks.Go(func() {
				out, err := dial()
				if err != nil {
					_ = in.Close() // the other side sees the refusal
					if t.ctx.Err() == nil {
						t.r.Emit(component.Warning{Summary: "Tunnel failed", Detail: fmt.Sprintf("The tunnel %s cannot connect to %s: %v.", f.text, f.target, err)})
					}
					return
				}
				t.join(in, out)
			})
		}
	})
}

// join copies both ways until both have ended or the tunnels are closed.
func (t *tunnels) join(a, b net.Conn) {
	unhook := context.AfterFunc(t.ctx, func() {
		_, _ = a.Close(), b.Close() // ends the copying below
	})
	defer unhook()
	var both sync.WaitGroup
	half := func(to, from net.Conn) {
		_, _ = io.Copy(to, from) // a broken tunnel is noticed by those who use it
		if h, ok := to.(interface{ CloseWrite() error }); ok {
			_ = h.CloseWrite()
			return
		}
		_ = to.Close()
	}
	both.Go(func() { half(a, b) })
	both.Go(func() { half(b, a) })
	both.Wait()
	_, _ = a.Close(), b.Close()
}

var errTunnelsClosed = errors.New("the tunnels are closed")

// close ends the tunnels. The connection must be closed at the same time for
// the remote listeners to end.
func (t *tunnels) close() {
	if t == nil {
		return
	}
	t.stop(errTunnelsClosed)
	for _, n := range t.listeners {
		_ = n.Close() // frees the port
	}
}

// wait returns when everything has ended.
func (t *tunnels) wait() {
	if t != nil {
		t.tasks.Wait()
	}
}
