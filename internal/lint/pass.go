package lint

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/lang"
	"ingot/internal/plan"
)

// pass is one run over a template.
type pass struct {
	in       Input
	rule     *Rule
	findings []Finding

	// sources is the text of the template's files and of the scripts.
	sources       map[string][]byte
	templateFiles map[string]bool
	// hidden are the places of secrets, tokens the recognised ones.
	hidden []hcl.Range
	tokens []string

	builds   []*build
	machines []*machine
}

// build is a build block.
type build struct {
	*plan.SurveyedBuild
	// steps are the provisioners, then the one for errors.
	steps []*step
	// posts are the post-processors of all chains.
	posts []*step
}

// step is a provisioner or post-processor.
type step struct {
	*plan.SurveyedStep
	scripts []*script
	// opaque: it may do anything to the machine, or some of it cannot be
	// read.
	opaque bool
	// cleanup: it is no part of how the image is made, since it runs only after a
	// failure, or as a check of a test.
	cleanup bool
	// said are the answers of says, since many machines may ask.
	said map[*regexp.Regexp]bool
}

// says reports whether any of the step's scripts holds a text that the
// expression matches.
func (s *step) says(re *regexp.Regexp) bool {
	found, known := s.said[re]
	if !known {
		found = slices.ContainsFunc(s.scripts, func(sc *script) bool { return re.MatchString(sc.text) })
		if s.said == nil {
			s.said = map[*regexp.Regexp]bool{}
		}
		s.said[re] = found
	}
	return found
}

// machine is one use of a source, or a source that nothing uses.
type machine struct {
	source *plan.SurveyedSource
	use    *plan.SurveyedUse // nil when nothing uses the source
	build  *build            // nil when nothing uses the source
	kind   string            // the type of the source
	steps  []*step           // that run on it, without the one for errors
}

func newPass(in Input) *pass {
	p := &pass{in: in, sources: maps.Clone(in.Template.Sources), templateFiles: map[string]bool{}}
	if p.sources == nil {
		p.sources = map[string][]byte{}
	}
	for name := range in.Template.Sources {
		p.templateFiles[name] = true
	}
	used := map[*plan.SurveyedSource]bool{}
	for _, sb := range in.Survey.Builds {
		b := &build{SurveyedBuild: sb}
		for _, s := range sb.Provisioners {
			b.steps = append(b.steps, p.step(s))
		}
		if sb.ErrorCleanup != nil {
			s := p.step(sb.ErrorCleanup)
			s.cleanup = true
			b.steps = append(b.steps, s)
		}
		for _, test := range sb.Tests {
			for _, check := range test {
				s := p.step(check)
				s.cleanup = true
				b.steps = append(b.steps, s)
			}
		}
		for _, chain := range sb.Chains {
			for _, s := range chain {
				b.posts = append(b.posts, p.step(s))
			}
		}
		for _, u := range sb.Uses {
			used[u.Source] = true
			m := &machine{source: u.Source, use: u, build: b, kind: u.Source.Addr.Type}
			for _, s := range b.steps {
				if !s.cleanup && s.RunsFor(u) {
					m.steps = append(m.steps, s)
				}
			}
			p.machines = append(p.machines, m)
		}
		p.builds = append(p.builds, b)
	}
	for _, s := range in.Survey.Sources {
		if !used[s] {
			p.machines = append(p.machines, &machine{source: s, kind: s.Addr.Type})
		}
	}
	return p
}

// isJSON reports whether a file is written in JSON.
func (p *pass) isJSON(name string) bool {
	return strings.HasSuffix(name, ".json") || p.in.Template.Legacy != nil && p.templateFiles[name] && !strings.HasSuffix(name, ".hcl")
}

// report notes a finding of the rule that is running.
func (p *pass) report(at hcl.Range, format string, args ...any) {
	msg := format
	if len(args) > 0 {
		msg = fmt.Sprintf(format, args...)
	}
	p.findings = append(p.findings, Finding{Rule: p.rule, Message: msg, Range: at})
}

// hide keeps a place from being shown.
func (p *pass) hide(at hcl.Range) { p.hidden = append(p.hidden, at) }

// masked is the sources with hidden places blanked out.
func (p *pass) masked() map[string][]byte {
	out := maps.Clone(p.sources)
	cloned := map[string]bool{}
	for _, r := range p.hidden {
		src := out[r.Filename]
		if r.Start.Byte < 0 || r.End.Byte > len(src) || r.End.Byte < r.Start.Byte {
			continue
		}
		if !cloned[r.Filename] {
			src = slices.Clone(src)
			out[r.Filename], cloned[r.Filename] = src, true
		}
		start, end := withoutMarks(src, r.Start.Byte, r.End.Byte)
		for i := start; i < end; i++ {
			if src[i] != '\n' && src[i] != '\r' {
				src[i] = '*'
			}
		}
	}
	return out
}

