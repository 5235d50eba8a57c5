package qemu

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
)

// ports hands out ports of this computer to forward to the machine, each one once,
// beginning anywhere in the range so that parallel builds seldom meet. A port is
// only likely to be free: QEMU takes it by listening, and when somebody was faster,
// it is started again with the next one.
type ports struct {
	low, n, first, next int
}

func newPorts(low, high int) *ports {
	n := high - low + 1
	return &ports{low: low, n: n, first: rand.IntN(n)}
}

// take returns the next port on which nobody listens.
func (p *ports) take(ctx context.Context) (int, error) {
	for ; p.next < p.n; p.next++ {
		port := p.low + (p.first+p.next)%p.n
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		_ = l.Close() // it was only a question
		p.next++
		return port, nil
	}
	return 0, fmt.Errorf("no port from %d to %d is free to be forwarded to the machine (host_port_min, host_port_max)", p.low, p.low+p.n-1)
}

// portWasTaken reports whether QEMU said that it could not listen on the port that
// is forwarded.
func portWasTaken(said string) bool {
	return strings.Contains(said, "Could not set up host forwarding rule")
}
