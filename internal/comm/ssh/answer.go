package ssh

import (
	"context"
	"fmt"
	"net"
	"time"
)

// An address translator, such as the one of QEMU's user network, accepts a
// connection before the machine listens, and may take many seconds until it tries
// again to pass it on. A connection that is made a moment later gets through at
// once. So, as long as none has shown a banner, others are made, in intervals that
// grow: each costs a machine that listens already, but is slow, a process. The
// first connection stays, and of the others the newest.
const (
	firstAgain   = 500 * time.Millisecond
	mostAgain    = 5 * time.Second
	mostAnswered = 4
)

// again is the time until the next connection is made; the zero value is that of a
// new wait.
type again time.Duration

// next returns it, and grows.
func (a *again) next() time.Duration {
	d := max(time.Duration(*a), firstAgain)
	*a = again(min(d*5/4, mostAgain))
	return d
}

// answered is a connection of which the first bytes have been read.
type answered struct {
	net.Conn
	first []byte
}

func (a *answered) Read(p []byte) (int, error) {
	if len(a.first) > 0 {
		n := copy(p, a.first)
		a.first = a.first[n:]
		return n, nil
	}
	return a.Conn.Read(p)
}

// firstAnswer returns the connection on which the other side speaks first: conn,
// which it owns, or one that dial has made since. The others are closed.
func firstAnswer(ctx context.Context, conn net.Conn, limit time.Duration, pause *again, dial func(context.Context) (net.Conn, error)) (net.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errSlow("the SSH handshake", limit))
	defer cancel()
	r := race{heard: make(chan heard), dialed: make(chan heard)}
	defer r.end(cancel)
	r.listen(ctx, conn)
	tick := time.NewTimer(pause.next())
	defer tick.Stop()
	for {
		select {
		case h := <-r.heard:
			r.finished(h.conn)
			if h.err == nil {
				return h.conn, nil
			}
			if len(r.open) == 0 && r.dialing == 0 {
				return nil, h.err
			}
		case d := <-r.dialed:
			r.dialing--
			r.running--
			if d.err == nil {
				r.listen(ctx, d.conn)
			} else if len(r.open) == 0 {
				return nil, because(ctx, d.err)
			}
		case <-tick.C:
			if r.dialing == 0 {
				r.dial(ctx, dial)
			}
			tick.Reset(pause.next())
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// race is connections that wait for a banner.
type race struct {
	// open are those of which nothing was heard, oldest first.
	open    []net.Conn
	heard   chan heard
	dialed  chan heard
	dialing int
	// running counts the goroutines.
	running int
}

// heard is what became of a connection.
type heard struct {
	conn net.Conn
	err  error
}

// listen waits for the first bytes of a connection.
func (r *race) listen(ctx context.Context, conn net.Conn) {
	if len(r.open) == mostAnswered {
		_ = r.open[1].Close() // its reader then says that it has failed
	}
	r.open = append(r.open, conn)
	r.running++
	go func() {
		buf := make([]byte, 512)
		n, err := conn.Read(buf)
		if n > 0 {
			r.heard <- heard{&answered{conn, buf[:n]}, nil}
			return
		}
		_ = conn.Close() // nothing was sent
		if err = because(ctx, err); ctx.Err() == nil {
			err = fmt.Errorf("ssh: handshake failed: %w", err) // as the library says it
		}
		r.heard <- heard{conn, err}
	}()
}

func (r *race) dial(ctx context.Context, dial func(context.Context) (net.Conn, error)) {
	r.dialing++
	r.running++
	go func() {
		conn, err := dial(ctx)
		r.dialed <- heard{conn, err}
	}()
}

// finished takes a connection out of those that are waited for.
func (r *race) finished(conn net.Conn) {
	r.running--
	if a, ok := conn.(*answered); ok {
		conn = a.Conn
	}
	for i, c := range r.open {
		if c == conn {
			r.open = append(r.open[:i], r.open[i+1:]...)
			return
		}
	}
}

// end closes all that are still waited for, and waits until nothing runs any more.
func (r *race) end(cancel context.CancelFunc) {
	cancel()
	for _, c := range r.open {
		_ = c.Close()
	}
	for r.running > 0 {
		select {
		case h := <-r.heard:
			r.finished(h.conn)
			if h.err == nil {
				_ = h.conn.Close() // too late
			}
		case d := <-r.dialed:
			r.running--
			if d.err == nil {
				_ = d.conn.Close()
			}
		}
	}
}
