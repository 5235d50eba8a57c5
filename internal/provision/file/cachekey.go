package file

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// CacheKey is a digest of the settings and of everything that is uploaded:
// names, modes and contents, but not times.
func (u upload) CacheKey(ctx context.Context) (string, error) {
	h := sha256.New()
	if err := json.NewEncoder(h).Encode(u.config); err != nil {
		return "", fmt.Errorf("file: cache key: %w", err)
	}
	for _, src := range u.sources() {
		err := filepath.WalkDir(filepath.Clean(src), func(path string, d fs.DirEntry, err error) error {
			if err == nil {
				err = context.Cause(ctx)
			}
			if err != nil {
				return err
			}
			return addToKey(h, path)
		})
		if err != nil {
			return "", fmt.Errorf("file: cache key: %w", err)
		}
	}
	return "file:" + hex.EncodeToString(h.Sum(nil)), nil
}

func addToKey(h io.Writer, path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	fmt.Fprintf(h, "%q %o", path, info.Mode())
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		to, err := os.Readlink(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, " -> %q", to)
		// A link that is uploaded as what it points to has its content in
		// the key as well.
		if there, err := os.Stat(path); err != nil || !there.Mode().IsRegular() {
			break
		}
		return addContent(h, path)
	case info.Mode().IsRegular():
		return addContent(h, path)
	}
	_, err = fmt.Fprintln(h)
	return err
}

func addContent(h io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return err
	}
	_, err = fmt.Fprintf(h, " %x\n", sum.Sum(nil))
	return err
}
