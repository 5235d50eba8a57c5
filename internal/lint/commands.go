package lint

import (
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// command is one simple command of a script, with what stands around it.
type command struct {
	script *script
	// name is the base name of the program behind sudo, env and the like,
	// empty when there is none or when it is not a literal.
	name string
	args []arg
	// wrappers are the names of sudo, env and the like in front of it.
	wrappers []string
	// assigned are the names of variables set for this command alone.
	assigned []string
	pos, end syntax.Pos

	// background: it, or what encloses it, runs in the background.
	background bool
	// tolerated: its failure is dealt with, as in "cmd || true" or "if cmd".
	tolerated bool
	// substituted: its output becomes part of another command.
	substituted bool
	// inFunction: it runs only when a function of the script is called.
	inFunction bool
	// stdin: its standard input is a pipe, a file or a here-document.
	stdin bool
	// stdout: its standard output goes to a file.
	stdout bool
	// runsFile: it runs a script that somebody has put on the machine, which
	// may do anything.
	runsFile bool
	// from and to are its neighbours in a pipeline.
	from, to *command
}

// arg is one argument of a command.
type arg struct {
	// text is the argument with its quotes removed and its expansions as
	// they are written.
	text string
	// literal: nothing in it is expanded.
	literal bool
	// params are the variables that it expands.
	params []string
}

// has reports whether an argument is one of the texts.
func (c *command) has(texts ...string) bool {
	for _, a := range c.args {
		if slices.Contains(texts, a.text) {
			return true
		}
	}
	return false
}

// flag reports whether one of the options is given: long ones as --name or
// --name=value, single letters also inside a cluster such as -qy.
func (c *command) flag(options ...string) bool {
	for _, a := range c.args {
		if a.text == "--" {
			return false
		}
		for _, o := range options {
			if a.text == o || strings.HasPrefix(o, "--") && strings.HasPrefix(a.text, o+"=") {
				return true
			}
			if len(o) == 2 && o[0] == '-' && len(a.text) > 2 && a.text[0] == '-' && a.text[1] != '-' &&
				strings.ContainsRune(a.text[1:], rune(o[1])) {
				return true
			}
		}
	}
	return false
}

// operands are the arguments that are not options.
func (c *command) operands() []arg {
	var out []arg
	for _, a := range c.args {
		if !strings.HasPrefix(a.text, "-") {
			out = append(out, a)
		}
	}
	return out
}

// packageCommands are the subcommands of package managers, whose options have
// values that look like one.
func packageCommands() []string {
	return []string{
		"install", "update", "upgrade", "dist-upgrade", "full-upgrade", "remove", "purge", "autoremove", "autoclean", "clean",
		"build-dep", "reinstall", "groupinstall", "localinstall", "makecache", "distclean", "source", "download", "check-update",
	}
}

// sub is the first operand: the subcommand of programs that have some.
func (c *command) sub() string {
	if slices.Contains([]string{"apt-get", "apt", "aptitude", "dnf", "yum", "microdnf", "tdnf"}, c.name) {
		return firstOf(c, packageCommands()...)
	}
	if ops := c.operands(); len(ops) > 0 && ops[0].literal {
		return ops[0].text
	}
	return ""
}

// mentions reports whether any part of the command holds a text.
func (c *command) mentions(text string) bool {
	if strings.Contains(c.name, text) {
		return true
	}
	for _, a := range c.args {
		if strings.Contains(a.text, text) {
			return true
		}
	}
	return false
}

func (c *command) wrapped(by string) bool { return slices.Contains(c.wrappers, by) }

// surroundings are what holds for all commands of a part of a script.
type surroundings struct {
	background, tolerated, substituted, inFunction, stdin, stdout bool
}

// collector lists the commands of a script.
type collector struct {
	script *script
	// fixed, when set, is where every command is said to stand: the string
	// that holds it, for "sh -c".
	fixedPos, fixedEnd syntax.Pos
	depth              int
}

// maxNested is how deep "sh -c" in "sh -c" is followed.
const maxNested = 4

func (c *collector) stmts(list []*syntax.Stmt, s surroundings) []*command {
	var out []*command
	for _, st := range list {
		out = append(out, c.stmt(st, s)...)
	}
	return out
}

func (c *collector) stmt(st *syntax.Stmt, s surroundings) []*command {
	if st == nil {
		return nil
	}
	s.background = s.background || st.Background
	s.tolerated = s.tolerated || st.Negated
	var out []*command
	for _, r := range st.Redirs {
		switch r.Op {
		case syntax.RdrIn, syntax.Hdoc, syntax.DashHdoc, syntax.WordHdoc, syntax.RdrInOut, syntax.DplIn:
			s.stdin = true
		case syntax.RdrOut, syntax.AppOut, syntax.RdrClob, syntax.RdrAll, syntax.AppAll:
			if r.N == nil || r.N.Value == "1" {
				s.stdout = s.stdout || !isNull(r.Word)
			}
		}
		out = append(out, c.substitutions(r.Word, s)...)
		if r.Hdoc != nil {
			out = append(out, c.substitutions(r.Hdoc, s)...)
		}
	}
	return append(out, c.command(st.Cmd, st, s)...)
}

func isNull(w *syntax.Word) bool {
	text := argOf(w).text
	return text == "/dev/null" || text == "/dev/stderr"
}

func (c *collector) command(cmd syntax.Command, st *syntax.Stmt, s surroundings) []*command {
	accepted := s
	accepted.tolerated = true
	switch x := cmd.(type) {
	case *syntax.CallExpr:
		return c.call(x, st, s)
	case *syntax.BinaryCmd:
		return c.binary(x, s)
	case *syntax.Block:
		return c.stmts(x.Stmts, s)
	case *syntax.Subshell:
		return c.stmts(x.Stmts, s)
	case *syntax.IfClause:
		var out []*command
		for ; x != nil; x = x.Else {
			out = append(out, c.stmts(x.Cond, accepted)...)
			out = append(out, c.stmts(x.Then, s)...)
		}
		return out
	case *syntax.WhileClause:
		return append(c.stmts(x.Cond, accepted), c.stmts(x.Do, s)...)
	case *syntax.ForClause:
		var out []*command
		if items, ok := x.Loop.(*syntax.WordIter); ok {
			for _, w := range items.Items {
				out = append(out, c.substitutions(w, s)...)
			}
		}
		return append(out, c.stmts(x.Do, s)...)
	case *syntax.CaseClause:
		out := c.substitutions(x.Word, s)
		for _, item := range x.Items {
			out = append(out, c.stmts(item.Stmts, s)...)
		}
		return out
	case *syntax.FuncDecl:
		s.inFunction = true
		return c.stmt(x.Body, s)
	case *syntax.TimeClause:
		return c.stmt(x.Stmt, s)
	case *syntax.CoprocClause:
		s.background = true
		return c.stmt(x.Stmt, s)
	case *syntax.DeclClause:
		var out []*command
		for _, a := range x.Args {
			if a.Value != nil {
				out = append(out, c.substitutions(a.Value, accepted)...)
			}
		}
		return out
	}
	return nil
}

func (c *collector) binary(x *syntax.BinaryCmd, s surroundings) []*command {
	switch x.Op {
	case syntax.Pipe, syntax.PipeAll:
		right := s
		right.stdin = true
		from, to := c.stmt(x.X, s), c.stmt(x.Y, right)
		if len(from) > 0 && len(to) > 0 {
			from[len(from)-1].to, to[0].from = to[0], from[len(from)-1]
		}
		return append(from, to...)
	case syntax.OrStmt:
		left := s
		left.tolerated = true
		return append(c.stmt(x.X, left), c.stmt(x.Y, s)...)
	}
	return append(c.stmt(x.X, s), c.stmt(x.Y, s)...)
}

// substitutions lists the commands whose output a word uses.
func (c *collector) substitutions(w *syntax.Word, s surroundings) []*command {
	if w == nil {
		return nil
	}
	var out []*command
	inner := surroundings{background: s.background, tolerated: s.tolerated, inFunction: s.inFunction, substituted: true}
	syntax.Walk(w, func(n syntax.Node) bool {
		switch x := n.(type) {
		case *syntax.CmdSubst:
			out = append(out, c.stmts(x.Stmts, inner)...)
			return false
		case *syntax.ProcSubst:
			out = append(out, c.stmts(x.Stmts, inner)...)
			return false
		}
		return true
	})
	return out
}

func (c *collector) call(x *syntax.CallExpr, st *syntax.Stmt, s surroundings) []*command {
	var out []*command
	for _, w := range x.Args {
		out = append(out, c.substitutions(w, s)...)
	}
	cmd := &command{
		script: c.script, pos: x.Pos(), end: x.End(),
		background: s.background, tolerated: s.tolerated, substituted: s.substituted,
		inFunction: s.inFunction, stdin: s.stdin, stdout: s.stdout,
	}
	if c.fixedPos.IsValid() {
		cmd.pos, cmd.end = c.fixedPos, c.fixedEnd
	}
	for _, a := range x.Assigns {
		if a.Value != nil {
			out = append(out, c.substitutions(a.Value, s)...)
		}
		if a.Name != nil {
			cmd.assigned = append(cmd.assigned, a.Name.Value)
		}
	}
	if len(x.Args) == 0 {
		return out
	}
	words := make([]arg, len(x.Args))
	for i, w := range x.Args {
		words[i] = argOf(w)
	}
	cmd.unwrap(words)
	nested := c.nested(cmd, s)
	if len(nested) > 0 {
		// The command that starts the shell itself says nothing more.
		return append(out, nested...)
	}
	return append(out, cmd)
}

// argOf reads a word.
func argOf(w *syntax.Word) arg {
	a := arg{literal: true}
	var b strings.Builder
	var parts func([]syntax.WordPart, bool)
	parts = func(list []syntax.WordPart, quoted bool) {
		for _, p := range list {
			switch x := p.(type) {
			case *syntax.Lit:
				b.WriteString(unescape(x.Value, quoted))
			case *syntax.SglQuoted:
				b.WriteString(x.Value)
			case *syntax.DblQuoted:
				parts(x.Parts, true)
			case *syntax.ParamExp:
				a.literal = false
				if x.Param != nil {
					a.params = append(a.params, x.Param.Value)
					b.WriteString("${" + x.Param.Value + "}")
				}
			default:
				a.literal = false
				b.WriteString("$()")
			}
		}
	}
	if w != nil {
		parts(w.Parts, false)
	}
	a.text = b.String()
	return a
}

// unescape removes the backslashes that quote a character.
func unescape(text string, quoted bool) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+1 < len(text) && (!quoted || strings.IndexByte("\\\"$`\n", text[i+1]) >= 0) {
			i++
			if text[i] == '\n' {
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// withValue are the options of wrappers that are followed by a value.
func withValue(wrapper, option string) bool {
	switch wrapper {
	case "sudo":
		return slices.Contains([]string{"-u", "-g", "-h", "-p", "-C", "-r", "-t", "-T", "-U", "-D", "-R"}, option)
	case "env":
		return slices.Contains([]string{"-u", "-C", "-S"}, option)
	case "nice":
		return option == "-n"
	case "ionice":
		return slices.Contains([]string{"-c", "-n"}, option)
	case "timeout":
		return slices.Contains([]string{"-k", "-s"}, option)
	case "chroot":
		return false
	}
	return false
}

// unwrap fills name and args from words, and notes what stands before them.
func (c *command) unwrap(words []arg) {
	for len(words) > 0 {
		first := words[0]
		name := ""
		if first.literal {
			name = path.Base(first.text)
		}
		switch name {
		case "sudo", "env", "nohup", "nice", "ionice", "timeout", "exec", "command", "builtin", "eatmydata", "stdbuf", "setsid", "doas":
		default:
			c.name, c.args = name, words[1:]
			c.runsFile = isPlaced(first.text) || (isShell(name) || name == "." || name == "source") && len(c.args) > 0 && slices.ContainsFunc(c.args, func(a arg) bool { return isPlaced(a.text) || strings.HasSuffix(a.text, ".sh") })
			return
		}
		c.wrappers = append(c.wrappers, name)
		words = words[1:]
		for len(words) > 0 {
			w := words[0].text
			switch {
			case strings.HasPrefix(w, "-") && len(w) > 1:
				if (w == "-i" || w == "-s" || w == "--login" || w == "--shell") && (name == "sudo" || name == "doas") {
					c.wrappers = append(c.wrappers, "login-shell")
				}
				if (w == "-S" || w == "--stdin" || isCluster(w) && strings.Contains(w, "S")) && name == "sudo" {
					c.wrappers = append(c.wrappers, "sudo-stdin")
				}
				n := 1
				if withValue(name, w) {
					n = 2
				}
				words = words[min(n, len(words)):]
				continue
			case isAssignment(w) && (name == "sudo" || name == "env" || name == "doas"):
				key, _, _ := strings.Cut(w, "=")
				c.assigned = append(c.assigned, key)
				words = words[1:]
				continue
			}
			break
		}
		if name == "timeout" && len(words) > 0 {
			words = words[1:] // the duration
		}
	}
}

// isPlaced reports whether the path of a program is not one where systems keep
// their own.
func isPlaced(name string) bool {
	if !strings.Contains(name, "/") || strings.Contains(name, "$()") {
		return false
	}
	for _, dir := range []string{"/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/", "/usr/lib/", "/lib/", "/etc/", "/dev/"} {
		if strings.HasPrefix(name, dir) {
			return false
		}
	}
	return true
}

func isCluster(option string) bool { return len(option) > 1 && option[0] == '-' && option[1] != '-' }

func isAssignment(w string) bool {
	key, _, ok := strings.Cut(w, "=")
	return ok && key != "" && strings.Trim(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789") == ""
}

// isShell reports whether a program runs shell scripts.
func isShell(name string) bool {
	return slices.Contains([]string{"sh", "bash", "dash", "ash", "ksh", "mksh", "zsh"}, name)
}

// nested lists the commands in the string of "sh -c" and "su -c".
func (c *collector) nested(cmd *command, s surroundings) []*command {
	if !isShell(cmd.name) && cmd.name != "su" && cmd.name != "eval" || c.depth >= maxNested {
		return nil
	}
	text, ok := "", false
	for i, a := range cmd.args {
		takes := a.text == "-c" || isShell(cmd.name) && isCluster(a.text) && strings.HasSuffix(a.text, "c")
		if takes && i+1 < len(cmd.args) {
			text, ok = cmd.args[i+1].text, true
		}
	}
	if cmd.name == "eval" && len(cmd.args) == 1 && cmd.args[0].literal {
		text, ok = cmd.args[0].text, true
	}
	if !ok || len(text) > maxScript || strings.TrimSpace(text) == "$()" {
		return nil
	}
	f, err := parseShell(text, syntax.LangBash)
	if err != nil {
		return nil
	}
	inner := &collector{script: c.script, fixedPos: cmd.pos, fixedEnd: cmd.end, depth: c.depth + 1}
	out := inner.stmts(f.Stmts, s)
	for _, x := range out {
		x.wrappers = append(slices.Clone(cmd.wrappers), x.wrappers...)
		x.assigned = append(slices.Clone(cmd.assigned), x.assigned...)
		if cmd.from != nil && x.from == nil {
			x.from = cmd.from
		}
	}
	return out
}
