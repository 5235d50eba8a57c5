package http

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
	"ingot/internal/diag"
)

// noted is a clock that does not wait but adds up.
type noted struct {
	component.SystemClock
	slept atomic.Int64
}

func (n *noted) Sleep(ctx context.Context, d time.Duration) error {
	n.slept.Add(int64(d))
	return context.Cause(ctx)
}

func source(clock component.Clock) dataSource {
	return dataSource{transport: http.DefaultTransport, clock: clock, limit: 1000}
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func read(t *testing.T, d component.DataSource, values map[string]cty.Value) (cty.Value, diag.List) {
	t.Helper()
	return d.Read(t.Context(), d.Schema().Object(values))
}

func TestContract(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hi") })
	missing := serve(t, http.NotFound)
	componenttest.DataSource(t, componenttest.DataSourceConfig{
		New: New,
		Valid: componenttest.Configs{
			"get":  {"url": cty.StringVal(url)},
			"head": {"url": cty.StringVal(url), "method": cty.StringVal("HEAD"), "max_retries": cty.NumberIntVal(0)},
		},
		Invalid: componenttest.Configs{
			"none":    {},
			"scheme":  {"url": cty.StringVal("ftp://x/")},
			"no host": {"url": cty.StringVal("http:///x")},
			"bad":     {"url": cty.StringVal("http://a b/")},
			"missing": {"url": cty.StringVal(missing)},
			"timeout": {"url": cty.StringVal(url), "timeout": cty.StringVal("-1s")},
			"retries": {"url": cty.StringVal(url), "max_retries": cty.NumberIntVal(-1)},
		},
	})
}

func TestRequestAndResponse(t *testing.T) {
	var got *http.Request
	var body []byte
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.Header().Add("X-Two", "a")
		w.Header().Add("X-Two", "b")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, "made")
	})
	v, diags := read(t, New(), map[string]cty.Value{
		"url": cty.StringVal(url + "/p?q=1"), "method": cty.StringVal("PUT"), "request_body": cty.StringVal("sent"),
		"request_headers": cty.MapVal(map[string]cty.Value{"X-Mine": cty.StringVal("1"), "host": cty.StringVal("example.com")}),
	})
	if len(diags) > 0 {
		t.Fatal(diags)
	}
	if got.Method != "PUT" || got.RequestURI != "/p?q=1" || got.Header.Get("X-Mine") != "1" || got.Host != "example.com" || string(body) != "sent" {
		t.Errorf("the server got %s %s, %v, host %s, %q", got.Method, got.RequestURI, got.Header, got.Host, body)
	}
	for _, name := range []string{"request_headers", "response_headers"} {
		if h := v.GetAttr(name).Index(cty.StringVal("X-Two")); h.AsString() != "a, b" {
			t.Errorf("%s: got %#v", name, h)
		}
	}
	if v.GetAttr("body").AsString() != "made" || !v.GetAttr("status_code").RawEquals(cty.NumberIntVal(201)) || v.GetAttr("url").AsString() != url+"/p?q=1" {
		t.Errorf("got %#v", v)
	}
}

// TestW57HTTPDataSource: an attempt has a time limit, a passing failure is tried
// again, the headers of the response are the response's, and what is odd about
// it is a finding of the template.
func TestW57HTTPDataSource(t *testing.T) {
	var calls atomic.Int32
	release := make(chan struct{})
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		switch calls.Add(1) {
		case 1:
			<-release // longer than the time limit
		case 2:
			w.WriteHeader(http.StatusBadGateway)
		default:
			w.Header().Set("Content-Type", "application/octet-stream")
			w.Header().Set("X-Reply", "yes")
			fmt.Fprint(w, "text")
		}
	})
	t.Cleanup(func() { close(release) })
	clock := new(noted)
	v, diags := read(t, source(clock), map[string]cty.Value{
		"url": cty.StringVal(url), "timeout": cty.StringVal("100ms"),
		"request_headers": cty.MapVal(map[string]cty.Value{"X-Request": cty.StringVal("mine")}),
	})
	if diags.HasErrors() || calls.Load() != 3 || clock.slept.Load() == 0 {
		t.Fatalf("%d attempts, waited %s: %v", calls.Load(), time.Duration(clock.slept.Load()), diags.Err())
	}
	headers := v.GetAttr("response_headers").AsValueMap()
	if _, sent := headers["X-Request"]; sent || headers["X-Reply"] != cty.StringVal("yes") {
		t.Errorf("response_headers = %#v", headers)
	}
	if len(diags) != 1 || diags[0].Severity != diag.Warning || !strings.Contains(diags[0].Detail, "application/octet-stream") {
		t.Errorf("findings: %v", diags)
	}
}

