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
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/sync/errgroup"

	"ingot/internal/ratelimit"
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
	var remoteImg v1.Image
	err = s.patiently(ctx, q, "the manifest of "+ref.Name(), ref, func(ctx context.Context) (err error) {
		remoteImg, err = remote.Image(ref, s.remoteOptions(ctx, q, ref)...)
		return err
	})
	if err != nil {
		return nil, err
	}
	if known.Manifest, err = s.fetch(ctx, remoteImg, q, ref); err != nil {
		return nil, err
	}
	if err := s.note(key, known); err != nil {
		return nil, err
	}
	return s.fromStore(known, ref)
}

// remoteOptions leave trying again to patiently, which tells of it.
func (s *Store) remoteOptions(ctx context.Context, q Request, ref name.Reference) []remote.Option {
	t := remote.DefaultTransport.(*http.Transport).Clone()
	if q.Insecure {
		t.TLSClientConfig = &tls.Config{InsecureSkipVerify: true} // what insecure asks for
	}
	return []remote.Option{
		remote.WithContext(ctx), remote.WithAuthFromKeychain(q.Auth), remote.WithPlatform(q.Platform), remote.WithUserAgent("ingot"),
		remote.WithTransport(q.Limits.Endpoint(ref.Context().RegistryStr()).Transport(t)),
		remote.WithRetryStatusCodes(), remote.WithRetryPredicate(func(error) bool { return false }),
	}
}

// patiently asks the registry, and again when that failed for a reason that may pass. An
// error says what to do.
func (s *Store) patiently(ctx context.Context, q Request, what string, ref name.Reference, ask func(context.Context) error) error {
	policy := retry.Policy{Attempts: registryAttempts}
	if q.Retries != nil {
		policy.Notify = q.Retries(what)
	}
	return retry.Do(ctx, s.Clock, policy, func(ctx context.Context) error {
		err := ask(ctx)
		if ctx.Err() != nil {
			return err
		}
		return explainRemote(err, ref)
	})
}

// registryAttempts is how often a registry is asked for one thing.
const registryAttempts = 4

// explainRemote says what to do where the registry's answer does not.
func explainRemote(err error, ref name.Reference) error {
	var t *transport.Error
	if !errors.As(err, &t) {
		return err
	}
	if class, _ := ratelimit.Judge(t.StatusCode, nil, time.Time{}); class != retry.Unclassified {
		return retry.As(class, err)
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
func (s *Store) fetch(ctx context.Context, img v1.Image, q Request, ref name.Reference) (v1.Hash, error) {
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
	var config []byte
	err = s.patiently(ctx, q, "the configuration of "+ref.Name(), ref, func(context.Context) (err error) {
		config, err = img.RawConfigFile()
		return err
	})
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
		g.Go(func() error { return s.fetchLayer(gctx, layers[i], d, q, ref) })
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

func (s *Store) fetchLayer(ctx context.Context, l v1.Layer, d v1.Descriptor, q Request, ref name.Reference) error {
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
	id, label := d.Digest.String(), "layer "+d.Digest.Hex[:12]
	return s.patiently(ctx, q, label, ref, func(ctx context.Context) error {
		in, err := l.Compressed()
		if err != nil {
			return err
		}
		defer in.Close()
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
