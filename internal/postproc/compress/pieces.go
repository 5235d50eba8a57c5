package compress

import (
	"bytes"
	"io"
	"runtime"
	"sync"
)

// compressor appends the compressed form of data to out. It is called from
// several goroutines.
type compressor func(out *bytes.Buffer, data []byte) error

// pieces compresses pieces of a stream side by side and writes them in order,
// for formats in which such pieces one after the other are valid. Memory is
// bounded by a few pieces per processor.
type pieces struct {
	w        io.Writer
	compress compressor
	trailer  []byte
	size     int

	buf     []byte
	count   int
	queue   chan *piece   // in the order of the stream
	written chan struct{} // closed when the queue has been written
	closed  bool

	mu  sync.Mutex
	err error // guarded by mu; the first error
}

type piece struct {
	out  bytes.Buffer
	err  error
	done chan struct{}
}

func newPieces(w io.Writer, size int, c compressor, trailer []byte) *pieces {
	p := &pieces{
		w: w, compress: c, trailer: trailer, size: size,
		queue:   make(chan *piece, runtime.GOMAXPROCS(0)),
		written: make(chan struct{}),
	}
	go p.drain()
	return p
}

// drain writes the finished pieces. After an error it only waits for the rest.
func (p *pieces) drain() {
	defer close(p.written)
	for one := range p.queue {
		<-one.done
		if p.failed() != nil {
			continue
		}
		if one.err != nil {
			p.fail(one.err)
			continue
		}
		if _, err := p.w.Write(one.out.Bytes()); err != nil {
			p.fail(err)
		}
	}
}

func (p *pieces) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
	}
}

func (p *pieces) failed() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func (p *pieces) Write(b []byte) (int, error) {
	n := 0
	for len(b) > 0 {
		if err := p.failed(); err != nil {
			return n, err
		}
		if p.buf == nil && p.count > 0 {
			p.buf = make([]byte, 0, p.size) // it will probably be filled again
		}
		take := min(len(b), p.size-len(p.buf))
		p.buf = append(p.buf, b[:take]...)
		b, n = b[take:], n+take
		if len(p.buf) == p.size {
			p.dispatch()
		}
	}
	return n, nil
}

// dispatch compresses what has been collected; it waits while as many pieces
// as there are processors are under way.
func (p *pieces) dispatch() {
	data := p.buf
	p.buf = nil
	p.count++
	one := &piece{done: make(chan struct{})}
	p.queue <- one
	go func() {
		defer close(one.done)
		one.err = p.compress(&one.out, data)
	}()
}

// Close writes the rest. An empty stream is one empty piece.
func (p *pieces) Close() error {
	if p.closed {
		return p.failed()
	}
	p.closed = true
	if len(p.buf) > 0 || p.count == 0 {
		p.dispatch()
	}
	close(p.queue)
	<-p.written
	if err := p.failed(); err != nil {
		return err
	}
	if len(p.trailer) > 0 {
		if _, err := p.w.Write(p.trailer); err != nil {
			p.fail(err)
			return err
		}
	}
	return nil
}
