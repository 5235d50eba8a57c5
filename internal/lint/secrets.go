package lint

import (
	"path"
	"slices"
	"strings"
	"unicode"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/diag"
	"ingot/internal/lang"
)

func secretRules() []*Rule {
	return []*Rule{
		{
			ID: "SEC101", Severity: diag.Error, Title: "Credential in the template", check: writtenCredentials,
			Why:    "The template holds a credential of a cloud, a registry or a hypervisor as plain text. It is in the history of the repository, in every copy of it and in the logs of whoever prints the template, and it has to be revoked to get it out again.",
			Advice: "Use what the platform offers (a profile, an instance role, an environment variable), or a variable with sensitive = true and no default.",
		},
		{
			ID: "SEC102", Severity: diag.Warning, Title: "Password of the machine in the template", check: writtenPasswords,
			Why:    "The machine is reached with a password that stands in the template. Installers usually create that user for good, so that every machine made from the image can be entered with it. The user vagrant of Vagrant boxes is not reported, since everybody knows its password by design.",
			Advice: "Use a key, or a variable with sensitive = true; lock or remove the user in the last step.",
		},
		{
			ID: "SEC103", Severity: diag.Warning, Title: "Secret variable that is not sensitive", check: insensitiveVariables,
			Why:    "The variable's name says that it holds a secret, but it is not marked as one. Its value is then shown in logs, in diagnostics and by inspect.",
			Advice: "Add sensitive = true to the variable. It needs a variable block of its own; a legacy template lists it in sensitive-variables.",
		},
		{
			ID: "SEC104", Severity: diag.Error, Title: "Secret as the default of a variable", check: secretDefaults,
			Why:    "The default of a variable for a secret stands in the template and with it in the repository. A build that forgets to set the variable does not fail but uses it.",
			Advice: "Remove the default, so that the variable has to be set: by PKR_VAR_NAME in the environment, a var file that is not committed, or env() or vault() in the default.",
		},
		{
			ID: "SEC105", Severity: diag.Error, Title: "Recognisable key or token", check: tokensInText,
			Why:    "The text has the exact form of an access key, a token or a private key. Programs that search public repositories for such texts find them within minutes.",
			Advice: "Revoke it, then remove it. A secret that was once committed is not secret any more.",
		},
		{
			ID: "SEC106", Severity: diag.Warning, Title: "Password on a command line", check: passwordsInCommands,
			Why:    "A command is given a password as it stands in the template or script. While it runs, every user of the machine sees it in the list of processes, and it is in the repository.",
			Advice: "Let the build's user use sudo without a password, give other commands the secret by a file or by an environment variable that is set from a sensitive variable.",
		},
		{
			ID: "SEC107", Severity: diag.Error, Title: "Secret among environment variables", check: secretsInEnvironment,
			Why:    "An environment variable of a step is set to a secret that is written out in the template.",
			Advice: "Set it from a variable with sensitive = true.",
		},
		{
			ID: "SEC108", Severity: diag.Error, Title: "Secret in the image's metadata", check: secretsInChanges,
			Why:    "ENV, LABEL and ARG are stored in the configuration of a container image. Whoever can pull the image reads them with docker inspect, also when a later layer sets them to something else.",
			Advice: "Give the secret to the step that needs it, by its environment_vars, and to containers when they start.",
		},
		{
			ID: "SEC109", Severity: diag.Warning, Title: "Credential file left in the image", check: uploadedCredentials,
			Why:    "A private key or a file of credentials is uploaded and no later step removes it, so that everybody who uses the image has it.",
			Advice: "Remove the file in a later step. For downloads, prefer short-lived tokens in environment variables.",
		},
		{
			ID: "SEC110", Severity: diag.Info, Title: "Key of the build stays in the image", check: authorizedKeys,
			Why:    "EC2 puts the public half of the build's temporary key into authorized_keys, and it is captured with the image. The private half is thrown away, but audits and the AWS Marketplace reject such images.",
			Advice: "Set ssh_clear_authorized_keys = true, or remove the file in the last step.",
		},
	}
}

