package fix

import (
	"strings"

	"ingot/internal/legacy/jsondoc"
)

var isoMD5 = Fixer{
	Name:        "iso-md5",
	Description: `Replaces "iso_md5" in builders by "iso_checksum" with "iso_checksum_type": "md5".`,
	Apply: ofBuilders(anyType, func(b *jsondoc.Node) bool {
		if !b.Get("iso_md5").Is(jsondoc.String) {
			return false
		}
		// A checksum of another kind that is there already is the better one.
		if !b.Has("iso_checksum") {
			b.Set("iso_checksum_type", jsondoc.NewString("md5"))
		}
		return b.Rename("iso_md5", "iso_checksum")
	}),
}

var isoChecksum = Fixer{
	Name:        "iso-checksum-type-and-url",
	Description: `Puts "iso_checksum_url" and "iso_checksum_type" of builders into "iso_checksum", as in "sha256:SUM" or "file:URL".`,
	Apply:       ofBuilders(anyType, mergeISOChecksum),
}

func mergeISOChecksum(b *jsondoc.Node) bool {
	sum, kind, url := b.Get("iso_checksum"), b.Get("iso_checksum_type"), b.Get("iso_checksum_url")
	for _, n := range []*jsondoc.Node{sum, kind, url} {
		if n != nil && !n.Is(jsondoc.String) {
			return false
		}
	}
	var merged string
	switch {
	case kind == nil && url == nil:
		return false
	case strings.EqualFold(text(kind), "none"):
		merged = "none"
	case text(sum) == "" && text(url) != "":
		merged = "file:" + strings.TrimPrefix(text(url), "file:")
		if strings.HasPrefix(text(url), "file://") {
			merged = "file:" + text(url)
		}
	case text(sum) == "":
		return false // a kind of nothing
	case text(kind) == "" || hasChecksumKind(text(sum)):
		merged = text(sum) // a URL beside a checksum has never counted
	default:
		merged = text(kind) + ":" + text(sum)
	}
	switch {
	case b.Has("iso_checksum"):
	case url != nil:
		b.Rename("iso_checksum_url", "iso_checksum")
	default:
		b.Rename("iso_checksum_type", "iso_checksum")
	}
	b.Set("iso_checksum", jsondoc.NewString(merged))
	drop("iso_checksum_type", "iso_checksum_url")(b)
	return true
}

// hasChecksumKind reports whether a checksum says itself of which kind it is.
func hasChecksumKind(sum string) bool {
	for _, kind := range []string{"md5:", "sha1:", "sha224:", "sha256:", "sha384:", "sha512:", "file:"} {
		if strings.HasPrefix(sum, kind) {
			return true
		}
	}
	return sum == "none"
}
