package fetch

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
)

func sha(data []byte) string {
	h := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(h[:])
}

// content is a file that is not the same anywhere.
func content(n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return data
}

// server serves one file, as badly as it is told to.
type server struct {
	*httptest.Server
	mu       sync.Mutex
	data     []byte
	tag      string
	noRanges bool
	// cut ends each answer after so many bytes.
	cut      int
	fail     []int // statuses for the next requests
	requests []string
	bodies   int64
}

func serve(t *testing.T, data []byte) *server {
	t.Helper()
	s := &server{data: data, tag: `"1"`}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, q.Method+" "+q.Header.Get("Range"))
	data, tag, cut, noRanges := s.data, s.tag, s.cut, s.noRanges
	var status int
	if len(s.fail) > 0 {
		status, s.fail = s.fail[0], s.fail[1:]
	}
	s.mu.Unlock()
	if status != 0 {
		w.WriteHeader(status)
		return
	}
	if tag != "" {
		w.Header().Set("ETag", tag)
	}
	if noRanges {
		q.Header.Del("Range")
	}
	out := &cutWriter{ResponseWriter: w, left: cut, limited: cut > 0, server: s}
	http.ServeContent(out, q, "", time.Time{}, bytes.NewReader(data))
	if out.limited && out.left == 0 {
		panic(http.ErrAbortHandler)
	}
}

func (s *server) change(fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn()
}

func (s *server) asked(prefix string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, q := range s.requests {
		if strings.HasPrefix(q, prefix) {
			n++
		}
	}
	return n
}

type cutWriter struct {
	http.ResponseWriter
	left    int
	limited bool
	server  *server
}

func (c *cutWriter) Write(p []byte) (int, error) {
	if c.limited && len(p) > c.left {
		p = p[:c.left]
	}
	n, err := c.ResponseWriter.Write(p)
	c.server.change(func() { c.server.bodies += int64(n) })
	c.left -= n
	if c.limited && c.left == 0 && err == nil {
		err = io.ErrShortWrite
		c.ResponseWriter.(http.Flusher).Flush()
	}
	return n, err
}

// newRun is a run whose clock does not wait.
func newRun(t *testing.T) (component.Run, *componenttest.Events) {
	r, _, events := componenttest.NewRun(t)
	r.Clock = hasty{}
	return r, events
}

type hasty struct{ component.SystemClock }

func (hasty) Sleep(ctx context.Context, _ time.Duration) error {
	return component.SystemClock{}.Sleep(ctx, time.Millisecond)
}

