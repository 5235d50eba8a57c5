package base

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"ingot/internal/ratelimit"
)

// Request says which image to find.
type Request struct {
	// Kind is "docker", "oci", "oci-archive", "docker-archive", "tar",
	// "debootstrap" or "scratch"; Ref is what follows the colon.
	Kind, Ref string
	Platform  v1.Platform
	// Compression is for layers that are not compressed where they are.
	Compression Compression

	// For docker.
	Insecure bool
	// PullMissing uses a cached image without asking the registry.
	PullMissing bool
	Auth        authn.Keychain
	Progress    func(id, label string, done, total int64, finished bool)
	// Limits paces the calls to the registry; nil does not.
	Limits *ratelimit.Limits
	// Retries says who is told of each failure that is tried again; it may be nil.
	Retries func(what string) func(err error, attempt int, delay time.Duration)

	// For debootstrap.
	Bootstrap Bootstrap
}

// Load finds the image. Layers are fetched if they are not on this machine;
// nothing is unpacked.
func (s *Store) Load(ctx context.Context, q Request) (*Image, error) {
	img, err := s.load(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("base image %s: %w", strings.TrimSuffix(q.Kind+":"+q.Ref, ":"), err)
	}
	if want := len(img.Config.RootFS.DiffIDs); want != len(img.Layers) {
		return nil, fmt.Errorf("base image %s: %d layers, but its configuration lists %d", img.From, len(img.Layers), want)
	}
	return img, nil
}

func (s *Store) load(ctx context.Context, q Request) (*Image, error) {
	switch q.Kind {
	case "scratch":
		return &Image{Config: newConfig(q.Platform), From: "scratch"}, nil
	case "tar":
		return s.fromTar(ctx, q.Ref, q.Compression, q.Platform)
	case "debootstrap":
		file, err := s.bootstrap(ctx, q.Ref, q.Bootstrap)
		if err != nil {
			return nil, err
		}
		img, err := s.fromTar(ctx, file, q.Compression, q.Platform)
		if err == nil {
			img.From = "debootstrap:" + q.Ref
		}
		return img, err
	case "docker":
		return s.fromRegistry(ctx, q)
	case "oci", "oci-archive":
		return s.fromLayout(ctx, q)
	case "docker-archive":
		return s.fromDockerArchive(ctx, q)
	}
	return nil, fmt.Errorf("unknown kind of base %q", q.Kind)
}