// words splits a name at underscores, dashes and changes of case.
func words(name string) []string {
	var out []string
	var cur strings.Builder
	flush := func() {
		if cur.Len() > 0 {
			out = append(out, strings.ToLower(cur.String()))
			cur.Reset()
		}
	}
	lower := false
	for _, r := range name {
		switch {
		case r == '_' || r == '-' || r == '.':
			flush()
			lower = false
			continue
		case unicode.IsUpper(r) && lower:
			flush()
		}
		lower = unicode.IsLower(r)
		cur.WriteRune(r)
	}
	flush()
	return out
}

// isSecretName reports whether a name says that the value is a secret itself,
// not its name, length or place.
func isSecretName(name string) bool {
	w := words(name)
	if len(w) == 0 || slices.Contains([]string{"disable", "enable", "use", "no", "allow", "require", "skip", "has", "is", "reset", "with", "permit"}, w[0]) {
		return false
	}
	if slices.Contains(w, "vault") && len(w) > 2 || slices.Contains(w, "public") || slices.Contains(w, "example") {
		return false
	}
	last := w[len(w)-1]
	if slices.Contains([]string{"password", "passwd", "passphrase", "secret", "token", "apikey", "pwd", "jwt"}, last) {
		return true
	}
	if last != "key" || len(w) < 2 {
		return false
	}
	before := w[len(w)-2]
	if before == "access" {
		return slices.Contains(w, "secret")
	}
	return slices.Contains([]string{"api", "secret", "private", "auth", "encryption", "account", "signing"}, before)
}

// isCredential reports whether an argument of a component takes a secret.
func isCredential(name string) bool {
	return isSecretName(name) || name == "aws_secret_key" || name == "elevated_password"
}

// isMachinePassword reports whether an argument is the password of the
// machine that is built.
func isMachinePassword(name string) bool {
	return slices.Contains([]string{"ssh_password", "winrm_password", "elevated_password", "admin_password", "root_password", "vnc_password"}, name)
}

// written is the text of an argument that stands in the template as it is: a
// literal, or a local that is one.
func (p *pass) written(a *lang.Argument) (string, bool) {
	if !p.isLiteral(a.Expr) {
		return "", false
	}
	text, ok := plainText(a.Value)
	if !ok || action().MatchString(text) {
		return "", false
	}
	return text, true
}

func (p *pass) isLiteral(expr hcl.Expression) bool {
	refs := expr.Variables()
	if len(refs) == 1 && refs[0].RootName() == "local" && len(refs[0]) == 2 {
		if _, whole := expr.(*hclsyntax.ScopeTraversalExpr); whole {
			name, _ := refs[0][1].(hcl.TraverseAttr)
			for _, l := range p.in.Template.Locals {
				if l.Name == name.Name {
					return !l.Sensitive && len(l.Expr.Variables()) == 0 && !callsFunction(l.Expr)
				}
			}
		}
	}
	return len(refs) == 0 && !callsFunction(expr)
}

// callsFunction reports whether an expression calls any function, such as one
// that reads a secret from elsewhere.
func callsFunction(expr hcl.Expression) bool {
	native, ok := expr.(hclsyntax.Node)
	if !ok {
		return false
	}
	found := false
	_ = hclsyntax.VisitAll(native, func(n hclsyntax.Node) hcl.Diagnostics {
		if _, call := n.(*hclsyntax.FunctionCallExpr); call {
			found = true
		}
		return nil
	})
	return found
}

// looksSecret leaves out texts that only stand for a secret, or say where one
// is.
func looksSecret(text string) bool {
	switch {
	case text == "",
		strings.HasPrefix(text, "<") && strings.HasSuffix(text, ">"),
		strings.Trim(text, "xX*") == "",
		strings.HasPrefix(text, "arn:"), strings.HasPrefix(text, "/"), strings.HasPrefix(text, "projects/"),
		strings.HasPrefix(text, "http://"), strings.HasPrefix(text, "https://"),
		strings.HasPrefix(text, "$"), strings.Contains(text, placeholder):
		return false
	}
	return true
}

