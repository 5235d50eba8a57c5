package fetch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
)

// Config is the iso_* attributes. Builders embed it in their configuration struct
// and Attributes in their schema.
type Config struct {
	ISOURL             string   `cty:"iso_url"`
	ISOURLs            []string `cty:"iso_urls"`
	ISOChecksum        string   `cty:"iso_checksum"`
	ISOTargetPath      string   `cty:"iso_target_path"`
	ISOTargetExtension string   `cty:"iso_target_extension"`
	ISOSkipCache       bool     `cty:"iso_skip_cache"`
}

// Attributes describes Config for a schema.
func Attributes() []component.Attribute {
	target := component.String("iso_target_path", "Where to put the image, in place of the cache: a file when it has an extension, else a folder.")
	target.Format = component.Path
	return []component.Attribute{
		component.String("iso_url", "The image to use: a path, which is used where it is, or a URL: `http`, `https`, `file`, `s3`, `gs`; with `git::`, `hg::`, `s3::` or `gcs::` in front, one of those systems."),
		component.Strings("iso_urls", "Several places of the same image, which are tried in this order. It cannot be used together with `iso_url`."),
		component.String("iso_checksum", "The checksum of the image: hexadecimal, as `md5:...`, `sha1:...`, `sha256:...`, `sha512:...`, or without that when its length tells; `file:` with the path or URL of a list of checksums; `none` to check nothing."),
		target,
		component.String("iso_target_extension", "The extension of the file in the cache. Default iso."),
		component.Bool("iso_skip_cache", "Do not download the image but hand its URL to the machine, which reads it while it runs. The checksum is not checked then. Default false."),
	}
}

// Spec is what to fetch.
func (c Config) Spec() Spec {
	urls := c.ISOURLs
	if c.ISOURL != "" {
		urls = []string{c.ISOURL}
	}
	ext := c.ISOTargetExtension
	if ext == "" {
		ext = "iso"
	}
	return Spec{Label: "ISO", URLs: urls, Checksum: c.ISOChecksum, TargetPath: c.ISOTargetPath, Extension: ext, SkipCache: c.ISOSkipCache}
}

// Check finds mistakes in the attributes of cfg without using the network. It
// asks for a URL and a checksum; call it only when an image is wanted.
func (c Config) Check(cfg cty.Value) diag.List {
	var out diag.List
	urlsKnown := component.Known(cfg, "iso_url") && component.Known(cfg, "iso_urls")
	switch {
	case component.HasValue(cfg, "iso_url") && component.HasValue(cfg, "iso_urls"):
		return diag.At("iso_urls", "Attributes exclude each other", "Set iso_url or iso_urls, not both.")
	case urlsKnown && len(c.Spec().URLs) == 0:
		out = append(out, diag.At("iso_url", "Missing image", "Set iso_url to the path or URL of the image.")...)
	}
	if !c.ISOSkipCache && component.Known(cfg, "iso_skip_cache") && component.Known(cfg, "iso_checksum") && c.ISOChecksum == "" {
		out = append(out, diag.At("iso_checksum", "Missing checksum", "Set iso_checksum to the checksum of the image, as \"sha256:...\", to \"file:\" with the path or URL of a list of checksums, or to \"none\" to check nothing.")...)
	}
	attribute := "iso_url"
	if len(c.ISOURLs) > 0 {
		attribute = "iso_urls"
	}
	return append(out, c.Spec().check(attribute, "iso_checksum", "iso_target_path")...)
}

// Spec is one file to fetch.
type Spec struct {
	// Label names the file for people; "file" when it is empty.
	Label string
	// URLs are places of the same file, in the order in which they are tried.
	URLs []string
	// Checksum is "none" or empty, a checksum, or "file:" with a list; see
	// Attributes.
	Checksum string
	// TargetPath is where to put the file in place of the cache: a file when it
	// has an extension, else a folder.
	TargetPath string
	// Extension, without dot, is that of the file in the cache; empty takes the
	// URL's.
	Extension string
	// SkipCache fetches nothing: the URL itself is the result.
	SkipCache bool
}

// Check finds mistakes without using the network. Parts of s that are not known
// yet are empty.
func (s Spec) Check() diag.List { return s.check("", "", "") }

