package otlp

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"encoding/pem"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"ingot/internal/history"
)

var update = flag.Bool("update", false, "write the golden files")

func env(variables map[string]string) func(string) string {
	return func(name string) string { return variables[name] }
}

func TestSettings(t *testing.T) {
	const general, own = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	name := []Attribute{{serviceName, "ingot"}}
	for _, c := range []struct {
		title string
		env   map[string]string
		want  Settings
		err   string
	}{
		{"nothing set", nil, Settings{}, ""},
		{"general endpoint", map[string]string{general: "http://c:4318/"}, Settings{Endpoint: "http://c:4318/v1/traces", Timeout: defaultTimeout, Resource: name}, ""},
		{"with a path", map[string]string{general: "https://c/otlp"}, Settings{Endpoint: "https://c/otlp/v1/traces", Timeout: defaultTimeout, Resource: name}, ""},
		{"endpoint of traces", map[string]string{general: "http://no", own: "http://c/x", "OTEL_EXPORTER_OTLP_TIMEOUT": "7", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "500"},
			Settings{Endpoint: "http://c/x", Timeout: 500 * time.Millisecond, Resource: name}, ""},
		{"all of it", map[string]string{
			general: "http://c", "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Basic%20abc=, x-y = 1 ", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
			"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_RESOURCE_ATTRIBUTES": "service.name=other,team=a%2Cb", "OTEL_SERVICE_NAME": "images",
			"TRACEPARENT": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "OTEL_TRACES_EXPORTER": "otlp",
		}, Settings{
			Endpoint: "http://c/v1/traces", Timeout: defaultTimeout, Gzip: true, Headers: map[string]string{"authorization": "Basic abc=", "x-y": "1"},
			Resource: []Attribute{{serviceName, "images"}, {"team", "a,b"}}, Parent: Parent{"0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"},
		}, ""},
		{"service among the attributes", map[string]string{general: "http://c", "OTEL_RESOURCE_ATTRIBUTES": "service.name=other", "TRACEPARENT": "00-00000000000000000000000000000000-b7ad6b7169203331-01"},
			Settings{Endpoint: "http://c/v1/traces", Timeout: defaultTimeout, Resource: []Attribute{{serviceName, "other"}}}, ""},
		{"switched off", map[string]string{general: "nonsense", "OTEL_SDK_DISABLED": "TRUE"}, Settings{}, ""},
		{"no exporter", map[string]string{general: "http://c", "OTEL_TRACES_EXPORTER": "none"}, Settings{}, ""},
		{"other exporter", map[string]string{general: "http://c", "OTEL_TRACES_EXPORTER": "zipkin"}, Settings{}, "OTEL_TRACES_EXPORTER"},
		{"grpc", map[string]string{general: "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, Settings{}, "only http/json"},
		{"no URL", map[string]string{general: "localhost:4318"}, Settings{}, "want a URL"},
		{"time-out", map[string]string{general: "http://c", "OTEL_EXPORTER_OTLP_TIMEOUT": "10s"}, Settings{}, "milliseconds"},
		{"compression", map[string]string{general: "http://c", "OTEL_EXPORTER_OTLP_COMPRESSION": "zstd"}, Settings{}, "gzip"},
		{"headers", map[string]string{general: "http://c", "OTEL_EXPORTER_OTLP_HEADERS": "pa55"}, Settings{}, "HEADERS"},
		{"attributes", map[string]string{general: "http://c", "OTEL_RESOURCE_ATTRIBUTES": "x"}, Settings{}, "ATTRIBUTES"},
	} {
		t.Run(c.title, func(t *testing.T) {
			got, err := FromEnvironment(env(c.env))
			if (err == nil) != (c.err == "") || err != nil && (!strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "pa55")) {
				t.Fatalf("error %v, want %q", err, c.err)
			}
			if len(got.Headers) == 0 {
				got.Headers = nil
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("\n got %+v\nwant %+v", got, c.want)
			}
		})
	}
}

// failedRun is the run that the report is tested with.
func failedRun(t *testing.T) *history.Run {
	t.Helper()
	f, err := os.Open("../report/testdata/failed.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	run, err := history.Read(f, history.Options{}, false)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// TestTrace compares a whole trace, and checks what a receiver relies on: ids are
// unique, and each span lies inside its parent's trace.
func TestTrace(t *testing.T) {
	data, err := Encode(Settings{Resource: []Attribute{{serviceName, "ingot"}}}, failedRun(t))
	if err != nil {
		t.Fatal(err)
	}
	var r request
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	pretty, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/failed.json"
	if *update {
		if err := os.WriteFile(golden, append(pretty, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || string(want) != string(pretty)+"\n" {
		t.Errorf("%s is out of date (%v): run the test with -update, and look at it\n%s", golden, err, pretty)
	}
	spans := r.ResourceSpans[0].ScopeSpans[0].Spans
	seen := map[string]bool{}
	for i, s := range spans {
		if !isID(s.TraceID, 32) || !isID(s.SpanID, 16) || s.TraceID != spans[0].TraceID || seen[s.SpanID] || s.End < s.Start {
			t.Errorf("%+v", s)
		}
		if (i == 0) != (s.Parent == "") || i > 0 && !seen[s.Parent] {
			t.Errorf("%s has the parent %q", s.Name, s.Parent)
		}
		seen[s.SpanID] = true
	}
}

func TestTraceOfParent(t *testing.T) {
	parent := Parent{strings.Repeat("a", 32), strings.Repeat("b", 16)}
	data, err := Encode(Settings{Parent: parent}, &history.Run{})
	if err != nil || !strings.Contains(string(data), `"traceId":"`+parent.Trace) || !strings.Contains(string(data), `"parentSpanId":"`+parent.Span) {
		t.Errorf("%s, %v", data, err)
	}
}

type noSleep struct{ times int }

func (n *noSleep) Sleep(ctx context.Context, _ time.Duration) error {
	n.times++
	return context.Cause(ctx)
}

func TestSend(t *testing.T) {
	run := failedRun(t)
	for _, c := range []struct {
		name    string
		answers []int
		gzip    bool
		sleeps  int
		err     string
	}{
		{"taken", []int{200}, false, 0, ""},
		{"compressed", []int{202}, true, 0, ""},
		{"busy, then taken", []int{503, 429, 200}, false, 2, ""},
		{"always busy", []int{503, 503, 503, 503}, false, 3, "503"},
		{"refused", []int{401}, false, 0, "401"},
		{"not understood", []int{415}, false, 0, "415 Unsupported Media Type: because"},
		{"sent elsewhere", []int{307}, false, 0, "307"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var bodies []string
			server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body := io.Reader(r.Body)
				if r.Header.Get("Content-Encoding") == "gzip" {
					var err error
					if body, err = gzip.NewReader(r.Body); err != nil {
						t.Error(err)
						return
					}
				}
				data, err := io.ReadAll(body)
				if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("X-Key") != "k" || r.Header.Get("Content-Type") != "application/json" {
					t.Errorf("%v %s %v", err, r.URL, r.Header)
				}
				code := c.answers[min(len(bodies), len(c.answers)-1)]
				bodies = append(bodies, string(data))
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(code)
				_, _ = io.WriteString(w, "because\n")
			}))
			defer server.Close()
			ca := filepath.Join(t.TempDir(), "ca.pem")
			if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
				t.Fatal(err)
			}
			s := Settings{Endpoint: server.URL + "/v1/traces", Headers: map[string]string{"X-Key": "k"}, Timeout: time.Minute, Gzip: c.gzip, Certificate: ca}
			var clock noSleep
			err := Send(t.Context(), s, run, &clock)
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
			if len(bodies) != len(c.answers) || clock.times != c.sleeps || !strings.Contains(bodies[0], `"name":"build docker.web"`) {
				t.Errorf("%d requests, %d pauses: %.200s", len(bodies), clock.times, bodies[0])
			}
		})
	}
}

func TestSendGivesUp(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	s := Settings{Endpoint: server.URL, Timeout: 20 * time.Millisecond}
	if err := Send(t.Context(), s, &history.Run{}, &noSleep{}); err == nil {
		t.Error("it waited for an answer that did not come")
	}
	for _, s := range []Settings{{Certificate: "missing.pem"}, {Certificate: "otlp_test.go"}, {ClientCertificate: "missing.pem"}} {
		s.Endpoint, s.Timeout = server.URL, time.Minute
		if err := Send(t.Context(), s, &history.Run{}, &noSleep{}); err == nil || !strings.Contains(err.Error(), "CERTIFICATE") {
			t.Errorf("%+v: %v", s, err)
		}
	}
}
