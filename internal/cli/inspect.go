package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"ingot/internal/addr"
	"ingot/internal/diag"
	"ingot/internal/lang"
	"ingot/internal/plan"
	"ingot/internal/planview"
	"ingot/internal/ui"
)

type inspectFlags struct {
	templateFlags
	json bool
}

func (a *app) inspectCommand() *cobra.Command {
	var f inspectFlags
	c := &cobra.Command{
		Use:   "inspect [flags] TEMPLATE",
		Short: "List what a template declares",
		Long: `Lists variables with their values, locals, data sources and builds with their
steps. Nothing is built. Data sources are read only when that is asked for; what
depends on one is otherwise shown as not known yet. Sensitive values are not
shown.`,
		Example: `  ingot inspect .
  ingot inspect -json . | jq -r '.variables[] | select(.required).name'`,
		Args: oneTemplate,
		RunE: func(cmd *cobra.Command, args []string) error { return a.inspect(cmd.Context(), f, args[0]) },
	}
	f.register(c)
	c.Flags().BoolVar(&f.evaluateData, "evaluate-datasources", false, "read data sources, to show what depends on them")
	c.Flags().BoolVar(&f.json, "json", false, "print one JSON object")
	return c
}

func (a *app) inspect(ctx context.Context, f inspectFlags, path string) error {
	screen, err := a.openScreen(buildFlags{})
	if err != nil {
		return err
	}
	defer screen.close()
	t, in, diags, err := a.load(ctx, f.templateFlags, path, screen.secrets.Add)
	if err != nil {
		return err
	}
	if diags.HasErrors() {
		screen.diagnostics(diags, t.Sources)
		return exitError{exitFailure}
	}
	in.EvaluateData = f.evaluateData
	wrong := a.usePlugins(ctx, f.templateFlags, path, t, &in, true, screen)
	view, more := plan.Inspect(ctx, t, in)
	diags = append(append(diags, wrong...), more...)
	// What is not set yet is part of the picture, not a mistake.
	screen.diagnostics(withoutUnset(diags), t.Sources)
	switch {
	case f.json:
		err = inspectJSON(a.streams.Out, view, screen.secrets.Redact)
	case screen.machine != nil:
		inspectRecords(screen.machine, view, t.Legacy != nil, screen.secrets.Redact)
	default:
		var out strings.Builder
		inspectText(&out, path, view)
		_, err = io.WriteString(a.streams.Out, screen.secrets.Redact(out.String()))
	}
	if err != nil {
		return err
	}
	if withoutUnset(diags).HasErrors() {
		return exitError{exitFailure}
	}
	return nil
}

// withoutUnset leaves out the findings about variables without a value.
func withoutUnset(l diag.List) diag.List {
	var out diag.List
	for _, d := range l {
		if d.Summary != lang.UnsetVariable {
			out = append(out, d)
		}
	}
	return out
}

const sensitiveText = "<sensitive>"

// valueText is a value as the human form shows it: a string as it is, anything
// else as JSON.
func valueText(v cty.Value, sensitive bool) string {
	switch {
	case sensitive:
		return sensitiveText
	case v == cty.NilVal || !v.IsWhollyKnown():
		return "<not known yet>"
	case !v.IsNull() && v.Type() == cty.String:
		unmarked, _ := v.Unmark()
		return unmarked.AsString()
	}
	data, err := ctyjson.Marshal(v, v.Type())
	if err != nil {
		return "<" + v.Type().FriendlyName() + ">"
	}
	return string(data)
}

