package dockerengine

import (
	"strings"

	"ingot/internal/diag"
)

// changeWords are the instructions that change an image's metadata.
const changeWords = "CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME and WORKDIR"

// CheckChanges finds instructions that cannot change an image's metadata. The
// engine parses the rest of each.
func CheckChanges(attribute string, changes []string) diag.List {
	var out diag.List
	for i, change := range changes {
		word, rest := splitChange(change)
		switch word {
		case "CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "ONBUILD", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR":
			if rest == "" {
				out = append(out, diag.At(attribute, "Incomplete instruction", "Change %d, %q, has no argument.", i+1, change)...)
			}
		case "MAINTAINER":
			out = append(out, diag.At(attribute, "Instruction that engines no longer take",
				"Change %d, %q: MAINTAINER is gone from Docker. Use \"LABEL maintainer=...\", or author in the docker builder.", i+1, change)...)
		default:
			out = append(out, diag.At(attribute, "Not a metadata instruction",
				"Change %d, %q: an image's metadata is changed by %s only. Change files with provisioners.", i+1, change, changeWords)...)
		}
	}
	return out
}

// Maintainer takes MAINTAINER instructions out of a list. What they mean is the
// image's author.
func Maintainer(changes []string) (rest []string, author string) {
	for _, change := range changes {
		if word, who := splitChange(change); word == "MAINTAINER" && who != "" {
			author = who
			continue
		}
		rest = append(rest, change)
	}
	return rest, author
}

func splitChange(change string) (word, rest string) {
	change = strings.TrimSpace(change)
	i := strings.IndexAny(change, " \t")
	if i < 0 {
		return strings.ToUpper(change), ""
	}
	return strings.ToUpper(change[:i]), strings.TrimSpace(change[i:])
}
