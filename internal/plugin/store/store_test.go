//go:build unix

package store

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-version"

	"ingot/internal/addr"
	"ingot/internal/plugin/plugintest"
)

func source(t *testing.T, text string) addr.Plugin {
	t.Helper()
	p, err := addr.ParsePlugin(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func constraints(t *testing.T, text string) version.Constraints {
	t.Helper()
	if text == "" {
		return nil
	}
	c, err := version.NewConstraint(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const probe = "github.com/acme/probe"

// Ensure that the best version of those allowed is chosen, as Packer does.
func TestChoice(t *testing.T) {
	s := &Store{Dir: t.TempDir()}
	for _, p := range [][2]string{
		{"1.0.0", "x5.0"}, {"1.1.0", "x5.0"}, {"1.2.0-dev", "x5.0"}, {"1.2.0", "x4.0"}, {"1.3.0-beta", "x5.0"}, {"1.10.0", "x5.0"}, {"2.0.0", "x5.1"},
	} {
		plugintest.Install(t, s.Dir, probe, p[0], p[1])
	}
	for _, c := range []struct{ constraint, want, releases string }{
		{"= 1.1.0", "1.1.0", "1.1.0"},
		{">= 1.0.0", "1.10.0", "1.10.0"},
		{"~> 1.1.0", "1.1.0", "1.1.0"},
		{"~> 1.2", "1.10.0", "1.10.0"},
		{"< 1.2.0", "1.1.0", "1.1.0"},
		{"= 1.2.0", "1.2.0-dev", ""},
		{"!= 1.10.0", "1.3.0-beta", "1.1.0"},
		{"< 1.9", "1.3.0-beta", "1.1.0"},
		{">= 2.0.0", "", ""},
		{"", "1.10.0", "1.10.0"},
	} {
		for _, only := range []bool{false, true} {
			want := c.want
			if only {
				want = c.releases
			}
			f, _, err := s.Choose(t.Context(), Want{Source: source(t, probe), Constraints: constraints(t, c.constraint), ReleasesOnly: only})
			got := ""
			if f != nil {
				got = f.Binary.Version.String()
			}
			if err != nil || got != want {
				t.Errorf("%q, releases only %v: got %q, want %q (%v)", c.constraint, only, got, want, err)
			}
		}
	}
}

// Ensure that what cannot be believed is passed over, and why is told.
func TestRefusals(t *testing.T) {
	good := plugintest.Description{Version: "0.1.0", APIVersion: "x5.0"}
	for _, c := range []struct {
		name, file string
		d          plugintest.Description
		spoil      func(t *testing.T, path string)
		// why is part of the reason; empty when the plugin is used, and
		// "-" when its name already rules it out.
		why string
	}{
		{name: "good", file: plugintest.FileName("probe", "v0.1.0", "x5.0"), d: good},
		{name: "upper case checksum with a name", file: plugintest.FileName("probe", "v0.1.0", "x5.0"), d: good, spoil: func(t *testing.T, path string) {
			sum, err := os.ReadFile(path + SumSuffix)
			if err != nil {
				t.Fatal(err)
			}
			write(t, path+SumSuffix, strings.ToUpper(string(sum))+"  "+filepath.Base(path)+"\n")
		}},
		{name: "no checksum", file: plugintest.FileName("probe", "v0.1.0", "x5.0"), d: good, why: "no checksum file", spoil: func(t *testing.T, path string) {
			if err := os.Remove(path + SumSuffix); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "short checksum", file: plugintest.FileName("probe", "v0.1.0", "x5.0"), d: good, why: "too short", spoil: func(t *testing.T, path string) { write(t, path+SumSuffix, strings.Repeat("a", 63)) }},
		{name: "no hexadecimal", file: plugintest.FileName("probe", "v0.1.0", "x5.0"), d: good, why: "no checksum", spoil: func(t *testing.T, path string) { write(t, path+SumSuffix, strings.Repeat("x", 64)) }},
		{name: "other checksum", file: plugintest.FileName("probe", "v0.1.0", "x5.0"), d: good, why: "does not have the checksum", spoil: func(t *testing.T, path string) { write(t, path+SumSuffix, strings.Repeat("a", 64)) }},
		{name: "not executable", file: plugintest.FileName("probe", "v0.1.0", "x5.0"), d: good, why: "does not describe itself", spoil: func(t *testing.T, path string) {
			if err := os.Chmod(path, 0o644); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "two parts", file: plugintest.FileName("probe", "v0.1", "x5.0"), d: good, why: "-"},
		{name: "leading zero", file: plugintest.FileName("probe", "v0.01.0", "x5.0"), d: good, why: "-"},
		{name: "without v", file: plugintest.FileName("probe", "0.1.0", "x5.0"), d: good, why: "-"},
		{name: "metadata in the name", file: plugintest.FileName("probe", "v0.1.0+m", "x5.0"), d: good, why: "-"},
		{name: "other platform", file: "packer-plugin-probe_v0.1.0_x5.0_plan9_mips", d: good, why: "-"},
		{name: "extension", file: plugintest.FileName("probe", "v0.1.0", "x5.0") + ".exe", d: good, why: "-"},
		{name: "text for an interface", file: plugintest.FileName("probe", "v0.1.0", "x5.zero"), d: good, why: "-"},
		{name: "other prefix", file: strings.Replace(plugintest.FileName("probe", "v0.1.0", "x5.0"), "packer", "tinker", 1), d: good, why: "-"},
		{name: "metadata in the description", file: plugintest.FileName("probe", "v0.1.0", "x5.0"), d: plugintest.Description{Version: "0.1.0+meta", APIVersion: "x5.0"}},
		{name: "v in the description", file: plugintest.FileName("probe", "v0.1.0", "x5.0"), d: plugintest.Description{Version: "v0.1.0", APIVersion: "x5.0"}},
		{name: "release said to be dev", file: plugintest.FileName("probe", "v0.1.0", "x5.0"), d: plugintest.Description{Version: "0.1.0-dev", APIVersion: "x5.0"}, why: "its version is 0.1.0-dev"},
		{name: "dev said to be release", file: plugintest.FileName("probe", "v0.1.0-dev", "x5.0"), d: good, why: "its version is 0.1.0"},
		{name: "other interface", file: plugintest.FileName("probe", "v0.1.0", "x4.0"), d: good, why: "x4.0"},
		{name: "interface not as named", file: plugintest.FileName("probe", "v0.1.0", "x5.0"), d: plugintest.Description{Version: "0.1.0", APIVersion: "x5.00"}, why: "speaks the plugin protocol x5.00"},
		{name: "no version", file: plugintest.FileName("probe", "v0.1.0", "x5.0"), d: plugintest.Description{}, why: "version is missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &Store{Dir: t.TempDir()}
			path := plugintest.Put(t, filepath.Join(s.Dir, probe), c.file, plugintest.Script(c.d, ""))
			if c.spoil != nil {
				c.spoil(t, path)
			}
			f, refused, err := s.Choose(t.Context(), Want{Source: source(t, probe)})
			switch {
			case err != nil:
				t.Fatal(err)
			case (f != nil) != (c.why == ""):
				t.Errorf("found %v, refused %v", f, refused)
			case c.why == "-" && len(refused) != 0:
				t.Errorf("refused %v", refused)
			case c.why != "" && c.why != "-" && (len(refused) != 1 || !strings.Contains(refused[0].Why.Error(), c.why)):
				t.Errorf("refused %v, want %q", refused, c.why)
			}
		})
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Ensure that nothing is run whose content has not been checked, and that what has
// been described is not run for it again.
func TestW48DescribedOnceAndOnlyWhenWanted(t *testing.T) {
	s := &Store{Dir: t.TempDir(), Cache: t.TempDir()}
	runs := filepath.Join(t.TempDir(), "runs")
	d := plugintest.Description{Version: "1.0.0", APIVersion: "x5.0", Builders: []string{"b"}}
	path := plugintest.Put(t, filepath.Join(s.Dir, probe), plugintest.FileName("probe", "v1.0.0", "x5.0"), plugintest.Script(d, runs))
	plugintest.Put(t, filepath.Join(s.Dir, "github.com/acme/other"), plugintest.FileName("other", "v1.0.0", "x5.0"), plugintest.Script(d, runs))
	ran := func() int {
		text, err := os.ReadFile(runs)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return strings.Count(string(text), "describe\n")
	}
	if all, err := s.List(); err != nil || len(all) != 2 || ran() != 0 {
		t.Fatalf("listing gives %v, %v and has run %d plugins", all, err, ran())
	}
	for range 3 {
		f, _, err := s.Choose(t.Context(), Want{Source: source(t, probe)})
		if err != nil || f == nil || !slices.Equal(f.Builders, d.Builders) {
			t.Fatalf("%v, %v", f, err)
		}
	}
	if ran() != 1 {
		t.Errorf("%d plugins were run", ran())
	}
	write(t, path, "#!/bin/sh\ntouch "+runs+".bad\n")
	f, refused, err := s.Choose(t.Context(), Want{Source: source(t, probe)})
	if err != nil || f != nil || len(refused) != 1 {
		t.Errorf("%v, %v, %v", f, refused, err)
	}
	if _, err := os.Stat(runs + ".bad"); err == nil {
		t.Error("it was run with a wrong checksum")
	}
}

// Ensure that a plugin is not run before it has been approved, and that a refusal
// is not made up for by another version.
func TestApproval(t *testing.T) {
	s := &Store{Dir: t.TempDir()}
	plugintest.Install(t, s.Dir, probe, "1.0.0", "x5.0")
	plugintest.Put(t, filepath.Join(s.Dir, probe), plugintest.FileName("probe", "v1.1.0", "x5.0"), []byte("#!/bin/sh\ntouch "+s.Dir+"/ran\n"))
	no := errors.New("no")
	f, _, err := s.Choose(t.Context(), Want{Source: source(t, probe), Approve: func(Binary) error { return no }})
	var refused RefusedByApproval
	if f != nil || !errors.Is(err, no) || !errors.As(err, &refused) || refused.Binary.Version.String() != "1.1.0" || refused.SHA256 == "" {
		t.Errorf("%v, %v", f, err)
	}
	if _, err := os.Stat(s.Dir + "/ran"); err == nil {
		t.Error("it was run")
	}
}

// Ensure which files and folders are looked at.
func TestPlaces(t *testing.T) {
	s := &Store{Dir: t.TempDir()}
	content := plugintest.Script(plugintest.Description{Version: "1.0.0", APIVersion: "x5.0"}, "")
	file := plugintest.FileName("probe", "v1.0.0", "x5.0")
	for below, want := range map[string]bool{
		"": false, "a": true, strings.Repeat("d/", 16): true, strings.Repeat("e/", 17): false, "github.com/acme/zzz": true,
	} {
		plugintest.Put(t, filepath.Join(s.Dir, below), file, content)
		all, err := s.List()
		if err != nil {
			t.Fatal(err)
		}
		found := slices.ContainsFunc(all, func(b Binary) bool { return b.Source == strings.Trim(below, "/") })
		if found != want {
			t.Errorf("in %q: found %v", below, found)
		}
	}
	// The folder of another plugin does not satisfy a requirement, though the
	// file has the name.
	if got, err := s.Installed(source(t, probe)); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := (&Store{Dir: filepath.Join(s.Dir, "none")}).List(); err != nil || got != nil {
		t.Errorf("a folder that is not there: %v, %v", got, err)
	}
}

// Ensure that a link to a plugin and to the folder are followed.
func TestLinks(t *testing.T) {
	actual, dir := t.TempDir(), t.TempDir()
	path := plugintest.Install(t, actual, probe, "1.0.0", "x5.0")
	link := filepath.Join(dir, "link")
	if err := os.Symlink(actual, link); err != nil {
		t.Fatal(err)
	}
	if got, err := (&Store{Dir: link}).List(); err != nil || len(got) != 1 {
		t.Errorf("link to the folder: %v, %v", got, err)
	}
	below := filepath.Join(dir, "own", "x")
	if err := os.MkdirAll(below, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path, filepath.Join(below, filepath.Base(path))); err != nil {
		t.Fatal(err)
	}
	if got, err := (&Store{Dir: filepath.Join(dir, "own")}).List(); err != nil || len(got) != 1 {
		t.Errorf("link to the file: %v, %v", got, err)
	}
}

// Ensure the order of names, versions and protocols, which decides without a
// required plugin: the highest version of all sources.
func TestOrder(t *testing.T) {
	s := &Store{Dir: t.TempDir()}
	for _, p := range [][3]string{
		{"github.com/zeta/probe", "1.0.0", "x5.0"}, {"github.com/acme/probe", "1.10.0", "x5.0"}, {"github.com/acme/probe", "1.9.0", "x5.0"},
		{"github.com/acme/probe", "1.10.0-dev", "x5.0"}, {"github.com/acme/able", "3.0.0", "x5.0"}, {"github.com/zeta/probe", "1.9.0", "x4.9"},
	} {
		plugintest.Install(t, s.Dir, p[0], p[1], p[2])
	}
	all, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, b := range all {
		got = append(got, b.Source+" "+b.Version.String()+" "+b.API.String())
	}
	want := []string{
		"github.com/acme/able 3.0.0 x5.0", "github.com/zeta/probe 1.0.0 x5.0", "github.com/zeta/probe 1.9.0 x4.9", "github.com/acme/probe 1.9.0 x5.0",
		"github.com/acme/probe 1.10.0-dev x5.0", "github.com/acme/probe 1.10.0 x5.0",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	f, _, err := s.Choose(t.Context(), Want{Name: "probe"})
	if err != nil || f == nil || f.Binary.Version.String() != "1.10.0" {
		t.Errorf("%v, %v", f, err)
	}
}

// Ensure that minor versions of the protocol are compared as numbers.
func TestW63ProtocolVersionsAreNumbers(t *testing.T) {
	for text, served := range map[string]bool{"x5.0": true, "x5.00": true, "x5.1": false, "x5.10": false, "x4.0": false, "x6.0": false} {
		a, err := ParseAPI(text)
		if err != nil || a.Served() != served {
			t.Errorf("%s: %v, %v", text, a.Served(), err)
		}
	}
	if (API{5, 9}).compare(API{5, 10}) >= 0 {
		t.Error("5.9 is not below 5.10")
	}
	for _, text := range []string{"", "5.0", "x5", "x5.", "x.0", "x5.-1", "x5.0.0", "x5.0x", "x99999999999.0"} {
		if a, err := ParseAPI(text); err == nil {
			t.Errorf("%q was taken for %s", text, a)
		}
	}
}

// Ensure what becomes of plugins that do not answer as they should.
func TestAnswers(t *testing.T) {
	for name, c := range map[string]struct{ script, why string }{
		"failure":     {"#!/bin/sh\necho '{}'\necho wrong place >&2\nexit 3\n", "wrong place"},
		"no JSON":     {"#!/bin/sh\necho hello\n", "cannot be read"},
		"endless":     {"#!/bin/sh\nexec yes\n", "longer than"},
		"no program":  {"nothing", "does not describe itself"},
		"left behind": {"#!/bin/sh\nsleep 1000 & echo '{'\n", "does not describe itself"},
	} {
		t.Run(name, func(t *testing.T) {
			path := plugintest.Put(t, t.TempDir(), "p", []byte(c.script))
			if _, err := (&Store{}).Ask(t.Context(), path); err == nil || !strings.Contains(err.Error(), c.why) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestFolder(t *testing.T) {
	home := t.TempDir()
	old := t.TempDir()
	if err := os.Mkdir(filepath.Join(old, ".packer.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		env  map[string]string
		want string
	}{
		{"path", map[string]string{"PACKER_PLUGIN_PATH": "/p", "PACKER_CONFIG_DIR": "/c", "HOME": home}, "/p"},
		{"list", map[string]string{"PACKER_PLUGIN_PATH": "/p:/q"}, ""},
		{"config dir", map[string]string{"PACKER_CONFIG_DIR": "/c", "HOME": old}, "/c/.packer.d/plugins"},
		{"old folder", map[string]string{"HOME": old, "XDG_CONFIG_HOME": "/x"}, filepath.Join(old, ".packer.d/plugins")},
		{"xdg", map[string]string{"HOME": home, "XDG_CONFIG_HOME": "/x"}, "/x/packer/plugins"},
		{"home", map[string]string{"HOME": home}, filepath.Join(home, ".config/packer/plugins")},
		{"nothing", nil, ""},
	} {
		got, err := Folder(func(name string) string { return c.env[name] })
		if got != c.want || (err == nil) == (c.want == "") {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
}

// Ensure that a removed plugin leaves no file and no empty folder, and that
// nothing outside of the plugin folder is removed.
func TestRemove(t *testing.T) {
	s := &Store{Dir: filepath.Join(t.TempDir(), "plugins")}
	path := plugintest.Install(t, s.Dir, probe, "1.0.0", "x5.0")
	b, err := s.At(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(b); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(s.Dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	other := plugintest.Install(t, t.TempDir(), probe, "1.0.0", "x5.0")
	for _, path := range []string{other, s.Dir + "/../" + filepath.Base(other), filepath.Join(s.Dir, "a", "file"), s.Dir + "-other/a/" + filepath.Base(other)} {
		if b, err := s.At(path); err == nil {
			t.Errorf("%s is %v", path, b)
		}
	}
}

// FuzzParseFileName looks for names that do not survive being printed.
func FuzzParseFileName(f *testing.F) {
	f.Add("packer-plugin-probe_v1.0.0_x5.0_linux_amd64")
	f.Add("packer-plugin-probe_v1.0.0-dev_x5.0_windows_amd64.exe")
	f.Add("packer-plugin-../x_v1.0.0_x5.0_linux_amd64")
	f.Fuzz(func(t *testing.T, file string) {
		n, err := ParseFileName(file)
		if err != nil {
			return
		}
		if n.String() != file || filepath.Base(file) != file {
			t.Errorf("%q is read as %q", file, n)
		}
	})
}

// Ensure that what is there and not used is named with the reason, pre-releases too.
func TestW63WhatIsNotUsedIsNamed(t *testing.T) {
	s := &Store{Dir: t.TempDir()}
	for version, api := range map[string]string{"1.0.0-beta": "x5.0", "1.1.0": "x5.1", "2.0.0": "x5.0"} {
		plugintest.Install(t, s.Dir, probe, version, api)
	}
	f, refused, err := s.Choose(t.Context(), Want{Source: source(t, probe), Constraints: constraints(t, "< 2"), ReleasesOnly: true})
	if err != nil || f != nil {
		t.Fatalf("%v, %v", f, err)
	}
	why := map[string]string{}
	for _, r := range refused {
		why[r.Version.String()] = r.Why.Error()
	}
	for version, want := range map[string]string{"1.0.0-beta": "is a pre-release", "1.1.0": "protocol x5.1", "2.0.0": "its version is not < 2"} {
		if !strings.Contains(why[version], want) {
			t.Errorf("%s: %q, want %q", version, why[version], want)
		}
	}
}
