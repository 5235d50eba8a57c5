//go:build unix

package outfile

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// tryLock opens and locks the file. A holder removes the file before it lets
// go, so a lock on a file that is not the one at that path any more is none.
func tryLock(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, unix.EINTR) {
			return nil, errHeld
		}
		return nil, err
	}
	mine, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	if there, err := os.Stat(name); err != nil || !os.SameFile(mine, there) {
		f.Close()
		return nil, errHeld
	}
	return f, nil
}

func unlock(f *os.File, name string) error { return errors.Join(os.Remove(name), f.Close()) }
