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
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	err = unix.IoctlFileClone(int(dst.Fd()), int(src.Fd()))
	if cerr := dst.Close(); err == nil {
		return cerr
	}
	for _, cannot := range []error{unix.EOPNOTSUPP, unix.ENOTTY, unix.EXDEV, unix.EINVAL, unix.ENOSYS, unix.EPERM, unix.ETXTBSY} {
		if errors.Is(err, cannot) {
			err = fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
			break
		}
	}
	return errors.Join(err, os.Remove(to))
}
