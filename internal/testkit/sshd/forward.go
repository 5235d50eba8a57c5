//go:build unix

package sshd

import (
	"io"
	"net"
	"strconv"
	"sync"

	"golang.org/x/crypto/ssh"
)

// forwarder carries TCP connections for one SSH connection.
type forwarder struct {
	s    *Server
	conn ssh.Conn
	all  sync.WaitGroup
	done chan struct{} // closed when the SSH connection has ended

	mu        sync.Mutex // guards listeners
	listeners map[string]net.Listener
}

// direct connects a client's channel to an address.
func (f *forwarder) direct(n ssh.NewChannel) {
	var m struct {
		Host     string
		Port     uint32
		FromHost string
		FromPort uint32
	}
	if ssh.Unmarshal(n.ExtraData(), &m) != nil {
		_ = n.Reject(ssh.ConnectionFailed, "malformed request")
		return
	}
	out, err := net.Dial("tcp", net.JoinHostPort(m.Host, strconv.Itoa(int(m.Port))))
	if err != nil {
		_ = n.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	ch, reqs, err := n.Accept()
	if err != nil {
		_ = out.Close()
		return
	}
	go ssh.DiscardRequests(reqs)
	f.join(ch, out)
}

// requests serves the connection's own requests.
func (f *forwarder) requests(reqs <-chan *ssh.Request) {
	for q := range reqs {
		ok, answer := false, []byte(nil)
		switch q.Type {
		case "tcpip-forward":
			ok, answer = f.listen(q.Payload)
		case "cancel-tcpip-forward":
			ok = f.cancel(q.Payload)
		}
		if q.WantReply {
			_ = q.Reply(ok, answer) // the end of the connection is noticed by the loop
		}
	}
}

type listenRequest struct {
	Host string
	Port uint32
}

func (f *forwarder) listen(payload []byte) (bool, []byte) {
	var m listenRequest
	if f.s.o.NoForwarding || ssh.Unmarshal(payload, &m) != nil {
		return false, nil
	}
	l, err := net.Listen("tcp", net.JoinHostPort(m.Host, strconv.Itoa(int(m.Port))))
	if err != nil {
		return false, nil
	}
	port := uint32(l.Addr().(*net.TCPAddr).Port)
	f.mu.Lock()
	f.listeners[net.JoinHostPort(m.Host, strconv.Itoa(int(port)))] = l
	f.mu.Unlock()
	f.all.Go(func() { f.accept(l, m.Host, port) })
	return true, ssh.Marshal(&struct{ Port uint32 }{port})
}

func (f *forwarder) cancel(payload []byte) bool {
	var m listenRequest
	if ssh.Unmarshal(payload, &m) != nil {
		return false
	}
	name := net.JoinHostPort(m.Host, strconv.Itoa(int(m.Port)))
	f.mu.Lock()
	defer f.mu.Unlock()
	l, ok := f.listeners[name]
	if ok {
		_ = l.Close()
		delete(f.listeners, name)
	}
	return ok
}

func (f *forwarder) accept(l net.Listener, host string, port uint32) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		from := in.RemoteAddr().(*net.TCPAddr)
		ch, reqs, err := f.openChannel("forwarded-tcpip", ssh.Marshal(&struct {
			Host     string
			Port     uint32
			FromHost string
			FromPort uint32
		}{host, port, from.IP.String(), uint32(from.Port)}))
		if err != nil {
			_ = in.Close()
			continue
		}
		go ssh.DiscardRequests(reqs)
		f.all.Go(func() { f.join(ch, in) })
	}
}

// openChannel gives up when the connection ends. The library does not always:
// a channel that is opened while its connection is being taken down may wait
// for an answer for ever.
func (f *forwarder) openChannel(kind string, data []byte) (ssh.Channel, <-chan *ssh.Request, error) {
	type opened struct {
		ch   ssh.Channel
		reqs <-chan *ssh.Request
		err  error
	}
	answer := make(chan opened, 1)
	go func() {
		ch, reqs, err := f.conn.OpenChannel(kind, data)
		answer <- opened{ch, reqs, err}
	}()
	select {
	case o := <-answer:
		return o.ch, o.reqs, o.err
	case <-f.done:
		return nil, nil, net.ErrClosed
	}
}

func (f *forwarder) close() {
	close(f.done)
	f.mu.Lock()
	for _, l := range f.listeners {
		_ = l.Close()
	}
	f.mu.Unlock()
	_ = f.conn.Close()
	f.all.Wait()
}

// join copies both ways until both have ended.
func (f *forwarder) join(ch ssh.Channel, c net.Conn) {
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-f.done:
			_ = c.Close() // ends the copying below
		case <-over:
		}
	}()
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(ch, c)
		_ = ch.CloseWrite()
	})
	both.Go(func() {
		_, _ = io.Copy(c, ch)
		if t, ok := c.(*net.TCPConn); ok {
			_ = t.CloseWrite()
		}
	})
	both.Wait()
	_ = ch.Close()
	_ = c.Close()
}
