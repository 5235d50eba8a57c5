// Package guestrig runs the live environment's virtual machine under plain QEMU
// for tests that need a real guest to talk to, or that want to know what is in
// a disk image they made.
//
// Each guest has an overlay of its own, so tests may change what they like, and
// it is killed when its test ends, also when the test program dies.
package guestrig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"ingot/internal/qmp"
	"ingot/internal/testkit/live"
)

// DefaultWait is how long [Boot] waits for a guest to answer. It is far more
// than one needs, since the emulation shares the processors with other tests.
const DefaultWait = 3 * time.Minute

// Options says which machine to boot. The zero value is the live environment's
// guest with 256 MB and one processor.
type Options struct {
	// Disk is the image to boot an overlay of: qcow2, or raw where Format says
	// so. The default is the environment's.
	Disk, Format string
	// EFI starts the machine with EFI firmware.
	EFI bool
	// Memory is in MB, 256 by default; CPUs is 1.
	Memory, CPUs int
	// Args are more arguments for QEMU.
	Args []string
	// Login is how to log in; the default is the environment's guest's key.
	Login Login
	// Ready is a text on the serial port that comes right before the SSH
	// server is there, "INGOT-GUEST-READY" by default. Guests that print none
	// give "-"; it then takes somewhat longer to see that they are up.
	Ready string
	// Wait is how long the guest may take to answer, DefaultWait by default.
	Wait time.Duration
}

// Login is an account in a guest. An empty field is that of the environment's
// guest; a HostKey of "any" accepts every server.
type Login struct {
	User, KeyFile, HostKey string
}

// Guest is a running virtual machine that answers SSH.
type Guest struct {
	// Host and Port lead to its SSH server.
	Host string
	Port int
	// Login is what it was found to answer to.
	Login Login
	// SerialLog is the file with what it wrote to its first serial port.
	SerialLog string
	// Disk is the overlay it runs on, in qcow2.
	Disk string
	// QMP is the connection to QEMU.
	QMP *qmp.Client
	// VNC is the "host:port" of its screen, without a password.
	VNC string

	dir    string
	exited <-chan struct{} // closed when QEMU has ended
}

// Addr returns "host:port".
func (g *Guest) Addr() string { return net.JoinHostPort(g.Host, strconv.Itoa(g.Port)) }

// Boot starts a guest on an overlay of a disk and waits until it answers SSH.
func Boot(t testing.TB, env live.Env, o Options) *Guest {
	t.Helper()
	files := live.RequireGuest(t, env)
	if o.Disk == "" {
		o.Disk = files.Disk
		if o.EFI {
			o.Disk = files.EFIDisk
		}
	}
	o = withDefaults(o, files)
	dir := t.TempDir()
	m := machine{
		dir: dir, overlay: filepath.Join(dir, "disk.qcow2"),
		memory: o.Memory, cpus: o.CPUs, args: o.Args, efi: o.EFI,
	}
	if err := createOverlay(t.Context(), m.overlay, o.Disk, o.Format); err != nil {
		t.Fatal(err)
	}
	g, err := m.start(t)
	if err != nil {
		t.Fatal(err)
	}
	g.Login = o.Login
	ctx, cancel := context.WithTimeoutCause(t.Context(), o.Wait, fmt.Errorf("it did not answer within %s", o.Wait))
	defer cancel()
	if err := g.await(ctx, o.Ready); err != nil {
		t.Fatalf("boot %s: %v\nIts serial port says:\n%s", o.Disk, err, tail(g.SerialLog))
	}
	return g
}

// Debian returns the options that boot the environment's Debian system, which
// [Boot] takes a minute or two for.
func Debian(t testing.TB, env live.Env) Options {
	t.Helper()
	debian := live.RequireDebianGuest(t, env)
	return Options{
		Disk: debian.Disk, Memory: 512, CPUs: 2, Ready: "login: ", Wait: 2 * DefaultWait,
		Login: Login{HostKey: debian.HostKey},
	}
}