func fetch(t *testing.T, r component.Run, s Spec) []byte {
	t.Helper()
	path, err := Fetch(t.Context(), r, s)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestDownloadsOnceByChecksum(t *testing.T) {
	data := content(300_000)
	s := serve(t, data)
	r, events := newRun(t)
	spec := Spec{Label: "ISO", URLs: []string{s.URL + "/a/disc.ISO?x=y"}, Checksum: sha(data), Extension: "ISO"}
	for range 2 {
		if got := fetch(t, r, spec); !bytes.Equal(got, data) {
			t.Fatal("the file is another")
		}
	}
	spec.URLs = []string{s.URL + "/elsewhere"}
	path, err := Fetch(t.Context(), r, spec)
	if err != nil || !strings.HasSuffix(path, ".iso") || s.asked("GET") != 1 {
		t.Errorf("%s, %v, %d downloads", path, err, s.asked("GET"))
	}
	if !strings.HasPrefix(events.Said(), "Retrieving ISO\nTrying "+s.URL+"/a/disc.ISO?x=y\n") {
		t.Errorf("said %s", events.Said())
	}
	var last component.Progress
	for _, e := range events.All() {
		if p, ok := e.(component.Progress); ok {
			last = p
		}
	}
	if !last.Finished || last.Done != int64(len(data)) || last.Total != int64(len(data)) {
		t.Errorf("last progress: %+v", last)
	}
	left, _ := filepath.Glob(filepath.Join(r.CacheDir, "downloads", "*.part*"))
	if len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestW36ResumesOnlyWhatIsUnchanged: a download that broke off goes on where it
// was, unless the server knows no ranges, has another version, or said nothing by
// which a version can be told. The result is the file in every case.
func TestW36ResumesOnlyWhatIsUnchanged(t *testing.T) {
	data := content(400_000)
	for name, c := range map[string]struct {
		change  func(s *server)
		ranges  bool // whether the rest is asked for
		reloads bool // whether all has to come again
	}{
		"unchanged":      {func(*server) {}, true, false},
		"no ranges":      {func(s *server) { s.noRanges = true }, true, true},
		"new version":    {func(s *server) { s.tag = `"2"`; s.data = append([]byte("new"), data...) }, true, true},
		"no validator":   {func(s *server) { s.tag = "" }, true, true},
		"shorter by now": {func(s *server) { s.data, s.tag = data[:1000], `"2"` }, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, data)
			s.cut = 100_000
			r, _ := newRun(t)
			ctx, stop := context.WithCancelCause(t.Context())
			cause := errors.New("interrupted")
			r.Events = component.SinkFunc(func(e component.Event) {
				if _, ok := e.(component.Retrying); ok {
					stop(cause)
				}
			})
			spec := Spec{URLs: []string{s.URL + "/f"}, Checksum: sha(data)}
			if _, err := Fetch(ctx, r, spec); !errors.Is(err, cause) {
				t.Fatalf("the first attempt: %v", err)
			}
			s.change(func() { s.cut, s.bodies = 0, 0; c.change(s) })
			spec.Checksum = sha(s.data)
			if sha(s.data) != sha(data) {
				// The same place in the cache, and another file behind it.
				part, _ := filepath.Glob(filepath.Join(r.CacheDir, "downloads", "*.part"))
				to := newStore(r.CacheDir).slot(strings.Replace(spec.Checksum, ":", "-", 1), "")
				if err := errors.Join(os.Rename(part[0], to.part()), os.Rename(part[0]+".json", to.notes())); err != nil {
					t.Fatal(err)
				}
			}
			if got := fetch(t, r, spec); !bytes.Equal(got, s.data) {
				t.Errorf("%d bytes that are not the file", len(got))
			}
			if asked := s.asked("GET bytes=100000-") > 0; asked != c.ranges {
				t.Errorf("asked for the rest: %v; requests %q", asked, s.requests)
			}
			if all := s.bodies == int64(len(s.data)); all != c.reloads {
				t.Errorf("%d of %d bytes were sent", s.bodies, len(s.data))
			}
		})
	}
}

// TestCompleteButNotNamed: what a process that was killed at the end of a download
// has left is not downloaded again.
func TestCompleteButNotNamed(t *testing.T) {
	data := content(100_000)
	for name, checksum := range map[string]string{"with a checksum": sha(data), "without": "none"} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, data)
			r, _ := newRun(t)
			spec := Spec{URLs: []string{s.URL + "/f"}, Checksum: checksum}
			path, err := Fetch(t.Context(), r, spec)
			if err != nil {
				t.Fatal(err)
			}
			src, err := parseSource(spec.URLs[0])
			to := newStore(r.CacheDir).slotOf(path)
			if err := errors.Join(err, os.Rename(path, to.part()), os.Remove(to.record()), writeJSON(to.notes(), partial{hashKey(src.identity()), s.tag})); err != nil {
				t.Fatal(err)
			}
			if got := fetch(t, r, spec); !bytes.Equal(got, data) {
				t.Errorf("%d bytes that are not the file", len(got))
			}
			if s.asked("GET") != 2 || s.asked("GET bytes=100000-") != 1 {
				t.Errorf("requests %q", s.requests)
			}
		})
	}
}

// TestW36LastLineOfAList: a last line without a line end counts.
func TestW36LastLineOfAList(t *testing.T) {
	data := content(10)
	sum := strings.TrimPrefix(sha(data), "sha256:")
	c, err := findInList([]byte("00000000000000000000000000000000  other\n"+sum+"  disc.iso"), "disc.iso")
	if err != nil || c.sum != sum {
		t.Errorf("%v, %v", c, err)
	}
}

// TestW36ListIsFetchedWhenItIsUsed: checking needs no network, and fetching the
// list is tried again.
func TestW36ListIsFetchedWhenItIsUsed(t *testing.T) {
	data := content(10)
	file := serve(t, data)
	list := serve(t, []byte("SHA256 (x/disc.iso) = "+strings.TrimPrefix(sha(data), "sha256:")))
	list.fail = []int{503, 500}
	r, _ := newRun(t)
	spec := Spec{URLs: []string{file.URL + "/disc.iso"}, Checksum: "file:" + list.URL + "/SHA256SUMS"}
	if diags := spec.Check(); len(diags) > 0 || len(list.requests)+len(file.requests) > 0 {
		t.Errorf("%v; requests %v %v", diags, list.requests, file.requests)
	}
	if got := fetch(t, r, spec); !bytes.Equal(got, data) || list.asked("GET") != 3 {
		t.Errorf("%q, the list was asked for %d times", got, list.asked("GET"))
	}
}

