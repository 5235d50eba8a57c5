package fetch

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"strings"
)

// checksum is what a file must have. The zero value asks for nothing.
type checksum struct {
	algorithm string
	sum       string // lower case
	// list is the path or URL of a list to look it up in.
	list string
}

// algorithms, the strongest first.
var algorithms = [...]struct {
	name   string
	digits int
	make   func() hash.Hash
}{
	{"sha512", 128, sha512.New},
	{"sha256", 64, sha256.New},
	{"sha1", 40, sha1.New},
	{"md5", 32, md5.New},
}

const knownForms = "none, a checksum in hexadecimal, md5:, sha1:, sha256: or sha512: with one, or file: with the path or URL of a list"

// parseChecksum reads an iso_checksum.
func parseChecksum(text string) (checksum, error) {
	text = strings.TrimSpace(text)
	if text == "" || strings.EqualFold(text, "none") {
		return checksum{}, nil
	}
	kind, rest, typed := strings.Cut(text, ":")
	if typed && strings.EqualFold(kind, "file") {
		if strings.HasSuffix(strings.ToLower(rest), ".iso") {
			return checksum{}, fmt.Errorf("%q is an image, not a list of checksums", rest)
		}
		if rest == "" {
			return checksum{}, errors.New("file: has to be followed by the path or URL of a list of checksums")
		}
		return checksum{list: rest}, nil
	}
	if !typed {
		kind, rest = "", text
	}
	rest = strings.ToLower(rest)
	if _, err := hex.DecodeString(rest); err != nil {
		return checksum{}, fmt.Errorf("%q is not a checksum: it has to be %s", hidePassword(text), knownForms)
	}
	for _, a := range algorithms {
		switch {
		case typed && strings.EqualFold(kind, a.name) && len(rest) != a.digits:
			return checksum{}, fmt.Errorf("a %s checksum has %d digits, this one has %d", a.name, a.digits, len(rest))
		case typed && strings.EqualFold(kind, a.name), !typed && len(rest) == a.digits:
			return checksum{algorithm: a.name, sum: rest}, nil
		}
	}
	if typed {
		return checksum{}, fmt.Errorf("%q is not a type of checksum: it has to be %s", kind, knownForms)
	}
	return checksum{}, fmt.Errorf("a checksum of %d digits is of no known type: md5 has 32, sha1 40, sha256 64, sha512 128", len(rest))
}

func (c checksum) String() string { return c.algorithm + ":" + c.sum }

func (c checksum) hash() hash.Hash {
	for _, a := range algorithms {
		if a.name == c.algorithm {
			return a.make()
		}
	}
	return sha256.New()
}

// mismatchError says that a file is not the one that was asked for.
type mismatchError struct{ want, got string }

func (m *mismatchError) Error() string {
	return fmt.Sprintf("the checksum is %s, where %s was expected", m.got, m.want)
}

// verify compares what h has seen.
func (c checksum) verify(h hash.Hash) error {
	if got := hex.EncodeToString(h.Sum(nil)); c.algorithm != "" && got != c.sum {
		return &mismatchError{c.String(), c.algorithm + ":" + got}
	}
	return nil
}

// maxList bounds a list of checksums.
const maxList = 8 << 20

func readList(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("list of checksums: %w", err)
	}
	defer f.Close()
	return limitedList(f, path)
}

func limitedList(r io.Reader, name string) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxList+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("list of checksums %s: %w", name, err)
	case len(text) > maxList:
		return nil, fmt.Errorf("list of checksums %s: it is larger than %d MiB, which no such list is", name, maxList>>20)
	}
	return text, nil
}

// findInList finds the checksum of a file. Lines are of the form of GNU ("SUM
// NAME", "SUM *NAME"), of BSD ("SHA256 (NAME) = SUM"), or, when it is the only
// one, just a checksum. A name may have folders before it. The strongest checksum
// counts; two different ones of the same strength are an error.
func findInList(list []byte, name string) (checksum, error) {
	var best checksum
	strength := len(algorithms)
	sums, alone, others := 0, checksum{}, []string{}
	lines := bufio.NewScanner(bytes.NewReader(list))
	lines.Buffer(nil, maxList+1)
	for lines.Scan() {
		c, file := parseListLine(lines.Text())
		if c.algorithm == "" {
			continue
		}
		sums++
		if file == "" {
			alone = c
			continue
		}
		if path.Base(strings.ReplaceAll(file, `\`, "/")) != name {
			if len(others) < 5 {
				others = append(others, file)
			}
			continue
		}
		for i, a := range algorithms {
			switch {
			case a.name != c.algorithm:
			case i < strength:
				best, strength = c, i
			case i == strength && best.sum != c.sum:
				return checksum{}, fmt.Errorf("the list has two different checksums for files called %s", name)
			}
		}
	}
	switch {
	case lines.Err() != nil:
		return checksum{}, fmt.Errorf("read the list of checksums: %w", lines.Err())
	case best.algorithm != "":
		return best, nil
	case sums == 1 && alone.algorithm != "":
		return alone, nil
	case sums == 0:
		return checksum{}, errors.New("there are no checksums in the list")
	}
	return checksum{}, fmt.Errorf("there is no checksum of %s in the list; there are those of %s", name, strings.Join(others, ", "))
}

// parseListLine reads one line; the checksum is zero when there is none in it.
func parseListLine(line string) (checksum, string) {
	line = strings.TrimSpace(strings.TrimPrefix(line, "\ufeff"))
	if kind, rest, ok := strings.Cut(line, " ("); ok {
		if i := strings.LastIndex(rest, ") = "); i >= 0 {
			if c, err := parseChecksum(kind + ":" + strings.TrimSpace(rest[i+4:])); err == nil && c.list == "" {
				return c, rest[:i]
			}
		}
	}
	sum, file := line, ""
	if i := strings.IndexAny(line, " \t"); i >= 0 {
		sum, file = line[:i], line[i:]
	}
	sum = strings.TrimPrefix(sum, `\`)
	c, err := parseChecksum(sum)
	if err != nil || c.list != "" {
		return checksum{}, ""
	}
	return c, strings.TrimPrefix(strings.TrimSpace(file), "*")
}
