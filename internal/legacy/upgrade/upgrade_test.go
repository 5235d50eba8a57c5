package upgrade_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"text/template/parse"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/diag"
	"ingot/internal/lang"
	"ingot/internal/lang/funcs"
	"ingot/internal/legacy"
	"ingot/internal/legacy/jsondoc"
	"ingot/internal/legacy/upgrade"
	"ingot/internal/plan"
	"ingot/internal/template"
)

var update = flag.Bool("update", false, "rewrite the expected conversions in testdata")

// testdata is absolute, since tests change the working directory.
var testdata = func() string {
	path, err := filepath.Abs("testdata")
	if err != nil {
		panic(err)
	}
	return path
}()

var samples = filepath.Join(testdata, "samples")

// sampleNames are the samples without their ending.
func sampleNames(t testing.TB) []string {
	files, err := filepath.Glob(samples + "/*.json")
	if err != nil || len(files) < 50 {
		t.Fatalf("%d samples, %v", len(files), err)
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(filepath.Base(f), ".json")
	}
	return files
}

// convert reads and converts one template.
func convert(src []byte, name string, o upgrade.Options) ([]byte, diag.List) {
	root, diags := jsondoc.Parse(src, name)
	if diags.HasErrors() {
		return nil, diags
	}
	t, diags := legacy.Read(root)
	if diags.HasErrors() {
		return nil, diags
	}
	return upgrade.HCL(t, o)
}

