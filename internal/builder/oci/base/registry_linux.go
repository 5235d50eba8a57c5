package base

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/sync/errgroup"

	"ingot/internal/retry"
)

// pulled is what the store remembers of a reference.
type pulled struct{ Manifest v1.Hash }

// fromRegistry pulls an image. Manifest, configuration and layers stay in the
// store, so that only what is new is transferred.
func (s *Store) fromRegistry(ctx context.Context, q Request) (*Image, error) {
	var opts []name.Option
	if q.Insecure {
		opts = append(opts, name.Insecure)
	}
	ref, err := name.ParseReference(q.Ref, opts...)
	if err != nil {
		return nil, err
	}
	key := "pulled " + ref.Name() + " " + q.Platform.String()
	_, byDigest := ref.(name.Digest)
	var known pulled
	if (byDigest || q.PullMissing) && s.lookup(key, &known) {
		if img, err := s.fromStore(known, ref); err == nil {
			return img, nil
		}
	}
	remoteImg, err := remote.Image(ref, s.remoteOptions(ctx, q)...)
	if err != nil {
		return nil, explainRemote(err, ref)
	}
	if known.Manifest, err = s.fetch(ctx, remoteImg, q); err != nil {
		return nil, explainRemote(err, ref)
	}
	if err := s.note(key, known); err != nil {
		return nil, err
	}
	return s.fromStore(known, ref)
}

func (s *Store) remoteOptions(ctx context.Context, q Request) []remote.Option {
	opts := []remote.Option{
		remote.WithContext(ctx), remote.WithAuthFromKeychain(q.Auth), remote.WithPlatform(q.Platform), remote.WithUserAgent("ingot"),
	}
	if q.Insecure {
		t := remote.DefaultTransport.(*http.Transport).Clone()
		t.TLSClientConfig = &tls.Config{InsecureSkipVerify: true} // what insecure asks for
		opts = append(opts, remote.WithTransport(t))
	}
	return opts
}

// explainRemote says what to do where the registry's answer does not.
func explainRemote(err error, ref name.Reference) error {
	var t *transport.Error
	if !errors.As(err, &t) {
		return err
	}
	switch t.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return retry.As(retry.Permission, fmt.Errorf("the registry refuses access: run docker login %s, or set login_username and login_password: %w", ref.Context().RegistryStr(), err))
	case http.StatusNotFound:
		return retry.As(retry.User, fmt.Errorf("the registry has no such image: %w", err))
	}
	return err
}

// fromStore makes an image of what the store has. It fails when anything is
// missing.
func (s *Store) fromStore(p pulled, ref name.Reference) (*Image, error) {
	text, err := os.ReadFile(s.blobPath(p.Manifest))
	if err != nil {
		return nil, err
	}
	manifest, err := v1.ParseManifest(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	config, err := os.ReadFile(s.blobPath(manifest.Config.Digest))
	if err != nil {
		return nil, err
	}
	for _, d := range manifest.Layers {
		if !s.has(d.Digest, d.Size) {
			return nil, fmt.Errorf("layer %s is not in the cache", d.Digest)
		}
	}
	from := ref.Context().Name() + "@" + p.Manifest.String()
	return fromManifest(manifest, config, from, func(h v1.Hash) (io.ReadCloser, error) { return os.Open(s.blobPath(h)) })
}

// transfers is how many layers are fetched at a time.
const transfers = 3

// fetch brings all blobs of an image into the store.
func (s *Store) fetch(ctx context.Context, img v1.Image, q Request) (v1.Hash, error) {
	digest, err := img.Digest()
	if err != nil {
		return digest, err
	}
	raw, err := img.RawManifest()
	if err != nil {
		return digest, err
	}
	manifest, err := img.Manifest()
	if err != nil {
		return digest, err
	}
	config, err := img.RawConfigFile()
	if err != nil {
		return digest, err
	}
	layers, err := img.Layers()
	if err != nil {
		return digest, err
	}
	if len(layers) != len(manifest.Layers) {
		return digest, errors.New("the manifest lists other layers than the image has")
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(transfers)
	for i, d := range manifest.Layers {
		g.Go(func() error { return s.fetchLayer(gctx, layers[i], d, q) })
	}
	if err := g.Wait(); err != nil {
		return digest, err
	}
	for h, text := range map[v1.Hash][]byte{manifest.Config.Digest: config, digest: raw} {
		if s.has(h, int64(len(text))) {
			continue
		}
		if _, _, err := s.write(&h, func(w io.Writer) error { _, err := w.Write(text); return err }); err != nil {
			return digest, err
		}
	}
	return digest, nil
}

func (s *Store) fetchLayer(ctx context.Context, l v1.Layer, d v1.Descriptor, q Request) error {
	if s.has(d.Digest, d.Size) {
		return nil
	}
	unlock, err := s.Lock(ctx, "blob-"+d.Digest.Hex)
	if err != nil {
		return err
	}
	defer unlock()
	if s.has(d.Digest, d.Size) {
		return nil // another build has just fetched it
	}
	return retry.Do(ctx, s.Clock, retry.Policy{Attempts: 4}, func(ctx context.Context) error {
		in, err := l.Compressed()
		if err != nil {
			return err
		}
		defer in.Close()
		id := d.Digest.String()
		label := "layer " + d.Digest.Hex[:12]
		watched := &watchedReader{r: cancellable{ctx, in}, tell: func(n int64) { q.Progress(id, label, n, d.Size, false) }}
		_, _, err = s.write(&d.Digest, func(w io.Writer) error { _, err := io.Copy(w, watched); return err })
		if err == nil {
			q.Progress(id, label, d.Size, d.Size, true)
		}
		return err
	})
}

// watchedReader tells how far reading has come, once for each megabyte.
type watchedReader struct {
	r          io.Reader
	tell       func(int64)
	done, told int64
}

func (w *watchedReader) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	w.done += int64(n)
	if w.done-w.told >= 1<<20 {
		w.told = w.done
		w.tell(w.done)
	}
	return n, err
}
