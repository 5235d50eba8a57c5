package fetch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// Entry is a file in the cache.
type Entry struct {
	Path string
	// URL is where it came from; empty when that is not known.
	URL string
	// Size is what it takes, in bytes.
	Size int64
	// Used is when a build used it last.
	Used time.Time
	// Partial says that the download is not complete.
	Partial bool
}

// ErrInUse is returned for a file that a build is using or fetching now.
var ErrInUse = errors.New("in use by a build")

// List returns what is in the download cache below a cache folder. A cache that
// is not there is empty.
func List(cacheDir string) ([]Entry, error) {
	s := newStore(cacheDir)
	files, err := os.ReadDir(s.root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("download cache: %w", err)
	}
	var out []Entry
	for _, f := range files {
		info, err := f.Info()
		if err != nil || !info.Mode().IsRegular() || strings.HasSuffix(f.Name(), ".part.json") {
			continue // gone meanwhile, or no file of the cache by itself
		}
		e := Entry{Path: filepath.Join(s.root, f.Name()), Size: info.Size(), Used: info.ModTime()}
		var rec record
		if e.Partial = strings.HasSuffix(f.Name(), ".part"); !e.Partial && readJSON(s.slotOf(e.Path).record(), &rec) {
			e.URL, e.Used = rec.URL, rec.Used
		}
		out = append(out, e)
	}
	return out, nil
}

// slotOf is the slot of a file of the cache.
func (s store) slotOf(path string) slot {
	path = strings.TrimSuffix(path, ".part")
	ext := filepath.Ext(path)
	return s.slot(strings.TrimSuffix(filepath.Base(path), ext), ext)
}

// Remove removes a file from the cache, unless a build uses it: ErrInUse.
func Remove(cacheDir string, e Entry) (err error) {
	s := newStore(cacheDir).slotOf(e.Path)
	if err := os.MkdirAll(filepath.Join(s.root, "locks"), 0o755); err != nil {
		return fmt.Errorf("download cache: %w", err)
	}
	for _, l := range []*flock.Flock{s.lockFile(), s.useLock()} {
		ok, lockErr := l.TryLock()
		defer func() { err = errors.Join(err, l.Close()) }()
		if lockErr != nil {
			return fmt.Errorf("download cache: lock %s: %w", s.indexName(), lockErr)
		}
		if !ok {
			return ErrInUse
		}
	}
	if e.Partial {
		return s.forget()
	}
	return errors.Join(remove(s.path), remove(s.record()))
}
