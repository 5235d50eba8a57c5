package gitmodule

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// origin is a bare repository with a working copy beside it.
type origin struct {
	t          *testing.T
	bare, work string
	env        []string
}

func newOrigin(t *testing.T) *origin {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	dir := t.TempDir()
	o := &origin{t: t, bare: filepath.Join(dir, "origin.git"), work: filepath.Join(dir, "work"), env: environ(dir)}
	o.git(dir, "init", "--quiet", "--bare", "--initial-branch=main", o.bare)
	o.git(dir, "init", "--quiet", "--initial-branch=main", o.work)
	return o
}

// environ is an environment in which git finds no settings of the user.
func environ(home string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=n", "GIT_AUTHOR_EMAIL=e@example.com", "GIT_COMMITTER_NAME=n", "GIT_COMMITTER_EMAIL=e@example.com",
	}
}

func (o *origin) git(dir string, args ...string) string {
	o.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env = dir, o.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		o.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// commit puts a text into sub/a.txt and pushes it with all tags.
func (o *origin) commit(text string, tags ...string) string {
	o.t.Helper()
	path := filepath.Join(o.work, "sub", "a.txt")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		o.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		o.t.Fatal(err)
	}
	o.git(o.work, "add", ".")
	o.git(o.work, "commit", "--quiet", "--message", text)
	for _, tag := range tags {
		o.git(o.work, "tag", "--annotate", "--message", tag, tag)
	}
	o.git(o.work, "push", "--quiet", "--tags", o.bare, "HEAD")
	return o.git(o.work, "rev-parse", "HEAD")
}

func (o *origin) source(rest string) string { return "git::file://" + filepath.ToSlash(o.bare) + rest }

func (o *origin) store() *Store {
	return &Store{Dir: filepath.Join(o.t.TempDir(), "modules"), Environ: o.env}
}

// read fetches a source and returns a file of it.
func read(t *testing.T, s *Store, source, file string) string {
	t.Helper()
	dir, notes, err := s.Fetch(context.Background(), source)
	if err != nil || notes != nil {
		t.Fatalf("%s: %v, %q", source, err, notes)
	}
	text, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Ensure that each kind of ref leads to its commit, at the time.
func TestRefs(t *testing.T) {
	o := newOrigin(t)
	first := o.commit("one", "v1")
	o.commit("two")
	o.git(o.work, "checkout", "--quiet", "-b", "side")
	o.commit("side")
	o.git(o.work, "checkout", "--quiet", "main")
	s := o.store()
	for source, want := range map[string]string{
		"//sub": "two", "//sub?ref=main": "two", "//sub/?ref=side": "side", "//sub?ref=v1": "one", "//sub?ref=" + first: "one",
	} {
		if got := read(t, s, o.source(source), "a.txt"); got != want {
			t.Errorf("%s: got %q, want %q", source, got, want)
		}
	}
	if got := read(t, s, o.source(""), "sub/a.txt"); got != "two" {
		t.Errorf("the whole repository: got %q", got)
	}
	o.commit("three")
	if got := read(t, s, o.source("//sub?ref=main"), "a.txt"); got != "three" {
		t.Errorf("the branch has moved: got %q", got)
	}
	// Nothing is left but the three folders and the commits of the refs.
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		t.Fatal(err)
	}
	trees := 0
	for _, e := range entries {
		switch {
		case strings.HasPrefix(e.Name(), "tree-"):
			trees++
			if exists(filepath.Join(s.Dir, e.Name(), ".git")) {
				t.Errorf("%s is still a repository", e.Name())
			}
		case !strings.HasPrefix(e.Name(), "ref-"):
			t.Errorf("left: %s", e.Name())
		}
	}
	if trees != 4 {
		t.Errorf("%d folders", trees)
	}
}

// Ensure that what was fetched is used when the repository cannot be reached,
// with a note, and that a commit is not asked for again.
func TestCache(t *testing.T) {
	o := newOrigin(t)
	id := o.commit("one")
	s := o.store()
	read(t, s, o.source("//sub?ref=main"), "a.txt")
	if err := os.Rename(o.bare, o.bare+".gone"); err != nil {
		t.Fatal(err)
	}
	dir, notes, err := s.Fetch(context.Background(), o.source("//sub?ref=main"))
	if err != nil || len(notes) != 1 || !strings.Contains(notes[0], id[:12]) || !exists(filepath.Join(dir, "a.txt")) {
		t.Errorf("%s, %q, %v", dir, notes, err)
	}
	if read(t, s, o.source("//sub?ref="+id), "a.txt") != "one" {
		t.Error("wrong file")
	}
	if _, _, err := s.Fetch(context.Background(), o.source("//sub?ref=other")); err == nil || !strings.Contains(err.Error(), "ls-remote") {
		t.Errorf("a ref that was never fetched: %v", err)
	}
}

