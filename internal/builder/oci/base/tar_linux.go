package base

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// tarIdentity is what must be unchanged for a file to still have the digest
// that was computed once.
type tarIdentity struct {
	Dev, Ino     uint64
	Size         int64
	Mtime, Ctime int64
	DiffID       v1.Hash
}

// racy is how young a change must not be for the identity to be trusted: a
// later write may get the same time stamp.
const racy = 2 * time.Second

func identify(f *os.File) (tarIdentity, error) {
	info, err := f.Stat()
	if err != nil {
		return tarIdentity{}, err
	}
	if !info.Mode().IsRegular() {
		return tarIdentity{}, fmt.Errorf("%s is not a regular file", f.Name())
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return tarIdentity{}, fmt.Errorf("%s has no file identity", f.Name())
	}
	return tarIdentity{
		Dev: st.Dev, Ino: st.Ino, Size: st.Size,
		Mtime: syscall.TimespecToNsec(st.Mtim), Ctime: syscall.TimespecToNsec(st.Ctim),
	}, nil
}

// fromTar makes an image of one layer from a tar file, compressed or not.
func (s *Store) fromTar(ctx context.Context, file string, c Compression, p v1.Platform) (*Image, error) {
	path, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	diff, err := s.tarDigest(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	open := func(context.Context) (io.ReadCloser, error) { return openTar(path) }
	l := &Layer{DiffID: diff, uncompressed: open}
	l.blob = func(ctx context.Context) (*Blob, error) { return s.compressed(ctx, c, diff, open) }
	return &Image{Config: newConfig(p, diff), Layers: []*Layer{l}, From: "tar:" + filepath.Base(file)}, nil
}

// newConfig is the configuration of an image that comes without one.
func newConfig(p v1.Platform, diffIDs ...v1.Hash) *v1.ConfigFile {
	return &v1.ConfigFile{
		OS: p.OS, Architecture: p.Architecture, Variant: p.Variant,
		RootFS: v1.RootFS{Type: "layers", DiffIDs: diffIDs},
	}
}

func (s *Store) tarDigest(ctx context.Context, path string) (v1.Hash, error) {
	f, err := os.Open(path)
	if err != nil {
		return v1.Hash{}, err
	}
	defer f.Close()
	now, err := identify(f)
	if err != nil {
		return v1.Hash{}, err
	}
	key := "tar " + path
	var known tarIdentity
	if s.lookup(key, &known) {
		now.DiffID = known.DiffID
		if now == known {
			return known.DiffID, nil
		}
	}
	in, err := decompress(f)
	if err != nil {
		return v1.Hash{}, err
	}
	defer in.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, cancellable{ctx, in}); err != nil {
		return v1.Hash{}, err
	}
	now.DiffID = hashOf(sum)
	if time.Since(time.Unix(0, now.Ctime)) < racy {
		return now.DiffID, nil
	}
	return now.DiffID, s.note(key, now)
}

func openTar(path string) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	d, err := decompress(f)
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return both{d, []io.Closer{d, f}}, nil
}
