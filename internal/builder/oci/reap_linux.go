package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ingot/internal/builder/oci/sandbox"
	"ingot/internal/component"
)

// reaper removes directories and ends sandboxes.
type reaper struct{}

// Kinds are those of this builder.
func (reaper) Kinds() []string { return []string{DirKind, SandboxKind} }

// Reap removes the resource; see component.Reaper.
func (reaper) Reap(ctx context.Context, r component.Resource) error {
	switch r.Kind {
	case DirKind:
		return reapDir(ctx, r)
	case SandboxKind:
		return reapSandbox(ctx, r)
	}
	return fmt.Errorf("oci: cannot remove a resource of kind %q", r.Kind)
}

func reapDir(ctx context.Context, r component.Resource) error {
	dir := r.ID
	if dir == "" {
		if r.Token == "" || r.Attrs[attrParent] == "" {
			return nil
		}
		dir = filepath.Join(r.Attrs[attrParent], dirName(r.Token))
	}
	// The token is part of the name, so that a directory which somebody
	// else made at the same place later is not taken for it.
	if r.Token == "" || filepath.Base(dir) != dirName(r.Token) {
		return fmt.Errorf("oci: %s does not carry the token %q: not removed", dir, r.Token)
	}
	err := removeAll(ctx, dir)
	if err == nil || os.Geteuid() == 0 {
		return err
	}
	// Files of the sandbox's other users can be removed only by its root.
	box, startErr := sandbox.Start(ctx, sandbox.Config{IDs: sandbox.CurrentIDMap(), Token: r.Token, State: dir})
	if startErr != nil {
		return fmt.Errorf("oci: remove %s: %w", dir, errors.Join(err, startErr))
	}
	defer box.Close()
	if err := box.Remove(ctx, dir); err != nil {
		return fmt.Errorf("oci: remove %s: %w", dir, err)
	}
	return nil
}

// removeAll tries for a while: a layer that was being written when its sandbox
// ended may come into the directory while it is emptied.
func removeAll(ctx context.Context, dir string) error {
	const attempts = 20
	for i := 1; ; i++ {
		err := os.RemoveAll(dir)
		if !errors.Is(err, syscall.ENOTEMPTY) || i == attempts {
			return err
		}
		if stop := (component.SystemClock{}).Sleep(ctx, 10*time.Millisecond); stop != nil {
			return errors.Join(err, stop)
		}
	}
}

// processID is "PID:STARTTIME", which no later process with the pid shares.
func processID(pid int) (string, error) {
	start, err := startTime(pid)
	if err != nil {
		return "", err
	}
	return strconv.Itoa(pid) + ":" + start, nil
}

// startTime is field 22 of /proc/PID/stat, in clock ticks since the start of
// the machine.
func startTime(pid int) (string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 20 {
		return "", fmt.Errorf("process %d: cannot read its start time", pid)
	}
	return fields[19], nil
}

func reapSandbox(ctx context.Context, r component.Resource) error {
	if r.ID == "" {
		// It dies with the process that was to learn its pid; what is
		// left is the moment between the two.
		for _, pid := range processesWith(r.Token) {
			if err := killAndWait(ctx, pid); err != nil {
				return err
			}
		}
		return nil
	}
	number, start, _ := strings.Cut(r.ID, ":")
	pid, err := strconv.Atoi(number)
	if err != nil || pid <= 1 || start == "" {
		return fmt.Errorf("oci: %q is not the id of a sandbox", r.ID)
	}
	now, err := startTime(pid)
	if err != nil || now != start || !carries(pid, r.Token) {
		return nil
	}
	return killAndWait(ctx, pid)
}

// processesWith finds sandboxes by the token in their environment.
func processesWith(token string) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil || token == "" {
		return nil
	}
	var out []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && pid > 1 && carries(pid, token) {
			out = append(out, pid)
		}
	}
	return out
}

// carries reports whether the process has the token. The environment of a
// process that is about to end is empty.
func carries(pid int, token string) bool {
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return err == nil && token != "" && slices.Contains(strings.Split(string(env), "\x00"), sandbox.TokenVariable+"="+token)
}

// killAndWait kills a sandbox and waits until the kernel has taken it away,
// with its mounts, so that its directories can be removed.
func killAndWait(ctx context.Context, pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("oci: end sandbox %d: %w", pid, err)
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
		if errors.Is(err, syscall.ESRCH) {
			return nil
		}
		return fmt.Errorf("oci: end sandbox %d: %w", pid, err)
	}
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(poll, 100)
		if n > 0 || err != nil && !errors.Is(err, syscall.EINTR) {
			return nil
		}
		if err := context.Cause(ctx); err != nil {
			return fmt.Errorf("oci: sandbox %d does not end: %w", pid, err)
		}
	}
}
