//go:build unix

package localscript

import (
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"ingot/internal/component"
)

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
