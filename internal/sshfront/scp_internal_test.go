package sshfront

import (
	"strings"
	"testing"
)

func TestParseSCP(t *testing.T) {
	for line, want := range map[string]scpCall{
		"scp -t /x":                 {receive: true, path: "/x"},
		"scp -v -r -p -d -t '/x y'": {receive: true, recursive: true, times: true, folder: true, path: "/x y"},
		`scp -rpf "/x"/y`:           {recursive: true, times: true, path: "/x/y"},
		"scp -f -- -x":              {path: "-x"},
	} {
		if got, ok := parseSCP(line); !ok || got != want {
			t.Errorf("%s: %+v, %v", line, got, ok)
		}
	}
	for _, line := range []string{
		"", "scp", "scp /a /b", "scp -t", "scp -t -f /x", "scp -t ~/x", "scp -f /x*", "scp -f $HOME", "scp -t /x; true", "scp -t /x >y", "A=b scp -t /x",
		"scp -t /x &", "scp -S prog -t /x", "scp -t a b", `scp -t "$(id)"`, "scpx -t /x", "scp -t 'x",
	} {
		if got, ok := parseSCP(line); ok {
			t.Errorf("%s is taken for %+v", line, got)
		}
	}
}

func FuzzParseSCP(f *testing.F) {
	f.Add("scp -t /x", "0644 1 a")
	f.Add(`scp -rpf "/x"/y`, "x")
	f.Fuzz(func(t *testing.T, line, announced string) {
		if c, ok := parseSCP(line); ok && (c.path == "" && !strings.Contains(line, "''") && !strings.Contains(line, `""`)) {
			t.Errorf("%q has no path", line)
		}
		if h, err := parseHeader(announced); err == nil && (h.size < 0 || strings.Contains(h.name, "/") || h.name == "..") {
			t.Errorf("%q is accepted as %+v", announced, h)
		}
	})
}
