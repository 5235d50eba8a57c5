//go:build failpoints && unix

package journal

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

var passed atomic.Int64

// failpoint kills the process, as SIGKILL from outside would, when it is
// reached for the N-th time, where FailpointVariable is "NAME:N". Only programs
// built with -tags failpoints have it; crash tests do.
func failpoint(name string) {
	want, count, ok := strings.Cut(os.Getenv(FailpointVariable), ":")
	if !ok || want != name {
		return
	}
	n, err := strconv.ParseInt(count, 10, 64)
	if err == nil && passed.Add(1) == n {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}
