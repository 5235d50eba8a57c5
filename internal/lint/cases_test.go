package lint_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// ruleCase is a template, or a part of one, and whether a rule finds something
// in it.
type ruleCase struct {
	rule string
	want bool
	text string
	// files are scripts beside the template.
	files map[string]string
}

func found(rule, text string) ruleCase { return ruleCase{rule: rule, want: true, text: text} }

func clean(rule, text string) ruleCase { return ruleCase{rule: rule, text: text} }

// inline is a step with one line, quoted as it has to be.
func inline(lines ...string) string {
	var b strings.Builder
	b.WriteString("provisioner \"shell\" {\n  inline = [\n")
	for _, l := range lines {
		fmt.Fprintf(&b, "    %s,\n", strings.ReplaceAll(fmt.Sprintf("%q", l), "${", "$${"))
	}
	return b.String() + "  ]\n}\n"
}

// script is a step that runs a file.
func script(rule string, want bool, text string) ruleCase {
	return ruleCase{rule: rule, want: want, text: "provisioner \"shell\" {\n  script = \"s.sh\"\n}\n", files: map[string]string{"s.sh": text}}
}

func (c ruleCase) with(name, text string) ruleCase {
	c.files = map[string]string{name: text}
	return c
}

func (c ruleCase) named(name string) ruleCase {
	c.text = strings.ReplaceAll(c.text, "s.sh", name)
	return c.with(name, c.files["s.sh"])
}

// source is a source of a type with arguments, one a line.
func source(typ, args string) string {
	return fmt.Sprintf("source %q \"x\" {\n%s\n}\n", typ, args)
}

// built is a source with a build that uses it.
func built(typ, args string, steps ...string) string {
	return source(typ, args) + fmt.Sprintf("build {\n  sources = [\"%s.x\"]\n%s\n}\n", typ, strings.Join(steps, "\n"))
}

func TestCases(t *testing.T) {
	cases := slices.Concat(secretCases(), imageCases(), networkCases(), shellCases(), windowsCases(), machineCases(), cloudCases(), containerCases(), costCases(), pluginCases(), templateCases())
	count := map[string][2]int{}
	for i, c := range cases {
		n := count[c.rule]
		if c.want {
			n[1]++
		} else {
			n[0]++
		}
		count[c.rule] = n
		t.Run(fmt.Sprintf("%s/%d", c.rule, i), func(t *testing.T) {
			t.Parallel()
			e := example{"image.pkr.hcl": c.text}
			for name, text := range c.files {
				e[name] = text
			}
			files := e.frame()
			got := slices.Contains(idsOf(lintFiles(t, files)), c.rule)
			if got != c.want {
				t.Errorf("found is %v, want %v, in:\n%s%v", got, c.want, files["image.pkr.hcl"], c.files)
			}
		})
	}
	_, sections := readDocument(t)
	for _, s := range sections {
		if n := count[s.id]; n[0] == 0 && !strings.HasPrefix(s.id, "LNT") {
			t.Errorf("%s has no near miss", s.id)
		}
	}
}

