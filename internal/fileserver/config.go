package fileserver

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
)

// Config is the http_* attributes. Builders embed it in their configuration
// struct and Attributes in their schema.
type Config struct {
	HTTPDirectory       string            `cty:"http_directory"`
	HTTPContent         map[string]string `cty:"http_content"`
	HTTPPortMin         int               `cty:"http_port_min"`
	HTTPPortMax         int               `cty:"http_port_max"`
	HTTPBindAddress     string            `cty:"http_bind_address"`
	HTTPInterface       string            `cty:"http_interface"`
	HTTPNetworkProtocol string            `cty:"http_network_protocol"`
}

const (
	defaultPortMin = 8000
	defaultPortMax = 9000
)

// Attributes describes Config for a schema.
func Attributes() []component.Attribute {
	directory := component.String("http_directory", "A folder to serve over HTTP to the machine while it is built. Nothing outside it is served, links that lead out of it neither.")
	directory.Format = component.Path
	return []component.Attribute{
		directory,
		component.StringMap("http_content", "Texts to serve over HTTP, by path; a path begins with `/`. It cannot be used together with `http_directory`."),
		component.Number("http_port_min", fmt.Sprintf("The first port that the HTTP server may listen on. Default %d.", defaultPortMin)),
		component.Number("http_port_max", fmt.Sprintf("The last port that the HTTP server may listen on. Default %d.", defaultPortMax)),
		component.String("http_bind_address", "The address of this computer that the HTTP server listens on. Default: one that the machine can reach."),
		component.String("http_interface", "The network interface whose address the HTTP server listens on. It cannot be used together with `http_bind_address`."),
		{Name: "http_network_protocol", Type: cty.String, OneOf: []string{"tcp", "tcp4", "tcp6"},
			Description: "The protocol that the HTTP server listens with: `tcp` (default), `tcp4` or `tcp6`."},
	}
}

// Enabled reports whether there is something to serve.
func (c Config) Enabled() bool { return c.HTTPDirectory != "" || len(c.HTTPContent) > 0 }

// ports is the range, both ends included.
func (c Config) ports() (low, high int) {
	low, high = c.HTTPPortMin, c.HTTPPortMax
	if low == 0 {
		low = defaultPortMin
	}
	if high == 0 {
		high = defaultPortMax
	}
	return low, high
}

// Check finds mistakes without using the network. Attributes that are not known
// yet are empty here and find nothing.
func (c Config) Check() diag.List {
	var out diag.List
	if c.HTTPDirectory != "" && len(c.HTTPContent) > 0 {
		out = append(out, diag.At("http_content", "Attributes exclude each other", "Set http_directory or http_content, not both.")...)
	}
	if c.HTTPInterface != "" && c.HTTPBindAddress != "" {
		out = append(out, diag.At("http_interface", "Attributes exclude each other", "Set http_bind_address or http_interface, not both.")...)
	}
	out = append(out, c.checkPorts()...)
	out = append(out, c.checkDirectory()...)
	out = append(out, c.checkContent()...)
	return append(out, c.checkAddress()...)
}

func (c Config) checkPorts() diag.List {
	var out diag.List
	for name, port := range map[string]int{"http_port_min": c.HTTPPortMin, "http_port_max": c.HTTPPortMax} {
		if port < 0 || port > 65535 {
			out = append(out, diag.At(name, "Invalid port", "A port is a number from 1 to 65535, got %d.", port)...)
		}
	}
	if low, high := c.ports(); len(out) == 0 && low > high {
		attribute := "http_port_min"
		if c.HTTPPortMin == 0 {
			attribute = "http_port_max"
		}
		out = append(out, diag.At(attribute, "Empty range of ports", "http_port_min (%d) must not be greater than http_port_max (%d).", low, high)...)
	}
	return out
}

func (c Config) checkDirectory() diag.List {
	if c.HTTPDirectory == "" {
		return nil
	}
	info, err := os.Stat(c.HTTPDirectory)
	switch {
	case err != nil:
		return diag.WarnAt("http_directory", "Folder not found", "%s. The HTTP server has nothing to serve unless it is there when the build starts.", err)
	case !info.IsDir():
		return diag.At("http_directory", "Not a folder", "%s is not a folder. To serve a single file, use http_content = { \"/name\" = file(...) }.", c.HTTPDirectory)
	}
	return nil
}

func (c Config) checkContent() diag.List {
	var out diag.List
	seen := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(c.HTTPContent)) {
		at := cty.GetAttrPath("http_content").IndexString(key)
		clean := path.Clean(key)
		detail := ""
		switch {
		case !strings.HasPrefix(key, "/"):
			detail = fmt.Sprintf("The path %q has to begin with \"/\".", key)
		case seen[clean] != "":
			detail = fmt.Sprintf("The paths %q and %q are the same.", seen[clean], key)
		}
		if detail != "" {
			out = append(out, &diag.Diagnostic{Severity: diag.Error, Summary: "Invalid path", Detail: detail, Path: at})
		}
		seen[clean] = key
	}
	return out
}

func (c Config) checkAddress() diag.List {
	if c.HTTPBindAddress == "" {
		return nil
	}
	ip, err := netip.ParseAddr(c.HTTPBindAddress)
	switch {
	case err != nil:
		return diag.At("http_bind_address", "Invalid address", "%q is not an IP address of this computer.", c.HTTPBindAddress)
	case c.HTTPNetworkProtocol == "tcp4" && !ip.Is4(), c.HTTPNetworkProtocol == "tcp6" && ip.Is4():
		return diag.At("http_network_protocol", "Protocol and address do not fit", "The server cannot listen on %s with %s.", ip, c.HTTPNetworkProtocol)
	}
	return nil
}
