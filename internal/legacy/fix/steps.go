package fix

import (
	"strings"

	"ingot/internal/legacy/jsondoc"
)

// Provisioners and post-processors, but for those of docker.

var vagrantOverride = Fixer{
	Name:        "pp-vagrant-override",
	Description: `Moves the settings for single providers of vagrant post-processors into "override".`,
	Apply: ofPostProcessors(types("vagrant"), func(p *jsondoc.Node) bool {
		override := p.Get("override")
		if override != nil && !override.Is(jsondoc.Object) {
			return false
		}
		changed := false
		for _, provider := range []string{"aws", "digitalocean", "virtualbox", "vmware"} {
			settings := p.Get(provider)
			if !settings.Is(jsondoc.Object) {
				continue
			}
			changed = true
			if override == nil {
				override = jsondoc.NewObject()
				replace(p, provider, "override", override)
			}
			p.Delete(provider)
			if !override.Has(provider) {
				override.Set(provider, settings)
			}
		}
		return changed
	}),
}

var manifestFilename = Fixer{
	Name:        "manifest-filename",
	Description: `Renames "filename" to "output" in manifest post-processors.`,
	Apply:       ofPostProcessors(types("manifest"), rename("filename", "output")),
}

var powershellEscapes = Fixer{
	Name:        "powershell-escapes",
	Description: "Removes the back-ticks that escaped $, \", ' and ` in \"elevated_user\", \"elevated_password\" and \"environment_vars\" of powershell provisioners.",
	Apply: ofProvisioners(types("powershell"), func(p *jsondoc.Node) bool {
		unescape := strings.NewReplacer("`$", "$", "`\"", "\"", "``", "`", "`'", "'")
		changed := false
		for _, key := range []string{"elevated_user", "elevated_password", "environment_vars"} {
			value := p.Get(key)
			for _, n := range append(elements(value), value) {
				if !n.Is(jsondoc.String) {
					continue
				}
				if plain := unescape.Replace(n.Text); plain != n.Text {
					n.Text, changed = plain, true
				}
			}
		}
		return changed
	}),
}

var galaxyCommand = Fixer{
	Name:        "galaxy-command",
	Description: `Renames "galaxycommand" to "galaxy_command" in ansible-local provisioners.`,
	Apply:       ofProvisioners(types("ansible-local"), rename("galaxycommand", "galaxy_command")),
}