func secretCases() []ruleCase {
	return []ruleCase{
		found("SEC101", "locals {\n  pw = \"hunter2\"\n}\n"+source("vsphere-iso", "password = local.pw")),
		found("SEC101", source("amazon-ebs", `secret_key = "wJalrXUtnFEMIK7MDENGbPxRfiCY"`)),
		found("SEC101", source("azure-arm", `client_secret = "8Q~abc"`)),
		found("SEC101", source("docker", "image = \"debian:12\"\nlogin_password = \"x1y2z3\"")),
		found("SEC101", built("docker", "image = \"debian:12\"\ncommit = true", `post-processor "docker-push" { login_password = "x1y2z3" }`)),
		clean("SEC101", source("vsphere-iso", `password = ""`)),
		clean("SEC101", source("vsphere-iso", `password = "<from the vault>"`)),
		clean("SEC101", source("vsphere-iso", `password = "{{user `+"`pw`"+`}}"`)),
		clean("SEC101", source("vsphere-iso", `password = vault("secret/x", "y")`)),
		clean("SEC101", source("vsphere-iso", `password = aws_secretsmanager("x", null)`)),
		clean("SEC101", "local \"pw\" {\n  expression = vault(\"a\", \"b\")\n  sensitive = true\n}\n"+source("vsphere-iso", "password = local.pw")),
		clean("SEC101", source("amazon-ebs", "ssh_keypair_name = \"k\"\nkms_key_id = \"alias/x\"\naccess_key = \"AKID\"\nsession_token_duration = \"1h\"")),
		clean("SEC101", source("azure-arm", "build_key_vault_secret_name = \"x\"\nclient_cert_path = \"a.pem\"")),

		found("SEC102", source("null", "ssh_host = \"h\"\nwinrm_password = \"Pa55\"\ncommunicator = \"winrm\"")),
		clean("SEC102", source("virtualbox-iso", `ssh_password = "vagrant"`)),
		clean("SEC102", "variable \"pw\" {\n  sensitive = true\n}\n"+source("null", "ssh_password = var.pw")),
		clean("SEC102", `provisioner "powershell" {
  elevated_user     = "SYSTEM"
  elevated_password = ""
  inline            = ["dir"]
}`),

		found("SEC103", "variable \"GithubToken\" {\n  type = string\n}"),
		found("SEC103", "variables {\n  api_key = \"\"\n}"),
		clean("SEC103", "variable \"password_length\" {\n  type = string\n}"),
		clean("SEC103", "variable \"token_url\" {}"),
		clean("SEC103", "variable \"secret_name\" {}"),
		clean("SEC103", "variable \"ssh_private_key_file\" {}"),
		clean("SEC103", "variable \"ssh_public_key\" {}"),
		clean("SEC103", "variable \"use_password\" {\n  default = false\n}"),
		clean("SEC103", "variable \"rotate_token\" {\n  type = bool\n}"),
		clean("SEC103", "variable \"kms_key\" {}\nvariable \"partition_key\" {}"),

		found("SEC104", "variable \"x\" {\n  sensitive = true\n  default = \"hunter2\"\n}"),
		clean("SEC104", "variable \"db_password\" {\n  sensitive = true\n  default = \"\"\n}"),
		clean("SEC104", "variable \"db_password\" {\n  sensitive = true\n  default = null\n}"),
		clean("SEC104", "variable \"db_password\" {\n  sensitive = true\n  default = env(\"DB_PASSWORD\")\n}"),
		clean("SEC104", "variable \"db_secret\" {\n  sensitive = true\n  default = \"arn:aws:secretsmanager:eu-west-1:1:secret:x\"\n}"),
		clean("SEC104", "variable \"region\" {\n  default = \"eu-west-1\"\n}"),

		found("SEC105", "locals {\n  t = \"ghp_"+strings.Repeat("a1B2", 9)+"\"\n}"),
		found("SEC105", "# -----BEGIN OPENSSH PRIVATE KEY-----\nlocals {\n  t = 1\n}"),
		clean("SEC105", "# AKIAIOSFODNN7EXAMPLE\nlocals {\n  t = 1\n}"),
		clean("SEC105", "locals {\n  t = \"-----BEGIN PUBLIC KEY-----\"\n}"),
		clean("SEC105", "locals {\n  t = \"ghp_short\"\n}"),
		clean("SEC105", "locals {\n  t = \"XAKIAQWERTYUIOPASDFGHX\"\n}"),

		found("SEC106", inline("echo 'hunter2' | sudo -S apt-get update")),
		found("SEC106", inline("sshpass -p hunter2 ssh h")),
		found("SEC106", inline("curl -fsS -u bob:hunter2 https://x.example/")),
		found("SEC106", inline("echo 'root:hunter2' | chpasswd")),
		found("SEC106", inline("git clone https://bob:hunter2@git.example.com/x.git")),
		found("SEC106", inline("mysql -uroot -phunter2 -e 'select 1'")),
		found("SEC106", source("qemu", `shutdown_command = "echo 'hunter2' | sudo -S shutdown -P now"`)),
		clean("SEC106", source("qemu", `shutdown_command = "echo 'vagrant' | sudo -S shutdown -P now"`)),
		clean("SEC106", "variable \"pw\" {\n  sensitive = true\n}\n"+source("qemu", `shutdown_command = "echo '${var.pw}' | sudo -S shutdown -P now"`)),
		clean("SEC106", inline(`echo "$PASSWORD" | sudo -S true`)),
		clean("SEC106", inline("curl -fsS -u bob https://x.example/", "git clone https://git@git.example.com/x.git")),
		clean("SEC106", inline("echo hello | sudo tee /etc/motd")),
		clean("SEC106", inline("mysql -p -e 'select 1'", "wget https://x.example:8080/a")),
		clean("SEC106", inline("echo 'root:$6$salt$hash' | chpasswd -e")),

		found("SEC107", "provisioner \"shell\" {\n  env = { DB_PASSWORD = \"hunter2\" }\n  inline = [\"true\"]\n}"),
		clean("SEC107", "provisioner \"shell\" {\n  environment_vars = [\"DB_PASSWORD=\", \"TOKEN_URL=https://x\", \"DEBIAN_FRONTEND=noninteractive\"]\n  inline = [\"true\"]\n}"),
		clean("SEC107", "provisioner \"shell\" {\n  environment_vars = [\"DB_PASSWORD_FILE=/run/x\", \"SECRET=/run/secret\"]\n  inline = [\"true\"]\n}"),

		found("SEC108", source("docker", "image = \"debian:12\"\nchanges = [\"LABEL api_token=abc\"]")),
		found("SEC108", "variable \"t\" {\n  sensitive = true\n}\n"+source("docker", "image = \"debian:12\"\nchanges = [\"ENV API_TOKEN ${var.t}\"]")),
		found("SEC108", source("oci", "from = \"docker://debian:12\"\nenv = { API_TOKEN = \"abc\" }")),
		clean("SEC108", source("docker", "image = \"debian:12\"\nchanges = [\"ENV TOKEN_URL=https://x\", \"CMD [\\\"secret\\\"]\", \"ENV API_TOKEN=\"]")),
		clean("SEC108", source("oci", "from = \"docker://debian:12\"\nenv = { LANG = \"C\" }")),

		found("SEC109", "provisioner \"file\" {\n  source = \"aws\"\n  destination = \"/root/.aws/credentials\"\n}"),
		clean("SEC109", "provisioner \"file\" {\n  source = \"id_ed25519.pub\"\n  destination = \"/root/.ssh/authorized_keys\"\n}"),
		clean("SEC109", "provisioner \"file\" {\n  source = \"/root/.ssh/id_rsa\"\n  destination = \"out/id_rsa\"\n  direction = \"download\"\n}"),
		clean("SEC109", "provisioner \"file\" {\n  source = \".netrc\"\n  destination = \"/root/.netrc\"\n}\n"+inline("shred -u /root/.netrc")),
		clean("SEC109", "provisioner \"file\" {\n  source = \".netrc\"\n  destination = \"/root/.netrc\"\n}\nprovisioner \"ansible\" {\n  playbook_file = \"x\"\n}"),

		found("SEC110", built("amazon-ebs", "")),
		clean("SEC110", built("amazon-ebs", "", inline("rm -f ~/.ssh/authorized_keys"))),
		clean("SEC110", built("amazon-ebs", "ssh_keypair_name = \"k\"\nssh_private_key_file = \"k\"")),
		clean("SEC110", built("amazon-ebs", `communicator = "winrm"`)),
		clean("SEC110", built("amazon-ebs", "", `provisioner "ansible" {}`)),
		clean("SEC110", built("amazon-ebsvolume", "")),
	}
}

