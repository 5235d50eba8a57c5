//go:build failpoints && unix

package failpoint

import (
	"os"
	"syscall"
	"time"
)

// killSelf is SIGKILL, as from outside.
func killSelf() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// stopSelf waits for SIGCONT, or to be killed.
func stopSelf() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	// Another thread may be the one that is given the signal, a moment later.
	time.Sleep(20 * time.Millisecond)
}
