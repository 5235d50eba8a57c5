//go:build unix

package serve_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/builder/file"
	"ingot/internal/comm/local"
	"ingot/internal/comm/none"
	"ingot/internal/component"
	"ingot/internal/component/componenttest"
	nulldata "ingot/internal/datasource/null"
	"ingot/internal/journal"
	"ingot/internal/plugin/packerwire"
	"ingot/internal/plugin/serve"
	"ingot/internal/plugin/wirespec"
	"ingot/internal/postproc/checksum"
	"ingot/internal/postproc/compress"
	"ingot/internal/provision/shell"
	"ingot/internal/provision/sleep"
	"ingot/internal/reap"
)

// set is the components of a test.
type set struct {
	builders       map[string]component.Builder
	provisioners   map[string]component.Provisioner
	postProcessors map[string]component.PostProcessor
	dataSources    map[string]component.DataSource
}

func (s set) Manifest() component.Manifest {
	return component.Manifest{
		Builders: names(s.builders), Provisioners: names(s.provisioners),
		PostProcessors: names(s.postProcessors), DataSources: names(s.dataSources),
	}
}
func (s set) Builder(name string) component.Builder             { return s.builders[name] }
func (s set) Provisioner(name string) component.Provisioner     { return s.provisioners[name] }
func (s set) PostProcessor(name string) component.PostProcessor { return s.postProcessors[name] }
func (s set) DataSource(name string) component.DataSource       { return s.dataSources[name] }
func (s set) Close() error                                      { return nil }

