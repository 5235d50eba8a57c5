//go:build unix

package qemu

import (
	"context"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// firstInherited is the number that the first inherited file has in the process.
const firstInherited = 3

// newChannels makes lines over connected sockets that QEMU inherits: there is no
// path that could be too long or in somebody's way, nobody else can connect, and
// each end knows at once when the other one is gone.
func newChannels(_ context.Context, n int) ([]*channel, error) {
	var out []*channel
	for i := range n {
		c, err := newChannel(firstInherited + i)
		if err != nil {
			closeChannels(out)
			return nil, fmt.Errorf("make a socket for qemu: %w", err)
		}
		out = append(out, c)
	}
	return out, nil
}

func newChannel(number int) (*channel, error) {
	// Nobody may start a program between the two steps: it would inherit them.
	syscall.ForkLock.RLock()
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(ends[0])
		unix.CloseOnExec(ends[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, err
	}
	ours, theirs := os.NewFile(uintptr(ends[0]), "qemu"), os.NewFile(uintptr(ends[1]), "ingot")
	conn, err := net.FileConn(ours)
	_ = ours.Close() // conn has a copy
	if err != nil {
		_ = theirs.Close() // nothing was sent
		return nil, err
	}
	handedOut := false
	return &channel{
		argument: fmt.Sprintf("socket,fd=%d", number),
		file:     theirs,
		connect: func(context.Context, <-chan struct{}) (net.Conn, error) {
			handedOut = true
			return conn, nil
		},
		close: func() {
			_ = theirs.Close() // QEMU has its own
			if !handedOut {
				_ = conn.Close() // nothing was sent
			}
		},
	}, nil
}

// closeChannels frees what is not in use.
func closeChannels(channels []*channel) {
	for _, c := range channels {
		c.close()
	}
}
