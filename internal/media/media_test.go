package media

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/diag"
)

// write makes files below a folder and returns it.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		mode := os.FileMode(0o600)
		if strings.HasSuffix(name, ".sh") {
			mode = 0o700
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func sample(t testing.TB) Config {
	long := strings.Repeat("long-", 40) + "name.txt"
	deep := strings.Repeat("d/", 12) + "deep"
	dir := write(t, map[string]string{
		"user-data": "#cloud-config\n", "tree/a.txt": "A", "tree/sub/b.sh": "#!/bin/sh\n",
		"tree/Überraschung.txt": "ü", "tree/" + long: "long", "tree/empty": "", "tree/" + deep: "deep",
		"tree/sector": strings.Repeat("x", sectorSize), "members/one": "1", "members/two/three": "3",
		"glob/autounattend.xml": "<a/>", "glob/UPPER.TXT": "U", "glob/upper.text": "u",
	})
	for i := range 120 {
		path := filepath.Join(dir, "tree/many", fmt.Sprintf("same-beginning-%03d.conf", i))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, fmt.Append(nil, i), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	content := map[string]string{"/meta-data": "", "etc/x/y": "why"}
	return Config{
		CDFiles:   []string{dir + "/user-data", dir + "/tree", dir + "/members/", dir + "/glob/*"},
		CDContent: content, CDLabel: "cidata",
		FloppyFiles:   []string{dir + "/user-data", dir + "/glob", dir + "/tree/a*"},
		FloppyDirs:    []string{dir + "/tree"},
		FloppyContent: content, FloppyLabel: "OEMDRV",
	}
}

// wantCD is what the sample CD holds.
func wantCD() map[string]string {
	want := map[string]string{
		"user-data": "#cloud-config\n", "tree/a.txt": "A", "tree/sub/b.sh": "#!/bin/sh\n", "tree/Überraschung.txt": "ü",
		"tree/" + strings.Repeat("long-", 40) + "name.txt": "long", "tree/empty": "", "tree/" + strings.Repeat("d/", 12) + "deep": "deep",
		"tree/sector": strings.Repeat("x", sectorSize), "one": "1", "two/three": "3",
		"autounattend.xml": "<a/>", "UPPER.TXT": "U", "upper.text": "u", "meta-data": "", "etc/x/y": "why",
	}
	for i := range 120 {
		want[fmt.Sprintf("tree/many/same-beginning-%03d.conf", i)] = fmt.Sprint(i)
	}
	return want
}

func image(t testing.TB, makeIt func(path string) error) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	if err := makeIt(path); err != nil {
		t.Fatal(err)
	}
	return path
}

func tool(t testing.TB, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not installed (make deps)", name)
	}
	var stderr bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, stderr.Bytes())
	}
	return string(out)
}

// files reads all files below a folder.
func files(t testing.TB, root string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		got[filepath.ToSlash(rel)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestCDReadByXorriso: libisofs finds all files by their Rock Ridge names, and
// nothing to complain about.
func TestCDReadByXorriso(t *testing.T) {
	c := sample(t)
	path := image(t, func(p string) error { return c.WriteCD(t.Context(), p) })
	out := filepath.Join(t.TempDir(), "out")
	tool(t, "xorriso", "-osirrox", "on", "-abort_on", "WARNING", "-indev", path, "-extract", "/", out)
	t.Cleanup(func() { // the folders on a CD cannot be written to, and so not be emptied
		_ = filepath.WalkDir(out, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				err = os.Chmod(path, 0o700)
			}
			return err
		})
	})
	if diff := cmp.Diff(wantCD(), files(t, out)); diff != "" {
		t.Error(diff)
	}
	if info, err := os.Stat(filepath.Join(out, "tree/sub/b.sh")); err != nil || info.Mode()&0o100 == 0 {
		t.Errorf("the script is not executable: %v, %v", info, err)
	}
}