func imageCases() []ruleCase {
	return []ruleCase{
		found("IMG101", source("docker", `image = "registry.example.com:5000/app"`)),
		found("IMG101", source("docker", `image = "debian:latest"`)),
		found("IMG101", source("oci", `from = "docker://debian"`)),
		found("IMG101", "variable \"base\" {\n  default = \"debian\"\n}\n"+source("docker", `image = var.base`)),
		clean("IMG101", source("docker", `image = "registry.example.com:5000/app:1.2"`)),
		clean("IMG101", source("docker", `image = "debian@sha256:`+strings.Repeat("ab", 32)+`"`)),
		clean("IMG101", source("docker", `image = "scratch"`)),
		clean("IMG101", "variable \"base\" {}\n"+source("docker", `image = var.base`)),
		clean("IMG101", "variable \"tag\" {}\n"+source("docker", `image = "debian:${var.tag}"`)),
		clean("IMG101", source("oci", `from = "oci:base"`)),
		clean("IMG101", source("oci", `from = "debootstrap:bookworm"`)),

		found("IMG102", source("amazon-ebs", "source_ami_filter {\n filters = { name = \"x*\" }\n owners = []\n}")),
		clean("IMG102", source("amazon-ebs", "source_ami_filter {\n filters = { name = \"x*\" }\n owners = [\"self\"]\n}")),
		clean("IMG102", "variable \"o\" {}\n"+source("amazon-ebs", "source_ami_filter {\n filters = { name = \"x*\" }\n owners = [var.o]\n}")),
		clean("IMG102", source("amazon-ebs", "source_ami_filter {\n filters = { name = \"x*\", owner-alias = \"amazon\" }\n}")),
		clean("IMG102", source("amazon-ebs", `source_ami = "ami-1"`)),

		found("IMG103", source("vsphere-iso", `iso_checksum = "NONE"`)),
		clean("IMG103", source("vsphere-iso", `iso_checksum = "file:https://x/none"`)),
		clean("IMG103", source("vsphere-iso", `iso_paths = ["[ds] a.iso"]`)),

		found("IMG104", source("qemu", `iso_checksum = "file:http://x.example/SHA256SUMS"`)),
		clean("IMG104", source("qemu", `iso_checksum = "file:http://127.0.0.1:8000/SHA256SUMS"`)),
		clean("IMG104", source("qemu", `iso_checksum = "file:./SHA256SUMS"`)),
		clean("IMG104", source("qemu", `iso_url = "http://x.example/a.iso"`)),

		found("IMG105", source("qemu", `iso_checksum = "`+strings.Repeat("0a", 20)+`"`)),
		clean("IMG105", source("qemu", `iso_checksum = "`+strings.Repeat("0a", 32)+`"`)),
		clean("IMG105", source("qemu", `iso_checksum = "file:https://x/md5sums"`)),

		found("IMG106", source("qemu", `iso_url = "https://cloud.example/noble/current/noble.img"`)),
		found("IMG106", source("qemu", `iso_urls = ["a.iso", "https://x.example/debian-latest-amd64.iso"]`)),
		clean("IMG106", source("qemu", `iso_url = "https://x.example/12.5.0/debian-12.5.0.iso"`)),
		clean("IMG106", source("qemu", `iso_url = "./current/x.iso"`)),
		clean("IMG106", source("qemu", `iso_url = "https://x.example/concurrent/greatest.iso"`)),

		found("IMG107", source("azure-arm", `image_version = "Latest"`)),
		clean("IMG107", source("azure-arm", `image_publisher = "Canonical"`)),
		clean("IMG107", source("docker", "image = \"a:1\"\nimage_version = \"latest\"")),
	}
}

