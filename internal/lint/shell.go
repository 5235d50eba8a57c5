package lint

import (
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"ingot/internal/diag"
)

func shellRules() []*Rule {
	return []*Rule{
		{
			ID: "SH101", Severity: diag.Warning, Title: "Script carries on after a failed command", check: noErrexit,
			Why:    "Without set -e a shell ignores that a command failed and runs the next one. Only the last command decides whether the build succeeds, so that a broken image is published. Inline lines are run by /bin/sh -e and are safe, unless inline_shebang or execute_command changes that; script files are not.",
			Advice: "Put set -e (for bash: set -euo pipefail) on the second line of the script.",
		},
		{
			ID: "SH102", Severity: diag.Error, Title: "Mistake in the syntax of a script", check: syntaxMistake,
			Why:    "The shell cannot read the script. Without this check that shows only after the machine has been started and everything before has run.",
			Advice: "Correct the script.",
		},
		{
			ID: "SH103", Severity: diag.Warning, Title: "Bash in a script for sh", check: bashInSh,
			Why:    "The script is run by /bin/sh and uses what only bash understands. On Debian, Ubuntu and Alpine sh is another shell: the script fails there, or does something else.",
			Advice: "Set inline_shebang = \"/bin/bash -e\" or start the file with #!/bin/bash, or write it for sh.",
		},
		{
			ID: "SH104", Severity: diag.Error, Title: "Package manager that asks", check: asksBeforeInstall,
			Why:    "Nobody is there to answer. The package manager takes the end of its input for no and gives up, or waits until the build's time is over.",
			Advice: "Add -y (pacman: --noconfirm, zypper: --non-interactive).",
		},
		{
			ID: "SH105", Severity: diag.Warning, Title: "Packages installed without an update before", check: noUpdate,
			Why:    "The lists of packages in a base image are old, and in container images there are none. The versions in them have gone from the servers, so that apt-get install fails with 404 or with \"unable to locate package\", on some days and not on others.",
			Advice: "Run apt-get update in front of it, in the same script.",
		},
		{
			ID: "SH106", Severity: diag.Error, Title: "Restart that the build takes for a failure", check: rebootDisconnects,
			Why:    "The script restarts the machine. That ends the connection while the script runs, which is an error unless the step expects it.",
			Advice: "Set expect_disconnect = true on the step. What comes next waits until the machine is back, so no pause is needed.",
		},
		{
			ID: "SH107", Severity: diag.Warning, Title: "Next step may run before the restart", check: noPauseAfterReboot,
			Why:    "The command that restarts a machine returns at once, and the machine takes seconds to go down. The next step connects to the machine that is still there and is cut off in the middle.",
			Advice: "Set pause_before = \"30s\" or so on the next step, pause_after on this one, or end the script with a long sleep after the restart.",
		},
		{
			ID: "SH108", Severity: diag.Error, Title: "Command that waits for a person", check: interactive,
			Why:    "The command asks questions or opens an editor. In a build there is no one to answer: it fails, or waits until the time is over.",
			Advice: "Use its option for scripts, or give it the answers on standard input.",
		},
		{
			ID: "SH109", Severity: diag.Warning, Title: "Script from the network run unseen", check: pipedToShell,
			Why:    "The script is run as it comes, often as root. It can change at any time, nobody can say later what it was, and when the download fails or breaks off, nothing or half of it runs and the step succeeds.",
			Advice: "Download a fixed version with curl -f to a file, compare its checksum, then run it.",
		},
		{
			ID: "SH110", Severity: diag.Warning, Title: "Download that keeps an error page", check: curlWithoutFail,
			Why:    "Without -f curl takes a \"404 not found\" for a success and saves the server's error page under the name of the file.",
			Advice: "Use curl -fsSL.",
		},
		{
			ID: "SH111", Severity: diag.Warning, Title: "Verification turned off", check: verificationOff,
			Why:    "The command is told not to check certificates or signatures. Whoever is on the way can put anything into the image, and it runs as root.",
			Advice: "Install the certificate or key that is missing, and remove the option.",
		},
		{
			ID: "SH112", Severity: diag.Warning, Title: "Files that everybody may change", check: worldWritable,
			Why:    "After chmod 777 every user and every process of the image can replace the files, also those that root runs.",
			Advice: "Give the files to the user that needs them, with chown, and use 755 or 644.",
		},
		{
			ID: "SH113", Severity: diag.Error, Title: "Script with Windows line ends", check: windowsLineEnds,
			Why:    "The lines end with CR LF and nothing converts them: the shell looks for an interpreter or a command whose name ends with an invisible character and reports \"not found\".",
			Advice: "Save the file with LF; with git, set *.sh text eol=lf in .gitattributes. For shell, binary = false converts.",
		},
	}
}

