package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/diag"
	"ingot/internal/lang/funcs"
	"ingot/internal/lint"
	"ingot/internal/plan"
	"ingot/internal/ui"
)

type lintFlags struct {
	templateFlags
	json, strict, list      bool
	format, least, explain  string
	onlyRules, withoutRules []string
}

func (a *app) lintCommand() *cobra.Command {
	var f lintFlags
	c := &cobra.Command{
		Use:   "lint [flags] TEMPLATE",
		Short: "Find what is valid and goes wrong in production",
		Long: `Finds what validate has nothing against and what fails, leaks or costs money in
production: secrets in plain text, machines open to the world, scripts that carry
on after a failed command, base images that change by themselves. It reads the
template and the scripts that it names, and needs neither plugins nor a network.

A comment on the line of a finding, or above it, suppresses it:

  # ingot:ignore=NET101 the network is private

docs/lint.md has all rules with examples. The exit code is 1 when there is a
finding of severity error, or with -strict any finding; else 0.`,
		Example: `  ingot lint .
  ingot lint -min-severity=warning -disable=IMG105 .
  ingot lint -format=sarif . > lint.sarif
  ingot lint -explain SH101`,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case f.list || f.explain != "":
				if len(args) > 0 {
					return usageError{errors.New("-list and -explain take no template"), cmd}
				}
				return a.describeRules(f)
			}
			if err := oneTemplate(cmd, args); err != nil {
				return err
			}
			return a.lint(cmd.Context(), f, args[0])
		},
	}
	fl := c.Flags()
	f.registerVariables(fl)
	fl.StringVar(&f.configType, "config-type", "", "`kind` of template on standard input (-) or in a file with another extension: hcl2 or json")
	fl.StringSliceVar(&f.onlyRules, "rule", nil, "apply only the rules of these comma-separated `ids`")
	fl.StringSliceVar(&f.withoutRules, "disable", nil, "leave out the rules of these comma-separated `ids`")
	fl.StringVar(&f.least, "min-severity", "info", "report only findings of this `severity` or worse: error, warning or info")
	fl.BoolVar(&f.strict, "strict", false, "exit with 1 for any finding that is reported")
	fl.StringVar(&f.format, "format", "text", "`form` of the output: text, json or sarif (SARIF 2.1.0)")
	fl.BoolVar(&f.json, "json", false, "the same as -format=json")
	fl.BoolVar(&f.list, "list", false, "list all rules")
	fl.StringVar(&f.explain, "explain", "", "explain the rule of this `id`")
	return c
}

// options checks the flags.
func (f *lintFlags) options() (lint.Options, error) {
	var o lint.Options
	for _, x := range []struct {
		from []string
		to   *[]string
		flag string
	}{{f.onlyRules, &o.Only, "rule"}, {f.withoutRules, &o.Disable, "disable"}} {
		for _, id := range x.from {
			r := lint.Find(strings.TrimSpace(id))
			if r == nil {
				return o, unknownRule("-"+x.flag, id)
			}
			*x.to = append(*x.to, r.ID)
		}
	}
	switch f.least {
	case "error":
		o.MinSeverity = diag.Error
	case "warning":
		o.MinSeverity = diag.Warning
	case "info":
	default:
		return o, fmt.Errorf("-min-severity is error, warning or info, not %q", f.least)
	}
	if f.json {
		f.format = "json"
	}
	switch f.format {
	case "text", "json", "sarif":
		return o, nil
	}
	return o, fmt.Errorf("-format is text, json or sarif, not %q", f.format)
}

func unknownRule(flag, id string) error {
	var ids []string
	for _, r := range lint.Rules() {
		ids = append(ids, r.ID)
	}
	return fmt.Errorf("%s: there is no rule %q.%s 'ingot lint -list' shows all", flag, id, diag.Suggest(strings.ToUpper(id), "rules", ids))
}

func (a *app) lint(ctx context.Context, f lintFlags, path string) (err error) {
	o, err := f.options()
	if err != nil {
		return err
	}
	screen, err := a.openScreen(buildFlags{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, screen.close()) }()
	t, in, diags, err := a.load(ctx, f.templateFlags, path, screen.secrets.Add)
	if err != nil {
		return err
	}
	if diags.HasErrors() {
		screen.diagnostics(diags, t.Sources)
		return exitError{exitFailure}
	}
	// Nothing outside is asked: what vault() and the like would give is
	// unknown.
	in.Functions = funcs.Env{}
	survey, wrong := plan.NewSurvey(ctx, t, in)
	screen.diagnostics(wrong, t.Sources)
	if wrong.HasErrors() {
		return exitError{exitFailure}
	}
	result, err := lint.Run(ctx, lint.Input{
		Template: t, Survey: survey, BuiltIn: in.Provider.Manifest(), VarFiles: append(f.varFiles, t.AutoVarFiles...),
		WorkDir: in.WorkDir, Home: in.Home,
	}, o)
	if err != nil {
		return err
	}
	for _, secret := range result.Secrets {
		screen.secrets.Add(secret)
	}
	var out strings.Builder
	switch f.format {
	case "json":
		err = result.WriteJSON(&out)
	case "sarif":
		err = result.WriteSARIF(&out, version)
	default:
		err = a.lintText(&out, result, screen.colors)
	}
	if err != nil {
		return err
	}
	if _, err := io.WriteString(a.streams.Out, screen.secrets.Redact(out.String())); err != nil {
		return err
	}
	errs, warnings, infos := result.Count()
	if errs > 0 || f.strict && warnings+infos > 0 {
		return exitError{exitFailure}
	}
	return nil
}

// lintText writes the findings for a person.
func (a *app) lintText(w io.Writer, r *lint.Result, mode ui.ColorMode) error {
	var list diag.List
	for _, f := range r.Active() {
		list = append(list, f.Diagnostic())
	}
	color := ui.UseColor(mode, isTerminal(a.streams.Out), a.getenv)
	if err := diag.Format(w, list, r.Sources, diag.FormatOptions{Color: color}); err != nil {
		return err
	}
	suppressed := ""
	if n := len(r.Findings) - len(list); n > 0 {
		suppressed = fmt.Sprintf(", %d suppressed", n)
	}
	if len(list) == 0 {
		_, err := fmt.Fprintf(w, "No findings%s.\n", suppressed)
		return err
	}
	errs, warnings, infos := r.Count()
	_, err := fmt.Fprintf(w, "\n%s, %s, %d info%s.\n", count(errs, "error"), count(warnings, "warning"), infos, suppressed)
	return err
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// describeRules prints the list of the chosen rules, or one in full.
func (a *app) describeRules(f lintFlags) error {
	o, err := f.options()
	switch {
	case err != nil:
		return err
	case f.format != "text":
		return errors.New("-list and -explain print text: leave out -json and -format")
	}
	if f.list {
		for _, r := range o.Rules() {
			if _, err := fmt.Fprintf(a.streams.Out, "%-8s %-8s %s\n", r.ID, strings.ToLower(r.Severity.String()), r.Title); err != nil {
				return err
			}
		}
		return nil
	}
	r := lint.Find(f.explain)
	if r == nil {
		return unknownRule("-explain", f.explain)
	}
	_, err = fmt.Fprintf(a.streams.Out, "%s: %s (%s)\n\n%s\n\n%s\n\nSuppress it with a comment: # ingot:ignore=%s REASON\nExamples: %s\n",
		r.ID, r.Title, strings.ToLower(r.Severity.String()), diag.Wrap(r.Why, 80), diag.Wrap(r.Advice, 80), r.ID, r.Document())
	return err
}