// Ensure that many at once end with the same folder and leave nothing else.
func TestParallelFetches(t *testing.T) {
	o := newOrigin(t)
	o.commit("one")
	s := o.store()
	var wait sync.WaitGroup
	dirs := make([]string, 6)
	for i := range dirs {
		wait.Go(func() {
			dir, _, err := s.Fetch(context.Background(), o.source("//sub"))
			if err != nil {
				t.Error(err)
			}
			dirs[i] = dir
		})
	}
	wait.Wait()
	for _, dir := range dirs {
		if dir != dirs[0] {
			t.Errorf("%s and %s", dir, dirs[0])
		}
	}
	if left, _ := filepath.Glob(filepath.Join(s.Dir, "[^tr]*")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestFailures(t *testing.T) {
	o := newOrigin(t)
	o.commit("one")
	if err := os.Symlink("/", filepath.Join(o.work, "out")); err != nil {
		t.Fatal(err)
	}
	id := o.commit("two")
	s := o.store()
	for _, c := range []struct{ source, want string }{
		{o.source("?ref=nope"), `has no branch and no tag "nope"`},
		{o.source("?ref=" + id[:10]), "all of its 40 digits"},
		{o.source("?ref=" + strings.Repeat("0", 40)), "git checkout of"},
		{o.source("//nope"), `has no folder "nope"`},
		{o.source("//sub/a.txt"), `has no folder "sub/a.txt"`},
		{o.source("//out/etc"), "leads out of it"},
		{o.source("//../x"), "leads out of the repository"},
		{o.source("/nope.git"), "git ls-remote of file://"},
		{o.source("?depth=1"), `"depth" is unknown`},
		{o.source("?ref=--upload-pack=x"), "cannot be the name"},
		{"git::ext::sh -c true", "missing its scheme"},
		{"git::ftp://example.com/x", `not by "ftp"`},
		{"git::https:///x", "has no host"},
		{"git::ssh://-oProxyCommand=x/y", "has no host"},
		{"git::./x", "missing its scheme"},
		{"git::-x:y", "missing its scheme"},
		{"git::https://example.com/x#v1", "fragment"},
		{"https://example.com/x", "starts with"},
	} {
		_, _, err := s.Fetch(context.Background(), c.source)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.source, err, c.want)
		}
	}
	if drafts, _ := filepath.Glob(filepath.Join(s.Dir, draftPrefix+"*")); len(drafts) > 0 {
		t.Errorf("left: %q", drafts)
	}
	t.Setenv("PATH", t.TempDir())
	if _, _, err := s.Fetch(context.Background(), o.source("?ref=other")); err == nil || !strings.Contains(err.Error(), "git is needed") {
		t.Errorf("without git: %v", err)
	}
}

// Ensure that neither messages nor command lines show a password.
func TestPasswordsStaySecret(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	var asked sync.Map
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		asked.Store(user+":"+password, true)
		w.Header().Set("WWW-Authenticate", "Basic")
		http.Error(w, "no", http.StatusUnauthorized)
	}))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	s := &Store{Dir: t.TempDir(), Environ: environ(t.TempDir())}
	for source, secret := range map[string]string{
		"git::http://me:hunter2%21@" + host + "/x.git": "hunter2!",
		"git::http://tok-en-1@" + host + "/x.git":      "tok-en-1",
	} {
		_, _, err := s.Fetch(context.Background(), source)
		if err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "tok-en-1") {
			t.Errorf("error: %v", err)
		}
		if got := Secrets(source); len(got) != 1 || got[0] != secret {
			t.Errorf("secrets of %s: %q", source, got)
		}
	}
	if _, ok := asked.Load("me:hunter2!"); !ok {
		t.Error("the password was not used")
	}
	if got := Secrets("git::https://me:p%zz@example.com/x"); len(got) != 1 || got[0] != "p%zz" {
		t.Errorf("secrets of a URL that cannot be read: %q", got)
	}
}

// Ensure that a fetch ends with its context.
func TestCancel(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	reached := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(reached)
		<-r.Context().Done()
	}))
	defer server.Close()
	ctx, cancel := context.WithCancelCause(context.Background())
	stop := errors.New("interrupted by test")
	go func() { <-reached; cancel(stop) }()
	s := &Store{Dir: t.TempDir(), Environ: environ(t.TempDir())}
	if _, _, err := s.Fetch(ctx, "git::"+server.URL+"/x.git"); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
	server.CloseClientConnections()
}

// Ensure that what an interrupted fetch left goes away in time.
func TestSweep(t *testing.T) {
	s := &Store{Dir: t.TempDir()}
	for name, age := range map[string]time.Duration{"draft-old": 2 * stale, "draft-new": time.Minute, "tree-old": 2 * stale} {
		path := filepath.Join(s.Dir, name)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		when := time.Now().Add(-age)
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
	}
	s.sweep()
	if exists(filepath.Join(s.Dir, "draft-old")) || !exists(filepath.Join(s.Dir, "draft-new")) || !exists(filepath.Join(s.Dir, "tree-old")) {
		t.Error("swept the wrong ones")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"git::https://u:p@h/x.git//a/b?ref=v1", "git::git@h:o/r.git//s?ref=x", "git::file:///x//..", "git::ssh://git@h/x", "git::"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, source string) {
		secrets := Secrets(source)
		r, err := parse(source)
		if err != nil {
			return
		}
		if !filepath.IsLocal(r.subdir) || strings.HasPrefix(r.url, "-") || strings.HasPrefix(r.ref, "-") {
			t.Errorf("%q: %+v", source, r)
		}
		for _, s := range secrets {
			if len(s) > 8 && strings.Contains(r.shown, s) && !strings.Contains(strings.Replace(source, s, "", 1), s) {
				t.Errorf("%q shows %q", r.shown, s)
			}
		}
	})
}

// Ensure that the remotes of the repository in which a template lies are not
// taken for that of a module.
func TestInsideAnotherRepository(t *testing.T) {
	other, o := newOrigin(t), newOrigin(t)
	other.commit("wrong")
	for _, name := range []string{"origin", "upstream"} {
		other.git(other.work, "remote", "add", name, other.bare)
	}
	o.commit("right")
	t.Chdir(other.work)
	if got := read(t, o.store(), o.source("//sub?ref=main"), "a.txt"); got != "right" {
		t.Errorf("got %q", got)
	}
}
