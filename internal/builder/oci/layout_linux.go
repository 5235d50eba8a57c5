package oci

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"ingot/internal/component"
)

// layoutFile is a file of an OCI image layout.
type layoutFile struct {
	name   string // with slashes
	size   int64
	digest string // of blobs
	open   func() (io.ReadCloser, error)
}

// layoutFiles lists an image layout, sorted by name.
func (w *writer) layoutFiles(tag string) ([]layoutFile, error) {
	manifest, err := w.img.RawManifest()
	if err != nil {
		return nil, err
	}
	config, err := w.img.RawConfigFile()
	if err != nil {
		return nil, err
	}
	layers, err := w.img.Layers()
	if err != nil {
		return nil, err
	}
	index, err := w.index(tag, int64(len(manifest)))
	if err != nil {
		return nil, err
	}
	files := map[string]layoutFile{}
	add := func(f layoutFile) { files[f.name] = f }
	add(inMemory("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)))
	add(inMemory("index.json", index))
	for _, text := range [][]byte{manifest, config} {
		h, _, err := v1.SHA256(bytes.NewReader(text))
		if err != nil {
			return nil, err
		}
		f := inMemory(blobName(h), text)
		f.digest = h.String()
		add(f)
	}
	for _, l := range layers {
		h, err := l.Digest()
		if err != nil {
			return nil, err
		}
		size, err := l.Size()
		if err != nil {
			return nil, err
		}
		add(layoutFile{name: blobName(h), size: size, digest: h.String(), open: l.Compressed})
	}
	var out []layoutFile
	for _, f := range files {
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b layoutFile) int { return strings.Compare(a.name, b.name) })
	return out, nil
}

func blobName(h v1.Hash) string { return "blobs/" + h.Algorithm + "/" + h.Hex }

func inMemory(name string, text []byte) layoutFile {
	return layoutFile{name: name, size: int64(len(text)), open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(text)), nil
	}}
}

// index is the layout's index.json.
func (w *writer) index(tag string, size int64) ([]byte, error) {
	digest, err := w.img.Digest()
	if err != nil {
		return nil, err
	}
	config, err := w.img.ConfigFile()
	if err != nil {
		return nil, err
	}
	d := v1.Descriptor{
		MediaType: types.OCIManifestSchema1, Size: size, Digest: digest,
		Platform: &v1.Platform{OS: config.OS, Architecture: config.Architecture, Variant: config.Variant},
	}
	if tag != "" {
		d.Annotations = map[string]string{
			"org.opencontainers.image.ref.name": tag,
			"io.containerd.image.name":          canonical(tag),
		}
	}
	return json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{d}})
}

// canonical is the full name that containerd knows images by.
func canonical(tag string) string {
	t, err := name.NewTag(tag)
	if err != nil {
		return tag
	}
	return strings.Replace(t.Name(), "index.docker.io/", "docker.io/", 1)
}

// layoutDir writes an OCI image layout below a new directory.
func (w *writer) layoutDir(ctx context.Context, dir string, o output) ([]component.File, error) {
	list, err := w.layoutFiles(o.tag)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755); err != nil {
		return nil, err
	}
	var files []component.File
	for _, f := range list {
		if err := copyInto(ctx, filepath.Join(dir, filepath.FromSlash(f.name)), f); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		files = append(files, component.File{Path: filepath.Join(o.path, filepath.FromSlash(f.name)), Size: f.size, Digest: f.digest})
	}
	return files, nil
}

func copyInto(ctx context.Context, path string, f layoutFile) error {
	in, err := f.open()
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(cancellable{ctx, out}, in)
	return errors.Join(err, out.Sync(), out.Close())
}

// layoutArchive writes an OCI image layout as a tar stream, always the same
// for the same image.
func (w *writer) layoutArchive(to io.Writer, tag string) error {
	list, err := w.layoutFiles(tag)
	if err != nil {
		return err
	}
	when := w.job.created(w.run).Time
	tw := tar.NewWriter(to)
	for _, dir := range []string{"blobs/", "blobs/sha256/"} {
		if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755, ModTime: when}); err != nil {
			return err
		}
	}
	for _, f := range list {
		if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: 0o644, Size: f.size, ModTime: when}); err != nil {
			return err
		}
		in, err := f.open()
		if err != nil {
			return err
		}
		_, err = io.Copy(tw, in)
		if err = errors.Join(err, in.Close()); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return tw.Close()
}
