package base

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Image is what a build starts from.
type Image struct {
	// Config is never nil; its RootFS lists the layers.
	Config *v1.ConfigFile
	// Layers are the lowest first.
	Layers []*Layer
	// From is how history and labels call it: a reference with its digest.
	From string
}

// Layer is one layer of a base image. Its content is opened when needed: with
// a warm cache only the blob is, to be copied into the result.
type Layer struct {
	DiffID v1.Hash
	// uncompressed opens the tar stream.
	uncompressed func(ctx context.Context) (io.ReadCloser, error)
	// blob finds or makes the compressed form.
	blob func(ctx context.Context) (*Blob, error)
}

// Open returns the uncompressed tar stream.
func (l *Layer) Open(ctx context.Context) (io.ReadCloser, error) { return l.uncompressed(ctx) }

// Blob returns the layer as it is put into images.
func (l *Layer) Blob(ctx context.Context) (*Blob, error) { return l.blob(ctx) }

// Blob is a compressed layer. It implements v1.Layer.
type Blob struct {
	open func() (io.ReadCloser, error)
	sum  v1.Hash
	diff v1.Hash
	size int64
	typ  types.MediaType
}

// NewBlob describes a layer in a file: the digests of the file and of its
// uncompressed content.
func NewBlob(path string, sum, diff v1.Hash, size int64, typ types.MediaType) *Blob {
	open := func() (io.ReadCloser, error) { return os.Open(path) }
	return &Blob{open: open, sum: sum, diff: diff, size: size, typ: typ}
}

// Digest is that of the compressed bytes.
func (b *Blob) Digest() (v1.Hash, error) { return b.sum, nil }

// DiffID is the digest of the uncompressed bytes.
func (b *Blob) DiffID() (v1.Hash, error) { return b.diff, nil }

// Size is the number of compressed bytes.
func (b *Blob) Size() (int64, error) { return b.size, nil }

// MediaType is an OCI one.
func (b *Blob) MediaType() (types.MediaType, error) { return b.typ, nil }

// Compressed opens the bytes. Reading fails at their end if they have changed.
func (b *Blob) Compressed() (io.ReadCloser, error) {
	f, err := b.open()
	if err != nil {
		return nil, err
	}
	return &verified{f: f, want: b.sum, sum: sha256.New()}, nil
}

// Uncompressed decompresses the bytes.
func (b *Blob) Uncompressed() (io.ReadCloser, error) {
	f, err := b.Compressed()
	if err != nil {
		return nil, err
	}
	d, err := decompress(f)
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return both{d, []io.Closer{d, f}}, nil
}

// compressed makes and remembers the compressed form of a layer that has none.
func (s *Store) compressed(ctx context.Context, c Compression, diff v1.Hash, open func(context.Context) (io.ReadCloser, error)) (*Blob, error) {
	key := "compressed " + c.key() + " " + diff.String()
	var known struct {
		Digest v1.Hash
		Size   int64
	}
	if s.lookup(key, &known) && s.has(known.Digest, known.Size) {
		return NewBlob(s.blobPath(known.Digest), known.Digest, diff, known.Size, c.MediaType()), nil
	}
	unlock, err := s.Lock(ctx, "blob-"+diff.Hex)
	if err != nil {
		return nil, err
	}
	defer unlock()
	in, err := open(ctx)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	known.Digest, known.Size, err = s.write(nil, func(w io.Writer) error {
		z, err := c.Writer(w)
		if err != nil {
			return err
		}
		sum := sha256.New()
		if _, err := io.Copy(io.MultiWriter(z, sum), cancellable{ctx, in}); err != nil {
			return err
		}
		if got := hashOf(sum); got != diff {
			return fmt.Errorf("layer content changed: digest %s instead of %s", got, diff)
		}
		return z.Close()
	})
	if err != nil {
		return nil, fmt.Errorf("compress layer: %w", err)
	}
	if err := s.note(key, known); err != nil {
		return nil, err
	}
	return NewBlob(s.blobPath(known.Digest), known.Digest, diff, known.Size, c.MediaType()), nil
}

// cancellable stops reading when ctx ends.
type cancellable struct {
	ctx context.Context
	r   io.Reader
}

func (c cancellable) Read(p []byte) (int, error) {
	if err := context.Cause(c.ctx); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// ChainIDs names each prefix of a list of layers, as the OCI image
// specification defines it.
func ChainIDs(diffIDs []v1.Hash) []string {
	out := make([]string, len(diffIDs))
	for i, d := range diffIDs {
		if i == 0 {
			out[i] = d.Hex
			continue
		}
		sum := sha256.New()
		fmt.Fprintf(sum, "sha256:%s %s", out[i-1], d)
		out[i] = hashOf(sum).Hex
	}
	return out
}