func TestGoesOnAsLongAsItComesFurther(t *testing.T) {
	data := content(1_000_000)
	s := serve(t, data)
	s.cut = 60_000 // 17 answers, each broken off
	r, _ := newRun(t)
	if got := fetch(t, r, Spec{URLs: []string{s.URL + "/f"}, Checksum: sha(data)}); !bytes.Equal(got, data) {
		t.Error("the file is another")
	}
	if s.bodies != int64(len(data)) {
		t.Errorf("%d bytes were sent for %d", s.bodies, len(data))
	}
}

func TestMirrors(t *testing.T) {
	data := content(1000)
	bad, gone, flaky, good := serve(t, []byte("something else")), serve(t, nil), serve(t, data), serve(t, data)
	gone.fail = []int{404}
	for range 10 {
		flaky.fail = append(flaky.fail, 502)
	}
	r, events := newRun(t)
	got := fetch(t, r, Spec{URLs: []string{"/nowhere/at/all", gone.URL, bad.URL, flaky.URL, good.URL}, Checksum: sha(data)})
	if !bytes.Equal(got, data) || gone.asked("GET") != 1 || bad.asked("GET") != 1 || flaky.asked("GET") != stalledAttempts {
		t.Errorf("requests %q %q %q", gone.requests, bad.requests, flaky.requests)
	}
	for _, want := range []string{"/nowhere/at/all", "404 Not Found", "the checksum is sha256:", "502 Bad Gateway"} {
		if !strings.Contains(events.Said(), want) {
			t.Errorf("%q was not said:\n%s", want, events.Said())
		}
	}
	_, err := Fetch(t.Context(), r, Spec{Label: "ISO", URLs: []string{"/nowhere", bad.URL + "/x"}, Checksum: "md5:" + strings.Repeat("0", 32)})
	if err == nil || !strings.Contains(err.Error(), "retrieve ISO") || !strings.Contains(err.Error(), "/nowhere") || !errors.As(err, new(*mismatchError)) {
		t.Errorf("error: %v", err)
	}
}

func TestParallelBuildsDownloadOnce(t *testing.T) {
	data := content(200_000)
	s := serve(t, data)
	r, _ := newRun(t)
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			path, err := Fetch(t.Context(), r, Spec{URLs: []string{s.URL + "/f"}, Checksum: sha(data)})
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
	all.Wait()
	if n := s.asked("GET"); n != 1 {
		t.Errorf("%d downloads", n)
	}
}

// TestWithoutChecksum: the version that the server names decides; without one
// the file is fetched again.
func TestWithoutChecksum(t *testing.T) {
	s := serve(t, []byte("one"))
	r, _ := newRun(t)
	spec := Spec{URLs: []string{s.URL + "/f"}, Checksum: "none"}
	for i, step := range []struct {
		change func()
		want   string
		gets   int
	}{
		{func() {}, "one", 1},
		{func() {}, "one", 1},
		{func() { s.data, s.tag = []byte("two"), `"2"` }, "two", 2},
		{func() { s.data, s.tag = []byte("three"), "" }, "three", 3},
		{func() { s.data = []byte("four") }, "four", 4},
	} {
		s.change(step.change)
		if got := fetch(t, r, spec); string(got) != step.want || s.asked("GET") != step.gets {
			t.Errorf("step %d: %q, %d downloads", i, got, s.asked("GET"))
		}
	}
	target := Spec{URLs: spec.URLs, TargetPath: filepath.Join(t.TempDir(), "disc.iso")}
	s.change(func() { s.tag = `"5"` })
	fetch(t, r, target)
	fetch(t, r, target)
	s.change(func() { s.data, s.tag = []byte("six"), `"6"` })
	if got := fetch(t, r, target); string(got) != "six" || s.asked("GET") != 6 {
		t.Errorf("at the target: %q, %d downloads", got, s.asked("GET"))
	}
}

