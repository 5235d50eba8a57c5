package qemu

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// cloneFile makes a copy of a file that shares its blocks. The error is
// errors.ErrUnsupported when the file system cannot do that, or the files are on
// different ones; then nothing is left at to.
func cloneFile(from, to string) error {
	err := unix.Clonefile(from, to, 0)
	if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EXDEV) {
		return fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	if err != nil {
		return err
	}
	return os.Chmod(to, 0o644)
}
