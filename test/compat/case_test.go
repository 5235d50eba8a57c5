package compat_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

const corpus = "../../testdata/compat"

// Golden files of a case; -update rewrites them.
const (
	planFile        = "plan.json"
	diagnosticsFile = "diagnostics.txt"
	buildFile       = "build.txt"
	buildErrorsFile = "build-errors.txt"
)

// madePrefix is in front of the files that a build has to write.
const madePrefix = "made/"

// corpusCase is one file of the corpus.
type corpusCase struct {
	// name is the area and the name, such as "files/one-file".
	name, file string
	archive    *txtar.Archive
	about      []string
	flags, env []string
	path       string
	stdin      string
	// chomped are files whose last newline is not written.
	chomped   []string
	exit      int
	build     bool
	buildExit int
	// want, never and prints are what the author expects, whatever the
	// golden files say.
	want, never, prints []string
	rows                []string
}

// readCorpus reads all cases, in the order of their names.
func readCorpus(t *testing.T) []*corpusCase {
	t.Helper()
	var cases []*corpusCase
	err := filepath.WalkDir(corpus, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		c, err := readCase(path)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		cases = append(cases, c)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return cases
}

func readCase(path string) (*corpusCase, error) {
	name, isCase := strings.CutSuffix(path, ".txtar")
	if !isCase {
		return nil, fmt.Errorf("only *.txtar files belong here")
	}
	archive, err := txtar.ParseFile(path)
	if err != nil {
		return nil, err
	}
	rel, err := filepath.Rel(corpus, name)
	if err != nil {
		return nil, err
	}
	c := &corpusCase{name: filepath.ToSlash(rel), file: path, archive: archive, path: "."}
	for _, line := range strings.Split(string(archive.Comment), "\n") {
		if err := c.directive(strings.TrimSpace(line)); err != nil {
			return nil, err
		}
	}
	if len(c.about) == 0 {
		return nil, fmt.Errorf("the first line has to say what the case is about")
	}
	return c, nil
}

func (c *corpusCase) directive(line string) (err error) {
	key, value, _ := strings.Cut(line, " ")
	value = strings.TrimSpace(value)
	switch {
	case line == "":
	case key == "#":
		c.about = append(c.about, value)
	case strings.HasPrefix(key, "-"):
		c.flags = append(c.flags, key)
		if value != "" {
			c.flags = append(c.flags, value)
		}
	case key == "path":
		c.path = value
	case key == "stdin":
		c.stdin = value
	case key == "chomp":
		c.chomped = append(c.chomped, value)
	case key == "env":
		c.env = append(c.env, value)
	case key == "exit":
		c.exit, err = strconv.Atoi(value)
	case key == "build":
		c.build = true
		if value != "" {
			c.buildExit, err = strconv.Atoi(value)
		}
	case key == "want":
		c.want = append(c.want, value)
	case key == "never":
		c.never = append(c.never, value)
	case key == "prints":
		c.prints = append(c.prints, value)
	case key == "row":
		c.rows = append(c.rows, value)
	default:
		err = fmt.Errorf("unknown line %q", line)
	}
	return err
}

// inputs are the files that the case starts with.
func (c *corpusCase) inputs() []txtar.File {
	var files []txtar.File
	for _, f := range c.archive.Files {
		if slices.Contains(c.chomped, f.Name) {
			f.Data = bytes.TrimSuffix(f.Data, []byte("\n"))
		}
		if !isGolden(f.Name) && !strings.HasPrefix(f.Name, madePrefix) {
			files = append(files, f)
		}
	}
	return files
}

// made are the files that build has to write, by their path.
func (c *corpusCase) made() map[string]string {
	files := map[string]string{}
	for _, f := range c.archive.Files {
		if name, ok := strings.CutPrefix(f.Name, madePrefix); ok {
			files[name] = string(f.Data)
		}
	}
	return files
}

func isGolden(name string) bool {
	return name == planFile || name == diagnosticsFile || name == buildFile || name == buildErrorsFile
}

// golden is the text of a golden file, empty when there is none.
func (c *corpusCase) golden(name string) string {
	for _, f := range c.archive.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

// setGolden replaces a golden file, or removes it when the text is empty.
func (c *corpusCase) setGolden(name, text string) {
	for i, f := range c.archive.Files {
		if f.Name != name {
			continue
		}
		if text == "" {
			c.archive.Files = append(c.archive.Files[:i], c.archive.Files[i+1:]...)
		} else {
			c.archive.Files[i].Data = []byte(text)
		}
		return
	}
	if text != "" {
		c.archive.Files = append(c.archive.Files, txtar.File{Name: name, Data: []byte(text)})
	}
}
