package packerwire

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"
)

// Time limits of the broker. Plugins give up after 5 s; waiting longer ourselves
// harms nobody and helps on a busy machine.
const (
	acceptPatience = 30 * time.Second
	dialPatience   = 7 * time.Second
	parkPatience   = 30 * time.Second
)

// maxParked is how many streams may wait for somebody who asks for them.
const maxParked = 256

// streamWindow is how many bytes the other side may send on a stream before they
// are read. More than yamux's 256 KiB keeps a transfer going while both processes
// share a processor.
const streamWindow = 1 << 20

// Conn is the connection to a peer: a yamux session whose streams are asked for by
// number. Numbers belong to the side that gave them out.
type Conn struct {
	session *yamux.Session
	next    atomic.Uint32
	ended   chan struct{} // closed when no stream can come any more
	work    sync.WaitGroup

	mu    sync.Mutex
	slots map[uint32]*slot // guarded by mu
}

// slot is where the stream of a number and the one who waits for it meet.
type slot struct {
	stream chan net.Conn // holds one
	waited bool          // somebody has asked for it
}

// NewClient makes the host's side of a connection. Messages of the session, such as
// a time-out, go to logs; nil discards them. Close closes c too.
func NewClient(c io.ReadWriteCloser, logs io.Writer) (*Conn, error) {
	return newConn(c, logs, yamux.Client)
}

// NewServer makes the plugin's side.
func NewServer(c io.ReadWriteCloser, logs io.Writer) (*Conn, error) {
	return newConn(c, logs, yamux.Server)
}

func newConn(c io.ReadWriteCloser, logs io.Writer, side func(io.ReadWriteCloser, *yamux.Config) (*yamux.Session, error)) (*Conn, error) {
	if logs == nil {
		logs = io.Discard
	}
	cfg := yamux.DefaultConfig()
	cfg.LogOutput, cfg.Logger = nil, log.New(logs, "", 0)
	cfg.MaxStreamWindowSize = streamWindow
	// A machine under load, or one that was suspended, is not a dead peer.
	cfg.ConnectionWriteTimeout = 30 * time.Second
	session, err := side(c, cfg)
	if err != nil {
		return nil, fmt.Errorf("start the session with the peer: %w", err)
	}
	b := &Conn{session: session, ended: make(chan struct{}), slots: map[uint32]*slot{}}
	b.work.Add(1)
	go b.accept()
	return b, nil
}

// NextID gives out a number for a stream that the peer is to open.
func (b *Conn) NextID() uint32 { return b.next.Add(1) }

// Done is closed when the connection has ended, from either side.
func (b *Conn) Done() <-chan struct{} { return b.ended }

// Close ends the connection with all its streams.
func (b *Conn) Close() error {
	err := b.session.Close()
	b.work.Wait()
	if err != nil {
		return fmt.Errorf("close the session with the peer: %w", err)
	}
	return nil
}

// Dial opens the stream that the peer has given a number to.
func (b *Conn) Dial(ctx context.Context, id uint32) (net.Conn, error) {
	s, err := b.dial(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("open stream %d of the peer: %w", id, b.because(ctx, err))
	}
	return s, nil
}

// because says of an error on a stream that the connection has ended, when it has; ctx is
// what else may have ended the stream.
func (b *Conn) because(ctx context.Context, err error) error {
	if !b.session.IsClosed() || ctx.Err() != nil || errors.Is(err, ErrEnded) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrEnded, err)
}

func (b *Conn) dial(ctx context.Context, id uint32) (net.Conn, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	s, err := b.session.Open()
	if err != nil {
		return nil, err
	}
	var sent, got [4]byte
	binary.LittleEndian.PutUint32(sent[:], id)
	err = within(ctx, s, dialPatience, func() error {
		if _, err := s.Write(sent[:]); err != nil {
			return err
		}
		_, err := io.ReadFull(s, got[:])
		return err
	})
	if err == nil && got != sent {
		err = fmt.Errorf("it answered with the number %d", binary.LittleEndian.Uint32(got[:]))
	}
	if err != nil {
		abandon(s)
		return nil, err
	}
	return s, nil
}

