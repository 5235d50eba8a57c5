package base

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// fromManifest makes an image whose blobs are found by digest. Each blob is
// checked when it is read.
func fromManifest(manifest *v1.Manifest, config []byte, from string, open func(v1.Hash) (io.ReadCloser, error)) (*Image, error) {
	cfg, err := v1.ParseConfigFile(bytes.NewReader(config))
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if len(cfg.RootFS.DiffIDs) != len(manifest.Layers) {
		return nil, fmt.Errorf("the manifest has %d layers and the configuration %d", len(manifest.Layers), len(cfg.RootFS.DiffIDs))
	}
	img := &Image{Config: cfg, From: from}
	for i, d := range manifest.Layers {
		typ, err := ociType(d.MediaType)
		if err != nil {
			return nil, fmt.Errorf("layer %d: %w", i+1, err)
		}
		b := &Blob{
			open: func() (io.ReadCloser, error) { return open(d.Digest) },
			sum:  d.Digest, diff: cfg.RootFS.DiffIDs[i], size: d.Size, typ: typ,
		}
		img.Layers = append(img.Layers, &Layer{
			DiffID:       b.diff,
			uncompressed: func(context.Context) (io.ReadCloser, error) { return b.Uncompressed() },
			blob:         func(context.Context) (*Blob, error) { return b, nil },
		})
	}
	return img, nil
}

// ociType is the OCI name of a layer's media type.
func ociType(t types.MediaType) (types.MediaType, error) {
	switch t {
	case types.OCILayer, types.OCIUncompressedLayer, types.OCILayerZStd:
		return t, nil
	case types.DockerLayer:
		return types.OCILayer, nil
	case types.DockerUncompressedLayer:
		return types.OCIUncompressedLayer, nil
	}
	return "", fmt.Errorf("layers of type %q are not supported", t)
}

// fromLayout finds an image in an OCI layout, which is a directory or a tar.
func (s *Store) fromLayout(ctx context.Context, q Request) (*Image, error) {
	path, tag := splitTag(q.Ref)
	var from files
	if q.Kind == "oci" {
		from = dirFiles(path)
	} else {
		a, err := s.openArchive(ctx, path)
		if err != nil {
			return nil, err
		}
		from = a
	}
	text, err := readFile(from, "index.json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not an OCI image layout: %w", path, err)
	}
	if err != nil {
		return nil, err
	}
	desc, err := choose(from, text, tag, q.Platform)
	if err != nil {
		return nil, err
	}
	manifest, err := readManifest(from, desc)
	if err != nil {
		return nil, err
	}
	config, err := readBlob(from, manifest.Config.Digest)
	if err != nil {
		return nil, err
	}
	return fromManifest(manifest, config, q.Kind+":"+filepath.Base(path)+"@"+desc.Digest.String(), func(h v1.Hash) (io.ReadCloser, error) {
		return from.open(blobName(h))
	})
}

// splitTag splits "PATH:TAG" where the path ends, which only the file system
// can tell, since both may have colons.
func splitTag(ref string) (path, tag string) {
	if _, err := os.Stat(ref); err == nil {
		return ref, ""
	}
	for i, c := range ref {
		if c != ':' {
			continue
		}
		if _, err := os.Stat(ref[:i]); err == nil {
			return ref[:i], ref[i+1:]
		}
	}
	return ref, ""
}

func blobName(h v1.Hash) string { return "blobs/" + h.Algorithm + "/" + h.Hex }

// readBlob reads a small blob and checks it.
func readBlob(from files, h v1.Hash) ([]byte, error) {
	text, err := readFile(from, blobName(h))
	if err != nil {
		return nil, err
	}
	got, _, err := v1.SHA256(bytes.NewReader(text))
	if err == nil && got != h {
		err = fmt.Errorf("blob %s has digest %s", h, got)
	}
	return text, err
}

