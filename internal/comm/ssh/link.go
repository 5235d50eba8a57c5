package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"ingot/internal/component"
)

// deadAfter is how long a peer may be silent, in spite of keep-alives, before
// the connection counts as lost. It is generous because virtual machines
// without hardware help stall for many seconds.
const deadAfter = 30 * time.Second

// link is one authenticated connection.
type link struct {
	client *ssh.Client
	conn   *watchedConn
	// hostKey is what the machine has shown; keyless says that the login was
	// made without a key, although there may be one.
	hostKey ssh.PublicKey
	keyless bool
	// boot names the start of the machine that the connection is to; empty
	// when the machine does not tell.
	boot string

	down chan struct{} // closed when the connection has ended

	stop      chan struct{} // closed by close
	stopOnce  sync.Once
	tasks     sync.WaitGroup
	sessions  atomic.Int32
	slots     chan struct{}
	killing   sync.Mutex // one cancelled command at a time is hunted down
	lastWords atomic.Pointer[error]
}

// ordinarySessions is how many sessions are used at a time. OpenSSH allows
// ten; the last one is for ending commands that were cancelled.
const ordinarySessions = 9

// handshake turns a stream into a link.
type handshake struct {
	address  string
	creds    *credentials
	verdict  *verdict
	settings *settings
	limit    time.Duration
	entered  func(int)
}

// do runs the handshake. It owns conn.
func (h *handshake) do(ctx context.Context, conn net.Conn) (*link, error) {
	login, err := h.creds.login(ctx)
	if err != nil {
		_ = conn.Close() // nothing was sent
		return nil, final(err)
	}
	defer login.close()
	ctx, cancel := context.WithTimeoutCause(ctx, h.limit, errSlow("the SSH handshake", h.limit))
	defer cancel()
	w := watchConn(conn, h.settings.ioLimit)
	unhook := context.AfterFunc(ctx, func() {
		_ = w.Close() // makes the handshake return; its error is replaced below
	})
	defer unhook()

	h.entered(stageBanner)
	var accepted atomic.Bool
	var refused atomic.Pointer[error] // why the host's key is not taken
	var shown ssh.PublicKey
	config := &ssh.ClientConfig{
		Config:            ssh.Config{Ciphers: h.settings.ciphers, KeyExchanges: h.settings.kex},
		User:              h.creds.user,
		Auth:              login.methods,
		AuthCallback:      login.observe,
		HostKeyAlgorithms: h.verdict.algorithms,
		ClientVersion:     "SSH-2.0-Ingot",
		HostKeyCallback: func(host string, remote net.Addr, key ssh.PublicKey) error {
			shown = key
			err := h.verdict.check(host, remote, key)
			if err == nil && accepted.CompareAndSwap(false, true) {
				h.entered(stageAuth)
			}
			if err != nil {
				refused.Store(&err)
			}
			return err
		},
	}
	c, chans, reqs, err := ssh.NewClientConn(&bannerConn{watchedConn: w, entered: h.entered}, h.address, config)
	if err != nil {
		_ = w.Close() // the library may have done so
		return nil, h.explain(ctx, login, accepted.Load(), refused.Load(), err)
	}
	l := newLink(ssh.NewClient(c, chans, reqs), w)
	l.hostKey, l.keyless = shown, login.keyless()
	return l, nil
}

// explain tells a refused login from a refused host key and from a
// connection that broke.
func (h *handshake) explain(ctx context.Context, l *login, accepted bool, refused *error, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case refused != nil:
		return final(*refused)
	case accepted && !broken(err):
		return l.failure(h.creds.user, h.address, err)
	}
	return err
}

// broken reports whether an error means that the connection went away, as
// opposed to something that the other side said.
func broken(err error) bool {
	var n net.Error
	// The library passes some of them on as text only.
	return errors.As(err, &n) || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) ||
		strings.HasSuffix(err.Error(), ": EOF") || strings.HasSuffix(err.Error(), "connection reset by peer")
}

// bannerConn notes when the first byte arrives.
type bannerConn struct {
	*watchedConn
	entered func(int)
	once    sync.Once
}

// Read reads.
func (c *bannerConn) Read(p []byte) (int, error) {
	n, err := c.watchedConn.Read(p)
	if n > 0 {
		c.once.Do(func() { c.entered(stageHostKey) })
	}
	return n, err
}

// checkAlgorithms refuses names that the library does not know, since it
// would report them as a failed negotiation over and over.
func checkAlgorithms(c *component.Connection) error {
	good, bad := ssh.SupportedAlgorithms(), ssh.InsecureAlgorithms()
	check := func(attr string, got, have []string) error {
		for _, a := range got {
			if !slices.Contains(have, a) {
				return fmt.Errorf("ssh: %s: %q is not known; use any of %s", attr, a, strings.Join(have, ", "))
			}
		}
		return nil
	}
	return errors.Join(
		check("ssh_ciphers", c.SSHCiphers, append(good.Ciphers, bad.Ciphers...)),
		check("ssh_key_exchange_algorithms", c.SSHKEXAlgos, append(good.KeyExchanges, bad.KeyExchanges...)))
}

func newLink(c *ssh.Client, w *watchedConn) *link {
	l := &link{client: c, conn: w, down: make(chan struct{}), stop: make(chan struct{}), slots: make(chan struct{}, ordinarySessions)}
	l.tasks.Go(func() {
		l.end(c.Wait())
		close(l.down)
	})
	return l
}

// end remembers the first reason why the connection ended.
func (l *link) end(err error) {
	if err != nil {
		l.lastWords.CompareAndSwap(nil, &err)
	}
}

// alive reports whether the connection is not known to have ended.
func (l *link) alive() bool {
	select {
	case <-l.down:
		return false
	default:
		return true
	}
}

// lost is the error for an operation that the connection's end interrupted.
func (l *link) lost() error {
	if p := l.lastWords.Load(); p != nil {
		return fmt.Errorf("%w: %w", component.ErrDisconnected, *p)
	}
	return component.ErrDisconnected
}

// keepAlive sends messages that the peer has to answer, and closes the
// connection when nothing has been heard from it for long. An interval below
// zero turns it off.
func (l *link) keepAlive(interval time.Duration) {
	if interval <= 0 {
		return
	}
	l.tasks.Go(func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-l.stop:
				return
			case <-l.down:
				return
			case <-tick.C:
			}
			if !l.ping(max(deadAfter, 3*interval)) {
				return
			}
		}
	})
}

// ping asks for a sign of life. When none comes while nothing else does for
// limit, it closes the connection and returns false.
func (l *link) ping(limit time.Duration) bool {
	answer := make(chan error, 1)
	go func() { // ends with the connection at the latest
		_, _, err := l.client.SendRequest("keepalive@openssh.com", true, nil)
		answer <- err
	}()
	sent := time.Now()
	for {
		t := time.NewTimer(time.Second)
		select {
		case err := <-answer:
			t.Stop()
			return err == nil
		case <-l.stop:
			t.Stop()
			return false
		case <-t.C:
		}
		if quiet := min(l.conn.silence(), time.Since(sent)); quiet >= limit {
			l.end(fmt.Errorf("no answer to keep-alive messages for %s", quiet.Round(time.Second)))
			_ = l.client.Close() // it is dead anyway
			return false
		}
	}
}

// close ends the connection and waits for everything that belongs to it.
func (l *link) close() {
	l.stopOnce.Do(func() { close(l.stop) })
	_ = l.client.Close() // closing twice or a dead one is no fault
	l.tasks.Wait()
}
