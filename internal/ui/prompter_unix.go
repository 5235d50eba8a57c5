//go:build unix

package ui

import (
	"os"
	"os/signal"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"ingot/internal/component"
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
		t.goOn = func() error { return f.SetReadDeadline(time.Time{}) }
	}
	t.raw = func() (func() error, error) { return makeRaw(f) }
	t.size = func() component.WindowSize { return sizeOf(f) }
	t.sizes = func() (<-chan component.WindowSize, func()) { return watchSize(f) }
	return t
}

// control calls do with the descriptor of a file, without the end of deadlines that
// f.Fd would be.
func control(f *os.File, do func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var done error
	if err := conn.Control(func(fd uintptr) { done = do(int(fd)) }); err != nil {
		return err
	}
	return done
}

func makeRaw(f *os.File) (restore func() error, err error) {
	var was *term.State
	err = control(f, func(fd int) (err error) {
		was, err = term.MakeRaw(fd)
		return err
	})
	return func() error {
		return control(f, func(fd int) error { return term.Restore(fd, was) })
	}, err
}

func sizeOf(f *os.File) (size component.WindowSize) {
	_ = control(f, func(fd int) (err error) { // a size that is not known is 0
		size.Columns, size.Rows, err = term.GetSize(fd)
		return err
	})
	return size
}

// watchSize tells of other sizes of the window. A change that nobody has taken yet
// is replaced by the next.
func watchSize(f *os.File) (<-chan component.WindowSize, func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGWINCH)
	sizes, quit := make(chan component.WindowSize, 1), make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		for {
			select {
			case <-quit:
				return
			case <-signals:
			}
			select {
			case <-sizes:
			default:
			}
			sizes <- sizeOf(f)
		}
	})
	return sizes, func() {
		signal.Stop(signals)
		close(quit)
		done.Wait()
	}
}
