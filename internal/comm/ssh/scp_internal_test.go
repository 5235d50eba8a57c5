//go:build unix

package ssh

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"

	"ingot/internal/component"
)

func TestParseRecord(t *testing.T) {
	for in, want := range map[string]record{
		"C0644 12 name with space": {'C', 0o644, 12, "name with space"},
		"D0755 0 folder":           {'D', 0o755, 0, "folder"},
		"E":                        {kind: 'E'},
	} {
		if got, err := parseRecord(in); err != nil || got != want {
			t.Errorf("%q: got %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{
		"", "X", "C", "C0644", "C0644 1", "C0999 1 f", "C0644 x f", "C0644 -1 f", "T1 0 1 0",
		"C0644 1 ..", "C0644 1 .", "C0644 1 ../../etc/passwd", "C0644 1 /etc/passwd", "D0755 0 ..", "C0644 1 ", "C0644 1 a\x00b",
	} {
		if got, err := parseRecord(in); err == nil {
			t.Errorf("%q: got %+v", in, got)
		}
	}
	if _, err := parseRecord("\x01scp: /x: No such file or directory"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := parseRecord("\x02scp: /x: Permission denied"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a forbidden file: %v", err)
	}
}

// FuzzSCP: whatever a machine sends, the archive that is made of it names
// nothing outside of its folder.
func FuzzSCP(f *testing.F) {
	f.Add([]byte("D0755 0 top\nC0644 5 file\nhello\x00D0700 0 sub\nC0600 0 empty\n\x00E\nE\n"))
	f.Add([]byte("D0755 0 top\nC0644 5 ../../x\nhello\x00E\n"))
	f.Add([]byte("\x01scp: no\n"))
	f.Add([]byte("C0644 99999999999999 big\nx"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p := &scpPeer{w: io.Discard, r: bufio.NewReader(bytes.NewReader(data))}
		var out bytes.Buffer
		w := tar.NewWriter(&out)
		if p.pack(w, "") != nil {
			return
		}
		if err := w.Close(); err != nil {
			t.Fatalf("the archive: %v", err)
		}
		for r := tar.NewReader(&out); ; {
			h, err := r.Next()
			if err == io.EOF {
				return
			}
			if err != nil {
				t.Fatalf("the archive: %v", err)
			}
			for _, part := range strings.Split(strings.TrimSuffix(h.Name, "/"), "/") {
				if remoteName(part) != nil {
					t.Fatalf("the archive has a member %q", h.Name)
				}
			}
		}
	})
}

func TestWindowsLines(t *testing.T) {
	m := scpMover{&comm{facts: facts{shell: component.Cmd}}}
	if got, err := m.line("pt", `C:\with space\f`); err != nil || got != `scp -pt "C:\with space\f"` {
		t.Errorf("got %s, %v", got, err)
	}
	for _, bad := range []string{`a"b`, "a%PATH%", "a\nb"} {
		if _, err := m.line("pt", bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
	for in, want := range map[string]string{`C:\a\b`: "/C:/a/b", "c:/a": "/c:/a", `a\b`: "a/b", "/C:/a": "/C:/a"} {
		if got := (sftpMover(m)).name(in); got != want {
			t.Errorf("%s: got %s", in, got)
		}
	}
	p := scpMover{&comm{facts: facts{shell: component.PowerShell}}}
	// PowerShell takes typographic quotes for plain ones.
	if got, err := p.line("pt", `C:\it's ’t $x`); err != nil || got != `scp -pt 'C:\it''s ’’t $x'` {
		t.Errorf("got %s, %v", got, err)
	}
	if got, err := (scpMover{&comm{facts: facts{shell: component.POSIX}}}).line("f", `-a\b 'c`); err != nil || got != `LC_ALL=C scp -f './-a\b '"'"'c'` {
		t.Errorf("got %s, %v", got, err)
	}
}
