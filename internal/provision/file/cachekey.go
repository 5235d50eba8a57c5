package file

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"

	"ingot/internal/treecopy"
)

// CacheKey is a digest of the settings and of everything that is uploaded:
// names, modes and contents, but not times.
func (u upload) CacheKey(ctx context.Context) (string, error) {
	h := sha256.New()
	if err := json.NewEncoder(h).Encode(u.config); err != nil {
		return "", fmt.Errorf("file: cache key: %w", err)
	}
	for _, src := range u.sources() {
		if err := addToKey(ctx, h, src); err != nil {
			return "", fmt.Errorf("file: cache key: %w", err)
		}
	}
	return "file:" + hex.EncodeToString(h.Sum(nil)), nil
}

func addToKey(ctx context.Context, h hash.Hash, src string) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	info, err := os.Stat(src)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		f, err := os.Open(src)
		if err != nil {
			return err
		}
		defer f.Close()
		return addMember(h, src, info.Mode(), f)
	}
	o := packOptions()
	o.Skipped = func(string, fs.FileMode) {}
	return through(
		func(w io.Writer) error { return treecopy.Pack(ctx, w, src, o) },
		func(r io.Reader) error { return addArchive(h, r) },
	)
}

func addArchive(h hash.Hash, r io.Reader) error {
	for members := tar.NewReader(r); ; {
		m, err := members.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = addMember(h, m.Name, m.FileInfo().Mode(), members)
		}
		if err != nil {
			return err
		}
	}
}

// addMember hashes contents for themselves, so that their borders count.
func addMember(h hash.Hash, name string, mode fs.FileMode, r io.Reader) error {
	sum := sha256.New()
	if _, err := io.Copy(sum, r); err != nil {
		return err
	}
	_, err := fmt.Fprintf(h, "%q %o %x\n", name, mode, sum.Sum(nil))
	return err
}