func networkCases() []ruleCase {
	return []ruleCase{
		found("NET101", source("amazon-ebs", `temporary_security_group_source_cidrs = ["10.0.0.0/8", "0.0.0.0/0"]`)),
		found("NET101", built("azure-arm", "")),
		found("NET101", built("amazon-ebs", `communicator = "winrm"`)),
		clean("NET101", source("amazon-ebs", "")),
		clean("NET101", built("amazon-ebs", `ssh_interface = "session_manager"`)),
		clean("NET101", built("amazon-ebs", `ssh_interface = "private_ip"`)),
		clean("NET101", built("amazon-ebs", `security_group_ids = ["sg-1"]`)),
		clean("NET101", built("amazon-ebs", "security_group_filter {\n filters = { x = \"y\" }\n}")),
		clean("NET101", built("amazon-ebs", `temporary_security_group_source_cidrs = ["10.0.0.0/8"]`)),
		clean("NET101", built("amazon-ebs", `communicator = "none"`)),
		clean("NET101", "variable \"g\" {}\n"+built("amazon-ebs", `security_group_id = var.g`)),
		clean("NET101", "variable \"net\" {\n  default = \"\"\n}\n"+built("azure-arm", `virtual_network_name = var.net`)),
		clean("NET101", built("azure-arm", `virtual_network_name = "v"`)),

		found("NET102", source("amazon-ebs", `insecure_skip_tls_verify = true`)),
		clean("NET102", source("vsphere-iso", `insecure_connection = false`)),
		clean("NET102", source("azure-arm", "communicator = \"winrm\"\nwinrm_insecure = true")),

		found("NET103", source("qemu", `http_directory = path.root`)),
		found("NET103", source("qemu", `http_directory = "/"`)),
		clean("NET103", source("qemu", `http_directory = "${path.root}/http"`)),
		clean("NET103", source("qemu", `http_directory = ""`)),

		clean("NET104", source("qemu", "vnc_bind_address = \"0.0.0.0\"\nvnc_use_password = true")),
		clean("NET104", source("qemu", "")),
	}
}

