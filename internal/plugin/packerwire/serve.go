package packerwire

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"strings"
	"sync"
)

// Service answers the calls of one service name. Its methods are called side by
// side; ctx ends with the stream.
type Service interface {
	// Call answers one method. The result is nil, or what is encoded. It returns
	// ErrNoMethod for a method that it does not have.
	Call(ctx context.Context, method string, arg Argument) (any, error)
}

// Argument decodes the argument of a call into what into points to.
type Argument func(into any) error

// ErrNoMethod is what a Service returns for a method that it does not have.
var ErrNoMethod = errors.New("no such method")

// errCancelled is the cause of a context when the other side has called Cancel.
var errCancelled = errors.New("cancelled by the other side")

// maxCalls is how many calls of one stream are answered side by side; the next one
// is read when one of them has been answered.
const maxCalls = 512

// Services are services by name. One that starts with another name, as those of
// progress bars do, is found under it: see Prefixed.
type Services map[string]Service

// Prefixed is implemented by a service that also answers to names which begin with
// its own. It is asked with the rest of the name.
type Prefixed interface {
	Service
	Below(rest string) Service
}

// Serve answers the calls on a stream, which it owns, until the stream ends or ctx
// does. It returns when all calls have been answered or cancelled. The end of the
// stream is no error.
func (s Services) Serve(ctx context.Context, stream net.Conn) error {
	ctx, cancel := context.WithCancelCause(ctx)
	v := &server{services: s, stream: stream}
	unhook := context.AfterFunc(ctx, func() { expire(stream) })
	err := v.loop(ctx)
	cancel(ErrEnded)
	v.calls.Wait()
	unhook()
	abandon(stream)
	if err == io.EOF || v.unheard {
		return nil
	}
	return err
}

type server struct {
	services Services
	stream   net.Conn
	calls    sync.WaitGroup
	writing  sync.Mutex
	unheard  bool // an answer could not be written any more; guarded by writing
}

func (v *server) loop(ctx context.Context) error {
	r := bufio.NewReader(v.stream)
	free := make(chan struct{}, maxCalls)
	for {
		head, err := readValue(r)
		if err != nil {
			return ended(ctx, err)
		}
		body, err := readValue(r)
		if err != nil {
			return ended(ctx, noEOF(err))
		}
		var h requestHeader
		if err := decode(head, &h); err != nil {
			return fmt.Errorf("the header of a call: %w", err)
		}
		select {
		case free <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		v.calls.Add(1)
		go func() { // Serve waits for it
			defer v.calls.Done()
			defer func() { <-free }()
			v.answer(ctx, h, body)
		}()
	}
}

// ended prefers the reason why we stopped to what reading says then.
func ended(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

func (v *server) answer(ctx context.Context, h requestHeader, body []byte) {
	result, err := v.services.call(ctx, h.ServiceMethod, func(into any) error {
		if err := decode(body, into); err != nil {
			return fmt.Errorf("the argument of %s: %w", h.ServiceMethod, err)
		}
		return nil
	})
	msg, err := reply(h, result, err)
	if err != nil {
		msg, err = reply(h, nil, fmt.Errorf("the result of %s: %w", h.ServiceMethod, err))
	}
	if err != nil {
		return // a header of two texts and a number can always be encoded
	}
	v.writing.Lock()
	defer v.writing.Unlock()
	if _, err := v.stream.Write(msg); err != nil {
		v.unheard = true
		expire(v.stream) // half a message may have been written: the loop ends
	}
}

func reply(h requestHeader, result any, failure error) ([]byte, error) {
	head := replyHeader{ServiceMethod: h.ServiceMethod, Seq: h.Seq}
	if failure != nil {
		head.Error, result = failure.Error(), map[string]any{}
		if head.Error == "" {
			head.Error = "unknown error"
		}
	}
	var msg bytes.Buffer
	if err := encode(&msg, head); err != nil {
		return nil, err
	}
	if err := encode(&msg, result); err != nil {
		return nil, err
	}
	return msg.Bytes(), nil
}

// call finds the service and asks it. A panic is the answer of that call only.
func (s Services) call(ctx context.Context, name string, arg Argument) (result any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("internal error in %s: %v\n%s", name, p, debug.Stack())
		}
	}()
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 {
		return nil, fmt.Errorf("rpc: service/method request ill-formed: %s", name)
	}
	service := s.find(name[:dot])
	if service == nil {
		return nil, fmt.Errorf("rpc: can't find service %s", name)
	}
	result, err = service.Call(ctx, name[dot+1:], arg)
	if errors.Is(err, ErrNoMethod) {
		return nil, fmt.Errorf("rpc: can't find method %s", name)
	}
	return result, err
}

func (s Services) find(name string) Service {
	if service := s[name]; service != nil {
		return service
	}
	for prefix, service := range s {
		p, ok := service.(Prefixed)
		if rest, cut := strings.CutPrefix(name, prefix); ok && cut {
			if below := p.Below(rest); below != nil {
				return below
			}
		}
	}
	return nil
}

// ServeOn serves the stream with the number id, which the peer is about to open.
func (s Services) ServeOn(ctx context.Context, c *Conn, id uint32) error {
	stream, err := c.Accept(ctx, id)
	if err != nil {
		return err
	}
	return s.Serve(ctx, stream)
}

// pending makes the calls of a service cancellable by its method Cancel.
type pending struct {
	mu   sync.Mutex
	next int
	stop map[int]context.CancelCauseFunc
}

// begin makes the context of a call, which end forgets again.
func (p *pending) begin(ctx context.Context) (_ context.Context, end func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stop == nil {
		p.stop = map[int]context.CancelCauseFunc{}
	}
	n := p.next
	p.next++
	ctx, cancel := context.WithCancelCause(ctx)
	p.stop[n] = cancel
	return ctx, func() {
		cancel(nil)
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.stop, n)
	}
}

// cancel ends all calls that are pending; without any it does nothing.
func (p *pending) cancel() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, stop := range p.stop {
		stop(errCancelled)
	}
}
