package install

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-version"

	"ingot/internal/addr"
	"ingot/internal/fetch"
	"ingot/internal/plugin/store"
)

// maxList bounds indexes, lists and manifests.
const maxList = 32 << 20

// site is the release site, or a mirror with the same layout.
type site struct {
	in   *Installer
	base string
	// only is what addresses of its plugins start with. The site knows plugins
	// by name alone, so that it would give another owner's plugin else.
	only string
}

func (s *site) String() string { return s.base }

func (s *site) versions(ctx context.Context, p addr.Plugin) ([]*version.Version, error) {
	if s.only != "" && !strings.HasPrefix(strings.ToLower(p.String()), s.only) {
		return nil, notServed("it has the plugins " + s.only + "* only")
	}
	text, err := s.in.small(ctx, s.base+"/"+repository(p)+"/index.json", nil)
	if err != nil {
		return nil, err
	}
	return parseIndex(text)
}

// repository is what a plugin's releases are called.
func repository(p addr.Plugin) string { return store.Prefix + p.Name() }

func (s *site) release(ctx context.Context, p addr.Plugin, v *version.Version) (*release, error) {
	dir := fmt.Sprintf("%s/%s/%s", s.base, repository(p), v)
	stem := fmt.Sprintf("%s/%s_%s_", dir, repository(p), v)
	list, all, err := s.in.sums(ctx, stem+"SHA256SUMS")
	if err != nil {
		return nil, err
	}
	manifest, err := s.in.small(ctx, stem+"manifest.json", nil)
	if err != nil {
		return nil, err
	}
	api, err := parseManifest(manifest)
	if err != nil {
		return nil, err
	}
	r := &release{sums: list, signature: s.in.signatureOf(stem + "SHA256SUMS")}
	for name, digest := range all {
		n, err := parseZipName(name)
		if err != nil || n.hasAPI || n.Name != p.Name() || !n.Version.Equal(v) {
			continue
		}
		n.API = api
		r.files = append(r.files, s.in.zipAt(n.FileName, dir, name, digest))
	}
	return r, nil
}

// github is the releases of repositories on GitHub.
type github struct{ in *Installer }

func (g *github) String() string { return g.in.Sources.GitHubURL }

func (g *github) versions(ctx context.Context, p addr.Plugin) ([]*version.Version, error) {
	if p.Host() != "github.com" || strings.Contains(p.Namespace(), "/") {
		return nil, notServed("it has the plugins github.com/OWNER/NAME only")
	}
	header := http.Header{"Accept": {"application/vnd.github+json"}}
	if token := g.in.Sources.GitHubToken; token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	text, err := g.in.small(ctx, fmt.Sprintf("%s/repos/%s/%s/git/matching-refs/tags", g.in.Sources.GitHubAPIURL, p.Namespace(), repository(p)), header)
	if err != nil {
		return nil, rateLimit(err, g.in.Run.Clock.Now(), g.in.Sources.GitHubToken != "")
	}
	return parseTags(text)
}

// rateLimit says of an error that it is GitHub's limit of calls, when it is.
func rateLimit(err error, now time.Time, token bool) error {
	var status *fetch.StatusError
	if !errors.As(err, &status) || status.Code != http.StatusForbidden && status.Code != http.StatusTooManyRequests || status.Header.Get("X-Ratelimit-Remaining") != "0" {
		return err
	}
	when := ""
	if seconds, bad := strconv.ParseInt(status.Header.Get("X-Ratelimit-Reset"), 10, 64); bad == nil {
		reset := time.Unix(seconds, 0)
		when = fmt.Sprintf(" until %s (%s from now)", reset.UTC().Format(time.RFC3339), max(reset.Sub(now), 0).Round(time.Second))
	}
	advice := ". Set " + strings.Join(tokenVariables(), " or ") + " to a token: more calls are allowed with one"
	if token {
		advice = ". All calls that the token allows have been made"
	}
	return fmt.Errorf("GitHub takes no more calls%s%s: %w", when, advice, err)
}

func (g *github) release(ctx context.Context, p addr.Plugin, v *version.Version) (*release, error) {
	dir := fmt.Sprintf("%s/%s/%s/releases/download/v%s", g.in.Sources.GitHubURL, p.Namespace(), repository(p), v)
	place := fmt.Sprintf("%s/%s_v%s_SHA256SUMS", dir, repository(p), v)
	list, all, err := g.in.sums(ctx, place)
	if err != nil {
		return nil, err
	}
	r := &release{sums: list, signature: g.in.signatureOf(place)}
	for name, digest := range all {
		n, err := parseZipName(name)
		if err != nil || !n.hasAPI || n.Name != p.Name() || !n.Version.Equal(v) {
			continue
		}
		r.files = append(r.files, g.in.zipAt(n.FileName, dir, name, digest))
	}
	return r, nil
}

func (in *Installer) small(ctx context.Context, place string, header http.Header) ([]byte, error) {
	return fetch.Small(ctx, in.Run, place, header, maxList)
}

// sums reads a list of checksums.
func (in *Installer) sums(ctx context.Context, place string) ([]byte, sums, error) {
	text, err := in.small(ctx, place, nil)
	if err != nil {
		return nil, nil, err
	}
	all, err := parseSums(text)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", place, err)
	}
	return text, all, nil
}

// signatureOf reads the signature beside a list of checksums.
func (in *Installer) signatureOf(place string) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		for _, ext := range []string{".sig", ".asc"} {
			text, err := in.small(ctx, place+ext, nil)
			var status *fetch.StatusError
			if errors.As(err, &status) && status.Code == http.StatusNotFound {
				continue
			}
			return text, err
		}
		return nil, nil
	}
}

// zipAt is an archive that is fetched through the cache of downloads.
func (in *Installer) zipAt(n store.FileName, dir, name, digest string) file {
	return file{FileName: n, zip: digest, fetch: func(ctx context.Context) (string, error) {
		return fetch.Fetch(ctx, in.Run, fetch.Spec{Label: name, URLs: []string{dir + "/" + name}, Checksum: "sha256:" + digest, Extension: "zip"})
	}}
}
