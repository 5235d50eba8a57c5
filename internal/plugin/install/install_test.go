//go:build unix

package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/google/go-containerregistry/pkg/name"
	ociregistry "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/hashicorp/go-version"

	"ingot/internal/addr"
	"ingot/internal/component"
	"ingot/internal/plugin/plugintest"
	"ingot/internal/plugin/store"
)

// impatient is a clock whose waiting takes no time.
type impatient struct{ component.SystemClock }

func (impatient) Sleep(ctx context.Context, _ time.Duration) error { return context.Cause(ctx) }

func newInstaller(t *testing.T, env map[string]string) *Installer {
	t.Helper()
	in := &Installer{
		Store:   &store.Store{Dir: filepath.Join(t.TempDir(), "plugins")},
		Sources: SourcesFromEnv(func(name string) string { return env[name] }),
		Run: component.Run{
			Clock: impatient{}, Events: component.SinkFunc(func(component.Event) {}), CacheDir: t.TempDir(), WorkDir: t.TempDir(),
			AtEnd: func(stop func()) { t.Cleanup(stop) },
		},
	}
	return in
}

func plugin(t *testing.T, text string) addr.Plugin {
	t.Helper()
	p, err := addr.ParsePlugin(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func want(t *testing.T, address, constraint string) Request {
	t.Helper()
	req := Request{Plugin: plugin(t, address)}
	if constraint != "" {
		c, err := version.NewConstraint(constraint)
		if err != nil {
			t.Fatal(err)
		}
		req.Constraints = c
	}
	return req
}

func publish(s *plugintest.Server, namespace string, versions ...string) {
	for _, v := range versions {
		s.Publish(namespace, "probe", v, "x5.0", plugintest.Description{Version: v, APIVersion: "x5.0", Builders: []string{"b"}})
	}
}

const (
	onSite   = "github.com/hashicorp/probe"
	onGitHub = "github.com/acme/probe"
	siteDir  = "/releases/packer-plugin-probe/"
	hubDir   = "/github/acme/packer-plugin-probe/releases/download/"
)

// installs checks that a plugin was installed as it has to be.
func installs(t *testing.T, in *Installer, req Request, version string) *Installed {
	t.Helper()
	got, err := in.Install(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if got.Name.Version.String() != version {
		t.Fatalf("got version %s, want %s", got.Name.Version, version)
	}
	found, refused, err := in.Store.Choose(t.Context(), store.Want{Source: req.Plugin, Version: got.Name.Version})
	if err != nil || found == nil || found.Path != got.Path || found.SHA256 != got.Program {
		t.Fatalf("what was installed is not found: %v, %v, %v", found, refused, err)
	}
	for path, mode := range map[string]os.FileMode{got.Path: 0o755, got.Path + store.SumSuffix: 0o644} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	return got
}

// nothingInstalled checks that nothing is left behind.
func nothingInstalled(t *testing.T, in *Installer) {
	t.Helper()
	err := filepath.WalkDir(in.Store.Dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			t.Errorf("%s is there", path)
		}
		if err == nil && strings.HasPrefix(e.Name(), draftPrefix) {
			t.Errorf("%s is left", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Ensure which version is installed from the release site and from GitHub.
func TestVersions(t *testing.T) {
	for _, c := range []struct {
		constraint string
		published  []string
		want       string
	}{
		{"", []string{"1.0.0", "1.10.0", "1.9.0"}, "1.10.0"},
		{"~> 1.9.0", []string{"1.0.0", "1.10.0", "1.9.3"}, "1.9.3"},
		{"= 1.0.0", []string{"1.0.0", "1.10.0"}, "1.0.0"},
		{"", []string{"1.0.0", "2.0.0-beta"}, "1.0.0"},
		{">= 1.0.0", []string{"1.0.0", "2.0.0-dev"}, "1.0.0"},
		{">= 3.0.0", []string{"1.0.0"}, ""},
		{"", []string{"1.0", "01.0.0", "1.0.0+meta"}, ""},
	} {
		for _, address := range []string{onSite, onGitHub} {
			t.Run(address+" "+c.constraint+strings.Join(c.published, ","), func(t *testing.T) {
				s := plugintest.NewServer(t)
				publish(s, plugin(t, address).Namespace(), c.published...)
				in := newInstaller(t, s.Env())
				if c.want != "" {
					got := installs(t, in, want(t, address, c.constraint), c.want)
					if len(got.Zips) < 4 || got.Zips[store.Here()] == "" {
						t.Errorf("digests %v", got.Zips)
					}
					return
				}
				if got, err := in.Install(t.Context(), want(t, address, c.constraint)); err == nil {
					t.Errorf("installed %v", got)
				}
				nothingInstalled(t, in)
			})
		}
	}
}

// Ensure that a version that does not run here is passed over for an older one.
func TestOlderVersionThatRunsHere(t *testing.T) {
	for _, address := range []string{onSite, onGitHub} {
		s := plugintest.NewServer(t)
		publish(s, plugin(t, address).Namespace(), "1.0.0")
		s.Publish(plugin(t, address).Namespace(), "probe", "1.1.0", "x5.1", plugintest.Description{Version: "1.1.0", APIVersion: "x5.1"})
		s.Publish(plugin(t, address).Namespace(), "probe", "1.2.0", "x6.0", plugintest.Description{Version: "1.2.0", APIVersion: "x6.0"})
		got := installs(t, newInstaller(t, s.Env()), want(t, address, ""), "1.0.0")
		if text := strings.Join(got.Notes, "\n"); !strings.Contains(text, "1.2.0 speaks the plugin protocol x6.0") || !strings.Contains(text, "1.1.0 speaks") {
			t.Errorf("%s: notes %q", address, text)
		}
	}
}

// Ensure what is asked for and with which headers: the owner of a plugin counts, and
// a token goes to GitHub's API only.
func TestRequests(t *testing.T) {
	s := plugintest.NewServer(t)
	publish(s, "hashicorp", "1.0.0")
	publish(s, "acme", "2.0.0")
	env := s.Env()
	env["GITHUB_TOKEN"] = "second"
	env["PACKER_GITHUB_API_TOKEN"] = "first"
	in := newInstaller(t, env)
	installs(t, in, want(t, onGitHub, ""), "2.0.0")
	asked := s.Asked()
	for _, path := range asked {
		if strings.HasPrefix(path, "/releases") {
			t.Errorf("the release site was asked for another owner's plugin: %s", path)
		}
		auth := s.Header(path).Get("Authorization")
		if isAPI := strings.HasPrefix(path, "/api/"); isAPI != (auth == "Bearer first") || !isAPI && auth != "" {
			t.Errorf("%s came with %q", path, auth)
		}
	}
	installs(t, in, want(t, onSite, ""), "1.0.0")
	for _, path := range s.Asked() {
		if !strings.HasPrefix(path, "/releases") {
			t.Errorf("asked %s", path)
		}
	}
	if _, err := in.Install(t.Context(), want(t, "example.com/acme/probe", "")); err == nil || len(s.Asked()) != 0 {
		t.Errorf("%v", err)
	}
}

// Ensure that what is there is not installed again unless that is asked for.
func TestAlreadyThere(t *testing.T) {
	s := plugintest.NewServer(t)
	publish(s, "acme", "1.0.0")
	in := newInstaller(t, s.Env())
	first := installs(t, in, want(t, onGitHub, ""), "1.0.0")
	before, err := os.Stat(first.Path)
	if err != nil {
		t.Fatal(err)
	}
	if again := installs(t, in, want(t, onGitHub, ""), "1.0.0"); !again.Already {
		t.Error("it was installed again")
	}
	req := want(t, onGitHub, "")
	req.Force = true
	if forced := installs(t, in, req, "1.0.0"); forced.Already {
		t.Error("it was not installed again")
	}
	after, err := os.Stat(first.Path)
	if err != nil || os.SameFile(before, after) {
		t.Errorf("the file was not replaced: %v", err)
	}
	// Known by its locked digest, it is not even downloaded.
	s.Asked()
	req = want(t, onGitHub, "")
	req.Programs = map[store.Platform]string{store.Here(): first.Program}
	in.Run.CacheDir = t.TempDir()
	if again := installs(t, in, req, "1.0.0"); !again.Already {
		t.Error("it was installed again")
	}
	for _, path := range s.Asked() {
		if strings.HasSuffix(path, ".zip") {
			t.Errorf("asked %s", path)
		}
	}
}

// Ensure that a wrong checksum ends the installation, and that no older version and
// no other place is taken instead.
func TestWrongChecksumEndsIt(t *testing.T) {
	s := plugintest.NewServer(t)
	publish(s, "hashicorp", "1.0.0", "1.1.0")
	publish(s, "acme", "1.0.0")
	zipName := siteDir + "1.1.0/packer-plugin-probe_1.1.0_" + store.Here().String() + ".zip"
	s.Set(zipName, append(s.Get(zipName), 'x'))
	in := newInstaller(t, s.Env())
	got, err := in.Install(t.Context(), want(t, onSite, ""))
	if err == nil || !Mismatch(err) || !strings.Contains(err.Error(), "1.1.0") {
		t.Errorf("%v, %v", got, err)
	}
	nothingInstalled(t, in)
	for _, path := range s.Asked() {
		if strings.Contains(path, "/1.0.0/") || !strings.HasPrefix(path, "/releases") {
			t.Errorf("asked %s", path)
		}
	}
}

// Ensure that a place that fails on the way is made good for by the next one.
func TestNextPlace(t *testing.T) {
	for _, missing := range []string{"index.json", "_SHA256SUMS", "_manifest.json", ".zip"} {
		t.Run(missing, func(t *testing.T) {
			s := plugintest.NewServer(t)
			publish(s, "hashicorp", "1.0.0")
			mirror := plugintest.NewServer(t)
			publish(mirror, "hashicorp", "0.9.0")
			s.Answer = func(w http.ResponseWriter, r *http.Request) bool {
				if strings.HasSuffix(r.URL.Path, missing) {
					http.Error(w, "no", http.StatusForbidden)
					return true
				}
				return false
			}
			env := s.Env()
			env[SourcesVariable] = "releases, " + mirror.URL + "/releases/"
			got := installs(t, newInstaller(t, env), want(t, onSite, ""), "0.9.0")
			if got.Origin != mirror.URL+"/releases" || len(got.Notes) != 1 || !strings.Contains(got.Notes[0], "403") {
				t.Errorf("from %s, notes %q", got.Origin, got.Notes)
			}
		})
	}
}

// Ensure that a mirror serves all owners.
func TestMirror(t *testing.T) {
	s := plugintest.NewServer(t)
	publish(s, "hashicorp", "1.0.0")
	in := newInstaller(t, map[string]string{SourcesVariable: s.URL + "/releases"})
	installs(t, in, want(t, "example.com/any/probe", ""), "1.0.0")
}

// Ensure that what fails for a while is asked again, and that an archive that breaks
// off goes on where it was.
func TestW63DownloadsAreRepeatedAndResumed(t *testing.T) {
	s := plugintest.NewServer(t)
	d := plugintest.Description{Version: "1.0.0", APIVersion: "x5.0", Builders: []string{strings.Repeat("b", 1<<16)}}
	s.Publish("acme", "probe", "1.0.0", "x5.0", d)
	var calls, ranges atomic.Int32
	s.Answer = func(w http.ResponseWriter, r *http.Request) bool {
		n := calls.Add(1)
		if strings.HasSuffix(r.URL.Path, ".zip") && r.Method == http.MethodGet {
			if r.Header.Get("Range") != "" {
				ranges.Add(1)
				return false
			}
			content := s.Get(r.URL.Path)
			w.Header().Set("ETag", `"`+plugintest.Digest(content)+`"`)
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
			if _, err := w.Write(content[:len(content)/2]); err != nil {
				t.Error(err)
			}
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		if n%2 == 1 {
			http.Error(w, "soon", http.StatusServiceUnavailable)
			return true
		}
		return false
	}
	installs(t, newInstaller(t, s.Env()), want(t, onGitHub, ""), "1.0.0")
	if ranges.Load() != 1 {
		t.Errorf("%d requests for the rest", ranges.Load())
	}
}

// Ensure that proxies of the environment are used.
func TestProxy(t *testing.T) {
	s := plugintest.NewServer(t)
	publish(s, "acme", "1.0.0")
	var through atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		through.Add(1)
		if r.URL.Host != "plugins.invalid" {
			t.Errorf("asked for %s", r.URL)
		}
		s.ServeHTTP(w, r)
	}))
	t.Cleanup(proxy.Close)
	if os.Getenv("INGOT_TEST_PROXY") == "" {
		// The standard library reads the environment once.
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		runSelf(t, self, "TestProxy", "INGOT_TEST_PROXY=1", "HTTP_PROXY="+proxy.URL, "NO_PROXY=")
		if through.Load() < 3 {
			t.Errorf("%d requests went through the proxy", through.Load())
		}
		return
	}
	in := newInstaller(t, map[string]string{GitHubVariable: "http://plugins.invalid/github", GitHubAPIVariable: "http://plugins.invalid/api", SourcesVariable: "github"})
	installs(t, in, want(t, onGitHub, ""), "1.0.0")
}

// Ensure that GitHub's limit of calls is explained, with the time of its end.
func TestRateLimit(t *testing.T) {
	s := plugintest.NewServer(t)
	reset := time.Now().Add(10 * time.Minute)
	s.Answer = func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("X-RateLimit-Remaining", "0")
		w.Header().Set("X-RateLimit-Reset", fmt.Sprint(reset.Unix()))
		http.Error(w, "{}", http.StatusForbidden)
		return true
	}
	_, err := newInstaller(t, s.Env()).Install(t.Context(), want(t, onGitHub, ""))
	if err == nil || !strings.Contains(err.Error(), reset.UTC().Format(time.RFC3339)) || !strings.Contains(err.Error(), "PACKER_GITHUB_API_TOKEN") {
		t.Errorf("got %v", err)
	}
	if n := len(s.Asked()); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// Ensure that locked digests are held: of the archives before anything is downloaded,
// and of the program before it is run.
func TestLockedDigests(t *testing.T) {
	s := plugintest.NewServer(t)
	publish(s, "acme", "1.0.0")
	good := installs(t, newInstaller(t, s.Env()), want(t, onGitHub, ""), "1.0.0")
	for _, c := range []struct {
		name string
		lock func(r *Request)
		why  string
	}{
		{"all as locked", func(*Request) {}, ""},
		{"archive for this machine", func(r *Request) { r.Zips[store.Here()] = strings.Repeat("0", 64) }, "was changed since it was locked"},
		{"archive for another machine", func(r *Request) { r.Zips[store.Platform{OS: "darwin", Arch: "arm64"}] = strings.Repeat("0", 64) }, "darwin_arm64 was changed"},
		{"no archive for this machine", func(r *Request) { delete(r.Zips, store.Here()) }, "no checksum of the archive for"},
		{"program", func(r *Request) { r.Programs[store.Here()] = strings.Repeat("0", 64) }, "the program has the checksum"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := newInstaller(t, s.Env())
			req := want(t, onGitHub, "")
			req.Version = good.Name.Version
			req.Zips = map[store.Platform]string{}
			for p, d := range good.Zips {
				req.Zips[p] = d
			}
			req.Programs = map[store.Platform]string{store.Here(): good.Program}
			c.lock(&req)
			_, err := in.Install(t.Context(), req)
			if c.why == "" && err != nil || c.why != "" && (err == nil || !strings.Contains(err.Error(), c.why)) {
				t.Errorf("got %v", err)
			}
			if c.why != "" {
				nothingInstalled(t, in)
			}
		})
	}
}

// Ensure that a program that is not what the release says is not installed.
func TestProgramsThatDoNotFit(t *testing.T) {
	for why, d := range map[string]plugintest.Description{
		"its version is 2.0.0": {Version: "2.0.0", APIVersion: "x5.0"},
		"1.0.0-dev":            {Version: "1.0.0-dev", APIVersion: "x5.0"},
		"x5.1":                 {Version: "1.0.0", APIVersion: "x5.1"},
	} {
		s := plugintest.NewServer(t)
		s.Publish("acme", "probe", "1.0.0", "x5.0", d)
		in := newInstaller(t, s.Env())
		if _, err := in.Install(t.Context(), want(t, onGitHub, "")); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("got %v, want %q", err, why)
		}
		nothingInstalled(t, in)
	}
}

// Ensure that a plugin for another machine is installed without being run.
func TestOtherPlatform(t *testing.T) {
	s := plugintest.NewServer(t)
	publish(s, "acme", "1.0.0")
	in := newInstaller(t, s.Env())
	req := want(t, onGitHub, "")
	req.Platform = store.Platform{OS: "windows", Arch: "amd64"}
	got, err := in.Install(t.Context(), req)
	if err != nil || !strings.HasSuffix(got.Path, "packer-plugin-probe_v1.0.0_x5.0_windows_amd64.exe") {
		t.Errorf("%v, %v", got, err)
	}
}

// key makes a key and the file that the user would have of it.
func key(t *testing.T, name string, armored bool) (*openpgp.Entity, string) {
	t.Helper()
	e, err := openpgp.NewEntity(name, "", name+"@example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := e.Serialize(&text); err != nil {
		t.Fatal(err)
	}
	if armored {
		plain := bytes.Clone(text.Bytes())
		text.Reset()
		w, err := armor.Encode(&text, openpgp.PublicKeyType, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(plain); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), name+".asc")
	if err := os.WriteFile(file, text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return e, file
}

func signer(t *testing.T, e *openpgp.Entity) func([]byte) []byte {
	return func(text []byte) []byte {
		var out bytes.Buffer
		if err := openpgp.DetachSign(&out, e, bytes.NewReader(text), nil); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
}

// Ensure that signatures are checked with the user's keys, and that what is not
// checked is not said to be.
func TestW50SignaturesAreChecked(t *testing.T) {
	own, ownFile := key(t, "own", true)
	_, otherFile := key(t, "other", false)
	for _, c := range []struct {
		name     string
		sign     *openpgp.Entity
		keys     string
		required bool
		spoil    bool
		want     string
		fails    string
	}{
		{name: "no keys", sign: own, want: "signature not checked: no keys are set up"},
		{name: "own key", sign: own, keys: ownFile, required: true, want: "signed by own"},
		{name: "another key", sign: own, keys: otherFile, want: "is not among yours"},
		{name: "not signed", keys: ownFile, want: "not signed"},
		{name: "not signed, required", keys: ownFile, required: true, fails: "a signature is required: not signed"},
		{name: "another key, required", sign: own, keys: otherFile, required: true, fails: "a signature is required"},
		{name: "no keys, required", sign: own, required: true, fails: "a signature is required"},
		{name: "wrong", sign: own, keys: ownFile, spoil: true, fails: "the signature of the checksums is wrong"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := plugintest.NewServer(t)
			if c.sign != nil {
				s.Sign = signer(t, c.sign)
			}
			publish(s, "acme", "1.0.0")
			if c.spoil {
				list := hubDir + "v1.0.0/packer-plugin-probe_v1.0.0_SHA256SUMS"
				s.Set(list, append(s.Get(list), '\n'))
			}
			in := newInstaller(t, s.Env())
			in.RequireSignature = c.required
			if c.keys != "" {
				keys, err := ReadKeys(filepath.Dir(c.keys))
				if err != nil {
					t.Fatal(err)
				}
				in.Keys = keys
			}
			got, err := in.Install(t.Context(), want(t, onGitHub, ""))
			switch {
			case c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)):
				t.Errorf("got %v", err)
			case c.fails == "" && err != nil:
				t.Fatal(err)
			case c.fails == "" && !strings.Contains(got.Signature.String(), c.want):
				t.Errorf("got %q", got.Signature)
			}
			if c.fails != "" {
				nothingInstalled(t, in)
			}
		})
	}
}

// Ensure that a release comes from an OCI registry.
func TestRegistry(t *testing.T) {
	s := plugintest.NewServer(t)
	publish(s, "acme", "1.0.0", "1.1.0")
	server := httptest.NewServer(ociregistry.New(ociregistry.Logger(quiet())))
	t.Cleanup(server.Close)
	prefix := strings.TrimPrefix(server.URL, "http://") + "/plugins"
	for _, v := range []string{"1.0.0", "1.1.0"} {
		push(t, prefix, s, v, nil)
	}
	in := newInstaller(t, map[string]string{SourcesVariable: "oci://" + prefix})
	got := installs(t, in, want(t, "github.com/Acme/probe", ""), "1.1.0")
	if len(got.Zips) < 4 || got.Origin != "oci://"+prefix {
		t.Errorf("%s %v", got.Origin, got.Zips)
	}
	installs(t, in, want(t, "github.com/Acme/probe", "~> 1.0.0"), "1.0.0")
	if _, err := in.Install(t.Context(), want(t, "github.com/acme/other", "")); err == nil || !strings.Contains(err.Error(), "no repository") {
		t.Errorf("got %v", err)
	}
	// A layer that the list of checksums does not have is no file of the release.
	push(t, prefix, s, "1.1.0", []byte("something else"))
	if _, err := in.Install(t.Context(), want(t, "github.com/acme/probe", "= 1.1.0")); err == nil || !strings.Contains(err.Error(), "is not the file that") {
		t.Errorf("got %v", err)
	}
}

// push puts a release into a registry as "oras push" does; other replaces the
// archives.
func push(t *testing.T, prefix string, s *plugintest.Server, v string, other []byte) {
	t.Helper()
	image := v1.Image(empty.Image)
	dir := hubDir + "v" + v + "/"
	list := "packer-plugin-probe_v" + v + "_SHA256SUMS"
	files := map[string][]byte{list: s.Get(dir + list)}
	for _, line := range strings.Split(strings.TrimSpace(string(s.Get(dir+list))), "\n") {
		name := strings.Fields(line)[1]
		if files[name] = s.Get(dir + name); other != nil && strings.HasSuffix(name, ".zip") {
			files[name] = append([]byte(name), other...)
		}
	}
	for name, content := range files {
		var err error
		image, err = mutate.Append(image, mutate.Addendum{Layer: static.NewLayer(content, "application/octet-stream"), Annotations: map[string]string{titleAnnotation: name}})
		if err != nil {
			t.Fatal(err)
		}
	}
	ref, err := name.NewTag(prefix + "/github.com/acme/probe:v" + v)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, image); err != nil {
		t.Fatal(err)
	}
}

