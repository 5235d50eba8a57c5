package live

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Guest names the files of a small virtual machine: a Debian kernel with
// busybox and dropbear. It runs in 256 MB without acceleration, is up within
// some ten seconds then, and answers SSH on port 22 of its first network card,
// which it sets up by DHCP.
//
// The files are shared by all tests. Nobody may write to them: boot an overlay,
// or with snapshot=on.
//
// On its first serial port it prints a line that begins with
// "INGOT-GUEST-READY" once the network is up, and a line "TYPED: ..." for each
// line typed at its console, where a prompt stores what is typed in the file
// /root/typed. The power button shuts it down. It takes the SSH keys, the host
// name and a script from a NoCloud seed, a volume labelled cidata: the name of
// the device it found is in /run/seed.
type Guest struct {
	// Disk is a qcow2 image of some 340 MB that a BIOS boots, from any of the
	// interfaces virtio, IDE, SATA, SCSI and NVMe that the kernel has a driver for.
	Disk string `json:"disk"`
	// EFIDisk is the same for EFI firmware only. Where there is firmware, the
	// folder /sys/firmware/efi exists in the guest.
	EFIDisk string `json:"efi_disk"`

	// Kernel, Initrd and Root boot without a boot loader; Root is a raw image of
	// the root file system alone. KernelArgs is what Kernel needs to be told.
	Kernel     string `json:"kernel"`
	Initrd     string `json:"initrd"`
	Root       string `json:"root"`
	KernelArgs string `json:"kernel_args"`

	// InstallISO shows the prompt "boot:". The command "install url=URL" makes
	// it write Disk to the first disk, fetch the answers from the URL by HTTP,
	// and reboot. A line "key AUTHORIZED-KEY" of the answers lets another key
	// log in; a line "hostname NAME" names the machine. With "key=KEY", escaped
	// as in a URL, a key is let in without answers.
	InstallISO string `json:"install_iso"`

	// SavedDir is where tests keep the state of running guests, to go on from.
	SavedDir string `json:"saved_dir"`

	// User is root. It logs in with the private key in KeyFile, or Password.
	User     string `json:"user"`
	KeyFile  string `json:"key_file"`
	Password string `json:"password"`
	// HostKey is the ed25519 host key, as an authorized_keys line. There are
	// ecdsa and rsa ones too.
	HostKey string `json:"host_key"`
}

// DebianGuest is a Debian system with systemd, OpenSSH, Python and cloud-init. It
// wants two processors and 512 MB, and takes a minute or two to be up without
// acceleration. It has the kernel, the root password and the root key of
// [Guest]. Cloud-init reads NoCloud seeds only.
type DebianGuest struct {
	// Disk is a qcow2 image of 1.5 GB that a BIOS boots. The prompt "login:" on
	// the serial port comes when the SSH server is there.
	Disk string `json:"disk"`
	// HostKey is the ed25519 host key, as an authorized_keys line. There are
	// ecdsa and rsa ones too.
	HostKey string `json:"host_key"`
}

// RequireGuest returns the virtual machine's files and skips the test where
// there are none. With INGOT_LIVE=require it fails it.
func RequireGuest(t testing.TB, env Env) Guest {
	t.Helper()
	if env.Guest != nil {
		return *env.Guest
	}
	const why = "there is no virtual machine: test/env/guest makes one where Debian's linux-image-cloud-amd64 can be had"
	if os.Getenv("INGOT_LIVE") == "require" {
		t.Fatalf("INGOT_LIVE=require and %s", why)
	}
	t.Skipf("SKIPPED LIVE TEST %s: %s", t.Name(), why)
	return Guest{}
}

// RequireDebianGuest returns the larger virtual machine's files, and waits until
// they are made, which takes some minutes in a new environment. It skips the
// test where that cannot be done. With INGOT_LIVE=require it fails it.
func RequireDebianGuest(t testing.TB, env Env) DebianGuest {
	t.Helper()
	RequireGuest(t, env)
	guest, err := debianGuest(env.Scripts)
	if err == nil {
		return guest
	}
	if os.Getenv("INGOT_LIVE") == "require" {
		t.Fatalf("INGOT_LIVE=require and %v", err)
	}
	t.Skipf("SKIPPED LIVE TEST %s: %v", t.Name(), err)
	return DebianGuest{}
}

func debianGuest(scripts string) (DebianGuest, error) {
	script := filepath.Join(scripts, "guest")
	cmd := exec.Command(script, "debian")
	cmd.Env = append(os.Environ(), "INGOT_TEST_ENV="+stateDir())
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil {
		return DebianGuest{}, fmt.Errorf("%s debian: %w\n%s", script, err, log.Bytes())
	}
	file := filepath.Join(strings.TrimSpace(out.String()), "debian.json")
	data, err := os.ReadFile(file)
	if err != nil {
		return DebianGuest{}, err
	}
	var guest DebianGuest
	if err := json.Unmarshal(data, &guest); err != nil {
		return DebianGuest{}, fmt.Errorf("%s: %w", file, err)
	}
	return guest, nil
}
