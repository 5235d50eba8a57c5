package install

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/hashicorp/go-version"

	"ingot/internal/addr"
	"ingot/internal/plugin/store"
)

// origin is a place that plugins come from.
type origin interface {
	// String names it for people and in the lock file.
	String() string
	// versions lists what there is of a plugin, in any order.
	versions(ctx context.Context, p addr.Plugin) ([]*version.Version, error)
	// release says which files a version has.
	release(ctx context.Context, p addr.Plugin, v *version.Version) (*release, error)
}

// release is one version of a plugin at an origin.
type release struct {
	files []file
	// sums is the list of checksums as it was published; nil when there is none.
	sums []byte
	// signature reads the signature of sums; nil bytes when there is none.
	signature func(ctx context.Context) ([]byte, error)
}

// file is what a release has for one platform: an archive, or a program itself.
type file struct {
	store.FileName
	// zip is the digest of the archive; empty for a program.
	zip string
	// fetch makes the file available on this machine, with the content that its
	// digest says, and returns its path.
	fetch func(ctx context.Context) (string, error)
}

// notServed is the error of an origin that a plugin cannot come from. It is not
// asked at all.
type notServed string

func (n notServed) Error() string { return string(n) }

// Sources says where plugins come from, as the environment and flags give it.
type Sources struct {
	// Places are tried in this order: "releases", "github", an http or https URL of
	// a mirror, "oci://REGISTRY/PREFIX", or the path of a folder or an archive.
	Places []string
	// ReleasesURL, GitHubURL and GitHubAPIURL are the addresses of the release
	// site and GitHub.
	ReleasesURL, GitHubURL, GitHubAPIURL string
	// GitHubToken is sent to GitHubAPIURL; empty sends none.
	GitHubToken string
}

// The environment variables that say where plugins come from.
const (
	SourcesVariable    = "INGOT_PLUGIN_SOURCES"
	ReleasesVariable   = "INGOT_PLUGIN_RELEASES_URL"
	GitHubVariable     = "INGOT_PLUGIN_GITHUB_URL"
	GitHubAPIVariable  = "INGOT_PLUGIN_GITHUB_API_URL"
	KeysVariable       = "INGOT_PLUGIN_KEYS"
	SignaturesVariable = "INGOT_PLUGIN_SIGNATURES"
)

// tokenVariables may hold a token for GitHub, best first.
func tokenVariables() []string { return []string{"PACKER_GITHUB_API_TOKEN", "GITHUB_TOKEN"} }

// SourcesFromEnv reads the environment. Without any variable plugins come from the
// release site and then from GitHub.
func SourcesFromEnv(getenv func(string) string) Sources {
	s := Sources{
		Places:       []string{"releases", "github"},
		ReleasesURL:  "https://releases.hashicorp.com",
		GitHubURL:    "https://github.com",
		GitHubAPIURL: "https://api.github.com",
	}
	if list := getenv(SourcesVariable); list != "" {
		s.Places = nil
		for _, place := range strings.Split(list, ",") {
			if place = strings.TrimSpace(place); place != "" {
				s.Places = append(s.Places, place)
			}
		}
	}
	for name, to := range map[string]*string{ReleasesVariable: &s.ReleasesURL, GitHubVariable: &s.GitHubURL, GitHubAPIVariable: &s.GitHubAPIURL} {
		if url := getenv(name); url != "" {
			*to = strings.TrimSuffix(url, "/")
		}
	}
	for _, name := range tokenVariables() {
		if s.GitHubToken == "" {
			s.GitHubToken = getenv(name)
		}
	}
	return s
}

// origins makes the places ready. Nothing is asked yet.
func (in *Installer) origins() ([]origin, error) {
	var out []origin
	for _, place := range in.Sources.Places {
		o, err := in.origin(place)
		if err != nil {
			return nil, fmt.Errorf("source of plugins %q: %w", place, err)
		}
		out = append(out, o)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("there is no place that plugins could come from: %s names none", SourcesVariable)
	}
	return out, nil
}

func (in *Installer) origin(place string) (origin, error) {
	switch {
	case place == "releases":
		return &site{in: in, base: in.Sources.ReleasesURL, only: "github.com/hashicorp/"}, nil
	case place == "github":
		return &github{in: in}, nil
	case strings.HasPrefix(place, "https://"), strings.HasPrefix(place, "http://"):
		return &site{in: in, base: strings.TrimSuffix(place, "/")}, nil
	case strings.HasPrefix(place, "oci://"):
		return newRegistry(in, place)
	case strings.Contains(place, "://"):
		return nil, errors.New("it is neither http, https nor oci, nor a path")
	}
	info, err := os.Stat(place)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return &folder{dir: place}, nil
	case isArchive(place):
		return &archive{in: in, path: place}, nil
	}
	return nil, errors.New("it is neither a folder nor an archive (.zip, .tar.gz or .tgz)")
}