// Ensure that plugins come from folders of releases and from plugin folders.
func TestFolders(t *testing.T) {
	s := plugintest.NewServer(t)
	publish(s, "acme", "1.0.0")
	publish(s, "hashicorp", "1.2.0")
	flat := t.TempDir()
	for dir, list := range map[string]string{hubDir + "v1.0.0/": "packer-plugin-probe_v1.0.0_SHA256SUMS", siteDir + "1.2.0/": "packer-plugin-probe_1.2.0_SHA256SUMS"} {
		save(t, filepath.Join(flat, list), s.Get(dir+list))
		for _, line := range strings.Split(strings.TrimSpace(string(s.Get(dir+list))), "\n") {
			name := strings.Fields(line)[1]
			save(t, filepath.Join(flat, name), s.Get(dir+name))
		}
	}
	in := newInstaller(t, map[string]string{SourcesVariable: flat})
	installs(t, in, want(t, onGitHub, "< 1.2"), "1.0.0")
	if got := installs(t, in, want(t, onGitHub, ""), "1.2.0"); len(got.Zips) < 4 {
		t.Errorf("digests %v", got.Zips)
	}
	// What was installed is a plugin folder.
	copied := newInstaller(t, map[string]string{SourcesVariable: in.Store.Dir})
	got := installs(t, copied, want(t, onGitHub, ""), "1.2.0")
	if len(got.Zips) != 0 {
		t.Errorf("digests %v", got.Zips)
	}
	save(t, got.Path, []byte("changed"))
	spoiled := newInstaller(t, map[string]string{SourcesVariable: copied.Store.Dir})
	if _, err := spoiled.Install(t.Context(), want(t, onGitHub, "")); err == nil || !strings.Contains(err.Error(), "cannot be used") {
		t.Errorf("got %v", err)
	}
	nothingInstalled(t, spoiled)
	save(t, filepath.Join(flat, "packer-plugin-probe_1.2.0_"+store.Here().String()+".zip"), []byte("changed"))
	in = newInstaller(t, map[string]string{SourcesVariable: flat})
	if _, err := in.Install(t.Context(), want(t, onGitHub, "")); !Mismatch(err) {
		t.Errorf("got %v", err)
	}
}

