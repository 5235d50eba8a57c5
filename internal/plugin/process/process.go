// Package process starts Packer plugins: the program with its cookie and its
// arguments, the line by which it says where it listens, the connection, what it
// logs, and its end with all that it has started.
package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"ingot/internal/component"
	"ingot/internal/hostproc"
	"ingot/internal/plugin/packerwire"
)

// DefaultStart is how long a plugin may take until it can be called.
const DefaultStart = 60 * time.Second

// endPatience is how long the pipes of a plugin that has ended are read when
// something that it has started still holds them.
const endPatience = 2 * time.Second

// The ports that a plugin may listen on where it has no other way.
const (
	minPort = 10000
	maxPort = 25000
)

// Kind is the kind of a plugin's component, as its command line has it.
type Kind string

// The kinds.
const (
	Builder       Kind = "builder"
	Provisioner   Kind = "provisioner"
	PostProcessor Kind = "post-processor"
	DataSource    Kind = "datasource"
)

// Options say what is started.
type Options struct {
	// Path is the program. Whoever starts it has checked it.
	Path string
	// Name is what messages call the plugin.
	Name      string
	Kind      Kind
	Component string
	// Protobuf asks for schemas as protocol buffers; only plugins that understand
	// it may be asked.
	Protobuf bool
	// Environ is the environment, to which the variables of the protocol are added.
	Environ []string
	// RunID is exported as PACKER_RUN_UUID when it is not empty.
	RunID string
	// Log receives what the plugin writes to its standard error, line by line; nil
	// drops it. It may be called from several goroutines.
	Log    func(line string)
	Limits Limits
	// StartTimeout is how long it may take until the plugin can be called; 0 stands for
	// DefaultStart.
	StartTimeout time.Duration
}

// Limits are what a plugin may use; zero values are no limits. They hold for each of
// its processes.
type Limits struct {
	// Memory is in bytes.
	Memory uint64
	// OpenFiles is how many files and connections may be open.
	OpenFiles uint64
}

// Process is a plugin that runs one component.
type Process struct {
	o      Options
	proc   *hostproc.Process
	logs   *logs
	conn   *packerwire.Conn
	caller *packerwire.Caller

	end   sync.Once
	ended error // what End returned the first time
}

// Start starts a plugin and connects to its component. The process is acquired from the
// journal of r, or, when r has none, ended only by End: then it does not outlive this
// process for long, since a plugin ends when its connection does.
func Start(ctx context.Context, journal component.Recorder, o Options) (*Process, error) {
	p, err := start(ctx, journal, o)
	if err != nil {
		return nil, fmt.Errorf("start the plugin %s for its %s %s: %w", o.Name, o.Kind, Shown(o.Component), err)
	}
	return p, nil
}

// Shown is the name of a component for messages.
func Shown(component string) string {
	if component == packerwire.DefaultComponent {
		return "without a name"
	}
	return strconv.Quote(component)
}

