package componenttest

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"

	"ingot/internal/component"
)

// talking is a communicator with a shell for people.
type talking struct {
	*broken
	shell func(context.Context, component.Terminal) (component.Exit, error)
}

func (t talking) Shell(ctx context.Context, term component.Terminal) (component.Exit, error) {
	return t.shell(ctx, term)
}

// localShell is a shell of this machine, in a terminal of its own.
func localShell(ctx context.Context, t component.Terminal) (component.Exit, error) {
	// What the shell has started ends with its terminal, unless hang-ups are ignored, as
	// under nohup. A handler here makes them what they are by default there.
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	cmd := exec.Command("/bin/sh", "-i")
	cmd.Env = []string{"TERM=" + t.Type, "PATH=/usr/bin:/bin"}
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: uint16(t.Size.Rows), Cols: uint16(t.Size.Columns)})
	if err != nil {
		return component.Exit{}, err
	}
	defer tty.Close()
	defer context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })()
	defer t.Follow(func(w component.WindowSize) {
		_ = pty.Setsize(tty, &pty.Winsize{Rows: uint16(w.Rows), Cols: uint16(w.Columns)})
	})()
	go func() { _, _ = io.Copy(tty, t.In) }() // ends with the person
	_, _ = io.Copy(t.Out, tty)                // ends with an error when the shell has ended
	err = cmd.Wait()
	if ctx.Err() != nil {
		return component.Exit{}, context.Cause(ctx)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return component.Exit{Code: exit.ExitCode()}, nil
	}
	return component.Exit{}, err
}

// without takes keys out of what is typed.
type without struct {
	io.Reader
	key string
}

func (w without) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	return copy(p, strings.ReplaceAll(string(p[:n]), w.key, "")), err
}

var shellDefects = map[string]struct {
	finds string
	shell func(context.Context, component.Terminal) (component.Exit, error)
}{
	"a shell without a terminal": {"shell/is connected", func(ctx context.Context, t component.Terminal) (component.Exit, error) {
		cmd := exec.CommandContext(ctx, "/bin/sh", "-s")
		cmd.Env = []string{"TERM=" + t.Type, "PATH=/usr/bin:/bin"}
		in, err := cmd.StdinPipe() // exec would wait for the input to end
		cmd.Stdout = t.Out
		if err != nil {
			return component.Exit{}, err
		}
		go func() { _, _ = io.Copy(in, t.In) }() // ends with the person
		return component.Exit{}, cmd.Run()
	}},
	"a shell whose end is not told": {"shell/is connected", func(ctx context.Context, t component.Terminal) (component.Exit, error) {
		_, err := localShell(ctx, t)
		return component.Exit{}, err
	}},
	"a shell of a size of its own": {"shell/follows the window", func(ctx context.Context, t component.Terminal) (component.Exit, error) {
		t.Size = component.WindowSize{Columns: 80, Rows: 24}
		return localShell(ctx, t)
	}},
	"a shell that keeps its size": {"shell/follows the window", func(ctx context.Context, t component.Terminal) (component.Exit, error) {
		other := t
		other.Resized = nil
		defer t.Follow(func(component.WindowSize) {})()
		return localShell(ctx, other)
	}},
	"a shell without Ctrl-C": {"shell/gets Ctrl-C", func(ctx context.Context, t component.Terminal) (component.Exit, error) {
		t.In = without{t.In, "\x03"}
		return localShell(ctx, t)
	}},
	"a shell that ends without a cause": {"shell/ends when it is cancelled", func(ctx context.Context, t component.Terminal) (component.Exit, error) {
		_, _ = localShell(ctx, t)
		return component.Exit{}, nil
	}},
}

// TestShellChecksCanFail: the checks find these defects, and pass without one.
func TestShellChecksCanFail(t *testing.T) {
	if p, tty, err := pty.Open(); err != nil {
		t.Skipf("no pseudo-terminal: %v", err)
	} else if err := errors.Join(p.Close(), tty.Close()); err != nil {
		t.Fatal(err)
	}
	with := func(shell func(context.Context, component.Terminal) (component.Exit, error)) CommunicatorConfig {
		return config(func(c component.Communicator) component.Communicator { return talking{&broken{Communicator: c}, shell} })
	}
	for _, k := range shellChecks {
		t.Run("without a defect/"+k.name, func(t *testing.T) {
			t.Parallel()
			if failures := try(t, k, with(localShell), patience); len(failures) > 0 {
				t.Errorf("it fails: %q", failures)
			}
		})
		for name, d := range shellDefects {
			if d.finds == k.name {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					if len(try(t, k, with(d.shell), limitOfDefect)) == 0 {
						t.Errorf("%q does not find it", k.name)
					}
				})
			}
		}
	}
}
