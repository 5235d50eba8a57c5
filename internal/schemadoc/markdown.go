package schemadoc

import (
	"fmt"
	"path"
	"strings"

	"ingot/internal/component"
)

// Command is what writes the pages of the reference anew, from the root of the
// repository.
const Command = "go run ./cmd/ingot schema -markdown docs/reference"

// Pages are the Markdown pages of the reference, by their path below its
// folder.
func (d *Document) Pages() map[string]string {
	out := map[string]string{"README.md": d.index(), "blocks.md": d.blocksPage()}
	for _, c := range d.Components {
		out[pageOf(c)] = d.page(c)
	}
	return out
}

func folder(k Kind) string { return string(k) + "s" }

func pageOf(c Component) string { return path.Join(folder(c.Kind), c.Name+".md") }

func title(k Kind) string {
	text := strings.ReplaceAll(string(k), "data-", "data ")
	return strings.ToUpper(text[:1]) + text[1:]
}

const generated = "<!-- Made by `" + Command + "`. Change the schema of the component instead. -->\n"

func (d *Document) index() string {
	var b strings.Builder
	b.WriteString("# Reference\n\n" + generated + "\n")
	b.WriteString("Every component and its arguments. `ingot schema KIND NAME` prints the same in a\nterminal, and `ingot schema -json` all of it for editors and scripts.\n\n")
	b.WriteString("- [Blocks of the language](blocks.md), with the arguments that every provisioner and\n  post-processor has, and the [values](blocks.md#values) that expressions can use\n- [Functions](../functions.md)\n")
	for _, k := range Kinds() {
		fmt.Fprintf(&b, "\n## %ss\n\n", title(k))
		var rows [][]string
		for _, c := range d.Of(k) {
			rows = append(rows, []string{fmt.Sprintf("[%s](%s)", c.Name, pageOf(c)), cell(firstSentence(c.Description))})
		}
		b.WriteString(markdownTable([]string{strings.ToLower(title(k)), ""}, rows))
	}
	return b.String()
}

func (d *Document) page(c Component) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s %s\n\n%s\n%s\n", title(c.Kind), c.Name, generated, c.Description)
	if c.Since != component.FirstRelease {
		fmt.Fprintf(&b, "\nSince version %s.\n", c.Since)
	}
	if c.Example != "" {
		fmt.Fprintf(&b, "\n## Example\n\n```hcl\n%s```\n", c.Example)
	}
	own, shared := c.split()
	if len(own.Attributes) > 0 || len(own.Blocks) > 0 {
		b.WriteString("\n## Arguments\n")
		own.markdown(&b, 3, "")
	}
	if shared {
		b.WriteString("\n## Connection\n\nThe arguments of the communicators can be set as well:")
		for i, comm := range d.Of(Communicator) {
			separator := ","
			if i == 0 {
				separator = ""
			}
			fmt.Fprintf(&b, "%s [%s](../%s)", separator, comm.Name, pageOf(comm))
		}
		b.WriteString(".\n")
	}
	if c.Kind == Provisioner || c.Kind == PostProcessor {
		fmt.Fprintf(&b, "\nEvery %s has the arguments of its [block](../blocks.md#%s) besides.\n", c.Kind, anchor(c.Kind))
	}
	markdownTerms(&b, "What templates see", "Provisioners and post-processors can use these values, beside those that\n[every build](../blocks.md#values) has.", "build.", append(c.Facts[:len(c.Facts):len(c.Facts)], c.Data...))
	if len(c.Results) > 0 {
		b.WriteString("\n## Values\n\n")
		var rows [][]string
		for _, r := range c.Results {
			rows = append(rows, []string{code(r.Name), code(r.Type), cell(r.Description)})
		}
		b.WriteString(markdownTable([]string{"value", "type", ""}, rows))
	}
	if c.Artifact != "" {
		fmt.Fprintf(&b, "\n## Artifact\n\n%s\n", c.Artifact)
	}
	return b.String()
}

// anchor leads to the block of a kind of step on the page of blocks.
func anchor(k Kind) string { return string(k) }