func start(ctx context.Context, journal component.Recorder, o Options) (*Process, error) {
	limit := o.StartTimeout
	if limit == 0 {
		limit = DefaultStart
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it could not be called within %s", limit))
	defer cancel()
	if journal == nil {
		journal = unrecorded{}
	}
	args := []string{"start", string(o.Kind)}
	if o.Protobuf {
		args = append(args, packerwire.ProtobufFlag)
	}
	first := newFirstLine()
	p := &Process{o: o, logs: &logs{to: o.Log}}
	cmd := exec.Command(o.Path, append(args, o.Component)...)
	cmd.Env = o.environ()
	cmd.Stdout, cmd.Stderr = first, p.logs
	cmd.WaitDelay = endPatience
	var err error
	if p.proc, err = hostproc.Start(ctx, component.Run{Journal: journal}, cmd); err != nil {
		return nil, err
	}
	if err = limitProcess(p.proc.PID(), o.Limits); err == nil {
		err = p.connect(ctx, first)
	}
	if errors.Is(err, packerwire.ErrEnded) {
		err = p.ending(err)
	}
	if err != nil {
		err = errors.Join(err, p.End(context.WithoutCancel(ctx)))
		return nil, p.withLogs(err)
	}
	return p, nil
}

func (o Options) environ() []string {
	env := append([]string(nil), o.Environ...)
	env = append(env,
		packerwire.CookieVariable+"="+packerwire.CookieValue,
		"PACKER_PLUGIN_MIN_PORT="+strconv.Itoa(minPort),
		"PACKER_PLUGIN_MAX_PORT="+strconv.Itoa(maxPort),
	)
	if o.RunID != "" {
		env = append(env, "PACKER_RUN_UUID="+o.RunID)
	}
	return env
}

// connect waits for the plugin's line and calls it. In the order of the protocol the
// main service is asked for at once: a plugin gives up after 5 s.
func (p *Process) connect(ctx context.Context, first *firstLine) error {
	var line string
	select {
	case line = <-first.line:
	case <-p.proc.Done():
		// What it printed has been read when it has ended.
		select {
		case line = <-first.line:
		default:
			return fmt.Errorf("it ended before it said where it listens: %s", p.exit())
		}
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	h, err := packerwire.ParseHandshake(line)
	if err == nil {
		err = h.Compatible()
	}
	if err != nil {
		return err
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, h.Network, h.Address)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return fmt.Errorf("connect to it: %w", err)
	}
	if p.conn, err = packerwire.NewClient(c, p.logs); err != nil {
		_ = c.Close() // the other error is the one that counts
		return err
	}
	stream, err := p.conn.Dial(ctx, 0)
	if err != nil {
		return err
	}
	p.caller = packerwire.NewCaller(stream)
	return nil
}

// Conn is the connection to the plugin.
func (p *Process) Conn() *packerwire.Conn { return p.conn }

// Caller calls the plugin's component.
func (p *Process) Caller() *packerwire.Caller { return p.caller }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.proc.Done() }

// End kills the plugin with all that it has started, and waits for that. It may be
// called more than once.
func (p *Process) End(ctx context.Context) error {
	p.end.Do(func() {
		p.ended = p.proc.End(ctx)
		if p.caller != nil {
			_ = p.caller.Close() // the other side is gone
		}
		if p.conn != nil {
			_ = p.conn.Close() // as above
		}
		p.logs.flush()
	})
	return p.ended
}

// Explain makes the error of a call understandable. When the plugin has not answered
// because it is gone, the error says how it ended and what it logged last.
func (p *Process) Explain(err error) error {
	if packerwire.IsRemote(err) || !errors.Is(err, packerwire.ErrEnded) {
		return err
	}
	return p.withLogs(p.ending(err))
}

// ending says of the end of a connection whether the plugin has ended with it.
func (p *Process) ending(err error) error {
	// The process of a plugin that crashes ends at once; one that only hangs up goes on,
	// and is not waited for.
	limit := time.NewTimer(hangUpPatience)
	defer limit.Stop()
	select {
	case <-p.proc.Done():
		return fmt.Errorf("the plugin %s ended without an answer: %s (%w)", p.o.Name, p.exit(), err)
	case <-limit.C:
		return fmt.Errorf("the plugin %s gave no answer that can be understood: %w", p.o.Name, err)
	}
}

// hangUpPatience is how long a process may take to end after its connection has: more than
// it takes to notice the end of one that has left something running.
const hangUpPatience = 2 * endPatience

// exit says how the process has ended.
func (p *Process) exit() string {
	err := p.proc.Err()
	if err == nil || errors.Is(err, exec.ErrWaitDelay) {
		return "exit status 0"
	}
	return err.Error()
}

// withLogs adds the last lines of the plugin's log to an error.
func (p *Process) withLogs(err error) error {
	last := p.logs.last()
	if len(last) == 0 {
		return err
	}
	return fmt.Errorf("%w\nIts last lines:\n  %s", err, strings.Join(last, "\n  "))
}
