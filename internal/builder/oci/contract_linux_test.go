package oci

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
	"ingot/internal/testkit/live"
)

func TestBuilderContract(t *testing.T) {
	env := live.Require(t)
	live.RequireRoot(t)
	componenttest.Builder(t, componenttest.BuilderConfig{
		New: New,
		Valid: func(t testing.TB) componenttest.Configs {
			dir := t.TempDir()
			return componenttest.Configs{
				"tar": {"from": str("tar:" + env.TinyTar), "output": str(dir + "/a.oci.tar")},
				"scratch, all formats": {
					"from": str("scratch"), "output": str(dir + "/layout"), "tag": str("a:1"), "network": str("none"),
					"export": exports(attrs{"path": str(dir + "/b.docker.tar")}, attrs{"path": str(dir + "/c.rootfs.tar.zst")}),
					"cmd":    list("/x"), "env": cty.MapVal(map[string]cty.Value{"A": str("b")}), "ports": list("80"), "tmpfs": list("/tmp"),
				},
			}
		},
		Invalid: componenttest.Configs{
			"no output":      {"from": str("scratch")},
			"unknown base":   {"from": str("ftp:x"), "output": str("/x")},
			"bare image":     {"from": str("debian:12"), "output": str("/x")},
			"bad reference":  {"from": str("docker://A B"), "output": str("/x")},
			"bad suite":      {"from": str("debootstrap:../x"), "output": str("/x")},
			"bad platform":   {"from": str("scratch"), "output": str("/x"), "platform": str("amd64")},
			"windows":        {"from": str("scratch"), "output": str("/x"), "platform": str("windows/amd64")},
			"bad port":       {"from": str("scratch"), "output": str("/x"), "ports": list("http")},
			"bad capability": {"from": str("scratch"), "output": str("/x"), "cap_add": list("CAP_FLY")},
			"mount on /proc": {"from": str("scratch"), "output": str("/x"), "tmpfs": list("/proc/x")},
			"mirror":         {"from": str("scratch"), "output": str("/x"), "mirror": str("http://x")},
			"half a login":   {"from": str("docker://a/b"), "output": str("/x"), "login_username": str("me")},
			"tag of rootfs":  {"from": str("scratch"), "output": str("/x.rootfs.tar"), "tag": str("a:1")},
			"output twice":   {"from": str("scratch"), "output": str("/x"), "export": exports(attrs{"path": str("/./x")})},
			"level":          {"from": str("scratch"), "output": str("/x"), "compression_level": cty.NumberIntVal(12)},
			"workdir":        {"from": str("scratch"), "output": str("/x"), "workdir": str("srv")},
		},
		Reap: NewReaper().Reap,
		Exists: func(_ context.Context, r component.Resource) bool {
			switch r.Kind {
			case DirKind:
				_, err := os.Lstat(r.ID)
				return err == nil
			case SandboxKind:
				pid, _, _ := strings.Cut(r.ID, ":")
				_, err := os.Stat("/proc/" + pid)
				return err == nil
			}
			return false
		},
	})
}

func TestCommunicatorContract(t *testing.T) {
	env := live.Require(t)
	live.RequireRoot(t)
	b := boot(t, "", nil, attrs{"from": str("tar:" + env.DebianTar), "output": str(t.TempDir() + "/x")})
	componenttest.Communicator(t, componenttest.CommunicatorConfig{
		New: func(t testing.TB) component.Communicator {
			c, err := b.machine.(component.SelfDialer).Dial(t.Context(), b.run)
			if err != nil {
				t.Fatal(err)
			}
			return c
		},
		Dir: "/tmp",
	})
}
