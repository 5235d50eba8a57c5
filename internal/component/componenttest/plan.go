package componenttest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
)

// Configs are configurations by a name for the test, each as the attributes
// that are set. Paths in them are absolute.
type Configs map[string]map[string]cty.Value

// promise is one check of a suite. It returns what is wrong.
type promise struct {
	name  string
	check func(t testing.TB) error
}

// keep runs the promises as subtests.
func keep(t *testing.T, promises []promise) {
	t.Helper()
	for _, p := range promises {
		t.Run(p.name, func(t *testing.T) {
			if err := p.check(t); err != nil {
				t.Error(err)
			}
		})
	}
}

// planned is what builders, provisioners and post-processors have in common.
type planned struct {
	schema func() component.Schema
	// plan reports whether there was a result beside the findings.
	plan           func(ctx context.Context, cfg cty.Value) (bool, diag.List)
	valid, invalid Configs
}

func (p planned) promises() []promise {
	return []promise{
		{"schema never changes", p.schemaStable},
		{"schema describes every attribute", func(testing.TB) error { return checkSchema(p.schema()) }},
		{"plans valid configurations", p.plansValid},
		{"refuses invalid configurations", p.refusesInvalid},
		{"findings name attributes", p.namesAttributes},
		{"plans with unknown values", p.plansUnknown},
		{"plans with sensitive values", p.plansSensitive},
		{"planning twice gives the same", p.planRepeats},
		{"planning has no side effect", p.planIsPure},
	}
}

func (p planned) schemaStable(testing.TB) error {
	if a, b := p.schema(), p.schema(); !reflect.DeepEqual(a, b) {
		return errors.New("two calls of Schema return different values")
	}
	return nil
}

func checkSchema(s component.Schema) error {
	var errs []error
	if s.Description == "" {
		errs = append(errs, errors.New("the schema has no description"))
	}
	seen := map[string]bool{}
	for _, a := range s.Attributes {
		bad := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("attribute %q: "+format, append([]any{a.Name}, args...)...))
		}
		switch {
		case a.Name == "" || seen[a.Name]:
			bad("the name is empty or there twice")
		case a.Type == cty.NilType:
			bad("it has no type")
		case a.Description == "" || !strings.HasSuffix(a.Description, "."):
			bad("it has no description that ends with a full stop")
		case a.Required && a.Default != cty.NilVal:
			bad("it is required and has a default")
		case a.Default != cty.NilVal && !a.Default.Type().Equals(a.Type):
			bad("its default is a %s", a.Default.Type().FriendlyName())
		case len(a.OneOf) > 0 && a.Type != cty.String:
			bad("only strings can have OneOf")
		}
		if a.Format == component.Duration && a.Default != cty.NilVal {
			if _, err := time.ParseDuration(a.Default.AsString()); err != nil {
				bad("its default is no duration")
			}
		}
		seen[a.Name] = true
	}
	for _, b := range s.Blocks {
		if b.Name == "" || seen[b.Name] {
			errs = append(errs, fmt.Errorf("block %q: the name is empty or there twice", b.Name))
			continue
		}
		seen[b.Name] = true
		if err := checkSchema(component.Schema{Description: "block", Attributes: b.Schema.Attributes, Blocks: b.Schema.Blocks}); err != nil {
			errs = append(errs, fmt.Errorf("block %q: %w", b.Name, err))
		}
	}
	return errors.Join(errs...)
}

// run plans and checks that there is a result if and only if there is no
// error.
func (p planned) run(t testing.TB, cfg cty.Value) (bool, diag.List, error) {
	ok, diags := p.plan(t.Context(), cfg)
	if ok == diags.HasErrors() {
		return ok, diags, fmt.Errorf("result: %t, errors: %v; want exactly one of them", ok, diags.Err())
	}
	return ok, diags, nil
}

