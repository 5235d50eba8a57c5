//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package local

import (
	"os"

	"golang.org/x/sys/unix"
)

func setNoEcho(terminal *os.File, get, set uint) error {
	fd := int(terminal.Fd())
	modes, err := unix.IoctlGetTermios(fd, get)
	if err != nil {
		return err
	}
	modes.Lflag &^= unix.ECHO
	return unix.IoctlSetTermios(fd, set, modes)
}
