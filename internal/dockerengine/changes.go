package dockerengine

import (
	"strings"

	"ingot/internal/diag"
)

// CheckChanges finds instructions that cannot change an image's metadata. The
// engine parses the rest of each.
func CheckChanges(attribute string, changes []string) diag.List {
	var out diag.List
	for i, change := range changes {
		word, rest, _ := strings.Cut(strings.TrimSpace(change), " ")
		switch strings.ToUpper(word) {
		case "CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "MAINTAINER",
			"ONBUILD", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR":
			if strings.TrimSpace(rest) == "" {
				out = append(out, diag.At(attribute, "Incomplete instruction", "Change %d, %q, has no argument.", i+1, change)...)
			}
		default:
			out = append(out, diag.At(attribute, "Not a metadata instruction",
				"Change %d, %q: an image's metadata is changed by CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, MAINTAINER, ONBUILD, SHELL, STOPSIGNAL, USER, VOLUME and WORKDIR only. Change files with provisioners.", i+1, change)...)
		}
	}
	return out
}