// sections yields the bodies of all components, nested blocks included.
func (p *pass) sections(yield func(*lang.Section) bool) {
	var walk func(*lang.Section) bool
	walk = func(s *lang.Section) bool {
		if s == nil {
			return true
		}
		if !yield(s) {
			return false
		}
		for _, name := range s.BlockNames() {
			for _, inner := range s.Blocks(name) {
				if !walk(inner) {
					return false
				}
			}
		}
		return true
	}
	for _, s := range p.in.Survey.Sources {
		if !walk(s.Section) {
			return
		}
	}
	for _, d := range p.in.Survey.Data {
		if !walk(d.Section) {
			return
		}
	}
	for _, b := range p.builds {
		for _, u := range b.Uses {
			if !walk(u.Extra) {
				return
			}
		}
	}
	for s := range p.steps {
		if !walk(s.Section) {
			return
		}
	}
}

func writtenCredentials(p *pass) {
	for s := range p.sections {
		for _, a := range s.Arguments {
			if !isCredential(a.Name) || isMachinePassword(a.Name) {
				continue
			}
			text, ok := p.written(a)
			if !ok || !looksSecret(text) {
				continue
			}
			p.hide(a.Expr.Range())
			if !token().MatchString(text) {
				p.report(a.Expr.Range(), "The argument %q holds a secret as plain text.", a.Name)
			}
		}
	}
}

func writtenPasswords(p *pass) {
	for s := range p.sections {
		for _, a := range s.Arguments {
			if !isMachinePassword(a.Name) {
				continue
			}
			text, ok := p.written(a)
			if !ok || !looksSecret(text) {
				continue
			}
			p.hide(a.Expr.Range())
			if text != "vagrant" {
				p.report(a.Expr.Range(), "The argument %q is written out.", a.Name)
			}
		}
	}
}

func insensitiveVariables(p *pass) {
	for _, v := range p.in.Template.Variables {
		if v.Sensitive || !isSecretName(v.Name) || v.Type == cty.Bool || v.Type == cty.Number {
			continue
		}
		if v.Default != nil {
			if val, diags := v.Default.Value(nil); !diags.HasErrors() && val.IsKnown() && !val.IsNull() && val.Type() == cty.Bool {
				continue
			}
		}
		p.report(v.Range, "The variable %q is shown wherever it is used.", v.Name)
	}
}

func secretDefaults(p *pass) {
	for _, v := range p.in.Template.Variables {
		if v.Default == nil || !v.Sensitive && !isSecretName(v.Name) {
			continue
		}
		val, diags := v.Default.Value(nil)
		if diags.HasErrors() {
			continue // it calls a function
		}
		text, ok := plainText(val)
		if !ok || val.Type() != cty.String || !looksSecret(text) || action().MatchString(text) {
			continue
		}
		p.hide(v.Default.Range())
		if !token().MatchString(text) {
			p.report(v.Default.Range(), "The default of the variable %q is written out.", v.Name)
		}
	}
}

// token is the form of keys and tokens that cannot be anything else.
var token = pattern(`\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36,}|\bgithub_pat_[A-Za-z0-9_]{22,}|\bglpat-[A-Za-z0-9_-]{20,}|` +
	`\bxox[abprs]-[A-Za-z0-9-]{10,}|\bAIza[0-9A-Za-z_-]{35}|\b[sr]k_live_[0-9a-zA-Z]{16,}|\bnpm_[A-Za-z0-9]{36}\b|\bhvs\.[A-Za-z0-9_-]{24,}|` +
	`\bdckr_pat_[A-Za-z0-9_-]{20,}|AccountKey=[A-Za-z0-9+/]{60,}={0,2}|-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----`)

