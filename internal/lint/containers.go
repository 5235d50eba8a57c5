package lint

import (
	"slices"
	"strings"

	"ingot/internal/diag"
)

func containerRules() []*Rule {
	return []*Rule{
		{
			ID: "CTR101", Severity: diag.Warning, Title: "Package lists and caches stay in the image", check: leftovers,
			Why:    "The package manager's lists and downloads become part of the image: 20 to 200 MB that every pull transfers and that are out of date the next day.",
			Advice: "End the last step that installs packages with rm -rf /var/lib/apt/lists/* (apk: add --no-cache; dnf and yum: clean all).",
		},
		{
			ID: "CTR102", Severity: diag.Warning, Title: "Container that rules its host", check: privileged,
			Why:    "A privileged container, or one that is given the engine's socket, can do anything on the machine that builds: a bad package in the image takes that over, with the credentials of all other builds on it.",
			Advice: "Name the capability that the step needs in cap_add, or build with the builder oci, which needs no rights.",
		},
		{
			ID: "CTR103", Severity: diag.Warning, Title: "Service manager in a container", check: servicesInContainer,
			Why:    "There is no systemd in a container, so that starting and reloading services fails with \"System has not been booted with systemd\". Nothing that is started while an image is built runs in its containers either.",
			Advice: "Leave the start out. systemctl enable works, and the service belongs into the image's command.",
		},
		{
			ID: "CTR104", Severity: diag.Warning, Title: "sudo in an image that has none", check: noSudo,
			Why:    "The official container images have no sudo, and the steps run as root already. The step fails with \"sudo: not found\".",
			Advice: "Leave sudo out, or install it first.",
		},
		{
			ID: "CTR105", Severity: diag.Info, Title: "Image without a name", check: unnamedImage,
			Why:    "The container is committed and nothing gives the image a name. It can be found only by its id, and the next docker image prune removes it.",
			Advice: "Add a post-processor docker-tag.",
		},
	}
}

func leftovers(p *pass) {
	for _, m := range p.machines {
		if m.build == nil || !m.isContainer() {
			continue
		}
		for _, k := range []cacheKeeper{aptKeeper(), apkKeeper(), dnfKeeper()} {
			if last := k.last(m); last != nil {
				p.report(last.script.at(last.pos, last.end), "Nothing after this removes %s.", k.what)
			}
		}
	}
}

// cacheKeeper is a package manager that leaves something behind.
type cacheKeeper struct {
	what  string
	fills func(*command) bool
	// cleans reports whether a command removes it.
	cleans func(*command) bool
}

// last is the last command that leaves something which no later one removes.
func (k cacheKeeper) last(m *machine) *command {
	var last *command
	for _, s := range m.steps {
		if s.opaque {
			last = nil // it may clean up
			continue
		}
		if !s.runsOnMachine() {
			continue
		}
		for _, sc := range s.scripts {
			for _, c := range sc.cmds {
				switch {
				case k.cleans(c):
					last = nil
				case k.fills(c):
					last = c
				}
			}
		}
	}
	return last
}

func removes(c *command, folders ...string) bool {
	if c.name != "rm" && c.name != "find" {
		return false
	}
	return slices.ContainsFunc(folders, func(f string) bool { return c.mentions(f) })
}

func aptKeeper() cacheKeeper {
	return cacheKeeper{
		what:   "/var/lib/apt/lists",
		fills:  func(c *command) bool { return isApt(c) && c.sub() == "update" },
		cleans: func(c *command) bool { return removes(c, "/var/lib/apt") || isApt(c) && c.sub() == "distclean" },
	}
}

func apkKeeper() cacheKeeper {
	return cacheKeeper{
		what: "/var/cache/apk",
		fills: func(c *command) bool {
			return c.name == "apk" && c.sub() == "update" && !c.flag("--no-cache") || c.name == "apk" && c.flag("-U", "--update-cache") && !c.flag("--no-cache")
		},
		cleans: func(c *command) bool {
			return removes(c, "/var/cache/apk", "/etc/apk/cache") || c.name == "apk" && c.sub() == "cache"
		},
	}
}

func dnfKeeper() cacheKeeper {
	isDnf := func(c *command) bool { return slices.Contains([]string{"dnf", "yum", "microdnf", "tdnf"}, c.name) }
	return cacheKeeper{
		what: "/var/cache/dnf or /var/cache/yum",
		fills: func(c *command) bool {
			return isDnf(c) && slices.Contains([]string{"install", "update", "upgrade", "groupinstall", "reinstall", "makecache"}, c.sub())
		},
		cleans: func(c *command) bool { return removes(c, "/var/cache") || isDnf(c) && c.sub() == "clean" },
	}
}

func privileged(p *pass) {
	for _, m := range p.machines {
		if m.kind != "docker" {
			continue
		}
		if m.is("privileged") {
			p.report(m.arg("privileged").Expr.Range(), "The container has every right on the host.")
		}
		for _, o := range m.blocks("volumes") {
			for _, a := range o.Arguments {
				if strings.HasSuffix(a.Name, "docker.sock") {
					p.report(a.NameRange, "The container can start others with every right.")
				}
			}
		}
	}
}

func servicesInContainer(p *pass) {
	for _, m := range p.machines {
		if m.build == nil || !m.isContainer() || m.is("privileged") || m.has("run_command", "volumes", "windows_container") {
			continue
		}
		for _, c := range m.shellCommands() {
			if c.name != "systemctl" || c.tolerated || c.flag("--root") {
				continue
			}
			if slices.Contains([]string{"start", "restart", "reload", "daemon-reload", "stop", "status", "is-active"}, c.sub()) || c.flag("--now") {
				p.report(c.script.at(c.pos, c.end), "systemctl %s fails in a container.", c.sub())
			}
		}
	}
}

func noSudo(p *pass) {
	official := []string{"debian", "ubuntu", "alpine", "fedora", "centos", "almalinux", "rockylinux", "amazonlinux", "oraclelinux", "archlinux", "busybox", "python", "node", "golang", "nginx", "redis", "postgres", "httpd", "buildpack-deps"}
	for _, m := range p.machines {
		if m.build == nil || !m.isContainer() || m.opaque() {
			continue
		}
		image, _ := m.text("image")
		from, _ := m.text("from")
		if ref, ok := strings.CutPrefix(from, "docker://"); ok {
			image = ref
		}
		image = strings.TrimPrefix(strings.TrimPrefix(image, "docker.io/"), "library/")
		name, _, _ := strings.Cut(image, "@")
		name, _, _ = strings.Cut(name, ":")
		if !slices.Contains(official, name) {
			continue
		}
		for _, c := range m.shellCommands() {
			installs := slices.Contains([]string{"apt-get", "apt", "apk", "dnf", "yum", "microdnf", "pacman"}, c.name) && c.has("sudo")
			if installs {
				break
			}
			if c.wrapped("sudo") && !c.tolerated {
				p.report(c.script.at(c.pos, c.end), "The image %s has no sudo.", name)
				break
			}
		}
	}
}

func unnamedImage(p *pass) {
	for _, m := range p.machines {
		if m.build == nil || m.kind != "docker" || !m.is("commit") {
			continue
		}
		named := false
		for _, s := range m.build.posts {
			// Others may name it in their own way.
			named = named || s.RunsFor(m.use) && s.Type != "manifest" && s.Type != "checksum" && s.Type != "compress"
		}
		if !named {
			p.report(m.arg("commit").Expr.Range(), "The image is only an id.")
		}
	}
}
