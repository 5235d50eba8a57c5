package host

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"ingot/internal/component"
	"ingot/internal/plugin/packerwire"
	"ingot/internal/plugin/process"
)

// running is a builder of a plugin at work, from Prepare until its process ends.
type running struct {
	host  *Provider
	use   use
	run   component.Run
	proc  *process.Process
	token string
	lease component.Lease
	// given ends when the build is interrupted.
	given  context.Context
	cancel context.CancelCauseFunc // tells the builder to cancel

	offered chan struct{} // closed when the plugin has called for provisioning
	data    map[string]any
	caller  *packerwire.Caller // the machine; these three are set before offered is closed
	lost    context.Context    // ends when the plugin has taken the machine away

	replied sync.Once
	answer  chan error // gets what the plugin's call is answered with

	ended chan struct{} // closed when the builder has ended
	err   error         // these are set before
	made  packerwire.Artifact

	mu      sync.Mutex
	parked  bool // the plugin waits for an answer
	kept    bool // an artifact lives in the process
	stopped bool
}

// begin calls the builder. It returns at once.
func (x *running) begin(ctx context.Context) {
	x.given = ctx
	working, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	x.cancel = cancel
	// While the plugin waits for us, it need not be told: it hears when the machine is
	// not needed any more, and can be used until then.
	unhook := context.AfterFunc(ctx, func() {
		x.mu.Lock()
		parked := x.parked
		x.mu.Unlock()
		if !parked {
			cancel(context.Cause(ctx))
		}
	})
	conn := x.proc.Conn()
	services := packerwire.Services{}
	closeBars := services.AddUI(newScreen(x.run))
	services.AddHook(x)
	id := conn.NextID()
	serving, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	served := make(chan error, 1)
	go func() { served <- services.ServeOn(serving, conn, id) }()
	go func() { // stop, and in the end the process, end it
		defer close(x.ended)
		defer unhook()
		x.made, x.err = x.build(working, id)
		stop(errBuilderEnded)
		<-served // the plugin closes it when it likes
		closeBars()
		select {
		case <-x.offered:
			_ = x.caller.Close() // the builder has ended, and its machine with it
		default:
		}
	}()
}

var errBuilderEnded = errors.New("the builder has ended")

func (x *running) build(ctx context.Context, id uint32) (packerwire.Artifact, error) {
	wire := packerwire.Builder{Caller: x.proc.Caller()}
	artifact, err := wire.Run(ctx, id, x.host.plugin.Grace, func() { x.run.Emit(x.host.waiting("clean up")) })
	if err != nil {
		return packerwire.Artifact{}, x.proc.Explain(err)
	}
	if artifact == 0 {
		return packerwire.Artifact{}, nil
	}
	return x.host.dialArtifact(context.WithoutCancel(ctx), x.proc, artifact)
}

// Run answers the builder's hooks. The one for provisioning is answered when the engine is
// done with the machine.
func (x *running) Run(ctx context.Context, name string, data map[string]any, stream uint32) error {
	if name != packerwire.ProvisionHook {
		return nil // after a failure the engine has done what there was to do
	}
	x.mu.Lock()
	again := x.data != nil
	if data == nil {
		data = map[string]any{}
	}
	if !again {
		x.data, x.parked = data, true
	}
	x.mu.Unlock()
	if again {
		return errors.New("the builder asks for provisioning a second time; this program provisions one machine in a build")
	}
	defer func() {
		x.mu.Lock()
		x.parked = false
		x.mu.Unlock()
	}()
	s, err := x.proc.Conn().Dial(ctx, stream)
	if err != nil {
		return err
	}
	x.caller, x.lost = packerwire.NewCaller(s), ctx
	close(x.offered)
	select {
	case err := <-x.answer:
		return err
	case <-ctx.Done():
	}
	// The builder has given the machine up: whoever uses it is told by the end of its
	// connection.
	_ = x.caller.Close() // it is of no use any more
	select {
	case err := <-x.answer:
		return err
	case <-x.proc.Done():
		return errBuilderEnded
	}
}

// reply answers the builder's call for provisioning, now or when it comes.
func (x *running) reply(err error) { x.replied.Do(func() { x.answer <- err }) }

