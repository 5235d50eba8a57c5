package planview

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"

	"ingot/internal/component"
	"ingot/internal/lang"
)

// The words that stand for what is not shown.
const (
	hidden         = "<sensitive>"
	waitsForRun    = "(known when the machine runs)"
	waitsForBuild  = "(known when another build has ended)"
	waitsForData   = "(known after reading data sources)"
	inlineMost     = 72
	heredocMarker  = "EOT"
	nothingCreated = "nothing is created"
)

// WriteText writes the plan for people: a tree of builds, and a summary as the
// last line.
func (v *View) WriteText(w io.Writer) error {
	out := bufio.NewWriter(w)
	p := printer{out}
	for _, b := range v.Builds {
		p.build(b)
		p.line(0, "")
	}
	p.line(0, v.Summary().String())
	return out.Flush()
}

// String is the summary as a sentence.
func (s Summary) String() string {
	made := nothingCreated
	if len(s.Creates) > 0 {
		var parts []string
		for _, c := range s.Creates {
			parts = append(parts, counted(c.Count, c.Kind))
		}
		made = "creates " + strings.Join(parts, ", ")
	}
	return fmt.Sprintf("Plan: %s, %s, %s; %s.", counted(s.Builds, "build"),
		counted(s.Provisioners, "provisioner"), counted(s.PostProcessors, "post-processor"), made)
}

func counted(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strconv.Itoa(n) + " " + noun
}

// printer writes lines; the error of its writer stays there until Flush.
type printer struct{ w *bufio.Writer }

func (p printer) line(depth int, text string) {
	if text != "" {
		for range depth {
			_, _ = p.w.WriteString("  ")
		}
		_, _ = p.w.WriteString(text)
	}
	_ = p.w.WriteByte('\n')
}

func (p printer) build(b *Build) {
	p.line(0, b.Addr.String()+at(b.Use))
	for text := range strings.Lines(b.Description) {
		p.line(1, printable(strings.TrimRight(text, "\r\n")))
	}
	for _, need := range b.Needs {
		p.line(1, "needs "+need.String())
	}
	p.line(1, "source "+b.Source.String()+at(b.SourceRange))
	p.body(3, nil, b.Body)
	if text := created(b.Creates); text != "" {
		p.line(3, "creates "+text)
	}
	if b.Communicator != "" {
		p.line(1, "communicator "+b.Communicator)
	}
	for i, s := range b.Provisioners {
		p.step("provisioner "+strconv.Itoa(i+1), s)
	}
	if b.ErrorCleanup != nil {
		p.step("error-cleanup-provisioner", b.ErrorCleanup)
	}
	for _, t := range b.Tests {
		for i, s := range t.Checks {
			p.step("test "+strconv.Quote(printable(t.Name))+" check "+strconv.Itoa(i+1), s)
		}
	}
	for i, chain := range b.Chains {
		for j, s := range chain {
			name := "post-processor " + strconv.Itoa(i+1)
			if len(chain) > 1 {
				name += "." + strconv.Itoa(j+1)
			}
			p.step(name, s)
		}
	}
}

// at is a place behind something.
func at(p Place) string {
	if s := p.String(); s != "" {
		return "  (" + s + ")"
	}
	return ""
}

func (p printer) step(position string, s *Step) {
	p.line(1, position+": "+printable(s.Label())+at(s.Range))
	p.body(3, s.meta(), s.Body)
	if text := created(s.Creates); text != "" {
		p.line(3, "creates "+text)
	}
}

// meta are the meta-arguments that are set.
func (s *Step) meta() []Argument {
	var out []Argument
	add := func(name string, shape Shape, text string) {
		out = append(out, Argument{Name: name, Value: Value{Shape: shape, Text: text}})
	}
	if s.PauseBefore > 0 {
		add("pause_before", String, s.PauseBefore.String())
	}
	if s.Timeout > 0 {
		add("timeout", String, s.Timeout.String())
	}
	if s.MaxRetries > 0 {
		add("max_retries", Number, strconv.Itoa(s.MaxRetries))
	}
	if s.ContinueOnError {
		add("continue_on_error", Bool, "true")
	}
	if s.NoCache {
		add("cache", Bool, "false")
	}
	if s.CacheTTL > 0 {
		add("cache_ttl", String, s.CacheTTL.String())
	}
	if s.KeepInput != nil {
		add("keep_input_artifact", Bool, strconv.FormatBool(*s.KeepInput))
	}
	for _, name := range s.UnknownMeta {
		out = append(out, Argument{Name: name, Value: Value{Shape: Hidden, Wait: lang.ForData}})
	}
	return out
}

