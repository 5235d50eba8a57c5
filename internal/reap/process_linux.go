package reap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"ingot/internal/procid"
)

// endProcesses kills everything that carries the token, again and again until
// a scan finds nothing, since a process may fork while it is being looked for.
func endProcesses(ctx context.Context, pid int, start, token string) error {
	if token == "" {
		return errors.New("a process without a token cannot be proved to be ours")
	}
	wait := time.Millisecond
	for {
		left, err := killMarked(pid, start, token)
		if err != nil {
			return err
		}
		if left == 0 {
			return nil
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("%d processes do not end: %w", left, context.Cause(ctx))
		}
		wait = min(2*wait, 100*time.Millisecond)
	}
}

func killMarked(pid int, start, token string) (int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	found := 0
	for _, e := range entries {
		p, err := strconv.Atoi(e.Name())
		if err != nil || p == os.Getpid() || !ours(p, pid, start, token) {
			continue
		}
		// A handle first, then the question again: the id may have been
		// given to another process in between.
		fd, err := unix.PidfdOpen(p, 0)
		if err != nil {
			continue
		}
		if ours(p, pid, start, token) {
			found++
			if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
				unix.Close(fd)
				return found, fmt.Errorf("kill process %d: %w", p, err)
			}
		}
		unix.Close(fd)
	}
	return found, nil
}

// ours: the environment carries the token, or it is the very process that was
// started (a program may clear its environment), and it has not ended yet.
func ours(p, pid int, start, token string) bool {
	state, started := procid.Stat(p)
	if state == 0 || state == 'Z' || state == 'X' {
		return false
	}
	if p == pid && start != "" && started == start {
		return true
	}
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p))
	if err != nil {
		return false
	}
	want := []byte(procid.TokenVariable + "=" + token)
	for _, kv := range bytes.Split(env, []byte{0}) {
		if bytes.Equal(kv, want) {
			return true
		}
	}
	return false
}