func inspectText(w io.Writer, path string, view *plan.Overview) {
	fmt.Fprintf(w, "Ingot inspect: %s\n", path)
	inspectValues(w, view)
	fmt.Fprintf(w, "\n> builds:\n")
	for i, b := range view.Builds {
		name := b.Name
		if name == "" {
			name = fmt.Sprintf("<unnamed build %d>", i)
		}
		fmt.Fprintf(w, "\n  > %s:\n", name)
		if b.Description != "" {
			fmt.Fprintf(w, "\n  > Description: %s\n", b.Description)
		}
		fmt.Fprintf(w, "\n    sources:\n\n")
		for _, s := range b.Sources {
			fmt.Fprintf(w, "      %s\n", sourceName(s))
		}
		fmt.Fprintf(w, "\n    provisioners:\n\n")
		for _, p := range b.Provisioners {
			fmt.Fprintf(w, "      %s\n", p.Label())
		}
		if !b.ErrorCleanup.IsZero() {
			fmt.Fprintf(w, "\n    error-cleanup-provisioner:\n\n      %s\n", b.ErrorCleanup.Label())
		}
		for _, t := range b.Tests {
			fmt.Fprintf(w, "\n    test %q:\n\n", t.Name)
			for _, c := range t.Checks {
				fmt.Fprintf(w, "      %s\n", c.Label())
			}
		}
		fmt.Fprintf(w, "\n    post-processors:\n\n")
		if len(b.Chains) == 0 {
			fmt.Fprintf(w, "      <no post-processor>\n")
		}
		for n, chain := range b.Chains {
			fmt.Fprintf(w, "      %d:\n", n)
			for _, p := range chain {
				fmt.Fprintf(w, "        %s\n", p.Label())
			}
		}
	}
}

// sourceName is a source as a build block uses it, without the block's name.
func sourceName(b addr.Build) string {
	b.Block = ""
	return b.Name()
}

// inspectValues prints what a template declares besides its builds.
func inspectValues(w io.Writer, view *plan.Overview) {
	fmt.Fprintf(w, "\n> input-variables:\n\n")
	for _, v := range view.Variables {
		text := valueText(v.Value, v.Sensitive)
		if v.Required && !v.Value.IsWhollyKnown() {
			text = "<required, not set>"
		}
		fmt.Fprintf(w, "var.%s: %q\n", v.Name, text)
	}
	fmt.Fprintf(w, "\n> local-variables:\n\n")
	for _, l := range view.Locals {
		fmt.Fprintf(w, "local.%s: %q\n", l.Name, valueText(l.Value, l.Sensitive))
	}
	if len(view.Data) > 0 {
		fmt.Fprintf(w, "\n> data sources:\n\n")
		for _, d := range view.Data {
			fmt.Fprintf(w, "data.%s\n", d)
		}
	}
	if len(view.Modules) > 0 {
		fmt.Fprintf(w, "\n> modules:\n\n")
		for _, m := range view.Modules {
			fmt.Fprintf(w, "module.%s: %s\n", m.Name, m.Source)
		}
	}
}

// inspectRecords prints the records that Packer has for legacy templates, and
// the same for others. Builders of a legacy template go by their name alone.
func inspectRecords(m *ui.Machine, view *plan.Overview, legacy bool, redact func(string) string) {
	for _, v := range view.Variables {
		text, required := "", "0"
		if v.Required {
			required = "1"
		}
		if v.Sensitive || v.Value.IsWhollyKnown() {
			text = redact(valueText(v.Value, v.Sensitive))
		}
		m.Record("", "template-variable", v.Name, text, required)
	}
	for _, b := range view.Builds {
		for _, s := range b.Sources {
			name := s.String()
			if legacy {
				name = s.Source.Name
			}
			m.Record("", "template-builder", name, s.Source.Type)
		}
	}
	for _, b := range view.Builds {
		for _, p := range b.Provisioners {
			m.Record("", "template-provisioner", p.Type)
		}
	}
}

