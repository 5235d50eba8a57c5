package lint

import (
	"path/filepath"
	"strings"

	"ingot/internal/diag"
)

func networkRules() []*Rule {
	return []*Rule{
		{
			ID: "NET101", Severity: diag.Warning, Title: "Machine open to the world", check: openToTheWorld,
			Why:    "While it is built, the machine accepts connections to SSH or WinRM from everywhere. Unless told otherwise, the temporary security group of Amazon builders admits 0.0.0.0/0, and an Azure machine with a public address has no rules at all. Attempts to log in start within minutes.",
			Advice: "On Amazon set temporary_security_group_source_public_ip = true, temporary_security_group_source_cidrs, a security group of your own, or ssh_interface = \"session_manager\". On Azure set allowed_inbound_ip_addresses or a private network.",
		},
		{
			ID: "NET102", Severity: diag.Warning, Title: "Server's certificate not checked", check: unchecked,
			Why:    "The certificate of the platform's API is not checked, so that whoever is on the way receives the credentials that are sent there.",
			Advice: "Install the certificate of the authority on the machine that runs the build, and remove the setting.",
		},
		{
			ID: "NET103", Severity: diag.Warning, Title: "Whole template folder served over HTTP", check: servedFolder,
			Why:    "http_directory is served without a password, with a list of its contents, to everybody who reaches the machine that runs the build. In the template's own folder are variable files, keys and the history of the repository.",
			Advice: "Serve a folder that holds only what the installer needs, or http_content.",
		},
		{
			ID: "NET104", Severity: diag.Warning, Title: "Screen open without a password", check: openScreen,
			Why:    "VNC listens on all addresses and asks for no password: everybody on the network can watch and type, also as root in the installer.",
			Advice: "Leave vnc_bind_address at 127.0.0.1 and use a tunnel, or set vnc_use_password = true.",
		},
	}
}

func openToTheWorld(p *pass) {
	for _, m := range p.machines {
		for _, name := range []string{"temporary_security_group_source_cidrs", "allowed_inbound_ip_addresses"} {
			a := m.arg(name)
			if a == nil {
				continue
			}
			for _, e := range a.Elements() {
				list, _ := texts(e)
				for _, text := range list {
					if text == "0.0.0.0/0" || text == "::/0" || text == "*" {
						p.report(e.Expr.Range(), "%s means every address there is.", text)
					}
				}
			}
		}
		if m.build == nil || m.communicator() != "ssh" && m.communicator() != "winrm" {
			continue
		}
		switch {
		case m.isAmazon():
			if m.has("security_group_id", "security_group_ids", "security_group_filter", "temporary_security_group_source_cidrs") ||
				m.is("temporary_security_group_source_public_ip") || isUnknown(m.arg("temporary_security_group_source_public_ip")) || privateInterface(m) {
				continue
			}
			p.report(m.header(), "The temporary security group of %q admits every address.", m.source.Addr.Name)
		case m.kind == "azure-arm":
			if m.has("allowed_inbound_ip_addresses") || m.has("virtual_network_name") && !m.is("private_virtual_network_with_public_ip") {
				continue
			}
			p.report(m.header(), "The machine of %q has a public address and no rule that says who may connect.", m.source.Addr.Name)
		}
	}
}

// privateInterface reports whether the machine is reached by an address that
// is not public, or by one that is not known.
func privateInterface(m *machine) bool {
	a := m.arg("ssh_interface")
	text, known := textOf(a)
	return a != nil && (!known || text == "session_manager" || strings.HasPrefix(text, "private"))
}

func unchecked(p *pass) {
	for s := range p.sections {
		for _, name := range []string{"insecure_connection", "insecure_skip_tls_verify", "insecure_skip_tls_verification"} {
			if a := s.Argument(name); isTrue(a) {
				p.report(a.Expr.Range(), "%s turns the check off.", name)
			}
		}
	}
}

func servedFolder(p *pass) {
	for _, m := range p.machines {
		text, ok := m.text("http_directory")
		if !ok || text == "" {
			continue
		}
		dir := filepath.Clean(text)
		if dir == "." || dir == string(filepath.Separator) || dir == filepath.Clean(p.in.Template.Dir) || dir == ".." {
			p.report(m.arg("http_directory").Expr.Range(), "This serves the folder of the template, or one above it.")
		}
	}
}

func openScreen(p *pass) {
	for _, m := range p.machines {
		text, ok := m.text("vnc_bind_address")
		if !ok || text != "0.0.0.0" && text != "::" || m.is("vnc_use_password") || isUnknown(m.arg("vnc_use_password")) || m.is("disable_vnc") || m.has("vnc_password") {
			continue
		}
		p.report(m.arg("vnc_bind_address").Expr.Range(), "VNC listens on every address and asks for no password.")
	}
}
