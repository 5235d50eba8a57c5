//go:build unix

package localscript

import (
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"ingot/internal/component"
)

// ownGroup puts the process into a session of its own. A group alone would
// do for ending it, but then a script that reads from the terminal would be
// stopped and wait for ever; in a session without a terminal the read fails.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
}

// endGroup asks the process and all its descendants in its group to end, or
// kills them. Those that are gone already are no error.
func endGroup(cmd *exec.Cmd, kill bool) {
	sig := syscall.SIGTERM
	if kill {
		sig = syscall.SIGKILL
	}
	_ = syscall.Kill(-cmd.Process.Pid, sig)
}

func exitStatus(state *os.ProcessState) component.Exit {
	ws, ok := state.Sys().(syscall.WaitStatus)
	if ok && ws.Signaled() {
		name := strings.TrimPrefix(unix.SignalName(ws.Signal()), "SIG")
		return component.Exit{Code: 128 + int(ws.Signal()), Signal: name}
	}
	return component.Exit{Code: state.ExitCode()}
}

// plainCommand is the default execute_command.
func plainCommand() []string { return []string{"/bin/sh", "-c", "{{.Vars}} {{.Script}}"} }

// defaultCommand runs a script like plainCommand with variables from the
// environment. The interpreter of a script of ours is started directly, as the
// kernel would, but so that the folder may be mounted noexec.
func defaultCommand(path, shebang string) []string {
	if interpreter, arg, _ := strings.Cut(strings.TrimSpace(shebang), " "); strings.HasPrefix(interpreter, "/") {
		argv := []string{interpreter}
		if arg = strings.TrimSpace(arg); arg != "" {
			argv = append(argv, arg)
		}
		return append(argv, path)
	}
	if !strings.Contains(path, "/") {
		path = "./" + path
	}
	return []string{"/bin/sh", "-c", `exec "$0"`, path}
}