func shellCases() []ruleCase {
	apt := "apt-get update"
	return []ruleCase{
		script("SH101", true, "#!/bin/sh\nmake\nmake install\n"),
		script("SH101", true, "make\nmake install\n"),
		script("SH101", true, "#!/bin/bash\nset -u\ntar xf a\nrm a\n"),
		script("SH101", true, "#!/bin/bash\nmain() {\n  tar xf a\n  rm a\n}\nmain\n"),
		script("SH101", false, "#!/bin/bash -e\nmake\nmake install\n"),
		script("SH101", false, "#!/bin/bash\nset -euo pipefail\nmake\nmake install\n"),
		script("SH101", false, "#!/bin/bash\n# comment\nset -o errexit\nmake\nmake install\n"),
		script("SH101", false, "#!/usr/bin/env -S bash -eu\nmake\nmake install\n"),
		script("SH101", false, "#!/bin/sh\nmake install\n"),
		script("SH101", false, "#!/bin/sh\nmake && make install\n"),
		script("SH101", false, "#!/bin/sh\nX=1\necho start\nmake install\n"),
		script("SH101", false, "#!/bin/bash\ntrap 'exit 1' ERR\nmake\nmake install\n"),
		script("SH101", false, "#!/usr/bin/python3\nimport os\nos.remove('a')\n"),
		found("SH101", "provisioner \"shell\" {\n  inline_shebang = \"/bin/bash\"\n  inline = [\"make\", \"make install\"]\n}"),
		found("SH101", "provisioner \"shell\" {\n  execute_command = \"sudo bash {{.Path}}\"\n  inline = [\"make\", \"make install\"]\n}"),
		found("SH101", "provisioner \"shell\" {\n  inline = [\"#!/bin/bash\", \"make\", \"make install\"]\n}"),
		clean("SH101", inline("make", "make install")),
		clean("SH101", "provisioner \"shell\" {\n  execute_command = \"sudo -S sh -c '{{.Vars}} {{.Path}}'\"\n  inline = [\"make\", \"make install\"]\n}"),
		clean("SH101", "provisioner \"shell\" {\n  execute_command = \"{{.Vars}} bash -eux '{{.Path}}'\"\n  inline = [\"make\", \"make install\"]\n}"),
		clean("SH101", "variable \"c\" {}\nsource \"null\" \"x\" {}\nbuild {\nsources = [\"null.x\"]\nprovisioner \"shell\" {\n  execute_command = var.c\n  inline = [\"make\", \"make install\"]\n}\n}"),
		found("SH101", "provisioner \"shell-local\" {\n  script = \"s.sh\"\n}").with("s.sh", "#!/bin/sh\nmake\nmake install\n"),

		script("SH102", true, "#!/bin/bash\nset -e\necho \"unclosed\n"),
		script("SH102", false, "#!/usr/bin/perl\nmy @x = (1,\n"),
		script("SH102", false, "#!/bin/bash\nset -e\ncat <<EOF\n if ( { \nEOF\n"),
		clean("SH102", "variable \"x\" {}\nsource \"null\" \"x\" {}\nbuild {\nsources = [\"null.x\"]\nprovisioner \"shell\" {\n  inline = [\"${var.x}\", \"fi\"]\n}\n}"),

		found("SH103", inline("source /etc/os-release")),
		found("SH103", inline("set -o pipefail", "true")),
		found("SH103", inline("a=(1 2)", "true")),
		clean("SH103", inline(". /etc/os-release", "[ -d /x ] || mkdir /x", "x=${y#z}")),
		clean("SH103", inline("bash -c '[[ -d /x ]]'")),
		clean("SH103", "provisioner \"shell\" {\n  execute_command = \"bash {{.Path}}\"\n  inline = [\"[[ -d /x ]]\"]\n}"),
		script("SH103", false, "#!/bin/bash\nset -e\n[[ -d /x ]]\n"),

		clean("SH103", inline("dnf -y install nginx", "source /etc/os-release")),
		script("SH102", false, "# no first line, but PowerShell\nGet-Item 'x\n").named("s.ps1"),
		clean("SH101", "provisioner \"shell\" {\n  execute_command = \"sudo {{.Vars}} pwsh -f {{.Path}}\"\n  script = \"a.ps1\"\n}").with("a.ps1", "Get-Item x\nGet-Item y\n"),

		found("SH104", inline(apt, "DEBIAN_FRONTEND=noninteractive apt-get -q install nginx")),
		found("SH104", inline("sudo yum install nginx")),
		found("SH104", inline(apt, "sudo sh -c 'apt-get upgrade'")),
		found("SH104", inline("pacman -S nginx")),
		clean("SH104", inline(apt, "apt-get -qq install nginx", "apt-get -yq upgrade", "apt-get --assume-yes autoremove", "apt-get -o APT::Get::Assume-Yes=true install x")),
		clean("SH104", inline(apt, "yes | apt-get install nginx", "apt-get clean", "apt-cache policy x", "apt-get -s install x")),
		clean("SH104", inline(apt, "echo 'APT::Get::Assume-Yes \"true\";' > /etc/apt/apt.conf.d/90yes", "apt-get install nginx")),
		clean("SH104", inline(apt, "apt-get install $APT_OPTS nginx", "dnf -y install x", "zypper -n in x", "pacman -Sy --noconfirm x", "microdnf install x")),
		clean("SH104", inline("echo apt-get install nginx", "# apt-get install nginx")),

		found("SH105", inline("apt-get install -y nginx")+inline(apt)),
		clean("SH105", inline(apt)+inline("apt-get install -y nginx")),
		clean("SH105", inline("apt-get install -y ./app.deb")),
		clean("SH105", inline("apt-get -o Acquire::Retries=3 update", "apt-get install -y nginx")),
		clean("SH105", inline("./prepare.sh", "apt-get install -y nginx")),
		clean("SH105", inline("add-apt-repository -y ppa:x/y", "apt-get install -y nginx")),
		clean("SH105", "provisioner \"ansible\" {}\n"+inline("apt-get install -y nginx")),
		clean("SH105", "provisioner \"shell-local\" {\n  inline = [\"apt-get install -y nginx\"]\n}"),

		found("SH106", inline("[ ! -f /var/run/reboot-required ] || sudo shutdown -r now")),
		found("SH106", inline("sudo systemctl reboot")),
		clean("SH106", inline("shutdown -r +5", "echo reboot", "(sleep 5; reboot) &")),
		clean("SH106", "provisioner \"shell\" {\n  inline = [\"reboot\"]\n  valid_exit_codes = [0, 2300218]\n}"),
		clean("SH106", "provisioner \"shell-local\" {\n  inline = [\"reboot\"]\n}"),

		clean("SH107", "provisioner \"shell\" {\n  inline = [\"reboot\", \"sleep 60\"]\n  expect_disconnect = true\n}\n"+inline("true")),
		clean("SH107", "provisioner \"shell\" {\n  inline = [\"reboot\"]\n  expect_disconnect = true\n  pause_after = \"30s\"\n}\n"+inline("true")),
		clean("SH107", "provisioner \"shell\" {\n  inline = [\"reboot\"]\n  expect_disconnect = true\n}\n"),
		clean("SH107", "provisioner \"shell\" {\n  inline = [\"reboot\"]\n  expect_disconnect = true\n}\nprovisioner \"sleep\" {\n  duration = \"30s\"\n}\n"+inline("true")),

		found("SH108", inline("sudo vim /etc/hosts")),
		found("SH108", inline("passwd root")),
		found("SH108", inline("mysql_secure_installation")),
		clean("SH108", inline("printf 'y\\n' | mysql_secure_installation", "passwd -l root", "echo pw | passwd --stdin root", "visudo -cf /etc/sudoers", "apt-get install -y vim", "ssh-keygen -A", "vim -es -c wq x")),
		clean("SH108", inline("su - app -c 'id'", "while read -r l; do echo \"$l\"; done < f", "top -bn1", "sudo -i id", "adduser --disabled-password --gecos '' app")),
		clean("SH108", inline("DEBIAN_FRONTEND=noninteractive dpkg-reconfigure tzdata", "fdisk /dev/sdb <<EOF\nn\nEOF")),

		found("SH109", inline("wget -qO- https://x.example/i | bash -s -- --yes")),
		found("SH109", inline("sh -c \"$(curl -fsSL https://x.example/i)\"")),
		clean("SH109", inline("curl -fsSL https://x.example/key | gpg --dearmor -o /k", "curl -fsS http://localhost/x | sh", "curl -fsSL https://x.example/a | tar xz", "cat x | sh")),

		found("SH110", inline("curl -s https://x.example/a > a")),
		found("SH110", inline("curl -sSL https://x.example/a | tar xz")),
		clean("SH110", inline("curl -fsSLO https://x.example/a", "curl --fail -o a https://x.example/a", "curl -s -o /dev/null https://x.example", "x=$(curl -s https://x.example)")),
		clean("SH110", inline("curl -s http://169.254.169.254/latest/x -o x", "curl https://x.example/health")),

		found("SH111", inline("curl -fskL https://x.example/a -o a")),
		found("SH111", inline("echo 'deb [trusted=yes] http://x.example ./' > /etc/apt/sources.list.d/x.list")),
		clean("SH111", inline("curl -fsS -k https://localhost:8443/", "apt-get install -y --no-install-recommends x", "wget -k https://x.example")),

		found("SH112", inline("chmod a+w /opt/app")),
		clean("SH112", inline("chmod 1777 /tmp", "chmod 755 /opt", "chmod +x a", "chmod u+w a", "chmod 0775 a", "chmod +rwx a")),

		found("SH113", "provisioner \"shell-local\" {\n  script = \"setup-crlf.sh\"\n}"),
		clean("SH113", "provisioner \"shell-local\" {\n  script = \"s.sh\"\n}").with("s.sh", "#!/bin/sh\nset -e\ntrue\n"),
	}
}

