package funcs

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

	yaml "github.com/zclconf/go-cty-yaml"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/ianaindex"
)

func encodingFuncs() map[string]function.Function {
	return map[string]function.Function{
		"base64decode": stringFunc("Decodes a Base64 string, whose content must be UTF-8 text.", base64Decode,
			text("str", "The Base64 text, in the standard alphabet with padding.")),
		"base64encode": stringFunc("Encodes the UTF-8 bytes of a string as Base64.", base64Encode,
			text("str", "The string to encode.")),
		"base64gzip": stringFunc("Compresses the UTF-8 bytes of a string with gzip and encodes the result as Base64.", base64Gzip,
			text("str", "The string to compress.")),
		"csvdecode": describe(stdlib.CSVDecodeFunc,
			"Reads CSV text (RFC 4180) into a list of objects, whose attributes are named by the first row.",
			"The CSV text."),
		"jsondecode": describe(stdlib.JSONDecodeFunc,
			"Reads a JSON document into the value that it describes.",
			"The JSON text."),
		"jsonencode": describe(stdlib.JSONEncodeFunc,
			"Writes a value as JSON, with <, > and & as Unicode escapes.",
			"The value; it may be null."),
		"textdecodebase64": stringFunc("Decodes Base64 and reads the resulting bytes as text in a given character encoding.", textDecodeBase64,
			text("source", "The Base64 text."),
			text("encoding", "The IANA name of the character encoding, such as UTF-16LE or windows-1252.")),
		"textencodebase64": stringFunc("Writes a string in a given character encoding and encodes the resulting bytes as Base64.", textEncodeBase64,
			text("string", "The string to encode."),
			text("encoding", "The IANA name of the character encoding, such as UTF-16LE or windows-1252.")),
		"urlencode": stringFunc("Encodes a string for use in the query part of a URL; a space becomes a plus sign.",
			func(args ...string) (string, error) { return url.QueryEscape(args[0]), nil },
			text("str", "The string to encode.")),
		"yamldecode": describe(yaml.YAMLDecodeFunc,
			"Reads one YAML document into the value that it describes.",
			"The YAML text; it must hold exactly one document."),
		"yamlencode": describe(yaml.YAMLEncodeFunc,
			"Writes a value as YAML in block style.",
			"The value; it may be null."),
	}
}

func base64Encode(args ...string) (string, error) {
	return base64.StdEncoding.EncodeToString([]byte(args[0])), nil
}

func base64Decode(args ...string) (string, error) {
	raw, err := decodeBase64Arg(args[0])
	if err != nil {
		return "", err
	}
	if !utf8.Valid(raw) {
		return "", function.NewArgErrorf(0, "cannot decode %s: %w", excerpt(args[0]), errNotUTF8)
	}
	return string(raw), nil
}

func base64Gzip(args ...string) (string, error) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write([]byte(args[0])); err != nil {
		return "", fmt.Errorf("compress: %w", err)
	}
	if err := w.Close(); err != nil {
		return "", fmt.Errorf("compress: %w", err)
	}
	return base64.StdEncoding.EncodeToString(packed.Bytes()), nil
}

func textEncodeBase64(args ...string) (string, error) {
	charset, err := characterEncoding(args[1])
	if err != nil {
		return "", err
	}
	raw, err := charset.NewEncoder().Bytes([]byte(args[0]))
	if err != nil {
		return "", function.NewArgErrorf(0, "%s has characters that %s cannot express: %w", excerpt(args[0]), args[1], err)
	}
	return base64.StdEncoding.EncodeToString(raw), nil
}

// textDecodeBase64 reports bytes that mean nothing in the encoding. The decoders of x/text turn those into U+FFFD, so
// that a genuine U+FFFD in the source is refused as well.
func textDecodeBase64(args ...string) (string, error) {
	charset, err := characterEncoding(args[1])
	if err != nil {
		return "", err
	}
	raw, err := decodeBase64Arg(args[0])
	if err != nil {
		return "", err
	}
	decoded, err := charset.NewDecoder().Bytes(raw)
	if err != nil {
		return "", function.NewArgErrorf(0, "cannot decode %s as %s: %w", excerpt(args[0]), args[1], err)
	}
	if bytes.ContainsRune(decoded, utf8.RuneError) {
		return "", function.NewArgErrorf(0, "cannot decode %s: some bytes are no characters in %s", excerpt(args[0]), args[1])
	}
	return string(decoded), nil
}

// decodeBase64Arg decodes the first argument of a function.
func decodeBase64Arg(s string) ([]byte, error) {
	raw, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, function.NewArgErrorf(0, "%s is not valid Base64: %w", excerpt(s), err)
	}
	return raw, nil
}

// characterEncoding finds an encoding, given as the second argument of a function, by its IANA name.
func characterEncoding(name string) (encoding.Encoding, error) {
	charset, err := ianaindex.IANA.Encoding(name)
	if err != nil {
		return nil, function.NewArgErrorf(1, "%q is not the IANA name of a character encoding: %w", name, err)
	}
	if charset == nil {
		return nil, function.NewArgErrorf(1, "character encoding %q is not supported", name)
	}
	return charset, nil
}

// excerpt quotes a text in an error message; of a long one, the beginning.
func excerpt(s string) string {
	const most = 60
	if len(s) <= most {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%q (%d bytes)", strings.ToValidUTF8(s[:most], "")+"...", len(s))
}