func save(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// Ensure that only the right file of an archive is unpacked, and not too much.
func TestUnpack(t *testing.T) {
	const member = "packer-plugin-probe_v1.0.0_x5.0_linux_amd64"
	twice := plugintest.Zip(map[string][]byte{member: []byte("a"), strings.Replace(member, "probe", "prob1", 1): []byte("b")})
	twice = bytes.ReplaceAll(twice, []byte("prob1"), []byte("probe"))
	for _, c := range []struct {
		name, why string
		archive   []byte
	}{
		{"right", "", plugintest.Zip(map[string][]byte{member: []byte("program"), "README": nil})},
		{"wrong member", "does not have the file", plugintest.Zip(map[string][]byte{"packer-plugin-probe_v1.0.1_x5.0_linux_amd64": nil})},
		{"in a folder", "does not have the file", plugintest.Zip(map[string][]byte{"bin/" + member: nil})},
		{"path that leads out", "does not have the file", plugintest.Zip(map[string][]byte{"../" + member: nil, "/" + member: nil})},
		{"two of them", "two files", twice},
		{"empty", "does not have the file", plugintest.Zip(nil)},
		{"no archive", "open the archive", []byte("hello")},
		{"folder of that name", "does not have the file", plugintest.Zip(map[string][]byte{member + "/": nil})},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			save(t, filepath.Join(dir, "a.zip"), c.archive)
			to := filepath.Join(dir, "out")
			err := unpack(t.Context(), filepath.Join(dir, "a.zip"), member, to)
			if c.why == "" && err != nil || c.why != "" && (err == nil || !strings.Contains(err.Error(), c.why)) {
				t.Errorf("got %v", err)
			}
			if _, err := os.Stat(to); (err == nil) != (c.why == "") {
				t.Errorf("the file is there: %v", err == nil)
			}
		})
	}
	// A file that says that it is small and is not.
	to := filepath.Join(t.TempDir(), "out")
	if err := writeProgram(t.Context(), strings.NewReader("0123456789"), to, 9); err == nil || !strings.Contains(err.Error(), "larger than 9") {
		t.Errorf("got %v", err)
	}
}