func windowsCases() []ruleCase {
	return []ruleCase{
		clean("WIN101", source("null", "communicator = \"winrm\"")),
		clean("WIN101", source("null", "communicator = \"ssh\"\nwinrm_timeout = \"5m\"")),
		clean("WIN101", source("null", "communicator = \"winrm\"\nwinrm_timeout = \"10m\"")),

		clean("WIN102", source("amazon-ebs", "communicator = \"winrm\"\nwinrm_use_ntlm = true")),
		clean("WIN102", source("vsphere-iso", `communicator = "winrm"`)),
		clean("WIN102", source("amazon-ebs", "communicator = \"winrm\"\nssh_interface = \"private_ip\"")),

		found("WIN103", built("azure-arm", "os_type = \"Windows\"\ncommunicator = \"winrm\"\nwinrm_use_ssl = true", `provisioner "powershell" { inline = ["dir"] }`)),
		clean("WIN103", built("azure-arm", "os_type = \"Windows\"\nshared_image_gallery_destination {\n specialized = true\n}")),
		clean("WIN103", built("azure-arm", `os_type = "Windows"`, `provisioner "powershell" { script = "missing.ps1" }`)),
		clean("WIN103", built("vsphere-iso", `guest_os_type = "windows2019srv_64Guest"`)),

		found("WIN104", `provisioner "windows-shell" { inline = ["shutdown /r /t 0"] }`),
		clean("WIN104", `provisioner "powershell" { inline = ["# Restart-Computer is done by the next step"] }`),
		clean("WIN104", `provisioner "windows-shell" { inline = ["shutdown /r /t 300"] }`),
		clean("WIN104", `provisioner "windows-shell" { inline = ["shutdown /a"] }`),
		clean("WIN104", `provisioner "powershell" { inline = ["Write-Host 'Restart-Computer'"] }`),

		found("WIN105", `provisioner "powershell" { inline = ["mkdir C:\\a", "Copy-Item b C:\\a"] }`),
		clean("WIN105", `provisioner "powershell" { inline = ["mkdir C:\\a"] }`),
		clean("WIN105", `provisioner "powershell" { inline = ["mkdir C:\\a", "choco install git", "if ($LASTEXITCODE) { exit 1 }"] }`),
		clean("WIN105", `provisioner "windows-shell" { inline = ["mkdir C:\\a", "copy b C:\\a"] }`),

		found("WIN106", `provisioner "windows-update" {}`+"\n"+`provisioner "windows-restart" {}`),
		clean("WIN106", `provisioner "windows-restart" {}`),
		clean("WIN106", `provisioner "powershell" { inline = ["mkdir C:\\a"] }`+"\n"+`provisioner "windows-restart" {}`),
	}
}

