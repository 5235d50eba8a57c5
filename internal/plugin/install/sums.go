package install

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/hashicorp/go-version"

	"ingot/internal/plugin/store"
)

// sums are the digests of a release's files by name, in hexadecimal.
type sums map[string]string

// parseSums reads a list as sha256sum writes it. Lines of another form are passed
// over, since releases list other things too; the same name with two digests is
// refused.
func parseSums(text []byte) (sums, error) {
	out := sums{}
	for _, line := range strings.Split(string(text), "\n") {
		fields := strings.Fields(line)
		if len(fields) != 2 || len(fields[0]) != 2*sha256.Size {
			continue
		}
		digest, name := strings.ToLower(fields[0]), strings.TrimPrefix(fields[1], "*")
		if _, err := hex.DecodeString(digest); err != nil || name != path.Base(name) {
			continue
		}
		if other, ok := out[name]; ok && other != digest {
			return nil, fmt.Errorf("%s is listed with two checksums", name)
		}
		out[name] = digest
	}
	if len(out) == 0 {
		return nil, errors.New("there are no checksums in it")
	}
	return out, nil
}

// zipName is what the name of a release's archive tells. With hasAPI false the API
// is not part of it: the manifest of the release has it.
type zipName struct {
	store.FileName
	hasAPI bool
}

// parseZipName reads packer-plugin-NAME_vVERSION_xA.B_OS_ARCH.zip, or
// packer-plugin-NAME_VERSION_OS_ARCH.zip, which the release site has.
func parseZipName(name string) (zipName, error) {
	base, ok := strings.CutSuffix(name, ".zip")
	if !ok {
		return zipName{}, errors.New("it is no zip archive")
	}
	parts := strings.Split(base, "_")
	n := zipName{hasAPI: len(parts) == 5}
	switch len(parts) {
	case 5:
	case 4:
		// The same rules hold for both forms.
		parts = []string{parts[0], "v" + parts[1], store.HostAPI().String(), parts[2], parts[3]}
	default:
		return zipName{}, errors.New("its name is not that of a plugin's archive")
	}
	p, err := store.ParsePlatform(parts[3] + "_" + parts[4])
	if err != nil {
		return zipName{}, err
	}
	n.FileName, err = store.ParseFileName(strings.Join(parts, "_") + p.Ext())
	return n, err
}

// maxVersions is more than any plugin has.
const maxVersions = 10_000

// parseIndex reads the index of a plugin's versions on the release site.
func parseIndex(text []byte) ([]*version.Version, error) {
	var index struct {
		Versions map[string]struct {
			Version string `json:"version"`
		} `json:"versions"`
	}
	if err := json.Unmarshal(text, &index); err != nil {
		return nil, fmt.Errorf("the index of versions cannot be read: %w", err)
	}
	var out []string
	for _, v := range index.Versions {
		out = append(out, v.Version)
	}
	return versions(out)
}

// parseTags reads the tags of a GitHub repository.
func parseTags(text []byte) ([]*version.Version, error) {
	var tags []struct {
		Ref string `json:"ref"`
	}
	if err := json.Unmarshal(text, &tags); err != nil {
		return nil, fmt.Errorf("the list of tags cannot be read: %w", err)
	}
	var out []string
	for _, tag := range tags {
		if v, ok := strings.CutPrefix(tag.Ref, "refs/tags/v"); ok {
			out = append(out, v)
		}
	}
	return versions(out)
}

// versions reads those that are versions in their canonical form.
func versions(texts []string) ([]*version.Version, error) {
	if len(texts) > maxVersions {
		return nil, fmt.Errorf("there are %d versions, which no plugin has", len(texts))
	}
	var out []*version.Version
	for _, text := range texts {
		if v, err := version.NewSemver(text); err == nil && v.String() == text && v.Metadata() == "" {
			out = append(out, v)
		}
	}
	return out, nil
}

// parseManifest reads the version of the plugin protocol from a release's manifest.
func parseManifest(text []byte) (store.API, error) {
	var m struct {
		Metadata struct {
			Protocol string `json:"protocol_version"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return store.API{}, fmt.Errorf("the manifest of the release cannot be read: %w", err)
	}
	return store.ParseProtocol(m.Metadata.Protocol)
}