// Check boots an overlay of an image the test made, runs a command in it as the
// environment's guest's root, and returns what it printed. The test fails when
// the guest does not answer or the command does.
func Check(t testing.TB, env live.Env, o Options, command string) string {
	t.Helper()
	g := Boot(t, env, o)
	out := g.Run(t, command)
	g.Kill()
	return out
}

func withDefaults(o Options, files live.Guest) Options {
	set := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	set(&o.Format, "qcow2")
	set(&o.Ready, readyLine)
	set(&o.Login.User, files.User)
	set(&o.Login.KeyFile, files.KeyFile)
	set(&o.Login.HostKey, files.HostKey)
	if o.Memory == 0 {
		o.Memory = 256
	}
	if o.CPUs == 0 {
		o.CPUs = 1
	}
	if o.Wait == 0 {
		o.Wait = DefaultWait
	}
	return o
}

const readyLine = "INGOT-GUEST-READY"

// await returns once the guest answers SSH.
func (g *Guest) await(ctx context.Context, ready string) error {
	// QEMU takes connections on the guest's behalf long before the guest does,
	// and holds them. So nobody connects before there is a chance.
	if ready != "-" {
		if err := g.awaitSerial(ctx, ready); err != nil {
			return err
		}
	}
	for {
		err := g.hello(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-g.exited:
			return fmt.Errorf("qemu has ended: %s", tail(g.file("stderr")))
		case <-ctx.Done():
			return fmt.Errorf("%w; the last try: %w", context.Cause(ctx), err)
		}
	}
}

func (g *Guest) awaitSerial(ctx context.Context, text string) error {
	for {
		if strings.Contains(g.Serial(), text) {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-g.exited:
			return fmt.Errorf("qemu has ended: %s", tail(g.file("stderr")))
		case <-ctx.Done():
			return fmt.Errorf("%w: there is no %q on its serial port", context.Cause(ctx), text)
		}
	}
}

// Serial returns what the guest wrote to its serial port so far.
func (g *Guest) Serial() string {
	data, err := os.ReadFile(g.SerialLog)
	if err != nil {
		return ""
	}
	return string(data)
}

// AwaitSerial waits until the guest has written the text to its serial port and
// fails the test after the limit.
func (g *Guest) AwaitSerial(t testing.TB, text string, limit time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), limit, fmt.Errorf("waited %s", limit))
	defer cancel()
	if err := g.awaitSerial(ctx, text); err != nil {
		t.Fatalf("%v\nIt says:\n%s", err, tail(g.SerialLog))
	}
}

// AwaitExit waits until the machine is off and fails the test after the limit.
func (g *Guest) AwaitExit(t testing.TB, limit time.Duration) {
	t.Helper()
	select {
	case <-g.exited:
	case <-time.After(limit):
		t.Fatalf("the guest is still on after %s\nIts serial port says:\n%s", limit, tail(g.SerialLog))
	}
}

// Kill ends the machine at once. It may be called more than once.
func (g *Guest) Kill() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	// The end of the connection is the answer when QEMU is quick.
	if err := g.QMP.Execute(ctx, "quit", nil, nil); err == nil || errors.Is(err, qmp.ErrClosed) {
		select {
		case <-g.exited:
		case <-ctx.Done():
		}
	}
}

func (g *Guest) file(name string) string { return filepath.Join(g.dir, name) }

// tail returns the end of a file, for messages.
func tail(file string) string {
	const most = 2000
	f, err := os.Open(file)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > most {
		if _, err := f.Seek(-most, io.SeekEnd); err != nil {
			return err.Error()
		}
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(data))
}

func createOverlay(ctx context.Context, overlay, backing, format string) error {
	backing, err := filepath.Abs(backing)
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "qemu-img", "create", "-q", "-f", "qcow2", "-b", backing, "-F", format, overlay).CombinedOutput()
	if err != nil {
		return fmt.Errorf("create an overlay of %s: %w: %s", backing, err, out)
	}
	return nil
}
