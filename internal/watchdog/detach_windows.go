package watchdog

import (
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// detachedProcess gives a process no console, see CreateProcess.
const detachedProcess = 0x00000008

// detach takes the process out of our console and group, so that Ctrl-C and
// closing the window do not reach it.
func detach(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP | detachedProcess}
}

func ignoreSignals() { signal.Ignore(os.Interrupt, syscall.SIGTERM) }
