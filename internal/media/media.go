// Package media makes the two removable media that a virtual machine can be
// started with: a CD (ISO 9660 with Rock Ridge and Joliet names) and a floppy of
// 1440 KiB (FAT12 with long names). Both are made in this process, without any
// tool of the system, and equal input gives equal bytes: every date is the first
// of January 1980, everything belongs to root, and of a mode only "may be
// executed" is kept.
package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
)

// Config is the cd_* and floppy_* attributes. Builders embed it in their
// configuration struct and Attributes in their schema.
type Config struct {
	CDFiles   []string          `cty:"cd_files"`
	CDContent map[string]string `cty:"cd_content"`
	CDLabel   string            `cty:"cd_label"`

	FloppyFiles   []string          `cty:"floppy_files"`
	FloppyDirs    []string          `cty:"floppy_dirs"`
	FloppyContent map[string]string `cty:"floppy_content"`
	FloppyLabel   string            `cty:"floppy_label"`
}

const defaultLabel = "packer"

// Attributes describes Config for a schema.
func Attributes() []component.Attribute {
	label := func(name, description string) component.Attribute {
		a := component.String(name, description+" Default "+defaultLabel+".")
		a.Default = cty.StringVal(defaultLabel)
		return a
	}
	return []component.Attribute{
		component.Strings("cd_files", "Files and folders to put on a CD, which is made when this or `cd_content` is set. Patterns with `*`, `?` and `[...]` can be used. A file is put at the top of the CD, a folder with all that is in it, and the members of a folder when its path ends in `/`."),
		component.StringMap("cd_content", "Texts to put on the CD, by path. They go before files of the same path."),
		label("cd_label", "The label of the CD, at most 32 characters; `cidata` makes it a seed for cloud-init."),
		component.Strings("floppy_files", "Files to put on a floppy disk of 1440 KiB, all at its top; of a folder, all files that are in it. Patterns with `*`, `?` and `[...]` can be used."),
		component.Strings("floppy_dirs", "Folders to put on the floppy disk, with all that is in them. Patterns with `*`, `?` and `[...]` can be used."),
		component.StringMap("floppy_content", "Texts to put on the floppy disk, by path. They go before files of the same path."),
		label("floppy_label", "The label of the floppy disk, at most 11 characters."),
	}
}

// HasCD reports whether a CD is asked for.
func (c Config) HasCD() bool { return len(c.CDFiles) > 0 || len(c.CDContent) > 0 }

// HasFloppy reports whether a floppy disk is asked for.
func (c Config) HasFloppy() bool {
	return len(c.FloppyFiles) > 0 || len(c.FloppyDirs) > 0 || len(c.FloppyContent) > 0
}

// Check finds mistakes without writing anything: files that are not there,
// patterns that match nothing, names that clash, what does not fit. It reads the
// names and sizes of the files, not what is in them. Attributes that are not known
// yet are empty here and find nothing.
func (c Config) Check() diag.List {
	var out diag.List
	if c.HasCD() {
		_, diags := c.planCD()
		out = append(out, diags...)
	}
	if c.HasFloppy() {
		_, diags := c.planFloppy()
		out = append(out, diags...)
	}
	return out
}

// planCD decides what the CD looks like; nil when there are errors.
func (c Config) planCD() (*disc, diag.List) {
	tree, diags := c.cdTree()
	if diags = append(diags, checkCDLabel(c.CDLabel)...); diags.HasErrors() {
		return nil, diags
	}
	d, more := layOutCD(tree, c.CDLabel)
	return d, append(diags, more...)
}

func (c Config) planFloppy() (*floppy, diag.List) {
	tree, diags := c.floppyTree()
	if diags = append(diags, checkFloppyLabel(c.FloppyLabel)...); diags.HasErrors() {
		return nil, diags
	}
	f, more := layOutFloppy(tree, c.FloppyLabel)
	return f, append(diags, more...)
}

// WriteCD writes the image of the CD to a new file at path, which only the user
// can read, since answers to an installer hold passwords. What is at path is
// replaced; nothing is left there after an error.
func (c Config) WriteCD(ctx context.Context, path string) error {
	disc, diags := c.planCD()
	if diags.HasErrors() {
		return fmt.Errorf("make the CD: %w", diags.Err())
	}
	if err := writeFile(path, func(w io.Writer) error { return disc.write(ctx, w) }); err != nil {
		return fmt.Errorf("make the CD %s: %w", path, err)
	}
	return nil
}

// WriteFloppy writes the image of the floppy disk, as WriteCD does.
func (c Config) WriteFloppy(ctx context.Context, path string) error {
	disk, diags := c.planFloppy()
	if diags.HasErrors() {
		return fmt.Errorf("make the floppy disk: %w", diags.Err())
	}
	if err := writeFile(path, func(w io.Writer) error { return disk.write(ctx, w) }); err != nil {
		return fmt.Errorf("make the floppy disk %s: %w", path, err)
	}
	return nil
}

func (c Config) cdTree() (*folder, diag.List) {
	g := gatherer{root: newFolder(""), foldCase: false}
	for i, pattern := range c.CDFiles {
		g.add(source{"cd_files", i, pattern}, func(path string) error {
			if strings.HasSuffix(pattern, "/") {
				return g.members(path, g.root)
			}
			return g.tree(path, g.root)
		})
	}
	g.contents("cd_content", c.CDContent)
	return g.root, g.diags
}

func (c Config) floppyTree() (*folder, diag.List) {
	g := gatherer{root: newFolder(""), foldCase: true}
	for i, pattern := range c.FloppyFiles {
		g.add(source{"floppy_files", i, pattern}, func(path string) error { return g.flat(path, g.root) })
	}
	for i, pattern := range c.FloppyDirs {
		g.add(source{"floppy_dirs", i, pattern}, func(path string) error { return g.tree(path, g.root) })
	}
	g.contents("floppy_content", c.FloppyContent)
	return g.root, g.diags
}

// writeFile makes a file of what fill writes.
func writeFile(path string, fill func(io.Writer) error) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(fill(f), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}
