package lint

import (
	"slices"
	"strings"
	"time"

	"ingot/internal/diag"
)

func windowsRules() []*Rule {
	return []*Rule{
		{
			ID: "WIN101", Severity: diag.Warning, Title: "Short time-out for WinRM", check: shortWinRM,
			Why:    "A Windows machine runs its setup on the first start, restarts, and makes its certificate before WinRM answers. That takes 5 to 15 minutes, more on a busy day, and the build ends while the machine is nearly ready.",
			Advice: "Set winrm_timeout = \"30m\" or leave it out: 30 minutes is the default. A machine that is ready sooner is not kept waiting.",
		},
		{
			ID: "WIN102", Severity: diag.Warning, Title: "WinRM without encryption over the internet", check: plainWinRM,
			Why:    "WinRM runs over HTTP with Basic authentication: the administrator's password and every script cross the network in the clear.",
			Advice: "Set winrm_use_ssl = true and winrm_insecure = true (the certificate is made by the machine itself), and let user data open port 5986.",
		},
		{
			ID: "WIN103", Severity: diag.Warning, Title: "Windows image that was not generalised", check: notGeneralised,
			Why:    "Nothing runs sysprep. Machines made from the image share one identity, keep the build's administrator password, or do not come up at all: Azure waits for the setup that never runs.",
			Advice: "Run sysprep /generalize as the last step; on Amazon through EC2Launch. A specialized image in an Azure gallery needs none.",
		},
		{
			ID: "WIN104", Severity: diag.Error, Title: "Restart outside of windows-restart", check: windowsRestart,
			Why:    "A script restarts the machine. The connection breaks in the middle of the step, and the next one starts while the machine is going down.",
			Advice: "Use the provisioner windows-restart: it waits until the machine is back.",
		},
		{
			ID: "WIN105", Severity: diag.Warning, Title: "PowerShell carries on after an error", check: powershellErrors,
			Why:    "Most errors of PowerShell commands do not end a script: it prints them and goes on, and the build succeeds.",
			Advice: "Start the script with $ErrorActionPreference = 'Stop'.",
		},
		{
			ID: "WIN106", Severity: diag.Warning, Title: "Short time for a restart after updates", check: shortRestart,
			Why:    "windows-restart gives the machine 5 minutes by default. After updates and new features it works for longer than that before it is back.",
			Advice: "Set restart_timeout = \"30m\" on this step.",
		},
	}
}

func shortWinRM(p *pass) {
	for _, m := range p.machines {
		if m.communicator() != "winrm" || m.isContainer() {
			continue
		}
		if d, ok := duration(m.arg("winrm_timeout")); ok && d > 0 && d < 10*time.Minute {
			p.report(m.arg("winrm_timeout").Expr.Range(), "%s is less than a first start takes.", d)
		}
	}
}

func plainWinRM(p *pass) {
	for _, m := range p.machines {
		if !m.isCloud() || m.communicator() != "winrm" {
			continue
		}
		if m.is("winrm_use_ssl") || m.is("winrm_use_ntlm") || isUnknown(m.arg("winrm_use_ssl")) || isUnknown(m.arg("winrm_use_ntlm")) || privateInterface(m) {
			continue
		}
		at := m.header()
		if a := m.arg("winrm_use_ssl"); a != nil {
			at = a.Expr.Range()
		} else if a := m.arg("communicator"); a != nil {
			at = a.Expr.Range()
		}
		p.report(at, "The machine is reached over plain HTTP.")
	}
}

var sysprep = pattern(`(?i)sysprep|generalize|ec2launch|ec2config|InitializeInstance\.ps1|GCESysprep`)

func notGeneralised(p *pass) {
	for _, m := range p.machines {
		if m.build == nil || !m.isWindows() || m.opaque() || m.says(sysprep()) {
			continue
		}
		if m.kind != "azure-arm" && m.kind != "amazon-ebs" && m.kind != "googlecompute" {
			continue
		}
		specialized := false
		for _, s := range m.blocks("shared_image_gallery_destination") {
			specialized = specialized || isTrue(s.Argument("specialized")) || isUnknown(s.Argument("specialized"))
		}
		if specialized || m.is("skip_create_image") || m.is("skip_create_ami") {
			continue
		}
		p.report(m.header(), "No step of %q runs sysprep.", m.source.Addr.Name)
	}
}

