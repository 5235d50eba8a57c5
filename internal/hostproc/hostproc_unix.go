//go:build unix

package hostproc

import (
	"os/exec"
	"syscall"
)

// ownGroup puts the process into a session of its own. A group alone would
// do for ending it, but then a script that reads from the terminal would be
// stopped and wait for ever; in a session without a terminal the read fails.
func ownGroup(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setsid = true
}

// EndGroup asks the process and all its descendants in its group to end, or
// kills them. Those that are gone already are no error.
func EndGroup(cmd *exec.Cmd, kill bool) {
	sig := syscall.SIGTERM
	if kill {
		sig = syscall.SIGKILL
	}
	_ = syscall.Kill(-cmd.Process.Pid, sig)
}