func machineCases() []ruleCase {
	return []ruleCase{
		found("VM101", source("virtualbox-iso", `ssh_timeout = "5m"`)),
		clean("VM101", source("virtualbox-iso", `ssh_wait_timeout = "30m"`)),
		clean("VM101", source("qemu", `disk_image = true`)),
		clean("VM101", source("virtualbox-ovf", "")),
		clean("VM101", source("vsphere-iso", "")),
		clean("VM101", source("qemu", `communicator = "winrm"`)),
		clean("VM101", "variable \"d\" {}\n"+source("qemu", `ssh_timeout = var.d`)),

		clean("VM102", source("qemu", `communicator = "none"`)),
		clean("VM102", source("vsphere-iso", "")),
		clean("VM102", source("amazon-ebs", "")),

		found("VM103", source("virtualbox-iso", `memory = 512`)),
		found("VM103", source("vsphere-iso", `RAM = "768"`)),
		clean("VM103", source("qemu", `disk_image = true`)),
		clean("VM103", source("qemu", `qemuargs = [["-m", "4096"]]`)),
		clean("VM103", source("virtualbox-iso", "memory = 1024\n")),
		clean("VM103", source("virtualbox-iso", "memory = 512\nvboxmanage = [[\"modifyvm\", \"{{.Name}}\", \"--memory\", \"2048\"]]")),
		clean("VM103", "variable \"m\" {}\n"+source("qemu", "memory = var.m")),

		clean("VM104", built("qemu", "", inline("cloud-init clean --machine-id"))),
		clean("VM104", built("qemu", "", `provisioner "ansible" {}`)),
		clean("VM104", built("qemu", "")),
		clean("VM104", built("qemu", "", inline("apk add nginx"))),
		clean("VM104", built("amazon-ebs", "", inline("true"))),
		clean("VM104", built("vsphere-iso", `guest_os_type = "windows9Server64Guest"`, inline("true"))),

		found("VM105", "provisioner \"sleep\" {\n  duration = \"10m\"\n}"),
		clean("VM105", "provisioner \"shell\" {\n  pause_before = \"30s\"\n  inline = [\"true\"]\n}"),
	}
}

func cloudCases() []ruleCase {
	return []ruleCase{
		found("CLD101", source("amazon-ebs", "instance_type = \"t3.micro\"\ncommunicator = \"winrm\"")),
		found("CLD101", built("amazon-ebs", `instance_type = "t3.micro"`, inline("npm ci"))),
		found("CLD101", source("azure-arm", `vm_size = "Standard_B1ls"`)),
		clean("CLD101", built("amazon-ebs", `instance_type = "t3.micro"`, inline("apt-get update", "npm --version", "echo npm ci"))),
		clean("CLD101", built("amazon-ebs", `instance_type = "t3.medium"`, inline("npm ci"))),
		clean("CLD101", source("qemu", `machine_type = "q35"`)),

		found("CLD102", source("googlecompute", `image_name = "web"`)),
		clean("CLD102", source("amazon-ebs", `ami_name = "web {{isotime}}"`)),
		clean("CLD102", "variable \"v\" {}\n"+source("amazon-ebs", `ami_name = "web-${var.v}"`)),
		clean("CLD102", source("amazon-ebs", "ami_name = \"web\"\nforce_deregister = true")),
		clean("CLD102", source("amazon-ebs", "ami_name = \"web\"\nskip_create_ami = true")),

		clean("CLD103", built("amazon-ebs", "", inline("while fuser /var/lib/dpkg/lock-frontend; do sleep 1; done", "apt-get update"))),
		clean("CLD103", built("amazon-ebs", "", inline("sleep 30", "apt-get update"))),
		clean("CLD103", built("amazon-ebs", `pause_before_connecting = "1m"`, inline("apt-get update"))),
		clean("CLD103", built("amazon-ebs", "", inline("yum -y install x"))),
		clean("CLD103", built("qemu", "", inline("apt-get update"))),
		clean("CLD103", built("amazon-ebs", "", "provisioner \"shell\" {\n  pause_before = \"30s\"\n  inline = [\"apt-get update\"]\n}")),
		clean("CLD103", built("amazon-ebs", "", inline("cloud-init status --wait")+inline("apt-get update"))),

		clean("CLD104", built("azure-arm", "os_type = \"Linux\"\nshared_image_gallery_destination {\n specialized = true\n}", inline("true"))),
		clean("CLD104", built("azure-arm", `os_type = "Linux"`, `provisioner "ansible" {}`)),
		clean("CLD104", built("azure-arm", `os_type = "Linux"`, inline("/usr/sbin/waagent -force -deprovision+user && export HISTSIZE=0 && sync"))),
		clean("CLD104", built("amazon-ebs", "", inline("true"))),

		found("CLD105", source("amazon-ebs", `snapshot_groups = ["all"]`)),
		clean("CLD105", source("amazon-ebs", `ami_users = ["all"]`)),

		clean("CLD106", source("amazon-ebs", "spot_price = \"0\"\ninstance_type = \"t3.small\"")),
		clean("CLD106", source("amazon-ebs", `instance_type = "t3.small"`)),
	}
}

