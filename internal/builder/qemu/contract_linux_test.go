package qemu

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
	"ingot/internal/reap"
)

// TestContract runs the builder's suite with a QEMU that is played and real disks.
func TestContract(t *testing.T) {
	t.Setenv(fakeVariable, "run")
	image := filepath.Join(t.TempDir(), "image.qcow2")
	run(t, "qemu-img", "create", "-q", "-f", "qcow2", image, "1M")
	str := cty.StringVal
	with := func(own map[string]cty.Value) map[string]cty.Value {
		all := map[string]cty.Value{
			"iso_url": str(image), "iso_checksum": str("none"), "disk_image": cty.True, "disk_size": str("2M"),
			"qemu_binary": str(os.Args[0]), "headless": cty.True, "boot_wait": str("0s"),
			"ssh_username": str("root"), "ssh_password": str("secret"),
		}
		for name, v := range own {
			all[name] = v
		}
		return all
	}
	componenttest.Builder(t, componenttest.BuilderConfig{
		New: New,
		Valid: func(t testing.TB) componenttest.Configs {
			out := componenttest.Configs{}
			for name, own := range map[string]map[string]cty.Value{
				"image":     {},
				"installer": {"disk_image": cty.False, "format": str("raw"), "disk_additional_size": list("1M")},
				"served":    {"http_content": cty.MapVal(map[string]cty.Value{"/a": str("b")}), "cd_content": cty.MapVal(map[string]cty.Value{"a": str("b")}), "skip_compaction": cty.True},
				"key pair":  {"ssh_password": cty.NullVal(cty.String), "boot_command": list("{{.SSHPublicKey}}"), "boot_expect": str("welcome")},
				"winrm":     {"communicator": str("winrm"), "winrm_username": str("u"), "winrm_password": str("p"), "use_backing_file": cty.True},
			} {
				own["output_directory"] = str(filepath.Join(t.(*testing.T).TempDir(), "out"))
				out[name] = with(own)
			}
			return out
		},
		Invalid: componenttest.Configs{
			"nothing":      {},
			"no user":      with(map[string]cty.Value{"ssh_username": cty.NullVal(cty.String)}),
			"expression":   with(map[string]cty.Value{"boot_command": list("a"), "boot_expect": str("(")}),
			"pattern":      with(map[string]cty.Value{"boot_command": list("<expect .*>")}),
			"no such key":  with(map[string]cty.Value{"boot_command": list("ß")}),
			"raw, backing": with(map[string]cty.Value{"use_backing_file": cty.True, "format": str("raw")}),
		},
		Reap: func(ctx context.Context, r component.Resource) error { return reap.Processes{}.Reap(ctx, r) },
		Exists: func(_ context.Context, r component.Resource) bool {
			_, err := os.Stat(fmt.Sprintf("/proc/%s/exe", r.ID))
			return r.ID != "" && err == nil
		},
	})
}
