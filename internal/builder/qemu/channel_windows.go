package qemu

import (
	"context"
	"errors"
	"fmt"
	"net"
)

// newChannels makes lines over connections of the loopback interface, since a
// process cannot inherit sockets here.
func newChannels(ctx context.Context, n int) ([]*channel, error) {
	var out []*channel
	for range n {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			closeChannels(out)
			return nil, fmt.Errorf("make a socket for qemu: %w", err)
		}
		out = append(out, &channel{
			argument: fmt.Sprintf("socket,host=127.0.0.1,port=%d", l.Addr().(*net.TCPAddr).Port),
			connect:  func(ctx context.Context, ended <-chan struct{}) (net.Conn, error) { return accept(ctx, l, ended) },
			close:    func() { _ = l.Close() },
		})
	}
	return out, nil
}

// accept waits for the one connection.
func accept(ctx context.Context, l net.Listener, ended <-chan struct{}) (net.Conn, error) {
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-ctx.Done():
		case <-ended:
		case <-done:
		}
		_ = l.Close() // it ends Accept
	}()
	conn, err := l.Accept()
	switch {
	case err == nil:
		return conn, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	}
	return nil, errors.New("qemu has ended")
}

// closeChannels frees what is not in use.
func closeChannels(channels []*channel) {
	for _, c := range channels {
		c.close()
	}
}