// Ensure that a program of this machine is installed under what it says of itself.
func TestInstallFile(t *testing.T) {
	for _, c := range []struct {
		version, api, want, why string
	}{
		{"1.2.3", "x5.0", "v1.2.3_x5.0", ""},
		{"v1.2.3-dev", "x5.0", "v1.2.3-dev_x5.0", ""},
		{"1.2.3+meta", "x5.0", "v1.2.3_x5.0", ""},
		{"1.2.3-beta1", "x5.0", "v1.2.3-beta1_x5.0", ""},
		{"one", "x5.0", "", "invalid version"},
		{"1.2.3", "x5.1", "", "speaks the plugin protocol x5.1"},
		{"1.2.3", "5.0", "", "not a version of the plugin protocol"},
	} {
		t.Run(c.version+c.api, func(t *testing.T) {
			in := newInstaller(t, nil)
			from := filepath.Join(t.TempDir(), "built")
			if err := os.WriteFile(from, plugintest.Script(plugintest.Description{Version: c.version, APIVersion: c.api}, ""), 0o700); err != nil {
				t.Fatal(err)
			}
			got, err := in.InstallFile(t.Context(), plugin(t, onGitHub), from)
			if c.why != "" {
				if err == nil || !strings.Contains(err.Error(), c.why) {
					t.Errorf("got %v", err)
				}
				nothingInstalled(t, in)
				return
			}
			if err != nil || filepath.Base(got.Path) != "packer-plugin-probe_"+c.want+"_"+store.Here().String() {
				t.Fatalf("%v, %v", got, err)
			}
			if f, refused, err := in.Store.Choose(t.Context(), store.Want{Source: plugin(t, onGitHub)}); err != nil || f == nil {
				t.Errorf("%v, %v, %v", f, refused, err)
			}
		})
	}
	in := newInstaller(t, nil)
	for _, path := range []string{t.TempDir(), filepath.Join(t.TempDir(), "none")} {
		if got, err := in.InstallFile(t.Context(), plugin(t, onGitHub), path); err == nil {
			t.Errorf("%s: %v", path, got)
		}
	}
	nothingInstalled(t, in)
}

