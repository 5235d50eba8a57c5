package local

import (
	"os"

	"golang.org/x/sys/unix"
)

// noEcho keeps a terminal from repeating what is typed.
func noEcho(terminal *os.File) error { return setNoEcho(terminal, unix.TCGETS, unix.TCSETS) }
