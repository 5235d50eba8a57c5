package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/console"
	"ingot/internal/diag"
	"ingot/internal/plan"
	"ingot/internal/template"
)

// historyFile is where the console keeps its history, in the state folder.
const historyFile = "console_history"

func (a *app) consoleCommand() *cobra.Command {
	var f templateFlags
	c := &cobra.Command{
		Use:   "console [flags] [TEMPLATE]",
		Short: "Evaluate expressions",
		Long: `Evaluates expressions with the variables and locals of a template, or without
one. On a terminal lines can be edited, Tab completes names and the arrow keys
bring back earlier lines; otherwise every expression on standard input is
evaluated, and the exit code is 1 when one of them fails.

Data sources are read only with -evaluate-datasources. Sensitive values are not
shown.`,
		Example: `  ingot console .
  echo 'cidrsubnet("10.0.0.0/8", 8, 2)' | ingot console
  ingot console -var 'version=1.2' image.pkr.hcl < expressions`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) > 1:
				return oneTemplate(cmd, args)
			case len(args) == 1 && args[0] == "-":
				return usageError{errors.New("the template cannot come from standard input, which has the expressions"), cmd}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			path := ""
			if len(args) == 1 {
				path = args[0]
			}
			return a.console(cmd.Context(), f, path)
		},
	}
	f.register(c)
	c.Flags().BoolVar(&f.evaluateData, "evaluate-datasources", false, "read data sources, to show what depends on them")
	for _, name := range []string{"only", "except"} {
		c.Flags().Lookup(name).Hidden = true
	}
	return c
}

func (a *app) console(ctx context.Context, f templateFlags, path string) (err error) {
	screen, err := a.openScreen(buildFlags{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, screen.close()) }()
	t, in, diags, err := a.loadBy(ctx, f, screen.secrets.Add, func(o template.Options) (*template.Template, diag.List) {
		if path == "" {
			return &template.Template{Dir: ".", Sources: map[string][]byte{}}, nil
		}
		return template.Load(path, o)
	})
	if err != nil {
		return err
	}
	if len(f.only)+len(f.except) > 0 {
		diags = append(diags, diag.Warnf("-only and -except have no effect", "Nothing of the console depends on a build.")...)
	}
	if diags.HasErrors() {
		screen.diagnostics(diags, t.Sources)
		return exitError{exitFailure}
	}
	in.EvaluateData = f.evaluateData
	wrong := a.usePlugins(ctx, f, path, t, &in, true, screen)
	diags = append(diags, wrong...)
	scope, more := plan.NewConsole(ctx, t, in)
	// A variable without a value matters when an expression needs it.
	diags = withoutUnset(append(diags, more...))
	screen.diagnostics(diags, t.Sources)
	if diags.HasErrors() {
		return exitError{exitFailure}
	}
	session := console.Session{
		Scope: scope, Out: a.streams.Out, Redact: screen.secrets.Redact,
		Report:    func(l diag.List, sources map[string][]byte) { screen.diagnostics(l, withSources(t, sources)) },
		Variables: func() string { return variablesText(scope.Overview()) },
		Unknown:   unknownText(t, f.evaluateData),
	}
	if tty, ok := a.streams.In.(*os.File); ok && isTerminal(tty) && isTerminal(a.streams.Out) && a.getenv("TERM") != "dumb" {
		session.Redact = console.Printable(session.Redact)
		return a.consoleAtTerminal(ctx, &session, tty, screen)
	}
	good, err := session.Stream(ctx, a.streams.In, stdinName)
	if err == nil && !good {
		err = exitError{exitFailure} // said already
	}
	return err
}

// consoleAtTerminal opens the history and lets the user type. Lines that hold
// a secret are not kept.
func (a *app) consoleAtTerminal(ctx context.Context, s *console.Session, tty *os.File, screen *screen) error {
	d, err := findDirs(a.getenv)
	if err != nil {
		return err
	}
	history, err := console.OpenHistory(filepath.Join(d.State, historyFile), func(line string) bool {
		return screen.secrets.Redact(line) == line
	})
	if err != nil {
		screen.diagnostics(diag.Warnf("The history is not kept", "%s.", err), nil)
	}
	return s.Terminal(ctx, tty, a.streams.Out, history)
}

// unknownText says why a value is not known.
func unknownText(t *template.Template, read bool) string {
	if len(t.Data) > 0 && !read {
		return "(known after reading data sources)"
	}
	return "(not known)"
}

// withSources adds the texts of the template to those of the console.
func withSources(t *template.Template, own map[string][]byte) map[string][]byte {
	out := make(map[string][]byte, len(t.Sources)+len(own))
	for name, src := range t.Sources {
		out[name] = src
	}
	for name, src := range own {
		out[name] = src
	}
	return out
}

func variablesText(view *plan.Overview) string {
	var out strings.Builder
	inspectValues(&out, view)
	return strings.TrimPrefix(out.String(), "\n")
}
