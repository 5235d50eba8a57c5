package base

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Request says which image to find.
type Request struct {
	// Kind is "docker", "oci", "oci-archive", "docker-archive", "tar",
	// "debootstrap" or "scratch"; Ref is what follows the colon.
	Kind, Ref   string
	Platform    v1.Platform
	Compression Compression

	// For docker.
	Insecure bool
	// PullMissing uses a cached image without asking the registry.
	PullMissing bool
	Auth        authn.Keychain
	Progress    func(id, label string, done, total int64, finished bool)

	// For debootstrap.
	Bootstrap Bootstrap
}

// Load finds the image. Files of layers are fetched; nothing is unpacked.
func (s *Store) Load(ctx context.Context, q Request) (*Image, error) {
	img, err := s.load(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("base image %s: %w", q.Kind, err)
	}
	if want := len(img.Config.RootFS.DiffIDs); want != len(img.Layers) {
		return nil, fmt.Errorf("base image %s: %d layers, but its configuration lists %d", q.Kind, len(img.Layers), want)
	}
	return img, nil
}

func (s *Store) load(ctx context.Context, q Request) (*Image, error) {
	switch q.Kind {
	case "scratch":
		return &Image{Config: newConfig(q.Platform), From: "scratch"}, nil
	case "tar":
		return s.fromTar(ctx, q.Ref, q.Compression, q.Platform)
	}
	return nil, fmt.Errorf("unknown kind of base %q", q.Kind)
}