func readManifest(from files, d v1.Descriptor) (*v1.Manifest, error) {
	text, err := readBlob(from, d.Digest)
	if err != nil {
		return nil, err
	}
	m, err := v1.ParseManifest(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	return m, nil
}

// maxNesting bounds indexes inside indexes.
const maxNesting = 8

// choose finds the one image that an index and a tag mean.
func choose(from files, index []byte, tag string, p v1.Platform) (v1.Descriptor, error) {
	for range maxNesting {
		var im v1.IndexManifest
		if err := json.Unmarshal(index, &im); err != nil {
			return v1.Descriptor{}, fmt.Errorf("index: %w", err)
		}
		d, err := chooseIn(im.Manifests, tag, p)
		if err != nil {
			return d, err
		}
		if !d.MediaType.IsIndex() {
			return d, nil
		}
		if index, err = readBlob(from, d.Digest); err != nil {
			return d, err
		}
		tag = "" // tags are in the outermost index only
	}
	return v1.Descriptor{}, errors.New("indexes are nested too deeply")
}

func chooseIn(all []v1.Descriptor, tag string, p v1.Platform) (v1.Descriptor, error) {
	var fit []v1.Descriptor
	var tags []string
	for _, d := range all {
		ref := d.Annotations["org.opencontainers.image.ref.name"]
		if ref != "" {
			tags = append(tags, ref)
		}
		if (tag == "" || sameTag(ref, tag) || d.Digest.String() == tag) && (d.MediaType.IsImage() || d.MediaType.IsIndex()) && !isAttestation(d) {
			fit = append(fit, d)
		}
	}
	if len(fit) > 1 {
		forPlatform := slices.DeleteFunc(slices.Clone(fit), func(d v1.Descriptor) bool {
			return d.Platform == nil || !d.Platform.Satisfies(p)
		})
		if len(forPlatform) > 0 {
			fit = forPlatform
		}
	}
	known := strings.Join(tags, ", ")
	switch {
	case len(fit) == 1:
		return fit[0], nil
	case len(fit) == 0 && tag != "":
		return v1.Descriptor{}, fmt.Errorf("there is no image %q; there are: %s", tag, known)
	case len(fit) == 0:
		return v1.Descriptor{}, fmt.Errorf("there is no image for %s", p)
	}
	return v1.Descriptor{}, fmt.Errorf("there are %d images: name one behind a colon (%s) or set platform", len(fit), known)
}

// isAttestation reports whether a manifest is about an image and not one.
func isAttestation(d v1.Descriptor) bool {
	return d.Platform != nil && d.Platform.OS == "unknown" || d.Annotations["vnd.docker.reference.type"] != ""
}

// sameTag compares a reference in an archive with what the user wrote: in
// full, or the tag alone.
func sameTag(have, want string) bool {
	if have == "" {
		return false
	}
	if have == want {
		return true
	}
	a, err1 := name.NewTag(have)
	b, err2 := name.NewTag(want)
	return err1 == nil && (err2 == nil && a.Name() == b.Name() || a.TagStr() == want)
}

// fromDockerArchive finds an image in what "docker save" writes.
func (s *Store) fromDockerArchive(ctx context.Context, q Request) (*Image, error) {
	path, tag := splitTag(q.Ref)
	a, err := s.openArchive(ctx, path)
	if err != nil {
		return nil, err
	}
	text, err := readFile(a, "manifest.json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not an archive of docker save: %w", path, err)
	}
	if err != nil {
		return nil, err
	}
	entry, err := chooseDocker(text, tag)
	if err != nil {
		return nil, err
	}
	config, err := readFile(a, entry.Config)
	if err != nil {
		return nil, err
	}
	cfg, err := v1.ParseConfigFile(bytes.NewReader(config))
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if len(cfg.RootFS.DiffIDs) != len(entry.Layers) {
		return nil, fmt.Errorf("the manifest has %d layers and the configuration %d", len(entry.Layers), len(cfg.RootFS.DiffIDs))
	}
	img := &Image{Config: cfg, From: "docker-archive:" + filepath.Base(path)}
	for i, file := range entry.Layers {
		diff := cfg.RootFS.DiffIDs[i]
		open := func(context.Context) (io.ReadCloser, error) { return openLayer(a, file) }
		img.Layers = append(img.Layers, &Layer{
			DiffID: diff, uncompressed: open,
			blob: func(ctx context.Context) (*Blob, error) { return s.compressed(ctx, q.Compression, diff, open) },
		})
	}
	return img, nil
}

// openLayer opens a layer that may be compressed or not.
func openLayer(from files, name string) (io.ReadCloser, error) {
	f, err := from.open(name)
	if err != nil {
		return nil, err
	}
	d, err := decompress(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return both{d, []io.Closer{d, f}}, nil
}

// dockerEntry is one image in manifest.json.
type dockerEntry struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func chooseDocker(text []byte, tag string) (dockerEntry, error) {
	var all []dockerEntry
	if err := json.Unmarshal(text, &all); err != nil {
		return dockerEntry{}, fmt.Errorf("manifest.json: %w", err)
	}
	var tags []string
	for _, e := range all {
		tags = append(tags, e.RepoTags...)
		if tag != "" && slices.ContainsFunc(e.RepoTags, func(have string) bool { return sameTag(have, tag) }) {
			return e, nil
		}
	}
	switch {
	case tag != "":
		return dockerEntry{}, fmt.Errorf("there is no image %q; there are: %s", tag, strings.Join(tags, ", "))
	case len(all) != 1:
		return dockerEntry{}, fmt.Errorf("there are %d images: name one behind a colon: %s", len(all), strings.Join(tags, ", "))
	}
	return all[0], nil
}
