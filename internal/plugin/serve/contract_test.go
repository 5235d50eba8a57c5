//go:build unix

package serve_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/comm/local"
	"ingot/internal/component"
	"ingot/internal/component/componenttest"
	"ingot/internal/diag"
	"ingot/internal/journal"
	"ingot/internal/plugin/host"
	"ingot/internal/plugin/serve"
	"ingot/internal/procid"
)

// TestMain makes the program of the tests a plugin under the name of one.
func TestMain(m *testing.M) {
	if !strings.HasPrefix(filepath.Base(os.Args[0]), "packer-plugin-") {
		os.Exit(m.Run())
	}
	if err := pluginMain(); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

// through returns our own components as our host sees them behind the protocol.
func through(t *testing.T, gob bool) (*host.Provider, *host.Live) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "packer-plugin-ingot")
	if err := os.Symlink(program, path); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(path, "describe").Output()
	if err != nil {
		t.Fatal(err)
	}
	live := host.NewLive()
	p := host.Plugin{Path: path, Name: "ingot", Live: live, Core: host.Core{Version: "1.16.0"}, ForceGob: gob, Log: func(line string) { t.Log(line) }}
	if err := json.Unmarshal(out, &p.Description); err != nil {
		t.Fatal(err)
	}
	h := host.New(p)
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h, live
}

func pluginMain() error {
	o := optionsIn(os.Getenv("TMPDIR"), &journal.MemStore{})
	o.Getenv, o.Out, o.Err = os.Getenv, os.Stdout, os.Stderr
	return serve.Main(context.Background(), os.Args[1:], o)
}

func bothEncodings(t *testing.T, f func(t *testing.T, h *host.Provider, live *host.Live)) {
	for name, gob := range map[string]bool{"protobuf": false, "gob": true} {
		t.Run(name, func(t *testing.T) {
			h, live := through(t, gob)
			f(t, h, live)
		})
	}
}

func strs(s ...string) cty.Value {
	out := make([]cty.Value, len(s))
	for i, v := range s {
		out[i] = cty.StringVal(v)
	}
	return cty.ListVal(out)
}

func TestProvisionerContractThroughWire(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script.sh")
	if err := os.WriteFile(script, []byte("echo hello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bothEncodings(t, func(t *testing.T, h *host.Provider, _ *host.Live) {
		componenttest.Provisioner(t, componenttest.ProvisionerConfig{
			New: func() component.Provisioner { return describedProvisioner{h.Provisioner("shell")} },
			Valid: componenttest.Configs{
				"script": {"script": cty.StringVal(script), "use_env_var_file": cty.True, "pause_after": cty.StringVal("1ms")},
				"inline": {"inline": strs("echo hi"), "env": cty.MapVal(map[string]cty.Value{"A": cty.StringVal("b")})},
			},
			Invalid: componenttest.Configs{
				"nothing":  {},
				"variable": {"inline": strs("x"), "environment_vars": strs("A")},
			},
			Target: func(_ testing.TB, r component.Run) component.Target {
				return component.Target{Run: r, Comm: local.New(r.Journal)}
			},
		})
	})
}

