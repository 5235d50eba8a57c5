package qemu

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"ingot/internal/component"
)

// efiVarsName is the file of the EFI variables in the artifact.
const efiVarsName = "efivars.fd"

// secureName reports whether the name of a firmware file says that it is made for
// Secure Boot, as the names of Debian, Ubuntu and Fedora do.
func secureName(path string) bool {
	name := strings.ToLower(filepath.Base(path))
	return strings.Contains(name, "secboot") || strings.Contains(name, ".ms.") || strings.Contains(name, ".snakeoil.")
}

// flash is EFI firmware with the variables that belong to it.
type flash struct {
	code, vars string
	// secure firmware needs system management mode.
	secure bool
}

// prepareFirmware chooses the firmware and makes the machine's own copy of the EFI
// variables, beside its first disk unless they are to be left out of the artifact.
// The variables are those of the file, or, when that is "", of the firmware.
func (p *plan) prepareFirmware(r component.Run, hw *hardware, vars string) error {
	switch {
	case p.Firmware != "" && p.UsePflash:
		hw.firmware = firmware{kind: firmwarePflash, code: p.Firmware, secure: secureName(p.Firmware)}
	case p.Firmware != "":
		hw.firmware = firmware{kind: firmwareBIOS, code: p.Firmware}
	case p.EFIBoot:
		f, err := p.chooseFlash()
		if err != nil {
			return err
		}
		if f.secure && !strings.Contains(p.MachineType, "q35") {
			return fmt.Errorf("the EFI firmware %s is made for Secure Boot, which works only with machine_type = \"q35\"", f.code)
		}
		store := filepath.Join(filepath.Dir(hw.disks[0].path), efiVarsName)
		if p.EFIDropEFIVars {
			store = filepath.Join(hw.dir, efiVarsName)
		}
		if vars == "" {
			vars = f.vars
			r.Say(fmt.Sprintf("Using the EFI firmware %s with variables of %s", f.code, vars))
		}
		if err := copySparse(vars, store); err != nil {
			return fmt.Errorf("copy the EFI variables: %w", err)
		}
		hw.firmware = firmware{kind: firmwarePflash, code: f.code, vars: store, secure: f.secure}
	}
	return nil
}

