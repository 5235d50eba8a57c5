package qemu

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
)

func TestWhatCannotBeSaved(t *testing.T) {
	str := cty.StringVal
	for name, c := range map[string]struct {
		own   map[string]cty.Value
		image string
		want  string
	}{
		"all of it":      {nil, "/a.qcow2", ""},
		"own network":    {map[string]cty.Value{"qemuargs": pairs([]string{"-netdev", "user,id=n"})}, "/a.qcow2", ""},
		"tpm":            {map[string]cty.Value{"vtpm": cty.True}, "/a.qcow2", "TPM"},
		"bridge":         {map[string]cty.Value{"net_bridge": str("br0")}, "/a.qcow2", "net_bridge"},
		"backing file":   {map[string]cty.Value{"use_backing_file": cty.True, "disk_image": cty.True}, "/a.qcow2", "use_backing_file"},
		"remote image":   {nil, "http://127.0.0.1/a.qcow2", "network"},
		"drives":         {map[string]cty.Value{"qemuargs": pairs([]string{"-drive", "file=a"})}, "/a.qcow2", "-drive"},
		"another folder": {map[string]cty.Value{"qemuargs": pairs([]string{"-virtfs", "local,path=a"})}, "/a.qcow2", "-virtfs"},
	} {
		got := planOf(t, c.own).unsaved(c.image)
		if got == "" && c.want != "" || c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestFilesOfArguments(t *testing.T) {
	dir := t.TempDir()
	kernel, initrd := filepath.Join(dir, "kernel"), filepath.Join(dir, "initrd")
	for _, path := range []string{kernel, initrd} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := planOf(t, map[string]cty.Value{"qemuargs": pairs([]string{"-kernel", kernel}, []string{"-fw_cfg", "name=opt/a,file=" + initrd}, []string{"-append", "root=/dev/vda"})})
	if got := p.filesOfArguments(); !slices.Equal(slices.Compact(got), []string{kernel, initrd}) {
		t.Errorf("got %q", got)
	}
}

func TestLayersAreProperties(t *testing.T) {
	got := below([]layer{{"/a,b", "qcow2"}, {"/c", "raw"}})
	want := ",backing.driver=qcow2,backing.file.filename=/a,,b,backing.backing.driver=raw,backing.backing.file.filename=/c"
	if got != want {
		t.Errorf("got %s", got)
	}
}

func TestCopySparse(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	for _, data := range [][]byte{
		nil, []byte("short"), make([]byte, 300<<10),
		slices.Concat(make([]byte, 128<<10), []byte("middle"), make([]byte, 100<<10)),
	} {
		if err := os.WriteFile(from, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := copySparse(from, to); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(to); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes became %d, %v", len(data), len(got), err)
		}
		if err := os.Remove(to); err != nil {
			t.Fatal(err)
		}
	}
	if err := linkOrCopy(from, to); err != nil {
		t.Fatal(err)
	}
	if err := linkOrCopy(from, to); err == nil {
		t.Error("a file was replaced")
	}
}

func TestClockCommand(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	for shell, want := range map[component.Shell]string{
		component.POSIX: "sudo -n date -u -s @1700000000", component.Cmd: "powershell -NoProfile", component.PowerShell: "Set-Date",
	} {
		if got := clockCommand(at, shell); !strings.Contains(got, want) || !strings.Contains(got, "1700000000") {
			t.Errorf("%s", got)
		}
	}
}