func (s Spec) check(urls, sum, target string) diag.List {
	at := func(attribute, summary, detail string, args ...any) diag.List {
		if attribute == "" {
			return diag.Errorf(summary, detail, args...)
		}
		return diag.At(attribute, summary, detail, args...)
	}
	warn := func(attribute, summary, detail string, args ...any) diag.List {
		l := at(attribute, summary, detail, args...)
		l[0].Severity = diag.Warning
		return l
	}
	var out diag.List
	if _, err := readTimeout(); err != nil {
		out = append(out, at("", "Invalid environment variable", "%s.", err)...)
	}
	c, err := parseChecksum(s.Checksum)
	switch {
	case err != nil:
		out = append(out, at(sum, "Invalid checksum", "%s.", err)...)
	case strings.EqualFold(s.Checksum, "none"):
		out = append(out, warn(sum, "No checksum", "The image is used as it comes, whatever is in it. Give its checksum, so that nobody can put another in its place.")...)
	}
	for _, u := range s.URLs {
		src, err := parseSource(u)
		if err != nil {
			out = append(out, at(urls, "Invalid URL", "%s.", err)...)
			continue
		}
		if src.kind != localFile {
			continue
		}
		if _, err := os.Stat(src.path); err != nil {
			out = append(out, warn(urls, "File not found", "%s. It has to be there when the build starts.", err)...)
		}
		if s.TargetPath != "" {
			out = append(out, warn(target, "Attribute has no effect", "%s is used where it is, so it is not put anywhere else.", src.path)...)
		}
	}
	if c.list != "" {
		out = append(out, s.checkList(c, func(detail string, args ...any) diag.List { return at(sum, "Invalid checksum", detail, args...) })...)
	}
	return out
}

// checkList looks into a list of checksums that is a local file.
func (s Spec) checkList(c checksum, at func(string, ...any) diag.List) diag.List {
	src, err := parseSource(c.list)
	if err != nil {
		return at("%s.", err)
	}
	if src.kind != localFile {
		return nil
	}
	text, err := readList(src.path)
	if err != nil {
		return at("%s.", err)
	}
	for _, u := range s.URLs {
		name, err := parseSource(u)
		if err != nil {
			continue
		}
		if _, err := findInList(text, name.fileName()); err != nil {
			return at("%s: %s.", src.path, err)
		}
	}
	return nil
}

// readTimeoutVars are the variables that say how long a download may stand still.
var readTimeoutVars = [...]string{"INGOT_GETTER_READ_TIMEOUT", "PACKER_GETTER_READ_TIMEOUT"}

const defaultReadTimeout = 2 * time.Minute

// readTimeout is the longest time in which nothing may arrive.
func readTimeout() (time.Duration, error) {
	for _, name := range readTimeoutVars {
		text := os.Getenv(name)
		if text == "" {
			continue
		}
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			return 0, fmt.Errorf("%s is %q, which is not a duration such as \"30m\" or \"90s\"", name, text)
		}
		return d, nil
	}
	return defaultReadTimeout, nil
}

// extension is what the file in the cache ends with, with its dot.
func (s Spec) extension(src source) string {
	ext := strings.ToLower(strings.TrimPrefix(s.Extension, "."))
	if ext == "" {
		ext = strings.ToLower(strings.TrimPrefix(path.Ext(src.fileName()), "."))
	}
	if ext == "" || strings.ContainsFunc(ext, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-')
	}) {
		return ""
	}
	return "." + ext
}

// target is the file that TargetPath asks for; name is that of the source.
func (s Spec) target(name string) (string, error) {
	abs, err := filepath.Abs(s.TargetPath)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(abs)
	switch {
	case err == nil && info.IsDir(), err != nil && filepath.Ext(abs) == "":
		return filepath.Join(abs, name), nil
	case err == nil && !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is neither a file nor a folder", s.TargetPath)
	case err == nil || errors.Is(err, fs.ErrNotExist):
		return abs, nil
	}
	return "", err
}

func (s Spec) label() string {
	if s.Label == "" {
		return "file"
	}
	return s.Label
}

// schemes are what a URL can begin with.
func schemes() []string {
	return slices.Sorted(slices.Values([]string{"http", "https", "file", "s3", "gs"}))
}