// TestCDReadByIsoinfo: cdrkit finds the names in both hierarchies.
func TestCDReadByIsoinfo(t *testing.T) {
	c := sample(t)
	path := image(t, func(p string) error { return c.WriteCD(t.Context(), p) })
	if d := tool(t, "isoinfo", "-d", "-i", path); !strings.Contains(d, "Volume id: cidata\n") || !strings.Contains(d, "Joliet with UCS level 3") || !strings.Contains(d, "Rock Ridge signatures version 1 found") {
		t.Errorf("the volume is\n%s", d)
	}
	for _, names := range []string{"-R", "-J"} {
		var want []string
		for name := range wantCD() {
			if (names == "-R" || len(filepath.Base(name)) <= maxWide) && !strings.Contains(name, "berraschung") {
				want = append(want, "/"+name)
			}
		}
		list := strings.Split(strings.TrimSpace(tool(t, "isoinfo", names, "-f", "-i", path)), "\n")
		for _, name := range want {
			if !slices.Contains(list, name) {
				t.Errorf("%s: %s is missing", names, name)
			}
		}
		for _, name := range []string{"/tree/many/same-beginning-117.conf", "/etc/x/y", "/tree/sector"} {
			if got := tool(t, "isoinfo", names, "-i", path, "-x", name); got != wantCD()[name[1:]] {
				t.Errorf("%s %s: %q", names, name, got)
			}
		}
	}
}

