package qemu

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/component/componenttest"
)

// description is a firmware.json.
func description(code, vars, machine string, features ...string) string {
	return fmt.Sprintf(`{"interface-types": ["uefi"], "mapping": {"device": "flash", "executable": {"filename": %q, "format": "raw"},
		"nvram-template": {"filename": %q, "format": "raw"}}, "targets": [{"architecture": "x86_64", "machines": [%q]}], "features": ["%s"]}`,
		code, vars, machine, strings.Join(features, `","`))
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFirmwareIsFound(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"a/CODE.fd", "a/VARS.fd", "a/CODE.ms.fd", "a/VARS.ms.fd", "b/my_code.fd", "b/my_vars.fd", "b/CODE.secboot.fd", "b/VARS.fd", "c/alone.fd"} {
		write(t, at(name), name)
	}
	write(t, at("etc/30-broken.json"), "{")
	write(t, at("etc/40-hidden.json"), "")
	write(t, at("share/40-hidden.json"), description(at("c/alone.fd"), at("c/alone.fd"), "pc-i440fx-*"))
	write(t, at("share/45-gone.json"), description(at("gone"), at("a/VARS.fd"), "pc-*"))
	write(t, at("share/50-secure.json"), description(at("a/CODE.ms.fd"), at("a/VARS.ms.fd"), "pc-q35-*", "requires-smm", "secure-boot"))
	write(t, at("share/60-plain.json"), description(at("a/CODE.fd"), at("a/VARS.fd"), "pc-i440fx-*"))
	// Two names of one file, as Debian has them.
	if err := os.Symlink("CODE.ms.fd", at("a/CODE.other.fd")); err != nil {
		t.Fatal(err)
	}
	write(t, at("share/55-other.json"), description(at("a/CODE.other.fd"), at("c/alone.fd"), "pc-q35-*", "requires-smm"))
	search := func(machine string) firmwareSearch {
		return firmwareSearch{arch: "x86_64", machine: machine, described: []string{at("etc"), at("share")},
			known: []flash{{code: at("gone"), vars: at("gone")}, {code: at("b/my_code.fd"), vars: at("b/my_vars.fd")}}}
	}
	for _, c := range []struct{ machine, code, vars, want string }{
		{"pc", "", "", "a/CODE.fd a/VARS.fd false"},
		{"pc-i440fx-7.2,accel=tcg", "", "", "a/CODE.fd a/VARS.fd false"},
		{"q35", "", "", "b/my_code.fd b/my_vars.fd false"},
		{"q35", "a/CODE.ms.fd", "", "a/CODE.ms.fd a/VARS.ms.fd true"},
		{"q35", "a/CODE.other.fd", "", "a/CODE.other.fd c/alone.fd true"},
		{"q35", "a/CODE.ms.fd", "c/alone.fd", "a/CODE.ms.fd c/alone.fd true"},
		{"pc", "", "a/VARS.fd", "a/CODE.fd a/VARS.fd false"},
		{"virt", "", "c/alone.fd", ""},
		{"pc", "b/CODE.secboot.fd", "", "b/CODE.secboot.fd b/VARS.fd true"},
		{"microvm", "", "b/my_vars.fd", "b/my_code.fd b/my_vars.fd false"},
		{"pc", "c/alone.fd", "", ""},
	} {
		abs := func(p string) string {
			if p == "" {
				return ""
			}
			return at(p)
		}
		f, err := search(c.machine).choose(abs(c.code), abs(c.vars))
		got := ""
		if err == nil {
			got = strings.ReplaceAll(fmt.Sprint(f.code, " ", f.vars, " ", f.secure), dir+"/", "")
		}
		if got != c.want {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
	}
	none := firmwareSearch{arch: "x86_64", machine: "pc"}
	if _, err := none.choose("", ""); err == nil || !strings.Contains(err.Error(), "install the package ovmf") {
		t.Errorf("nothing installed: %v", err)
	}
}

func FuzzDescribedFlash(f *testing.F) {
	f.Add([]byte(description("/c", "/v", "pc-*", "requires-smm")))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := firmwareSearch{arch: "x86_64", machine: "pc"}
		if got, ok := s.describedFlash(data); ok && (got.code == "" || got.vars == "") {
			t.Errorf("%q: %+v", data, got)
		}
	})
}

func TestFirmwareIsPrepared(t *testing.T) {
	dir := t.TempDir()
	code, vars := write(t, filepath.Join(dir, "CODE.fd"), "code"), write(t, filepath.Join(dir, "VARS.fd"), "variables")
	for name, c := range map[string]struct {
		config config
		want   firmware
	}{
		"none":  {config{}, firmware{}},
		"bios":  {config{Firmware: "seabios.bin"}, firmware{kind: firmwareBIOS, code: "seabios.bin"}},
		"flash": {config{Firmware: code, UsePflash: true}, firmware{kind: firmwarePflash, code: code}},
		"efi":   {config{EFIBoot: true, EFIFirmwareCode: code}, firmware{kind: firmwarePflash, code: code, vars: "out/efivars.fd"}},
		"efi, variables dropped": {config{EFIBoot: true, EFIFirmwareCode: code, EFIFirmwareVars: vars, EFIDropEFIVars: true},
			firmware{kind: firmwarePflash, code: code, vars: "private/efivars.fd"}},
	} {
		t.Run(name, func(t *testing.T) {
			r, _, _ := componenttest.NewRun(t)
			base := t.TempDir()
			for _, sub := range []string{"out", "private"} {
				if err := os.Mkdir(filepath.Join(base, sub), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			hw := &hardware{dir: filepath.Join(base, "private"), disks: []disk{{path: filepath.Join(base, "out", "disk")}}}
			c.config.QemuBinary = "qemu-system-x86_64"
			p := &plan{config: c.config}
			if err := p.prepareFirmware(r, hw, ""); err != nil {
				t.Fatal(err)
			}
			got := hw.firmware
			if got.vars != "" {
				if data, err := os.ReadFile(got.vars); err != nil || string(data) != "variables" {
					t.Errorf("variables %q, %v", data, err)
				}
				got.vars, _ = filepath.Rel(base, got.vars)
			}
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestSecureBootNeedsItsMachine(t *testing.T) {
	dir := t.TempDir()
	code, vars := write(t, filepath.Join(dir, "CODE.secboot.fd"), "code"), write(t, filepath.Join(dir, "VARS.fd"), "variables")
	r, _, _ := componenttest.NewRun(t)
	p := &plan{config: config{EFIBoot: true, EFIFirmwareCode: code, EFIFirmwareVars: vars, MachineType: "pc"}}
	if err := p.prepareFirmware(r, &hardware{disks: []disk{{path: filepath.Join(dir, "disk")}}}, ""); err == nil || !strings.Contains(err.Error(), "q35") {
		t.Errorf("got %v", err)
	}
}
