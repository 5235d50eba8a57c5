package fileserver

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
)

func start(t *testing.T, c Config) (*Server, *componenttest.Events) {
	t.Helper()
	r, _, events := componenttest.NewRun(t)
	s, err := Start(t.Context(), r, c, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	return s, events
}

func get(t *testing.T, s *Server, path string) (int, string) {
	t.Helper()
	// The path goes over the wire as it is, with its dots.
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET %s HTTP/1.0\r\n\r\n", path)
	data, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	head, body, _ := bytes.Cut(data, []byte("\r\n\r\n"))
	var status int
	if _, err := fmt.Sscanf(string(head), "HTTP/1.0 %d", &status); err != nil {
		t.Fatalf("%s: %v", head, err)
	}
	return status, string(body)
}

func TestServesContent(t *testing.T) {
	s, events := start(t, Config{HTTPContent: map[string]string{"/preseed.cfg": "d-i", "/a//b/": "ab"}})
	for path, want := range map[string]string{
		"/preseed.cfg": "d-i", "/a/b": "ab", "//preseed.cfg?x=y": "d-i",
		"/presed.cfg": "/presed.cfg is not in http_content. Did you mean \"/preseed.cfg\"?\n",
	} {
		if _, got := get(t, s, path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	res, err := http.Post("http://"+s.Addr().String()+"/preseed.cfg", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", res.StatusCode)
	}
	s.Stop()
	said := events.Said()
	if !strings.HasPrefix(said, fmt.Sprintf("Starting HTTP server on port %d\n", s.Port())) || !strings.Contains(said, `for "/presed.cfg": 404 Not Found`) {
		t.Errorf("said: %s", said)
	}
	traced := 0
	for _, e := range events.All() {
		if e, ok := e.(component.Trace); ok && strings.Contains(e.Text, "GET") {
			traced++
		}
	}
	if traced != 4 {
		t.Errorf("%d requests in the log, want 4", traced)
	}
}

// TestNeverServesOutside: neither dots nor links lead out of the folder.
func TestNeverServesOutside(t *testing.T) {
	dir := t.TempDir()
	served := filepath.Join(dir, "served")
	for path, text := range map[string]string{"secret": "s3cret", "served/a": "A", "served/sub/b": "B"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"out": "../secret", "abs": filepath.Join(dir, "secret"), "up": "..", "in": "sub/b"} {
		if err := os.Symlink(to, filepath.Join(served, link)); err != nil {
			t.Fatal(err)
		}
	}
	s, _ := start(t, Config{HTTPDirectory: served})
	for path, want := range map[string]int{
		"/a": 200, "/sub/b": 200, "/in": 200, "/": 200, "/sub/": 200, "/sub/../a": 200,
		"/none": 404, "/out": 403, "/abs": 403, "/up/secret": 403,
	} {
		if status, body := get(t, s, path); status != want {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	for _, path := range []string{"/../secret", "/%2e%2e/secret", "/..%2fsecret", "/sub/../../secret", `/..\secret`, "/up/", "/out", "/./../secret"} {
		if status, body := get(t, s, path); status == 200 || strings.Contains(body, "s3cret") {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

// TestW6PortSearchEnds: when all ports of the range are taken the search ends at
// once and says so; the last port is a part of the range.
func TestW6PortSearchEnds(t *testing.T) {
	low := freePair(t)
	c := Config{HTTPContent: map[string]string{"/a": ""}, HTTPPortMin: low, HTTPPortMax: low + 1}
	one, _ := start(t, c)
	two, _ := start(t, c)
	if got := map[int]bool{one.Port(): true, two.Port(): true}; !got[low] || !got[low+1] {
		t.Errorf("ports %d and %d, want %d and the next", one.Port(), two.Port(), low)
	}
	r, _, _ := componenttest.NewRun(t)
	_, err := Start(t.Context(), r, c, "127.0.0.1")
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("no port from %d to %d is free", low, low+1)) {
		t.Errorf("a third server: %v", err)
	}
	two.Stop()
	three, _ := start(t, c)
	if three.Port() != two.Port() {
		t.Errorf("port %d, want %d, which is free again", three.Port(), two.Port())
	}
}

// freePair finds two ports in a row that nobody listens on.
func freePair(t *testing.T) int {
	t.Helper()
	for range 100 {
		a, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := a.Addr().(*net.TCPAddr).Port
		b, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+1))
		a.Close()
		if err == nil {
			b.Close()
			return port
		}
	}
	t.Fatal("no two ports in a row are free")
	return 0
}

func TestStopsWithRequestsInHand(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "big"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "big"), 1<<32); err != nil {
		t.Fatal(err)
	}
	s, _ := start(t, Config{HTTPDirectory: dir})
	res, err := http.Get("http://" + s.Addr().String() + "/big")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	s.Stop() // must return although nobody reads the answer
	s.Stop()
	if _, err := net.Dial("tcp", s.Addr().String()); err == nil {
		t.Error("the server still listens")
	}
}

func TestWhereItListens(t *testing.T) {
	content := map[string]string{"/a": ""}
	r, _, _ := componenttest.NewRun(t)
	if s, err := Start(t.Context(), r, Config{}, "127.0.0.1"); s != nil || err != nil {
		t.Errorf("nothing to serve: %v, %v", s, err)
	}
	s, _ := start(t, Config{HTTPContent: content, HTTPBindAddress: "0.0.0.0", HTTPNetworkProtocol: "tcp4"})
	if !s.Addr().IP.IsUnspecified() || s.Port() < defaultPortMin || s.Port() > defaultPortMax {
		t.Errorf("listens on %s", s.Addr())
	}
	if _, err := Start(t.Context(), r, Config{HTTPContent: content, HTTPBindAddress: "192.0.2.1"}, ""); err == nil || strings.Contains(err.Error(), "is free") {
		t.Errorf("an address of somebody else: %v", err)
	}
	if _, err := Start(t.Context(), r, Config{HTTPContent: content, HTTPInterface: "none0"}, ""); err == nil || !strings.Contains(err.Error(), "there are:") {
		t.Errorf("no such interface: %v", err)
	}
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		if i.Flags&net.FlagLoopback != 0 && i.Flags&net.FlagUp != 0 {
			s, _ := start(t, Config{HTTPContent: content, HTTPInterface: i.Name})
			if !s.Addr().IP.IsLoopback() {
				t.Errorf("%s: listens on %s", i.Name, s.Addr())
			}
		}
	}
}

func TestMissingFolderServesNothing(t *testing.T) {
	s, events := start(t, Config{HTTPDirectory: filepath.Join(t.TempDir(), "none")})
	if status, _ := get(t, s, "/a"); status != 404 || !strings.Contains(events.Said(), "is not there") {
		t.Errorf("%d, said %s", status, events.Said())
	}
}

func TestCheck(t *testing.T) {
	content := map[string]string{"/a": ""}
	for name, c := range map[string]struct {
		cfg  Config
		want string
	}{
		"nothing":             {Config{}, ""},
		"fine":                {Config{HTTPContent: content, HTTPPortMin: 8080, HTTPPortMax: 8080, HTTPBindAddress: "::1", HTTPNetworkProtocol: "tcp6"}, ""},
		"both":                {Config{HTTPDirectory: ".", HTTPContent: content}, "Error Attributes exclude each other"},
		"both addresses":      {Config{HTTPInterface: "lo", HTTPBindAddress: "127.0.0.1"}, "Error Attributes exclude each other"},
		"min over max":        {Config{HTTPPortMin: 9, HTTPPortMax: 8}, "Error Empty range of ports"},
		"min over default":    {Config{HTTPPortMin: 9001}, "Error Empty range of ports"},
		"no port":             {Config{HTTPPortMax: 65536}, "Error Invalid port"},
		"missing folder":      {Config{HTTPDirectory: "/nowhere"}, "Warning Folder not found"},
		"file":                {Config{HTTPDirectory: "config.go"}, "Error Not a folder"},
		"path":                {Config{HTTPContent: map[string]string{"a": ""}}, "Error Invalid path"},
		"path twice":          {Config{HTTPContent: map[string]string{"/a": "", "/b/../a": ""}}, "Error Invalid path"},
		"name for an address": {Config{HTTPBindAddress: "localhost"}, "Error Invalid address"},
		"other family":        {Config{HTTPBindAddress: "::1", HTTPNetworkProtocol: "tcp4"}, "Error Protocol and address do not fit"},
	} {
		var got []string
		for _, d := range c.cfg.Check() {
			got = append(got, d.Severity.String()+" "+d.Summary)
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s: %v, want %q", name, got, c.want)
		}
	}
}