func containerCases() []ruleCase {
	d := func(steps ...string) string {
		return built("docker", "image = \"debian:12\"\ndiscard = true", steps...)
	}
	return []ruleCase{
		found("CTR101", d(inline("dnf -y install nginx"))),
		found("CTR101", built("oci", `from = "docker://debian:12"`, inline("apt-get update", "rm -rf /var/lib/apt/lists/*", "apt-get update"))),
		clean("CTR101", d(inline("apt-get update"), inline("rm -rf /var/lib/apt/lists/*"))),
		clean("CTR101", d(inline("apt-get update"), `provisioner "ansible" {}`)),
		clean("CTR101", d(inline("apk add --no-cache nginx", "apk add nginx"))),
		clean("CTR101", d(inline("dnf -y install nginx && dnf clean all"))),
		clean("CTR101", built("amazon-ebs", "", inline("apt-get update"))),

		found("CTR102", source("docker", "image = \"debian:12\"\nvolumes = {\n \"/var/run/docker.sock\" = \"/var/run/docker.sock\"\n}")),
		clean("CTR102", source("docker", "image = \"debian:12\"\nvolumes = {\n \"/src\" = \"/src\"\n}\nprivileged = false")),

		clean("CTR103", d(inline("systemctl enable nginx", "systemctl restart nginx || true"))),
		clean("CTR103", built("docker", "image = \"debian:12\"\nprivileged = true", inline("systemctl start nginx"))),
		clean("CTR103", built("docker", "image = \"debian:12\"\nrun_command = [\"-d\", \"{{.Image}}\", \"/sbin/init\"]", inline("systemctl start nginx"))),
		clean("CTR103", built("amazon-ebs", "", inline("systemctl start nginx"))),

		found("CTR104", built("docker", "image = \"library/ubuntu:24.04\"", inline("sudo true"))),
		clean("CTR104", d(inline("apt-get update && apt-get install -y sudo", "sudo true"))),
		clean("CTR104", built("docker", "image = \"example/base:1\"", inline("sudo true"))),
		clean("CTR104", d(inline("sudo -n true || true"))),

		clean("CTR105", built("docker", "image = \"debian:12\"\nexport_path = \"a.tar\"")),
		clean("CTR105", built("docker", "image = \"debian:12\"\ncommit = true", "post-processors {\n post-processor \"docker-tag\" {\n repository = \"x\"\n }\n}")),
	}
}

func costCases() []ruleCase {
	return []ruleCase{
		clean("COST101", built("amazon-ebs", `shutdown_behavior = "terminate"`)),
		clean("COST101", built("amazon-ebs", "run_tag {\n key = \"a\"\n value = \"b\"\n}")),
		clean("COST101", built("qemu", "")),

		clean("COST102", source("amazon-ebs", "force_deregister = false")),
		clean("COST102", "variable \"d\" {}\n"+source("amazon-ebs", "force_deregister = true\nforce_delete_snapshot = var.d")),

		found("COST103", source("amazon-ebs", "launch_block_device_mappings {\n device_name = \"a\"\n delete_on_termination = false\n}")),
		clean("COST103", source("amazon-ebs", "launch_block_device_mappings {\n device_name = \"a\"\n no_device = true\n}")),
		clean("COST103", source("amazon-ebs", "launch_block_device_mappings {\n device_name = \"a\"\n virtual_name = \"ephemeral0\"\n}")),
		clean("COST103", source("amazon-ebs", "ami_block_device_mappings {\n device_name = \"a\"\n}")),
		found("COST103", source("amazon-ebs", "dynamic \"launch_block_device_mappings\" {\n for_each = [\"a\"]\n content {\n device_name = launch_block_device_mappings.value\n }\n}")),

		clean("COST104", source("amazon-ebs", "launch_block_device_mappings {\n delete_on_termination = true\n volume_type = \"io2\"\n}")),
	}
}

func pluginCases() []ruleCase {
	plugin := func(version string) string {
		return "packer {\n  required_plugins {\n    qemu = {\n      source = \"github.com/hashicorp/qemu\"\n      version = \"" + version + "\"\n    }\n  }\n}\n"
	}
	return []ruleCase{
		clean("PLG101", source("docker", `image = "a:1"`)),
		clean("PLG101", `provisioner "windows-restart" {}`),
		clean("PLG101", plugin("~> 1.0")+source("qemu", "")),
		found("PLG101", plugin("~> 1.0")+source("qemuish", "")),
		clean("PLG102", plugin("1.1.0")+source("qemu", "")),
		clean("PLG102", plugin("= 1.1.0")+source("qemu", "")),
		clean("PLG102", plugin(">= 1.1.0, < 2.0.0")+source("qemu", "")),
		found("PLG102", plugin("> 1.1.0, != 1.2.0")+source("qemu", "")),
		clean("PLG103", plugin("~> 1.0")),
		clean("PLG103", plugin("~> 1.0")+source("qemu", "")),
	}
}

func templateCases() []ruleCase {
	return []ruleCase{
		found("TPL101", "locals {\n  a = 1\n}\n"+source("null", "")),
		found("TPL101", "variable \"a\" {\n  validation {\n    condition = var.a != \"\"\n    error_message = \"Empty.\"\n  }\n}\n"+source("null", "")),
		clean("TPL101", "locals {\n  a = 1\n}\n"),
		clean("TPL101", "variable \"a\" {}\n"+source("null", `ssh_host = var["a"]`)),
		clean("TPL101", "variable \"a\" {}\n"+source("null", `ssh_host = jsonencode(var)`)),
		clean("TPL101", "variable \"a\" {}\n"+source("null", "ssh_host = \"{{user `a`}}\"")),
		clean("TPL102", source("null", "")),
		clean("TPL102", "data \"http\" \"x\" {\n  url = \"http://127.0.0.1/\"\n}\n"+source("null", "")+"build {\n  sources = data.http.x.body\n}"),
		clean("TPL103", `provisioner "breakpoint" { disable = true }`),
		clean("TPL103", "provisioner \"shell\" {\n  inline = [\"breakpoint\"]\n}"),
	}
}
