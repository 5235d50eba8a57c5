package checksum

import (
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
	"runtime"

	"golang.org/x/sync/errgroup"

	"ingot/internal/component"
)

// types are the names of the checksums.
func types() []string { return []string{"md5", "sha1", "sha224", "sha256", "sha384", "sha512"} }

// newHash returns nil for an unknown name.
func newHash(name string) hash.Hash {
	switch name {
	case "md5":
		return md5.New()
	case "sha1":
		return sha1.New()
	case "sha224":
		return sha256.New224()
	case "sha256":
		return sha256.New()
	case "sha384":
		return sha512.New384()
	case "sha512":
		return sha512.New()
	}
	return nil
}

// fileSums are the checksums of one file, in hexadecimal by type.
type fileSums struct {
	path string
	sums map[string]string
}

// compute reads every file once, several at a time.
func (t transform) compute(ctx context.Context, files []component.File) ([]fileSums, error) {
	out := make([]fileSums, len(files))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, f := range files {
		g.Go(func() error {
			sums, err := sum(ctx, f.Path, t.Types)
			if err != nil {
				return fmt.Errorf("checksum: %w", err)
			}
			out[i] = fileSums{f.Path, sums}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return out, nil
}

func sum(ctx context.Context, path string, names []string) (map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	hashes := map[string]hash.Hash{}
	var all []io.Writer
	for _, name := range names {
		if hashes[name] == nil {
			hashes[name] = newHash(name)
			all = append(all, hashes[name])
		}
	}
	if _, err := io.CopyBuffer(io.MultiWriter(all...), cancelled{ctx, f}, make([]byte, 256<<10)); err != nil {
		return nil, err
	}
	out := map[string]string{}
	for name, h := range hashes {
		out[name] = hex.EncodeToString(h.Sum(nil))
	}
	return out, nil
}

// cancelled is a reader that fails once its context has ended.
type cancelled struct {
	ctx context.Context
	io.Reader
}

func (c cancelled) Read(p []byte) (int, error) {
	if err := context.Cause(c.ctx); err != nil {
		return 0, err
	}
	return c.Reader.Read(p)
}
