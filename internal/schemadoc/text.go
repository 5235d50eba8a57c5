package schemadoc

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// narrowest is the least width that descriptions get, however narrow the
// terminal is.
const narrowest = 32

// WriteText lists the components and blocks, each with a sentence.
func (d *Document) WriteText(w io.Writer, width int) error {
	out := bufio.NewWriter(w)
	for _, k := range Kinds() {
		d.list(out, k, width)
		fmt.Fprintln(out)
	}
	d.listBlocks(out, width)
	fmt.Fprintf(out, "\nThere are %d functions as well; docs/functions.md describes them.\n", len(d.Functions))
	return out.Flush()
}

// WriteKind lists the components of one kind.
func (d *Document) WriteKind(w io.Writer, k Kind, width int) error {
	out := bufio.NewWriter(w)
	d.list(out, k, width)
	return out.Flush()
}

// WriteBlocks lists the blocks of the language.
func (d *Document) WriteBlocks(w io.Writer, width int) error {
	out := bufio.NewWriter(w)
	d.listBlocks(out, width)
	return out.Flush()
}

func (d *Document) listBlocks(w io.Writer, width int) {
	fmt.Fprintln(w, "Blocks of the language:")
	table(w, "  ", blockRows(d.Blocks), width)
}

func (d *Document) list(w io.Writer, k Kind, width int) {
	title := strings.ReplaceAll(string(k), "-", " ")
	if k == PostProcessor {
		title = string(k)
	}
	fmt.Fprintf(w, "%ss:\n", strings.ToUpper(title[:1])+title[1:])
	var rows [][]string
	for _, c := range d.Of(k) {
		rows = append(rows, []string{c.Name, firstSentence(c.Description)})
	}
	table(w, "  ", rows, width)
}

func blockRows(blocks []Block) [][]string {
	var rows [][]string
	for _, b := range blocks {
		rows = append(rows, []string{b.heading(), firstSentence(b.Description)})
	}
	return rows
}

// heading is the beginning of a block as a template writes it.
func (b Block) heading() string {
	out := b.Type
	for _, l := range b.Labels {
		out += ` "` + strings.ToUpper(l) + `"`
	}
	return out
}

// WriteText describes one component.
func (c Component) WriteText(w io.Writer, width int) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "%s %q\n\n", c.Kind, c.Name)
	paragraph(out, c.Description, width)
	if c.Example != "" {
		fmt.Fprint(out, "\nExample:\n\n")
		indented(out, c.Example)
	}
	c.Body.write(out, "", width)
	writeTerms(out, "What templates see as build.NAME:", append(c.Facts[:len(c.Facts):len(c.Facts)], c.Data...), width)
	var results []Term
	for _, r := range c.Results {
		results = append(results, Term{r.Name + " (" + r.Type + ")", r.Description})
	}
	writeTerms(out, "Values:", results, width)
	if c.Artifact != "" {
		fmt.Fprint(out, "\nArtifact:\n\n")
		paragraph(out, c.Artifact, width)
	}
	return out.Flush()
}

// WriteText describes one block of the language.
func (b Block) WriteText(w io.Writer, width int) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "%s\n\n", b.heading())
	paragraph(out, b.Description, width)
	if b.Component != "" {
		fmt.Fprintf(out, "\nIt has the arguments of its %s besides: ingot schema %s NAME.\n", b.Component, b.Component)
	}
	b.Body.write(out, "", width)
	return out.Flush()
}

func (b Body) write(w io.Writer, path string, width int) {
	if len(b.Attributes) > 0 {
		title := "Arguments:"
		if path != "" {
			title = "Arguments of " + path + ":"
		}
		fmt.Fprintf(w, "\n%s\n\n", title)
		var rows [][]string
		for _, a := range b.Attributes {
			rows = append(rows, []string{a.Name, a.Type, a.details()})
		}
		table(w, "  ", rows, width)
	}
	for _, inner := range b.Blocks {
		name := strings.TrimSpace(path + " " + inner.heading())
		often := "at most once"
		switch {
		case inner.Repeated:
			often = "may be repeated"
		case inner.Required:
			often = "exactly once"
		}
		fmt.Fprintf(w, "\nBlock %s (%s):\n\n", name, often)
		paragraph(w, inner.Description, width)
		inner.Body.write(w, name, width)
	}
}

// details are all there is to say of an argument beside name and type.
func (a Attribute) details() string {
	var notes []string
	if a.Required {
		notes = append(notes, "Required.")
	}
	notes = append(notes, a.Description)
	if len(a.Default) > 0 && StatedDefault(a.Description) == "" {
		notes = append(notes, "Default "+strings.Trim(string(a.Default), `"`)+".")
	}
	if len(a.OneOf) > 0 && !mentionsAll(a.Description, a.OneOf) {
		notes = append(notes, "One of: "+strings.Join(a.OneOf, ", ")+".")
	}
	if a.Format == "duration" {
		notes = append(notes, `A duration such as "30s" or "5m".`)
	}
	if a.Sensitive {
		notes = append(notes, "Sensitive: hidden in all output.")
	}
	if a.Deprecated != "" {
		notes = append(notes, "Deprecated: "+a.Deprecated)
	}
	return strings.Join(notes, " ")
}

func mentionsAll(text string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

func writeTerms(w io.Writer, title string, terms []Term, width int) {
	if len(terms) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n\n", title)
	var rows [][]string
	for _, t := range terms {
		rows = append(rows, []string{t.Name, t.Description})
	}
	table(w, "  ", rows, width)
}

// table writes rows in columns; the last column is wrapped to the width.
func table(w io.Writer, indent string, rows [][]string, width int) {
	var widths []int
	for _, row := range rows {
		for i, cell := range row[:len(row)-1] {
			if len(widths) <= i {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	used := len(indent)
	for _, n := range widths {
		used += n + 2
	}
	for _, row := range rows {
		var line strings.Builder
		line.WriteString(indent)
		for i, cell := range row[:len(row)-1] {
			fmt.Fprintf(&line, "%-*s  ", widths[i], cell)
		}
		for i, part := range wrap(row[len(row)-1], max(width-used, narrowest)) {
			if i > 0 {
				line.Reset()
				line.WriteString(strings.Repeat(" ", used))
			}
			line.WriteString(part)
			fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
		}
	}
}

func paragraph(w io.Writer, text string, width int) {
	for _, line := range wrap(text, max(width, narrowest)) {
		fmt.Fprintln(w, line)
	}
}

func indented(w io.Writer, text string) {
	for line := range strings.Lines(text) {
		fmt.Fprint(w, "  "+line)
	}
}

// wrap breaks a text between words. There is one line at least; a word that is
// longer than the width gets a line of its own.
func wrap(text string, width int) []string {
	var out []string
	line, length := "", 0
	for _, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		if line != "" && length+1+n > width {
			out = append(out, line)
			line, length = "", 0
		}
		if line != "" {
			line += " "
			length++
		}
		line += word
		length += n
	}
	return append(out, line)
}
