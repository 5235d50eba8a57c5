package qemu

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/qmp"
)

// machine is the virtual machine while it runs.
type machine struct {
	*emulator
	plan *plan
	hw   *hardware
	// name is the machine's name.
	name string
	// emulated says that QEMU emulates the processor.
	emulated bool
	// conn is the template's settings with the key pair of the build.
	conn *component.Connection
	// host and port are where the machine is reached. The host is empty until
	// its address is known.
	host string
	port int
	// fields are what the actions in boot_command can name.
	fields map[string]string
	// job is whose machine it is, and frozen how often its disks were saved.
	job    *job
	frozen int
}

var (
	_ component.Machine   = (*machine)(nil)
	_ component.Diagnoser = (*machine)(nil)
)

// Facts implements component.Machine.
func (m *machine) Facts() map[string]cty.Value {
	facts := map[string]cty.Value{factID: cty.StringVal(m.name)}
	if s := m.hw.http; s != nil {
		ip, port := m.plan.httpIP(m.hw), strconv.Itoa(s.Port())
		facts[factHTTPIP] = cty.StringVal(ip)
		facts[factHTTPPort] = cty.StringVal(port)
		facts[factHTTPAddr] = cty.StringVal(net.JoinHostPort(ip, port))
	}
	return facts
}

// Endpoint implements component.Machine. A machine that has ended is never
// reached, so that nobody waits for it any longer.
func (m *machine) Endpoint(ctx context.Context) (component.Endpoint, error) {
	if err := m.gone(); err != nil {
		return component.Endpoint{}, err
	}
	host := m.host
	if host == "" && m.plan.Communicator != commNone {
		var err error
		if host, err = m.findAddress(ctx); err != nil {
			return component.Endpoint{Transport: m.plan.Communicator, Connection: m.conn}, err
		}
	}
	return component.Endpoint{Transport: m.plan.Communicator, Host: host, Port: m.port, Connection: m.conn, Emulated: m.emulated}, nil
}

// gone says why the machine does not run any more; nil when it runs.
func (m *machine) gone() error {
	select {
	case <-m.off():
	default:
		return nil
	}
	if reason, off := m.switchedOff(); off {
		return powerError(reason)
	}
	return m.failure(errors.New("nobody has switched the machine off"))
}

// powerError is a machine that was switched off, for QEMU's reason.
func powerError(reason string) error {
	switch reason {
	case "guest-shutdown":
		return errSwitchedOff
	case "guest-panic":
		return errors.New("the machine has panicked")
	case "guest-reset":
		return errors.New("the machine wanted to start again, and QEMU ended instead (-no-reboot)")
	case "host-signal":
		return errors.New("somebody has ended QEMU with a signal")
	case "host-ui":
		return errors.New("somebody has closed the window of the machine")
	}
	return fmt.Errorf("the machine was switched off: %s", reason)
}

// errSwitchedOff is a machine that was switched off from inside.
var errSwitchedOff = errors.New("the machine has switched itself off")

// Stop implements component.Stopper: the machine is shut down, and QEMU has written
// everything to the disks and ended when it returns.
func (m *machine) Stop(ctx context.Context, r component.Run, comm component.Communicator) error {
	if err := m.plan.shutDown(ctx, r, comm, m); err != nil {
		return err
	}
	if _, off := m.switchedOff(); !off {
		if err := m.gone(); err != nil {
			return err // what is on its disks is not what it wrote
		}
	}
	// It may have been started with -no-shutdown.
	if err := m.quit(ctx); err != nil {
		return err
	}
	return m.end(ctx)
}

// pressPower presses the power button; what becomes of it is up to the machine.
func (m *machine) pressPower(ctx context.Context) error {
	return m.qmp.Execute(ctx, "system_powerdown", nil, nil)
}

// quit ends QEMU, which writes what it still holds to the disks, and waits for it.
func (m *machine) quit(ctx context.Context) error {
	if err := m.qmp.Execute(ctx, "quit", nil, nil); err != nil && !errors.Is(err, qmp.ErrClosed) {
		return err
	}
	select {
	case <-m.Done():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
