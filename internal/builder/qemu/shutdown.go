package qemu

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"ingot/internal/component"
)

// powered is a machine that runs, as far as switching it off is concerned.
type powered interface {
	// pressPower presses the power button, once.
	pressPower(ctx context.Context) error
	// quit ends the machine as pulling the plug does.
	quit(ctx context.Context) error
	// off is closed when the machine does not run any more.
	off() <-chan struct{}
}

const (
	// pressAgain is the time between two presses of the power button: a guest
	// that is still booting does not notice it.
	pressAgain = 10 * time.Second
	// patience is how long a guest may do nothing about its power button.
	patience = time.Minute
	// plugTime is how long a machine may take to end when its plug is pulled.
	plugTime = 30 * time.Second
	// tellEvery is the time between two events that tell of the waiting.
	tellEvery = 5 * time.Second
)

// shutDown ends a machine in the way that the configuration says, and returns
// when it is off.
func (p *plan) shutDown(ctx context.Context, r component.Run, comm component.Communicator, m powered) error {
	select {
	case <-m.off():
		return nil
	default:
	}
	switch {
	case p.Communicator == commNone:
		r.Say("Waiting for the machine to power itself off")
		return p.awaitOff(ctx, r, m)
	case p.ShutdownCommand != "":
		r.Say("Gracefully halting virtual machine...")
		return p.runShutdown(ctx, r, comm, m)
	}
	r.Say("Pressing the power button of the machine")
	return p.pressUntilOff(ctx, r, m)
}

// vigil is a wait for a machine to be off.
type vigil struct {
	m    powered
	run  component.Run
	wg   sync.WaitGroup
	stop context.CancelFunc
}

// keepVigil tells of the waiting from now on; end has to be called.
func keepVigil(ctx context.Context, r component.Run, m powered) (*vigil, context.Context) {
	ctx, stop := context.WithCancel(ctx)
	v := &vigil{m: m, run: r, stop: stop}
	v.wg.Go(func() {
		begin := r.Clock.Now()
		for r.Clock.Sleep(ctx, tellEvery) == nil {
			r.Emit(component.Waiting{For: "the machine to power off", Elapsed: r.Clock.Now().Sub(begin)})
		}
	})
	return v, ctx
}

func (v *vigil) end() {
	v.stop()
	v.wg.Wait()
}

// within is closed after d.
func (v *vigil) within(ctx context.Context, d time.Duration) <-chan struct{} {
	passed := make(chan struct{})
	v.wg.Go(func() {
		if v.run.Clock.Sleep(ctx, d) == nil {
			close(passed)
		}
	})
	return passed
}

// awaitOff waits for as long as it takes: an installer may be at work.
func (p *plan) awaitOff(ctx context.Context, r component.Run, m powered) error {
	v, _ := keepVigil(ctx, r, m)
	defer v.end()
	select {
	case <-m.off():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// runShutdown runs the command that shuts the machine down. It may answer, be cut
// off when the machine ends, or hang.
func (p *plan) runShutdown(ctx context.Context, r component.Run, comm component.Communicator, m powered) error {
	v, waiting := keepVigil(ctx, r, m)
	defer v.end()
	result := make(chan error, 1)
	v.wg.Go(func() { result <- runCommand(waiting, r, comm, p.ShutdownCommand) })
	timeout := v.within(waiting, p.ShutdownTimeout)
	said := "it gave no answer"
	for {
		select {
		case <-m.off():
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timeout:
			return fmt.Errorf("the machine is still running %s after the shutdown_command was started: %s; check the command, or set shutdown_timeout to a longer time", p.ShutdownTimeout, said)
		case err := <-result:
			said = "it succeeded"
			if err == nil || errors.Is(err, component.ErrDisconnected) {
				continue
			}
			said = err.Error()
			if notFound := new(commandError); errors.As(err, &notFound) && (notFound.code == 126 || notFound.code == 127) {
				return fmt.Errorf("shutdown_command: %w: the machine cannot run it", err)
			}
			r.Emit(component.Warning{Summary: "The shutdown_command did not succeed", Detail: fmt.Sprintf("%s. The machine may shut down all the same.", said)})
		}
	}
}

// commandError is an exit code that is not 0.
type commandError struct{ code int }

func (e *commandError) Error() string { return fmt.Sprintf("it ended with exit code %d", e.code) }

func runCommand(ctx context.Context, r component.Run, comm component.Communicator, line string) error {
	stdout, stderr := component.NewLineWriter(r.Events, component.Stdout), component.NewLineWriter(r.Events, component.Stderr)
	exit, err := comm.Run(ctx, component.Command{Line: line, Stdout: stdout, Stderr: stderr})
	stdout.Flush()
	stderr.Flush()
	if err == nil && exit.Code != 0 {
		return &commandError{exit.Code}
	}
	return err
}

// pressUntilOff presses the power button again and again, and pulls the plug when
// that does not help, as Packer does at once.
func (p *plan) pressUntilOff(ctx context.Context, r component.Run, m powered) error {
	v, waiting := keepVigil(ctx, r, m)
	defer v.end()
	begin, limit := r.Clock.Now(), min(patience, p.ShutdownTimeout)
	enough := v.within(waiting, limit)
	var trouble error
	for again := closed(); again != nil; {
		select {
		case <-m.off():
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-again:
			if r.Clock.Now().Sub(begin) >= limit {
				again = nil
				continue
			}
			trouble = m.pressPower(ctx)
			again = v.within(waiting, pressAgain)
		case <-enough:
			again = nil
		}
	}
	detail := fmt.Sprintf("It did nothing about its power button for %s, so its plug was pulled: what it had not written to its disk yet is lost. Set shutdown_command to a command that shuts it down.", limit)
	if trouble != nil {
		detail += fmt.Sprintf(" The button could not be pressed: %s.", trouble)
	}
	r.Emit(component.Warning{Summary: "The machine was switched off", Detail: detail})
	err := m.quit(ctx)
	select {
	case <-m.off():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-v.within(waiting, plugTime):
		return errors.Join(fmt.Errorf("the machine is still running %s after its plug was pulled", plugTime), err)
	}
}

func closed() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}
