//go:build unix

package ui

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// openConsole finds the terminal of the process: the one that controls it,
// or its standard input, since a container may have a terminal as input but
// none that controls it.
func openConsole() (*console, error) {
	names := []string{"/dev/tty"}
	if term.IsTerminal(int(os.Stdin.Fd())) {
		names = append(names, "/dev/stdin")
	}
	for _, name := range names {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if answers(f) {
			return fileConsole(f), nil
		}
		_ = f.Close()
	}
	return nil, ErrNoTerminal
}

// answers reports whether f is a terminal that the process may read from: the
// system stops a job in the background that tries. It keeps clear of f.Fd,
// which would end the use of deadlines.
func answers(f *os.File) bool {
	conn, err := f.SyscallConn()
	if err != nil {
		return false
	}
	ok := false
	err = conn.Control(func(fd uintptr) {
		if ok = term.IsTerminal(int(fd)); !ok {
			return
		}
		// A terminal that does not control the process has no foreground;
		// a group outside the process's name space is 0.
		group, err := unix.IoctlGetInt(int(fd), unix.TIOCGPGRP)
		ok = err != nil || group == 0 || group == unix.Getpgrp()
	})
	return ok && err == nil
}

func fileConsole(f *os.File) *console {
	t := &console{in: f, out: f, close: f.Close}
	if f.SetReadDeadline(time.Time{}) == nil {
		t.interrupt = func() { _ = f.SetReadDeadline(time.Unix(1, 0)) }
	}
	return t
}
