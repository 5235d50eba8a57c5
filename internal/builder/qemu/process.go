package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"

	"ingot/internal/component"
	"ingot/internal/hostproc"
	"ingot/internal/qmp"
)

// emulator is a QEMU process that we talk to.
type emulator struct {
	*hostproc.Process
	qmp     *qmp.Client
	console *console
	said    *tail
	// line is our end of the machine's serial line.
	line    net.Conn
	reading sync.WaitGroup
	// noMore is closed when the machine does not run any more. QEMU itself may
	// survive that.
	noMore     chan struct{}
	noMoreOnce sync.Once
	mu         sync.Mutex
	reason     string // why it was switched off, in QEMU's words; guarded by mu
}

// startEmulator starts QEMU and waits until it takes commands. arguments makes the
// command line out of the values of -chardev for commands and for the serial line.
// After an error nothing runs; what QEMU said is in the error.
func startEmulator(ctx context.Context, r component.Run, binary string, arguments func(qmp, console string) ([]string, error)) (*emulator, error) {
	channels, err := newChannels(ctx, 2)
	if err != nil {
		return nil, err
	}
	defer closeChannels(channels)
	args, err := arguments(channels[0].argument, channels[1].argument)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(binary, args...)
	for _, c := range channels {
		if c.file != nil {
			cmd.ExtraFiles = append(cmd.ExtraFiles, c.file)
		}
	}
	e := &emulator{console: newConsole(), said: &tail{}, noMore: make(chan struct{})}
	// What it prints to its standard output is for people who start it by hand.
	cmd.Stderr = e.said
	r.Emit(component.Trace{Text: "qemu: " + binary + " " + strings.Join(args, " ")})
	if e.Process, err = hostproc.Start(ctx, r, cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", binary, err)
	}
	if err := e.connect(ctx, channels); err != nil {
		// It has to be gone before we say what it said.
		end := e.end(context.WithoutCancel(ctx))
		if ctx.Err() == nil {
			err = e.failure(err)
		}
		return nil, errors.Join(err, end)
	}
	return e, nil
}

// connect opens both lines.
func (e *emulator) connect(ctx context.Context, channels []*channel) error {
	var conns []net.Conn
	for _, c := range channels {
		conn, err := c.connect(ctx, e.Done())
		if err != nil {
			for _, open := range conns {
				_ = open.Close() // nothing was sent
			}
			return err
		}
		conns = append(conns, conn)
		if c.file != nil {
			_ = c.file.Close() // only QEMU may hold it, or we would not see its end
		}
	}
	e.line = conns[1]
	e.reading.Go(func() { e.console.read(e.line) })
	var err error
	if e.qmp, err = qmp.Open(ctx, conns[0], e.event); err != nil {
		return err
	}
	go func() {
		<-e.Done()
		// Its last words come before its end.
		<-e.qmp.Done()
		e.noMoreOnce.Do(func() { close(e.noMore) })
	}()
	return nil
}

// off is closed when the machine does not run any more.
func (e *emulator) off() <-chan struct{} { return e.noMore }

func (e *emulator) event(ev qmp.Event) {
	if ev.Name != "SHUTDOWN" {
		return
	}
	var data struct{ Reason string }
	if json.Unmarshal(ev.Data, &data) != nil || data.Reason == "" {
		data.Reason = "unknown"
	}
	e.mu.Lock()
	e.reason = data.Reason
	e.mu.Unlock()
	e.noMoreOnce.Do(func() { close(e.noMore) })
}

// switchedOff reports why the machine was switched off, in QEMU's words.
func (e *emulator) switchedOff() (reason string, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.reason, e.reason != ""
}

// end kills the process unless it has ended, and waits for all that belongs to it.
func (e *emulator) end(ctx context.Context) error {
	err := e.End(ctx)
	e.detach()
	return err
}

// detach lets go of the process, which goes on if it still runs.
func (e *emulator) detach() {
	if e.qmp != nil {
		e.qmp.Close()
	}
	if e.line != nil {
		_ = e.line.Close() // it is only read from
	}
	e.reading.Wait()
}

// leave is called when the build is done with the machine. The machine may go on,
// with -on-error=abort, until its resource is released; but where nobody can prove
// later whose process it is, it has to end now.
func (e *emulator) leave(ctx context.Context) {
	if runtime.GOOS == "linux" {
		e.detach()
		return
	}
	_ = e.end(ctx) // releasing the resource is tried again, and told of
}

// failure says why a process that has ended did so; err is how it was noticed.
func (e *emulator) failure(err error) error {
	var exit *exec.ExitError
	if errors.As(e.Err(), &exit) {
		err = exit
	}
	return &failedError{how: err, said: e.said.text()}
}

// failedError is a QEMU that has ended when it should not have.
type failedError struct {
	how error
	// said is what it printed; more often than not that is the reason.
	said string
}

func (e *failedError) Error() string {
	var exit *exec.ExitError
	switch {
	case e.said == "":
		return "qemu has ended: " + e.how.Error()
	case errors.As(e.how, &exit) && exit.Exited():
		return "qemu has ended: " + e.said
	}
	return fmt.Sprintf("qemu has ended: %v; it had said: %s", e.how, e.said)
}

func (e *failedError) Unwrap() error { return e.how }

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	data []byte // guarded by mu
}

const maxTail = 16 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, p...)
	if over := len(t.data) - maxTail; over > 0 {
		t.data = append([]byte(nil), t.data[over:]...)
	}
	return len(p), nil
}

// text is what was written, without the name of the program before each line, and
// without where the VNC server listens, which is told in another way.
func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []string
	for line := range strings.SplitSeq(strings.TrimSpace(string(t.data)), "\n") {
		line = strings.TrimSpace(line)
		if name, rest, ok := strings.Cut(line, ": "); ok && strings.Contains(name, "qemu-system-") && !strings.Contains(name, " ") {
			line = rest
		}
		if line != "" && !strings.HasPrefix(line, "VNC server running on") {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

// findBinary returns the path of QEMU.
func findBinary(name string) (string, error) {
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return path, nil
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, os.ErrNotExist):
		return "", fmt.Errorf("%s is not installed (qemu_binary): install the package qemu-system-x86 (Debian, Ubuntu), qemu-kvm (Fedora, RHEL), qemu-system-x86_64 (Alpine) or qemu (Homebrew, Arch, Windows), or the one for your processor", name)
	}
	return "", fmt.Errorf("qemu_binary: %w", err)
}