// Ensure that the archive of a release on this machine is installed.
func TestInstallZipFile(t *testing.T) {
	s := plugintest.NewServer(t)
	publish(s, "acme", "1.0.0")
	file := "packer-plugin-probe_v1.0.0_x5.0_" + store.Here().String() + ".zip"
	from := filepath.Join(t.TempDir(), file)
	save(t, from, s.Get(hubDir+"v1.0.0/"+file))
	in := newInstaller(t, nil)
	if got, err := in.InstallFile(t.Context(), plugin(t, onGitHub), from); err != nil || got.Name.Version.String() != "1.0.0" {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := in.InstallFile(t.Context(), plugin(t, "github.com/acme/other"), from); err == nil {
		t.Error("it was installed as another plugin")
	}
}

// Ensure that an interrupted installation leaves nothing.
func TestInterrupted(t *testing.T) {
	s := plugintest.NewServer(t)
	publish(s, "acme", "1.0.0")
	in := newInstaller(t, s.Env())
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	s.Answer = func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, ".zip") {
			cancel(stop)
		}
		return false
	}
	if _, err := in.Install(ctx, want(t, onGitHub, "")); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
	nothingInstalled(t, in)
}

func FuzzParseSums(f *testing.F) {
	f.Add([]byte(strings.Repeat("a", 64) + "  packer-plugin-probe_v1.0.0_x5.0_linux_amd64.zip\n"))
	f.Add([]byte(strings.Repeat("A", 64) + " *../x"))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := parseSums(text)
		if err != nil {
			return
		}
		for name, digest := range all {
			if strings.ContainsAny(name, "/ \n") || len(digest) != 64 || strings.ToLower(digest) != digest {
				t.Errorf("%q: %q", name, digest)
			}
			if z, err := parseZipName(name); err == nil && filepath.Base(z.FileName.String()) != z.FileName.String() {
				t.Errorf("%q is %q", name, z.FileName)
			}
		}
	})
}

