// Package store knows the plugins that are installed on this machine: where they
// are, which of them can be used, and what each of them has. It believes no file:
// what is run has the content that its checksum file says, and a name that agrees
// with what the plugin says of itself.
//
// Finding out what is there reads names only. A file's content is read, and the
// plugin asked, when it is wanted.
package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/hashicorp/go-version"

	"ingot/internal/addr"
)

// Store is a plugin folder.
type Store struct {
	// Dir is the folder. It need not exist.
	Dir string
	// Cache is where descriptions of plugins are kept, by the digest of the
	// plugin; empty keeps none.
	Cache string
	// Environ is the environment of plugins that are asked for their
	// description; nil is that of this process.
	Environ []string
}

// Here is the platform that this program runs on.
func Here() Platform { return Platform{runtime.GOOS, runtime.GOARCH} }

// Binary is a plugin's program.
type Binary struct {
	Path string
	// Name is what its components are known by when a template does not give
	// the plugin another name.
	Name string
	// Source is the folder that it is in, relative to the plugin folder and
	// with slashes: the plugin's source address.
	Source  string
	Version *version.Version
	API     API
	// SHA256 is the digest of the content in hexadecimal; empty until the
	// content has been read.
	SHA256 string
}

// maxDepth is how many folders deep plugins are looked for.
const maxDepth = 16

// List returns the plugins for this platform by their names, sorted by name,
// version and protocol; what is best comes last. Nothing is read but folders:
// Verify says whether a plugin can be believed. A folder that is not there is empty.
func (s *Store) List() ([]Binary, error) {
	var out []Binary
	if err := s.walk("", 0, &out); err != nil {
		return nil, fmt.Errorf("plugin folder: %w", err)
	}
	slices.SortStableFunc(out, compare)
	return out, nil
}

func compare(a, b Binary) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), a.Version.Compare(b.Version), a.API.compare(b.API), strings.Compare(a.Path, b.Path))
}

// walk gathers the plugins in a folder below s.Dir. Those in s.Dir itself are
// nobody's.
func (s *Store) walk(below string, depth int, out *[]Binary) error {
	entries, err := os.ReadDir(filepath.Join(s.Dir, below))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, fs.ErrPermission) && depth > 0:
		return nil // as for a file that cannot be read, there is nothing to use
	case err != nil:
		return err
	}
	for _, e := range entries {
		name := filepath.Join(below, e.Name())
		if e.IsDir() {
			if depth < maxDepth {
				if err := s.walk(name, depth+1, out); err != nil {
					return err
				}
			}
			continue
		}
		if b, ok := s.binary(below, e.Name()); ok && depth > 0 {
			*out = append(*out, b)
		}
	}
	return nil
}

// binary is a file of a folder below s.Dir, when its name is that of a plugin for
// this platform.
func (s *Store) binary(below, file string) (Binary, bool) {
	n, err := ParseFileName(file)
	if err != nil || n.Platform != Here() {
		return Binary{}, false
	}
	path := filepath.Join(s.Dir, below, file)
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return Binary{}, false
	}
	return Binary{Path: path, Name: n.Name, Source: filepath.ToSlash(below), Version: n.Version, API: n.API}, true
}

// Installed returns the plugins that were installed from an address, best last.
// Other folders do not count, whatever the files in them are called.
func (s *Store) Installed(source addr.Plugin) ([]Binary, error) {
	below := filepath.FromSlash(source.String())
	entries, err := os.ReadDir(filepath.Join(s.Dir, below))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("plugin folder: %w", err)
	}
	var out []Binary
	for _, e := range entries {
		if b, ok := s.binary(below, e.Name()); ok && b.Name == source.Name() {
			out = append(out, b)
		}
	}
	slices.SortStableFunc(out, compare)
	return out, nil
}

// Path is where a plugin of an address is installed.
func (s *Store) Path(source addr.Plugin, n FileName) string {
	return filepath.Join(s.Dir, filepath.FromSlash(source.String()), n.String())
}

// digestLength is that of a digest in hexadecimal.
const digestLength = 2 * sha256.Size

// Verify reads the content of a plugin and compares it with the checksum file
// beside it. The result has the digest.
func Verify(ctx context.Context, b Binary) (Binary, error) {
	sum, err := recorded(b.Path + SumSuffix)
	if err != nil {
		return b, err
	}
	if b.SHA256, err = Digest(ctx, b.Path); err != nil {
		return b, err
	}
	if b.SHA256 != sum {
		return b, fmt.Errorf("its content does not have the checksum that is in %s", filepath.Base(b.Path)+SumSuffix)
	}
	return b, nil
}

// recorded reads a checksum file: 64 hexadecimal digits, and whatever behind them.
func recorded(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("there is no checksum file for it: %w", err)
	}
	defer f.Close()
	text := make([]byte, digestLength)
	if _, err := io.ReadFull(f, text); err != nil {
		return "", fmt.Errorf("the checksum file %s is too short", filepath.Base(path))
	}
	if _, err := hex.DecodeString(string(text)); err != nil {
		return "", fmt.Errorf("the checksum file %s holds no checksum", filepath.Base(path))
	}
	return strings.ToLower(string(text)), nil
}

// Digest is the SHA-256 of a file in hexadecimal.
func Digest(ctx context.Context, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, untilDone{ctx, f}); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// untilDone is a reader that ends with its context.
type untilDone struct {
	ctx context.Context
	io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.Reader.Read(p)
}