// TestNeverTrustsWhatIsThere: a file that is not as it was is read, and replaced
// when it is another.
func TestNeverTrustsWhatIsThere(t *testing.T) {
	data := content(1000)
	s := serve(t, data)
	r, _ := newRun(t)
	spec := Spec{URLs: []string{s.URL + "/f"}, Checksum: sha(data), TargetPath: filepath.Join(t.TempDir(), "new", "disc.iso")}
	if got := fetch(t, r, spec); !bytes.Equal(got, data) {
		t.Error("the file is another")
	}
	if err := os.WriteFile(spec.TargetPath, content(999), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := fetch(t, r, spec); !bytes.Equal(got, data) || s.asked("GET") != 2 {
		t.Errorf("a damaged file was used, or %d downloads", s.asked("GET"))
	}
	if err := os.Chtimes(spec.TargetPath, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if fetch(t, r, spec); s.asked("GET") != 2 {
		t.Error("a good file was fetched again")
	}
	spec.TargetPath = t.TempDir()
	if path, err := Fetch(t.Context(), r, spec); err != nil || path != filepath.Join(spec.TargetPath, "f") {
		t.Errorf("%s, %v", path, err)
	}
}

func TestLocalFilesAreUsedInPlace(t *testing.T) {
	data := content(100)
	path := filepath.Join(t.TempDir(), "disc.iso")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	md := md5.Sum(data)
	r, _ := newRun(t)
	for url, sum := range map[string]string{path: sha(data), "file://" + path: hex.EncodeToString(md[:]), "file:" + path: "none", "file://" + path + "?checksum=" + sha(data): "md5:" + strings.Repeat("0", 32)} {
		if got, err := Fetch(t.Context(), r, Spec{URLs: []string{url}, Checksum: sum}); err != nil || got != path {
			t.Errorf("%s: %s, %v", url, got, err)
		}
	}
	for _, sum := range []string{"md5:" + strings.Repeat("0", 32), "file:" + path} {
		if _, err := Fetch(t.Context(), r, Spec{URLs: []string{path}, Checksum: sum}); err == nil {
			t.Errorf("%s is right", sum)
		}
	}
	if got, err := Fetch(t.Context(), r, Spec{URLs: []string{"http://192.0.2.1/x.iso"}, SkipCache: true}); err != nil || got != "http://192.0.2.1/x.iso" {
		t.Errorf("skipped: %s, %v", got, err)
	}
}

// TestW4BadReadTimeout: a value that cannot be read is a diagnostic, and an error
// where the file is fetched; nothing panics.
func TestW4BadReadTimeout(t *testing.T) {
	r, _ := newRun(t)
	for value, ok := range map[string]bool{"": true, "45m": true, "soon": false, "30": false, "-1s": false} {
		t.Setenv("PACKER_GETTER_READ_TIMEOUT", value)
		diags := Spec{URLs: []string{"config.go"}}.Check()
		_, err := Fetch(t.Context(), r, Spec{URLs: []string{"config.go"}})
		if diags.HasErrors() == ok || (err == nil) != ok {
			t.Errorf("%q: %v, %v", value, diags, err)
		}
		if !ok && !strings.Contains(diags.Err().Error(), "PACKER_GETTER_READ_TIMEOUT") {
			t.Errorf("%q: %v", value, diags.Err())
		}
	}
}

func TestReadTimeout(t *testing.T) {
	t.Setenv("PACKER_GETTER_READ_TIMEOUT", "50ms")
	silent := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Content-Length", "10")
		fmt.Fprint(w, "abc")
		w.(http.Flusher).Flush()
		<-silent
	}))
	defer s.Close()
	defer close(silent)
	r, _ := newRun(t)
	_, err := Fetch(t.Context(), r, Spec{URLs: []string{s.URL + "/f"}, Checksum: "md5:" + strings.Repeat("0", 32)})
	if err == nil || !strings.Contains(err.Error(), "nothing arrived for 50ms") {
		t.Errorf("error: %v", err)
	}
}

func TestNetrc(t *testing.T) {
	var got []string
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		user, password, _ := q.BasicAuth()
		got = append(got, user+":"+password)
	}))
	defer s.Close()
	path := filepath.Join(t.TempDir(), "netrc")
	if err := os.WriteFile(path, []byte("machine 127.0.0.1 login me password s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NETRC", path)
	r, events := newRun(t)
	fetch(t, r, Spec{URLs: []string{s.URL + "/f"}, Checksum: sha(nil)})
	fetch(t, r, Spec{URLs: []string{strings.Replace(s.URL, "//", "//you:pass@", 1) + "/f"}, Checksum: "md5:d41d8cd98f00b204e9800998ecf8427e"})
	if strings.Join(got, " ") != "me:s3cret you:pass" {
		t.Errorf("logins: %v", got)
	}
	if strings.Contains(events.Said(), "pass@") {
		t.Errorf("the password was said: %s", events.Said())
	}
}

