// Package qmp talks to a running QEMU process in its machine protocol: commands
// and their answers as lines of JSON, with events in between.
package qmp

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
)

// maxMessage is the longest message that is read. The answers to the commands
// that builds give are some kilobytes long.
const maxMessage = 8 << 20

// ErrClosed is what commands fail with when QEMU has closed the connection, which
// it does when it ends.
var ErrClosed = errors.New("qemu has closed the connection")

// Error is a command that QEMU refused.
type Error struct {
	// Command is what was asked for.
	Command string
	// Class is QEMU's word for the kind of error, Desc its explanation.
	Class, Desc string
}

// Error has QEMU's own words.
func (e *Error) Error() string { return fmt.Sprintf("qemu refused %s: %s", e.Command, e.Desc) }

// Event is something that QEMU tells without being asked.
type Event struct {
	// Name is the event's, such as "SHUTDOWN".
	Name string
	// Data is what belongs to it, as JSON; nil without any.
	Data json.RawMessage
}

// Client is one connection to QEMU. Its methods may be called from several
// goroutines.
type Client struct {
	conn io.ReadWriteCloser
	// Version of QEMU, such as "7.2.22".
	version string
	onEvent func(Event)
	done    chan struct{} // closed when nothing more can be read
	err     error         // why; set before done is closed
	writing sync.Mutex    // one message at a time
	mu      sync.Mutex
	next    uint64                  // guarded by mu
	waiting map[string]chan message // by id; guarded by mu
}

// message is anything that QEMU sends.
type message struct {
	Greeting *struct {
		Version struct {
			Qemu struct{ Major, Minor, Micro int } `json:"qemu"`
		} `json:"version"`
	} `json:"QMP"`
	ID     json.RawMessage `json:"id"`
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Class string `json:"class"`
		Desc  string `json:"desc"`
	} `json:"error"`
	Event string          `json:"event"`
	Data  json.RawMessage `json:"data"`
}

// Open waits for QEMU's greeting on conn and makes it take commands. The client
// owns conn from now on, also when there is an error. onEvent is called for every
// event, in order, and must not block; it may be nil.
func Open(ctx context.Context, conn io.ReadWriteCloser, onEvent func(Event)) (*Client, error) {
	c := &Client{conn: conn, onEvent: onEvent, done: make(chan struct{}), waiting: map[string]chan message{}}
	greeted := make(chan message, 1)
	go c.read(greeted)
	select {
	case m := <-greeted:
		v := m.Greeting.Version.Qemu
		c.version = fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Micro)
	case <-c.done:
		return nil, fmt.Errorf("open the connection to qemu: %w", c.err)
	case <-ctx.Done():
		c.Close()
		return nil, fmt.Errorf("open the connection to qemu: %w", context.Cause(ctx))
	}
	if err := c.Execute(ctx, "qmp_capabilities", nil, nil); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Version is QEMU's, such as "7.2.22".
func (c *Client) Version() string { return c.version }

// Done is closed when the connection has ended.
func (c *Client) Done() <-chan struct{} { return c.done }

// Close ends the connection and waits until no event is being delivered any more.
// It may be called more than once, but not by onEvent.
func (c *Client) Close() {
	_ = c.conn.Close() // what was not answered yet is lost either way
	<-c.done
}

// Execute gives QEMU a command, with args as its arguments unless they are nil,
// and waits for the answer, which is stored in result unless that is nil. The
// error is an *Error when QEMU refused, wraps ErrClosed when QEMU went away, or
// the cause of ctx, in which case the command may still be carried out.
func (c *Client) Execute(ctx context.Context, command string, args, result any) error {
	answer := make(chan message, 1)
	c.mu.Lock()
	c.next++
	id := strconv.FormatUint(c.next, 10)
	c.waiting[id] = answer
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.waiting, id)
		c.mu.Unlock()
	}()
	if err := c.send(command, args, id); err != nil {
		return fmt.Errorf("qemu command %s: %w", command, err)
	}
	select {
	case m := <-answer:
		return m.result(command, result)
	case <-c.done:
	case <-ctx.Done():
		return fmt.Errorf("qemu command %s: %w", command, context.Cause(ctx))
	}
	// The answer to a command such as quit may have come with the end.
	select {
	case m := <-answer:
		return m.result(command, result)
	default:
		return fmt.Errorf("qemu command %s: %w", command, c.err)
	}
}

func (m message) result(command string, into any) error {
	if m.Error != nil {
		return &Error{Command: command, Class: m.Error.Class, Desc: m.Error.Desc}
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(m.Return, into); err != nil {
		return fmt.Errorf("qemu command %s: answer: %w", command, err)
	}
	return nil
}

// Human gives QEMU a command of its monitor for people and returns the answer,
// which says also what went wrong.
func (c *Client) Human(ctx context.Context, line string) (string, error) {
	var text string
	err := c.Execute(ctx, "human-monitor-command", map[string]string{"command-line": line}, &text)
	return text, err
}

func (c *Client) send(command string, args any, id string) error {
	data, err := json.Marshal(struct {
		Execute   string `json:"execute"`
		Arguments any    `json:"arguments,omitempty"`
		ID        string `json:"id"`
	}{command, args, id})
	if err != nil {
		return err
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if _, err := c.conn.Write(append(data, '\n')); err != nil {
		return fmt.Errorf("%w: %w", ErrClosed, err)
	}
	return nil
}

// read delivers what QEMU sends until there is nothing more.
func (c *Client) read(greeted chan<- message) {
	defer close(c.done)
	lines := bufio.NewScanner(c.conn)
	lines.Buffer(make([]byte, 0, 4096), maxMessage)
	for lines.Scan() {
		if len(lines.Bytes()) == 0 {
			continue
		}
		var m message
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			c.err = fmt.Errorf("what answers is not qemu: %w", err)
			_ = c.conn.Close()
			return
		}
		switch {
		case m.Greeting != nil:
			select {
			case greeted <- m:
			default: // a second greeting means nothing
			}
		case m.Event != "":
			if c.onEvent != nil {
				c.onEvent(Event{Name: m.Event, Data: m.Data})
			}
		default:
			c.deliver(m)
		}
	}
	c.err = ErrClosed
	if err := lines.Err(); err != nil {
		c.err = fmt.Errorf("%w: %w", ErrClosed, err)
	}
	_ = c.conn.Close()
}

func (c *Client) deliver(m message) {
	var id string
	if json.Unmarshal(m.ID, &id) != nil {
		return // not an answer to us
	}
	c.mu.Lock()
	answer := c.waiting[id]
	delete(c.waiting, id)
	c.mu.Unlock()
	if answer != nil {
		answer <- m
	}
}