// created is a list of what is made, in order.
func created(l []component.Creation) string {
	var parts []string
	for _, c := range l {
		text := c.Kind
		if c.Name != "" {
			text += " " + printable(c.Name)
		}
		if c.Temporary {
			text += " (temporary)"
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", then ")
}

// body writes arguments and blocks as a template would have them.
func (p printer) body(depth int, meta []Argument, b Body) {
	args := append(meta, b.Arguments...)
	width := 0
	for _, a := range args {
		width = max(width, len(a.Name))
	}
	for _, a := range args {
		lines := a.Value.lines()
		if a.Default {
			lines[len(lines)-1] += "  (default)"
		}
		p.line(depth, fmt.Sprintf("%-*s = %s", width, a.Name, lines[0]))
		for _, more := range lines[1:] {
			p.line(depth, more)
		}
	}
	for _, block := range b.Blocks {
		if block.Wait != 0 {
			p.line(depth, block.Name+" { } for each of "+waiting(block.Wait)+at(block.Range))
			continue
		}
		p.line(depth, block.Name+" {"+at(block.Range))
		p.body(depth+1, nil, block.Body)
		p.line(depth, "}")
	}
}

func waiting(w lang.Wait) string {
	switch w {
	case lang.ForMachine:
		return waitsForRun
	case lang.ForBuild:
		return waitsForBuild
	}
	return waitsForData
}

// lines is a value as a template would have it, on one line where it fits.
func (v Value) lines() []string {
	if v.Shape == String && strings.Contains(strings.TrimSuffix(v.Text, "\n"), "\n") {
		return v.heredoc()
	}
	if text, ok := v.inline(inlineMost); ok {
		return []string{text}
	}
	opening, closing := "[", "]"
	if v.Shape == Object {
		opening, closing = "{", "}"
	}
	out := []string{opening}
	for i, item := range v.Items {
		inner := item.lines()
		if v.Shape == Object {
			inner[0] = keyText(v.Keys[i]) + " = " + inner[0]
		} else {
			inner[len(inner)-1] += ","
		}
		for _, line := range inner {
			out = append(out, "  "+line)
		}
	}
	return append(out, closing)
}

// heredoc is a text of several lines, line by line.
func (v Value) heredoc() []string {
	out := []string{"<<" + heredocMarker}
	for line := range strings.Lines(v.Text) {
		out = append(out, "  "+printable(strings.TrimSuffix(line, "\n")))
	}
	return append(out, heredocMarker)
}

// inline is a value on one line. It gives up on a list or object that would be
// longer than most.
func (v Value) inline(most int) (string, bool) {
	switch {
	case v.Wait != 0:
		return waiting(v.Wait), true // tells more than that it is also secret
	case v.Shape == Hidden:
		return hidden, true
	case v.Shape == Null:
		return "null", true
	case v.Shape == String:
		return strconv.Quote(v.Text), true
	case v.Shape != List && v.Shape != Object:
		return v.Text, true
	}
	parts, length := []string{}, 0
	for i, item := range v.Items {
		if item.Shape == String && strings.Contains(item.Text, "\n") {
			return "", false
		}
		part, ok := item.inline(most)
		if v.Shape == Object {
			part = keyText(v.Keys[i]) + " = " + part
		}
		if length += len(part) + 2; !ok || length > most {
			return "", false
		}
		parts = append(parts, part)
	}
	switch {
	case v.Shape == List:
		return "[" + strings.Join(parts, ", ") + "]", true
	case len(parts) == 0:
		return "{}", true
	}
	return "{ " + strings.Join(parts, ", ") + " }", true
}

// keyText is the name of an object's value, in quotes where it needs them.
func keyText(key string) string {
	for i, r := range key {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r != '-' && (r < '0' || r > '9')) {
			return strconv.Quote(key)
		}
	}
	if key == "" {
		return `""`
	}
	return key
}

// printable is a text without characters that would change the terminal.
func printable(text string) string {
	quoted := strconv.Quote(strings.ReplaceAll(text, "\t", "    "))
	quoted = quoted[1 : len(quoted)-1]
	return goUnescapes.Replace(quoted)
}

// goUnescapes takes back the escapes of strconv.Quote that only quotes need.
var goUnescapes = strings.NewReplacer(`\"`, `"`, `\\`, `\`)
