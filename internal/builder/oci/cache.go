package oci

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// CacheEntry is a base image's part in the cache: a blob, an unpacked layer or a
// root file system that was made by a bootstrapper.
type CacheEntry struct {
	// Kind is "blob", "rootfs" or "bootstrap".
	Kind string
	Path string
	// Size is what it takes, in bytes.
	Size int64
	// Used is when it was made; nothing remembers when it was used.
	Used time.Time
}

// ErrCacheInUse is returned while builds run, or have crashed and were not reaped:
// which parts they use is not known.
var ErrCacheInUse = errors.New("in use by a build, or by one that crashed (ingot reap)")

// Cached returns what is in the cache of base images below a cache folder.
func Cached(cacheDir string) ([]CacheEntry, error) {
	root := filepath.Join(cacheDir, "oci")
	var out []CacheEntry
	for _, part := range []struct{ kind, pattern string }{
		{"blob", "blobs/sha256/*"}, {"rootfs", "rootfs/*/*"}, {"bootstrap", "bootstrap/*.tar"},
	} {
		paths, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(part.pattern)))
		if err != nil {
			return nil, fmt.Errorf("oci cache: %w", err)
		}
		for _, p := range paths {
			info, err := os.Lstat(p)
			if err != nil {
				continue // gone meanwhile
			}
			out = append(out, CacheEntry{part.kind, p, diskUse(p), info.ModTime()})
		}
	}
	return out, nil
}

// diskUse adds up the files below path, as far as they can be read.
func diskUse(path string) int64 {
	var n int64
	_ = filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			n += info.Size()
		}
		return nil
	})
	return n
}

// RemoveCached removes a part of the cache, unless builds run: ErrCacheInUse. A
// build makes its folder before it looks for anything in the cache. So the part is
// moved away first; when no build has come meanwhile, none can have seen it.
func RemoveCached(cacheDir string, e CacheEntry) error {
	if building(cacheDir) {
		return ErrCacheInUse
	}
	if e.Kind == "rootfs" && os.Geteuid() > 0 {
		return errors.New("an unpacked layer of builds without root belongs to other users; remove it as root")
	}
	away := filepath.Join(filepath.Dir(e.Path), ".removed-"+filepath.Base(e.Path))
	if err := os.Rename(e.Path, away); err != nil {
		return fmt.Errorf("oci cache: %w", err)
	}
	if building(cacheDir) {
		if err := os.Rename(away, e.Path); err != nil {
			return fmt.Errorf("oci cache: %w", err)
		}
		return ErrCacheInUse
	}
	if err := os.RemoveAll(away); err != nil {
		return fmt.Errorf("oci cache: %w", err)
	}
	return nil
}

func building(cacheDir string) bool {
	list, err := os.ReadDir(filepath.Join(cacheDir, "oci", "builds"))
	return err != nil && !errors.Is(err, fs.ErrNotExist) || len(list) > 0
}