// windowsScripts yields the scripts in PowerShell and for cmd, once.
func (p *pass) windowsScripts(yield func(*script) bool) {
	for s := range p.steps {
		for _, sc := range s.scripts {
			if (sc.shell == "powershell" || sc.shell == "cmd") && !yield(sc) {
				return
			}
		}
	}
}

var (
	restartLine = pattern(`(?im)^[ \t]*(?:&[ \t]*)?(?:Restart-Computer\b|(?:[A-Z]:\\Windows\\System32\\)?shutdown(?:\.exe)?[ \t][^\r\n]*[-/]r\b)[^\r\n]*`)
	delayed     = pattern(`(?i)[-/]t[ \t]+([6-9]\d|\d{3,})`)
)

func windowsRestart(p *pass) {
	for sc := range p.windowsScripts {
		for _, at := range restartLine().FindAllStringIndex(sc.text, -1) {
			line := sc.text[at[0]:at[1]]
			if delayed().MatchString(line) || strings.Contains(strings.ToLower(line), "-asjob") {
				continue
			}
			codes, complete := texts(sc.step.Section.Argument("valid_exit_codes"))
			if !complete || slices.Contains(codes, "2300218") {
				continue
			}
			start := at[0] + len(line) - len(strings.TrimLeft(line, " \t"))
			p.report(sc.span(start, at[1]), "The machine restarts while the step runs.")
		}
	}
}

var errorPreference = pattern(`(?i)\$?ErrorActionPreference\s*=\s*["']?Stop|Set-Variable[^\n]*ErrorActionPreference|\$LASTEXITCODE|-ErrorAction\s+["']?Stop|-EA\s+["']?Stop`)

func powershellErrors(p *pass) {
	for sc := range p.windowsScripts {
		if sc.shell != "powershell" || errorPreference().MatchString(sc.text) || sc.guessed {
			continue
		}
		if text, set, known := executeCommand(sc.step.Section); set && (!known || errorPreference().MatchString(text)) {
			continue
		}
		if powershellStatements(sc.text) < 2 {
			continue
		}
		p.report(sc.line(1), "Nothing in the script makes errors end it.")
	}
}

// powershellStatements counts the lines that do something, roughly.
func powershellStatements(text string) int {
	n := 0
	comment := false
	for _, line := range strings.Split(text, "\n") {
		t := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(t, "<#"):
			comment = !strings.Contains(t, "#>")
			continue
		case comment:
			comment = !strings.Contains(t, "#>")
			continue
		case t == "", strings.HasPrefix(t, "#"), t == "{", t == "}", t == ")",
			strings.HasPrefix(strings.ToLower(t), "write-"), strings.HasPrefix(strings.ToLower(t), "param"), strings.HasPrefix(strings.ToLower(t), "exit"):
			continue
		}
		n++
	}
	return n
}

var updatesWindows = pattern(`(?i)Install-WindowsUpdate|Get-WindowsUpdate|PSWindowsUpdate|Install-WindowsFeature|Add-WindowsFeature|Enable-WindowsOptionalFeature|\bwusa(\.exe)?\b|\bdism(\.exe)?\b`)

func shortRestart(p *pass) {
	for _, m := range p.machines {
		long := false
		for _, s := range m.steps {
			if s.Type == "windows-update" {
				long = true
			}
			long = long || s.says(updatesWindows())
			if s.Type != "windows-restart" || !long {
				continue
			}
			long = false
			a := s.Section.Argument("restart_timeout")
			d, ok := duration(a)
			switch {
			case a == nil:
				p.report(s.Range, "The machine has 5 minutes to install what the steps before have prepared.")
			case ok && d < 10*time.Minute:
				p.report(a.Expr.Range(), "The machine has %s to install what the steps before have prepared.", d)
			}
		}
	}
}
