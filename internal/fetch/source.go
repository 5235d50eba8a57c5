package fetch

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"runtime"
	"strings"
)

// kind is the way in which a source is reached.
type kind uint8

const (
	localFile kind = iota + 1
	webFile
	s3Object
	gcsObject
	gitFile
	hgFile
)

// source is one place of a file.
type source struct {
	kind kind
	// path is the local file, or the path inside a repository.
	path string
	// url is where to ask; for repositories, what to clone.
	url *url.URL
	// repository is what git or hg is given, when it is no URL.
	repository string
	// checksum is the checksum parameter of the URL; empty for none.
	checksum string
	// bucket and key are those of an object; region is empty when the URL does
	// not tell.
	bucket, key, region string
}

// parseSource reads a path or URL.
func parseSource(text string) (source, error) {
	if text == "" {
		return source{}, errors.New("the URL is empty")
	}
	if forced, rest, ok := strings.Cut(text, "::"); ok && !strings.ContainsAny(forced, `/\:`) {
		return parseForced(strings.ToLower(forced), rest)
	}
	if isLocal(text) {
		return source{kind: localFile, path: filepath.Clean(text)}, nil
	}
	u, err := url.Parse(text)
	if err != nil {
		return source{}, fmt.Errorf("%q is not a valid URL: %w", hidePassword(text), reason(err))
	}
	s := source{url: u}
	s.takeChecksum()
	switch strings.ToLower(u.Scheme) {
	case "file":
		return fileURL(s)
	case "http", "https":
		s.kind = webFile
		if s.bucketOfHost(); s.bucket != "" && s.hasKeys() {
			s.kind = s3Object
		}
	case "s3":
		s.kind, s.bucket, s.key = s3Object, u.Host, strings.TrimPrefix(u.Path, "/")
	case "gs":
		s.kind, s.bucket, s.key = gcsObject, u.Host, strings.TrimPrefix(u.Path, "/")
	case "smb", "cifs":
		return source{}, fmt.Errorf("%q: shares are not read directly. Mount the share and give the path of the file in it", hidePassword(text))
	default:
		return source{}, fmt.Errorf("%q begins with %q, which is not one of %s", hidePassword(text), u.Scheme, strings.Join(schemes(), ", "))
	}
	return s, s.complete(text)
}

// parseForced reads what is behind "git::", "hg::", "s3::" or "gcs::".
func parseForced(forced, rest string) (source, error) {
	switch forced {
	case "file":
		return parseSource(rest)
	case "http", "https":
		return parseSource(rest)
	case "git", "hg":
		return parseRepository(forced, rest)
	case "s3", "gcs":
	default:
		return source{}, fmt.Errorf("%q begins with \"%s::\", which is not one of git, hg, s3, gcs", hidePassword(rest), forced)
	}
	u, err := url.Parse(rest)
	if err != nil {
		return source{}, fmt.Errorf("%q is not a valid URL: %w", hidePassword(rest), reason(err))
	}
	s := source{url: u}
	s.takeChecksum()
	if forced == "gcs" {
		s.kind = gcsObject
		s.bucketOfGCS()
	} else {
		s.kind = s3Object
		if u.Scheme == "s3" {
			s.bucket, s.key = u.Host, strings.TrimPrefix(u.Path, "/")
		} else {
			s.bucketOfHost()
		}
	}
	return s, s.complete(rest)
}

// complete refuses what has no host, bucket or file.
func (s *source) complete(text string) error {
	switch {
	case (s.kind == s3Object || s.kind == gcsObject) && (s.bucket == "" || s.key == ""):
		return fmt.Errorf("%q does not name a bucket and an object", hidePassword(text))
	case s.url.Host == "":
		return fmt.Errorf("%q does not name a host", hidePassword(text))
	}
	return nil
}

// isLocal tells paths from URLs. A single letter before a colon is a drive.
func isLocal(text string) bool {
	scheme, _, ok := strings.Cut(text, ":")
	return !ok || len(scheme) == 1 || strings.ContainsAny(scheme, `/\. `)
}