// chooseFlash finds what the template leaves open of the EFI firmware.
func (p *plan) chooseFlash() (flash, error) {
	for name, file := range map[string]string{"efi_firmware_code": p.EFIFirmwareCode, "efi_firmware_vars": p.EFIFirmwareVars} {
		if file == "" {
			continue
		}
		if _, err := os.Stat(file); err != nil {
			return flash{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	s := newFirmwareSearch(p.QemuBinary, p.MachineType)
	return s.choose(p.EFIFirmwareCode, p.EFIFirmwareVars)
}

// firmwareSearch looks for EFI firmware on this computer.
type firmwareSearch struct {
	// arch and machine are QEMU's names: "x86_64", "pc".
	arch, machine string
	// described are the folders of descriptions, most important first.
	described []string
	// known is firmware in places that distributions use, in case nothing is
	// described.
	known []flash
}

func newFirmwareSearch(binary, machine string) firmwareSearch {
	s := firmwareSearch{arch: architecture(binary), machine: machine}
	if dir, err := os.UserConfigDir(); err == nil {
		s.described = append(s.described, filepath.Join(dir, "qemu", "firmware"))
	}
	s.described = append(s.described, "/etc/qemu/firmware", "/usr/share/qemu/firmware", "/usr/local/share/qemu/firmware", "/opt/homebrew/share/qemu/firmware")
	s.known = knownFlash(s.arch, binary)
	return s
}

// architecture is QEMU's name for the processors that a QEMU program emulates.
func architecture(binary string) string {
	name := strings.TrimSuffix(filepath.Base(binary), ".exe")
	if arch, ok := strings.CutPrefix(name, "qemu-system-"); ok {
		return arch
	}
	// qemu-kvm emulates the computer's own.
	switch runtime.GOARCH {
	case "amd64":
		return "x86_64"
	case "arm64":
		return "aarch64"
	}
	return runtime.GOARCH
}

// knownFlash are the places of EFI firmware without Secure Boot.
func knownFlash(arch, binary string) []flash {
	pairs := map[string][][2]string{
		"x86_64": {
			{"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"},
			{"/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"},
			{"/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"},
			{"/usr/share/edk2-ovmf/x64/OVMF_CODE.fd", "/usr/share/edk2-ovmf/x64/OVMF_VARS.fd"},
			{"/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"},
			{"/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin"},
		},
		"aarch64": {
			{"/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"},
			{"/usr/share/edk2/aarch64/QEMU_CODE.fd", "/usr/share/edk2/aarch64/QEMU_VARS.fd"},
			{"/usr/share/edk2/aarch64/QEMU_EFI-pflash.raw", "/usr/share/edk2/aarch64/vars-template-pflash.raw"},
		},
	}[arch]
	// QEMU itself brings firmware along, whose variables are called after the
	// 32-bit processors.
	small := map[string]string{"x86_64": "i386", "aarch64": "arm"}[arch]
	if small != "" {
		share := []string{"/usr/share/qemu", "/usr/local/share/qemu", "/opt/homebrew/share/qemu"}
		if filepath.IsAbs(binary) {
			share = append(share, filepath.Join(filepath.Dir(binary), "share"), filepath.Join(filepath.Dir(binary), "..", "share", "qemu"))
		}
		for _, dir := range share {
			pairs = append(pairs, [2]string{filepath.Join(dir, "edk2-"+arch+"-code.fd"), filepath.Join(dir, "edk2-"+small+"-vars.fd")})
		}
	}
	var out []flash
	for _, p := range pairs {
		out = append(out, flash{code: p[0], vars: p[1]})
	}
	return out
}

// choose returns the firmware to use. An empty code or vars is found: what belongs
// to the other one, or what is installed.
func (s firmwareSearch) choose(code, vars string) (flash, error) {
	if code != "" && vars != "" {
		return flash{code, vars, secureName(code) || s.secure(code)}, nil
	}
	installed := s.installed()
	// One file may have several names, each with variables of its own.
	for _, same := range []func(a, b string) bool{func(a, b string) bool { return a == b }, sameFile} {
		for _, f := range installed {
			switch {
			case code != "" && same(f.code, code):
				return flash{code, f.vars, f.secure || secureName(code)}, nil
			case vars != "" && same(f.vars, vars) && !f.secure:
				return flash{f.code, vars, false}, nil
			}
		}
	}
	if code != "" {
		if guess := varsBeside(code); guess != "" {
			return flash{code, guess, secureName(code)}, nil
		}
		return flash{}, fmt.Errorf("no EFI variables are found that belong to the firmware %s: set efi_firmware_vars", code)
	}
	if vars != "" {
		if guess := codeBeside(vars); guess != "" {
			return flash{guess, vars, secureName(guess)}, nil
		}
		return flash{}, fmt.Errorf("no EFI firmware is found that the variables %s belong to: set efi_firmware_code", vars)
	}
	for _, f := range installed {
		if !f.secure {
			return f, nil
		}
	}
	return flash{}, fmt.Errorf("no EFI firmware for %s is installed: install the package ovmf (Debian, Ubuntu; qemu-efi-aarch64 for ARM), edk2-ovmf (Fedora, RHEL, Arch) or qemu (Homebrew), or set efi_firmware_code and efi_firmware_vars", s.arch)
}

func sameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// varsBeside finds variables by the name of the firmware beside them, codeBeside
// the other way round.
func varsBeside(code string) string {
	return beside(code, "CODE", "VARS", "", ".secboot")
}

func codeBeside(vars string) string {
	return beside(vars, "VARS", "CODE", "")
}

// beside replaces a word in the name of a file, and leaves out one of the marks.
func beside(file, word, by string, marks ...string) string {
	dir, name := filepath.Split(file)
	for _, mark := range marks {
		for _, fold := range []func(string) string{strings.ToUpper, strings.ToLower} {
			other := strings.Replace(strings.Replace(name, fold(word), fold(by), 1), mark, "", 1)
			if other == name {
				continue
			}
			if info, err := os.Stat(dir + other); err == nil && info.Mode().IsRegular() {
				return dir + other
			}
		}
	}
	return ""
}

// installed is all firmware for the machine that is there, the described first.
func (s firmwareSearch) installed() []flash {
	all := s.descriptions()
	for _, f := range s.known {
		if isFile(f.code) && isFile(f.vars) {
			all = append(all, f)
		}
	}
	return all
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// secure reports whether a description says that firmware needs system management
// mode.
func (s firmwareSearch) secure(code string) bool {
	return slices.ContainsFunc(s.descriptions(), func(f flash) bool { return f.secure && sameFile(f.code, code) })
}

// descriptions reads the descriptions of firmware that QEMU's documentation calls
// firmware.json: the files of all folders by name, each name from the most
// important folder that has it.
func (s firmwareSearch) descriptions() []flash {
	files := map[string]string{}
	for _, dir := range s.described {
		names, err := filepath.Glob(filepath.Join(dir, "*.json"))
		if err != nil {
			continue
		}
		for _, name := range names {
			if base := filepath.Base(name); files[base] == "" {
				files[base] = name
			}
		}
	}
	var out []flash
	for _, base := range slices.Sorted(maps.Keys(files)) {
		// An empty file hides one of the same name in another folder.
		data, err := readSmall(files[base])
		if err != nil {
			continue
		}
		f, ok := s.describedFlash(data)
		if ok && isFile(f.code) && isFile(f.vars) {
			out = append(out, f)
		}
	}
	return out
}

const maxDescription = 1 << 20

func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, fs.ErrInvalid)
	}
	return io.ReadAll(io.LimitReader(f, maxDescription))
}

// describedFlash reads one description; false when it is of no use here.
func (s firmwareSearch) describedFlash(data []byte) (flash, bool) {
	type file struct {
		Filename string `json:"filename"`
		Format   string `json:"format"`
	}
	var d struct {
		Interfaces []string `json:"interface-types"`
		Mapping    struct {
			Device     string `json:"device"`
			Mode       string `json:"mode"`
			Executable file   `json:"executable"`
			Template   file   `json:"nvram-template"`
		} `json:"mapping"`
		Targets []struct {
			Architecture string   `json:"architecture"`
			Machines     []string `json:"machines"`
		} `json:"targets"`
		Features []string `json:"features"`
	}
	if json.Unmarshal(data, &d) != nil {
		return flash{}, false
	}
	m := d.Mapping
	usable := slices.Contains(d.Interfaces, "uefi") && m.Device == "flash" && (m.Mode == "" || m.Mode == "split") &&
		m.Executable.Format == "raw" && m.Template.Format == "raw" && m.Executable.Filename != "" && m.Template.Filename != ""
	if !usable {
		return flash{}, false
	}
	for _, t := range d.Targets {
		if t.Architecture == s.arch && s.machineIsOneOf(t.Machines) {
			secure := slices.Contains(d.Features, "requires-smm")
			return flash{code: m.Executable.Filename, vars: m.Template.Filename, secure: secure}, true
		}
	}
	return flash{}, false
}

// machineIsOneOf compares the machine type, which may be short for the newest of
// a family and have options, with patterns such as "pc-q35-*".
func (s firmwareSearch) machineIsOneOf(patterns []string) bool {
	name, _, _ := strings.Cut(strings.TrimPrefix(s.machine, "type="), ",")
	switch name {
	case "pc":
		name = "pc-i440fx-0"
	case "q35":
		name = "pc-q35-0"
	case "virt":
		name = "virt-0"
	}
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, name)
		return err == nil && ok
	})
}