// Accept waits for the peer to open the stream that was given the number id here.
// It may be called before or after the peer does so, and once for each number.
func (b *Conn) Accept(ctx context.Context, id uint32) (net.Conn, error) {
	s, err := b.waitFor(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("wait for the peer to open stream %d: %w", id, b.because(ctx, err))
	}
	return s, nil
}

func (b *Conn) waitFor(ctx context.Context, id uint32) (net.Conn, error) {
	b.mu.Lock()
	w := b.slots[id]
	if w == nil {
		w = &slot{stream: make(chan net.Conn, 1)}
		b.slots[id] = w
	}
	taken := w.waited
	w.waited = true
	b.mu.Unlock()
	if taken {
		return nil, errors.New("somebody waits for it already")
	}
	defer b.forget(id, w)
	limit := time.NewTimer(acceptPatience)
	defer limit.Stop()
	var s net.Conn
	select {
	case s = <-w.stream:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-b.ended:
		return nil, ErrEnded
	case <-limit.C:
		return nil, fmt.Errorf("it did not within %s", acceptPatience)
	}
	var ack [4]byte
	binary.LittleEndian.PutUint32(ack[:], id)
	if err := within(ctx, s, dialPatience, func() error { _, err := s.Write(ack[:]); return err }); err != nil {
		abandon(s)
		return nil, err
	}
	return s, nil
}

// ErrEnded is the error of everything that needs a connection, or a stream of it, after its
// end.
var ErrEnded = errors.New("the connection has ended")

// forget removes a slot; a stream that nobody has taken is closed.
func (b *Conn) forget(id uint32, w *slot) {
	b.mu.Lock()
	if b.slots[id] == w {
		delete(b.slots, id)
	}
	b.mu.Unlock()
	select {
	case s := <-w.stream:
		abandon(s)
	default:
	}
}

// accept takes the streams that the peer opens until the session ends.
func (b *Conn) accept() {
	defer b.work.Done()
	defer close(b.ended)
	for {
		s, err := b.session.Accept()
		if err != nil {
			return
		}
		b.work.Add(1)
		go func() { // ends with the session, or after its time limits
			defer b.work.Done()
			b.park(s)
		}()
	}
}

// park reads the number of a new stream and keeps it until it is asked for.
func (b *Conn) park(s net.Conn) {
	var number [4]byte
	err := within(context.Background(), s, parkPatience, func() error { _, err := io.ReadFull(s, number[:]); return err })
	if err != nil {
		abandon(s)
		return
	}
	id := binary.LittleEndian.Uint32(number[:])
	b.mu.Lock()
	w := b.slots[id]
	if w == nil && len(b.slots) < maxParked {
		w = &slot{stream: make(chan net.Conn, 1)}
		b.slots[id] = w
	}
	kept := false
	if w != nil {
		select {
		case w.stream <- s:
			kept = true
		default: // a number is served once
		}
	}
	waited := w != nil && w.waited
	b.mu.Unlock()
	if !kept {
		abandon(s)
		return
	}
	if waited {
		return
	}
	limit := time.NewTimer(parkPatience)
	defer limit.Stop()
	select {
	case <-limit.C:
	case <-b.ended:
	}
	b.mu.Lock()
	waited = w.waited
	if !waited && b.slots[id] == w {
		delete(b.slots, id)
	}
	b.mu.Unlock()
	if !waited { // else whoever waits for it takes it
		abandon(<-w.stream)
	}
}

// within does something with a stream that ends with ctx or after a time limit.
// Afterwards the stream has no deadline.
func within(ctx context.Context, s net.Conn, limit time.Duration, do func() error) error {
	if err := s.SetDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	unhook := context.AfterFunc(ctx, func() { expire(s) })
	err := do()
	if !unhook() {
		return context.Cause(ctx) // also when it was done: expire may still be on its way
	}
	if err == nil {
		err = s.SetDeadline(time.Time{})
	}
	return err
}

// expire ends what waits on a stream.
func expire(s net.Conn) {
	_ = s.SetDeadline(time.Unix(1, 0)) // a stream always takes a deadline
}

// abandon closes a stream whose contents nobody wants any more.
func abandon(s net.Conn) {
	expire(s)
	_ = s.Close() // nothing of it is kept
}