func (p planned) plansValid(t testing.TB) error {
	var errs []error
	if len(p.valid) == 0 {
		return errors.New("the suite needs a valid configuration")
	}
	for name, values := range p.valid {
		_, diags, err := p.run(t, p.schema().Object(values))
		if err = errors.Join(err, diags.Err()); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

func (p planned) refusesInvalid(t testing.TB) error {
	var errs []error
	for name, values := range p.invalid {
		ok, _, err := p.run(t, p.schema().Object(values))
		if ok {
			err = errors.New("it was accepted")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// namesAttributes: a Path leads to something that the schema has, and texts
// are complete.
func (p planned) namesAttributes(t testing.TB) error {
	var errs []error
	for name, values := range p.invalid {
		_, diags := p.plan(t.Context(), p.schema().Object(values))
		for _, d := range diags {
			if d.Summary == "" || d.Detail == "" || strings.HasSuffix(d.Summary, ".") {
				errs = append(errs, fmt.Errorf("%s: finding %q needs a summary without a full stop, and a detail", name, d.Error()))
			}
			if err := leadsTo(p.schema(), d.Path); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
		}
	}
	return errors.Join(errs...)
}

func leadsTo(s component.Schema, path cty.Path) error {
	for _, step := range path {
		attr, ok := step.(cty.GetAttrStep)
		if !ok {
			continue
		}
		if _, ok := s.Attribute(attr.Name); ok {
			return nil
		}
		found := false
		for _, b := range s.Blocks {
			if b.Name == attr.Name {
				s, found = b.Schema, true
			}
		}
		if !found {
			return fmt.Errorf("a finding is about %q, which the schema does not have", attr.Name)
		}
	}
	return nil
}

// plansUnknown makes one attribute after the other unknown, then all of them,
// then the whole configuration. None of that is the user's mistake.
func (p planned) plansUnknown(t testing.TB) error {
	var errs []error
	s := p.schema()
	try := func(what string, cfg cty.Value) {
		_, diags, err := p.run(t, cfg)
		if err = errors.Join(err, diags.Err()); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
		}
	}
	all := map[string]cty.Value{}
	for name, values := range p.valid {
		for _, a := range s.Attributes {
			if _, set := values[a.Name]; !set {
				continue
			}
			changed := map[string]cty.Value{}
			for k, v := range values {
				changed[k] = v
			}
			changed[a.Name] = cty.UnknownVal(a.Type)
			try(name+" with unknown "+a.Name, s.Object(changed))
		}
		for k := range values {
			if a, ok := s.Attribute(k); ok {
				all[k] = cty.UnknownVal(a.Type)
			} else {
				all[k] = values[k]
			}
		}
		try(name+" with all unknown", s.Object(all))
		clear(all)
	}
	try("unknown configuration", cty.UnknownVal(s.ImpliedType()))
	return errors.Join(errs...)
}

func (p planned) plansSensitive(t testing.TB) error {
	var errs []error
	for name, values := range p.valid {
		marked := map[string]cty.Value{}
		for k, v := range values {
			marked[k] = v.Mark("sensitive")
		}
		_, diags, err := p.run(t, p.schema().Object(marked))
		if err = errors.Join(err, diags.Err()); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

func (p planned) planRepeats(t testing.TB) error {
	var errs []error
	for _, configs := range []Configs{p.valid, p.invalid} {
		for name, values := range configs {
			_, first := p.plan(t.Context(), p.schema().Object(values))
			_, second := p.plan(t.Context(), p.schema().Object(values))
			if !reflect.DeepEqual(first, second) {
				errs = append(errs, fmt.Errorf("%s: the findings differ: %v, then %v", name, first, second))
			}
		}
	}
	return errors.Join(errs...)
}

// planIsPure plans in an empty folder, with an empty folder for temporary
// files, and looks for files in both.
func (p planned) planIsPure(t testing.TB) error {
	work, temp := t.TempDir(), t.TempDir()
	t.Chdir(work)
	t.Setenv("TMPDIR", temp)
	for _, configs := range []Configs{p.valid, p.invalid} {
		for _, values := range configs {
			p.plan(t.Context(), p.schema().Object(values))
		}
	}
	var errs []error
	for _, dir := range []string{work, temp} {
		left, err := os.ReadDir(dir)
		if err != nil {
			errs = append(errs, err)
		}
		for _, e := range left {
			errs = append(errs, fmt.Errorf("planning has left %s", filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}

// errStop is the cause with which the suites cancel.
var errStop = errors.New("stopped by the test")

func stopped(t testing.TB) context.Context {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errStop)
	return ctx
}
