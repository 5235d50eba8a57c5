package outfile

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// tryLock opens and locks the file. The holder's open handle keeps others from
// deleting it.
func tryLock(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return nil, errHeld // it is being deleted
		}
		return nil, err
	}
	err = windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, new(windows.Overlapped))
	if err != nil {
		f.Close()
		if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
			return nil, errHeld
		}
		return nil, err
	}
	return f, nil
}

// unlock closes first, since an open file cannot be removed; when another
// process has opened it meanwhile, that one removes it.
func unlock(f *os.File, name string) error {
	err := f.Close()
	_ = os.Remove(name)
	return err
}