func input(t testing.TB, dir string) *component.Artifact {
	path := filepath.Join(dir, "image.raw")
	if err := os.WriteFile(path, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	return &component.Artifact{Producer: "test", Summary: "a file", Files: []component.File{{Path: path, Size: 4}}}
}

func TestPostProcessorContractThroughWire(t *testing.T) {
	bothEncodings(t, func(t *testing.T, h *host.Provider, _ *host.Live) {
		componenttest.PostProcessor(t, componenttest.PostProcessorConfig{
			New: func() component.PostProcessor { return describedPostProcessor{h.PostProcessor("checksum")} },
			Valid: componenttest.Configs{
				"all": {"checksum_types": strs("md5", "sha256"), "output": cty.StringVal("sub/{{.BuildName}}.{{.ChecksumType}}")},
			},
			Invalid: componenttest.Configs{"template": {"output": cty.StringVal("{{.ChecksumType")}},
			Input:   input,
		})
	})
}

func TestDataSourceContractThroughWire(t *testing.T) {
	bothEncodings(t, func(t *testing.T, h *host.Provider, _ *host.Live) {
		componenttest.DataSource(t, componenttest.DataSourceConfig{
			New:     func() component.DataSource { return describedDataSource{h.DataSource("null")} },
			Valid:   componenttest.Configs{"text": {"input": cty.StringVal("x")}},
			Invalid: componenttest.Configs{"none": {}},
			Instant: []string{"text"},
		})
	})
}

func TestBuilderContractThroughWire(t *testing.T) {
	source := filepath.Join(t.TempDir(), "source")
	if err := os.WriteFile(source, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	bothEncodings(t, func(t *testing.T, h *host.Provider, live *host.Live) {
		var targets []string
		componenttest.Builder(t, componenttest.BuilderConfig{
			New: func() component.Builder { return describedBuilder{h.Builder("file")} },
			Valid: func(t testing.TB) componenttest.Configs {
				target := func() cty.Value {
					path := filepath.Join(t.TempDir(), "new", "target")
					targets = append(targets, path)
					return cty.StringVal(path)
				}
				return componenttest.Configs{
					"content": {"target": target(), "content": cty.StringVal("x")},
					"source":  {"target": target(), "source": cty.StringVal(source)},
				}
			},
			Invalid: componenttest.Configs{
				"nothing": {"target": cty.StringVal("")},
				"both":    {"target": cty.StringVal("/x"), "content": cty.StringVal("x"), "source": cty.StringVal("y")},
			},
			Reap: func(ctx context.Context, r component.Resource) error {
				if r.Kind == procid.Kind {
					return nil // ended with the run that lives in it
				}
				return live.Reap(ctx, r)
			},
			Exists: func(context.Context, component.Resource) bool {
				return slices.ContainsFunc(targets, func(path string) bool { _, err := os.Stat(path); return err == nil })
			},
		})
	})
}

// described fills in the descriptions, which the protocol does not carry.
func described(s component.Schema) component.Schema {
	for i := range s.Attributes {
		s.Attributes[i].Description = "Not sent."
	}
	return s
}

type describedBuilder struct{ component.Builder }

func (d describedBuilder) Schema() component.Schema { return described(d.Builder.Schema()) }

func (d describedBuilder) Plan(ctx context.Context, cfg cty.Value) (component.Job, diag.List) {
	job, diags := d.Builder.Plan(ctx, cfg)
	if job == nil {
		return nil, diags
	}
	return announced{job}, diags
}

// announced adds the values that all plugins send, and none announces.
type announced struct{ component.Job }

func (a announced) FactNames() []string {
	names := []string{
		"ConnType", "Host", "PackerHTTPAddr", "PackerHTTPIP", "PackerHTTPPort", "PackerRunUUID", "Password", "Port",
		"SSHAgentAuth", "SSHPrivateKey", "SSHPrivateKeyFile", "SSHPublicKey", "User", "WinRMPassword",
	}
	return append(names, a.Job.(component.FactNames).FactNames()...)
}

type describedProvisioner struct{ component.Provisioner }

func (d describedProvisioner) Schema() component.Schema { return described(d.Provisioner.Schema()) }

type describedPostProcessor struct{ component.PostProcessor }

func (d describedPostProcessor) Schema() component.Schema { return described(d.PostProcessor.Schema()) }

func (d describedPostProcessor) Plan(ctx context.Context, cfg cty.Value) (component.Transform, diag.List) {
	t, diags := d.PostProcessor.Plan(ctx, cfg)
	if t == nil {
		return nil, diags
	}
	return outlived{t}, diags
}

// outlived gives the process that an artifact lives in to a journal of its own: it is
// held by the run and not by the step.
type outlived struct{ component.Transform }

func (o outlived) Process(ctx context.Context, r component.Run, in *component.Artifact) (*component.Artifact, component.InputUse, error) {
	r.RunJournal = &componenttest.MemoryJournal{}
	return o.Transform.Process(ctx, r, in)
}

type describedDataSource struct{ component.DataSource }

func (d describedDataSource) Schema() component.Schema { return described(d.DataSource.Schema()) }
