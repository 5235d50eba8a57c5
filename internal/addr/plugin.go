package addr

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// Plugin is the source address of a plugin, such as github.com/hashicorp/docker.
// It is also the folder, below the plugin folder, that the plugin is installed in.
type Plugin struct{ text string }

// maxPluginParts is the most parts an address has.
const maxPluginParts = 16

var (
	dnsLabel   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$`)
	pluginName = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
)

// ParsePlugin reads HOST/OWNER/NAME, where OWNER may have several parts. Only NAME
// has to follow the rules of names; upper case is kept.
func ParsePlugin(text string) (Plugin, error) {
	parts := strings.Split(text, "/")
	name := parts[len(parts)-1]
	switch {
	case strings.Contains(text, "://") || strings.ContainsAny(text, "?#"):
		return Plugin{}, fmt.Errorf("%q is a URL; a plugin's address is written without scheme, query and fragment, as in \"github.com/hashicorp/docker\"", text)
	case len(parts) < 3 || len(parts) > maxPluginParts:
		return Plugin{}, fmt.Errorf("%q is not a plugin's address such as \"github.com/hashicorp/docker\"", text)
	}
	for _, part := range parts {
		switch {
		case part == "":
			return Plugin{}, fmt.Errorf("%q has an empty part between slashes", text)
		case part == "." || part == "..", strings.ContainsFunc(part, func(r rune) bool { return r == '\\' || unicode.IsControl(r) || unicode.IsSpace(r) }):
			return Plugin{}, fmt.Errorf("%q has the part %q, which cannot be the name of a folder", text, part)
		}
	}
	switch {
	case strings.HasPrefix(name, "packer-"):
		return Plugin{}, fmt.Errorf("%q names the repository; leave out the prefix \"packer-plugin-\" of the last part", text)
	case strings.Contains(name, ".") || strings.Contains(name, "--") || len(name) > 63 || !dnsLabel.MatchString(name):
		return Plugin{}, fmt.Errorf("%q: the last part may hold letters, digits and single dashes between them, nothing else", text)
	}
	return Plugin{text}, nil
}

// String returns the address as it was written.
func (p Plugin) String() string { return p.text }

// IsZero reports whether p names nothing.
func (p Plugin) IsZero() bool { return p == Plugin{} }

// Name is the last part, by which the plugin's files and components are known.
func (p Plugin) Name() string { return p.text[strings.LastIndexByte(p.text, '/')+1:] }

// Host is the first part.
func (p Plugin) Host() string {
	host, _, _ := strings.Cut(p.text, "/")
	return host
}

// Namespace is what is between host and name.
func (p Plugin) Namespace() string {
	return strings.TrimSuffix(strings.TrimPrefix(p.text, p.Host()+"/"), "/"+p.Name())
}

// CheckPluginAccessor checks the local name of a plugin, which types of
// components start with.
func CheckPluginAccessor(name string) error {
	if !pluginName.MatchString(name) {
		return fmt.Errorf("%q: the local name of a plugin holds lower-case letters, digits and single dashes between them", name)
	}
	return nil
}
