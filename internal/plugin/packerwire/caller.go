package packerwire

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/yamux"
)

// RemoteError is what the other side answered a call with.
type RemoteError struct{ Message string }

// Error is the message of the other side, unchanged.
func (e *RemoteError) Error() string { return e.Message }

// ErrUncancelled: the other side was asked to cancel a call and has not ended it in
// the time that it was given.
var ErrUncancelled = errors.New("it did not end after it was told to cancel")

type requestHeader struct {
	ServiceMethod string
	Seq           uint64
}

type replyHeader struct {
	ServiceMethod string
	Seq           uint64
	Error         string
}

// Caller calls the services of the peer over one stream. It may be used by several
// goroutines; calls run side by side.
type Caller struct {
	stream net.Conn
	turn   chan struct{} // holds a token while nobody writes
	done   chan struct{} // closed when nothing can be answered any more

	mu      sync.Mutex
	seq     uint64
	pending map[uint64]chan answer // guarded by mu; nil after the end
	end     error                  // why it ended
}

type answer struct {
	body []byte
	err  error
}

// NewCaller starts calling over a stream that it owns from now on.
func NewCaller(stream net.Conn) *Caller {
	c := &Caller{stream: stream, turn: make(chan struct{}, 1), done: make(chan struct{}), pending: map[uint64]chan answer{}}
	c.turn <- struct{}{}
	go c.read()
	return c
}

// Close closes the stream. Pending calls fail.
func (c *Caller) Close() error {
	abandon(c.stream)
	<-c.done
	return nil
}

// Done is closed when the stream has ended.
func (c *Caller) Done() <-chan struct{} { return c.done }

// Call calls a method, "Service.Method", and decodes its result into what reply
// points to; a nil reply drops it. When ctx ends, Call returns the cause at once;
// the other side goes on, since calls cannot be taken back. An error of the other
// side is a *RemoteError.
func (c *Caller) Call(ctx context.Context, method string, arg, reply any) error {
	ch, seq, err := c.send(ctx, method, arg)
	if err != nil {
		return err
	}
	select {
	case a := <-ch:
		return a.into(method, reply)
	case <-ctx.Done():
		c.drop(seq)
		return context.Cause(ctx)
	}
}

// CallCancel is Call for a method that can be cancelled: when ctx ends, the method
// cancel is called, and the answer to the first one is waited for until grace has
// passed. Then the error is ErrUncancelled. The method cancel is never called when the
// other one is not pending. waiting, which may be nil, is called when the wait begins.
func (c *Caller) CallCancel(ctx context.Context, method, cancel string, arg, reply any, grace time.Duration, waiting func()) error {
	ch, seq, err := c.send(ctx, method, arg)
	if err != nil {
		return err
	}
	select {
	case a := <-ch:
		return a.into(method, reply)
	case <-ctx.Done():
	}
	if waiting != nil {
		waiting()
	}
	patience, stop := context.WithTimeoutCause(context.WithoutCancel(ctx), grace, ErrUncancelled)
	defer stop()
	// The answer to the cancellation says nothing: what counts is that the call ends.
	_, other, err := c.send(patience, cancel, nil)
	if err == nil {
		defer c.drop(other)
	}
	select {
	case a := <-ch:
		return a.into(method, reply)
	case <-patience.Done():
		c.drop(seq)
		return context.Cause(patience)
	}
}

// send writes a request. The channel gets its answer.
func (c *Caller) send(ctx context.Context, method string, arg any) (chan answer, uint64, error) {
	ch := make(chan answer, 1)
	select {
	case <-c.turn:
	case <-c.done:
		return nil, 0, fmt.Errorf("call %s: %w", method, c.reason())
	case <-ctx.Done():
		return nil, 0, context.Cause(ctx)
	}
	defer func() { c.turn <- struct{}{} }()
	c.mu.Lock()
	if c.pending == nil {
		c.mu.Unlock()
		return nil, 0, fmt.Errorf("call %s: %w", method, c.reason())
	}
	seq := c.seq
	c.seq++
	c.pending[seq] = ch
	c.mu.Unlock()
	var msg bytes.Buffer
	err := encode(&msg, requestHeader{method, seq})
	if err == nil {
		err = encode(&msg, arg)
	}
	if err != nil {
		c.drop(seq)
		return nil, 0, fmt.Errorf("call %s: encode the argument: %w", method, err)
	}
	err = c.write(ctx, msg.Bytes())
	if errors.Is(err, yamux.ErrSessionShutdown) {
		// The request may have arrived. What came of the answer is read to its end.
		return ch, seq, nil
	}
	if err != nil {
		c.drop(seq)
		return nil, 0, fmt.Errorf("call %s: %w", method, err)
	}
	return ch, seq, nil
}

// write sends a whole message. One that was cut by the end of ctx ends the stream; the
// end of the session leaves it to its reader.
func (c *Caller) write(ctx context.Context, msg []byte) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	hurried := make(chan struct{})
	unhook := context.AfterFunc(ctx, func() {
		defer close(hurried)
		_ = c.stream.SetWriteDeadline(time.Unix(1, 0)) // a stream takes a deadline
	})
	_, err := c.stream.Write(msg)
	if !unhook() {
		<-hurried // or it would hold for the next message
		_ = c.stream.SetWriteDeadline(time.Time{})
	}
	if err == nil || errors.Is(err, yamux.ErrSessionShutdown) {
		return err
	}
	abandon(c.stream)
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return fmt.Errorf("%w: %w", ErrEnded, err)
}

func (c *Caller) drop(seq uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, seq)
}

func (c *Caller) reason() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end == nil {
		return ErrEnded
	}
	return c.end
}

// read hands the answers to who waits for them until the stream ends.
func (c *Caller) read() {
	r := bufio.NewReader(c.stream)
	var end error
	for end == nil {
		end = c.readOne(r)
	}
	if end == io.EOF {
		end = ErrEnded
	} else {
		end = fmt.Errorf("%w: %w", ErrEnded, end)
	}
	c.mu.Lock()
	waiting := c.pending
	c.pending, c.end = nil, end
	c.mu.Unlock()
	for _, ch := range waiting {
		ch <- answer{err: end}
	}
	_ = c.stream.Close() // it has ended
	close(c.done)
}

func (c *Caller) readOne(r *bufio.Reader) error {
	head, err := readValue(r)
	if err != nil {
		return err
	}
	body, err := readValue(r)
	if err != nil {
		return noEOF(err)
	}
	var h replyHeader
	if err := decode(head, &h); err != nil {
		return fmt.Errorf("the header of an answer: %w", err)
	}
	a := answer{body: body}
	if h.Error != "" {
		a.err = &RemoteError{h.Error}
	}
	c.mu.Lock()
	ch := c.pending[h.Seq]
	delete(c.pending, h.Seq)
	c.mu.Unlock()
	if ch != nil {
		ch <- a
	}
	return nil
}

func (a answer) into(method string, reply any) error {
	switch {
	case a.err != nil && errors.As(a.err, new(*RemoteError)):
		return a.err
	case a.err != nil:
		return fmt.Errorf("call %s: %w", method, a.err)
	case reply == nil:
		return nil
	}
	if err := decode(a.body, reply); err != nil {
		return fmt.Errorf("call %s: decode the answer: %w", method, err)
	}
	return nil
}

// noEOF turns the end of a stream in the middle of a message into an error.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
