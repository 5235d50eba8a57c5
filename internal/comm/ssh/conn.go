package ssh

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// watchedConn is the transport below an SSH connection. It knows when
// something was last received and limits how long one read or write may take.
// The limit is kept by closing the connection, because a connection through a
// bastion has no deadlines.
type watchedConn struct {
	net.Conn
	limit time.Duration // 0 for none

	heard   atomic.Int64 // UnixNano of the last read; 0 before the first
	expired atomic.Bool
}

func watchConn(c net.Conn, limit time.Duration) *watchedConn {
	return &watchedConn{Conn: c, limit: limit}
}

// Read reads and notes the time.
func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.limited("read", func() (int, error) { return c.Conn.Read(p) })
	if n > 0 {
		c.heard.Store(time.Now().UnixNano())
	}
	return n, err
}

// Write writes.
func (c *watchedConn) Write(p []byte) (int, error) {
	return c.limited("write", func() (int, error) { return c.Conn.Write(p) })
}

func (c *watchedConn) limited(what string, io func() (int, error)) (int, error) {
	if c.limit <= 0 {
		return io()
	}
	t := time.AfterFunc(c.limit, func() {
		c.expired.Store(true)
		_ = c.Close() // what matters is that the call below returns
	})
	n, err := io()
	t.Stop()
	if err != nil && c.expired.Load() {
		err = fmt.Errorf("%s took longer than ssh_read_write_timeout (%s): %w", what, c.limit, os.ErrDeadlineExceeded)
	}
	return n, err
}

// silence is how long nothing has been received.
func (c *watchedConn) silence() time.Duration {
	return time.Since(time.Unix(0, c.heard.Load()))
}
