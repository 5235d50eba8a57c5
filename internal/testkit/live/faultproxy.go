package live

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// FaultProxy listens on a loopback port and passes TCP connections on to a
// target, as badly as it is told to. Every setting may be changed while
// connections are open and takes effect with the next chunk they carry.
// Its methods may be called from several goroutines at once.
type FaultProxy struct {
	target   string
	listener net.Listener
	ctx      context.Context
	stop     context.CancelFunc
	workers  sync.WaitGroup

	mu       sync.Mutex
	faults   faults
	changed  chan struct{} // closed and replaced whenever faults is written
	links    map[*link]struct{}
	accepted int
	carried  int64
}

// faults is what is wrong with the network at the moment.
type faults struct {
	delay     time.Duration // before each chunk
	bandwidth int           // bytes per second for each direction of a connection; 0 is no limit
	dropAfter int64         // bytes a connection carries before it is cut; negative is never
	blackhole bool          // nothing is carried and nothing is closed
	refuse    bool          // connections are cut as they come
}

// link is one connection through the proxy.
type link struct {
	client, server net.Conn
	carried        int64 // both directions; guarded by FaultProxy.mu
}

// chunkSize bounds what one delay applies to. It is small so that a bandwidth
// limit gives a steady trickle instead of a few bursts.
const chunkSize = 4 << 10

// NewFaultProxy starts a proxy to target ("host:port") without any faults. It
// is closed when the test ends.
func NewFaultProxy(t testing.TB, target string) *FaultProxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("fault proxy: %v", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	p := &FaultProxy{
		target:   target,
		listener: listener,
		ctx:      ctx,
		stop:     stop,
		faults:   faults{dropAfter: -1},
		changed:  make(chan struct{}),
		links:    map[*link]struct{}{},
	}
	p.workers.Go(p.accept)
	t.Cleanup(p.Close)
	return p
}

// Addr returns the "host:port" to connect to.
func (p *FaultProxy) Addr() string { return p.listener.Addr().String() }

// Host and Port return the two halves of Addr.
func (p *FaultProxy) Host() string { return p.tcpAddr().IP.String() }
func (p *FaultProxy) Port() int    { return p.tcpAddr().Port }

func (p *FaultProxy) tcpAddr() *net.TCPAddr { return p.listener.Addr().(*net.TCPAddr) }

// Delay holds every chunk (at most 4 KiB) back for d. A chunk waits for the one
// before it, so this limits bandwidth as well as it adds latency.
func (p *FaultProxy) Delay(d time.Duration) { p.change(func(f *faults) { f.delay = d }) }

// Bandwidth limits each direction of each connection; 0 lifts the limit.
func (p *FaultProxy) Bandwidth(bytesPerSecond int) {
	p.change(func(f *faults) { f.bandwidth = bytesPerSecond })
}

// DropAfter resets every connection, open ones too, once it has carried n bytes
// in both directions together. Exactly n bytes arrive. A negative n takes the
// limit away.
func (p *FaultProxy) DropAfter(n int64) { p.change(func(f *faults) { f.dropAfter = n }) }

// Blackhole makes connections stay open and carry nothing, as behind a
// firewall that drops packets. New ones are accepted but get no answer. What
// was sent meanwhile is delivered when it is turned off.
func (p *FaultProxy) Blackhole(on bool) { p.change(func(f *faults) { f.blackhole = on }) }

// Refuse resets new connections as they come, as a closed port does a moment
// later. Open ones go on.
func (p *FaultProxy) Refuse(on bool) { p.change(func(f *faults) { f.refuse = on }) }

// Cut resets every open connection now. New ones are taken as before.
func (p *FaultProxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.reset()
	}
}

// Heal takes all faults away. Connections that were cut stay cut.
func (p *FaultProxy) Heal() { p.change(func(f *faults) { *f = faults{dropAfter: -1} }) }

// Connections returns how many connections were ever accepted, refused ones
// included.
func (p *FaultProxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

// Carried returns how many bytes all connections together have carried, in
// both directions.
func (p *FaultProxy) Carried() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.carried
}

// Close stops listening, resets what is open and waits until nothing of the
// proxy runs any more.
func (p *FaultProxy) Close() {
	p.stop()
	p.listener.Close()
	p.Cut()
	p.workers.Wait()
}

