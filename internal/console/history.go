package console

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mostLines is how many lines of history are offered. The file may grow to
// twice as many before it is cut.
const mostLines = 1000

// History is the lines that were typed, in this session and, when it has a
// file, in earlier ones.
type History struct {
	path  string
	keep  func(line string) bool
	lines []string
}

// OpenHistory reads the history in the file at path, which need not exist.
// keep says which lines may be written to it. The History is of use also when
// there is an error; nothing is written then.
func OpenHistory(path string, keep func(line string) bool) (*History, error) {
	h := &History{keep: keep}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err != nil {
		return h, fmt.Errorf("history of the console: %w", err)
	}
	h.lines = slices.DeleteFunc(strings.Split(string(data), "\n"), func(l string) bool { return l == "" })
	if len(h.lines) > 2*mostLines {
		h.lines = h.lines[len(h.lines)-mostLines:]
		if err := os.WriteFile(path, []byte(strings.Join(h.lines, "\n")+"\n"), 0o600); err != nil {
			return h, fmt.Errorf("history of the console: %w", err)
		}
	}
	h.path = path
	return h, nil
}

// remember adds a line. A line that begins with a space, one that keep refuses
// and a repeated one are not written to the file.
func (h *History) remember(line string) error {
	if strings.TrimSpace(line) == "" || len(h.lines) > 0 && h.lines[len(h.lines)-1] == line {
		return nil
	}
	h.lines = append(h.lines, line)
	if h.path == "" || strings.HasPrefix(line, " ") || !h.keep(line) {
		return nil
	}
	f, err := os.OpenFile(h.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err == nil {
		_, err = f.WriteString(line + "\n")
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		h.path = "" // it would fail again for the next line
		return fmt.Errorf("history of the console: %w", err)
	}
	return nil
}

// Add does nothing: the terminal offers every line, while the session decides
// what is remembered.
func (h *History) Add(string) {}

// Len is the number of lines.
func (h *History) Len() int { return min(len(h.lines), mostLines) }

// At returns the line that many lines ago, from 0.
func (h *History) At(i int) string { return h.lines[len(h.lines)-1-i] }