func tokensInText(p *pass) {
	for name, src := range p.sources {
		text := string(src)
		for _, at := range token().FindAllStringIndex(text, -1) {
			found := text[at[0]:at[1]]
			if strings.Contains(found, "EXAMPLE") {
				continue // the keys in the documentation of AWS
			}
			start, end := at[0], at[1]
			if strings.HasPrefix(found, "-----BEGIN") {
				if i := strings.Index(text[end:], "-----END"); i >= 0 {
					p.hide(rangeIn(name, text, end, end+i))
				}
			} else {
				p.tokens = append(p.tokens, found)
				p.hide(rangeIn(name, text, start, end))
			}
			if !slices.Contains(p.in.VarFiles, name) {
				p.report(rangeIn(name, text, start, end), "This is %s.", tokenKind(found))
			}
		}
	}
	slices.Sort(p.tokens)
	p.tokens = slices.Compact(p.tokens)
}

func tokenKind(text string) string {
	for _, k := range []struct{ prefix, kind string }{
		{"AKIA", "an AWS access key"}, {"ASIA", "an AWS access key"}, {"gh", "a token of GitHub"}, {"glpat", "a token of GitLab"},
		{"xox", "a token of Slack"}, {"AIza", "a key of Google"}, {"-----BEGIN", "a private key"}, {"npm_", "a token of npm"},
		{"hvs.", "a token of Vault"}, {"dckr", "a token of Docker"}, {"AccountKey", "the key of an Azure storage account"},
	} {
		if strings.HasPrefix(text, k.prefix) {
			return k.kind
		}
	}
	return "a key"
}

// rangeIn is a part of a file.
func rangeIn(name, text string, start, end int) hcl.Range {
	pos := func(offset int) hcl.Pos {
		before := text[:offset]
		return hcl.Pos{Line: 1 + strings.Count(before, "\n"), Column: offset - strings.LastIndexByte(before, '\n'), Byte: offset}
	}
	return hcl.Range{Filename: name, Start: pos(start), End: pos(end)}
}

// hideText hides a text inside a place, or the whole place when it is written
// in another way there.
func (p *pass) hideText(at hcl.Range, secret string) {
	src := p.sources[at.Filename]
	if at.Start.Byte < 0 || at.End.Byte > len(src) || at.Start.Byte > at.End.Byte {
		return
	}
	text := string(src)
	found := false
	for from := at.Start.Byte; secret != ""; {
		i := strings.Index(text[from:at.End.Byte], secret)
		if i < 0 {
			break
		}
		found = true
		p.hide(rangeIn(at.Filename, text, from+i, from+i+len(secret)))
		from += i + len(secret)
	}
	if !found {
		p.hide(at)
	}
}

// commandText is a command that stands in an argument other than a script.
type commandText struct {
	arg  *lang.Argument
	cmds []*command
}

// commandArguments are the commands in execute_command and shutdown_command.
func (p *pass) commandArguments() []commandText {
	var out []commandText
	for s := range p.sections {
		for _, a := range s.Arguments {
			switch a.Name {
			case "execute_command", "shutdown_command", "elevated_execute_command":
			default:
				continue
			}
			text, _ := rawSketch(a)
			text = variablesAction().ReplaceAllString(text, "")
			text = action().ReplaceAllString(text, placeholder)
			f, err := parseShell(text, syntaxBash)
			if err != nil {
				continue
			}
			c := collector{script: &script{}}
			out = append(out, commandText{a, c.stmts(f.Stmts, surroundings{})})
		}
	}
	return out
}

func passwordsInCommands(p *pass) {
	check := func(c *command, at hcl.Range) {
		secret, how := passwordOf(c)
		if secret == "" || !looksSecret(secret) {
			return
		}
		p.hideText(at, secret)
		if secret == "vagrant" {
			return
		}
		p.report(at, "%s", how)
	}
	for c := range p.commands {
		check(c, c.script.at(c.pos, c.end))
	}
	for _, ct := range p.commandArguments() {
		for _, c := range ct.cmds {
			check(c, ct.arg.Expr.Range())
		}
	}
}

var userInfo = pattern(`^[a-z][a-z0-9+.-]*://[^/@:\s]*:([^/@\s]+)@`)

