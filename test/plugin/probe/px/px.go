// Package px speaks the protocol of Packer plugins without the plugin SDK.
// It uses only hashicorp/yamux and the hand-written msgpack in probe/mp.
package px

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"probe/mp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"
)

var Trace = os.Getenv("PX_TRACE") != ""

func logf(f string, a ...any) {
	if Trace {
		fmt.Fprintf(os.Stderr, "px: "+f+"\n", a...)
	}
}

type Broker struct {
	S    *yamux.Session
	next uint32
	mu   sync.Mutex
	wait map[uint32]chan net.Conn
}

func NewBroker(s *yamux.Session) *Broker {
	b := &Broker{S: s, wait: map[uint32]chan net.Conn{}}
	go b.run()
	return b
}
func (b *Broker) NextID() uint32 { return atomic.AddUint32(&b.next, 1) }
func (b *Broker) ch(id uint32) chan net.Conn {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.wait[id] == nil {
		b.wait[id] = make(chan net.Conn, 1)
	}
	return b.wait[id]
}
func (b *Broker) run() {
	for {
		c, err := b.S.Accept()
		if err != nil {
			return
		}
		go func() {
			var x [4]byte
			if _, err := io.ReadFull(c, x[:]); err != nil {
				c.Close()
				return
			}
			b.ch(binary.LittleEndian.Uint32(x[:])) <- c
		}()
	}
}
func (b *Broker) Accept(id uint32) (net.Conn, error) {
	ch := b.ch(id)
	select {
	case c := <-ch:
		b.mu.Lock()
		delete(b.wait, id)
		b.mu.Unlock()
		var x [4]byte
		binary.LittleEndian.PutUint32(x[:], id)
		_, err := c.Write(x[:])
		return c, err
	case <-time.After(5 * time.Second):
		return nil, errors.New("timeout waiting for peer to dial")
	}
}
func (b *Broker) Dial(id uint32) (net.Conn, error) {
	c, err := b.S.Open()
	if err != nil {
		return nil, err
	}
	var x, y [4]byte
	binary.LittleEndian.PutUint32(x[:], id)
	if _, err := c.Write(x[:]); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(c, y[:]); err != nil {
		return nil, err
	}
	if x != y {
		return nil, fmt.Errorf("bad ack %x", y)
	}
	return c, nil
}

// valueReader pulls msgpack values off a stream.
type valueReader struct {
	r   io.Reader
	buf []byte
}

func (v *valueReader) next() (any, error) {
	for {
		if len(v.buf) > 0 {
			x, rest, err := mp.Dec(v.buf)
			if err == nil {
				v.buf = rest
				return x, nil
			}
			if err != mp.ErrShort {
				return nil, err
			}
		}
		t := make([]byte, 32<<10)
		n, err := v.r.Read(t)
		v.buf = append(v.buf, t[:n]...)
		if n == 0 && err != nil {
			return nil, err
		}
	}
}

type reply struct {
	body any
	err  error
}
type Client struct {
	c    net.Conn
	mu   sync.Mutex
	seq  uint64
	pend map[uint64]chan reply
}

func NewClient(c net.Conn) *Client {
	cl := &Client{c: c, pend: map[uint64]chan reply{}}
	go func() {
		vr := &valueReader{r: c}
		var end error
		for {
			h, err := vr.next()
			if err != nil {
				end = err
				break
			}
			body, err := vr.next()
			if err != nil {
				end = err
				break
			}
			m := h.(mp.Map)
			var seq uint64
			switch s := m.Get("Seq").(type) {
			case int64:
				seq = uint64(s)
			case uint64:
				seq = s
			}
			cl.mu.Lock()
			ch := cl.pend[seq]
			delete(cl.pend, seq)
			cl.mu.Unlock()
			r := reply{body: body}
			if e, _ := m.Get("Error").(string); e != "" {
				r = reply{err: errors.New(e), body: body}
			}
			if ch != nil {
				ch <- r
			}
		}
		cl.mu.Lock()
		for _, ch := range cl.pend {
			ch <- reply{err: fmt.Errorf("connection ended: %v", end)}
		}
		cl.pend = nil
		cl.mu.Unlock()
	}()
	return cl
}
func (cl *Client) Close() { cl.c.Close() }
func (cl *Client) Call(method string, arg any) (any, error) {
	ch := make(chan reply, 1)
	cl.mu.Lock()
	if cl.pend == nil {
		cl.mu.Unlock()
		return nil, errors.New("client is shut down")
	}
	seq := cl.seq
	cl.seq++
	cl.pend[seq] = ch
	b := mp.Enc(nil, mp.Map{{K: "ServiceMethod", V: method}, {K: "Seq", V: seq}})
	b = mp.Enc(b, arg)
	logf("> %s #%d %s", method, seq, mp.Str(arg))
	_, err := cl.c.Write(b)
	cl.mu.Unlock()
	if err != nil {
		return nil, err
	}
	r := <-ch
	logf("< %s #%d %s err=%v", method, seq, mp.Str(r.body), r.err)
	return r.body, r.err
}

// Handler serves one full method name; unknown methods return ErrNoMethod.
type Handler func(method string, arg any) (any, error)

func Serve(c net.Conn, h Handler) {
	defer c.Close()
	vr := &valueReader{r: c}
	var mu sync.Mutex
	for {
		hd, err := vr.next()
		if err != nil {
			return
		}
		body, err := vr.next()
		if err != nil {
			return
		}
		m := hd.(mp.Map)
		meth := m.Get("ServiceMethod").(string)
		go func() {
			out, err := h(meth, body)
			e := ""
			if err != nil {
				e = err.Error()
				if out == nil {
					out = mp.Map{}
				}
			}
			logf("served %s %s -> %s err=%q", meth, mp.Str(body), mp.Str(out), e)
			b := mp.Enc(nil, mp.Map{{K: "ServiceMethod", V: meth}, {K: "Seq", V: m.Get("Seq")}, {K: "Error", V: e}})
			b = mp.Enc(b, out)
			mu.Lock()
			c.Write(b)
			mu.Unlock()
		}()
	}
}

func ServeID(b *Broker, id uint32, h Handler) {
	c, err := b.Accept(id)
	if err != nil {
		logf("accept %d: %v", id, err)
		return
	}
	Serve(c, h)
}

func U32(v any) uint32 {
	switch v := v.(type) {
	case int64:
		return uint32(v)
	case uint64:
		return uint32(v)
	}
	return 0
}
