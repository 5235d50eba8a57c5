//go:build unix

package watchdog

import (
	"os/exec"
	"os/signal"
	"syscall"
)

// detach puts the process into a session of its own, so that neither a closed
// terminal nor a signal to our group reaches it.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

func ignoreSignals() {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
}