// connect makes a communicator of what the plugin offers.
func (x *running) connect(ctx context.Context, r component.Run) (component.Communicator, error) {
	o := packerwire.CommunicatorOptions{Transport: "plugin", TempDir: r.WorkDir}
	if t, ok := x.data["ConnType"].(string); ok && t != "" {
		o.Transport = clean(t)
	}
	// The protocol does not say what the machine's shell is. Every shell says something
	// else here.
	probe := packerwire.NewCommunicator(x.proc.Conn(), x.caller, o)
	var said text
	if _, err := probe.Run(ctx, component.Command{Line: `echo "$0" %OS%`, Stdout: &said}); err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	o.Shell = shellOf(said.String())
	return x.watched(packerwire.NewCommunicator(x.proc.Conn(), x.caller, o)), nil
}

// shellOf tells shells apart by what they print for `echo "$0" %OS%`.
func shellOf(said string) component.Shell {
	first, _, _ := strings.Cut(strings.TrimLeft(said, "\r"), "\n")
	switch {
	case strings.Contains(said, "Windows_NT"):
		return component.Cmd
	case strings.TrimSpace(first) == "" && strings.Contains(said, "%OS%"):
		return component.PowerShell
	}
	return component.POSIX
}

// text collects the output of one command.
type text struct {
	mu sync.Mutex
	b  strings.Builder
}

func (t *text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.b.Len() < 4<<10 {
		t.b.Write(p)
	}
	return len(p), nil
}

func (t *text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

// stop ends the builder after a failure and waits until it has cleaned up. It is the
// release of the run.
func (x *running) stop(ctx context.Context) error {
	x.mu.Lock()
	done := x.stopped
	x.stopped = true
	x.mu.Unlock()
	if done {
		return nil
	}
	defer x.host.plugin.Live.dropRun(x.token)
	cause := context.Cause(x.given)
	// A builder that waits for us cleans up after the failure that it is told; any other
	// one, or one in an interrupted build, is told to cancel.
	x.mu.Lock()
	parked := x.parked
	x.mu.Unlock()
	if cause != nil || !parked {
		x.cancel(errors.Join(cause, errBuildFailed))
	}
	if parked && cause != nil {
		x.awaitHookCancel(ctx)
	}
	x.reply(errBuildFailed)
	err := x.waitEnd(ctx)
	if err == nil && errors.Is(x.err, packerwire.ErrUncancelled) {
		err = x.err
	}
	if err == nil && x.keptAlive() {
		return nil
	}
	if err != nil {
		err = fmt.Errorf("the plugin %s did not clean up what its builder %s has made, and is ended: %w", x.host.plugin.Name, process.Shown(x.use.name), err)
	}
	return errors.Join(err, x.host.end(ctx, x.proc))
}

// hookPatience is how long a builder that is told to cancel may take to cancel what it
// waits for, which is all that it has to do for it.
const hookPatience = 5 * time.Second

// awaitHookCancel waits for what a builder does first when it is told to cancel: it cancels
// its call for provisioning. One that does not is answered all the same.
func (x *running) awaitHookCancel(ctx context.Context) {
	select {
	case <-x.offered:
	default:
		return
	}
	limit := time.NewTimer(hookPatience)
	defer limit.Stop()
	select {
	case <-x.lost.Done():
	case <-x.ended:
	case <-ctx.Done():
	case <-limit.C:
	}
}

var errBuildFailed = errors.New("the build has failed")

// waitEnd waits for the builder, saying so when it takes long.
func (x *running) waitEnd(ctx context.Context) error {
	begin := time.Now()
	tell := time.NewTicker(5 * time.Second)
	defer tell.Stop()
	for {
		select {
		case <-x.ended:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tell.C:
			x.run.Emit(component.Waiting{For: "the plugin " + x.host.plugin.Name + " to clean up", Elapsed: time.Since(begin)})
		}
	}
}

// keep says that an artifact lives in the process.
func (x *running) keep() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.kept = true
}

func (x *running) keptAlive() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.kept
}

// abandon ends the process of a build that has not begun. One that has is ended by the
// release of its run.
func (x *running) abandon(ctx context.Context) {
	if x.given == nil {
		_ = x.host.end(ctx, x.proc) // the release of the run's journal tries again
	}
}

// unoffered is what becomes of a builder that ends without having called for
// provisioning.
func (x *running) unoffered() (component.Communicator, error) {
	if x.err != nil {
		return nil, x.err
	}
	err := fmt.Errorf("the builder %s of the plugin %s has ended without offering a machine to provision: %w",
		process.Shown(x.use.name), x.host.plugin.Name, component.ErrUnsupported)
	x.run.Emit(component.Warning{Summary: "There is no machine to provision", Detail: clean(err.Error()) + ". Only steps that need no machine can run."})
	return noMachine{err}, nil
}