// TestRetries: passing failures are tried again, others and what must not be
// sent twice are not.
func TestRetries(t *testing.T) {
	for name, c := range map[string]struct {
		method   string
		status   int
		attempts int32
	}{
		"server error":         {"GET", 502, 4},
		"not found":            {"GET", 404, 1},
		"forbidden":            {"GET", 403, 1},
		"not implemented":      {"GET", 501, 1},
		"throttled":            {"GET", 429, 4},
		"post, server error":   {"POST", 502, 1},
		"post, throttled":      {"POST", 429, 4},
		"post, not available":  {"POST", 503, 4},
		"patch, server error":  {"PATCH", 500, 1},
		"delete, server error": {"DELETE", 500, 4},
	} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int32
			url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				calls.Add(1)
				http.Error(w, "the reason", c.status)
			})
			_, diags := read(t, source(new(noted)), map[string]cty.Value{"url": cty.StringVal(url), "method": cty.StringVal(c.method)})
			if !diags.HasErrors() || !strings.Contains(diags.Err().Error(), "the reason") || !strings.Contains(diags.Err().Error(), fmt.Sprint(c.status)) {
				t.Errorf("got %v", diags.Err())
			}
			if calls.Load() != c.attempts {
				t.Errorf("%d attempts, want %d", calls.Load(), c.attempts)
			}
		})
	}
}

func TestRecovers(t *testing.T) {
	var calls atomic.Int32
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		switch calls.Add(1) {
		case 1:
			w.Header().Set("Retry-After", "100")
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2:
			// A broken connection.
			conn, _, _ := w.(http.Hijacker).Hijack()
			conn.Close()
		default:
			fmt.Fprint(w, "at last")
		}
	})
	clock := new(noted)
	v, diags := read(t, source(clock), map[string]cty.Value{"url": cty.StringVal(url)})
	if diags.HasErrors() || v.GetAttr("body").AsString() != "at last" {
		t.Fatalf("got %v", diags.Err())
	}
	if slept := time.Duration(clock.slept.Load()); slept < 100*time.Second || slept > 105*time.Second {
		t.Errorf("waited %s; the server asked for 100s", slept)
	}
}

func TestTimeout(t *testing.T) {
	stop := make(chan struct{})
	url := serve(t, func(http.ResponseWriter, *http.Request) { <-stop })
	t.Cleanup(func() { close(stop) })
	_, diags := read(t, source(new(noted)), map[string]cty.Value{"url": cty.StringVal(url), "timeout": cty.StringVal("20ms"), "max_retries": cty.NumberIntVal(1)})
	if !diags.HasErrors() || !strings.Contains(diags.Err().Error(), "no complete answer within 20ms") {
		t.Errorf("got %v", diags.Err())
	}
}

func TestRefusedConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	clock := new(noted)
	_, diags := read(t, source(clock), map[string]cty.Value{"url": cty.StringVal("http://user:secret@" + addr), "method": cty.StringVal("POST")})
	if !diags.HasErrors() || clock.slept.Load() == 0 {
		t.Errorf("got %v after %s", diags.Err(), time.Duration(clock.slept.Load()))
	}
	if strings.Contains(diags.Err().Error(), "secret") {
		t.Errorf("the password is in %v", diags.Err())
	}
}

func TestUntrustedCertificate(t *testing.T) {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	s.Config.ErrorLog = nil
	t.Cleanup(s.Close)
	clock := new(noted)
	_, diags := read(t, source(clock), map[string]cty.Value{"url": cty.StringVal(s.URL)})
	if !diags.HasErrors() || !strings.Contains(diags.Err().Error(), "certificate") || clock.slept.Load() != 0 {
		t.Errorf("got %v after %s", diags.Err(), time.Duration(clock.slept.Load()))
	}
}

func TestBodies(t *testing.T) {
	for name, c := range map[string]struct {
		kind, body string
		warns      bool
		fails      string
	}{
		"text":      {"text/plain", "x", false, ""},
		"json":      {"application/vnd.api+json; charset=utf-8", "{}", false, ""},
		"unlabeled": {"application/octet-stream", "x", true, ""},
		"binary":    {"application/octet-stream", "\xff\xfe", false, "not text"},
		"too large": {"text/plain", strings.Repeat("x", 1001), false, "larger than 1000 bytes"},
		"just fits": {"text/plain", strings.Repeat("x", 1000), false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", c.kind)
				fmt.Fprint(w, c.body)
			})
			v, diags := read(t, source(new(noted)), map[string]cty.Value{"url": cty.StringVal(url)})
			if c.fails != "" {
				if !diags.HasErrors() || !strings.Contains(diags.Err().Error(), c.fails) {
					t.Errorf("got %v", diags.Err())
				}
				return
			}
			if diags.HasErrors() || v.GetAttr("body").AsString() != c.body || (len(diags) > 0) != c.warns {
				t.Errorf("got %#v, %v", v, diags)
			}
		})
	}
}