// passwordOf finds a password that a command is given literally.
func passwordOf(c *command) (secret, how string) {
	piped := ""
	if f := c.from; f != nil && (f.name == "echo" || f.name == "printf") {
		for _, a := range f.operands() {
			if !a.literal || strings.HasPrefix(a.text, "%") {
				piped = ""
				continue
			}
			piped = strings.TrimSuffix(a.text, `\n`)
		}
	}
	switch {
	case piped != "" && c.wrapped("sudo-stdin"):
		return piped, "sudo reads a password that is written out."
	case piped != "" && c.name == "chpasswd":
		if _, pass, ok := strings.Cut(piped, ":"); ok && !c.flag("-e", "--encrypted") && !strings.HasPrefix(pass, "$") {
			return pass, "chpasswd is given a password that is written out."
		}
	case piped != "" && c.name == "passwd" && c.has("--stdin"):
		return piped, "passwd is given a password that is written out."
	}
	for i, a := range c.args {
		next := arg{}
		if i+1 < len(c.args) {
			next = c.args[i+1]
		}
		if m := userInfo().FindStringSubmatch(a.text); m != nil && !strings.Contains(m[1], "$") {
			return m[1], c.name + " is given a URL with a password in it."
		}
		switch {
		case c.name == "sshpass" && a.text == "-p" && next.literal:
			return next.text, "sshpass is given a password that is written out."
		case c.name == "sshpass" && strings.HasPrefix(a.text, "-p") && len(a.text) > 2 && a.literal:
			return a.text[2:], "sshpass is given a password that is written out."
		case c.name == "curl" && (a.text == "-u" || a.text == "--user") && next.literal:
			if _, pass, ok := strings.Cut(next.text, ":"); ok {
				return pass, "curl is given a password that is written out."
			}
		case c.name == "docker" && c.sub() == "login" && (a.text == "-p" || a.text == "--password") && next.literal:
			return next.text, "docker login is given a password that is written out."
		case a.literal && slices.Contains([]string{"mysql", "mysqladmin", "mysqldump", "mariadb", "wget", "svn", "htpasswd", "docker", "podman"}, c.name) && strings.HasPrefix(a.text, "--password="):
			return strings.TrimPrefix(a.text, "--password="), c.name + " is given a password that is written out."
		case a.literal && slices.Contains([]string{"mysql", "mysqladmin", "mysqldump", "mariadb"}, c.name) && strings.HasPrefix(a.text, "-p") && len(a.text) > 2:
			return a.text[2:], c.name + " is given a password that is written out."
		}
	}
	return "", ""
}

func secretsInEnvironment(p *pass) {
	check := func(name, value string, literal bool, at hcl.Range) {
		if !literal || !isSecretName(name) || !looksSecret(value) {
			return
		}
		p.hideText(at, value)
		if !token().MatchString(value) {
			p.report(at, "The environment variable %s is set to a secret as plain text.", name)
		}
	}
	for s := range p.steps {
		for _, name := range []string{"environment_vars", "ansible_env_vars"} {
			a := s.Section.Argument(name)
			if a == nil {
				continue
			}
			for _, e := range a.Elements() {
				text, ok := p.written(e)
				key, value, found := strings.Cut(text, "=")
				check(key, value, ok && found, e.Expr.Range())
			}
		}
		if env := s.Section.Argument("env"); env != nil {
			for _, o := range env.Objects() {
				for _, e := range o.Arguments {
					text, ok := p.written(e)
					check(e.Name, text, ok, e.Expr.Range())
				}
			}
		}
	}
}

var changeWithName = pattern(`(?i)^\s*(ENV|LABEL|ARG)\s+"?([A-Za-z_][A-Za-z0-9_.-]*)"?[ =]\s*(\S.*)$`)

