package install

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/hashicorp/go-version"

	"ingot/internal/addr"
)

// registry is an OCI registry. A plugin is the repository PREFIX/ADDRESS in lower
// case, a version is the tag vVERSION. Its manifest has the files of the release as
// layers, each with its name in the annotation org.opencontainers.image.title, as
// "oras push" makes it.
type registry struct {
	in     *Installer
	prefix string
}

const titleAnnotation = "org.opencontainers.image.title"

func newRegistry(in *Installer, place string) (*registry, error) {
	prefix := strings.TrimSuffix(strings.TrimPrefix(place, "oci://"), "/")
	if _, err := name.NewRepository(prefix + "/x"); err != nil {
		return nil, err
	}
	return &registry{in, prefix}, nil
}

func (r *registry) String() string { return "oci://" + r.prefix }

func (r *registry) repository(p addr.Plugin) (name.Repository, error) {
	return name.NewRepository(r.prefix + "/" + strings.ToLower(p.String()))
}

func (r *registry) options(ctx context.Context) []remote.Option {
	return []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain), remote.WithUserAgent("Ingot")}
}

func (r *registry) versions(ctx context.Context, p addr.Plugin) ([]*version.Version, error) {
	repo, err := r.repository(p)
	if err != nil {
		return nil, err
	}
	tags, err := remote.List(repo, r.options(ctx)...)
	var answer *transport.Error
	switch {
	case errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound:
		return nil, fmt.Errorf("there is no repository %s", repo)
	case err != nil:
		return nil, fmt.Errorf("list the tags of %s: %w", repo, err)
	}
	var texts []string
	for _, tag := range tags {
		if v, ok := strings.CutPrefix(tag, "v"); ok {
			texts = append(texts, v)
		}
	}
	return versions(texts)
}

func (r *registry) release(ctx context.Context, p addr.Plugin, v *version.Version) (*release, error) {
	repo, err := r.repository(p)
	if err != nil {
		return nil, err
	}
	image, err := remote.Image(repo.Tag("v"+v.String()), r.options(ctx)...)
	if err != nil {
		return nil, fmt.Errorf("read %s:v%s: %w", repo, v, err)
	}
	m, err := image.Manifest()
	if err != nil {
		return nil, fmt.Errorf("read %s:v%s: %w", repo, v, err)
	}
	layers := map[string]v1.Descriptor{}
	for _, l := range m.Layers {
		title := l.Annotations[titleAnnotation]
		if _, twice := layers[title]; twice && title != "" {
			return nil, fmt.Errorf("%s:v%s has two files %s", repo, v, title)
		}
		layers[title] = l
	}
	out := &release{signature: func(context.Context) ([]byte, error) { return nil, nil }}
	listName := fmt.Sprintf("%s_v%s_SHA256SUMS", repository(p), v)
	var all sums
	if list, ok := layers[listName]; ok {
		if out.sums, err = r.small(ctx, repo, list); err != nil {
			return nil, err
		}
		if all, err = parseSums(out.sums); err != nil {
			return nil, fmt.Errorf("%s: %w", listName, err)
		}
		out.signature = func(ctx context.Context) ([]byte, error) {
			for _, ext := range []string{".sig", ".asc"} {
				if l, ok := layers[listName+ext]; ok {
					return r.small(ctx, repo, l)
				}
			}
			return nil, nil
		}
	}
	for title, l := range layers {
		n, err := parseZipName(title)
		if err != nil || !n.hasAPI || n.Name != p.Name() || !n.Version.Equal(v) || l.Digest.Algorithm != "sha256" {
			continue
		}
		if listed, ok := all[title]; all != nil && (!ok || listed != l.Digest.Hex) {
			return nil, fmt.Errorf("%s:v%s: %s is not the file that %s lists", repo, v, title, listName)
		}
		out.files = append(out.files, file{FileName: n.FileName, zip: l.Digest.Hex, fetch: func(ctx context.Context) (string, error) {
			return r.download(ctx, repo, l, title)
		}})
	}
	return out, nil
}

// small reads a small layer. Its digest is checked while it is read.
func (r *registry) small(ctx context.Context, repo name.Repository, l v1.Descriptor) ([]byte, error) {
	if l.Size > maxList {
		return nil, fmt.Errorf("%s has %d bytes, which no such file has", l.Annotations[titleAnnotation], l.Size)
	}
	from, err := r.blob(ctx, repo, l)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	// A registry may send more than its manifest says.
	text, err := io.ReadAll(io.LimitReader(from, maxList+1))
	if err == nil && len(text) > maxList {
		err = fmt.Errorf("%s has more than %d bytes, which no such file has", l.Annotations[titleAnnotation], maxList)
	}
	return text, err
}

func (r *registry) blob(ctx context.Context, repo name.Repository, l v1.Descriptor) (io.ReadCloser, error) {
	layer, err := remote.Layer(repo.Digest(l.Digest.String()), r.options(ctx)...)
	if err != nil {
		return nil, err
	}
	return layer.Compressed()
}

// download keeps a layer in a file until the end.
func (r *registry) download(ctx context.Context, repo name.Repository, l v1.Descriptor, title string) (string, error) {
	path := filepath.Join(r.in.Run.WorkDir, "layer-"+l.Digest.Hex)
	if checkZip(ctx, path, l.Digest.Hex) == nil {
		return path, nil
	}
	err := r.in.repeat(ctx, title, func(ctx context.Context) error {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		from, err := r.blob(ctx, repo, l)
		if err != nil {
			return err
		}
		defer from.Close()
		return writeProgram(ctx, from, path, min(l.Size, maxProgram))
	})
	if err == nil {
		err = checkZip(ctx, path, l.Digest.Hex)
	}
	return path, err
}
