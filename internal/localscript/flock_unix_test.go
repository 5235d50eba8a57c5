//go:build unix

package localscript

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// locked reports whether a process holds the lock of the file.
func locked(t *testing.T, path string) bool {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil
}

func waitUnlocked(t *testing.T, path string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); locked(t, path); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a process of the script is still alive")
		}
	}
}
