package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Forgetful is a disk that keeps account of what would survive a power cut: of a
// file, its contents at the last Sync; of a name, whether its folder was synced
// since it was made or removed. What was there before it was first touched is
// taken to be safe. It does not wait for the real disk.
type Forgetful struct {
	// Before, when it is set, is called before each thing that is done to the
	// disk, which its error prevents.
	Before func() error

	mu    sync.Mutex
	nodes map[string]*node // guarded by mu; by path
}

// node is a file or a folder that was touched.
type node struct {
	dir bool
	// named says that the name survives.
	named bool
	// safe is the part of a file that survives.
	safe []byte
}

// NewForgetful returns a Forgetful disk; before may be nil.
func NewForgetful(before func() error) *Forgetful {
	return &Forgetful{Before: before, nodes: map[string]*node{}}
}

// do runs one step while nothing else happens.
func (f *Forgetful) do(step func() error) error {
	if f.Before != nil {
		if err := f.Before(); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return step()
}

// meet takes up what was there before it was touched.
func (f *Forgetful) meet(path string) error {
	if f.nodes[path] != nil {
		return nil
	}
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	n := &node{dir: info.IsDir(), named: true}
	if !n.dir {
		if n.safe, err = os.ReadFile(path); err != nil {
			return err
		}
	}
	f.nodes[path] = n
	return nil
}

// Mkdir implements Disk.
func (f *Forgetful) Mkdir(dir string) error {
	return f.do(func() error {
		if err := (OS{}).Mkdir(dir); err != nil {
			return err
		}
		if f.nodes[dir] == nil {
			f.nodes[dir] = &node{dir: true}
		}
		return nil
	})
}

// Open implements Disk.
func (f *Forgetful) Open(path string) (File, error) {
	var out File
	err := f.do(func() error {
		if err := f.meet(path); err != nil {
			return err
		}
		file, err := OS{}.Open(path)
		if err != nil {
			return err
		}
		if f.nodes[path] == nil {
			f.nodes[path] = &node{}
		}
		out = &forgetfulFile{File: file, disk: f, node: f.nodes[path]}
		return nil
	})
	return out, err
}

// Remove implements Disk.
func (f *Forgetful) Remove(path string) error {
	return f.do(func() error {
		if err := f.meet(path); err != nil {
			return err
		}
		return OS{}.Remove(path)
	})
}

// RemoveAll implements Disk.
func (f *Forgetful) RemoveAll(dir string) error {
	return f.do(func() error {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return f.meet(path)
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return OS{}.RemoveAll(dir)
	})
}

// SyncDir implements Disk.
func (f *Forgetful) SyncDir(dir string) error {
	return f.do(func() error {
		for path, n := range f.nodes {
			if filepath.Dir(path) != filepath.Clean(dir) {
				continue
			}
			_, err := os.Lstat(path)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			n.named = err == nil
		}
		return nil
	})
}

// Cut puts the disk into the state after a power cut. With torn, half of what was
// written to a file after its last Sync has reached the disk. Nobody may use the
// disk after that.
func (f *Forgetful) Cut(torn bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	paths := make([]string, 0, len(f.nodes))
	for path := range f.nodes {
		paths = append(paths, path)
	}
	slices.Sort(paths) // folders before what is in them
	for _, path := range paths {
		if err := f.revert(path, torn); err != nil {
			return fmt.Errorf("power cut: %w", err)
		}
	}
	return nil
}

func (f *Forgetful) revert(path string, torn bool) error {
	n := f.nodes[path]
	if !f.survives(path) {
		return os.RemoveAll(path)
	}
	if n.dir {
		return os.MkdirAll(path, 0o700)
	}
	text := n.safe
	if live, err := os.ReadFile(path); err == nil && torn && bytes.HasPrefix(live, text) {
		text = live[:len(text)+(len(live)-len(text))/2]
	}
	return os.WriteFile(path, text, 0o600)
}

// survives reports whether the name and those of all folders above it do.
func (f *Forgetful) survives(path string) bool {
	for at, n := range f.nodes {
		if !n.named && (at == path || strings.HasPrefix(path, at+string(filepath.Separator))) {
			return false
		}
	}
	return true
}

type forgetfulFile struct {
	File
	disk *Forgetful
	node *node
}

// Write implements File.
func (f *forgetfulFile) Write(p []byte) (n int, err error) {
	err = f.disk.do(func() error {
		n, err = f.File.Write(p)
		return err
	})
	return n, err
}

// Truncate implements File.
func (f *forgetfulFile) Truncate(size int64) error {
	return f.disk.do(func() error { return f.File.Truncate(size) })
}

// Sync implements File.
func (f *forgetfulFile) Sync() error {
	return f.disk.do(func() error {
		text, err := os.ReadFile(f.Name())
		if errors.Is(err, fs.ErrNotExist) {
			return nil // its name is gone, so that nobody will read it
		}
		f.node.safe = text
		return err
	})
}
