package lint

import (
	"net/url"
	"path"
	"slices"
	"strings"

	"ingot/internal/diag"
	"ingot/internal/lang"
)

func imageRules() []*Rule {
	return []*Rule{
		{
			ID: "IMG101", Severity: diag.Warning, Title: "Base image that changes by itself", check: latestImage,
			Why:    "The base image has the tag latest, or none, which means the same. Two builds of one commit can differ, and a new release of the base breaks a build that nobody has changed.",
			Advice: "Name a version, such as debian:12.5, or a digest.",
		},
		{
			ID: "IMG102", Severity: diag.Error, Title: "Base image of anybody", check: ownerlessFilter,
			Why:    "The filter for the base image names no owner. Everybody can publish an image with a name that matches, and the newest one wins.",
			Advice: "Set owners to the account that publishes the image, such as [\"099720109477\"] for Ubuntu, or \"amazon\" or \"self\".",
		},
		{
			ID: "IMG103", Severity: diag.Error, Title: "Download without a checksum", check: noChecksum,
			Why:    "With iso_checksum = \"none\" whatever the server sends is installed: a truncated file, another release, or what somebody on the way put in its place.",
			Advice: "Give the checksum, or its list with \"file:https://.../SHA256SUMS\".",
		},
		{
			ID: "IMG104", Severity: diag.Warning, Title: "Checksum over an unprotected connection", check: plainChecksum,
			Why:    "The list of checksums is fetched over HTTP. Whoever can change the ISO image on the way can change its checksum as well, so that it proves nothing.",
			Advice: "Fetch the list over HTTPS, or write the checksum into the template.",
		},
		{
			ID: "IMG105", Severity: diag.Info, Title: "Checksum of a broken kind", check: weakChecksum,
			Why:    "Two files with the same MD5 or SHA-1 checksum can be made on purpose. Such a checksum finds accidents and no attacks.",
			Advice: "Use the SHA-256 checksum that the publisher offers.",
		},
		{
			ID: "IMG106", Severity: diag.Warning, Title: "Download address that moves on", check: movingISO,
			Why:    "The address leads to whatever is newest. With a fixed checksum the build breaks on the day of the next release; with a list of checksums it silently builds something else.",
			Advice: "Use the address of one release. Mirrors keep them in an archive.",
		},
		{
			ID: "IMG107", Severity: diag.Info, Title: "Newest version of a marketplace image", check: latestAzure,
			Why:    "image_version = \"latest\" builds from whatever the publisher has released last, so that two builds of one commit can differ.",
			Advice: "Name the version and raise it on purpose.",
		},
	}
}

// movesByTag reports whether a reference to a container image has no version.
func movesByTag(ref string) bool {
	if ref == "" || ref == "scratch" || strings.Contains(ref, "@") || strings.ContainsAny(ref, " $") {
		return false
	}
	last := ref[strings.LastIndexByte(ref, '/')+1:]
	_, tag, ok := strings.Cut(last, ":")
	return !ok || tag == "latest"
}

func latestImage(p *pass) {
	for _, m := range p.machines {
		if !m.isContainer() {
			continue
		}
		if text, ok := m.text("image"); ok && m.kind == "docker" && !action().MatchString(text) && movesByTag(text) {
			p.report(m.arg("image").Expr.Range(), "The image %q has no fixed version.", text)
		}
		// Other kinds of base than a registry's are files and folders.
		text, _ := m.text("from")
		if ref, ok := strings.CutPrefix(text, "docker://"); ok && movesByTag(ref) {
			p.report(m.arg("from").Expr.Range(), "The image %q has no fixed version.", ref)
		}
	}
}

func ownerlessFilter(p *pass) {
	check := func(s *lang.Section) {
		owners := s.Argument("owners")
		if owners != nil && !isEmpty(owners.Value) {
			return
		}
		if len(s.Blocks("filters")) == 0 && s.Argument("filters") == nil {
			return
		}
		// An owner may be one of the filters as well.
		for _, f := range s.Blocks("filters") {
			if f.Argument("owner-id") != nil || f.Argument("owner-alias") != nil || f.Argument("image-id") != nil {
				return
			}
		}
		if f := s.Argument("filters"); isUnknown(f) && len(f.Objects()) == 0 {
			return
		}
		p.report(s.Header, "This filter accepts images of every account.")
	}
	for _, m := range p.machines {
		if strings.HasPrefix(m.kind, "amazon-") {
			for _, s := range m.blocks("source_ami_filter") {
				check(s)
			}
		}
	}
	for _, d := range p.in.Survey.Data {
		if d.Type == "amazon-ami" {
			check(d.Section)
		}
	}
}

func noChecksum(p *pass) {
	for _, m := range p.machines {
		for _, name := range []string{"iso_checksum", "iso_checksum_type"} {
			if text, ok := m.text(name); ok && strings.EqualFold(text, "none") {
				p.report(m.arg(name).Expr.Range(), "The ISO image is used as it comes.")
			}
		}
	}
}

func plainChecksum(p *pass) {
	for _, m := range p.machines {
		for _, name := range []string{"iso_checksum", "iso_checksum_url"} {
			text, ok := m.text(name)
			if !ok {
				continue
			}
			text = strings.TrimPrefix(text, "file:")
			u, err := url.Parse(text)
			if err == nil && u.Scheme == "http" && !isLocalHost(u.Hostname()) {
				p.report(m.arg(name).Expr.Range(), "The checksums come from %s over HTTP.", u.Hostname())
			}
		}
	}
}

func isLocalHost(host string) bool {
	return host == "localhost" || strings.HasPrefix(host, "127.") || host == "::1" || host == ""
}

var (
	weakPrefix = pattern(`(?i)^(md5|sha1):`)
	weakHex    = pattern(`^(?:[0-9a-fA-F]{32}|[0-9a-fA-F]{40})$`)
)

func weakChecksum(p *pass) {
	for _, m := range p.machines {
		text, ok := m.text("iso_checksum")
		if ok && (weakPrefix().MatchString(text) || weakHex().MatchString(text)) {
			p.report(m.arg("iso_checksum").Expr.Range(), "This is an MD5 or SHA-1 checksum.")
		}
	}
}

var movingName = pattern(`(?i)(^|[-_.])(latest|current|nightly)([-_.]|$)`)

func movingISO(p *pass) {
	for _, m := range p.machines {
		for _, name := range []string{"iso_url", "iso_urls", "disk_image_url"} {
			a := m.arg(name)
			if a == nil {
				continue
			}
			for _, e := range a.Elements() {
				text, ok := textOf(e)
				if !ok || !strings.Contains(text, "://") || strings.HasPrefix(text, "file:") {
					continue
				}
				u, err := url.Parse(text)
				if err != nil {
					continue
				}
				parts := strings.Split(strings.ToLower(path.Dir(u.Path)), "/")
				moving := movingName().MatchString(path.Base(u.Path))
				for _, w := range []string{"current", "latest", "daily", "current-live", "daily-live", "nightly", "snapshots"} {
					moving = moving || slices.Contains(parts, w)
				}
				if moving {
					p.report(e.Expr.Range(), "What is at this address changes with each release.")
				}
			}
		}
	}
}

func latestAzure(p *pass) {
	for _, m := range p.machines {
		if !m.isAzure() {
			continue
		}
		if text, ok := m.text("image_version"); ok && strings.EqualFold(text, "latest") {
			p.report(m.arg("image_version").Expr.Range(), "The version of the base image is not fixed.")
		}
	}
}
