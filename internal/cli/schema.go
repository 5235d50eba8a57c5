package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"ingot/internal/diag"
	"ingot/internal/schemadoc"
)

type schemaFlags struct {
	json     bool
	markdown string
}

func (a *app) schemaCommand() *cobra.Command {
	var f schemaFlags
	c := &cobra.Command{
		Use:   "schema [flags] [KIND [NAME]]",
		Short: "Describe components, their arguments and the language",
		Long: `Describes what can stand in a template. KIND is builder, provisioner,
post-processor, data-source, communicator or block; without a name all of the
kind are listed. With -json, editors and scripts get everything: names, types,
defaults and descriptions of all arguments, the blocks of the language and its
functions. A component of an installed plugin is described when it is named.`,
		Example: `  ingot schema
  ingot schema builder docker
  ingot schema block variable
  ingot schema -json | jq '.components[] | select(.name=="shell").attributes[].name'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 2 {
				return usageError{fmt.Errorf("a kind and a name are wanted, got %d words: %s", len(args), strings.Join(args, " ")), cmd}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.schema(cmd.Context(), f, args) },
	}
	fl := c.Flags()
	fl.BoolVar(&f.json, "json", false, "print JSON (docs/schema-json.md)")
	fl.StringVar(&f.markdown, "markdown", "", "write the pages of the reference into this `folder`")
	fl.Lookup("markdown").Hidden = true
	return c
}

// document describes what this program has.
func (a *app) document() *schemadoc.Document {
	return schemadoc.New(builtins(), sortedKeys(a.dialers()))
}

func (a *app) schema(ctx context.Context, f schemaFlags, args []string) error {
	d := a.document()
	switch {
	case f.markdown != "" && (f.json || len(args) > 0):
		return errors.New("-markdown writes all pages: give neither -json nor a kind with it")
	case f.markdown != "":
		return writePages(f.markdown, d.Pages())
	case len(args) == 0 && f.json:
		return schemadoc.WriteJSON(a.streams.Out, d)
	case len(args) == 0:
		return d.WriteText(a.streams.Out, a.width())
	}
	kind, err := kindOf(d, args[0])
	if err != nil {
		return err
	}
	if kind == blockKind {
		return a.schemaBlock(f, d, args[1:])
	}
	if len(args) == 1 {
		if f.json {
			return schemadoc.WriteJSON(a.streams.Out, d.Of(kind))
		}
		return d.WriteKind(a.streams.Out, kind, a.width())
	}
	c, ok := d.Component(kind, args[1])
	if !ok {
		if c, ok, err = a.pluginSchema(ctx, kind, args[1]); err != nil {
			return err
		}
	}
	if !ok {
		var names []string
		for _, one := range d.Of(kind) {
			names = append(names, one.Name)
		}
		return fmt.Errorf("there is no %s %q.%s", kind, args[1], diag.Suggest(args[1], string(kind)+"s", names))
	}
	if f.json {
		return schemadoc.WriteJSON(a.streams.Out, c)
	}
	return c.WriteText(a.streams.Out, a.width())
}

// blockKind stands beside the kinds of components on the command line.
const blockKind schemadoc.Kind = "block"

// kindOf reads a kind, also in the plural and as templates write it. Of the
// name of a component it says of which kinds there is one.
func kindOf(d *schemadoc.Document, text string) (schemadoc.Kind, error) {
	kinds := append(schemadoc.Kinds(), blockKind)
	name := schemadoc.Kind(strings.TrimSuffix(strings.ReplaceAll(text, "_", "-"), "s"))
	switch name {
	case "data":
		name = schemadoc.DataSource
	case "source":
		name = schemadoc.Builder
	}
	if slices.Contains(kinds, name) {
		return name, nil
	}
	var names, ways []string
	for _, k := range kinds {
		names = append(names, string(k))
		if _, ok := d.Component(k, text); ok {
			ways = append(ways, string(k)+" "+text)
		}
	}
	if len(ways) > 0 {
		return "", fmt.Errorf("%q is the name of a component: say its kind as well, as in %s", text, diag.Names(ways))
	}
	return "", fmt.Errorf("there is no kind %q.%s", text, diag.Suggest(text, "kinds", names))
}

// schemaBlock describes the blocks of the language, or one by its path, such
// as "build.provisioner".
func (a *app) schemaBlock(f schemaFlags, d *schemadoc.Document, names []string) error {
	if len(names) == 0 {
		if f.json {
			return schemadoc.WriteJSON(a.streams.Out, d.Blocks)
		}
		return d.WriteBlocks(a.streams.Out, a.width())
	}
	b, err := d.Block(names[0])
	switch {
	case err != nil:
		return err
	case f.json:
		return schemadoc.WriteJSON(a.streams.Out, b)
	}
	return b.WriteText(a.streams.Out, a.width())
}

// width is how many columns texts may have.
func (a *app) width() int {
	const usual, widest = 100, 120
	if columns, _, err := term.GetSize(int(a.streams.Out.Fd())); err == nil {
		return min(columns, widest)
	}
	return usual
}

// writePages writes the pages below a folder.
func writePages(dir string, pages map[string]string) error {
	for name, text := range pages {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			return fmt.Errorf("write the reference: %w", err)
		}
		if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
			return fmt.Errorf("write the reference: %w", err)
		}
	}
	return nil
}
