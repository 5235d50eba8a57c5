//go:build unix

package plugintest

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"
)

// Zip makes an archive of files, in the order of their names.
func Zip(files map[string][]byte) []byte {
	var names []string
	for name := range files {
		names = append(names, name)
	}
	sort.Strings(names)
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, name := range names {
		f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate})
		if err == nil {
			_, err = f.Write(files[name])
		}
		if err != nil {
			panic(err) // a buffer takes everything
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// Server plays the release site below /releases, GitHub's API below /api and its
// downloads below /github.
type Server struct {
	*httptest.Server
	// Sign, when set, makes the signature of a list of checksums.
	Sign func(sums []byte) []byte
	// Answer, when set, may answer a request itself and then returns true.
	Answer func(w http.ResponseWriter, r *http.Request) bool

	mu sync.Mutex
	// guarded by mu
	files    map[string][]byte
	versions map[string][]string
	tags     map[string][]string
	asked    []string
	headers  map[string]http.Header
}

// NewServer starts a server that ends with the test.
func NewServer(t testing.TB) *Server {
	s := &Server{files: map[string][]byte{}, versions: map[string][]string{}, tags: map[string][]string{}, headers: map[string]http.Header{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// Env is the environment in which plugins come from the server.
func (s *Server) Env() map[string]string {
	return map[string]string{
		"INGOT_PLUGIN_RELEASES_URL": s.URL + "/releases", "INGOT_PLUGIN_GITHUB_URL": s.URL + "/github", "INGOT_PLUGIN_GITHUB_API_URL": s.URL + "/api",
	}
}

// Asked are the paths that were asked for since the last call, in order.
func (s *Server) Asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.asked
	s.asked = nil
	return out
}

// Header is what came with the last request for a path.
func (s *Server) Header(path string) http.Header {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.headers[path]
}

// Set changes the file at a path; nil removes it.
func (s *Server) Set(path string, content []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files[path] = content; content == nil {
		delete(s.files, path)
	}
}

// Get is the file at a path.
func (s *Server) Get(path string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.files[path]
}

// platforms are those that releases are made for.
func platforms() []string {
	out := []string{"linux_amd64", "linux_arm64", "darwin_arm64", "windows_amd64"}
	here := runtime.GOOS + "_" + runtime.GOARCH
	for _, p := range out {
		if p == here {
			return out
		}
	}
	return append(out, here)
}

// program is a plugin's program for a platform; for this machine it can be run.
func program(platform string, d Description) []byte {
	if platform == runtime.GOOS+"_"+runtime.GOARCH {
		return Script(d, "")
	}
	return []byte("a program for " + platform + " of version " + d.Version)
}

// Publish puts a version on the release site (namespace hashicorp) or on GitHub.
func (s *Server) Publish(namespace, name, version, api string, d Description) {
	repository := "packer-plugin-" + name
	onSite := namespace == "hashicorp"
	stem, dir := repository+"_v"+version, fmt.Sprintf("/github/%s/%s/releases/download/v%s/", namespace, repository, version)
	if onSite {
		stem, dir = repository+"_"+version, fmt.Sprintf("/releases/%s/%s/", repository, version)
	}
	var sums bytes.Buffer
	add := func(file string, content []byte) {
		s.Set(dir+file, content)
		fmt.Fprintf(&sums, "%s  %s\n", Digest(content), file)
	}
	for _, p := range platforms() {
		ext := ""
		if strings.HasPrefix(p, "windows") {
			ext = ".exe"
		}
		member := fmt.Sprintf("%s_v%s_%s_%s%s", repository, version, api, p, ext)
		zipName := fmt.Sprintf("%s_%s_%s.zip", stem, api, p)
		if onSite {
			zipName = fmt.Sprintf("%s_%s.zip", stem, p)
		}
		add(zipName, Zip(map[string][]byte{member: program(p, d), "LICENSE": []byte("free"), "../escape": []byte("no")}))
	}
	manifest := fmt.Appendf(nil, `{"version":1,"metadata":{"protocol_version":%q}}`, strings.TrimPrefix(api, "x"))
	add(stem+"_manifest.json", manifest)
	s.Set(dir+stem+"_SHA256SUMS", sums.Bytes())
	if s.Sign != nil {
		s.Set(dir+stem+"_SHA256SUMS.sig", s.Sign(sums.Bytes()))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if onSite {
		s.versions[repository] = append(s.versions[repository], version)
		return
	}
	s.tags[namespace+"/"+repository] = append(s.tags[namespace+"/"+repository], "v"+version)
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked = append(s.asked, r.URL.Path)
	s.headers[r.URL.Path] = r.Header.Clone()
	s.mu.Unlock()
	if s.Answer != nil && s.Answer(w, r) {
		return
	}
	s.mu.Lock()
	content, ok := s.files[r.URL.Path]
	if !ok {
		content, ok = s.index(r.URL.Path)
	}
	s.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("ETag", `"`+Digest(content)+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// index is a list of versions or tags; s.mu is held.
func (s *Server) index(path string) ([]byte, bool) {
	if name, ok := strings.CutSuffix(strings.TrimPrefix(path, "/releases/"), "/index.json"); ok && s.versions[name] != nil {
		type entry struct {
			Version string `json:"version"`
		}
		all := map[string]entry{}
		for _, v := range s.versions[name] {
			all[v] = entry{v}
		}
		text, err := json.Marshal(map[string]any{"name": name, "versions": all})
		return text, err == nil
	}
	if repo, ok := strings.CutSuffix(strings.TrimPrefix(path, "/api/repos/"), "/git/matching-refs/tags"); ok && s.tags[repo] != nil {
		var all []map[string]string
		for _, tag := range s.tags[repo] {
			all = append(all, map[string]string{"ref": "refs/tags/" + tag})
		}
		text, err := json.Marshal(all)
		return text, err == nil
	}
	return nil, false
}
