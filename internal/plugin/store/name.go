package store

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/hashicorp/go-version"

	"ingot/internal/addr"
)

const (
	// Prefix is what the names of all plugin files start with.
	Prefix = "packer-plugin-"
	// SumSuffix is what the name of a plugin's checksum file has besides.
	SumSuffix = "_SHA256SUM"
	// DefaultComponent is the name that a plugin's unnamed component goes by.
	DefaultComponent = "-packer-default-plugin-name-"
)

// API is a version of the protocol between Packer and its plugins.
type API struct{ Major, Minor int }

// HostAPI returns the version that is spoken here.
func HostAPI() API { return API{5, 0} }

// ParseAPI reads "x5.0".
func ParseAPI(text string) (API, error) {
	rest, ok := strings.CutPrefix(text, "x")
	if !ok {
		return API{}, fmt.Errorf("%q is not a version of the plugin protocol such as x5.0", text)
	}
	return ParseProtocol(rest)
}

// ParseProtocol reads "5.0", which is how the manifests of releases write it.
func ParseProtocol(text string) (API, error) {
	major, minor, ok := strings.Cut(text, ".")
	a, err := number(major)
	b, err2 := number(minor)
	if !ok || err != nil || err2 != nil {
		return API{}, fmt.Errorf("%q is not a version of the plugin protocol such as 5.0", text)
	}
	return API{a, b}, nil
}

func number(text string) (int, error) {
	if text == "" || len(text) > 6 || strings.ContainsFunc(text, func(r rune) bool { return r < '0' || r > '9' }) {
		return 0, errors.New("not a number")
	}
	return strconv.Atoi(text)
}

// String returns "x5.0".
func (a API) String() string { return fmt.Sprintf("x%d.%d", a.Major, a.Minor) }

// Served reports whether a plugin of this version can be used: the same major
// version as the host, and a minor version that is not above it.
func (a API) Served() bool { return a.Major == HostAPI().Major && a.Minor <= HostAPI().Minor }

func (a API) compare(b API) int {
	return cmp.Or(cmp.Compare(a.Major, b.Major), cmp.Compare(a.Minor, b.Minor))
}

// Platform is an operating system and a processor, in Go's words.
type Platform struct{ OS, Arch string }

// ParsePlatform reads "linux_amd64", or the same with a slash.
func ParsePlatform(text string) (Platform, error) {
	os, arch, ok := strings.Cut(strings.ReplaceAll(text, "/", "_"), "_")
	plain := func(s string) bool {
		return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	}
	if !ok || !plain(os) || !plain(arch) {
		return Platform{}, fmt.Errorf("%q is not a platform such as linux_amd64", text)
	}
	return Platform{os, arch}, nil
}

// String returns "linux_amd64".
func (p Platform) String() string { return p.OS + "_" + p.Arch }

// Ext is the extension of programs.
func (p Platform) Ext() string {
	if p.OS == "windows" {
		return ".exe"
	}
	return ""
}

// FileName is what the name of a plugin's file tells.
type FileName struct {
	Name     string
	Version  *version.Version
	API      API
	Platform Platform
}

// String is the name of the file.
func (n FileName) String() string {
	return fmt.Sprintf("%s%s_v%s_%s_%s%s", Prefix, n.Name, n.Version, n.API, n.Platform, n.Platform.Ext())
}

// ParseFileName reads packer-plugin-NAME_vVERSION_xMAJOR.MINOR_OS_ARCH[.exe]. The
// version has to be in its canonical form and without metadata.
func ParseFileName(file string) (FileName, error) {
	rest, ok := strings.CutPrefix(file, Prefix)
	if !ok {
		return FileName{}, fmt.Errorf("the name does not start with %s", Prefix)
	}
	parts := strings.Split(strings.TrimSuffix(rest, ".exe"), "_")
	if len(parts) != 5 {
		return FileName{}, errors.New("the name is not of the form packer-plugin-NAME_vVERSION_xMAJOR.MINOR_OS_ARCH")
	}
	n := FileName{Name: parts[0]}
	var err error
	if n.Platform, err = ParsePlatform(parts[3] + "_" + parts[4]); err != nil {
		return FileName{}, err
	}
	if n.Platform.Ext() != rest[len(strings.TrimSuffix(rest, ".exe")):] {
		return FileName{}, fmt.Errorf("the extension is not that of programs for %s", n.Platform.OS)
	}
	if _, err := addr.ParsePlugin("host/owner/" + n.Name); err != nil {
		return FileName{}, fmt.Errorf("%q cannot be the name of a plugin", n.Name)
	}
	if n.Version, err = canonical(parts[1]); err != nil {
		return FileName{}, err
	}
	n.API, err = ParseAPI(parts[2])
	if err == nil && n.API.String() != parts[2] {
		err = fmt.Errorf("%q is not the usual form of %s", parts[2], n.API)
	}
	return n, err
}

// canonical reads "v1.2.3", with a pre-release or without.
func canonical(text string) (*version.Version, error) {
	v, err := version.NewSemver(strings.TrimPrefix(text, "v"))
	if err != nil {
		return nil, fmt.Errorf("%q is not a version", text)
	}
	if v.Metadata() != "" {
		return nil, fmt.Errorf("the version %q has metadata", text)
	}
	if "v"+v.String() != text {
		return nil, fmt.Errorf("the version %q is not written as v%s", text, v)
	}
	return v, nil
}