func (p *FaultProxy) change(edit func(*faults)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	edit(&p.faults)
	close(p.changed)
	p.changed = make(chan struct{})
}

// current returns the faults and a channel that is closed once they are out of
// date.
func (p *FaultProxy) current() (faults, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.faults, p.changed
}

func (p *FaultProxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.accepted++
		refuse := p.faults.refuse
		p.mu.Unlock()
		if refuse {
			reset(client)
			continue
		}
		p.workers.Go(func() { p.serve(client) })
	}
}

func (p *FaultProxy) serve(client net.Conn) {
	var dialer net.Dialer
	server, err := dialer.DialContext(p.ctx, "tcp", p.target)
	if err != nil {
		reset(client)
		return
	}
	l := &link{client: client, server: server}
	p.mu.Lock()
	p.links[l] = struct{}{}
	closing := p.ctx.Err() != nil
	p.mu.Unlock()
	if closing {
		l.reset()
	}

	var directions sync.WaitGroup
	directions.Go(func() { p.carry(l, server, client) })
	directions.Go(func() { p.carry(l, client, server) })
	directions.Wait()

	client.Close()
	server.Close()
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

// carry copies one direction until it ends, and hands its end on, so that
// protocols that close only one direction work through the proxy.
func (p *FaultProxy) carry(l *link, dst, src net.Conn) {
	buf := make([]byte, chunkSize)
	for {
		n, err := src.Read(buf)
		if n > 0 && !p.forward(l, dst, buf[:n]) {
			l.reset()
			return
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			if p.passable() {
				closeWrite(dst)
			}
			return
		default:
			// A blackhole swallows the news of a broken connection as well.
			p.passable()
			l.reset()
			return
		}
	}
}

// forward delivers one chunk under the faults of the moment and reports
// whether the connection may live on.
func (p *FaultProxy) forward(l *link, dst net.Conn, chunk []byte) bool {
	f, _ := p.current()
	if !p.pause(f.delay) {
		return false
	}
	for len(chunk) > 0 {
		if !p.passable() {
			return false
		}
		f, _ := p.current()
		piece := chunk
		if f.bandwidth > 0 {
			// About twenty pieces a second, so that a slow link still trickles.
			piece = piece[:min(len(piece), max(1, f.bandwidth/20))]
		}
		if f.bandwidth > 0 && !p.pause(time.Duration(len(piece))*time.Second/time.Duration(f.bandwidth)) {
			return false
		}
		allowed, spent := p.account(l, len(piece))
		if _, err := dst.Write(piece[:allowed]); err != nil {
			return false
		}
		if spent {
			p.pause(dropGrace)
			return false
		}
		chunk = chunk[len(piece):]
	}
	return true
}

// dropGrace is how long the last bytes within the limit get to arrive: a reset
// throws away what is still on its way.
const dropGrace = 50 * time.Millisecond

// account books up to n bytes on the connection. It returns how many of them
// the connection may carry, and whether it may carry none after them.
func (p *FaultProxy) account(l *link, n int) (allowed int, spent bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	allowed = n
	if limit := p.faults.dropAfter; limit >= 0 {
		left := max(0, limit-l.carried)
		allowed = int(min(int64(n), left))
		spent = int64(allowed) == left
	}
	l.carried += int64(allowed)
	p.carried += int64(allowed)
	return allowed, spent
}

// passable waits for a blackhole to end and reports whether the proxy is still
// open.
func (p *FaultProxy) passable() bool {
	for {
		f, changed := p.current()
		if !f.blackhole {
			return p.ctx.Err() == nil
		}
		select {
		case <-changed:
		case <-p.ctx.Done():
			return false
		}
	}
}

// pause waits and reports whether the proxy is still open.
func (p *FaultProxy) pause(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.ctx.Done():
		return false
	}
}

func (l *link) reset() {
	reset(l.client)
	reset(l.server)
}

// reset closes a connection so that the other end sees an error and not an
// orderly end.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		// On a connection already closed this fails, and nothing is left to do.
		_ = tcp.SetLinger(0)
	}
	conn.Close()
}

func closeWrite(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
}