// split takes out the arguments that belong to communicators, which have pages
// of their own.
func (c Component) split() (own Body, shared bool) {
	own.Blocks = c.Blocks
	connection := map[string]bool{}
	if c.Kind == Builder {
		for _, a := range component.ConnectionAttributes() {
			connection[a.Name] = a.Name != "communicator"
		}
	}
	for _, a := range c.Attributes {
		if connection[a.Name] {
			shared = true
			continue
		}
		own.Attributes = append(own.Attributes, a)
	}
	return own, shared
}

// markdown writes the table of arguments and a section for each block.
func (b Body) markdown(w *strings.Builder, level int, inside string) {
	if len(b.Attributes) > 0 {
		var rows [][]string
		for _, a := range b.Attributes {
			rows = append(rows, []string{code(a.Name), code(a.Type), cell(a.markdown())})
		}
		w.WriteString("\n" + markdownTable([]string{"argument", "type", ""}, rows))
	}
	for _, inner := range b.Blocks {
		often := "At most one."
		switch {
		case inner.Repeated:
			often = "May be repeated."
		case inner.Required:
			often = "Exactly one."
		}
		name := strings.TrimSpace(inside + " " + inner.Type)
		fmt.Fprintf(w, "\n%s Block %s\n\n%s %s\n", strings.Repeat("#", level), name, inner.Description, often)
		inner.Body.markdown(w, level, name)
	}
}

func (a Attribute) markdown() string {
	text := a.details()
	if rest, ok := strings.CutPrefix(text, "Required. "); ok {
		text = "**Required.** " + rest
	}
	if a.Since != component.FirstRelease {
		text += " Since version " + a.Since + "."
	}
	return text
}

func (d *Document) blocksPage() string {
	var b strings.Builder
	b.WriteString("# Blocks of the language\n\n" + generated + "\nWhat can stand in a template, and which arguments it has.\n")
	for _, block := range d.Blocks {
		d.blockSection(&b, block, 2, "")
	}
	markdownTerms(&b, "Values", "What expressions can refer to. The pages of the builders have what their machines\ntell besides.", "", d.Values)
	return b.String()
}

func (d *Document) blockSection(w *strings.Builder, b Block, level int, inside string) {
	fmt.Fprintf(w, "\n%s %s\n\n`%s { }`", strings.Repeat("#", level), b.Type, b.heading())
	if inside != "" {
		fmt.Fprintf(w, " in %s", inside)
	}
	fmt.Fprintf(w, "\n\n%s\n", b.Description)
	if b.Component != "" {
		fmt.Fprintf(w, "\nIt has the arguments of its [%s](README.md#%ss) besides.\n", strings.ToLower(title(b.Component)), strings.ReplaceAll(strings.ToLower(title(b.Component)), " ", "-"))
	}
	Body{Attributes: b.Attributes}.markdown(w, level, "")
	name := code(b.Type)
	if inside != "" {
		name = inside + " " + name
	}
	for _, inner := range b.Blocks {
		d.blockSection(w, inner, min(level+1, 4), name)
	}
}

func markdownTerms(w *strings.Builder, heading, about, prefix string, terms []Term) {
	if len(terms) == 0 {
		return
	}
	fmt.Fprintf(w, "\n## %s\n\n%s\n\n", heading, about)
	var rows [][]string
	for _, t := range terms {
		rows = append(rows, []string{code(prefix + t.Name), cell(t.Description)})
	}
	w.WriteString(markdownTable([]string{"value", ""}, rows))
}

func markdownTable(head []string, rows [][]string) string {
	var b strings.Builder
	b.WriteString("| " + strings.Join(head, " | ") + " |\n|" + strings.Repeat(" --- |", len(head)) + "\n")
	for _, row := range rows {
		b.WriteString("| " + strings.Join(row, " | ") + " |\n")
	}
	return b.String()
}

func code(text string) string { return "`" + text + "`" }

// cell is a text on one line without the border of cells.
func cell(text string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "|", `\|`)
}