// withoutMarks leaves out what starts and ends a text, so that a file can be
// read as before when the text is blanked out.
func withoutMarks(src []byte, start, end int) (int, int) {
	text := src[start:end]
	switch {
	case len(text) > 1 && text[0] == '"' && text[len(text)-1] == '"':
		return start + 1, end - 1
	case bytes.HasPrefix(text, []byte("<<")):
		first, last := bytes.IndexByte(text, '\n'), bytes.LastIndexByte(bytes.TrimRight(text, "\r\n"), '\n')
		if first >= 0 && last > first {
			return start + first + 1, start + last
		}
	}
	return start, end
}

// steps yields every step of the template, once.
func (p *pass) steps(yield func(*step) bool) {
	for _, b := range p.builds {
		for _, s := range b.steps {
			if !yield(s) {
				return
			}
		}
		for _, s := range b.posts {
			if !yield(s) {
				return
			}
		}
	}
}

// commands yields every command of every shell script, once.
func (p *pass) commands(yield func(*command) bool) {
	for s := range p.steps {
		for _, sc := range s.scripts {
			for _, c := range sc.cmds {
				if !yield(c) {
					return
				}
			}
		}
	}
}

// transparent are the provisioners that do nothing to a machine but what is
// written in the template. File uploads are among them: what is uploaded does
// nothing by itself.
func transparent(typ string) bool {
	return slices.Contains([]string{"shell", "shell-local", "file", "sleep", "breakpoint", "powershell", "windows-shell", "windows-restart", "windows-update", "cloud-init"}, typ)
}

// step reads a step and the scripts that it runs.
func (p *pass) step(ss *plan.SurveyedStep) *step {
	s := &step{SurveyedStep: ss, opaque: !transparent(ss.Type)}
	switch ss.Type {
	case "shell", "shell-local", "powershell", "windows-shell":
	default:
		return s
	}
	for _, name := range []string{"inline", "command"} {
		a := ss.Section.Argument(name)
		if a == nil || isUnset(a.Value) || name == "command" && ss.Type != "shell-local" {
			continue
		}
		sc, known := p.inlineScript(a)
		if !known {
			s.opaque = true
			continue
		}
		s.opaque = s.opaque || strings.Contains(sc.text, placeholder)
		s.add(sc)
	}
	for _, name := range []string{"script", "scripts"} {
		a := ss.Section.Argument(name)
		if a == nil || isUnset(a.Value) {
			continue
		}
		paths, complete := texts(a)
		s.opaque = s.opaque || !complete
		for _, path := range paths {
			text, ok := p.readScript(path)
			if !ok {
				s.opaque = true
				continue
			}
			s.add(&script{file: path, text: text})
		}
	}
	return s
}

// isUnset reports whether an argument is null, which is as if it were not set.
func isUnset(v cty.Value) bool {
	v, _ = v.Unmark()
	return v.IsKnown() && v.IsNull()
}

func (s *step) add(sc *script) {
	sc.step = s
	switch s.Type {
	case "powershell":
		sc.shell = "powershell"
	case "windows-shell":
		sc.shell = "cmd"
	default:
		sc.start(s.Section, s.Type == "shell-local")
		sc.parse()
		s.opaque = s.opaque || slices.ContainsFunc(sc.cmds, func(c *command) bool { return c.runsFile })
	}
	s.scripts = append(s.scripts, sc)
}

// runsOnMachine reports whether the step's scripts run on the machine, not
// here.
func (s *step) runsOnMachine() bool { return s.Type != "shell-local" }

// arg returns an argument of the source or of its use, or nil.
func (m *machine) arg(name string) *lang.Argument {
	if m.use != nil && m.use.Extra != nil {
		if a := m.use.Extra.Argument(name); a != nil {
			return a
		}
	}
	return m.source.Section.Argument(name)
}

// blocks returns the nested blocks of a name.
func (m *machine) blocks(name string) []*lang.Section {
	out := m.source.Section.Blocks(name)
	if m.use != nil && m.use.Extra != nil {
		out = append(slices.Clone(out), m.use.Extra.Blocks(name)...)
	}
	return out
}

// has reports whether any of the arguments or blocks is set to something,
// also when it is not known to what. A variable counts, also one that is empty
// by default: it is there to be set.
func (m *machine) has(names ...string) bool {
	for _, n := range names {
		if a := m.arg(n); a != nil && (!isEmpty(a.Value) || len(a.Expr.Variables()) > 0) || len(m.blocks(n)) > 0 {
			return true
		}
	}
	return false
}

// isEmpty reports whether a value is null, an empty text or an empty list.
func isEmpty(v cty.Value) bool {
	v, _ = v.Unmark()
	switch {
	case !v.IsKnown():
		return false
	case v.IsNull():
		return true
	case v.Type() == cty.String:
		return v.AsString() == ""
	case v.CanIterateElements():
		return v.LengthInt() == 0
	}
	return false
}

