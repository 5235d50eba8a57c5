package packerwire

import (
	"context"
	"fmt"
	"strings"

	"ingot/internal/component"
)

const artifactService = "Artifact"

// The keys of an artifact's state that mean something to hosts.
const (
	// GeneratedData are the values of the machine that it was made of.
	GeneratedData = "generated_data"
	// ImageMetadata are the images, for a registry of them.
	ImageMetadata = "par.artifact.metadata"
)

// Artifact calls an artifact of the peer.
type Artifact struct{ *Caller }

// BuilderID names what made it.
func (a Artifact) BuilderID(ctx context.Context) (string, error) { return a.text(ctx, "BuilderId") }

// ID is its id.
func (a Artifact) ID(ctx context.Context) (string, error) { return a.text(ctx, "Id") }

// Summary describes it in a few lines.
func (a Artifact) Summary(ctx context.Context) (string, error) { return a.text(ctx, "String") }

func (a Artifact) text(ctx context.Context, method string) (string, error) {
	var s string
	err := a.Call(ctx, artifactService+"."+method, nil, &s)
	return s, err
}

// Files are its files.
func (a Artifact) Files(ctx context.Context) ([]string, error) {
	var files []string
	err := a.Call(ctx, artifactService+".Files", nil, &files)
	return files, err
}

// State is what it knows under a key; nil for nothing.
func (a Artifact) State(ctx context.Context, key string) (any, error) {
	var v any
	err := a.Call(ctx, artifactService+".State", key, &v)
	return v, err
}

// Images are the images that it tells a registry of them. Few artifacts tell any, and some
// fail.
func (a Artifact) Images(ctx context.Context) ([]component.Image, error) {
	v, err := a.State(ctx, ImageMetadata)
	return imagesOf(v), err
}

func imagesOf(v any) []component.Image {
	var out []component.Image
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			out = append(out, imagesOf(e)...)
		}
	case map[string]any:
		text := func(key string) string { s, _ := v[key].(string); return strings.ToValidUTF8(s, "�") }
		if id := text("ImageID"); id != "" {
			out = append(out, component.Image{Provider: text("ProviderName"), Region: text("ProviderRegion"), ID: id, Parent: text("SourceImageID")})
		}
	}
	return out
}

// Destroy removes it.
func (a Artifact) Destroy(ctx context.Context) error {
	var failure *textError
	if err := a.Call(ctx, artifactService+".Destroy", nil, &failure); err != nil {
		return err
	}
	return failure.error()
}

// ArtifactServer is an artifact that is served to the peer. See Artifact.
type ArtifactServer interface {
	BuilderID() string
	ID() string
	Summary() string
	Files() []string
	// State is nil for a key without a value.
	State(key string) any
	Destroy(ctx context.Context) error
}

// AddArtifact adds the service Artifact.
func (s Services) AddArtifact(a ArtifactServer) { s[artifactService] = artifactServer{a} }

type artifactServer struct{ a ArtifactServer }

func (s artifactServer) Call(ctx context.Context, method string, arg Argument) (any, error) {
	switch method {
	case "BuilderId":
		return s.a.BuilderID(), nil
	case "Id":
		return s.a.ID(), nil
	case "String":
		return s.a.Summary(), nil
	case "Files":
		return s.a.Files(), nil
	case "State":
		var key string
		if err := arg(&key); err != nil {
			return nil, err
		}
		return s.a.State(key), nil
	case "Destroy":
		// Through the header, where Packer can read it: what it expects in the
		// body it cannot decode.
		if err := s.a.Destroy(ctx); err != nil {
			return nil, fmt.Errorf("destroy the artifact: %w", err)
		}
		return nil, nil
	}
	return nil, ErrNoMethod
}
