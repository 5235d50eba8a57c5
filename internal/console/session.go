package console

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/diag"
)

// Scope is what expressions are evaluated in.
type Scope interface {
	names
	// Eval evaluates the expression in src, which begins at start of the
	// file name. Sensitive parts of the value are marked.
	Eval(ctx context.Context, src []byte, name string, start hcl.Pos) (cty.Value, diag.List)
	// Legacy reports whether an expression is a text with actions, so that
	// brackets and heredocs mean nothing.
	Legacy() bool
}

// Session evaluates what is read, one input after the other.
type Session struct {
	Scope Scope
	// Out is where results are printed.
	Out io.Writer
	// Report prints findings; sources has the text that they point at.
	Report func(l diag.List, sources map[string][]byte)
	// Redact hides what must not be printed.
	Redact func(string) string
	// Variables is what the command "variables" prints.
	Variables func() string
	// Unknown is printed for values that are not known.
	Unknown string
}

// commands are the words that are no expressions.
var commands = []string{"exit", "help", "variables"}

const helpText = `Type an expression to see its value: var.NAME, local.NAME, upper("x"),
[for s in local.list : length(s)]. It may go on over several lines while a bracket
or a heredoc is open.

  variables   list the variables and locals with their values
  help        this text
  exit        leave; Ctrl-D does the same

Tab completes names, the arrow keys bring back earlier lines, Ctrl-C clears the line.
`

const legacyHelpText = `Type a text with actions to see what it becomes: {{user ` + "`NAME`" + `}}, {{timestamp}}.

  variables   list the variables with their values
  help        this text
  exit        leave; Ctrl-D does the same
`

// Stream evaluates every input that the reader holds and prints each result.
// ok is false when one of them could not be evaluated; the others are all the
// same. name is what findings call the input.
func (s *Session) Stream(ctx context.Context, in io.Reader, name string) (ok bool, err error) {
	lines := bufio.NewReader(in)
	var all []byte
	start := hcl.InitialPos // of the input that is being read
	ok = true
	for {
		line, err := lines.ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return false, fmt.Errorf("read %s: %w", name, err)
		}
		last := err != nil
		all = append(all, line...)
		input := string(all[start.Byte:])
		if !last && s.open(input) {
			continue
		}
		good, exit, err := s.input(ctx, input, name, start, all)
		ok = ok && good
		if err != nil || exit || last {
			return ok, err
		}
		start.Byte = len(all)
		start.Line += strings.Count(input, "\n")
	}
}

// Terminal reads from a person at a terminal until they leave.
func (s *Session) Terminal(ctx context.Context, in, out *os.File, h *History) error {
	const name = "<console>"
	if _, err := fmt.Fprintln(out, `Type an expression, or "help".`); err != nil {
		return err
	}
	ed := newEditor(in, out, s.Scope, h)
	input := ""
	for {
		prompt := "> "
		if input != "" {
			prompt = ". "
		}
		line, err := ed.readLine(ctx, prompt)
		switch {
		case errors.Is(err, errInterrupt):
			input = ""
			continue
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := h.remember(line); err != nil {
			s.Report(diag.Warnf("The history is not kept", "%s.", err), nil)
		}
		input += line + "\n"
		if s.open(input) {
			continue
		}
		text := input
		input = ""
		if _, exit, err := s.input(ctx, text, name, hcl.InitialPos, []byte(text)); err != nil || exit {
			return err
		}
	}
}

func (s *Session) open(input string) bool { return !s.Scope.Legacy() && open(input) }

// input does what one input asks for: good reports whether it could be done.
// An error means that the result could not be printed.
func (s *Session) input(ctx context.Context, input, name string, start hcl.Pos, source []byte) (good, exit bool, err error) {
	legacy := s.Scope.Legacy()
	word := strings.TrimSpace(input)
	switch {
	case word == "" || !legacy && blank(input):
		return true, false, nil
	case word == "exit":
		return true, true, nil
	case word == "help" && legacy:
		return true, false, s.print(legacyHelpText)
	case word == "help":
		return true, false, s.print(helpText)
	case word == "variables":
		return true, false, s.print(s.Variables())
	}
	src := []byte(strings.TrimRight(input, "\r\n"))
	if bytes.Contains(src, []byte("<<")) && !legacy {
		src = append(src, '\n') // the end of a heredoc is a whole line
	}
	val, diags := s.Scope.Eval(ctx, src, name, start)
	if len(diags) > 0 {
		s.Report(diags, map[string][]byte{name: source})
	}
	if diags.HasErrors() {
		return false, false, nil
	}
	return true, false, s.print(Text(val, s.Unknown) + "\n")
}

func (s *Session) print(text string) error {
	_, err := io.WriteString(s.Out, s.Redact(text))
	return err
}

// Printable makes a Redact for a terminal of another: it leaves out the
// characters of a value that would do more there than be shown.
func Printable(redact func(string) string) func(string) string {
	return func(text string) string {
		return strings.Map(func(r rune) rune {
			if unicode.IsControl(r) && r != '\n' && r != '\t' {
				return -1
			}
			return r
		}, redact(text))
	}
}
