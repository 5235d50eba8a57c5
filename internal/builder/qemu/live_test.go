//go:build unix

package qemu

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component/componenttest"
	"ingot/internal/testkit/live"
)

// Ensure that QEMU takes the command lines: disks and CDs on every controller, and
// what else it may refuse. No processor runs.
func TestQEMUTakesTheCommandLine(t *testing.T) {
	live.RequireGuest(t, live.Require(t))
	dir := t.TempDir()
	var disks []disk
	for _, name := range []string{"a,b", "c"} {
		path := filepath.Join(dir, name)
		run(t, "qemu-img", "create", "-q", "-f", "qcow2", path, "1M")
		disks = append(disks, disk{path: path, format: "qcow2"})
	}
	media := make([]string, 3)
	for i := range media {
		media[i] = filepath.Join(dir, "medium,"+string(rune('0'+i)))
		if err := os.WriteFile(media[i], make([]byte, 1440<<10), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	str, num := cty.StringVal, cty.NumberIntVal
	stopped := []string{"-S"}
	cases := map[string]map[string]cty.Value{
		"image": {"disk_image": cty.True},
		"much": {
			"machine_type": str("q35"), "cpus": num(2), "cores": num(2), "memory": num(64), "vnc_bind_address": str("::1"), "vnc_use_password": cty.True,
			"disk_cache": str("unsafe"), "disk_discard": str("unmap"), "disk_detect_zeroes": str("unmap"), "run_once": cty.True, "net_device": str("e1000"),
			"qmp_enable": cty.True, "qmp_socket_path": str(filepath.Join(dir, "user.sock")),
		},
		"own network and machine": {"qemuargs": pairs(stopped, []string{"-netdev", "user,id=n,hostfwd=tcp:127.0.0.1:{{.HostPort}}-:22"}, []string{"-device", "virtio-net,netdev=n"}, []string{"-machine", "q35"}, []string{"-nographic"})},
	}
	for _, iface := range diskInterfaces() {
		own := map[string]cty.Value{"disk_interface": str(iface)}
		if slices.Contains(cdInterfaces(), iface) {
			own["cdrom_interface"] = str(iface)
		}
		cases["drives on "+iface] = own
	}
	for name, own := range cases {
		t.Run(name, func(t *testing.T) {
			r, _, events := componenttest.NewRun(t)
			own["headless"] = cty.True
			if _, ok := own["qemuargs"]; !ok {
				own["qemuargs"] = pairs(stopped)
			}
			p := planOf(t, own)
			j := &job{plan: p, host: thisHost(), binary: "qemu-system-x86_64", accelerator: accelTCG, conn: p.Connection}
			j.hw = hardware{dir: r.WorkDir, disks: disks, cdroms: media[:2]}
			if p.DiskInterface == "ide" {
				j.hw.cdroms = media[:1] // the controller takes four, and one is spare
			}
			if p.MachineType == "pc" {
				j.hw.floppy = media[2]
			}
			m, err := j.Boot(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			machine := m.(*machine)
			defer machine.end(context.WithoutCancel(t.Context()))
			if said := machine.said.text(); said != "" {
				t.Errorf("QEMU said %s", said)
			}
			var status struct{ Status string }
			if err := machine.qmp.Execute(t.Context(), "query-status", nil, &status); err != nil || status.Status != "prelaunch" {
				t.Errorf("status %+v, %v", status, err)
			}
			if !p.DisableVNC && !strings.Contains(events.Said(), "vnc://") {
				t.Errorf("said %s", events.Said())
			}
		})
	}
}