func secretsInChanges(p *pass) {
	for _, m := range p.machines {
		if m.kind == "oci" {
			for _, name := range []string{"env", "labels"} {
				p.secretsInMetadata(m.arg(name))
			}
		}
	}
	for s := range p.sections {
		a := s.Argument("changes")
		if a == nil {
			continue
		}
		for _, e := range a.Elements() {
			text, _ := sketch(e, e.Expr)
			m := changeWithName().FindStringSubmatch(text)
			if m == nil || !isSecretName(m[2]) {
				continue
			}
			value := strings.Trim(m[3], `"' `)
			if value == "" {
				continue
			}
			if p.isLiteral(e.Expr) {
				p.hideText(e.Expr.Range(), value)
			}
			p.report(e.Expr.Range(), "%s %s becomes part of the image, for everybody to read.", strings.ToUpper(m[1]), m[2])
		}
	}
}

// secretsInMetadata finds secrets in a map that becomes part of an image.
func (p *pass) secretsInMetadata(a *lang.Argument) {
	if a == nil {
		return
	}
	for _, o := range a.Objects() {
		for _, e := range o.Arguments {
			if !isSecretName(e.Name) || isEmpty(e.Value) {
				continue
			}
			if _, ok := p.written(e); ok {
				p.hide(e.Expr.Range())
			}
			p.report(e.NameRange, "%s becomes part of the image, for everybody to read.", e.Name)
		}
	}
}

// isCredentialFile reports whether a path is by its name a file of secrets.
func isCredentialFile(name string) bool {
	name = strings.ReplaceAll(name, `\`, "/")
	base := path.Base(name)
	if slices.Contains([]string{"id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", ".netrc", "_netrc", ".pgpass", ".npmrc", ".pypirc", ".git-credentials", ".vault-token", ".s3cfg"}, base) {
		return true
	}
	for _, end := range []string{".aws/credentials", ".docker/config.json", ".kube/config"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}

func uploadedCredentials(p *pass) {
	for _, m := range p.machines {
		for i, s := range m.steps {
			if s.Type != "file" {
				continue
			}
			if d, ok := textOf(s.Section.Argument("direction")); ok && d == "download" {
				continue
			}
			dst, ok := textOf(s.Section.Argument("destination"))
			if !ok {
				continue
			}
			names := []string{dst}
			for _, name := range []string{"source", "sources"} {
				list, _ := texts(s.Section.Argument(name))
				if strings.HasSuffix(dst, "/") {
					for _, x := range list {
						names = append(names, dst+path.Base(x))
					}
				} else {
					names = append(names, list...)
				}
			}
			if !slices.ContainsFunc(names, isCredentialFile) || removedLater(m.steps[i+1:], dst, names) {
				continue
			}
			p.report(s.Section.Argument("destination").Expr.Range(), "Nothing removes the uploaded file %s.", path.Base(strings.TrimSuffix(dst, "/")))
		}
	}
}

// removedLater reports whether a later step removes a file, or may.
func removedLater(steps []*step, dst string, names []string) bool {
	for _, s := range steps {
		if s.opaque {
			return true
		}
		for _, sc := range s.scripts {
			for _, c := range sc.cmds {
				if !slices.Contains([]string{"rm", "shred", "unlink", "srm", "mv"}, c.name) {
					continue
				}
				for _, n := range append(names, dst) {
					if c.mentions(path.Base(n)) || c.mentions(path.Dir(n)) && path.Dir(n) != "/tmp" {
						return true
					}
				}
			}
			if len(sc.cmds) == 0 && strings.Contains(sc.text, path.Base(dst)) {
				return true // in another language
			}
		}
	}
	return false
}

var authorizedKeysText = pattern(`authorized_keys`)

func authorizedKeys(p *pass) {
	for _, m := range p.machines {
		if m.build == nil || !m.isAmazon() || m.kind == "amazon-ebsvolume" || m.communicator() != "ssh" {
			continue
		}
		if m.is("ssh_clear_authorized_keys") || isUnknown(m.arg("ssh_clear_authorized_keys")) || m.has("ssh_keypair_name", "ssh_private_key_file", "ssh_password") ||
			m.is("ssh_agent_auth") || m.opaque() || m.says(authorizedKeysText()) {
			continue
		}
		p.report(m.header(), "authorized_keys of the image %q will hold the key of the build.", m.source.Addr.Name)
	}
}