func TestRepositories(t *testing.T) {
	for name, commands := range map[string]string{
		"git": "git init -q -b main . && git add . && git -c user.name=x -c user.email=x@y commit -qm one && git tag v1 && echo two >sub/file && git -c user.name=x -c user.email=x@y commit -qam two",
		"hg":  "hg init && hg add -q && hg commit -u x -m one && hg tag -u x v1 && echo two >sub/file && hg commit -u x -m two",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath(name); err != nil {
				t.Skip("the program is not installed (make deps)")
			}
			dir := t.TempDir()
			if err := os.MkdirAll(filepath.Join(dir, "sub"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "sub", "file"), []byte("one\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("sh", "-c", commands)
			cmd.Dir = dir
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			r, _ := newRun(t)
			ref := map[string]string{"git": "ref", "hg": "rev"}[name]
			for query, want := range map[string]string{"": "two\n", "?" + ref + "=v1": "one\n", "?checksum=" + sha([]byte("two\n")): "two\n"} {
				if got := fetch(t, r, Spec{URLs: []string{name + "::" + dir + "//sub/file" + query}}); string(got) != want {
					t.Errorf("%s: %q", query, got)
				}
			}
			for _, bad := range []string{"//none", "//sub/file?" + ref + "=none"} {
				if _, err := Fetch(t.Context(), r, Spec{URLs: []string{name + "::" + dir + bad}}); err == nil {
					t.Errorf("%s was found", bad)
				}
			}
			if left, _ := filepath.Glob(filepath.Join(r.WorkDir, "repository-*")); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

func TestObjects(t *testing.T) {
	var path, auth string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		path, auth = q.URL.RequestURI(), q.Header.Get("Authorization")
		fmt.Fprint(w, "x")
	}))
	defer s.Close()
	r, _ := newRun(t)
	fetch(t, r, Spec{URLs: []string{"s3::" + s.URL + "/bucket/a/key?aws_access_key_id=AKID&aws_access_key_secret=hidden&region=eu-west-1"}, Checksum: sha([]byte("x"))})
	if path != "/bucket/a/key" || !strings.Contains(auth, "AWS4-HMAC-SHA256 Credential=AKID/") || !strings.Contains(auth, "/eu-west-1/s3/") {
		t.Errorf("S3: %s, %s", path, auth)
	}
	t.Setenv("GOOGLE_OAUTH_ACCESS_TOKEN", "token")
	fetch(t, r, Spec{URLs: []string{"gcs::" + s.URL + "/bucket/a/key"}, Checksum: "md5:9dd4e461268c8034f5c8564e155c67a6"})
	if path != "/bucket/a/key" || auth != "Bearer token" {
		t.Errorf("GCS: %s, %s", path, auth)
	}
}

// TestPruning: what a build uses stays until it has ended.
func TestPruning(t *testing.T) {
	for _, extension := range []string{"iso", "tar.gz"} {
		t.Run(extension, func(t *testing.T) { testPruning(t, extension) })
	}
}

func testPruning(t *testing.T, extension string) {
	data := content(100)
	s := serve(t, data)
	r, _ := newRun(t)
	var end []func()
	r.AtEnd = func(stop func()) { end = append(end, stop) }
	path, err := Fetch(t.Context(), r, Spec{URLs: []string{s.URL + "/f"}, Checksum: sha(data), Extension: extension})
	if err != nil {
		t.Fatal(err)
	}
	list, err := List(r.CacheDir)
	if err != nil || len(list) != 1 || list[0].Path != path || list[0].Size != 100 || list[0].URL != s.URL+"/f" || time.Since(list[0].Used) > time.Hour {
		t.Fatalf("%+v, %v", list, err)
	}
	if err := Remove(r.CacheDir, list[0]); !errors.Is(err, ErrInUse) {
		t.Errorf("while it is used: %v", err)
	}
	for _, stop := range end {
		stop()
	}
	if err := Remove(r.CacheDir, list[0]); err != nil {
		t.Error(err)
	}
	if list, err := List(r.CacheDir); err != nil || len(list) > 0 {
		t.Errorf("left: %v, %v", list, err)
	}
	if got := fetch(t, r, Spec{URLs: []string{s.URL + "/f"}, Checksum: sha(data), Extension: extension}); !bytes.Equal(got, data) || s.asked("GET") != 2 {
		t.Error("it was not fetched again")
	}
}
