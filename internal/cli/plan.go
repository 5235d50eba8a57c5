package cli

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/planview"
)

type planFlags struct {
	templateFlags
	all                bool
	json, mermaid, dot bool
}

func (a *app) planCommand() *cobra.Command {
	var f planFlags
	c := &cobra.Command{
		Use:   "plan [flags] TEMPLATE",
		Short: "Show what a build would do",
		Long: `Shows the builds of a template with their steps, the values that their settings
come to, and what they would create. Nothing is made. Secrets are not shown, and
what only the machine or a data source can tell is marked. Data sources are not
read unless asked for.`,
		Example: `  ingot plan .
  ingot plan -only='docker.*' -var version=1.2 .
  ingot plan -json . | jq '.builds[].creates'
  ingot plan -dot . | dot -Tsvg > plan.svg`,
		Args: oneTemplate,
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.json && (f.mermaid || f.dot) || f.mermaid && f.dot {
				return usageError{errors.New("-json, -mermaid and -dot exclude each other: give one of them"), cmd}
			}
			return a.showPlan(cmd.Context(), f, args[0])
		},
	}
	f.register(c)
	fl := c.Flags()
	fl.BoolVar(&f.evaluateData, "evaluate-datasources", false, "read data sources, to show what depends on them")
	fl.BoolVar(&f.all, "all", false, "show the defaults of arguments that are not set as well")
	fl.BoolVar(&f.json, "json", false, "print one JSON object (docs/plan-json.md)")
	fl.BoolVar(&f.mermaid, "mermaid", false, "print a Mermaid flowchart")
	fl.BoolVar(&f.dot, "dot", false, "print a graph for Graphviz")
	return c
}

func (a *app) showPlan(ctx context.Context, f planFlags, path string) (err error) {
	screen, err := a.openScreen(buildFlags{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, screen.close()) }()
	p, _, err := a.plan(ctx, f.templateFlags, path, planFor{}, screen)
	if err != nil {
		return err
	}
	view := planview.New(p, planview.Options{Redact: screen.secrets.Redact, All: f.all})
	switch {
	case f.json:
		return view.WriteJSON(a.streams.Out)
	case f.mermaid:
		return view.WriteMermaid(a.streams.Out)
	case f.dot:
		return view.WriteDOT(a.streams.Out)
	case screen.machine != nil:
		var text strings.Builder
		_ = view.WriteText(&text) // a Builder takes everything
		screen.notice(strings.TrimRight(text.String(), "\n"))
		return nil
	}
	return view.WriteText(a.streams.Out)
}