func fileURL(s source) (source, error) {
	p := s.url.Path
	if s.url.Opaque != "" {
		p = s.url.Opaque
	}
	if s.url.Host != "" && s.url.Host != "localhost" {
		// "file://relative/path" is common, though it names a host.
		p = s.url.Host + p
	}
	if runtime.GOOS == "windows" && len(p) > 2 && p[0] == '/' && p[2] == ':' {
		p = p[1:]
	}
	if p == "" {
		return source{}, errors.New("the file URL has no path")
	}
	return source{kind: localFile, path: filepath.Clean(filepath.FromSlash(p)), checksum: s.checksum}, nil
}

// takeChecksum takes the checksum parameter out of the URL.
func (s *source) takeChecksum() {
	q := s.url.Query()
	if !q.Has("checksum") {
		return
	}
	s.checksum = q.Get("checksum")
	q.Del("checksum")
	s.url.RawQuery = q.Encode()
}

// parseRepository reads URL//PATH?ref=REF.
func parseRepository(forced, rest string) (source, error) {
	s := source{kind: gitFile}
	if forced == "hg" {
		s.kind = hgFile
	}
	scheme, after, ok := strings.Cut(rest, "://")
	if !ok {
		scheme, after = "", rest
	}
	after, query, _ := strings.Cut(after, "?")
	repo, file, found := strings.Cut(after, "//")
	if !found || file == "" || repo == "" {
		return source{}, fmt.Errorf("%q does not say which file of the repository: put // and its path behind the repository", hidePassword(rest))
	}
	if ok {
		repo = scheme + "://" + repo
	}
	if strings.HasPrefix(repo, "-") {
		return source{}, fmt.Errorf("%q is not a repository", repo)
	}
	q, err := url.ParseQuery(query)
	if err != nil {
		return source{}, fmt.Errorf("%q: %w", hidePassword(rest), err)
	}
	s.repository, s.path = repo, path.Clean(file)
	if !filepath.IsLocal(filepath.FromSlash(s.path)) {
		return source{}, fmt.Errorf("%q leads out of the repository", file)
	}
	s.checksum = q.Get("checksum")
	ref := q.Get("ref")
	if forced == "hg" {
		ref = q.Get("rev")
	}
	if strings.HasPrefix(ref, "-") {
		return source{}, fmt.Errorf("%q is not a revision", ref)
	}
	for name := range q {
		if name != "checksum" && name != "ref" && name != "rev" && name != "depth" {
			return source{}, fmt.Errorf("%q has the parameter %q, which is not supported for repositories", hidePassword(rest), name)
		}
	}
	s.url = &url.URL{Fragment: ref}
	return s, nil
}

// fileName is the name that the file has at the source.
func (s source) fileName() string {
	switch s.kind {
	case localFile:
		return filepath.Base(s.path)
	case gitFile, hgFile:
		return path.Base(s.path)
	case s3Object, gcsObject:
		return path.Base(s.key)
	}
	if name := path.Base(s.url.Path); name != "." && name != "/" {
		return name
	}
	return s.url.Host
}

// String is the source for people, without secrets.
func (s source) String() string {
	switch s.kind {
	case localFile:
		return s.path
	case gitFile, hgFile:
		text := hidePassword(s.repository) + "//" + s.path
		if s.url.Fragment != "" {
			text += "?ref=" + s.url.Fragment
		}
		return text
	}
	u := *s.url
	if u.RawQuery != "" {
		q := u.Query()
		for name := range q {
			if secretParameter(name) {
				q.Set(name, "xxxxx")
			}
		}
		u.RawQuery = q.Encode()
	}
	return u.Redacted()
}

// secretParameter reports whether a parameter of a URL may be one that gives
// access.
func secretParameter(name string) bool {
	name = strings.ToLower(name)
	for _, part := range []string{"secret", "token", "signature", "sig", "credential", "password", "key"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

func hidePassword(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		if i := strings.LastIndexByte(text, '@'); i >= 0 {
			return "..." + text[i:]
		}
		return text
	}
	return u.Redacted()
}

// reason is an error about a URL without the URL, which may hold a password.
func reason(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
