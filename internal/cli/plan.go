package cli

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/planview"
)

type planFlags struct {
	templateFlags
	json bool
	all  bool
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
  ingot plan -json . | jq '.builds[].creates'`,
		Args: oneTemplate,
		RunE: func(cmd *cobra.Command, args []string) error { return a.showPlan(cmd.Context(), f, args[0]) },
	}
	f.register(c)
	fl := c.Flags()
	fl.BoolVar(&f.evaluateData, "evaluate-datasources", false, "read data sources, to show what depends on them")
	fl.BoolVar(&f.all, "all", false, "show the defaults of arguments that are not set as well")
	fl.BoolVar(&f.json, "json", false, "print one JSON object (docs/plan-json.md)")
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
	var out strings.Builder
	if err := view.WriteJSON(&out); err != nil {
		return err
	}
	_, err = io.WriteString(a.streams.Out, out.String())
	return err
}
