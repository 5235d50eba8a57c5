// Package disk is what the journal does to the disk, in steps of which each can
// be lost: what was written but not synced does not survive a power cut. OS is the
// real one. Forgetful is the real one too, and can then be put into the state that
// a power cut would have left.
package disk

import (
	"io"
	"os"
)

// Disk is where journals are.
type Disk interface {
	// Mkdir makes one folder.
	Mkdir(dir string) error
	// Open opens a file for reading and appending, and makes it when it is not
	// there.
	Open(path string) (File, error)
	// Remove removes a file or an empty folder.
	Remove(path string) error
	// RemoveAll removes a folder with what is in it; gone is success.
	RemoveAll(dir string) error
	// SyncDir makes what was made and removed in a folder survive a power cut.
	SyncDir(dir string) error
}

// File is an open file. What is written goes to its end.
type File interface {
	io.ReadWriteCloser
	Name() string
	Truncate(size int64) error
	// Sync makes the contents survive a power cut, but not the file's name:
	// that is in its folder.
	Sync() error
}

// OS is the disk of the operating system.
type OS struct{}

// Mkdir implements Disk.
func (OS) Mkdir(dir string) error { return os.Mkdir(dir, 0o700) }

// Open implements Disk.
func (OS) Open(path string) (File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Remove implements Disk.
func (OS) Remove(path string) error { return os.Remove(path) }

// RemoveAll implements Disk.
func (OS) RemoveAll(dir string) error { return os.RemoveAll(dir) }

// SyncDir implements Disk.
func (OS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return ignoreUnsupported(d.Sync())
}
