package cli

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"ingot/internal/diag"
	"ingot/internal/legacy"
	"ingot/internal/legacy/fix"
	"ingot/internal/legacy/jsondoc"
)

type fixFlags struct {
	templateFlags
	validate bool
	list     bool
	diff     bool
	write    bool
}

func (a *app) fixCommand() *cobra.Command {
	var f fixFlags
	c := &cobra.Command{
		Use:   "fix [flags] TEMPLATE.json",
		Short: "Bring a legacy JSON template up to date",
		Long: `Replaces settings in a legacy JSON template that components have renamed or
dropped, and prints the result. The order of keys and comments stay as they are.
What was changed is said on standard error. "-" reads standard input.

A template that is repaired already comes out the same, with one exception: of
doubled back-ticks in powershell settings, each run takes one away.`,
		Example: `  ingot fix old.json > new.json
  ingot fix -diff old.json
  ingot fix -write old.json
  ingot fix -list`,
		Args: func(cmd *cobra.Command, args []string) error {
			if f.list && len(args) == 0 {
				return nil
			}
			return oneTemplate(cmd, args)
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if f.list {
				return a.listFixers()
			}
			return a.fix(f, args[0])
		},
	}
	fl := c.Flags()
	fl.BoolVar(&f.validate, "validate", true, "check that the result is a template, and print nothing when it is not")
	fl.BoolVar(&f.list, "list", false, "list what is repaired, and do nothing else")
	fl.BoolVar(&f.diff, "diff", false, "print what changes instead of the result")
	fl.BoolVar(&f.write, "write", false, "replace the file instead of printing the result")
	f.registerForScripts(c)
	return c
}

func (a *app) listFixers() error {
	var out strings.Builder
	for _, x := range fix.All() {
		fmt.Fprintf(&out, "%s\n    %s\n", x.Name, x.Description)
	}
	_, err := io.WriteString(a.streams.Out, out.String())
	return err
}

func (a *app) fix(f fixFlags, path string) (err error) {
	if f.write && path == "-" {
		return errors.New("-write needs a file, and the template is standard input")
	}
	screen, err := a.openScreen(buildFlags{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, screen.close()) }()
	file, diags, err := a.readLegacy("fix", f.configType, path)
	if err != nil {
		return err
	}
	before := file.doc.Clone()
	var changed []string
	if !diags.HasErrors() {
		changed = fix.Run(file.doc)
		if f.validate {
			_, more := legacy.Read(file.doc)
			diags = append(diags, withPlaceInFile(more)...)
		}
	}
	screen.diagnostics(append(f.withoutEffectOnText(), diags...), file.sources)
	if diags.HasErrors() {
		return exitError{exitFailure}
	}
	a.sayFixed(changed)
	return a.putFixed(f, file, before, len(changed) > 0)
}

// withPlaceInFile drops the places of what a fixer has put in: they are in no
// file.
func withPlaceInFile(l diag.List) diag.List {
	for _, d := range l {
		if d.Subject != nil && d.Subject.Filename == "" {
			d.Subject = nil
		}
	}
	return l
}

// sayFixed lists the fixers that changed something.
func (a *app) sayFixed(changed []string) {
	if len(changed) == 0 {
		fmt.Fprintln(a.streams.Err, "Nothing needs to be fixed.")
		return
	}
	fmt.Fprintln(a.streams.Err, "Fixed:")
	for _, x := range fix.All() {
		if slices.Contains(changed, x.Name) {
			fmt.Fprintf(a.streams.Err, "  %s: %s\n", x.Name, x.Description)
		}
	}
}

// putFixed prints or writes the result.
func (a *app) putFixed(f fixFlags, file legacyFile, before *jsondoc.Node, changed bool) error {
	text := file.doc.Print()
	if f.diff {
		// Compared in one layout: how the file was indented is no change.
		changes := diff.Diff(file.name, before.Print(), file.name+" (fixed)", text)
		if _, err := a.streams.Out.Write(changes); err != nil {
			return err
		}
	}
	switch {
	case f.write && changed:
		return replaceFile(file.name, text)
	case f.write || f.diff:
		return nil
	}
	_, err := a.streams.Out.Write(text)
	return err
}