func names[V any](m map[string]V) []string {
	out := []string{}
	for name := range m {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func ours() set {
	return set{
		builders:       map[string]component.Builder{"file": file.New(), "machine": machineBuilder{}},
		provisioners:   map[string]component.Provisioner{"shell": shell.New(), "sleep": sleep.New(), "odd": odd{}},
		postProcessors: map[string]component.PostProcessor{"checksum": checksum.New(), "compress": compress.New(), "same": same{}},
		dataSources:    map[string]component.DataSource{"null": nulldata.New()},
	}
}

// bench is a plugin in this process with its host.
type bench struct {
	conn *packerwire.Conn
	main *packerwire.Caller
	runs *journal.MemStore
	log  *lockedBuffer
	enc  wirespec.Encoding
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func options(t testing.TB, runs *journal.MemStore, log io.Writer) serve.Options {
	o := optionsIn(t.TempDir(), runs)
	o.Err = log
	return o
}

// optionsIn has everything below one folder.
func optionsIn(dir string, runs *journal.MemStore) serve.Options {
	reapers := journal.NewReapers(reap.Files{}, reap.Processes{})
	return serve.Options{
		Components: ours(), Version: "1.2.3", CoreVersion: "1.16.0", Reapers: reapers,
		Dialers: map[string]component.Dialer{"none": none.NewDialer()},
		OpenJournal: func(ctx context.Context) (serve.Journal, error) {
			l, err := runs.Create(ctx, journal.ThisProcess(journal.NewToken(), time.Now()))
			if err != nil {
				return serve.Journal{}, err
			}
			return serve.Journal{
				RunID: l.RunID(), Ledger: journal.NewLedger(l, reapers, component.SystemClock{}),
				Close: func(ctx context.Context) error {
					if st, err := l.State(); err == nil && len(st.Open) == 0 {
						return runs.Remove(ctx, l)
					}
					return l.Close()
				},
			}, nil
		},
		Home: dir, TempDir: dir, CacheDir: filepath.Join(dir, "cache"), ReportDir: filepath.Join(dir, "reports"),
		Getenv: func(string) string { return "" }, Out: io.Discard, Err: io.Discard,
	}
}

// connect starts serving a component and connects a host to it.
func connect(t testing.TB, kind, name string, enc wirespec.Encoding) *bench {
	t.Helper()
	a, b := net.Pipe()
	s := &bench{runs: &journal.MemStore{}, log: &lockedBuffer{}, enc: enc}
	o := options(t, s.runs, s.log)
	done := make(chan error, 1)
	go func() { done <- serve.ServeConn(context.Background(), kind, name, enc, a, o) }()
	var err error
	if s.conn, err = packerwire.NewClient(b, nil); err != nil {
		t.Fatal(err)
	}
	stream, err := s.conn.Dial(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	s.main = packerwire.NewCaller(stream)
	t.Cleanup(func() {
		_ = s.main.Close()
		if err := <-done; err != nil {
			t.Errorf("serving ended with %v", err)
		}
		_ = s.conn.Close()
		if left, err := s.runs.List(context.Background()); err != nil || len(left) > 0 {
			t.Errorf("journals are left: %+v, %v", left, err)
		}
	})
	return s
}

// each runs a test in both encodings.
func each(t *testing.T, f func(t *testing.T, enc wirespec.Encoding)) {
	for _, enc := range []wirespec.Encoding{wirespec.Protobuf, wirespec.Gob} {
		t.Run(enc.String(), func(t *testing.T) { f(t, enc) })
	}
}

// configs is the list that a host of an HCL2 template sends.
func configs(t testing.TB, values map[string]cty.Value) []any {
	t.Helper()
	doc, err := wirespec.EncodeConfig(cty.ObjectVal(values))
	if err != nil {
		t.Fatal(err)
	}
	return []any{map[string]any{
		"packer_build_name": "web", "packer_builder_type": "probe", "packer_core_version": "1.16.0",
		"packer_debug": "false", "packer_force": "false", "packer_on_error": "", "packer_sensitive_variables": []any{},
	}, doc}
}

// screen is the Ui of a host.
type screen struct {
	mu    sync.Mutex
	lines []string
}

func (s *screen) add(kind, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, kind+": "+text)
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines, "\n")
}

func (s *screen) Say(text string)                                 { s.add("say", text) }
func (s *screen) Error(text string)                               { s.add("error", text) }
func (s *screen) Machine(category string, args []string)          { s.add("machine", category) }
func (s *screen) Track(string, int64, int64) packerwire.BarServer { return noBar{} }
func (s *screen) Ask(context.Context, string) (string, error) {
	return "", errors.New("no available tty")
}

type noBar struct{}

func (noBar) Add(int64) {}
func (noBar) Close()    {}

// offer serves services on a stream of the host.
func (s *bench) offer(t testing.TB, services packerwire.Services) uint32 {
	id := s.conn.NextID()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- services.ServeOn(ctx, s.conn, id) }()
	t.Cleanup(func() { cancel(); <-done })
	return id
}

func (s *bench) provision(t testing.TB, ctx context.Context, data map[string]any, on component.Communicator) (string, error) {
	ui := &screen{}
	services := packerwire.Services{}
	services.AddUI(ui)
	t.Cleanup(services.AddCommunicator(s.conn, on))
	err := packerwire.Provisioner{Caller: s.main}.Provision(ctx, data, s.offer(t, services), time.Minute, nil)
	return ui.text(), err
}

func machine(t testing.TB) component.Communicator {
	run, _, _ := componenttest.NewRun(t)
	m := local.New(run.Journal)
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func TestServedProvisioner(t *testing.T) {
	each(t, func(t *testing.T, enc wirespec.Encoding) {
		s := connect(t, "provisioner", "shell", enc)
		p := packerwire.Provisioner{Caller: s.main}
		data, err := p.ConfigSpec(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		spec, err := enc.DecodeSchema(data)
		if err != nil {
			t.Fatal(err)
		}
		if len(spec.Attributes) != len(shell.New().Schema().Attributes) {
			t.Errorf("the schema has %d attributes, want %d", len(spec.Attributes), len(shell.New().Schema().Attributes))
		}
		// What is wrong is said in the words that our users read.
		err = p.Prepare(t.Context(), configs(t, map[string]cty.Value{"inlin": cty.StringVal("x")}))
		if err == nil || !strings.Contains(err.Error(), `Did you mean "inline"?`) {
			t.Errorf("a typo: %v", err)
		}
		// First with what is not known, then with what is.
		inline := func(text string) []any {
			return configs(t, map[string]cty.Value{"inline": cty.ListVal([]cty.Value{cty.StringVal(text)})})
		}
		if err := p.Prepare(t.Context(), inline("echo id <unknown>")); err != nil {
			t.Fatal(err)
		}
		if err := p.Prepare(t.Context(), inline("echo id 7; echo {{build `ID`}} {{build_name}}; echo oops >&2; echo http=$PACKER_HTTP_ADDR.")); err != nil {
			t.Fatal(err)
		}
		facts := map[string]any{"ID": "i-7", "ConnType": "ssh", "Port": int64(22), "SSHAgentAuth": false, "PackerHTTPAddr": "ERR_HTTP_ADDR_NOT_IMPLEMENTED_BY_BUILDER"}
		for range 2 { // a host may try again
			shown, err := s.provision(t, t.Context(), facts, machine(t))
			if err != nil {
				t.Fatalf("%v\n%s\n%s", err, shown, s.log)
			}
			for _, want := range []string{"say: id 7", "say: i-7 web", "error: oops", "say: http=."} {
				if !strings.Contains(shown, want) {
					t.Errorf("%q is missing in:\n%s", want, shown)
				}
			}
		}
	})
}

func TestServedProvisionerFails(t *testing.T) {
	s := connect(t, "provisioner", "shell", wirespec.Protobuf)
	p := packerwire.Provisioner{Caller: s.main}
	if _, err := s.provision(t, t.Context(), nil, machine(t)); err == nil || !strings.Contains(err.Error(), "not prepared") {
		t.Errorf("without Prepare: %v", err)
	}
	list := configs(t, map[string]cty.Value{"inline": cty.ListVal([]cty.Value{cty.StringVal("exit 3")})})
	if err := p.Prepare(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	_, err := s.provision(t, t.Context(), nil, machine(t))
	if err == nil || !strings.Contains(err.Error(), "non-zero exit status: 3") || strings.Contains(err.Error(), "provisioner.shell") {
		t.Errorf("a failing script: %v", err)
	}
}

func TestServedProvisionerIsCancelled(t *testing.T) {
	s := connect(t, "provisioner", "sleep", wirespec.Protobuf)
	p := packerwire.Provisioner{Caller: s.main}
	if err := p.Prepare(t.Context(), configs(t, map[string]cty.Value{"duration": cty.StringVal("1h")})); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		for t.Context().Err() == nil { // until the step's run has begun
			if runs, err := s.runs.List(t.Context()); err != nil || len(runs) > 0 {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	_, err := s.provision(t, ctx, nil, machine(t))
	if !packerwire.IsRemote(err) || !strings.Contains(err.Error(), "cancelled by the other side") {
		t.Errorf("got %v", err)
	}
}

// TestHostOfJSONTemplate sends what the host of a legacy template does: plain maps
// with actions in them, and placeholders for what the machine will tell.
func TestHostOfJSONTemplate(t *testing.T) {
	s := connect(t, "provisioner", "shell", wirespec.Gob)
	p := packerwire.Provisioner{Caller: s.main}
	list := []any{
		map[string]any{"type": "shell", "inline": "echo {{user `who`}} {{build `ID`}}", "max_retries": "bad"},
		map[string]any{"max_retries": nil},
	}
	core := map[string]any{"packer_build_name": "web", "packer_debug": false, "packer_user_variables": map[string]any{"who": "me"}}
	placeholders := map[string]any{
		"ID":            "Build_ID. To set this dynamically in the Packer template, you must use the `build` function",
		"PackerRunUUID": "Build_PackerRunUUID. To set this dynamically in the Packer template, you must use the `build` function",
	}
	err := p.Prepare(t.Context(), []any{list[0], core, placeholders})
	if err == nil || !strings.Contains(err.Error(), `no argument "max_retries"`) {
		t.Errorf("an unknown argument: %v", err)
	}
	delete(list[0].(map[string]any), "max_retries")
	override := map[string]any{"environment_vars": []any{"A=1"}, "inline": []any{"echo {{user `who`}} {{build `ID`}} $A"}}
	if err := p.Prepare(t.Context(), []any{list[0], override, core, placeholders}); err != nil {
		t.Fatal(err)
	}
	shown, err := s.provision(t, t.Context(), map[string]any{"ID": "i-7"}, machine(t))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(shown, "say: me i-7 1") {
		t.Errorf("shown:\n%s", shown)
	}
}

func TestServedDataSource(t *testing.T) {
	each(t, func(t *testing.T, enc wirespec.Encoding) {
		s := connect(t, "datasource", "null", enc)
		d := packerwire.DataSource{Caller: s.main}
		out, err := d.OutputSpec(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		spec, err := enc.DecodeSchema(out)
		if err != nil {
			t.Fatal(err)
		}
		if !spec.ImpliedType().Equals(nulldata.New().Result()) {
			t.Errorf("the result is %#v", spec.ImpliedType())
		}
		if err := d.Configure(t.Context(), nil); err == nil || !strings.Contains(err.Error(), `needs the argument "input"`) {
			t.Errorf("without an argument: %v", err)
		}
		if _, err := d.Execute(t.Context()); err == nil {
			t.Error("it was read without a configuration")
		}
		if err := d.Configure(t.Context(), configs(t, map[string]cty.Value{"input": cty.StringVal("hello")})); err != nil {
			t.Fatal(err)
		}
		value, err := d.Execute(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		v, err := enc.DecodeResult(value)
		if err != nil || !v.RawEquals(cty.ObjectVal(map[string]cty.Value{"output": cty.StringVal("hello")})) {
			t.Errorf("got %#v, %v", v, err)
		}
	})
}

// packer is what a host does while a builder runs.
type packer struct {
	screen
	bench *bench
	calls []string
	data  map[string]any
	// on is what it does with the machine.
	on func(ctx context.Context, m component.Communicator) error
}

func (h *packer) Run(ctx context.Context, name string, data map[string]any, stream uint32) error {
	h.mu.Lock()
	h.calls = append(h.calls, name)
	h.mu.Unlock()
	if name != packerwire.ProvisionHook {
		return nil
	}
	h.data = data
	conn, err := h.bench.conn.Dial(ctx, stream)
	if err != nil {
		return err
	}
	c := packerwire.NewCaller(conn)
	defer c.Close()
	if err := (packerwire.UI{Caller: c}).Say(ctx, "from a provisioner"); err != nil {
		return err
	}
	return h.on(ctx, packerwire.NewCommunicator(h.bench.conn, c, packerwire.CommunicatorOptions{Shell: component.POSIX}))
}

func (s *bench) build(t testing.TB, ctx context.Context, on func(context.Context, component.Communicator) error) (*packer, uint32, error) {
	h := &packer{bench: s, on: on}
	services := packerwire.Services{}
	services.AddUI(h)
	services.AddHook(h)
	id, err := packerwire.Builder{Caller: s.main}.Run(ctx, s.offer(t, services), time.Minute, nil)
	return h, id, err
}

func TestServedBuilder(t *testing.T) {
	each(t, func(t *testing.T, enc wirespec.Encoding) {
		s := connect(t, "builder", "machine", enc)
		b := packerwire.Builder{Caller: s.main}
		prepared, err := b.Prepare(t.Context(), configs(t, map[string]cty.Value{"file": cty.StringVal("{{nonsense}}")}))
		if err == nil {
			t.Errorf("nonsense was accepted: %+v", prepared)
		}
		target := filepath.Join(t.TempDir(), "made")
		prepared, err = b.Prepare(t.Context(), configs(t, map[string]cty.Value{"file": cty.StringVal(target)}))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(prepared.GeneratedVars, []string{"Colour", "ID"}) || len(prepared.Warnings) != 1 {
			t.Errorf("prepared: %+v", prepared)
		}
		h, id, err := s.build(t, t.Context(), func(ctx context.Context, m component.Communicator) error {
			_, err := m.Run(ctx, component.Command{Line: "echo provisioned > " + target})
			return err
		})
		if err != nil {
			t.Fatalf("%v\n%s", err, s.log)
		}
		if h.data["ID"] != "machine-1" || h.data["Colour"] != "red" || h.data["ConnType"] != "local" || h.data["PackerRunUUID"] == "" ||
			h.data["Port"] != int64(0) || h.data["PackerHTTPAddr"] != "ERR_HTTP_ADDR_NOT_IMPLEMENTED_BY_BUILDER" {
			t.Errorf("the data of the hook: %v", h.data)
		}
		if text := h.text(); !strings.Contains(text, "say: the machine is there") || !strings.Contains(text, "say: from a provisioner") || strings.Contains(text, "hidden-word") {
			t.Errorf("shown:\n%s", text)
		}
		stream, err := s.conn.Dial(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		a := packerwire.Artifact{Caller: packerwire.NewCaller(stream)}
		checkArtifact(t, a, target)
	})
}

func checkArtifact(t *testing.T, a packerwire.Artifact, target string) {
	t.Helper()
	files, err := a.Files(t.Context())
	if err != nil || !slices.Equal(files, []string{target}) {
		t.Errorf("files %q, %v", files, err)
	}
	if producer, err := a.BuilderID(t.Context()); err != nil || producer != "test.machine" {
		t.Errorf("made by %q, %v", producer, err)
	}
	state, err := a.State(t.Context(), packerwire.GeneratedData)
	data, _ := state.(map[string]any)
	if err != nil || data["ID"] != "machine-1" || data["Colour"] != "red" {
		t.Errorf("generated data %v, %v", state, err)
	}
	if nothing, err := a.State(t.Context(), "other"); nothing != nil || err != nil {
		t.Errorf("another state: %v, %v", nothing, err)
	}
	if err := a.Destroy(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(target); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the destroyed artifact: %v", err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

func TestServedBuilderWhoseProvisioningFails(t *testing.T) {
	s := connect(t, "builder", "machine", wirespec.Protobuf)
	target := filepath.Join(t.TempDir(), "made")
	if _, err := (packerwire.Builder{Caller: s.main}).Prepare(t.Context(), configs(t, map[string]cty.Value{"file": cty.StringVal(target)})); err != nil {
		t.Fatal(err)
	}
	h, id, err := s.build(t, t.Context(), func(context.Context, component.Communicator) error { return errors.New("the script failed") })
	if id != 0 || err == nil || err.Error() != "the script failed" {
		t.Errorf("artifact %d, %v", id, err)
	}
	if !slices.Equal(h.calls, []string{packerwire.ProvisionHook, packerwire.CleanupHook}) {
		t.Errorf("hooks: %q", h.calls)
	}
	if _, err := os.Stat(target); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what the build held is still there: %v", err)
	}
}

func TestServedBuilderIsCancelled(t *testing.T) {
	s := connect(t, "builder", "machine", wirespec.Protobuf)
	target := filepath.Join(t.TempDir(), "made")
	if _, err := (packerwire.Builder{Caller: s.main}).Prepare(t.Context(), configs(t, map[string]cty.Value{"file": cty.StringVal(target)})); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	hookEnded := make(chan error, 1)
	_, _, err := s.build(t, ctx, func(ctx context.Context, _ component.Communicator) error {
		cancel()
		<-ctx.Done()
		hookEnded <- context.Cause(ctx)
		return context.Cause(ctx)
	})
	if err == nil || <-hookEnded == nil {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(target); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what the build held is still there: %v", err)
	}
}

// TestHostVanishes: what is held is released when the connection ends.
func TestHostVanishes(t *testing.T) {
	target := filepath.Join(t.TempDir(), "made")
	t.Cleanup(func() { // after serving has ended
		if _, err := os.Stat(target); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("what the build held is still there: %v", err)
		}
	})
	s := connect(t, "builder", "machine", wirespec.Protobuf)
	if _, err := (packerwire.Builder{Caller: s.main}).Prepare(t.Context(), configs(t, map[string]cty.Value{"file": cty.StringVal(target)})); err != nil {
		t.Fatal(err)
	}
	_, _, err := s.build(t, t.Context(), func(ctx context.Context, _ component.Communicator) error {
		if _, err := os.Stat(target); err != nil {
			t.Errorf("there is no machine: %v", err)
		}
		go s.conn.Close()
		<-ctx.Done()
		return context.Cause(ctx)
	})
	if err == nil {
		t.Error("the call has succeeded")
	}
}

// given is the artifact of a host.
type given struct {
	file      string
	destroyed bool
}

func (g *given) BuilderID() string { return "other.builder" }
func (g *given) ID() string        { return "a-1" }
func (g *given) Summary() string   { return "one file" }
func (g *given) Files() []string   { return []string{g.file} }
func (g *given) State(key string) any {
	if key == packerwire.GeneratedData {
		return map[string]any{"ID": "i-7", "Port": int64(22)}
	}
	return nil
}

func (g *given) Destroy(context.Context) error {
	g.destroyed = true
	return nil
}

func (s *bench) process(t testing.TB, a *given) (packerwire.Processed, *screen, error) {
	ui := &screen{}
	services := packerwire.Services{}
	services.AddUI(ui)
	services.AddArtifact(a)
	r, err := packerwire.PostProcessor{Caller: s.main}.PostProcess(t.Context(), s.offer(t, services), time.Minute, nil)
	return r, ui, err
}

func TestServedPostProcessor(t *testing.T) {
	each(t, func(t *testing.T, enc wirespec.Encoding) {
		t.Chdir(t.TempDir())
		if err := os.WriteFile("image.raw", []byte("data"), 0o600); err != nil {
			t.Fatal(err)
		}
		s := connect(t, "post-processor", "checksum", enc)
		p := packerwire.PostProcessor{Caller: s.main}
		list := configs(t, map[string]cty.Value{
			"checksum_types": cty.ListVal([]cty.Value{cty.StringVal("sha256")}), "output": cty.StringVal("sums-{{build `ID`}}.{{.ChecksumType}}"),
		})
		if err := p.Configure(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		r, ui, err := s.process(t, &given{file: "image.raw"})
		if err != nil {
			t.Fatalf("%v\n%s", err, ui.text())
		}
		if !r.Keep || !r.ForceOverride || r.Stream == 0 {
			t.Errorf("result %+v", r)
		}
		sums, err := os.ReadFile("sums-i-7.sha256")
		if err != nil || !strings.Contains(string(sums), "3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7") {
			t.Errorf("sums %q, %v", sums, err)
		}
		stream, err := s.conn.Dial(t.Context(), r.Stream)
		if err != nil {
			t.Fatal(err)
		}
		a := packerwire.Artifact{Caller: packerwire.NewCaller(stream)}
		files, err := a.Files(t.Context())
		if err != nil || !slices.Contains(files, "sums-i-7.sha256") {
			t.Errorf("files %q, %v", files, err)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestArtifactThatIsTheHostsOwn: one that comes back is destroyed by the host.
func TestArtifactThatIsTheHostsOwn(t *testing.T) {
	s := connect(t, "post-processor", "same", wirespec.Protobuf)
	if err := (packerwire.PostProcessor{Caller: s.main}).Configure(t.Context(), configs(t, map[string]cty.Value{})); err != nil {
		t.Fatal(err)
	}
	theirs := &given{file: "image.raw"}
	r, _, err := s.process(t, theirs)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := s.conn.Dial(t.Context(), r.Stream)
	if err != nil {
		t.Fatal(err)
	}
	a := packerwire.Artifact{Caller: packerwire.NewCaller(stream)}
	if id, err := a.ID(t.Context()); id != "a-1" || err != nil {
		t.Errorf("id %q, %v", id, err)
	}
	if err := a.Destroy(t.Context()); err != nil || !theirs.destroyed {
		t.Errorf("destroyed %t, %v", theirs.destroyed, err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

func TestCommandLine(t *testing.T) {
	var out bytes.Buffer
	o := options(t, &journal.MemStore{}, io.Discard)
	o.Out = &out
	if err := serve.Main(t.Context(), []string{"describe"}, o); err != nil {
		t.Fatal(err)
	}
	want := `{"version":"1.2.3","sdk_version":"0.6.10","api_version":"x5.0","builders":["file","machine"],"post_processors":["checksum","compress","same"],"provisioners":["shell","sleep"],"datasources":["null"],"protocol_version":"v2"}` + "\n"
	if out.String() != want {
		t.Errorf("described as %s, want %s", out.String(), want)
	}
	cookie := func(name string) string {
		if name == packerwire.CookieVariable {
			return packerwire.CookieValue
		}
		return ""
	}
	for _, c := range []struct {
		args   []string
		cookie bool
		want   string
	}{
		{nil, true, "docs/plugins.md"},
		{[]string{"run"}, true, `not with "run"`},
		{[]string{"start", "builder"}, true, "start needs a kind"},
		{[]string{"start", "builder", "--protobuf", "file"}, false, "cannot be run by hand"},
		{[]string{"start", "--protobuf", "thing", "file"}, true, `"thing" is not a kind`},
		{[]string{"start", "builder", "nope", "--protobuf"}, true, `no builder "nope" in this plugin`},
		{[]string{"start", "provisioner", "odd"}, true, "the attribute any has the type dynamic, which Packer's plugin protocol cannot carry"},
	} {
		o.Getenv = func(string) string { return "" }
		if c.cookie {
			o.Getenv = cookie
		}
		out.Reset()
		err := serve.Main(t.Context(), c.args, o)
		if err == nil || !strings.Contains(err.Error(), c.want) || out.Len() > 0 {
			t.Errorf("%q: %v, printed %q", c.args, err, out.String())
		}
	}
}

// TestOneConnection: the address is told in one line, is good for one connection, and
// leaves nothing.
func TestOneConnection(t *testing.T) {
	r, w := io.Pipe()
	o := options(t, &journal.MemStore{}, io.Discard)
	o.Out = w
	o.Getenv = func(string) string { return packerwire.CookieValue }
	done := make(chan error, 1)
	go func() { done <- serve.Main(context.Background(), []string{"start", "datasource", "null"}, o) }()
	line := make([]byte, 4096)
	n, err := r.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	h, err := packerwire.ParseHandshake(string(line[:n]))
	if err != nil || h.Compatible() != nil {
		t.Fatalf("%q: %v, %v", line[:n], err, h.Compatible())
	}
	c, err := net.Dial(h.Network, h.Address)
	if err != nil {
		t.Fatal(err)
	}
	host, err := packerwire.NewClient(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := host.Dial(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial(h.Network, h.Address); err == nil {
		t.Error("a second connection was taken")
	}
	if left, err := os.ReadDir(o.TempDir); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
	_ = stream.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	_ = host.Close()
}

func TestPortsOfWindows(t *testing.T) {
	env := func(low, high string) func(string) string {
		return func(name string) string {
			return map[string]string{"PACKER_PLUGIN_MIN_PORT": low, "PACKER_PLUGIN_MAX_PORT": high}[name]
		}
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	if _, err := serve.ListenTCP(env(fmt.Sprint(port), fmt.Sprint(port))); err == nil || !strings.Contains(err.Error(), "is free") {
		t.Errorf("a range that is taken: %v", err)
	}
	l, err := serve.ListenTCP(env(fmt.Sprint(port), fmt.Sprint(port+50)))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got := l.Addr().(*net.TCPAddr).Port; got <= port || got > port+50 {
		t.Errorf("port %d is not in the range", got)
	}
	for _, bad := range []string{"0", "x", "70000"} {
		if _, err := serve.ListenTCP(env(bad, "")); err == nil || !strings.Contains(err.Error(), "is not a port") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if _, err := serve.ListenTCP(env("20", "10")); err == nil || !strings.Contains(err.Error(), "is empty") {
		t.Errorf("an empty range: %v", err)
	}
}

// FuzzConfigs: whatever a host sends as a configuration is an error or is read.
func FuzzConfigs(f *testing.F) {
	doc, err := wirespec.EncodeConfig(cty.ObjectVal(map[string]cty.Value{
		"inline": cty.ListVal([]cty.Value{cty.StringVal("a {{build `ID`}}")}), "valid_exit_codes": cty.ListVal([]cty.Value{cty.Zero}), "nope": cty.True,
	}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(doc, "inline", "x,y")
	f.Add([]byte(`{"value":{"inline":[["a"]],"env":{"a":null}},"type":["object",{"inline":["tuple",[["list","string"]]],"env":["map","bool"]}]}`), "env", "{{user `x`}}")
	o := options(f, &journal.MemStore{}, io.Discard)
	f.Fuzz(func(t *testing.T, doc []byte, key, text string) {
		p := serve.NewProvisioner("shell", o)
		list := []any{map[string]any{"packer_build_name": text}, doc, map[string]any{key: text}, map[string]any{key: []any{text, map[string]any{key: nil}}}}
		for n := range list {
			if err := p.Prepare(t.Context(), list[:n+1]); err != nil && strings.Contains(err.Error(), "internal error") {
				t.Error(err)
			}
		}
	})
}