// TestCDIsReadable reads the volume descriptors and walks the Joliet hierarchy by
// the offsets alone.
func TestCDIsReadable(t *testing.T) {
	c := sample(t)
	img, err := os.ReadFile(image(t, func(p string) error { return c.WriteCD(t.Context(), p) }))
	if err != nil {
		t.Fatal(err)
	}
	pvd, svd := img[16*sectorSize:], img[17*sectorSize:]
	if string(pvd[1:6]) != "CD001" || strings.TrimSpace(string(pvd[40:72])) != "cidata" || svd[0] != 2 || string(svd[88:91]) != "%/E" {
		t.Fatalf("descriptors: % x", pvd[:96])
	}
	if got := int(binary.LittleEndian.Uint32(pvd[80:])) * sectorSize; got != len(img) {
		t.Errorf("the volume says it has %d bytes, the file has %d", got, len(img))
	}
	got := map[string]string{}
	var walk func(record []byte, prefix string)
	walk = func(record []byte, prefix string) {
		at, size := int(binary.LittleEndian.Uint32(record[2:]))*sectorSize, int(binary.LittleEndian.Uint32(record[10:]))
		data := img[at : at+size]
		for i, n := 0, 0; i < len(data); {
			if data[i] == 0 {
				i = (i/sectorSize + 1) * sectorSize
				continue
			}
			r := data[i : i+int(data[i])]
			i += int(data[i])
			if n++; n <= 2 {
				continue
			}
			var name strings.Builder
			for j := 33; j < 33+int(r[32]); j += 2 {
				name.WriteRune(rune(binary.BigEndian.Uint16(r[j:])))
			}
			if r[25]&2 != 0 {
				walk(r, prefix+name.String()+"/")
				continue
			}
			at, size := int(binary.LittleEndian.Uint32(r[2:]))*sectorSize, int(binary.LittleEndian.Uint32(r[10:]))
			got[prefix+name.String()] = string(img[at : at+size])
		}
	}
	walk(svd[156:], "")
	want := wantCD()
	long := "tree/" + strings.Repeat("long-", 40) + "name.txt"
	shortened := "tree/" + strings.Repeat("long-", 40)[:maxWide-len("~0.txt")] + "~0.txt"
	want[shortened] = want[long]
	delete(want, long)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestFloppyReadByMtools reads the disk with mtools, and fsck.fat has nothing to
// complain about.
func TestFloppyReadByMtools(t *testing.T) {
	c := sample(t)
	path := image(t, func(p string) error { return c.WriteFloppy(t.Context(), p) })
	if label := tool(t, "mlabel", "-s", "-i", path, "::"); !strings.Contains(label, "OEMDRV") {
		t.Errorf("label: %s", label)
	}
	out := t.TempDir()
	tool(t, "mcopy", "-s", "-n", "-i", path, "::*", out)
	want := map[string]string{}
	for name, text := range wantCD() {
		if strings.HasPrefix(name, "tree/") || !strings.Contains(name, "/") && name != "one" || name == "etc/x/y" {
			want[name] = text
		}
	}
	want["a.txt"] = "A"
	got := files(t, out)
	// Names beyond ASCII depend on the locale of the tool.
	for _, m := range []map[string]string{want, got} {
		for name := range m {
			if strings.Contains(name, "berraschung") {
				delete(m, name)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	tool(t, "fsck.fat", "-n", path)
}

func TestFloppyGeometry(t *testing.T) {
	c := Config{FloppyContent: map[string]string{"README": "x"}, FloppyLabel: "packer"}
	img, err := os.ReadFile(image(t, func(p string) error { return c.WriteFloppy(t.Context(), p) }))
	if err != nil {
		t.Fatal(err)
	}
	if len(img) != 1440<<10 || img[21] != 0xf0 || img[510] != 0x55 || img[511] != 0xaa || string(img[43:54]) != "packer     " || string(img[3:11]) != "packer  " {
		t.Errorf("%d bytes, % x", len(img), img[:64])
	}
	root := img[19*512:]
	if string(root[:12]) != "packer     \x08" || string(root[32:44]) != "README     \x20" || root[64] != 0 {
		t.Errorf("root: % x", root[:96])
	}
	if data := img[33*512:]; data[0] != 'x' || binary.LittleEndian.Uint16(img[512+3:])&0xfff != 0xfff {
		t.Error("the file is not in cluster 2, or its chain does not end there")
	}
}

// TestEqualInputEqualBytes: neither times nor the order on disk nor modes of the
// group leave a trace.
func TestEqualInputEqualBytes(t *testing.T) {
	a, b := sample(t), sample(t)
	err := filepath.WalkDir(filepath.Dir(b.CDFiles[0]), func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chtimes(path, time.Unix(1, 0), time.Unix(1<<30, 0))
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string][2]func(string) error{
		"cd":     {func(p string) error { return a.WriteCD(t.Context(), p) }, func(p string) error { return b.WriteCD(t.Context(), p) }},
		"floppy": {func(p string) error { return a.WriteFloppy(t.Context(), p) }, func(p string) error { return b.WriteFloppy(t.Context(), p) }},
	} {
		one, err1 := os.ReadFile(image(t, pair[0]))
		two, err2 := os.ReadFile(image(t, pair[1]))
		if err1 != nil || err2 != nil || !bytes.Equal(one, two) {
			t.Errorf("%s: the images differ (%v, %v)", name, err1, err2)
		}
	}
}

func TestCheck(t *testing.T) {
	dir := write(t, map[string]string{"a": "a", "b/a": "other", "c/A": "folded", "[x]": "literal", "dir/f": "", "dir2/dir": "", "huge": ""})
	if err := os.Truncate(filepath.Join(dir, "huge"), 5<<30); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("..", filepath.Join(dir, "dir/loop")); err != nil {
		t.Fatal(err)
	}
	in := func(names ...string) []string {
		out := make([]string, len(names))
		for i, n := range names {
			out[i] = dir + "/" + n
		}
		return out
	}
	for name, c := range map[string]struct {
		cfg  Config
		want []string // "severity summary"
	}{
		"nothing":                   {Config{CDLabel: strings.Repeat("x", 40), FloppyLabel: "no label!?"}, nil},
		"fine":                      {Config{CDFiles: in("a", "[x]"), FloppyFiles: in("a", "b")[:1]}, nil},
		"missing":                   {Config{CDFiles: in("no"), FloppyFiles: in("no"), FloppyDirs: in("no")}, []string{"Error File not found", "Error File not found", "Error File not found"}},
		"pattern matches nothing":   {Config{CDFiles: in("no*"), FloppyFiles: in("a", "no?")}, []string{"Warning Pattern matches nothing", "Warning Pattern matches nothing"}},
		"pattern is wrong":          {Config{CDFiles: in("[")}, []string{"Error Invalid pattern"}},
		"empty path":                {Config{CDFiles: []string{""}}, []string{"Error Empty path"}},
		"replaced":                  {Config{CDFiles: in("a", "b/a"), CDContent: map[string]string{"a": ""}}, []string{"Warning File is replaced", "Warning File is replaced"}},
		"replaced in another case":  {Config{FloppyFiles: in("a", "c/A")}, []string{"Warning File is replaced"}},
		"same file twice":           {Config{CDFiles: in("a", "a")}, nil},
		"file and folder":           {Config{CDFiles: in("dir2/dir", "dir2/../b"), CDContent: map[string]string{"dir/x": ""}}, []string{"Error Invalid path"}},
		"folder and file":           {Config{CDContent: map[string]string{"b/x": "", "b": ""}}, []string{"Error Invalid path"}},
		"upward":                    {Config{CDContent: map[string]string{"x/../../y": ""}}, []string{"Error Invalid path"}},
		"no name":                   {Config{CDContent: map[string]string{"/": "", "x/": "", ".": ""}}, []string{"Error Invalid path", "Error Invalid path", "Error Invalid path"}},
		"loop":                      {Config{CDFiles: in("dir")}, []string{"Error File cannot be used"}},
		"device":                    {Config{CDFiles: []string{os.DevNull}}, []string{"Error File cannot be used"}},
		"large on a CD":             {Config{CDFiles: in("huge")}, []string{"Error File is too large"}},
		"large on a floppy disk":    {Config{FloppyFiles: in("huge")}, []string{"Error Floppy disk is too small"}},
		"label too long":            {Config{CDContent: map[string]string{"a": ""}, CDLabel: strings.Repeat("x", 33)}, []string{"Error Invalid label"}},
		"label too long for Joliet": {Config{CDContent: map[string]string{"a": ""}, CDLabel: strings.Repeat("x", 17)}, []string{"Warning Label is shortened"}},
		"label of a floppy disk":    {Config{FloppyContent: map[string]string{"a": ""}, FloppyLabel: "twelve chars"}, []string{"Error Invalid label"}},
		"name too long for Joliet":  {Config{CDContent: map[string]string{strings.Repeat("x", 104): ""}}, []string{"Warning Name is shortened"}},
		"name too long":             {Config{CDContent: map[string]string{strings.Repeat("x", 256): ""}}, []string{"Error Name is too long"}},
	} {
		var got []string
		for _, d := range c.cfg.Check() {
			got = append(got, d.Severity.String()+" "+d.Summary)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestFloppyLimits: what fits exactly fits, one more does not.
func TestFloppyLimits(t *testing.T) {
	full := Config{FloppyContent: map[string]string{"A": strings.Repeat("x", fatClusters*fatSector)}}
	if diags := full.Check(); len(diags) > 0 {
		t.Error(diags.Err())
	}
	path := image(t, func(p string) error { return full.WriteFloppy(t.Context(), p) })
	if img, err := os.ReadFile(path); err != nil || img[len(img)-1] != 'x' || len(img) != 1440<<10 {
		t.Errorf("the disk is not full: %v", err)
	}
	full.FloppyContent["B"] = "x"
	if diags := full.Check(); !diags.HasErrors() {
		t.Error("a byte too many fits")
	}
	many := Config{FloppyContent: map[string]string{}, FloppyLabel: "x"}
	for i := range fatRootEntries - 1 {
		many.FloppyContent[fmt.Sprintf("F%d", i)] = ""
	}
	if diags := many.Check(); len(diags) > 0 {
		t.Error(diags.Err())
	}
	many.FloppyContent["LAST"] = ""
	if diags := many.Check(); !diags.HasErrors() {
		t.Error("a name too many fits")
	}
}

// TestNothingIsLeftAfterAnError: a file that shrinks while it is copied.
func TestNothingIsLeftAfterAnError(t *testing.T) {
	dir := write(t, map[string]string{"a": "abc"})
	c := Config{CDFiles: []string{dir + "/a"}}
	tree, _ := c.cdTree()
	disc, diags := layOutCD(tree, "x")
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	if err := os.WriteFile(dir+"/a", []byte("longer than before"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := disc.write(t.Context(), &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "size changed") {
		t.Errorf("a file of another size: %v", err)
	}
	if err := c.WriteCD(t.Context(), filepath.Join(dir, "missing", "cd.iso")); err == nil {
		t.Error("written to a folder that is not there")
	}
	c.CDFiles = []string{"/nowhere"}
	if err := c.WriteCD(t.Context(), filepath.Join(dir, "cd.iso")); err == nil || !strings.Contains(err.Error(), "/nowhere") {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "cd.iso")); err == nil {
		t.Error("an image was left")
	}
}

// TestDiagnosticsNameTheElement: the path leads to the one element that is wrong.
func TestDiagnosticsNameTheElement(t *testing.T) {
	diags := Config{CDFiles: []string{"media.go", "nowhere"}}.Check()
	if len(diags) != 1 || diags[0].Severity != diag.Error || len(diags[0].Path) != 2 {
		t.Errorf("%v", diags)
	}
}
