package dockerengine

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
)

// Producers of the artifacts that pass between the docker components.
const (
	ProducerBuilder  = "packer.docker"
	ProducerImport   = "packer.post-processor.docker-import"
	ProducerTag      = "packer.post-processor.docker-tag"
	ProducerPush     = "packer.post-processor.docker-push"
	ProducerSave     = "packer.post-processor.docker-save"
	producerArtifice = "packer.post-processor.artifice"
)

// Kinds of the resources that live on an engine. The ID of an image is its
// "sha256:..." or a "repository:tag".
const (
	ContainerKind = "docker.container"
	ImageKind     = "docker.image"
)

// How an image is found again when the engine's answer with its ID got lost.
const (
	// AttrName is the resource attribute with the name that the image was to
	// get; other images may have it too, so that the mark decides.
	AttrName = "name"
	// AttrOwnTag is set on resources whose name is OwnTag.
	AttrOwnTag = "own_tag"
	// TokenLabel is the label that holds the token where the comment cannot.
	TokenLabel = "io.ingot.token"
)

// OwnTag is a name that no other image has.
func OwnTag(token string) string { return "ingot-build:" + token }

// Mark decides how an image that is being committed or imported carries its
// token: as its comment, which nothing inherits, or as a label where the user
// has set the comment.
func Mark(message, token string, changes []string) (comment string, marked []string) {
	if message == "" {
		return token, changes
	}
	return message, append(changes[:len(changes):len(changes)], "LABEL "+TokenLabel+"="+token)
}

// Names in an artifact's data.
const (
	// DataTags lists the names of the image.
	DataTags = "docker_tags"
	// DataSHA is the image's ID, as templates know it.
	DataSHA = "ImageSha256"
	// DataDigest is the digest that the registry gave to a pushed image.
	DataDigest = "ImageDigest"
)

// ImageOf returns the image that an artifact is about: a "sha256:..." or a
// "repository:tag".
func ImageOf(what string, in *component.Artifact) (string, error) {
	if in == nil {
		return "", fmt.Errorf("%s: there is no artifact to work on", what)
	}
	docker := slices.Contains([]string{ProducerImport, ProducerTag, ProducerPush}, in.Producer) ||
		slices.ContainsFunc(in.Images, func(i component.Image) bool { return i.Provider == "docker" })
	if !docker || in.ID == "" {
		return "", fmt.Errorf("%s: it works on Docker images, but the artifact is from %s: put it after the docker builder with commit = true, docker-import or docker-tag", what, in.Producer)
	}
	return in.ID, nil
}

// TarOf returns the file that an artifact of the docker builder's export_path,
// or of artifice, consists of.
func TarOf(what string, in *component.Artifact) (component.File, error) {
	switch {
	case in == nil:
		return component.File{}, fmt.Errorf("%s: there is no artifact to work on", what)
	case in.Producer != ProducerBuilder && in.Producer != producerArtifice:
		return component.File{}, fmt.Errorf("%s: it works on tar files, but the artifact is from %s: put it after the docker builder with export_path, or after artifice", what, in.Producer)
	case len(in.Files) == 0:
		return component.File{}, fmt.Errorf("%s: the artifact has no file: set export_path in the docker source", what)
	case len(in.Files) > 1:
		return component.File{}, fmt.Errorf("%s: the artifact has %d files, but an image is made from one", what, len(in.Files))
	}
	return in.Files[0], nil
}

// Tags lists the names of an artifact's image.
func Tags(in *component.Artifact) ([]string, error) {
	if v, ok := in.Data[DataTags]; ok && v.IsWhollyKnown() && !v.IsNull() && v.CanIterateElements() {
		var out []string
		for it := v.ElementIterator(); it.Next(); {
			if _, e := it.Element(); e.Type() == cty.String && !e.IsNull() {
				out = append(out, e.AsString())
			}
		}
		return out, nil
	}
	if strings.HasPrefix(in.ID, "sha256:") {
		return nil, errors.New("the image has no name yet: put docker-tag before")
	}
	return []string{in.ID}, nil
}

// TagData is the reverse of Tags.
func TagData(tags []string) cty.Value {
	values := make([]cty.Value, len(tags))
	for i, t := range tags {
		values[i] = cty.StringVal(t)
	}
	if len(values) == 0 {
		return cty.ListValEmpty(cty.String)
	}
	return cty.ListVal(values)
}
