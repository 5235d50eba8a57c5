package base

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Identity says which image a request means.
type Identity struct {
	// Digest is that of the manifest, or what else names the image; empty when
	// the contents of File do.
	Digest string
	// File is the file or folder that holds it.
	File string
	// Unmade says, as a clause, that the image would have to be made first.
	Unmade string
}

// Identify finds out which image a request means without loading it.
func (s *Store) Identify(ctx context.Context, q Request) (Identity, error) {
	switch q.Kind {
	case "tar":
		return Identity{File: q.Ref}, nil
	case "oci", "oci-archive", "docker-archive":
		path, tag := splitTag(q.Ref)
		return Identity{File: path, Digest: tag}, nil
	case "debootstrap":
		return s.identifyBootstrap(q), nil
	case "docker":
		return s.identifyRemote(ctx, q)
	}
	return Identity{Digest: q.Kind}, nil
}

// identifyBootstrap: a root file system is used until it is made anew.
func (s *Store) identifyBootstrap(q Request) Identity {
	key := q.Bootstrap.key(q.Ref)
	id := Identity{Digest: key}
	_, err := os.Stat(filepath.Join(s.Root, "bootstrap", key+".tar"))
	switch {
	case q.Bootstrap.Refresh:
		id.Unmade = "refresh = true makes its root file system anew"
	case err != nil:
		id.Unmade = "its root file system is not in the cache and would be made anew"
	}
	return id
}

func (s *Store) identifyRemote(ctx context.Context, q Request) (Identity, error) {
	var opts []name.Option
	if q.Insecure {
		opts = append(opts, name.Insecure)
	}
	ref, err := name.ParseReference(q.Ref, opts...)
	if err != nil {
		return Identity{}, err
	}
	if d, ok := ref.(name.Digest); ok {
		return Identity{Digest: d.DigestStr()}, nil
	}
	var known pulled
	if q.PullMissing && s.lookup("pulled "+ref.Name()+" "+q.Platform.String(), &known) {
		if _, err := s.fromStore(known, ref); err == nil {
			return Identity{Digest: known.Manifest.String()}, nil
		}
	}
	var img v1.Image
	err = s.patiently(ctx, q, "the manifest of "+ref.Name(), ref, func(ctx context.Context) (err error) {
		img, err = remote.Image(ref, s.remoteOptions(ctx, q, ref)...)
		return err
	})
	if err != nil {
		return Identity{}, fmt.Errorf("base image %s: %w", q.Ref, err)
	}
	digest, err := img.Digest()
	if err != nil {
		return Identity{}, fmt.Errorf("base image %s: %w", q.Ref, err)
	}
	return Identity{Digest: digest.String()}, nil
}
