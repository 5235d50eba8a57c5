package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"ingot/internal/diag"
	"ingot/internal/legacy"
	"ingot/internal/legacy/fix"
	"ingot/internal/legacy/upgrade"
)

type upgradeFlags struct {
	templateFlags
	output      string
	annotations bool
}

func (a *app) hcl2UpgradeCommand() *cobra.Command {
	var f upgradeFlags
	c := &cobra.Command{
		Use:   "hcl2_upgrade [flags] TEMPLATE.json",
		Short: "Convert a legacy JSON template to HCL2",
		Long: `Writes a legacy JSON template as HCL2, for Ingot and for Packer 1.16. The
result goes to a file beside the template with .pkr.hcl behind its name, unless
-output-file names another; "-" prints it. Nothing is written when the template
cannot be converted. docs/migrating.md says what becomes of each part.

"-" reads standard input; -output-file is needed then.`,
		Example: `  ingot hcl2_upgrade image.json
  ingot hcl2_upgrade -output-file=image.pkr.hcl image.json
  ingot fix image.json | ingot hcl2_upgrade -output-file=- -`,
		Args: oneTemplate,
		RunE: func(_ *cobra.Command, args []string) error { return a.hcl2Upgrade(f, args[0]) },
	}
	fl := c.Flags()
	fl.StringVar(&f.output, "output-file", "", "write to this `file` instead of TEMPLATE.json.pkr.hcl; - is standard output")
	fl.BoolVar(&f.annotations, "with-annotations", false, "add comments that explain the sections")
	f.registerForScripts(c)
	return c
}

func (a *app) hcl2Upgrade(f upgradeFlags, path string) (err error) {
	output := f.output
	switch {
	case output == "" && path == "-":
		return errors.New("-output-file is needed when the template is standard input")
	case output == "":
		output = path + ".pkr.hcl"
	}
	screen, err := a.openScreen(buildFlags{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, screen.close()) }()
	file, diags, err := a.readLegacy("hcl2_upgrade", f.configType, path)
	if err != nil {
		return err
	}
	diags = append(f.withoutEffectOnText(), diags...)
	var converted []byte
	if !diags.HasErrors() {
		t, more := legacy.Read(file.doc)
		if !more.HasErrors() {
			var about diag.List
			converted, about = upgrade.HCL(t, upgrade.Options{Annotations: f.annotations})
			more = append(append(more, fix.Findings(file.doc)...), about...)
		}
		diags = append(diags, more...)
	}
	screen.diagnostics(diags, file.sources)
	if diags.HasErrors() {
		return exitError{exitFailure}
	}
	if output == "-" {
		_, err := a.streams.Out.Write(converted)
		return err
	}
	if err := replaceFile(output, converted); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.streams.Out, "Successfully created %s.\n", output)
	return err
}
