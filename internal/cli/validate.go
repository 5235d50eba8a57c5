package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

type validateFlags struct {
	templateFlags
	syntaxOnly bool
	json       bool
}

func (a *app) validateCommand() *cobra.Command {
	var f validateFlags
	c := &cobra.Command{
		Use:   "validate [flags] TEMPLATE",
		Short: "Find mistakes in a template without building",
		Long: `Checks the template as far as that is possible without making anything: syntax,
names, types, values of variables, and the settings of every component. All
mistakes are reported at once. Data sources are not read unless asked for; what
depends on them is taken as not known yet.`,
		Example: `  ingot validate .
  ingot validate -var-file=prod.pkrvars.hcl image.pkr.hcl
  ingot validate -json . | jq -r 'select(.type=="diagnostic").summary'`,
		Args: oneTemplate,
		RunE: func(cmd *cobra.Command, args []string) error { return a.validate(cmd.Context(), f, args[0]) },
	}
	f.register(c)
	c.Flags().BoolVar(&f.syntaxOnly, "syntax-only", false, "check only that the files can be read and have the right shape")
	c.Flags().BoolVar(&f.evaluateData, "evaluate-datasources", false, "read data sources, to check what depends on them")
	c.Flags().BoolVar(&f.json, "json", false, "print findings as JSON lines")
	return c
}

func (a *app) validate(ctx context.Context, f validateFlags, path string) error {
	screen, err := a.openScreen(buildFlags{json: f.json})
	if err != nil {
		return err
	}
	work, stop := interruptible(ctx)
	defer stop()
	err = a.check(work, f, path, screen)
	if closeErr := screen.close(); err == nil {
		err = closeErr
	}
	return err
}

func (a *app) check(ctx context.Context, f validateFlags, path string, s *screen) error {
	done := "The configuration is valid."
	if f.syntaxOnly {
		done = "Syntax-only check passed. Everything looks okay."
		t, _, diags, err := a.load(ctx, f.templateFlags, path, s.secrets.Add)
		if err != nil {
			return err
		}
		s.diagnostics(append(diags, outdated(t)...), t.Sources)
		if diags.HasErrors() {
			return exitError{exitFailure}
		}
	} else if _, _, err := a.plan(ctx, f.templateFlags, path, planFor{}, s); err != nil {
		return err
	}
	switch {
	case s.json != nil:
		return nil // no finding of severity error is the answer
	case s.machine != nil:
		s.notice(done)
		return nil
	}
	_, err := fmt.Fprintln(a.streams.Out, done)
	return err
}
