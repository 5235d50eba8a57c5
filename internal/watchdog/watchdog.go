// Package watchdog keeps a second process that outlives a run which vanishes:
// killed, out of memory, ended with its terminal or by a CI system's time limit.
// It then removes what the run has left, as `ingot reap` does.
//
// The two are connected by a pipe. The run writes a byte into it when it ends by
// itself. When the pipe closes without it, the run is gone, whatever has become
// of it, and the kernel has dropped the lock on its journal.
package watchdog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// Arg is the first argument of the program when it is to be the watchdog. It is
// no name that anybody would type.
const Arg = "ingot-watchdog-0a6f2c"

// dismissed is what the run writes when it ends by itself.
const dismissed = 'd'

// Watchdog is the process that watches this one.
type Watchdog struct {
	pipe io.WriteCloser
	cmd  *exec.Cmd
}

// Start starts program as a watchdog of this process, with args behind Arg. It
// shares nothing with this process but its environment, without the variables
// named in drop, and belongs to no terminal or group of it.
func Start(program string, args, environ, drop []string) (*Watchdog, error) {
	cmd := exec.Command(program, append([]string{Arg}, args...)...)
	for _, v := range environ {
		name, _, _ := strings.Cut(v, "=")
		if !slices.Contains(drop, name) {
			cmd.Env = append(cmd.Env, v)
		}
	}
	// A working directory that is somewhere below what is removed would keep it
	// busy.
	cmd.Dir = rootDir()
	detach(cmd)
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("watchdog: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("watchdog: %w", errors.Join(err, pipe.Close()))
	}
	return &Watchdog{pipe, cmd}, nil
}

// Dismiss tells the watchdog that the run has ended by itself. It does not wait
// for its end. A watchdog that is gone, since somebody has killed it, needs not be
// told: the run has not failed by that.
func (w *Watchdog) Dismiss() error {
	_, _ = w.pipe.Write([]byte{dismissed})
	if err := w.pipe.Close(); err != nil {
		return fmt.Errorf("watchdog: %w", err)
	}
	return w.cmd.Process.Release()
}

// PID is the process id of the watchdog.
func (w *Watchdog) PID() int { return w.cmd.Process.Pid }

// Watch is the work of the watchdog: it waits until the run ends. It reports
// whether the run has vanished. Signals that a group of processes is sent are of no
// concern to it; whoever wants to end it has to kill it.
func Watch(pipe io.Reader) (vanished bool) {
	ignoreSignals()
	var last [1]byte
	n, _ := pipe.Read(last[:]) // an error is the end, as well as nothing
	return n == 0 || last[0] != dismissed
}

func rootDir() string {
	if os.PathSeparator == '/' {
		return "/"
	}
	return os.TempDir()
}
