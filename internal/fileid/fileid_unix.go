//go:build unix && !linux

package fileid

import (
	"fmt"
	"os"
	"syscall"
)

// Of returns the identity of what is at the path, a symbolic link itself
// included: device and inode. A rename does not change it, nor does writing.
func Of(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", fmt.Errorf("%s: no file identity on this system", path)
	}
	return fmt.Sprintf("%d:%d", st.Dev, st.Ino), nil
}