// The JSON form of inspect; fields are only ever added.
type (
	inspectView struct {
		Variables []inspectVariable `json:"variables"`
		Locals    []inspectLocal    `json:"locals"`
		Data      []string          `json:"data"`
		Modules   []inspectModule   `json:"modules,omitempty"`
		Builds    []inspectBuild    `json:"builds"`
	}
	inspectModule struct {
		Name   string `json:"name"`
		Source string `json:"source"`
	}
	inspectVariable struct {
		Name        string          `json:"name"`
		Description string          `json:"description,omitempty"`
		Type        string          `json:"type,omitempty"`
		Required    bool            `json:"required"`
		Sensitive   bool            `json:"sensitive"`
		Known       bool            `json:"known"`
		Value       json.RawMessage `json:"value,omitempty"`
	}
	inspectLocal struct {
		Name      string          `json:"name"`
		Sensitive bool            `json:"sensitive"`
		Known     bool            `json:"known"`
		Value     json.RawMessage `json:"value,omitempty"`
	}
	inspectBuild struct {
		Name           string          `json:"name,omitempty"`
		Description    string          `json:"description,omitempty"`
		Sources        []string        `json:"sources"`
		Provisioners   []inspectStep   `json:"provisioners"`
		ErrorCleanup   *inspectStep    `json:"error_cleanup_provisioner,omitempty"`
		Tests          []inspectTest   `json:"tests,omitempty"`
		PostProcessors [][]inspectStep `json:"post_processors"`
	}
	inspectTest struct {
		Name   string        `json:"name"`
		Checks []inspectStep `json:"checks"`
	}
	inspectStep struct {
		Type string `json:"type"`
		Name string `json:"name,omitempty"`
	}
)

func inspectJSON(w io.Writer, view *plan.Overview, redact func(string) string) error {
	out := inspectView{Variables: []inspectVariable{}, Locals: []inspectLocal{}, Data: []string{}, Builds: []inspectBuild{}}
	out.Data = append(out.Data, view.Data...)
	for _, m := range view.Modules {
		out.Modules = append(out.Modules, inspectModule(m))
	}
	for _, v := range view.Variables {
		value, err := newJSONValue(v.Value, v.Sensitive, redact)
		if err != nil {
			return fmt.Errorf("var.%s: %w", v.Name, err)
		}
		out.Variables = append(out.Variables, inspectVariable{v.Name, redact(v.Description), v.Type, v.Required, value.sensitive, value.known, value.text})
	}
	for _, l := range view.Locals {
		value, err := newJSONValue(l.Value, l.Sensitive, redact)
		if err != nil {
			return fmt.Errorf("local.%s: %w", l.Name, err)
		}
		out.Locals = append(out.Locals, inspectLocal{l.Name, value.sensitive, value.known, value.text})
	}
	for _, b := range view.Builds {
		jb := inspectBuild{Name: b.Name, Description: redact(b.Description), Sources: []string{}, Provisioners: []inspectStep{}, PostProcessors: [][]inspectStep{}}
		for _, s := range b.Sources {
			jb.Sources = append(jb.Sources, sourceName(s))
		}
		for _, p := range b.Provisioners {
			jb.Provisioners = append(jb.Provisioners, inspectStep{p.Type, p.Name})
		}
		if !b.ErrorCleanup.IsZero() {
			jb.ErrorCleanup = &inspectStep{b.ErrorCleanup.Type, b.ErrorCleanup.Name}
		}
		for _, t := range b.Tests {
			test := inspectTest{Name: redact(t.Name)}
			for _, c := range t.Checks {
				test.Checks = append(test.Checks, inspectStep{c.Type, c.Name})
			}
			jb.Tests = append(jb.Tests, test)
		}
		for _, c := range b.Chains {
			chain := []inspectStep{}
			for _, p := range c {
				chain = append(chain, inspectStep{p.Type, p.Name})
			}
			jb.PostProcessors = append(jb.PostProcessors, chain)
		}
		out.Builds = append(out.Builds, jb)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(out)
}

// jsonValue is a value without secrets. There is none when it is secret as a
// whole or not known yet.
type jsonValue struct {
	known, sensitive bool
	text             json.RawMessage
}

func newJSONValue(v cty.Value, sensitive bool, redact func(string) string) (jsonValue, error) {
	out := jsonValue{known: v != cty.NilVal && v.IsWhollyKnown(), sensitive: sensitive}
	if sensitive || !out.known {
		return out, nil
	}
	shown := planview.Show(v, redact)
	out.sensitive = shown.HasSecret()
	var text strings.Builder
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	err := enc.Encode(shown.JSON())
	out.text = json.RawMessage(strings.TrimSuffix(text.String(), "\n"))
	return out, err
}
