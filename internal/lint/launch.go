package lint

import (
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"ingot/internal/lang"
)

// launch is how a script is started.
type launch struct {
	// known is unset when that cannot be told.
	known bool
	// shell is the interpreter that is given the script; empty when the
	// script is executed, so that its first line decides.
	shell string
	// errexit: the interpreter is told to end after a failed command.
	errexit bool
}

const scriptMark = "INGOT_SCRIPT_PATH"

// scriptAction is the action that stands for the script's path.
var scriptAction = pattern(`\{\{-?\s*\.(Path|Script|Command)\s*-?\}\}`)

// variablesAction is the action that stands for environment variables.
var variablesAction = pattern(`\{\{-?\s*\.(Vars|EnvVarFile)\s*-?\}\}`)

// launchOf reads an execute_command.
func launchOf(text string) launch {
	text = scriptAction().ReplaceAllString(text, scriptMark)
	text = variablesAction().ReplaceAllString(text, "")
	text = action().ReplaceAllString(text, placeholder)
	f, err := parseShell(text, syntax.LangBash)
	if err != nil {
		return launch{}
	}
	c := collector{script: &script{}}
	var out launch
	for _, cmd := range c.stmts(f.Stmts, surroundings{}) {
		switch {
		case cmd.name == scriptMark:
			out = launch{known: true}
		case isShell(cmd.name) && cmd.has(scriptMark):
			out = launch{known: true, shell: cmd.name, errexit: errexitIn(cmd.args)}
		case (cmd.name == "." || cmd.name == "source") && cmd.has(scriptMark):
			out = launch{}
		case cmd.name != "" && cmd.name != "chmod" && cmd.name != "chown" && cmd.has(scriptMark):
			out = launch{known: true, shell: cmd.name} // another language
		}
	}
	return out
}

// errexitIn reports whether options of a shell, or of set, ask it to end after
// a failed command.
func errexitIn(args []arg) bool {
	for i, a := range args {
		switch {
		case isCluster(a.text) && strings.Contains(a.text, "e"):
			return true
		case a.text == "errexit" && i > 0 && strings.HasSuffix(args[i-1].text, "o"):
			return true
		case a.text == scriptMark:
			return false
		}
	}
	return false
}

// shebang reads the first line of a script: the interpreter's base name and
// whether it is told to end after a failed command. The name is "" when there
// is no such line.
func shebang(text string) (shell string, errexit bool) {
	first, _, _ := strings.Cut(text, "\n")
	rest, ok := strings.CutPrefix(strings.TrimRight(first, "\r"), "#!")
	if !ok {
		return "", false
	}
	return interpreter(rest)
}

// interpreter reads what follows "#!".
func interpreter(line string) (shell string, errexit bool) {
	fields := strings.Fields(line)
	if len(fields) == 0 {
		return "", false
	}
	if path.Base(fields[0]) == "env" {
		fields = fields[1:]
		for len(fields) > 0 && strings.HasPrefix(fields[0], "-") {
			fields = fields[1:]
		}
		if len(fields) == 0 {
			return "", false
		}
	}
	shell = path.Base(fields[0])
	var args []arg
	for _, f := range fields[1:] {
		args = append(args, arg{text: f, literal: true})
	}
	return shell, errexitIn(args)
}

// executeCommand is the text of execute_command, as one line. Set is unset
// when there is none, known when it is not known.
func executeCommand(s *lang.Section) (text string, set, known bool) {
	a := s.Argument("execute_command")
	if a == nil {
		return "", false, true
	}
	elements := a.Elements()
	if len(elements) == 1 && elements[0] == a {
		text, exact := rawSketch(a)
		return text, true, exact || text != placeholder
	}
	// A list of arguments: "sh", "-c", "...".
	var words []string
	for _, e := range elements {
		text, exact := rawSketch(e)
		if !exact && text == placeholder {
			return "", true, false
		}
		if len(words) > 0 && words[len(words)-1] == "-c" {
			text = syntaxQuote(text)
		}
		words = append(words, text)
	}
	return strings.Join(words, " "), true, true
}

func syntaxQuote(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'"'"'`) + "'"
}

// rawSketch is sketch without touching template actions.
func rawSketch(a *lang.Argument) (string, bool) {
	if text, ok := plainText(a.Value); ok {
		return text, true
	}
	return sketch(a, a.Expr)
}

// start decides which shell runs the script, and how.
func (s *script) start(section *lang.Section, local bool) {
	own, ownExit := shebang(s.text)
	if s.inline {
		own, ownExit = inlineShell(section, s.text, local)
	}
	text, set, known := executeCommand(section)
	how := launch{known: true}
	if set {
		how = launch{}
		if known {
			how = launchOf(text)
		}
	}
	switch {
	case !how.known:
		s.shell = own
		return
	case how.shell != "":
		s.shell, s.errexit, s.errexitKnown = how.shell, how.errexit, true
		s.started = "execute_command runs it with " + how.shell + ", so its own first line does not count"
		return
	}
	s.shell, s.errexit, s.errexitKnown = own, ownExit, true
	if s.shell == "" && !s.inline {
		s.shell = "sh" // what a shell does with a file that has no such line
		if ext := path.Ext(s.file); slices.Contains([]string{".ps1", ".py", ".rb", ".pl", ".js"}, ext) {
			s.shell = ext
		}
	}
}

// inlineShell is the interpreter of inline lines.
func inlineShell(section *lang.Section, text string, local bool) (shell string, errexit bool) {
	a := section.Argument("inline_shebang")
	if a == nil {
		if first, e := shebang(text); first != "" && !local {
			return first, e
		}
		return "sh", true
	}
	line, ok := plainText(a.Value)
	if !ok {
		return "", true
	}
	if strings.TrimSpace(line) == "" {
		return "sh", true
	}
	return interpreter(strings.TrimPrefix(line, "#!"))
}