// TestSamples converts every sample, compares the text with the one that is
// expected, and plans it: what comes out always validates.
func TestSamples(t *testing.T) {
	for _, name := range sampleNames(t) {
		t.Run(name, func(t *testing.T) {
			src, err := os.ReadFile(filepath.Join(samples, name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			got, diags := convert(src, name+".json", upgrade.Options{})
			if diags.HasErrors() {
				t.Fatal(diags.Err())
			}
			compare(t, name+".pkr.hcl", string(got))
			compare(t, name+".said", said(diags))
			if formatted := hclwrite.Format(got); !bytes.Equal(formatted, got) {
				t.Errorf("it is not formatted:\n%s", cmp.Diff(string(formatted), string(got)))
			}
			annotated, diags := convert(src, name+".json", upgrade.Options{Annotations: true})
			if diags.HasErrors() {
				t.Fatal(diags.Err())
			}
			validates(t, name, src, got)
			validates(t, name, src, annotated)
		})
	}
}

// said is what a user reads, without places.
func said(l diag.List) string {
	var out strings.Builder
	for _, d := range l {
		fmt.Fprintf(&out, "%s: %s\n  %s\n", d.Severity, d.Summary, d.Detail)
	}
	return out.String()
}

// compare compares text with a file of the samples; there is no file for no
// text.
func compare(t *testing.T, file, got string) {
	t.Helper()
	path := filepath.Join(samples, file)
	if *update {
		if got == "" {
			_ = os.Remove(path) // most often there is none
		} else if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil && got != "" {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", file, d)
	}
}

// validates plans a conversion with the components that the sample uses.
func validates(t *testing.T, name string, src, converted []byte) *plan.Plan {
	t.Helper()
	folder := t.TempDir()
	copySamples(t, folder)
	path := filepath.Join(folder, name+".pkr.hcl")
	if err := os.WriteFile(path, converted, 0o644); err != nil {
		t.Fatal(err)
	}
	return planned(t, path, src, folder)
}

// copySamples gives a folder the files that samples refer to.
func copySamples(t *testing.T, folder string) {
	t.Helper()
	for _, f := range []string{"minimal.json", "docker.json", "file_provisioner.json"} {
		data, err := os.ReadFile(filepath.Join(samples, f))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, f), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// planned plans the template at path, whose legacy text is src.
func planned(t *testing.T, path string, src []byte, folder string) *plan.Plan {
	t.Helper()
	t.Chdir(folder)
	tmpl, diags := template.Load(path, template.Options{CoreVersion: "1.16.0", WorkDir: folder})
	if diags.HasErrors() {
		t.Fatalf("%v\n%s", diags.Err(), tmpl.Sources[path])
	}
	root, _ := jsondoc.Parse(src, "")
	read, _ := legacy.Read(root)
	in := plan.Inputs{
		Provider: provider{read}, WorkDir: folder, Home: "/home/me", Environ: []string{"HOME=/home/me"},
		CoreVersion: "1.16.0", Start: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Functions: funcs.Env{Vault: stored{}, Consul: stored{}, Secrets: stored{}},
	}
	for _, v := range tmpl.Variables {
		if v.Default == nil {
			in.Vars = append(in.Vars, v.Name+"=1")
		}
	}
	if tmpl.Legacy != nil {
		in.Vars = append(in.Vars, undeclared(read)...)
	}
	p, diags := plan.Make(context.Background(), tmpl, in)
	if diags.HasErrors() {
		t.Fatalf("%v\n%s", diags.Err(), tmpl.Sources[path])
	}
	return p
}

// undeclared sets the variables that a legacy template uses without declaring
// them.
func undeclared(t *legacy.Template) (vars []string) {
	seen := map[string]bool{}
	t.Root.Walk(func(n *jsondoc.Node) {
		text, err := legacy.ParseText(n.Text)
		if !n.Is(jsondoc.String) || err != nil {
			return
		}
		for _, c := range text.Calls("user") {
			if name := strings.Join(c.Args, ""); t.Variable(name) == nil && !seen[name] {
				seen[name] = true
				vars = append(vars, name+"=1")
			}
		}
	})
	return vars
}

// stored answers for the stores of secrets.
type stored struct{}

func (stored) Read(_ context.Context, path string) (map[string]any, error) {
	return map[string]any{"password": "from " + path}, nil
}

func (stored) Value(_ context.Context, key string) (string, error) { return "value of " + key, nil }

func (stored) Secret(_ context.Context, name string) (string, error) {
	return `{"field":"secret of ` + name + `"}`, nil
}

// TestPlansAreTheSame plans samples before and after their conversion: the
// builds, their steps and all settings have to be the same.
func TestPlansAreTheSame(t *testing.T) {
	for _, name := range sampleNames(t) {
		if why := differs(name); why != "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			src, err := os.ReadFile(filepath.Join(samples, name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			converted, diags := convert(src, name+".json", upgrade.Options{})
			if diags.HasErrors() {
				t.Fatal(diags.Err())
			}
			folder := t.TempDir()
			copySamples(t, folder)
			for file, text := range map[string][]byte{name + ".json": src, name + ".pkr.hcl": converted} {
				if err := os.WriteFile(filepath.Join(folder, file), text, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			before := describe(planned(t, filepath.Join(folder, name+".json"), src, folder))
			after := describe(planned(t, filepath.Join(folder, name+".pkr.hcl"), src, folder))
			if d := cmp.Diff(before, after); d != "" {
				t.Errorf("-legacy +HCL2:\n%s\n%s", d, converted)
			}
		})
	}
}

// differs says why a sample has another plan after its conversion, on purpose;
// empty for the others.
func differs(name string) string {
	switch name {
	case "builder_names":
		return "names that HCL does not allow had to change"
	case "comments":
		return "comments inside of components are no settings that could be planned before"
	case "run_values":
		return "it has a random uuid"
	}
	return ""
}

// described is a build as far as it has to be the same in both forms.
type described struct {
	Type, Name, Description string
	Config                  any
	Steps                   []any
}

func describe(p *plan.Plan) []described {
	var out []described
	for _, b := range p.Builds {
		d := described{b.Source.Type, b.Source.Name, b.Description, value(b, b.Config), nil}
		for _, s := range append(b.Provisioners, cleanup(b)...) {
			d.Steps = append(d.Steps, s.Addr.Kind.String(), s.Addr.Type, s.PauseBefore, s.Timeout, s.MaxRetries, value(b, s.Config))
		}
		for i, chain := range b.Chains {
			for _, s := range chain {
				keep := "default"
				if s.KeepInput != nil {
					keep = fmt.Sprint(*s.KeepInput)
				}
				d.Steps = append(d.Steps, i, s.Addr.Type, s.Addr.Name, keep, value(b, s.Config))
			}
		}
		out = append(out, d)
	}
	return out
}

func cleanup(b *plan.Build) []*plan.Step {
	if b.ErrorCleanup == nil {
		return nil
	}
	return []*plan.Step{b.ErrorCleanup}
}

// value turns a configuration into what cmp can compare.
func value(b *plan.Build, c *lang.Config) any {
	if c == nil {
		return nil
	}
	return settled(b, plain(c.Value))
}

// settled does with texts what will be done later in both forms: actions that
// only print what is known of the build are replaced. A number of nanoseconds,
// which is a duration in the legacy form only, is written as one.
func settled(b *plan.Build, v any) any {
	switch v := v.(type) {
	case string:
		if d, err := time.ParseDuration(v); err == nil && strings.HasSuffix(v, "ns") {
			return d.String()
		}
		if n, err := strconv.ParseInt(v, 10, 64); err == nil && (n > 1e9 || n < -1e9) {
			return time.Duration(n).String()
		}
		return rendered(b, v)
	case []any:
		for i := range v {
			v[i] = settled(b, v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = settled(b, v[k])
		}
	}
	return v
}

// quotedText is an action that only prints a text.
var quotedText = regexp.MustCompile(`\{\{"([^"\\]*)"\}\}`)

func rendered(b *plan.Build, text string) string {
	t, err := legacy.ParseText(text)
	if err != nil {
		return text
	}
	text = quotedText.ReplaceAllString(text, "$1")
	parts, ok := t.Parts()
	if !ok {
		return text
	}
	out := ""
	for _, p := range parts {
		switch {
		case p.Pipe == nil:
			out += p.Text
		case p.Call != nil && p.Call.Name == "build_name":
			out += b.Source.Name
		case p.Call != nil && p.Call.Name == "build_type":
			out += b.Source.Type
		case len(p.Pipe.Cmds) == 1 && len(p.Pipe.Cmds[0].Args) == 1 && p.Pipe.Cmds[0].Args[0].Type() == parse.NodeString:
			out += p.Pipe.Cmds[0].Args[0].(*parse.StringNode).Text
		default:
			// What is put into kept actions is quoted in one of two ways.
			out += strings.NewReplacer("\u0060", "\"").Replace(p.Text)
		}
	}
	return out
}

func plain(v cty.Value) any {
	switch {
	case !v.IsKnown():
		return "not known yet"
	case v.IsNull():
		return nil
	case v.Type() == cty.String:
		return v.AsString()
	case v.Type() == cty.Bool:
		return v.True()
	case v.Type() == cty.Number:
		return v.AsBigFloat().String()
	case v.Type().IsObjectType() || v.Type().IsMapType():
		out := map[string]any{}
		for it := v.ElementIterator(); it.Next(); {
			k, e := it.Element()
			out[k.AsString()] = plain(e)
		}
		return out
	}
	out := []any{}
	for it := v.ElementIterator(); it.Next(); {
		_, e := it.Element()
		out = append(out, plain(e))
	}
	return out
}

func TestW41OutputHasNoBuildType(t *testing.T) {
	got, diags := convert([]byte(`{"builders":[{"type":"null","communicator":"none"}],
		"provisioners":[{"type":"shell-local","inline":["{{build_type}} {{build_name}}"],"override":{"null":{"inline":["x"]}}}]}`), "t.json", upgrade.Options{})
	if diags != nil {
		t.Fatal(diags.Err())
	}
	for _, want := range []string{"${source.type} ${source.name}", "override = {"} {
		if !strings.Contains(string(got), want) {
			t.Errorf("%s is not in\n%s", want, got)
		}
	}
	if strings.Contains(string(got), "build.type") {
		t.Errorf("there is no build.type:\n%s", got)
	}
}

// TestW40NamesMatch checks that only, except and override mean the builds that
// they meant before.
func TestW40NamesMatch(t *testing.T) {
	src := []byte(`{"builders":[{"type":"null","communicator":"none"},{"type":"null","name":"a b","communicator":"none"}],
		"provisioners":[{"type":"shell-local","inline":["only"],"only":["a b"]},{"type":"shell-local","inline":["except"],"except":["a b"]},
		{"type":"shell-local","inline":["both"],"override":{"a b":{"inline":["overridden"]}}}]}`)
	converted, diags := convert(src, "t.json", upgrade.Options{})
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	p := validates(t, "t", src, converted)
	var got [][]any
	for _, b := range p.Builds {
		var lines []any
		for _, s := range b.Provisioners {
			lines = append(lines, plain(s.Config.Value.GetAttr("inline")).([]any)...)
		}
		got = append(got, lines)
	}
	if want := [][]any{{"except", "both"}, {"only", "overridden"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("steps %v, want %v\n%s", got, want, converted)
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct{ src, want string }{
		{`{"builders":[{"type":"null","a b":1}]}`, `"a b"`},
		{`{"builders":[{"type":"nu ll"}]}`, `"nu ll"`},
		{"{\"builders\":[{\"type\":\"null\",\"ssh_host\":\"{{user (printf `a`)}}\"}]}", "no user inside"},
		{"{\"builders\":[{\"type\":\"null\",\"ssh_host\":\"{{env `HOME`}}\"}]}", "no env inside"},
		{"{\"builders\":[{\"type\":\"null\"}],\"variables\":{\"a\":\"{{vault `p` (printf `k`)}}\"}}", "no vault inside"},
		{`{"min_packer_version":"new","builders":[{"type":"null"}]}`, "min_packer_version"},
		{"{\"builders\":[{\"type\":\"null\"}],\"error-cleanup-provisioner\":{\"type\":\"shell-local\",\"inline\":[\"x\"],\"override\":{\"null\":{\"inline\":[\"{{build `ID`}}\"]}}}}", "error-cleanup-provisioner"},
	} {
		got, diags := convert([]byte(c.src), "t.json", upgrade.Options{})
		if got != nil || !diags.HasErrors() || !strings.Contains(diags.Err().Error(), c.want) {
			t.Errorf("%s: %s, %v", c.src, got, diags.Err())
		}
	}
}

// FuzzHCL converts foreign bytes. What comes out can be parsed and is
// formatted.
func FuzzHCL(f *testing.F) {
	for _, name := range sampleNames(f) {
		src, err := os.ReadFile(filepath.Join(samples, name+".json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		got, diags := convert(src, "f", upgrade.Options{Annotations: len(src)%2 == 0})
		if got == nil {
			if !diags.HasErrors() {
				t.Fatal("nothing was converted and nothing was said")
			}
			for _, d := range diags {
				if strings.Contains(d.Detail, "mistake of Ingot's") {
					t.Fatalf("%s: %v", src, d)
				}
			}
			return
		}
		if _, diags := hclsyntax.ParseConfig(got, "f.pkr.hcl", hcl.InitialPos); diags.HasErrors() {
			t.Fatalf("%s\nbecame\n%s\n%v", src, got, diags)
		}
	})
}
