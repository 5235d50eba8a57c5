package dockerengine

import (
	"regexp"

	"github.com/distribution/reference"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
)

// CheckRepository finds out whether text can be the repository part of an
// image's name.
func CheckRepository(attribute, text string) diag.List {
	if text == "" {
		return diag.At(attribute, "Repository missing", "Set %s to a name such as \"registry.example.com/team/app\".", attribute)
	}
	named, err := reference.ParseNormalizedNamed(text)
	if err != nil {
		return diag.At(attribute, "Not a repository name", "%q: %v.", text, err)
	}
	if !reference.IsNameOnly(named) {
		return diag.At(attribute, "Tag in the repository name", "%q has a tag or digest. Set the tag by its own attribute.", text)
	}
	return nil
}

// ValidTag reports whether text can be a tag.
func ValidTag(text string) bool {
	return regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`).MatchString(text)
}

// WarnDockerPath warns that docker_path has no effect.
func WarnDockerPath(cfg cty.Value) diag.List {
	if !component.IsSet(cfg, "docker_path") {
		return nil
	}
	return diag.WarnAt("docker_path", "No docker program is used",
		"docker_path has no effect: the engine's API is used. To choose another engine, such as Podman's, set DOCKER_HOST or DOCKER_CONTEXT.")
}
