package ui

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"html"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	// shortest is the least number of characters of a secret that is
	// masked wherever it occurs.
	shortest = 3
	// encodable is the least number of bytes of a secret whose pieces in
	// base64 and hexadecimal are masked too; those of shorter ones would
	// occur by chance.
	encodable = 5
	// largest is the most bytes of a secret for which other forms than
	// itself and its lines are looked for.
	largest = 64 << 10
)

// commonplace are values that a sensitive boolean or null has. Masking them
// everywhere would hide nothing and make output unreadable.
var commonplace = map[string]bool{
	"true": true, "false": true, "null": true, "yes": true, "no": true, "on": true, "off": true,
}

// forms collects the texts to look for.
type forms struct {
	patterns map[string]bool
	whole    map[string]bool
	// broken are secrets of several lines some of which are too short to
	// be masked on their own.
	broken [][]string
}

// add takes a secret with the forms in which programs print it.
func (f *forms) add(secret string) {
	if strings.TrimSpace(secret) == "" {
		return
	}
	f.addText(secret)
	if t := strings.TrimSpace(secret); t != secret {
		f.addText(t)
		f.addEncoded(t)
	}
	f.addEncoded(secret)
	if unix := strings.ReplaceAll(secret, "\r\n", "\n"); unix != secret {
		f.addText(unix)
		f.addEncoded(unix)
	}
	f.addLines(secret)
}

// addText takes a text in the ways that it is written in quotes.
func (f *forms) addText(s string) {
	if utf8.RuneCountInString(s) < shortest || commonplace[strings.ToLower(s)] {
		f.whole[strings.TrimSpace(s)] = true
		return
	}
	f.pattern(s)
	if len(s) > largest {
		return
	}
	for _, quoted := range quotings(s) {
		f.pattern(quoted)
	}
}

func (f *forms) pattern(s string) {
	if len(s) >= shortest {
		f.patterns[s] = true
	}
}

func (f *forms) addLines(secret string) {
	lines := strings.Split(strings.ReplaceAll(secret, "\r\n", "\n"), "\n")
	if len(lines) == 1 {
		return
	}
	var kept []string
	short := false
	for _, l := range lines {
		l = strings.TrimSpace(l)
		if l == "" {
			continue
		}
		kept = append(kept, l)
		if standsAlone(l) {
			f.addText(l)
		} else {
			short = true
		}
	}
	if short && len(kept) > 1 {
		f.broken = append(f.broken, kept)
	}
}

// standsAlone reports whether a line of a secret is masked wherever it
// occurs. Braces, rules and the like say nothing and occur everywhere.
func standsAlone(line string) bool {
	return utf8.RuneCountInString(line) >= shortest && !commonplace[strings.ToLower(line)] &&
		strings.ContainsFunc(line, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) })
}

// quotings returns s as it stands between the quotes of Go, JSON, HCL, shells
// and PowerShell, escaped for XML and HTML, and percent-encoded.
func quotings(s string) []string {
	inner := func(q string) string { return q[1 : len(q)-1] }
	goQuoted := inner(strconv.Quote(s))
	out := []string{
		goQuoted,
		inner(strconv.QuoteToASCII(s)),
		inner(string(appendJSONString(nil, s))),
		strings.NewReplacer("${", "$${", "%{", "%%{").Replace(goQuoted),
		strings.ReplaceAll(s, `'`, `'"'"'`),
		strings.ReplaceAll(s, `'`, `'\''`),
		strings.ReplaceAll(s, `'`, `''`),
		strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "`", "\\`").Replace(s),
		strings.NewReplacer("`", "``", `"`, "`\"", `$`, "`$").Replace(s),
		backslashed(s),
		html.EscapeString(s),
		url.QueryEscape(s),
		url.PathEscape(s),
		percentEncoded(s, "%%%02X", false),
		percentEncoded(s, "%%%02x", false),
		percentEncoded(s, "%%%02X", true),
		percentEncoded(s, "%%%02x", true),
	}
	if q, err := json.Marshal(s); err == nil {
		out = append(out, inner(string(q)))
	}
	var x strings.Builder
	if xml.EscapeText(&x, []byte(s)) == nil {
		out = append(out, x.String())
	}
	return out
}

// backslashed is how bash's %q writes words without control characters.
func backslashed(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r < utf8.RuneSelf && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("%+-./:=@_", r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// percentEncoded encodes all but RFC 3986's unreserved characters, or all
// bytes.
func percentEncoded(s, format string, all bool) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		plain := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
		if plain && !all {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, format, c)
	}
	return b.String()
}

// addEncoded takes the base64 and hexadecimal forms of a secret, on its own
// and as a part of something longer.
func (f *forms) addEncoded(secret string) {
	if utf8.RuneCountInString(secret) < shortest || commonplace[strings.ToLower(secret)] || len(secret) > largest {
		return
	}
	f.addBase64([]byte(secret))
	if wide := utf16LE(secret); len(wide) > 0 {
		f.addBase64(wide)
	}
	if len(secret) < encodable {
		return
	}
	low := hex.EncodeToString([]byte(secret))
	for _, text := range []string{low, strings.ToUpper(low)} {
		f.pattern(text)
		f.wrapped(text, 60)
	}
}

func (f *forms) addBase64(b []byte) {
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		full := enc.EncodeToString(b)
		f.pattern(full)
		f.pattern(strings.TrimRight(full, "="))
		f.wrapped(full, 76)
		f.wrapped(full, 64)
		if len(b) < encodable {
			continue
		}
		for shift := range 3 {
			f.pattern(inside(enc, b, shift))
		}
	}
}

// inside returns the characters that depend on nothing but b when b stands
// shift bytes (modulo 3) into a longer text.
func inside(enc *base64.Encoding, b []byte, shift int) string {
	text := enc.EncodeToString(append(make([]byte, shift, shift+len(b)), b...))
	return text[(8*shift+5)/6 : 8*(shift+len(b))/6]
}

// wrapped takes the lines into which tools break a long text.
func (f *forms) wrapped(text string, width int) {
	if len(text) <= width {
		return
	}
	for len(text) > width {
		f.pattern(text[:width])
		text = text[width:]
	}
	if len(text) >= 8 {
		f.pattern(text)
	}
}

// utf16LE is how PowerShell encodes a command line before base64.
func utf16LE(s string) []byte {
	var out []byte
	for _, u := range utf16.Encode([]rune(s)) {
		out = binary.LittleEndian.AppendUint16(out, u)
	}
	return out
}
