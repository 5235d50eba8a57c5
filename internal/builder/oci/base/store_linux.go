package base

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"ingot/internal/retry"
)

// Store is the cache directory:
//
//	blobs/sha256/HEX     compressed layers, configurations and manifests
//	rootfs/USERS/CHAIN/d an unpacked layer; CHAIN is the chain id up to it
//	index/NAME.json      what is known about files and references
//	bootstrap/KEY.tar    root file systems made by debootstrap
//	locks/NAME           locks between builds, of this process or others
//
// Everything gets its name by renaming when it is complete, so whatever has a
// name can be trusted.
type Store struct {
	Root string
	// Tmp is a directory on the same file system for what is not complete
	// yet. The caller removes it.
	Tmp   string
	Clock Clock
	// Waiting, when set, is told of waits for other builds.
	Waiting func(what string, elapsed time.Duration)
}

// Clock is the time as far as the store needs it.
type Clock interface {
	retry.Sleeper
	Now() time.Time
}

// Dir returns a directory of the store and makes sure that it is there.
func (s *Store) Dir(parts ...string) (string, error) {
	dir := filepath.Join(append([]string{s.Root}, parts...)...)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("oci cache: %w", err)
	}
	return dir, nil
}

// Lock keeps other builds from doing the same work at the same time.
func (s *Store) Lock(ctx context.Context, name string) (unlock func(), err error) {
	dir, err := s.Dir("locks")
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("oci cache: %w", err)
	}
	begin, told := s.Clock.Now(), time.Duration(0)
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			_ = f.Close()
			return nil, fmt.Errorf("oci cache: lock %s: %w", name, err)
		}
		if waited := s.Clock.Now().Sub(begin); s.Waiting != nil && waited-told >= 2*time.Second {
			told = waited
			s.Waiting("the cache entry "+name+", which another build is making", waited)
		}
		if err := s.Clock.Sleep(ctx, 50*time.Millisecond); err != nil {
			_ = f.Close()
			return nil, err
		}
	}
}

// blobPath is where a blob is or will be.
func (s *Store) blobPath(h v1.Hash) string {
	return filepath.Join(s.Root, "blobs", h.Algorithm, h.Hex)
}

// has reports whether a blob is there with the size; a negative size is any.
func (s *Store) has(h v1.Hash, size int64) bool {
	st, err := os.Stat(s.blobPath(h))
	return err == nil && st.Mode().IsRegular() && (size < 0 || st.Size() == size)
}

// write stores what produce writes and returns its digest and size. When want
// is given, anything else is refused.
func (s *Store) write(want *v1.Hash, produce func(io.Writer) error) (v1.Hash, int64, error) {
	dir, err := s.Dir("blobs", "sha256")
	if err != nil {
		return v1.Hash{}, 0, err
	}
	f, err := os.CreateTemp(s.Tmp, "blob-")
	if err != nil {
		return v1.Hash{}, 0, fmt.Errorf("oci cache: %w", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	sum := sha256.New()
	n := &counter{}
	if err := produce(io.MultiWriter(f, sum, n)); err != nil {
		return v1.Hash{}, 0, err
	}
	h := hashOf(sum)
	if want != nil && h != *want {
		return h, n.n, fmt.Errorf("content has digest %s, not %s as promised", h, *want)
	}
	if err := errors.Join(f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return h, n.n, fmt.Errorf("oci cache: %w", err)
	}
	if err := os.Rename(f.Name(), filepath.Join(dir, h.Hex)); err != nil {
		return h, n.n, fmt.Errorf("oci cache: %w", err)
	}
	return h, n.n, nil
}

func hashOf(sum hash.Hash) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum.Sum(nil))}
}

type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// lookup reads an index entry; false when it is not there or not readable.
func (s *Store) lookup(key string, into any) bool {
	text, err := os.ReadFile(s.indexPath(key))
	return err == nil && json.Unmarshal(text, into) == nil
}

func (s *Store) indexPath(key string) string {
	sum := sha256.Sum256([]byte(key))
	return filepath.Join(s.Root, "index", hex.EncodeToString(sum[:])+".json")
}

func (s *Store) note(key string, value any) error {
	if _, err := s.Dir("index"); err != nil {
		return err
	}
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("oci cache: %w", err)
	}
	f, err := os.CreateTemp(s.Tmp, "index-")
	if err != nil {
		return fmt.Errorf("oci cache: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), s.indexPath(key))
	}
	if err != nil {
		return fmt.Errorf("oci cache: %w", err)
	}
	return nil
}
