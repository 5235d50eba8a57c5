package base

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Unpacker unpacks an uncompressed layer into dest/d, where dest is an empty
// directory and lowers are the directories below it, topmost first.
type Unpacker func(ctx context.Context, lowers []string, dest string, layer io.Reader) error

// Rootfs returns the directories of an image's layers, the lowest first, and
// unpacks those that are not in the cache. They must never be written to.
// Users names the user mapping, since it decides who owns the files.
func (s *Store) Rootfs(ctx context.Context, users string, img *Image, unpack Unpacker) ([]string, error) {
	parent, err := s.Dir("rootfs", users)
	if err != nil {
		return nil, err
	}
	// Set-user-id programs of images must not be within reach of others.
	if err := os.Chmod(filepath.Dir(parent), 0o700); err != nil {
		return nil, fmt.Errorf("oci cache: %w", err)
	}
	var dirs []string
	for i, chain := range ChainIDs(img.Config.RootFS.DiffIDs) {
		dir := filepath.Join(parent, chain)
		if _, err := os.Lstat(dir); err != nil {
			if err := s.unpackLayer(ctx, img.Layers[i], dirs, users, dir, unpack); err != nil {
				return nil, fmt.Errorf("unpack layer %d of %d: %w", i+1, len(img.Layers), err)
			}
		}
		dirs = append(dirs, filepath.Join(dir, "d"))
	}
	return dirs, nil
}

func (s *Store) unpackLayer(ctx context.Context, l *Layer, below []string, users, dir string, unpack Unpacker) error {
	unlock, err := s.Lock(ctx, "rootfs-"+users+"-"+filepath.Base(dir))
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Lstat(dir); err == nil {
		return nil // another build has just done it
	}
	tmp, err := os.MkdirTemp(s.Tmp, "rootfs-")
	if err != nil {
		return fmt.Errorf("oci cache: %w", err)
	}
	in, err := l.Open(ctx)
	if err != nil {
		return err
	}
	lowers := make([]string, 0, len(below))
	for i := len(below) - 1; i >= 0; i-- {
		lowers = append(lowers, below[i])
	}
	data := &verified{f: in, sum: sha256.New(), want: l.DiffID}
	err = unpack(ctx, lowers, tmp, data)
	if err = errors.Join(err, in.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, dir); err != nil {
		return fmt.Errorf("oci cache: %w", err)
	}
	return nil
}