// shellScripts yields the scripts that are read as shell, once.
func (p *pass) shellScripts(yield func(*script) bool) {
	for s := range p.steps {
		for _, sc := range s.scripts {
			if (sc.shell == "" || isShell(sc.shell)) && !yield(sc) {
				return
			}
		}
	}
}

func noErrexit(p *pass) {
	for sc := range p.shellScripts {
		if !sc.errexitKnown || sc.errexit || sc.prog == nil || !hasIgnorable(sc) || setsErrexit(sc) {
			continue
		}
		why := "The script does not stop at a failed command."
		switch {
		case sc.started != "":
			why = "The script does not stop at a failed command: " + sc.started + "."
		case sc.inline:
			why = "These lines do not stop at a failed command, since their first line says nothing of -e."
		}
		p.report(sc.line(1), "%s", why)
	}
}

// hasIgnorable reports whether a script has a command whose failure would go
// unnoticed: one that is not the last.
func hasIgnorable(sc *script) bool {
	n := 0
	for _, st := range sc.prog.Stmts {
		switch x := st.Cmd.(type) {
		case nil, *syntax.FuncDecl, *syntax.DeclClause:
			continue
		case *syntax.CallExpr:
			// Assignments and messages do not fail.
			if len(x.Args) == 0 || slices.Contains([]string{"echo", "printf", "set", "export", "exit", "true", ":", "umask", "sleep"}, x.Args[0].Lit()) {
				continue
			}
		}
		n++
	}
	if n < 2 {
		// A function, or a loop, has its own commands.
		inner := 0
		for _, c := range sc.cmds {
			if !c.tolerated && !c.substituted && !slices.Contains([]string{"echo", "printf", "set", "export", "exit", "true", ":", "sleep", "local", "return", "["}, c.name) {
				inner++
			}
		}
		return n == 1 && inner > 1 && !onlyChained(sc.prog.Stmts)
	}
	return true
}

