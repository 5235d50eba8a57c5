package dockerengine

import (
	"fmt"
	"runtime"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ParsePlatform reads "os", "arch", "os/arch" or "os/arch/variant" as the
// docker program's --platform does. An empty text is nil: the engine's own.
func ParsePlatform(text string) (*ocispec.Platform, error) {
	if text == "" {
		return nil, nil
	}
	parts := strings.Split(strings.ToLower(text), "/")
	for _, p := range parts {
		if p == "" || strings.ContainsAny(p, " \t:,") {
			return nil, platformError(text)
		}
	}
	switch len(parts) {
	case 1:
		if isOS(parts[0]) {
			return &ocispec.Platform{OS: parts[0], Architecture: runtime.GOARCH}, nil
		}
		return normal("linux", parts[0], ""), nil
	case 2:
		return normal(parts[0], parts[1], ""), nil
	case 3:
		return normal(parts[0], parts[1], parts[2]), nil
	}
	return nil, platformError(text)
}

func platformError(text string) error {
	return fmt.Errorf("%q is not a platform: write OS/ARCH or OS/ARCH/VARIANT, such as \"linux/arm64\" or \"linux/arm/v7\"", text)
}

func isOS(word string) bool {
	switch word {
	case "linux", "windows", "darwin", "freebsd":
		return true
	}
	return false
}

// normal replaces the names that uname and others use.
func normal(os, arch, variant string) *ocispec.Platform {
	switch arch {
	case "x86_64", "x86-64":
		arch = "amd64"
	case "aarch64":
		arch = "arm64"
	case "i386", "i686":
		arch = "386"
	case "armhf":
		arch, variant = "arm", "v7"
	}
	return &ocispec.Platform{OS: os, Architecture: arch, Variant: variant}
}
