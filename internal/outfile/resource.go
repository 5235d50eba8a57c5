package outfile

import (
	"path/filepath"

	"ingot/internal/component"
	"ingot/internal/fileid"
)

// Resource describes a file that exists as a part of an artifact. Whoever
// destroys the artifact removes it only while it is the same file.
func Resource(path string) (component.Resource, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return component.Resource{}, err
	}
	id, err := fileid.Of(abs)
	if err != nil {
		return component.Resource{}, err
	}
	return component.Resource{Kind: component.FileKind, ID: abs, Attrs: map[string]string{"path": abs, fileid.Attr: id}}, nil
}