// onlyChained reports whether all commands of a script are joined by &&.
func onlyChained(list []*syntax.Stmt) bool {
	for _, st := range list {
		switch x := st.Cmd.(type) {
		case *syntax.CallExpr, *syntax.TestClause:
		case *syntax.BinaryCmd:
			if !onlyChained([]*syntax.Stmt{x.X, x.Y}) {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// setsErrexit reports whether the script itself asks to end at a failure.
func setsErrexit(sc *script) bool {
	for _, c := range sc.cmds {
		switch c.name {
		case "set":
			if errexitIn(c.args) {
				return true
			}
		case "trap":
			if c.has("ERR") {
				return true
			}
		}
	}
	return false
}

func syntaxMistake(p *pass) {
	for sc := range p.shellScripts {
		if sc.wrong == nil || sc.prog != nil || sc.guessed || sc.shell == "" || sc.shell == "zsh" {
			continue
		}
		var text string
		var line int
		switch e := sc.wrong.(type) {
		case syntax.ParseError:
			text, line = e.Text, int(e.Pos.Line())
		case syntax.LangError:
			text, line = e.Feature+" is not supported", int(e.Pos.Line())
		default:
			continue // too deep to tell
		}
		p.report(sc.line(line), "%s.", upperFirst(text))
	}
}

func upperFirst(text string) string {
	if text == "" {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

func bashInSh(p *pass) {
	isBash := p.shIsBash()
	for sc := range p.shellScripts {
		if sc.prog == nil || sc.shell != "sh" && sc.shell != "dash" && sc.shell != "ash" || sc.step == nil || !sc.step.runsOnMachine() || isBash[sc.step] {
			continue
		}
		reported := map[string]bool{}
		syntax.Walk(sc.prog, func(n syntax.Node) bool {
			if n == nil {
				return true
			}
			if what := bashism(n); what != "" && !reported[what] {
				reported[what] = true
				p.report(sc.at(n.Pos(), n.End()), "sh does not know %s.", what)
			}
			return true
		})
	}
}

// shIsBash are the steps that run on systems where sh is bash, going by the
// package managers that their builds use.
func (p *pass) shIsBash() map[*step]bool {
	out := map[*step]bool{}
	for _, b := range p.builds {
		if !slices.ContainsFunc(b.steps, usesRPM) {
			continue
		}
		for _, s := range b.steps {
			out[s] = true
		}
	}
	return out
}

func usesRPM(s *step) bool {
	for _, sc := range s.scripts {
		for _, c := range sc.cmds {
			if slices.Contains([]string{"dnf", "yum", "microdnf", "tdnf", "zypper", "amazon-linux-extras", "subscription-manager"}, c.name) {
				return true
			}
		}
	}
	return false
}

// bashism names what is bash in a part of a script, or "".
func bashism(n syntax.Node) string {
	switch x := n.(type) {
	case *syntax.TestClause:
		return "[[ ... ]]; use [ ... ]"
	case *syntax.ArrayExpr:
		return "arrays"
	case *syntax.ProcSubst:
		return "<(...)"
	case *syntax.ArithmCmd:
		return "((...)); use $((...)) or [ ... ]"
	case *syntax.CStyleLoop:
		return "for ((...))"
	case *syntax.FuncDecl:
		if x.RsrvWord {
			return "the word function; write NAME() {"
		}
	case *syntax.Redirect:
		switch x.Op {
		case syntax.RdrAll, syntax.AppAll:
			return "&>; write >FILE 2>&1"
		case syntax.WordHdoc:
			return "<<<"
		}
	case *syntax.ParamExp:
		if x.Slice != nil || x.Repl != nil {
			return "${NAME:1:2} and ${NAME/a/b}"
		}
	case *syntax.SglQuoted:
		if x.Dollar {
			return "$'...'"
		}
	case *syntax.CallExpr:
		if len(x.Args) == 0 {
			return ""
		}
		switch x.Args[0].Lit() {
		case "source":
			return "source; write a dot"
		case "pushd", "popd", "shopt":
			return x.Args[0].Lit()
		case "set":
			for i, w := range x.Args {
				if w.Lit() == "pipefail" && i > 0 {
					return "pipefail everywhere"
				}
			}
		}
	}
	return ""
}

// assumesYes reports whether a script tells apt for good not to ask.
func (p *pass) assumesYes() bool {
	for s := range p.steps {
		for _, sc := range s.scripts {
			if strings.Contains(sc.text, "Assume-Yes") || strings.Contains(sc.text, "assumeyes") {
				return true
			}
		}
	}
	return false
}

var optionVariable = pattern(`(?i)(opt|flag|arg|yes|not_known)`)

func asksBeforeInstall(p *pass) {
	if p.assumesYes() {
		return
	}
	for c := range p.commands {
		if what := asks(c); what != "" {
			p.report(c.script.at(c.pos, c.end), "%s asks before it does anything.", what)
		}
	}
}

// asks names the package manager and its command when it is going to ask.
func asks(c *command) string {
	if c.stdin || c.from != nil {
		return "" // "yes |"
	}
	for _, a := range c.args {
		for _, name := range a.params {
			if optionVariable().MatchString(name) {
				return ""
			}
		}
	}
	sub := c.sub()
	what := c.name + " " + sub
	changes := slices.Contains([]string{"install", "upgrade", "dist-upgrade", "full-upgrade", "remove", "purge", "autoremove", "build-dep", "update", "reinstall", "groupinstall", "localinstall"}, sub)
	switch c.name {
	case "apt-get", "apt", "aptitude":
		if !changes || sub == "update" || aptYes(c) || c.flag("--dry-run", "--simulate", "-s", "--just-print", "--print-uris", "--download-only") {
			return ""
		}
	case "yum", "dnf", "microdnf", "tdnf":
		if c.name == "microdnf" || !changes || c.flag("-y", "--assumeyes", "--assumeno") || sub == "update" && c.flag("--help") {
			return ""
		}
	case "zypper":
		sub = firstOf(c, "in", "install", "up", "update", "dup", "dist-upgrade", "rm", "remove", "patch")
		if sub == "" || c.flag("-n", "--non-interactive", "-y", "--no-confirm", "--quiet") {
			return ""
		}
		what = "zypper " + sub
	case "pacman":
		if c.flag("--noconfirm") || !(c.flag("-S") || c.flag("-R") || c.flag("-U")) || c.flag("-Q") || c.has("-Sy", "-Syy") && len(c.operands()) == 0 || c.has("-Ss", "-Si") {
			return ""
		}
		what = "pacman"
	case "add-apt-repository":
		if c.flag("-y", "--yes", "--assume-yes", "--remove", "--help") {
			return ""
		}
		what = c.name
	case "pip", "pip3":
		if sub != "uninstall" || c.flag("-y", "--yes") {
			return ""
		}
	default:
		return ""
	}
	return what
}

// aptYes reports whether apt-get is told not to ask.
func aptYes(c *command) bool {
	if c.flag("-y", "--yes", "--assume-yes", "--force-yes", "--assume-no") || c.has("-qq") {
		return true
	}
	for _, a := range c.args {
		if strings.Contains(a.text, "Assume-Yes") || strings.HasPrefix(a.text, "-q=2") || isCluster(a.text) && strings.Count(a.text, "q") > 1 {
			return true
		}
	}
	return false
}

// firstOf returns the first argument that is one of the words.
func firstOf(c *command, options ...string) string {
	for _, a := range c.args {
		if slices.Contains(options, a.text) {
			return a.text
		}
	}
	return ""
}

func isApt(c *command) bool { return c.name == "apt-get" || c.name == "apt" || c.name == "aptitude" }

// installsByApt reports whether a command fetches packages with apt.
func installsByApt(c *command) bool {
	if !isApt(c) || !slices.Contains([]string{"install", "build-dep"}, c.sub()) {
		return false
	}
	for _, a := range c.operands() {
		// A file needs no list.
		if a.text != c.sub() && !strings.HasPrefix(a.text, "/") && !strings.HasPrefix(a.text, "./") && !strings.HasSuffix(a.text, ".deb") {
			return true
		}
	}
	return false
}

var aptUpdate = pattern(`\bapt[a-z-]*\b[^\n]*\bupdate\b|\bapt_update\b|\bupdate_apt\b`)

func noUpdate(p *pass) {
	for _, m := range p.machines {
		updated := false
		for _, s := range m.steps {
			if !s.runsOnMachine() {
				continue
			}
			// Scripts have many ways to run it, such as functions of their own.
			updated = updated || s.says(aptUpdate())
			if updated {
				break
			}
			for _, sc := range s.scripts {
				for _, c := range sc.cmds {
					switch {
					case isApt(c) && c.sub() == "update", c.name == "add-apt-repository", c.name == "cloud-init" && c.has("package-update-upgrade-install"):
						updated = true
					case !updated && installsByApt(c) && !s.opaque:
						p.report(sc.at(c.pos, c.end), "Nothing has run apt-get update on this machine yet.")
						updated = true // once is enough
					}
				}
			}
			updated = updated || s.opaque
		}
	}
}

// restarts reports whether a command restarts the machine while the script
// runs.
func restarts(c *command) bool {
	if c.background || c.inFunction {
		return false
	}
	switch c.name {
	case "reboot":
		return !c.flag("--help", "-w", "--wtmp-only")
	case "shutdown":
		return c.flag("-r", "--reboot") && !slices.ContainsFunc(c.args, func(a arg) bool {
			return strings.HasPrefix(a.text, "+") && a.text != "+0"
		})
	case "systemctl":
		return c.sub() == "reboot"
	case "init", "telinit":
		return c.sub() == "6"
	}
	return false
}

func restartIn(s *step) *command {
	for _, sc := range s.scripts {
		for _, c := range sc.cmds {
			if restarts(c) {
				return c
			}
		}
	}
	return nil
}

func rebootDisconnects(p *pass) {
	for s := range p.steps {
		if s.Type != "shell" {
			continue
		}
		c := restartIn(s)
		expects := s.Section.Argument("expect_disconnect")
		codes, complete := texts(s.Section.Argument("valid_exit_codes"))
		if c == nil || isTrue(expects) || isUnknown(expects) || !complete || slices.Contains(codes, "2300218") {
			continue
		}
		p.report(c.script.at(c.pos, c.end), "%s ends the connection, which this step does not expect.", c.name)
	}
}

func noPauseAfterReboot(p *pass) {
	for _, m := range p.machines {
		for i, s := range m.steps {
			if s.Type != "shell" || s.Section.Argument("pause_after") != nil {
				continue
			}
			c := restartIn(s)
			if c == nil || sleepsAfter(s, c) {
				continue
			}
			for _, next := range m.steps[i+1:] {
				if next.Type == "sleep" {
					break
				}
				if next.Type == "shell-local" || next.Type == "breakpoint" {
					continue
				}
				if next.Meta["pause_before"] == nil {
					p.report(next.Range, "The step before it, at line %d, restarts the machine.", s.Range.Start.Line)
				}
				break
			}
		}
	}
}

// sleepsAfter reports whether the script waits to be cut off.
func sleepsAfter(s *step, restart *command) bool {
	seen := false
	for _, sc := range s.scripts {
		for _, c := range sc.cmds {
			if seen && (c.name == "sleep" || c.name == "wait") {
				return true
			}
			seen = seen || c == restart
		}
	}
	return false
}

func interactive(p *pass) {
	for c := range p.commands {
		if what := waitsForPerson(c); what != "" {
			p.report(c.script.at(c.pos, c.end), "%s", what)
		}
	}
}

// waitsForPerson says why a command needs a person, or "".
func waitsForPerson(c *command) string {
	if c.stdin || c.from != nil || c.substituted && c.name == "" {
		return ""
	}
	switch c.name {
	case "vi", "vim", "nano", "emacs", "pico", "visudo":
		if c.name == "visudo" && c.flag("-c", "--check") || (c.name == "vi" || c.name == "vim") && c.flag("-c", "-s", "-e", "-E") || c.has("--version", "--help") || c.flag("--batch") {
			return ""
		}
		return c.name + " opens an editor."
	case "less", "more":
		return c.name + " waits for a key."
	case "top", "htop":
		if c.flag("-b", "-n", "-v") || c.has("--version") {
			return ""
		}
		return c.name + " runs until somebody ends it."
	case "passwd":
		if c.flag("-l", "-u", "-d", "-e", "-S", "-x", "-n", "-w", "-i", "--lock", "--unlock", "--delete", "--expire", "--status", "--stdin", "--help") {
			return ""
		}
		return "passwd asks for a password."
	case "mysql_secure_installation":
		if c.flag("--use-default", "-D") {
			return ""
		}
		return "mysql_secure_installation asks questions."
	case "dpkg-reconfigure":
		if c.flag("-f", "--frontend") || noninteractive(c) {
			return ""
		}
		return "dpkg-reconfigure asks questions."
	case "crontab":
		if c.flag("-e") {
			return "crontab -e opens an editor."
		}
	case "ssh-keygen":
		if c.flag("-N", "-A", "-l", "-y", "-R", "-F", "-r", "-H", "-D", "-i", "-e", "-L", "-h") || c.has("-?") {
			return ""
		}
		return "ssh-keygen asks for a passphrase."
	case "read":
		if c.flag("-t") || !c.flag("-p") {
			return ""
		}
		return "read -p waits for an answer."
	case "fdisk", "gdisk", "cfdisk":
		if c.flag("-l", "-s", "--list", "-v", "--version") {
			return ""
		}
		return c.name + " asks questions."
	case "adduser":
		if c.flag("--disabled-password", "--disabled-login", "--system", "-D", "-S") || c.flag("--gecos") || len(c.operands()) > 1 || !strings.Contains(c.script.text, "apt") {
			return ""
		}
		// Where it is a link to useradd it asks nothing, and options of
		// useradd say so.
		if c.flag("-m", "-M", "-r", "-u", "-g", "-G", "-s", "-d", "-c") {
			return ""
		}
		return "adduser asks for a password and a name."
	case "su":
		if !c.flag("-c", "--command") {
			return "su without -c waits for commands."
		}
	case "":
		if c.wrapped("login-shell") && len(c.args) == 0 {
			return "sudo -i alone waits for commands."
		}
	}
	return ""
}

// noninteractive reports whether debconf is told not to ask.
func noninteractive(c *command) bool {
	return slices.Contains(c.assigned, "DEBIAN_FRONTEND") || strings.Contains(c.script.text, "DEBIAN_FRONTEND") ||
		c.script.step != nil && strings.Contains(environmentNames(c.script.step), "DEBIAN_FRONTEND")
}

// environmentNames is what environment_vars sets, as far as known.
func environmentNames(s *step) string {
	list, _ := texts(s.Section.Argument("environment_vars"))
	out := strings.Join(list, " ")
	if env := s.Section.Argument("env"); env != nil {
		for _, o := range env.Objects() {
			for _, a := range o.Arguments {
				out += " " + a.Name
			}
		}
	}
	return out
}

func downloads(c *command) bool {
	switch c.name {
	case "curl":
		return true
	case "wget":
		return true
	}
	return false
}

// toLocal reports whether a download comes from the machine itself or from the
// cloud's own metadata.
func toLocal(c *command) bool {
	for _, a := range c.operands() {
		for _, host := range []string{"localhost", "127.0.0.1", "169.254.", "[::1]", "file://", "${PACKER_HTTP_ADDR}", "metadata.google.internal"} {
			if strings.Contains(a.text, host) {
				return true
			}
		}
	}
	return false
}

func pipedToShell(p *pass) {
	for c := range p.commands {
		if downloads(c) && c.to != nil && isShell(c.to.name) && !toLocal(c) {
			p.report(c.script.at(c.pos, c.to.end), "What %s fetches is run at once by %s.", c.name, c.to.name)
		}
		// bash <(curl ...), sh -c "$(curl ...)"
		if downloads(c) && c.substituted && !toLocal(c) && runsSubstitution(c) {
			p.report(c.script.at(c.pos, c.end), "What %s fetches is run at once.", c.name)
		}
	}
}

// runsSubstitution reports whether the output of a command is run by a shell
// that stands on the same line.
func runsSubstitution(c *command) bool {
	for _, x := range c.script.cmds {
		if x != c && (isShell(x.name) || x.name == "eval" || x.name == "source" || x.name == ".") && x.pos.Offset() <= c.pos.Offset() && c.end.Offset() <= x.end.Offset() {
			return true
		}
	}
	return false
}

func curlWithoutFail(p *pass) {
	for c := range p.commands {
		if c.name != "curl" || c.substituted || toLocal(c) || c.flag("-f", "--fail", "--fail-with-body", "--fail-early", "-w", "--write-out", "-I", "--head") {
			continue
		}
		if slices.ContainsFunc(c.args, func(a arg) bool {
			return strings.Contains(strings.Join(a.params, " "), placeholderParam) && a.text == placeholder
		}) {
			continue
		}
		saves := c.stdout || c.flag("-o", "-O", "--output", "--remote-name", "--remote-name-all") || c.to != nil && c.to.name != "grep"
		if !saves || c.has("/dev/null") || c.to != nil && isShell(c.to.name) {
			continue
		}
		p.report(c.script.at(c.pos, c.end), "curl saves whatever the server answers.")
	}
}

func verificationOff(p *pass) {
	for c := range p.commands {
		if what := turnsOff(c); what != "" && !toLocal(c) {
			p.report(c.script.at(c.pos, c.end), "%s.", what)
		}
	}
}

// turnsOff names the option that turns verification off, or "".
func turnsOff(c *command) string {
	found := func(option string) string { return option + " of " + c.name + " turns it off" }
	switch c.name {
	case "curl":
		if c.flag("-k", "--insecure") {
			return found("-k")
		}
	case "wget":
		if c.flag("--no-check-certificate") {
			return found("--no-check-certificate")
		}
	case "apt-get", "apt", "aptitude":
		for _, o := range []string{"--allow-unauthenticated", "--force-yes", "--allow-insecure-repositories"} {
			if c.has(o) {
				return found(o)
			}
		}
	case "yum", "dnf", "microdnf", "tdnf":
		if c.has("--nogpgcheck") {
			return found("--nogpgcheck")
		}
	case "rpm":
		for _, o := range []string{"--nosignature", "--nodigest"} {
			if c.has(o) {
				return found(o)
			}
		}
	case "zypper":
		if c.has("--no-gpg-checks") {
			return found("--no-gpg-checks")
		}
	case "apk":
		if c.has("--allow-untrusted") {
			return found("--allow-untrusted")
		}
	case "pip", "pip3":
		if c.flag("--trusted-host") {
			return found("--trusted-host")
		}
	case "git":
		if c.mentions("http.sslVerify=false") || c.mentions("http.sslVerify") && c.has("false") {
			return found("http.sslVerify=false")
		}
	case "npm", "yarn", "pnpm":
		if c.has("strict-ssl") && c.has("false") || c.has("--strict-ssl=false") {
			return found("strict-ssl false")
		}
	case "echo", "printf", "tee":
		for _, a := range c.args {
			if strings.Contains(a.text, "[trusted=yes]") || strings.Contains(a.text, "trusted=yes") && strings.HasPrefix(a.text, "deb ") {
				return "trusted=yes makes apt accept packages without a signature"
			}
		}
	}
	return ""
}

var openMode = pattern(`^0?777$|^(a|ugo)?[+=]rwx$|^[ao]+\+w$|^[ao]\+rwx$`)

func worldWritable(p *pass) {
	for c := range p.commands {
		if c.name != "chmod" {
			continue
		}
		mode := c.sub()
		// "chmod +rwx" is cut down by the umask.
		if openMode().MatchString(mode) && mode != "+rwx" && mode != "=rwx" {
			p.report(c.script.at(c.pos, c.end), "chmod %s lets everybody write.", mode)
		}
	}
}

func windowsLineEnds(p *pass) {
	for s := range p.steps {
		if s.Type != "shell" && s.Type != "shell-local" || s.Type == "shell" && !isTrue(s.Section.Argument("binary")) {
			continue
		}
		for _, sc := range s.scripts {
			i := strings.Index(sc.text, "\r\n")
			if sc.inline || i < 0 || sc.shell == "cmd" {
				continue
			}
			line := 1 + strings.Count(sc.text[:i], "\n")
			p.report(sc.line(line), "The first such line is number %d.", line)
		}
	}
}