func (m *machine) header() hcl.Range { return m.source.Range }

// text is an argument as a text, when it is known.
func (m *machine) text(name string) (string, bool) { return textOf(m.arg(name)) }

func textOf(a *lang.Argument) (string, bool) {
	if a == nil {
		return "", false
	}
	v, _ := a.Value.UnmarkDeep()
	return plainText(v)
}

// is reports whether an argument is known to be true.
func (m *machine) is(name string) bool { return isTrue(m.arg(name)) }

func isTrue(a *lang.Argument) bool {
	text, ok := textOf(a)
	return ok && text == "true"
}

// isUnknown reports whether an argument is set and its value not known.
func isUnknown(a *lang.Argument) bool {
	if a == nil {
		return false
	}
	v, _ := a.Value.UnmarkDeep()
	return !v.IsWhollyKnown()
}

// duration is an argument as a duration, when it is known.
func duration(a *lang.Argument) (time.Duration, bool) {
	text, ok := textOf(a)
	if !ok || text == "" {
		return 0, false
	}
	d, err := time.ParseDuration(text)
	return d, err == nil
}

// number is an argument as a whole number, when it is known.
func number(a *lang.Argument) (int, bool) {
	text, ok := textOf(a)
	if !ok {
		return 0, false
	}
	n := 0
	_, err := fmt.Sscanf(text, "%d", &n)
	return n, err == nil && fmt.Sprint(n) == text
}

// texts are the texts of a list, or of a single value. Complete is unset when
// some are not known.
func texts(a *lang.Argument) (out []string, complete bool) {
	if a == nil {
		return nil, true
	}
	v, _ := a.Value.UnmarkDeep()
	if text, ok := plainText(v); ok {
		return []string{text}, true
	}
	if v.IsNull() || !v.IsKnown() || !v.CanIterateElements() {
		return nil, v.IsKnown()
	}
	complete = true
	for it := v.ElementIterator(); it.Next(); {
		_, el := it.Element()
		text, ok := plainText(el)
		if !ok {
			complete = false
			continue
		}
		out = append(out, text)
	}
	return out, complete
}

// communicator is how the machine is reached; "" when that is not known.
func (m *machine) communicator() string {
	a := m.arg("communicator")
	if text, ok := textOf(a); ok && text != "" {
		return text
	}
	switch {
	case isUnknown(a):
		return ""
	case m.isContainer():
		return "docker"
	}
	return "ssh"
}

func (m *machine) isContainer() bool { return m.kind == "docker" || m.kind == "oci" }

// isAmazon: it runs a machine in EC2.
func (m *machine) isAmazon() bool {
	return slices.Contains([]string{"amazon-ebs", "amazon-ebssurrogate", "amazon-ebsvolume", "amazon-instance"}, m.kind)
}

func (m *machine) isAzure() bool { return m.kind == "azure-arm" || m.kind == "azure-dtl" }

// isCloud: it runs on a public cloud whose images start cloud-init.
func (m *machine) isCloud() bool {
	return m.isAmazon() || m.isAzure() || m.kind == "googlecompute"
}

// installs: it installs a system from an ISO image.
func (m *machine) installs() bool {
	switch m.kind {
	case "qemu":
		return !m.is("disk_image") && !isUnknown(m.arg("disk_image"))
	case "virtualbox-iso", "vmware-iso", "vsphere-iso", "proxmox-iso", "hyperv-iso", "parallels-iso":
		return true
	}
	return false
}

var windowsName = pattern(`(?i)^(win|windows)`)

// isWindows reports whether the machine runs Windows, as far as that shows.
func (m *machine) isWindows() bool {
	if m.communicator() == "winrm" || m.is("windows_container") {
		return true
	}
	for _, name := range []string{"os_type", "guest_os_type", "os"} {
		if text, ok := m.text(name); ok && windowsName().MatchString(text) {
			return true
		}
	}
	for _, s := range m.steps {
		if s.Type == "powershell" || strings.HasPrefix(s.Type, "windows-") {
			return true
		}
	}
	return false
}

// opaque reports whether a step does what cannot be read.
func (m *machine) opaque() bool {
	return slices.ContainsFunc(m.steps, func(s *step) bool { return s.opaque })
}

// says reports whether a script that runs on the machine holds a text that
// the expression matches.
func (m *machine) says(re *regexp.Regexp) bool {
	return slices.ContainsFunc(m.steps, func(s *step) bool { return s.runsOnMachine() && s.says(re) })
}

// shellCommands lists the commands that shell scripts run on the machine, in
// order.
func (m *machine) shellCommands() []*command {
	var out []*command
	for _, s := range m.steps {
		if !s.runsOnMachine() {
			continue
		}
		for _, sc := range s.scripts {
			out = append(out, sc.cmds...)
		}
	}
	return out
}