func FuzzIndexes(f *testing.F) {
	f.Add([]byte(`{"versions":{"1.0.0":{"version":"1.0.0"}}}`))
	f.Add([]byte(`[{"ref":"refs/tags/v1.0.0"}]`))
	f.Add([]byte(`{"metadata":{"protocol_version":"5.0"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		a, _ := parseIndex(text)
		b, _ := parseTags(text)
		for _, v := range slices.Concat(a, b) {
			if strings.ContainsAny(v.String(), "/\\ \n+") {
				t.Errorf("version %q", v)
			}
		}
		if api, err := parseManifest(text); err == nil {
			if again, err := store.ParseAPI(api.String()); err != nil || again != api {
				t.Errorf("%v, %v", again, err)
			}
		}
	})
}

func FuzzUnpack(f *testing.F) {
	const member = "packer-plugin-probe_v1.0.0_x5.0_linux_amd64"
	f.Add(plugintest.Zip(map[string][]byte{member: []byte("program"), "../../x": []byte("no")}))
	f.Fuzz(func(t *testing.T, content []byte) {
		dir := t.TempDir()
		save(t, filepath.Join(dir, "a.zip"), content)
		err := unpack(t.Context(), filepath.Join(dir, "a.zip"), member, filepath.Join(dir, "out"))
		entries, readErr := os.ReadDir(dir)
		if readErr != nil || len(entries) > 2 || err == nil && len(entries) != 2 {
			t.Errorf("%v: %v, %v", err, entries, readErr)
		}
	})
}
