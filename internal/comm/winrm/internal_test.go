//go:build unix

package winrm

import (
	"archive/tar"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"
)

// A command line holds a script only when it is short enough for cmd.exe.
func TestScriptsFitIntoACommandLine(t *testing.T) {
	for _, name := range []string{readyScript, putScript, getScript, treeScript} {
		text := script(name)
		if !strings.HasPrefix(text, "# ingot "+name+"\n") {
			t.Errorf("%s begins with %.30q", name, text)
		}
		if n := len(powershell(text)); n > maxLine-100 {
			t.Errorf("%s makes a line of %d characters", name, n)
		}
		if strings.Count(text, "{") != strings.Count(text, "}") || strings.Count(text, "(") != strings.Count(text, ")") {
			t.Errorf("%s has brackets that do not match:\n%s", name, text)
		}
		if strings.Contains(text, "#path") || strings.Contains(text, "#fail") || strings.Contains(text, "#read") {
			t.Errorf("%s lacks a part", name)
		}
	}
}

func TestArchiveNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"a/b.txt": true, "ä b/c": true, ".hidden": true, "../x": false, "/x": false, `a\b`: false, "a:b": false, "a/b.": false, "a /b": false, "x?": false,
	} {
		if err := windowsName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestDamagedDownloads(t *testing.T) {
	const sum = "9834876DCFB05CB167A5C24953EBA58C4AC89B1ADF57F28F2F9D09AF107EE8F0" // of "aaa"
	for name, text := range map[string]string{
		"another sum":    "YWFh\n=3 " + strings.Replace(sum, "9", "8", 1) + "\n.\n",
		"another size":   "YWFh\n=4 " + sum + "\n.\n",
		"cut base64":     "YWF\n=3 " + sum + "\n.\n",
		"more after it":  "YWFh\n=3 " + sum + "\nYWFh\n.\n",
		"not a file":     "@f YQ== 3 0\n",
		"says it failed": "!IOException YWFh\n",
	} {
		in := &incoming{file: io.Discard}
		if _, err := io.WriteString(in, text); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	in := &incoming{file: io.Discard}
	if _, err := io.WriteString(in, "\ufeffYWFh\r\n=3 "+sum+"\r\n.\r\n"); err != nil || !in.checked {
		t.Errorf("the whole file: %v", err)
	}
}

func TestFolderCannotLeadOut(t *testing.T) {
	for _, name := range []string{"Li4veA==" /* ../x */, "L3g=" /* /x */, "YVwuLlx4" /* a\..\x */} {
		in := &incoming{tar: tar.NewWriter(io.Discard)}
		if _, err := io.WriteString(in, "@d "+name+" 0 0\n"); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestKindsOfErrors(t *testing.T) {
	if err := complaint("!DirectoryNotFoundException YQ=="); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || err.Error() != "a" {
		t.Errorf("got %v", err)
	}
	if err := complaint("!UnauthorizedAccessException YQ=="); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v", err)
	}
}

func FuzzEnvelope(f *testing.F) {
	f.Add(`<s:Envelope xmlns:s="x"><s:Body><s:Fault/></s:Body></s:Envelope>`)
	f.Fuzz(func(t *testing.T, text string) {
		e, err := readEnvelope([]byte(text))
		if err != nil {
			return
		}
		_, _ = e.shell()
		if code, ended, err := e.exit(); !ended && (code != 0 || err != nil) {
			t.Errorf("not ended, but %d, %v", code, err)
		}
		for _, s := range e.Streams {
			_, _ = s.output()
		}
	})
}

func FuzzIncoming(f *testing.F) {
	f.Add("@f YQ== 3 0\nYWFh\n=3 9834876DCFB05CB167A5C24953EBA58C4AC89B1ADF57F28F2F9D09AF107EE8F0\n.\n")
	f.Fuzz(func(t *testing.T, text string) {
		in := &incoming{tar: tar.NewWriter(io.Discard)}
		if _, err := io.WriteString(in, text); err == nil && in.err != nil {
			t.Errorf("no error, but %v", in.err)
		}
	})
}
