package component

import "github.com/zclconf/go-cty/cty"

// Artifact is what a build or a post-processor made. It is plain data.
type Artifact struct {
	// Producer names what made it in the form that manifests and scripts
	// know, such as "packer.docker".
	Producer string
	// ID is the platform's id: an image id, or "" for plain files.
	ID string
	// Summary is one line for the user: "Imported Docker image: ...".
	Summary string
	Files   []File
	Images  []Image
	// Data is what post-processors see as build.* beside the common names.
	Data map[string]cty.Value
	// Resources are what the artifact consists of. Reaping them all is
	// what destroys the artifact; an artifact without any cannot be
	// destroyed (and does not need to be).
	Resources []Resource
}

// File is a file of an artifact.
type File struct {
	// Path as the user would write it, relative to the working directory
	// or absolute.
	Path string
	// Size in bytes.
	Size int64
	// Digest is "sha256:HEX", empty when nobody has computed it.
	Digest string
}

// Image is an image that lives at a provider.
type Image struct {
	Provider string
	Region   string
	ID       string
	// Parent is the ID of the image it was made from, if known.
	Parent string
}

// FileKind is the resource kind of a single file that belongs to an
// artifact; Resource.ID is its absolute path. DirKind is a directory with
// all it holds.
const (
	FileKind = "file.path"
	DirKind  = "file.dir"
)

// EachText calls visit with each text that is in a value: strings, numbers as they are
// printed, and the names of attributes and keys. It reports false when the value cannot
// be written down as it is, since a part of it is not known or is marked.
func EachText(v cty.Value, visit func(string)) bool {
	if v == cty.NilVal || !v.IsWhollyKnown() || v.ContainsMarked() {
		return false
	}
	// Walk fails only when its callback does.
	_ = cty.Walk(v, func(at cty.Path, v cty.Value) (bool, error) {
		if len(at) > 0 {
			switch step := at[len(at)-1].(type) {
			case cty.GetAttrStep:
				visit(step.Name)
			case cty.IndexStep:
				if step.Key.Type() == cty.String && !step.Key.IsNull() {
					visit(step.Key.AsString())
				}
			}
		}
		switch {
		case v.IsNull():
		case v.Type() == cty.String:
			visit(v.AsString())
		case v.Type() == cty.Number:
			visit(v.AsBigFloat().Text('f', -1))
		}
		return true, nil
	})
	return true
}
