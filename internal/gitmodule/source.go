package gitmodule

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
)

// Prefix is what the source of a module in a repository starts with.
const Prefix = "git::"

// repository is a source that has been read.
type repository struct {
	// url is what git is given. It may hold a password.
	url string
	// shown is url without what must not be printed.
	shown string
	// ref is a branch, a tag or a commit, empty for the default branch.
	ref string
	// subdir is the module's folder in the repository, "." for all of it.
	subdir  string
	secrets []string
}

// Secrets lists what a source holds that must not be printed.
func Secrets(source string) []string {
	r, err := parse(source)
	if err != nil {
		return passwords(source)
	}
	return r.secrets
}

// userinfo finds what stands before the host, in a URL that cannot be read.
var userinfo = regexp.MustCompile(`://([^/@\s]*)@`)

func passwords(source string) []string {
	m := userinfo.FindStringSubmatch(source)
	if m == nil {
		return nil
	}
	if _, password, ok := strings.Cut(m[1], ":"); ok {
		return []string{password}
	}
	return []string{m[1]}
}

// parse reads a source: "git::URL", then perhaps "//FOLDER" and "?ref=NAME".
// Its errors show nothing of the URL.
func parse(source string) (*repository, error) {
	text, ok := strings.CutPrefix(source, Prefix)
	if !ok {
		return nil, fmt.Errorf("the source of a module in a repository starts with %q", Prefix)
	}
	text, query, _ := strings.Cut(text, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, errors.New("what follows the question mark cannot be read; write ?ref=NAME")
	}
	r := &repository{ref: values.Get("ref")}
	delete(values, "ref")
	for name := range values {
		return nil, fmt.Errorf("the source can have ?ref=NAME after the URL, and nothing else; %q is unknown", name)
	}
	if strings.HasPrefix(r.ref, "-") || strings.ContainsAny(r.ref, " \t\n:?*[\\^~") {
		return nil, fmt.Errorf("%q cannot be the name of a branch, a tag or a commit", r.ref)
	}
	scheme, rest, isURL := strings.Cut(text, "://")
	if !isURL {
		scheme, rest = "", text
	}
	rest, folder, _ := strings.Cut(rest, "//")
	if r.subdir = filepath.Clean(filepath.FromSlash(strings.Trim(folder, "/"))); !filepath.IsLocal(r.subdir) {
		return nil, fmt.Errorf("the folder %q leads out of the repository", folder)
	}
	if !isURL {
		return r, r.scp(rest)
	}
	return r, r.parsed(scheme + "://" + rest)
}

// scp takes the short form of ssh: USER@HOST:PATH.
func (r *repository) scp(text string) error {
	host, path, ok := strings.Cut(text, ":")
	if !ok || host == "" || path == "" || strings.HasPrefix(path, ":") || strings.ContainsAny(text, " \t\n") || strings.ContainsAny(host, "/\\") || strings.HasPrefix(host, "-") {
		return errors.New("the URL of the repository is missing its scheme, such as https:// or ssh:// or file://")
	}
	r.url, r.shown = text, text
	return nil
}

func (r *repository) parsed(text string) error {
	u, err := url.Parse(text)
	if err != nil {
		return errors.New("the URL of the repository cannot be read")
	}
	switch u.Scheme {
	case "https", "http", "ssh", "git":
		if u.Hostname() == "" || strings.HasPrefix(u.Hostname(), "-") {
			return errors.New("the URL of the repository has no host")
		}
	case "file":
	default:
		return fmt.Errorf("repositories are reached by https, http, ssh, git and file, not by %q", u.Scheme)
	}
	if u.Fragment != "" {
		return errors.New("the URL of the repository has a fragment (#); write ?ref=NAME to say what is wanted of it")
	}
	r.url = text
	if u.User != nil {
		password, has := u.User.Password()
		switch {
		case has:
			r.secrets = []string{password}
			u.User = nil
		case u.Scheme != "ssh":
			// A token takes the place of the name.
			r.secrets = []string{u.User.Username()}
			u.User = nil
		}
	}
	r.shown = u.String()
	return nil
}

// hide takes the secrets out of a text.
func (r *repository) hide(text string) string {
	text = strings.ReplaceAll(text, r.url, r.shown)
	for _, s := range r.secrets {
		for _, form := range []string{s, url.QueryEscape(s), url.PathEscape(s)} {
			if form != "" {
				text = strings.ReplaceAll(text, form, "***")
			}
		}
	}
	return text
}

var commit = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// isCommit reports whether the ref is a commit, which cannot change.
func (r *repository) isCommit() bool { return commit.MatchString(r.ref) }
