package crash

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
)

// proxy passes on what a program says to the Docker engine, and tells when a
// request has gone through whose first line matches.
type proxy struct {
	host    string
	call    *regexp.Regexp
	engine  string
	matched chan struct{}
	once    sync.Once
}

func newProxy(t *testing.T, engine, call string) *proxy {
	t.Helper()
	// Not in the test's own folder, whose name is too long for a socket.
	dir, err := os.MkdirTemp("", "crash")
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "docker.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{host: "unix://" + socket, call: regexp.MustCompile("^" + call), engine: engine, matched: make(chan struct{})}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { p.serve(conn) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		serving.Wait()
		os.RemoveAll(dir)
	})
	return p
}

// onMatch waits for the request and kills the process. It also returns when
// the process has ended without.
func (p *proxy) onMatch(process *os.Process) {
	<-p.matched
	process.Kill()
}

func (p *proxy) serve(program net.Conn) {
	defer program.Close()
	engine, err := net.Dial("unix", p.engine)
	if err != nil {
		return
	}
	var answering sync.WaitGroup
	answering.Go(func() {
		io.Copy(program, engine)
		// The engine has said all: what the program still says is not read.
		program.Close()
	})
	p.forward(engine, program)
	engine.(*net.UnixConn).CloseWrite()
	engine.Close()
	answering.Wait()
}

// forward passes on requests. Each begins a read, since the program writes it
// in one piece and waits for the answer.
func (p *proxy) forward(engine io.Writer, program io.Reader) {
	buf := make([]byte, 64<<10)
	for {
		n, err := program.Read(buf)
		if n > 0 {
			if _, err := engine.Write(buf[:n]); err != nil {
				return
			}
			if p.call.Match(buf[:n]) {
				p.once.Do(func() { close(p.matched) })
			}
		}
		if err != nil {
			return
		}
	}
}
